"""The ASGI side: WebSocket routes, and what happens when the server starts and stops."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from asgiref.sync import markcoroutinefunction
from django.urls import path, re_path

from .consumers import NotificationConsumer, nowhere, the_hub
from .stream.garbage import collect_rarely
from .wire import ADDRESS

consumer = NotificationConsumer()

websocket_urlpatterns = [
    path(ADDRESS.lstrip("/"), consumer),  # type: ignore[arg-type]
    re_path(r"", nowhere),  # type: ignore[arg-type]
]


def websocket(scope: dict[str, Any], receive: Any, send: Any) -> Awaitable[None]:
    """The WebSockets of a site that has none but ours: `URLRouter(websocket_urlpatterns)` without
    what a router keeps of each socket for as long as it is open."""
    here = scope["path"].removeprefix(scope.get("root_path", "")) == ADDRESS
    return (consumer if here else nowhere)(scope, receive, send)


markcoroutinefunction(websocket)  # no double callable of ASGI 2, for those who look


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
