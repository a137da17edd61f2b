"""One inbox with a million notifications: what each of its pages costs, and by which index.

    .venv/bin/python -m bench.inbox_pages [--rows 1000000] [--rounds 15]

On PostgreSQL and on SQLite, with everything read but a few, the worst case for a page of what is
unread, and with a million that are other people's. Printed: the median and the worst time of the
database and Python together for one page, and any query for which PostgreSQL reads a whole table.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.live import deeds
from tests.live.server import Databases, Site

from .machine import keep, parts, print_machine

SETTLED = """
INSERT INTO notifications_notification ({columns})
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)
SELECT {values} FROM n, notifications_notification m WHERE m.id = %s
"""
RECEIPTS = """
INSERT INTO notifications_receipt (person_id, notification_id, named, seq, created, seen)
SELECT {person}, id, {true}, id - %s, created, {true}
FROM notifications_notification WHERE id > %s
"""


def fill(username: str, rows: int) -> int:
    """Give somebody a million, a minute apart; all read but three, two archived."""
    from django.db import connection
    from django.db.models import F
    from django.utils import timezone

    from notifications import inbox_of
    from notifications.models import Notification, Reader, Receipt, Stream

    person = deeds.person(username)
    first = deeds.send(to=username, title="Order 1 is on its way", body="It left us today.")
    inbox_of(person).number()
    ago = {
        "postgresql": f"now() - ({rows} - i) * interval '1 minute'",
        "sqlite": f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '-' || ({rows} - i) || ' minutes')",
    }[connection.vendor]
    fields = [field.column for field in Notification._meta.concrete_fields if not field.primary_key]
    values = {"created": ago, "title": "'Order ' || i || ' is on its way'"}
    with connection.cursor() as cursor:
        cursor.execute(
            SETTLED.format(
                columns=", ".join(fields),
                values=", ".join(values.get(name, f"m.{name}") for name in fields),
            ),
            [rows, first],
        )
        true = {"postgresql": "true", "sqlite": "1"}[connection.vendor]
        # And as many again for a thousand others, so that no planner takes ana for everybody.
        for whose in (str(person.pk), "1000000 + id %% 1000"):
            cursor.execute(RECEIPTS.format(true=true, person=whose), [first - 1, first])
    stream = f"user.{person.pk}"
    Stream.objects.filter(name=stream).update(head=rows + 1)
    Reader.objects.filter(person_id=person.pk, stream=stream).update(
        seen_seq=rows + 1, read_seq=rows + 1
    )
    mine = Receipt.objects.filter(person_id=person.pk)
    old = list(mine.order_by("created").values_list("pk", flat=True)[10:15])
    mine.filter(pk__in=old[:3]).update(read=False)
    mine.filter(pk__in=old[3:]).update(archived_at=timezone.now())
    assert mine.filter(seq__gt=F("seq") + 1).count() == 0
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return mine.count()


def measure(username: str, rounds: int) -> dict[str, Any]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from notifications import inbox_of
    from notifications.listing import Position, Search
    from notifications.models import Receipt

    person = deeds.person(username)
    mine = Receipt.objects.filter(person_id=person.pk).order_by("created")
    middle = mine.values_list("created", "notification_id")[mine.count() // 2]
    half = Position(*middle).token
    pages: dict[str, dict[str, Any]] = {
        "newest": {},
        "in the middle": {"before": half},
        "back from the middle": {"after": half},
        "unread": {"view": "unread"},
        "archived": {"view": "archived"},
        "search, found": {"search": Search(text="way")},
        "search, nothing": {"search": Search(text="nowhere")},
    }
    found = {}
    for name, asked in pages.items():
        took = []
        for _ in range(rounds):
            start = time.perf_counter()
            page = inbox_of(person).page(**asked)
            took.append((time.perf_counter() - start) * 1000)
        with CaptureQueriesContext(connection) as queries:
            inbox_of(person).page(**asked)
        found[name] = {
            "ms": round(statistics.median(took), 1),
            "worst_ms": round(max(took), 1),
            "items": len(page.items),
            "queries": len(queries),
            "whole_tables": whole_tables([one["sql"] for one in queries]),
        }
    return found


def whole_tables(queries: list[str]) -> list[str]:
    """The queries for which PostgreSQL reads all of one of the two large tables."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return []
    bad = []
    with connection.cursor() as cursor:
        for sql in queries:
            if not sql.startswith("SELECT"):
                continue
            cursor.execute("EXPLAIN " + sql)
            plan = "\n".join(line for (line,) in cursor.fetchall())
            if "Seq Scan on notifications_receipt" in plan or (
                "Seq Scan on notifications_notification" in plan
            ):
                bad.append(f"{sql}\n{plan}")
    return bad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    print_machine()
    from bench import inbox_pages as own  # by its name, so that the worker finds it

    results: dict[str, Any] = {}
    with parts(durable=False) as at, tempfile.TemporaryDirectory() as folder:
        sites = {
            "postgresql": lambda: at.site([]),
            "sqlite": lambda: Site(
                "bench", Path(folder), [], database_url=Databases(Path(folder)).sqlite()
            ),
        }
        for name, start in sites.items():
            site = start()
            try:
                site.call(deeds.move_in)
                rows = site.call(own.fill, username="ana", rows=given.rows)
                print(f"\n{name}, {rows:,} notifications")
                results[name] = found = site.call(own.measure, username="ana", rounds=given.rounds)
            finally:
                site.stop()
            for page, one in found.items():
                print(
                    f"  {page:22} {one['ms']:8.1f} ms, worst {one['worst_ms']:8.1f} ms, "
                    f"{one['items']} items, {one['queries']} queries"
                )
                for bad in one["whole_tables"]:
                    print(bad)
    print(keep("inbox_pages", results))


if __name__ == "__main__":
    main()
