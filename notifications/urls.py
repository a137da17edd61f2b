"""Where the inbox lives. Include under any prefix; the namespace is `notifications`."""

from __future__ import annotations

from django.urls import path

from . import feeds, views, webhook

app_name = "notifications"

urlpatterns = [
    path("", views.inbox_page, name="inbox"),
    path("list/", views.inbox_list, name="list"),
    path("do/", views.do, name="do"),
    path("events/", feeds.events, name="events"),
    path("poll/", feeds.poll, name="poll"),
    path("act/", views.act, name="act"),
    path("alerts/webhook/", webhook.alertmanager, name="alertmanager"),
]
