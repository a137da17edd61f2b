"""What the operators' pages share: whom they let in, and tables that stay up to date."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.templatetags.admin_list import result_headers
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django.utils.formats import date_format
from django.utils.translation import ngettext as of_django

Row = dict[str, Any]
"""A row as the page shows it, made once for the template and for the script: texts by field,
times as ISO, `id`."""


class OperatorsPage(admin.ModelAdmin):
    """A page for who has `needs`. Nothing on it is a form of the admin's own."""

    needs: ClassVar[str]
    """Permission to see it."""
    needs_to_act: ClassVar[str]
    """Permission to do something there."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(self.needs)

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(self.needs_to_act)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def let_in(self, request: HttpRequest, *, to_act: bool = False) -> None:
        """Raises `PermissionDenied`."""
        if not self.has_view_permission(request) or (
            to_act and not self.has_act_permission(request)
        ):
            raise PermissionDenied

    def page_context(self, request: HttpRequest, **more: Any) -> dict[str, Any]:
        request.current_app = self.admin_site.name
        return {**self.admin_site.each_context(request), "opts": self.opts, **more}


class LiveList(OperatorsPage):
    """An ordinary changelist, but that its rows are of our template, and come as JSON too.

    The script asks for the same address with `Accept: application/json`: so filters, search,
    order and permissions are those of the page itself.
    """

    change_list_template = "admin/notifications/live_list.html"
    row_template: ClassVar[str]
    every: ClassVar[int]
    """Seconds between two looks; 0: only when the log says that something changed."""
    list_display_links = None
    show_full_result_count = False

    def row(self, instance: Any) -> Row:
        raise NotImplementedError

    def totals(self, request: HttpRequest) -> dict[str, Any]:
        """What stands above the table, by name."""
        return {}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self.let_in(request)
        if wants_json(request):
            found = self.get_changelist_instance(request)
            response: HttpResponse = JsonResponse(
                {
                    "rows": self._rows(found),
                    "totals": self.totals(request),
                    "counted": counted(found),
                }
            )
        else:
            response = super().changelist_view(request, extra_context)
            context = getattr(response, "context_data", None) or {}
            if "cl" in context:
                context |= {
                    "headers": list(result_headers(context["cl"])),
                    "rows": self._rows(context["cl"]),
                    "totals": self.totals(request),
                    "row_template": self.row_template,
                    "every": self.every,
                    "may_act": self.has_act_permission(request),
                }
        return uncached(response)

    def _rows(self, found: ChangeList) -> list[Row]:
        return [self.row(instance) for instance in found.result_list]


def counted(found: ChangeList) -> dict[str, str]:
    """How many match, in the words of Django's templates and of its own catalogue."""
    number = found.result_count
    words = of_django("%(counter)s result", "%(counter)s results", number)
    name = found.opts.verbose_name if number == 1 else found.opts.verbose_name_plural
    return {"results": words % {"counter": number}, "rows": f"{number} {name}"}


def wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def uncached(response: HttpResponse) -> HttpResponse:
    patch_vary_headers(response, ["Accept"])
    add_never_cache_headers(response)
    return response


def iso(moment: datetime | None) -> str:
    """A time for `<time datetime>`."""
    return moment.isoformat(timespec="seconds") if moment else ""


def told(moment: datetime | None) -> str:
    """The same for people without a script; with one it becomes "2 min. ago"."""
    if moment is None:
        return ""
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    return date_format(local, "SHORT_DATETIME_FORMAT")


def clock(moment: datetime) -> str:
    """The time of day, on a chart."""
    return f"{timezone.localtime(moment) if timezone.is_aware(moment) else moment:%H:%M}"


def by_name(user_model: type[models.Model]) -> str:
    """The field by which people are found: what they log in with."""
    return str(user_model.USERNAME_FIELD)  # type: ignore[attr-defined]
