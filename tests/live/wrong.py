"""ASGI applications as people write them when they go wrong."""

from channels.consumer import AsyncConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import re_path

from notifications.routing import websocket_urlpatterns


class Other(AsyncConsumer):
    """Something else that takes every address."""

    async def websocket_connect(self, message):
        await self.send({"type": "websocket.accept"})
        await self.send({"type": "websocket.close", "code": 4999})


http_only = get_asgi_application()
unrouted = ProtocolTypeRouter({"http": http_only})
elsewhere = ProtocolTypeRouter({"websocket": URLRouter([re_path("^chat/", Other.as_asgi())])})
shadowed = ProtocolTypeRouter(
    {"websocket": URLRouter([re_path("", Other.as_asgi()), *websocket_urlpatterns])}
)
guarded = AllowedHostsOriginValidator(URLRouter(websocket_urlpatterns))
