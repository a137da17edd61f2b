"""What this process counts, in the text format of Prometheus. Each process is asked for itself.

Numbers about a site are not for everybody. They are told to whoever shows the token of
NOTIFICATIONS["METRICS_TOKEN"], or comes straight from this machine: a request that a proxy has
passed on does not, whatever address it seems to come from. All others find no such page.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .conf import conf
from .health import layer_state
from .logging import stats as logged
from .stream import bell
from .stream.hub import Hub
from .stream.timing import BOUNDS, Timing

PASSED_ON = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
    "HTTP_FORWARDED",
    "HTTP_VIA",
)


@transaction.non_atomic_requests
@never_cache
@require_safe
async def metrics(request: HttpRequest) -> HttpResponse:
    """The numbers of the process that answers."""
    if not may_see(request):
        raise Http404
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(Hub.running()))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def may_see(request: HttpRequest) -> bool:
    """Whether the numbers are for this visitor."""
    word, _space, token = request.headers.get("Authorization", "").partition(" ")
    if conf.metrics_token and word.lower() == "bearer":
        return constant_time_compare(token, conf.metrics_token)
    if any(name in request.META for name in PASSED_ON):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:  # a unix socket: it may be a proxy's
        return False


class Figures(Collector):
    """The hub's and the bell's numbers as metrics. Without a hub there are those of the bell."""

    def __init__(self, hub: Hub | None) -> None:
        self.hub = hub

    def collect(self) -> Iterator[Metric]:
        yield self._counts("bells", "Messages to and from the layer.", "outcome", self._bells())
        yield self._counts(
            "log_alerts",
            "Logged errors and the alerts made of them, by what became of them.",
            "outcome",
            {name: logged[name] for name in ("heard", "stored", "dropped", "failed")},
        )
        if self.hub is None:
            return
        hub, stats = self.hub, self.hub.stats
        yield _gauge("sockets", "Open sockets, feeds and polls.", len(hub.sockets))
        yield _gauge("users", "People with at least one of them.", len(hub.people))
        yield _gauge("streams", "Streams that somebody here listens to.", len(hub.streams))
        yield _gauge("tasks", "Tasks of the event loop.", len(asyncio.all_tasks()))
        yield _gauge("draining", "1 while clients are sent elsewhere.", int(hub.draining))
        yield _gauge(
            "layer_degraded",
            "1 while the layer is not heard and the sweep stands in.",
            int(layer_state(hub) == "degraded"),
        )
        modes = {mode: stats[f"welcome_{mode}"] for mode in ("fresh", "resume", "reset")}
        yield self._counts("resumes", "Welcomes by mode.", "mode", modes)
        codes = {
            name.removeprefix("closed_"): count
            for name, count in sorted(stats.items())
            if name.startswith("closed_")
        }
        yield self._counts("closes", "Ends of sockets by close code.", "code", codes)
        for name, about in COUNTED.items():
            yield CounterMetricFamily(f"notifications_{name}", about, value=stats[name])
        yield _histogram(
            "commit_to_send_seconds",
            "From when something was stored to when it was written to the sockets.",
            hub.commit_to_send,
        )
        yield _histogram(
            "loop_lag_seconds", "How late the event loop came to what was due.", hub.lag
        )

    def _bells(self) -> dict[str, int]:
        heard = self.hub.stats["bells_heard"] if self.hub else 0
        return {name: bell.stats[name] for name in ("sent", "failed", "skipped")} | {"heard": heard}

    def _counts(self, name: str, about: str, label: str, counts: dict[str, int]) -> Metric:
        family = CounterMetricFamily(f"notifications_{name}", about, labels=[label])
        for value, count in counts.items():
            family.add_metric([value], count)
        return family


COUNTED = {
    "pushes": "Frames written to live sockets.",
    "sweep_repairs": "Streams that the sweep found and no bell had told.",
    "catch_ups": "Times that a socket was read further by itself.",
    "syncs": "Clients that said what they hold.",
    "resets": "Clients that were told to load their inbox anew.",
    "layer_failures": "Times that the layer became unhealthy.",
    "database_errors": "Times that the database did not do what it was asked.",
    "errors": "Times that something else failed, with a traceback in the log.",
}


def _gauge(name: str, about: str, value: int) -> Metric:
    return GaugeMetricFamily(f"notifications_{name}", about, value=value)


def _histogram(name: str, about: str, timing: Timing) -> Metric:
    below = 0
    buckets = []
    for bound, count in zip([*map(str, BOUNDS), "+Inf"], timing.counts, strict=True):
        below += count
        buckets.append((bound, below))
    family = HistogramMetricFamily(f"notifications_{name}", about)
    family.add_metric([], buckets, timing.total)
    return family
