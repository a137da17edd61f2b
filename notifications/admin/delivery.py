"""The page "Delivery": how news has fared in the last hour, in all processes together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db.models import Count
from django.db.models.functions import TruncMinute
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from ..models import Entry, Op, Process, Sample
from ..stream.number import log_database
from ..stream.timing import BOUNDS
from .live import OperatorsPage, clock, iso, told, uncached, wants_json

POINTS = 60
WIDTH, HEIGHT = 590, 100
EVERY = 10
"""Seconds between two looks of the page."""


class HealthAdmin(OperatorsPage):
    needs: ClassVar[str] = "notifications.view_connection"
    needs_to_act: ClassVar[str] = "notifications.change_connection"

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self.let_in(request)
        charts = last_hour()
        if wants_json(request):
            return uncached(
                JsonResponse(
                    {
                        "charts": {chart.name: chart.as_json() for chart in charts},
                        "processes": _processes(),
                    }
                )
            )
        context = self.page_context(
            request,
            title=_("Delivery"),
            charts=charts,
            processes=_processes(),
            every=EVERY,
            width=WIDTH,
            height=HEIGHT,
        )
        return uncached(TemplateResponse(request, "admin/notifications/health.html", context))


def _processes() -> list[dict[str, Any]]:
    """The processes that were heard of just now."""
    return [
        {
            "id": str(process),
            "title": str(process),
            "started": iso(process.started),
            "started_told": told(process.started),
            "beat": iso(process.beat),
            "beat_told": told(process.beat),
            "people": str(process.people),
            "sockets": str(process.sockets),
        }
        for process in Process.objects.fresh().order_by("started", "pk")
    ]


Value = float | None


@dataclass(frozen=True)
class Line:
    label: str
    values: Sequence[Value]


@dataclass(frozen=True)
class Chart:
    """Some lines over the same minutes. What is not known is a gap, not a zero."""

    name: str
    title: str
    unit: str
    minutes: Sequence[str]
    lines: Sequence[Line]

    @property
    def top(self) -> float:
        return max((value for line in self.lines for value in line.values if value), default=0.0)

    @property
    def top_told(self) -> str:
        return self.told(self.top)

    @property
    def paths(self) -> list[str]:
        return [_path(line.values, self.top) for line in self.lines]

    @property
    def summary(self) -> str:
        """The chart in words."""
        said = []
        for line in self.lines:
            known = [value for value in line.values if value is not None]
            if not known:
                said.append(_("%(what)s: not measured") % {"what": line.label})
                continue
            words = {
                "what": line.label,
                "now": self.told(line.values[-1]),
                "most": self.told(max(known)),
            }
            said.append(_("%(what)s: now %(now)s, at most %(most)s") % words)
        return "; ".join(said)

    @property
    def rows(self) -> list[list[str]]:
        """The same as a table, newest first."""
        columns = [[self.told(value) for value in line.values] for line in self.lines]
        return [list(row) for row in zip(self.minutes, *columns, strict=True)][::-1]

    def told(self, value: Value) -> str:
        if value is None:
            return "—"
        text = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
        return f"{text} {self.unit}".strip()

    def as_json(self) -> dict[str, Any]:
        return {
            "paths": self.paths,
            "top": self.top_told,
            "summary": self.summary,
            "rows": self.rows,
        }


def _path(values: Sequence[Value], top: float) -> str:
    """The `d` of an SVG path; a gap begins a new piece, and a lone point is a dot."""
    step = WIDTH / (POINTS - 1)
    pieces = []
    pen_is_down = False
    for index, value in enumerate(values):
        if value is None:
            pen_is_down = False
            continue
        x, y = round(index * step, 1), round(HEIGHT - value / (top or 1) * HEIGHT, 1)
        pieces.append(f"{'L' if pen_is_down else 'M'}{x:g} {y:g}" + ("" if pen_is_down else "h0"))
        pen_is_down = True
    return "".join(pieces)


def last_hour(now: datetime | None = None) -> list[Chart]:
    """The charts of the 60 minutes that end with this one. Two statements."""
    end = (now or timezone.now()).replace(second=0, microsecond=0)
    minutes = [end - timedelta(minutes=POINTS - 1 - index) for index in range(POINTS)]
    samples: dict[datetime, list[Sample]] = {minute: [] for minute in minutes}
    using = log_database()
    for sample in Sample.objects.using(using).filter(minute__gte=minutes[0], minute__lte=end):
        samples[sample.minute].append(sample)
    stored = dict(
        Entry.objects.using(using)
        .filter(op=Op.CREATED, created__gte=minutes[0])
        .annotate(minute=TruncMinute("created"))
        .values_list("minute")
        .annotate(count=Count("seq"))
    )
    of_minutes = list(samples.values())
    labels = [clock(minute) for minute in minutes]

    def chart(name: str, title: str, unit: str, *lines: tuple[str, Sequence[Value]]) -> Chart:
        return Chart(name, title, unit, labels, [Line(*line) for line in lines])

    def each(measure: Callable[[list[Sample]], Value]) -> list[Value]:
        return [measure(found) if found else None for found in of_minutes]

    def total(field: str) -> list[Value]:
        return each(lambda found: sum(getattr(sample, field) for sample in found))

    return [
        chart(
            "flow",
            _("Per minute"),
            "",
            (_("Pushed to sockets"), total("pushes")),
            (_("Stored in the log"), [stored.get(minute, 0) for minute in minutes]),
        ),
        chart(
            "latency",
            _("From stored to written"),
            "ms",
            ("p95", each(lambda found: quantile(_merged(found), 0.95))),
            ("p50", each(lambda found: quantile(_merged(found), 0.5))),
        ),
        chart(
            "layer",
            _("Channel layer, there and back"),
            "ms",
            (_("Round trip"), each(_layer)),
        ),
        chart(
            "backlog",
            _("Backlog"),
            "",
            (
                _("Sockets behind, and streams waiting"),
                each(lambda found: max(sample.backlog for sample in found)),
            ),
        ),
        chart(
            "trouble",
            _("Trouble per minute"),
            "",
            (_("Failures"), total("failures")),
            (_("Dropped"), total("dropped")),
        ),
        chart(
            "sockets",
            _("Connections"),
            "",
            (_("Open sockets"), total("sockets")),
            (_("Reconnects per minute"), total("reconnects")),
        ),
    ]


def _merged(samples: list[Sample]) -> list[int]:
    return [sum(counts) for counts in zip(*(s.latency for s in samples if s.latency), strict=True)]


def _layer(samples: list[Sample]) -> Value:
    known = [sample.layer_ms for sample in samples if sample.layer_ms is not None]
    return sum(known) / len(known) if known else None


def quantile(counts: Sequence[int], q: float) -> Value:
    """Milliseconds that this share of the pushes did not exceed, from the counts of `BOUNDS`.

    Inside a bucket they are taken to be evenly spread; what is above the last bound is told as
    that bound.
    """
    rank = q * sum(counts)
    if not rank:
        return None
    low = below = 0.0
    for high, count in zip(BOUNDS, counts, strict=False):
        if count and below + count >= rank:
            return (low + (high - low) * (rank - below) / count) * 1000
        low, below = high, below + count
    return BOUNDS[-1] * 1000
