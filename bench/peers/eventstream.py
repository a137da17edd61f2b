"""Server-Sent Events by django-eventstream, one channel for all."""

from django.core.asgi import get_asgi_application
from django.urls import include, path

from bench import contestants, people

urlpatterns = [path("events/", include("django_eventstream.urls"), {"channels": ["everyone"]})]
application = get_asgi_application()


def tell() -> None:
    from django_eventstream import send_event

    message = contestants.notification(f"Maintenance {people.mark()}")
    send_event("everyone", "message", message)
