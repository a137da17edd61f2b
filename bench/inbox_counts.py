"""Counts and the first page of an inbox: ten notifications, a million, and the worst of readers.

python -m bench.inbox_counts [RECEIPTS] [BROADCASTS]
"""

from __future__ import annotations

import random
import sys
from typing import Any

from .inside import add_users, execute, milliseconds, site
from .machine import keep, print_machine

RUNS = 100


def main(receipts: int, broadcasts: int) -> None:
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from notifications import inbox_of

    add_users(2_000)
    few, many, worst, blocked = User.objects.order_by("pk")[:4]
    load(few, many, receipts, broadcasts)
    for user in (few, many, worst, blocked):
        inbox_of(user)
    execute(
        "UPDATE notifications_reader SET from_seq = %s, seen_seq = %s, read_seq = %s "
        "WHERE person_id = %s AND stream = 'everyone'",
        *[broadcasts - 10] * 3,
        few.pk,
    )
    read_one_by_one(worst, leave=0)
    read_one_by_one(blocked, leave=50)
    execute("VACUUM ANALYZE")
    results: dict[str, Any] = {}
    for name, user in (("ten", few), ("many", many), ("worst", worst), ("blocked", blocked)):
        inbox = inbox_of(user)
        with CaptureQueriesContext(connection) as queries:
            inbox.page()
        found = results[name] = {
            "unread": inbox.counts().unread,
            "counts_ms": milliseconds(inbox.counts, RUNS),
            "page_ms": milliseconds(inbox.page, RUNS),
            "page_statements": len(queries),
        }
        print(name, found)
    for what in ("counts", "page"):  # of the fastest runs
        many_ms, ten_ms = (results[name][f"{what}_ms"][1] for name in ("many", "ten"))
        results[f"{what}_ratio"] = round(many_ms / ten_ms, 2)
    print(results)
    keep("inbox_counts", results)


def load(few, many, receipts: int, broadcasts: int) -> None:  # type: ignore[no-untyped-def]
    """The rows that so many calls of notify() and broadcast() leave, in a few statements."""
    every = (receipts + broadcasts) // broadcasts
    execute(
        "INSERT INTO notifications_notification (id, kind, level, title, body, url, actor_ref, "
        "actor_name, target_ref, target_name, params, data, audience, created) "
        "SELECT g, '', 20, 'News ' || g, 'What happened', '/x/', '', '', '', '', '{}', '{}', "
        "CASE WHEN g %% %s = 0 THEN 'everyone' ELSE '' END, "
        "now() - interval '20 hours' + g * interval '50 ms' FROM generate_series(1, %s) g",
        every,
        every * broadcasts,
    )
    execute(
        "INSERT INTO notifications_posting (notification_id, stream, seq, created) "
        "SELECT id, audience, row_number() OVER (ORDER BY id), created "
        "FROM notifications_notification WHERE audience = 'everyone'"
    )
    for person, limit in ((many, receipts), (few, 10)):
        execute(
            "INSERT INTO notifications_receipt "
            "(person_id, notification_id, named, seq, created, seen) "
            "SELECT %s, id, true, row_number() OVER (ORDER BY id), created, false "
            "FROM notifications_notification WHERE audience = '' ORDER BY id DESC LIMIT %s",
            person.pk,
            limit,
        )
    execute(
        "INSERT INTO notifications_stream (name, head, floor) VALUES ('everyone', %s, 0), "
        "(%s, %s, 0), (%s, %s, 0)",
        *(broadcasts, f"user.{many.pk}", receipts + broadcasts, f"user.{few.pk}", receipts * 2),
    )
    execute("ANALYZE")


def read_one_by_one(user, leave: int) -> None:  # type: ignore[no-untyped-def]
    """Every broadcast is read, in any order, by calls of `mark_read`; the oldest few are not."""
    from notifications import inbox_of
    from notifications.models import Posting

    ids = list(Posting.objects.order_by("seq").values_list("pk", flat=True)[leave:])
    random.Random(1).shuffle(ids)
    inbox = inbox_of(user)
    for start in range(0, len(ids), 100):
        inbox.mark_read(ids[start : start + 100])


if __name__ == "__main__":
    print_machine()
    numbers = [int(word) for word in sys.argv[1:]]
    with site():
        main(*(numbers or [1_000_000, 10_000]))
