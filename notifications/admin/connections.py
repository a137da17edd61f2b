"""The page "Connected people": who is there, how, since when; a test for them, and their sockets'
end. Addresses and browsers of people are not kept, so they cannot be shown."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..audiences import disconnect, resolve
from ..log import log
from ..models import Connection, Process
from ..notices import Notice
from ..notify import send
from .live import LiveList, Row, by_name, iso, told


class TestNotice(Notice):
    """Says nothing but that it came."""

    kind = "notifications.test"
    verbose_name = gettext_lazy("Test notification")
    sender: str

    def title(self) -> str:
        return _("This is a test. Your notifications arrive.")

    def body(self) -> str:
        return _("Sent from the administration by %s.") % self.sender


class ConnectionAdmin(LiveList):
    needs: ClassVar[str] = "notifications.view_connection"
    needs_to_act: ClassVar[str] = "notifications.change_connection"
    list_display = ["person", "transport", "sockets", "tabs", "since", "heard", "version"]
    list_filter = ["transport"]
    list_select_related = ["person"]
    ordering = ["-since", "-pk"]
    row_template = "admin/notifications/connection_row.html"
    every = 5
    actions = ["send_test", "disconnect"]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return [f"person__{by_name(get_user_model())}"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Connection]:
        return Connection.objects.fresh()

    def row(self, instance: Connection) -> Row:
        return {
            "id": instance.pk,
            "title": str(instance.person),
            "transport": instance.get_transport_display(),
            "sockets": str(instance.sockets),
            "tabs": str(instance.tabs),
            "since": iso(instance.since),
            "since_told": told(instance.since),
            "heard": iso(instance.heard),
            "heard_told": told(instance.heard),
            "version": instance.version or "—",
        }

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = {"title": _("Connected people")}
        return super().changelist_view(request, title | (extra_context or {}))

    def totals(self, request: HttpRequest) -> dict[str, Any]:
        found = Connection.objects.fresh().aggregate(
            people=models.Count("person", distinct=True),
            sockets=models.Sum("sockets"),
            tabs=models.Sum("tabs"),
        )
        found["processes"] = Process.objects.fresh().count()
        labels = {
            "people": _("People"),
            "sockets": _("Sockets"),
            "tabs": _("Tabs"),
            "processes": _("Server processes"),
        }
        return {
            name: {"label": label, "value": f"{found[name] or 0:,}"}
            for name, label in labels.items()
        }

    @admin.action(permissions=["act"], description=gettext_lazy("Send a test notification"))
    def send_test(self, request: HttpRequest, chosen: models.QuerySet[Connection]) -> None:
        people = _people(chosen)
        send(TestNotice(sender=request.user.get_username()), resolve(people))
        log("test", by=request.user.pk, people=len(people))
        names = ", ".join(map(str, people))
        self.message_user(request, _("Sent to: %s.") % names, messages.SUCCESS)

    @admin.action(permissions=["act"], description=gettext_lazy("Disconnect"))
    def disconnect(self, request: HttpRequest, chosen: models.QuerySet[Connection]) -> None:
        people = _people(chosen)
        disconnect(people)
        log("disconnect", by=request.user.pk, people=len(people))
        names = ", ".join(map(str, people))
        said = _("Disconnected: %s. Their browsers come back by themselves.") % names
        self.message_user(request, said, messages.SUCCESS)


def _people(chosen: models.QuerySet[Connection]) -> list[Any]:
    """Each person once, though they may have several rows."""
    ids = chosen.order_by().values("person")
    return list(get_user_model()._default_manager.filter(pk__in=ids).order_by("pk"))
