"""The consumer of the Channels tutorial, part 3: a channel each, a group for each audience."""

import json

from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

django_application = get_asgi_application()


class TutorialConsumer(AsyncWebsocketConsumer):
    async def connect(self):
        self.groups_joined = ["everyone", f"user_{self.scope['user'].pk}"]
        for name in self.groups_joined:
            await self.channel_layer.group_add(name, self.channel_name)
        await self.accept()

    async def disconnect(self, close_code):
        for name in self.groups_joined:
            await self.channel_layer.group_discard(name, self.channel_name)

    async def notification_created(self, event):
        await self.send(text_data=json.dumps({"notification": event["notification"]}))


application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter([path("ws/notifications/", TutorialConsumer.as_asgi())]))
        ),
    }
)
