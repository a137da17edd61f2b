"""Why not the usual ways: what an `id > last` cursor loses, what a counter in the caller costs.

    python -m bench.alternatives [--seconds 5]

Real transactions on a PostgreSQL of its own. Each design gets the same callers.
"""

from __future__ import annotations

import argparse
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
from django.db import connections

from tests.live.postgres import Postgres

from .machine import keep, print_machine

CALLERS = 8
PEOPLE = 20
EVERY = 0.005
"""Seconds between two looks of a reader."""

Caller = Callable[[random.Random], Any]


def together(callers: list[Caller], seconds: float) -> list[list[Any]]:
    """Let each caller call again and again, in a thread of its own; what each call answered."""
    end = time.monotonic() + seconds

    def go_on(number: int) -> None:
        luck = random.Random(number)
        try:
            while time.monotonic() < end:
                answers[number].append(callers[number](luck))
        finally:
            connections.close_all()

    answers: list[list[Any]] = [[] for _ in callers]
    threads = [threading.Thread(target=go_on, args=(n,)) for n in range(len(callers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


# --- What a reader misses ----------------------------------------------------------------


def by_id(url: str, longest: float, seconds: float) -> dict[str, Any]:
    """Rows with an automatic id; the reader asks for those above the last one it saw."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS log")
        connection.execute("CREATE TABLE log (id bigserial PRIMARY KEY)")

    def caller() -> Caller:
        connection = psycopg.connect(url)

        def call(luck: random.Random) -> int:
            with connection.transaction():
                (id,) = connection.execute("INSERT INTO log DEFAULT VALUES RETURNING id").fetchone()
                time.sleep(luck.uniform(0, longest))  # the rest of the request
            return int(id)

        return call

    reader = psycopg.connect(url, autocommit=True)
    seen: list[int] = []

    def look() -> None:
        last = seen[-1] if seen else 0
        rows = reader.execute("SELECT id FROM log WHERE id > %s ORDER BY id", [last]).fetchall()
        seen.extend(id for (id,) in rows)

    return compared(caller, look, seen, longest, seconds)


def by_number(longest: float, seconds: float) -> dict[str, Any]:
    """This package: `notify`, and `read_since` with the cursor of the reading before."""
    from django.contrib.auth import get_user_model
    from django.db import transaction

    from notifications import notify
    from notifications.inbox import inbox_of
    from notifications.stream.number import number
    from notifications.stream.read import read_since

    ana = get_user_model().objects.create(username=f"reader-{longest}")

    def caller() -> Caller:
        def call(luck: random.Random) -> int:
            with transaction.atomic():
                one = notify(ana, "News")
                time.sleep(luck.uniform(0, longest))
            return int(one.pk)

        return call

    subscription = inbox_of(ana).subscription
    cursor = read_since(subscription, None, 1).heads
    seen: list[int] = []

    def look() -> None:
        nonlocal cursor
        number(subscription.streams)
        while runs := (reading := read_since(subscription, cursor, 500)).runs:
            assert reading.why is None
            seqs = dict(cursor.seqs)
            for run in runs:
                seen.extend(fact.notification.pk for fact in run.facts)  # type: ignore[union-attr]
                seqs[subscription.key(run.stream)] = run.seq
            cursor = type(cursor)(cursor.epoch, seqs)

    return compared(caller, look, seen, longest, seconds)


def compared(
    caller: Callable[[], Caller],
    look: Callable[[], None],
    seen: list[int],
    longest: float,
    seconds: float,
) -> dict[str, Any]:
    over = threading.Event()

    def read() -> None:
        while not over.wait(EVERY):
            look()
        connections.close_all()

    reader = threading.Thread(target=read)
    reader.start()
    answers = together([caller() for _ in range(CALLERS)], seconds)
    time.sleep(0.2)
    over.set()
    reader.join()
    look()
    committed = {id for ids in answers for id in ids}
    return {
        "longest_ms": longest * 1000,
        "committed": len(committed),
        "lost": len(committed - set(seen)),
        "twice": len(seen) - len(set(seen)),
    }


# --- What a caller pays ------------------------------------------------------------------


def counters(url: str, seconds: float) -> dict[str, Any]:
    """A counter for each person, counted up in the caller's transaction, twice."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS counter")
        connection.execute("CREATE TABLE counter (person int PRIMARY KEY, n bigint DEFAULT 0)")
        connection.execute(f"INSERT INTO counter SELECT * FROM generate_series(1, {PEOPLE})")

    def caller() -> Caller:
        connection = psycopg.connect(url)

        def call(luck: random.Random) -> float | None:
            began = time.perf_counter()
            try:
                with connection.transaction():
                    for _ in range(2):
                        for person in sorted(luck.sample(range(1, PEOPLE + 1), 3)):
                            connection.execute(
                                "UPDATE counter SET n = n + 1 WHERE person = %s", [person]
                            )
                        time.sleep(0.005)
            except psycopg.errors.DeadlockDetected:
                return None
            return time.perf_counter() - began

        return call

    return paid(together([caller() for _ in range(CALLERS)], seconds), seconds)


def inserts(seconds: float) -> dict[str, Any]:
    """This package: the same callers, telling the same people."""
    from django.contrib.auth import get_user_model
    from django.db import transaction

    from notifications import notify

    users = get_user_model().objects
    people = [users.create(username=f"person-{number}") for number in range(PEOPLE)]

    def call(luck: random.Random) -> float:
        began = time.perf_counter()
        with transaction.atomic():
            for _ in range(2):
                notify(luck.sample(people, 3), "News")
                time.sleep(0.005)
        return time.perf_counter() - began

    return paid(together([call] * CALLERS, seconds), seconds)


def paid(answers: list[list[float | None]], seconds: float) -> dict[str, Any]:
    times = sorted(t for told in answers for t in told if t is not None)
    return {
        "deadlocks": sum(t is None for told in answers for t in told),
        "transactions_per_second": round(len(times) / seconds),
        "median_ms": round(times[len(times) // 2] * 1000, 1),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    postgres = Postgres()
    try:
        os.environ["DATABASE_URL"] = postgres.url(postgres.create_database())
        os.environ["DATABASE_POOL_SIZE"] = str(CALLERS + 4)
        os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        url = os.environ["DATABASE_URL"]
        print_machine()
        results: dict[str, Any] = {"seconds": seconds, "callers": CALLERS, "lost": []}
        for longest in (0.0005, 0.005, 0.02):
            row = {
                "id": by_id(url, longest, seconds),
                "numbered": by_number(longest, seconds),
            }
            print(row)
            results["lost"].append(row)
        results["paid"] = {"counters": counters(url, seconds), "inserts": inserts(seconds)}
        print(results["paid"])
        keep("alternatives", results)
    finally:
        postgres.stop()


if __name__ == "__main__":
    main()
