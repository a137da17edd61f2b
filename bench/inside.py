"""For benches that call the app themselves: Django in this process, on a PostgreSQL of its own."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from .machine import parts


@contextlib.contextmanager
def site() -> Iterator[None]:
    """Django, set up on a new migrated database; durable, as PostgreSQL ships it."""
    with parts() as at:
        os.environ["DATABASE_URL"] = at.database()
        os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
        os.environ["SECRET_KEY"] = "only-for-a-bench"  # a real site: DEBUG logs each statement
        import django

        django.setup()
        try:
            yield
        finally:
            from django.db import connections

            connections.close_all()


def execute(sql: str, *parameters: Any) -> list[Any]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def add_users(number: int) -> None:
    """So many more people, who joined yesterday."""
    execute(
        "INSERT INTO auth_user (username, password, first_name, last_name, email, is_active, "
        "is_staff, is_superuser, date_joined) SELECT 'user' || nextval('auth_user_id_seq'), '!', "
        "'', '', '', true, false, false, now() - interval '1 day' FROM generate_series(1, %s)",
        number,
    )
    execute("ANALYZE auth_user")


def wal() -> int:
    """Where the write-ahead log stands, in bytes."""
    return int(execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")[0][0])


def milliseconds(
    work: Callable[[], Any], times: int, before: Callable[[], Any] = lambda: None
) -> tuple[float, float]:
    """The median of so many runs, and that of the fastest fifth: what others on the machine take
    from us is in the first one. After two runs that warm up. `before` each, uncounted."""
    taken = []
    for _ in range(times + 2):
        before()
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1000)
    ordered = sorted(taken[2:])
    fastest = ordered[: max(1, times // 5)]
    return round(statistics.median(ordered), 2), round(statistics.median(fastest), 2)
