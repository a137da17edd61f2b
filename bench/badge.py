"""From `notify()` to the number on the badge of an open page, in a real Chromium.

    .venv/bin/python -m bench.badge [--pushes 300]

On PostgreSQL with Redis, pushed by another process, and on SQLite without Redis, pushed by the
process that serves; one at a time, on loopback. Printed: median, p95 and worst, in milliseconds. It
begins before the notification is written, and ends when the frame with the number is painted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.live import badge, deeds
from tests.live.browser import Chromium
from tests.live.server import Databases, Site

from .machine import keep, parts, print_machine

AT_ONCE = 50
"""Before all is marked as seen: the badge counts to 99."""


def measure(site: Site, pushes: int, by_request: bool) -> dict[str, float]:
    site.call(deeds.move_in)
    site.call(deeds.goods)
    chromium = Chromium()
    try:
        window = chromium.window(site.server, "ana")
        badge.watch(window.context)
        page = window.tab("/orders/")
        expect(page.locator("notification-bell")).to_have_attribute("state", "live", timeout=30_000)
        ana = site.server.visitor("ana")

        def push() -> None:
            if by_request:
                ana.post("/orders/place/", {"product": "1"})
            else:
                site.call(deeds.send, to="ana", title="Export ready")

        badge.delays(page, push, 10)  # what is loaded first is loaded
        found: list[float] = []
        while len(found) < pushes:
            found += badge.delays(page, push, AT_ONCE)
        return {
            "pushes": len(found),
            "median_ms": round(statistics.median(found), 1),
            "p95_ms": round(badge.p95(found), 1),
            "worst_ms": round(max(found), 1),
        }
    finally:
        chromium.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pushes", type=int, default=300)
    given = parser.parse_args()
    print_machine()
    results: dict[str, Any] = {}
    with parts() as at, tempfile.TemporaryDirectory() as folder:
        site = at.site(["uvicorn"], DEBUG="on")  # so that it serves the files, too
        results["postgresql"] = measure(site, given.pushes, by_request=False)
        print("PostgreSQL, Redis, uvicorn:", results["postgresql"])
        database = Databases(Path(folder)).sqlite()
        site = Site("bench", Path(folder), ["runserver"], database_url=database)
        try:
            results["sqlite"] = measure(site, given.pushes, by_request=True)
        finally:
            site.stop()
        print("SQLite, no Redis, runserver:", results["sqlite"])
    print(keep("badge", results))


if __name__ == "__main__":
    main()
