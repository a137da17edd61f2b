"""The ASGI side: WebSocket routes, and what happens when the server starts and stops."""

from __future__ import annotations

from typing import Any

from django.urls import path, re_path

from .consumers import NotificationConsumer, NowhereConsumer, the_hub
from .stream.garbage import collect_rarely

websocket_urlpatterns = [
    path("ws/notifications/", NotificationConsumer.as_asgi()),
    re_path(r"", NowhereConsumer.as_asgi()),
]


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Starts the hub with the server, so that schedules are kept while nobody is connected.

    daphne does not speak this protocol: there the hub starts with the first socket, and garbage
    is collected as Python does it by itself (each socket of daphne leaves 14 kB of it).
    """
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            collect_rarely()
            the_hub()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            the_hub().stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
