"""A storm of logged errors inside the web server, with the alert handler on and off.

    .venv/bin/python -m bench.alert_storm [--errors 10000] [--seconds 10] [--rounds 3]

One uvicorn with PostgreSQL and Redis, two operators connected by WebSocket, one of whom reloads
the page of the queue all the time. Printed: the CPU time of the server over the storm and the
time that the page took, with the handler on, with it off, and with no storm at all.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from typing import Any

from tests.live import deeds

from .machine import cpu_seconds, keep, parts, print_machine

PAGE = "/admin/notifications/alert/"
SETTLE = 3.0
"""Seconds after the storm that still count: what was held back is told."""


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


def measure(site: Any, errors: int, seconds: float, places: int) -> dict[str, Any]:
    """One storm: CPU, the page's latency, what the operators got."""
    server = site.server
    with server.client("dana") as dana, server.client("bo") as bo:
        dana.hello()
        bo.hello()
        page = server.visitor("dana")
        assert page.get(PAGE).status == 200
        took: list[float] = []
        over = threading.Event()

        def reload() -> None:
            while not over.is_set():
                start = time.perf_counter()
                assert page.get(PAGE).status == 200
                took.append(time.perf_counter() - start)
                over.wait(0.5)

        reader = threading.Thread(target=reload)
        before = cpu_seconds(server.process.pid)
        if errors:
            server.visitor().get(f"/storm/?errors={errors}&seconds={seconds}&places={places}")
        reader.start()
        dana.listen(seconds + SETTLE)
        cpu = cpu_seconds(server.process.pid) - before
        over.set()
        reader.join()
        heard = server.visitor().get("/storm/heard/").json()
        bo.listen(0.2)
        told = [one for one in dana.alerts.values() if one["source"] == "storm"]
        assert {id: one["count"] for id, one in bo.alerts.items()} == {
            id: one["count"] for id, one in dana.alerts.items()
        }
        return {
            "cpu_s": round(cpu, 2),
            "page_ms": round(statistics.median(took) * 1000, 1),
            "page_worst_ms": round(max(took) * 1000, 1),
            "alerts": len(told),
            "counted": sum(one["count"] for one in told),
            "entries": sum(stream == "alerts" for stream, _seq, _op in dana.applied),
            "dropped": heard.get("dropped", 0),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--errors", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print_machine()
    print(f"{given.errors:,} errors in {given.seconds:.0f} s, {given.rounds} rounds")
    kinds = [
        ("no storm", True, 0, 1),
        ("off, one place", False, given.errors, 1),
        ("on, one place", True, given.errors, 1),
        ("off, 100 places", False, given.errors, 100),
        ("on, 100 places", True, given.errors, 100),
    ]
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name, *_rest in kinds}
    with parts() as at:
        for _round in range(given.rounds):
            for name, handler, errors, places in kinds:
                site = at.site(["uvicorn"], settings=settings(handler))
                try:
                    site.ids = site.call(deeds.move_in)
                    site.call(deeds.make_operator, username="bo")
                    found = measure(site, errors, given.seconds, places)
                finally:
                    site.stop()
                rounds[name].append(found)
                print(f"{name:16}", found, flush=True)
    medians = {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in rounds.items()
    }
    for places in ("one place", "100 places"):
        added = medians[f"on, {places}"]["cpu_s"] - medians[f"off, {places}"]["cpu_s"]
        share = added / (given.seconds + SETTLE)
        print(f"{places}: the handler adds {added:.2f} s CPU, {share:.1%} of a core")
    print(keep("alert_storm", {"medians": medians, "rounds": rounds}))


if __name__ == "__main__":
    main()
