"""The ASGI side: WebSocket routes, and what happens when the server starts and stops."""

from __future__ import annotations

from typing import Any

from django.urls import path, re_path

from .consumers import NotificationConsumer, nowhere, the_hub

websocket_urlpatterns = [
    path("ws/notifications/", NotificationConsumer()),  # type: ignore[arg-type]
    re_path(r"", nowhere),  # type: ignore[arg-type]
]


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Starts the hub with the server, so that schedules are kept while nobody is connected.

    daphne does not speak this protocol: there the hub starts with the first socket.
    """
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            the_hub()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            the_hub().stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
