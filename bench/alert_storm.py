"""A storm of logged errors inside the web server, with the alert handler on and off.

    .venv/bin/python -m bench.alert_storm [--errors 10000] [--seconds 10] [--rounds 3]
        [--more] [--only slow]

One uvicorn with PostgreSQL and Redis, two operators connected by WebSocket, somebody who loads
the page of the queue every two seconds, and the page itself open in headless Chromium, on the
processor as it is, and made four times slower (Emulation.setCPUThrottlingRate).

Printed and kept: the CPU time of the server over the storm; how long the page took to be made;
in the browser the long tasks (over 50 ms in one piece, from a PerformanceObserver), the share of
the time in which its main thread was busy, and how long a click on Acknowledge waited for its
answer in the middle of the storm. With the handler on, with it off, and with no storm at all.
`--more` adds its rounds to those that are kept, which is done after every storm.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from typing import Any

from tests.live import deeds
from tests.live.browser import Chromium

from .machine import RESULTS, cpu_seconds, keep, parts, print_machine

PAGE = "/admin/notifications/alert/"
SETTLE = 3.0
"""Seconds after the storm that still count: what was held back is told."""
RELOAD = 2.0
"""Seconds between two loads of the page by somebody without a script."""
SLOWER = 4
CLICKS = 3
WATCH = """
window.long = [];
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) long.push([startTime, duration]);
}).observe({ type: "longtask", buffered: true });
"""
CLICK = """
(button) => new Promise((done) => {
  const start = performance.now();
  new MutationObserver(() => done(performance.now() - start)).observe(
    document.querySelector(".nb-said"), { subtree: true, childList: true, attributes: true });
  button.click();
})
"""


class Screen:
    """The page of the queue on an operator's screen."""

    def __init__(self, chromium: Chromium, server: Any, slower: int) -> None:
        window = chromium.window(server, "dana")
        window.context.add_init_script(WATCH)
        self.page = window.tab(PAGE)
        self.page.locator(".nb-live-state[data-value=live]").wait_for()
        self.page.locator("[data-act=acknowledge]:visible").nth(CLICKS - 1).wait_for()
        self.page.wait_for_timeout(1_000)
        self._session = window.context.new_cdp_session(self.page)
        self._session.send("Performance.enable")
        self._session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
        self._start, self._busy = self._now(), self._task_seconds()

    def _now(self) -> float:
        return float(self.page.evaluate("performance.now()"))

    def _task_seconds(self) -> float:
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")

    def click(self) -> float:
        """Acknowledge one of the alerts that were there before; ms until the page says so."""
        button = self.page.locator("tr:has-text('Before') [data-act=acknowledge]:visible")
        return float(button.first.evaluate(CLICK))

    def figures(self) -> dict[str, Any]:
        busy, took = self._task_seconds() - self._busy, self._now() - self._start
        long = [ms for at, ms in self.page.evaluate("long") if at >= self._start]
        counts = self.page.locator("tr:has-text('storm') .nb-count").all_text_contents()
        self.page.reload(timeout=60_000)
        self.page.locator(".nb-live-state[data-value=live]").wait_for(timeout=60_000)
        self.page.wait_for_timeout(1_000)
        load = [ms for _at, ms in self.page.evaluate("long")]
        return {
            "long_tasks": len(long),
            "long_worst_ms": round(max(long, default=0)),
            "long_sum_ms": round(sum(long)),
            "busy_share": round(busy / (took / 1000), 3),
            "shown": sum(int(one.replace(",", "")) for one in counts),
            "load_long_tasks": len(load),
            "load_worst_ms": round(max(load, default=0)),
        }


def settings(handler: bool) -> dict[str, Any]:
    storm = {"handlers": ["alerts"] if handler else ["nothing"], "propagate": False}
    return {
        "ROOT_URLCONF": "bench.storm_urls",
        # Files without a manifest: none are collected for a bench.
        "STORAGES": {
            "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
        },
        "LOGGING": {
            "handlers": {
                "nothing": {"class": "logging.NullHandler"},
                "alerts": {"class": "notifications.logging.AlertHandler"},
            },
            "root": {"handlers": ["nothing"]},
            "loggers": {"storm": storm},
        },
    }


def counts(operator: Any) -> dict[int, int]:
    """What this operator knows of the storm."""
    alerts = operator.alerts.items()
    return {id: one["count"] for id, one in alerts if one["source"] == "storm"}


def measure(
    site: Any, chromium: Chromium, errors: int, seconds: float, places: int, slower: int
) -> dict[str, Any]:
    """One storm: CPU, the page's latency, what the operators got, what their browser did."""
    server = site.server
    for number in range(CLICKS):
        site.call(deeds.raise_alert, key=f"before-{number}", title=f"Before {number}")
    with server.client("dana") as dana, server.client("bo") as bo:
        dana.hello()
        bo.hello()
        page = server.visitor("dana")
        assert page.get(PAGE).status == 200
        screen = Screen(chromium, server, slower)
        took: list[float] = []
        over = threading.Event()

        def reload() -> None:
            while not over.is_set():
                start = time.perf_counter()
                assert page.get(PAGE).status == 200
                took.append(time.perf_counter() - start)
                over.wait(RELOAD)

        reader = threading.Thread(target=reload)
        listener = threading.Thread(target=dana.listen, args=[seconds + SETTLE])
        before = cpu_seconds(server.process.pid)
        if errors:
            server.visitor().get(f"/storm/?errors={errors}&seconds={seconds}&places={places}")
        reader.start()
        listener.start()
        clicks = []
        for _click in range(CLICKS):
            screen.page.wait_for_timeout(seconds * 1000 / (CLICKS + 1))
            clicks.append(screen.click())
        while listener.is_alive():
            screen.page.wait_for_timeout(50)
        cpu = cpu_seconds(server.process.pid) - before
        over.set()
        reader.join()
        heard = server.visitor().get("/storm/heard/").json()
        bo.listen_until(lambda: counts(bo) == counts(dana), "both know the same", 20)
        told = counts(dana)
        return {
            "load": round(os.getloadavg()[0], 1),
            "cpu_s": round(cpu, 2),
            "page_ms": round(statistics.median(took) * 1000, 1),
            "page_worst_ms": round(max(took) * 1000, 1),
            "alerts": len(told),
            "counted": sum(told.values()),
            # Each click is one, too.
            "entries": sum(stream == "alerts" for stream, _seq, _op in dana.applied) - CLICKS,
            "dropped": heard.get("dropped", 0),
            "click_ms": round(statistics.median(clicks)),
            "click_worst_ms": round(max(clicks)),
            **screen.figures(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--errors", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--more", action="store_true")
    parser.add_argument("--only", default="", help="kinds whose names contain this")
    given = parser.parse_args()
    print_machine()
    print(f"{given.errors:,} errors in {given.seconds:.0f} s, {given.rounds} rounds")
    kinds = [
        ("no storm", True, 0, 1, 1),
        ("no storm, slow", True, 0, 1, SLOWER),
        ("off, one place", False, given.errors, 1, 1),
        ("on, one place", True, given.errors, 1, 1),
        ("on, one place, slow", True, given.errors, 1, SLOWER),
        ("off, 100 places", False, given.errors, 100, 1),
        ("on, 100 places", True, given.errors, 100, 1),
        ("on, 100 places, slow", True, given.errors, 100, SLOWER),
    ]
    kinds = [kind for kind in kinds if given.only in kind[0]]
    rounds: dict[str, list[dict[str, Any]]] = {}
    if given.more:
        kept = json.loads((RESULTS / "alert_storm.json").read_text())
        rounds = kept["results"]["rounds"]
    chromium = Chromium()
    try:
        with parts() as at:
            for _round in range(given.rounds):
                for name, handler, errors, places, slower in kinds:
                    site = at.site(["uvicorn"], settings=settings(handler))
                    try:
                        site.ids = site.call(deeds.move_in)
                        site.call(deeds.make_operator, username="bo")
                        found = measure(site, chromium, errors, given.seconds, places, slower)
                        assert chromium.close_windows() == []
                    finally:
                        site.stop()
                    rounds.setdefault(name, []).append(found)
                    print(f"{name:20}", found, flush=True)
                    medians = {
                        name: {key: statistics.median(one[key] for one in done) for key in done[0]}
                        for name, done in rounds.items()
                    }
                    path = keep("alert_storm", {"medians": medians, "rounds": rounds})
    finally:
        chromium.stop()
    for places in ("one place", "100 places"):
        if {f"on, {places}", f"off, {places}"} <= medians.keys():
            added = medians[f"on, {places}"]["cpu_s"] - medians[f"off, {places}"]["cpu_s"]
            share = added / (given.seconds + SETTLE)
            print(f"{places}: the handler adds {added:.2f} s CPU, {share:.1%} of a core")
    print(path)


if __name__ == "__main__":
    main()
