"""The operators' queue and the page of one alert. Each parses, makes one call into `alerts`, and
answers; what was decided there is on every screen by way of the log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import alerts
from ..errors import AlreadyDone, BadNotification, NotificationError, UnknownAlert
from ..models import Alert, AlertEvent, Level, Mute, State
from ..notices import checked_url
from .live import LiveList, Row, clock, iso, told, uncached, wants_json

SHOWN = 300
"""Rows that a page may hold and still have looked after."""
EVENTS = 200
"""Steps of an alert's life on its page: the newest."""
HOURS = 48
MUTES_SHOWN = 100
STRIP_HEIGHT = 36
DISMISSED = "notifications_dismissed"
"""In the session: when its person last put the strip of critical alerts away."""

ACTS: dict[str, list[str]] = {
    State.FIRING: ["acknowledge", "resolve", "mute"],
    State.ACKNOWLEDGED: ["resolve", "mute"],
    State.MUTED: ["unmute", "resolve"],
    State.RESOLVED: [],
}
"""What can be done with an alert in each state."""
MUTES = {
    15: gettext_lazy("15 minutes"),
    60: gettext_lazy("1 hour"),
    240: gettext_lazy("4 hours"),
    1440: gettext_lazy("1 day"),
    10080: gettext_lazy("1 week"),
}
MUTED_FOR = 60
"""Minutes of the button in a row."""


class StandingFilter(admin.SimpleListFilter):
    """By state; without a wish, all that is not over."""

    title = gettext_lazy("state")
    parameter_name = "state"
    ALL = "all"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*State.choices, (self.ALL, gettext_lazy("All"))]

    def choices(self, changelist: ChangeList) -> Any:
        choices = super().choices(changelist)
        yield {**next(choices), "display": _("Not resolved")}
        yield from choices

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        if self.value() == self.ALL:
            return queryset
        if self.value() in State:
            return queryset.filter(state=self.value())
        return queryset.exclude(state=State.RESOLVED)


class AlertAdmin(LiveList):
    needs: ClassVar[str] = "notifications.view_alert"
    needs_to_act: ClassVar[str] = "notifications.change_alert"
    change_list_template = "admin/notifications/alert_list.html"
    row_template = "admin/notifications/alert_row.html"
    every = 30
    list_display = ["level", "title", "state", "count", "first_seen", "last_seen"]
    list_filter = [StandingFilter, "level", "source"]
    search_fields = ["title", "key", "source", "body"]
    ordering = ["-last_seen", "-pk"]
    actions = ["acknowledge", "resolve", "mute", "unmute"]

    def get_urls(self) -> list[URLPattern]:
        def route(where: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            return path(where, self.admin_site.admin_view(view), name=f"notifications_alert_{name}")

        own = [
            route("act/", self.act_view, "act"),
            route("critical/", self.critical_view, "critical"),
        ]
        return [*own, *super().get_urls()]

    def url(self, name: str, *args: Any) -> str:
        return reverse(f"{self.admin_site.name}:notifications_alert_{name}", args=args)

    # --- The queue ---

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self.let_in(request)
        alerts.position()  # what was told before the page was asked for is on it
        shown = self._shown(request)
        response = super().changelist_view(
            request,
            {
                "title": _("Live alerts"),
                "act_url": self.url("act"),
                "columns": len(self.list_display) + 2,
                **(extra_context or {}),
            },
        )
        if isinstance(response, JsonResponse):
            found = json.loads(response.content)
            there = {row["id"] for row in found["rows"]}
            others = Alert.objects.filter(pk__in=shown - there)
            found["others"] = [self.row(one) for one in others]
            return uncached(JsonResponse(found))
        return response

    def _shown(self, request: HttpRequest) -> set[int]:
        """The alerts whose rows the page holds, though they may no longer match."""
        query = request.GET.copy()
        given = query.pop("_shown", [""])[0].split(",")[:SHOWN]
        request.GET = query  # type: ignore[assignment]
        return {int(id) for id in given if id.isascii() and id.isdecimal() and len(id) < 19}

    def row(self, instance: Alert) -> Row:
        return {
            "id": instance.pk,
            "title": instance.title,
            "url": self.url("change", instance.pk),
            "key": instance.key,
            "source": instance.source,
            "level": instance.level_word,
            "level_told": instance.get_level_display(),
            "state": instance.state,
            "standing": standing(instance),
            "owner": initials(instance.by) if instance.state != State.FIRING else "",
            "note": instance.note,
            "changed": iso(instance.changed),
            "changed_told": told(instance.changed),
            "until": iso(instance.muted_until),
            "until_told": told(instance.muted_until),
            "count": f"{instance.count:,}",
            "first_seen": iso(instance.first_seen),
            "first_seen_told": told(instance.first_seen),
            "last_seen": iso(instance.last_seen),
            "last_seen_told": told(instance.last_seen),
            "acts": ACTS[instance.state],
        }

    def totals(self, request: HttpRequest) -> dict[str, Any]:
        found = alerts.summary()
        labels = {
            "firing": (_("Firing"), found.firing, State.FIRING),
            "acknowledged": (_("Acknowledged"), found.acknowledged, State.ACKNOWLEDGED),
            "muted": (_("Muted"), found.muted, State.MUTED),
            "resolved_today": (_("Resolved today"), found.resolved_today, State.RESOLVED),
        }
        tiles: dict[str, Any] = {
            name: {"label": label, "value": f"{count:,}", "query": f"?state={state}"}
            for name, (label, count, state) in labels.items()
        }
        mutes = Mute.objects.active().order_by("until", "pk")[:MUTES_SHOWN]
        return {"tiles": tiles, "strip": strip(found.hours), "mutes": [_mute_row(x) for x in mutes]}

    # --- What is done ---

    def act_view(self, request: HttpRequest) -> HttpResponse:
        """One button: by a form, that comes back to its page, or by the script, that is told."""
        self.let_in(request, to_act=True)
        if request.method != "POST":
            raise Http404
        verb, _colon, id = request.POST.get("one", "").partition(":")
        verb, id = request.POST.get("verb", verb), request.POST.get("id", id)
        known = verb in VERBS or verb == END
        if not known or not (id.isascii() and id.isdecimal() and len(id) < 19):
            raise Http404
        if verb == END:
            said, good = _end(int(id), request)
        else:
            try:
                outcome = VERBS[verb]([int(id)], request)
            except UnknownAlert as error:
                raise Http404 from error
            except BadNotification:
                outcome = None
            said, good = self._said(verb, outcome)
        if wants_json(request):
            row = None if verb == END else self.row(Alert.objects.get(pk=int(id)))
            return uncached(JsonResponse({"row": row, "said": said, "good": good}))
        messages.add_message(request, messages.SUCCESS if good else messages.WARNING, said)
        back = request.POST.get("next", "")
        if not url_has_allowed_host_and_scheme(back, allowed_hosts=None):
            back = self.url("changelist")
        return HttpResponseRedirect(back)

    def _said(self, verb: str, outcome: alerts.Outcome | None) -> tuple[str, bool]:
        """What became of it, in words."""
        if outcome is None:
            return str(FAILED), False
        if outcome.refused and not outcome.changed:
            return refusal(outcome.refused[0]), False
        said = str(DONE[verb]) % ", ".join(one.title for one in outcome.changed)
        if outcome.refused:
            said += " " + "; ".join(map(refusal, outcome.refused))
        return said, True

    def _all(self, verb: str, request: HttpRequest, chosen: models.QuerySet[Alert]) -> None:
        ids = list(chosen.order_by("pk").values_list("pk", flat=True))
        said, good = self._said(verb, VERBS[verb](ids, request))
        self.message_user(request, said, messages.SUCCESS if good else messages.WARNING)

    @admin.action(permissions=["act"], description=gettext_lazy("Acknowledge"))
    def acknowledge(self, request: HttpRequest, chosen: models.QuerySet[Alert]) -> None:
        self._all("acknowledge", request, chosen)

    @admin.action(permissions=["act"], description=gettext_lazy("Resolve"))
    def resolve(self, request: HttpRequest, chosen: models.QuerySet[Alert]) -> None:
        self._all("resolve", request, chosen)

    @admin.action(permissions=["act"], description=gettext_lazy("Mute for an hour"))
    def mute(self, request: HttpRequest, chosen: models.QuerySet[Alert]) -> None:
        self._all("mute", request, chosen)

    @admin.action(permissions=["act"], description=gettext_lazy("Unmute"))
    def unmute(self, request: HttpRequest, chosen: models.QuerySet[Alert]) -> None:
        self._all("unmute", request, chosen)

    # --- One alert ---

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        self.let_in(request)
        alerts.position()
        one = self.get_object(request, unquote(object_id))
        if one is None:
            raise Http404
        events = [_event(event) for event in one.events.order_by("-pk")[:EVENTS]]
        hours = [
            {"id": iso(hour.hour), "hour": told(hour.hour), "count": f"{hour.count:,}"}
            for hour in one.hours.order_by("-hour")[:HOURS]
        ]
        row = self.row(one)
        if wants_json(request):
            return uncached(JsonResponse({"row": row, "events": events, "hours": hours}))
        runbook = one.labels.get("runbook_url") or one.labels.get("runbook") or ""
        context = self.page_context(
            request,
            title=one.title,
            one=one,
            original=one,
            row=row,
            events=events,
            hours=hours,
            payload=json.dumps(one.as_json() | {"body": one.body}, indent=2, ensure_ascii=False),
            runbook=_safe(runbook),
            link=_safe(one.url),
            target_url=self._page_of(one.target_ref),
            mutes=[mute for mute in Mute.objects.active().order_by("until") if mute.covers(one)],
            durations=MUTES.items(),
            muted_for=MUTED_FOR,
            act_url=self.url("act"),
            history_url=self.url("history", one.pk),
            may_act=self.has_act_permission(request),
            every=self.every,
        )
        return uncached(TemplateResponse(request, "admin/notifications/alert.html", context))

    def _page_of(self, reference: str) -> str:
        """The admin's page of what an alert is about, if it has one."""
        label, _colon, pk = reference.partition(":")
        try:
            name = f"{self.admin_site.name}:{label.replace('.', '_')}_change"
            return reverse(name, args=[pk]) if pk else ""
        except NoReverseMatch:
            return ""

    # --- The strip on every page ---

    def critical_view(self, request: HttpRequest) -> HttpResponse:
        """How many critical alerts nobody has taken; a POST puts the strip away for this session,
        until the next one."""
        self.let_in(request)
        if request.method == "POST":
            request.session[DISMISSED] = timezone.now().isoformat()
            if not wants_json(request):
                back = request.POST.get("next", "")
                if not url_has_allowed_host_and_scheme(back, allowed_hosts=None):
                    back = reverse(f"{self.admin_site.name}:index")
                return HttpResponseRedirect(back)
        return uncached(JsonResponse(critical(request)))


VERBS: dict[str, Callable[[list[int], HttpRequest], alerts.Outcome]] = {
    "acknowledge": lambda ids, request: alerts.acknowledge(ids, request.user, _note(request)),
    "resolve": lambda ids, request: alerts.close(ids, request.user, _note(request)),
    "unmute": lambda ids, request: alerts.unmute(ids, request.user, _note(request)),
    "note": lambda ids, request: alerts.note(ids, request.user, _note(request)),
    "mute": lambda ids, request: _mute(ids, request),
}
END = "end"
"""The verb of a mute; the others are of an alert."""
FAILED = gettext_lazy("That could not be done. Nothing was changed.")
DONE = {
    "acknowledge": gettext_lazy("Acknowledged: %s."),
    "resolve": gettext_lazy("Resolved: %s."),
    "mute": gettext_lazy("Muted: %s."),
    "unmute": gettext_lazy("Not muted any more: %s."),
    "note": gettext_lazy("Noted: %s."),
}
ALREADY = {
    State.FIRING: gettext_lazy("It is firing."),
    State.ACKNOWLEDGED: gettext_lazy("It is acknowledged already by %s."),
    State.MUTED: gettext_lazy("It is muted already by %s."),
    State.RESOLVED: gettext_lazy("It is resolved already by %s."),
}


def _note(request: HttpRequest) -> str:
    return request.POST.get("note", "").strip()


def _mute(ids: list[int], request: HttpRequest) -> alerts.Outcome:
    minutes = request.POST.get("minutes", "")
    span = timedelta(minutes=int(minutes) if minutes in map(str, MUTES) else MUTED_FOR)
    until = timezone.now() + span
    chosen = request.POST.getlist("labels")
    if len(ids) == 1 and chosen:
        one = Alert.objects.filter(pk=ids[0]).first()
        labels = {name: one.labels[name] for name in chosen if one and name in one.labels}
        if one and labels:
            alerts.mute_labels(labels, request.user, until, _note(request))
            return alerts.Outcome([one], [])
    return alerts.mute(ids, request.user, until, _note(request))


def _end(id: int, request: HttpRequest) -> tuple[str, bool]:
    """End a mute before its time, whatever it covers; in words."""
    mute = Mute.objects.active().filter(pk=id).first()
    if mute is None:
        return str(FAILED), False
    alerts.end_mutes([id], request.user)
    return _("Ended: %s.") % mute, True


def _mute_row(mute: Mute) -> Row:
    return {
        "id": mute.pk,
        "title": str(mute),
        "until": iso(mute.until),
        "until_told": told(mute.until),
        "by": mute.by,
        "note": mute.reason,
    }


def refusal(error: AlreadyDone) -> str:
    """Who was faster."""
    said = str(ALREADY[State(error.state)])
    if "%s" not in said:
        return said
    return said % (error.by or _("its source"))


def standing(one: Alert) -> str:
    """The state, and who put it there."""
    words = {"state": one.get_state_display(), "by": one.by}
    if one.state == State.FIRING or not one.by:
        return words["state"]
    return _("%(state)s by %(by)s") % words


def initials(name: str) -> str:
    """`DS` for "dana.smith": the first letters of the first two words."""
    words = "".join(c if c.isalnum() else " " for c in name).split()
    return "".join(word[0] for word in words[:2]).upper()


def strip(hours: Iterable[tuple[datetime, int]]) -> dict[str, Any]:
    """The last 24 hours as bars, as words and as a table."""
    hours = list(hours)
    most = max(count for _hour, count in hours) or 1
    bars = [round(count / most * STRIP_HEIGHT, 1) for _hour, count in hours]
    total = sum(count for _hour, count in hours)
    words = {"total": f"{total:,}", "most": f"{max(count for _hour, count in hours):,}"}
    return {
        "bars": [
            {"x": index * 10, "y": STRIP_HEIGHT - height, "height": height}
            for index, height in enumerate(bars)
        ],
        "summary": _("Told in the last 24 hours: %(total)s; at most %(most)s in one") % words,
        "rows": [[clock(hour), f"{count:,}"] for hour, count in hours],
    }


def _event(event: AlertEvent) -> Row:
    note = event.note
    until = event.detail.get("until")
    if until:
        moment = datetime.fromisoformat(until)
        note = f"{note} ({_('until')} {told(moment)})".strip()
    return {
        "id": event.pk,
        "kind": event.get_kind_display(),
        "by": event.by,
        "owner": initials(event.by),
        "note": note,
        "at": iso(event.at),
        "at_told": told(event.at),
    }


def _safe(url: object) -> str:
    try:
        return checked_url(url)
    except NotificationError:
        return ""


def critical(request: HttpRequest) -> dict[str, Any]:
    """What the strip says: empty when there is nothing, or it was put away since."""
    firing = Alert.objects.filter(state=State.FIRING, level__gte=Level.CRITICAL)
    found = firing.aggregate(
        count=models.Count("pk"), changed=models.Max("changed"), reminded=models.Max("reminded")
    )
    if not found["count"]:
        return {"count": 0, "text": ""}
    dismissed = request.session.get(DISMISSED)
    newest = max(found["changed"], found["reminded"] or found["changed"])
    if dismissed and newest <= datetime.fromisoformat(dismissed):
        return {"count": 0, "text": ""}
    text = _("Critical alerts that nobody has taken: %s") % f"{found['count']:,}"
    return {"count": found["count"], "text": text}
