"""Number on read: committed pending rows become entries, in order and without a gap.

Numbers are given while the stream's row is locked, and the lock is let go when the numbers are
visible. So if number n is visible, every m < n is. Publishers never take this lock, and what
takes it never waits for a publisher's rows, so no cycle is possible; two numberings lock in
sorted order, and who deletes a person takes it before all else (`read.hold`). Always in a short
transaction of its own, never inside a caller's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

from django.db import OperationalError, connections, models, router, transaction
from django.db.models.functions import Now

from ..models import Entry, Notification, Op, Pending, Posting, Receipt, Stream
from .sql import Delete, Insert, Update, among, execute_many, write

logger = logging.getLogger("notifications")

STREAMS = 500
"""Streams locked together at most."""
ROWS = 2_000
"""Pending rows numbered in one transaction at most."""
ROUNDS = 50
"""Transactions of one call at most; what is left then, the sweep finds."""


Fold = Callable[[list[Pending], str], list[Pending]]
FOLDS: dict[str, Fold] = {}
"""What is made of the pending rows of an op before they get numbers: the rows to be numbered in
their stead. Called under the lock of their stream, in its transaction. No act speaks of these."""


def log_database() -> str:
    """The database of the log: the kernel reads and writes there only, never on a replica."""
    return router.db_for_write(Notification)


def database_now() -> Now:
    """The database's clock, which all processes share."""
    return Now()


def is_due() -> models.Q:
    """Pending rows whose time has come, by the database's clock."""
    return models.Q(due=None) | models.Q(due__lte=database_now())


def number(streams: Iterable[str], patience: float | None = None) -> set[str]:
    """Number what is committed in `streams`; the streams that grew.

    Shared streams in which something waits are numbered along with any other: an act in a
    person's own stream may speak of it, and must not get its number first.

    Does nothing inside a transaction: what a caller has not committed must have no number.
    With `patience`, a lock is waited for so many seconds at most, and then left alone.
    """
    using = log_database()
    connection = connections[using]
    if connection.in_atomic_block:
        return set()
    grown: set[str] = set()
    names = sorted(set(streams))
    for start in range(0, len(names), STREAMS):
        theirs = among(Pending, "stream", names[start : start + STREAMS], using)
        waiting = (
            Pending.objects.using(using)
            .filter(is_due(), shared() | theirs)
            .order_by("stream")
            .values_list("stream", flat=True)
            .distinct()
        )
        chunk: list[str] = []
        try:
            for _ in range(ROUNDS):
                chunk = list(waiting.all())  # asked anew each time
                if not chunk:
                    break
                with _patience(connection, patience):
                    numbered, more = _number(chunk, using)
                grown |= numbered
                if not more:
                    break
        except OperationalError:
            if patience is None:
                raise
            logger.info("streams are busy; %s left unnumbered for now", len(chunk))
    return grown


def shared() -> models.Q:
    """Pending rows of shared streams of which an act may speak."""
    return models.Q(person=None) & ~models.Q(op__in=list(FOLDS))


def _number(names: list[str], using: str) -> tuple[set[str], bool]:
    """Number what is there; the streams that grew, and whether something was left.

    What is committed from here on is not left: it rings for itself. Else this would go on for as
    long as callers do.
    """
    with transaction.atomic(using=using):
        streams = _locked(names, using)
        if len(streams) == len(names):
            return _number_locked({stream.name: stream.head for stream in streams}, using)
    # Outside of the transaction: streams that are seen for the first time.
    Stream.objects.using(using).bulk_create(
        (Stream(name=name) for name in names), ignore_conflicts=True
    )
    return set(), True


def _number_locked(heads: dict[str, int], using: str) -> tuple[set[str], bool]:
    # Read after the lock: at READ COMMITTED this sees all that was committed before it.
    found = list(
        Pending.objects.using(using)
        .filter(is_due(), shared() | among(Pending, "stream", heads, using))
        .order_by("id")[:ROWS]
    )
    # What came to a shared stream that is not locked came after we looked: stop before it,
    # since an act that comes behind it may speak of it. The next round locks it too.
    rows = list(takewhile(lambda row: row.stream in heads, found))
    more = len(rows) < len(found) or len(found) == ROWS
    if not rows:
        return set(), more
    numbered = _folded(rows, using)
    seqs = []
    for row in numbered:
        heads[row.stream] += 1
        seqs.append(heads[row.stream])
    grown = sorted({row.stream for row in numbered})
    steps: list[Insert | Update | Delete] = []
    if numbered:
        steps += [
            _entries(numbered, seqs),
            *_place(numbered, seqs, using),
            Update(Stream, "head", [heads[name] for name in grown], {"name": grown}),
        ]
    write([*steps, Delete(Pending, [row.pk for row in rows])], using)
    return set(grown), more


def _entries(rows: list[Pending], seqs: list[int]) -> Insert:
    columns: dict[str, list[Any]] = {
        "stream": [row.stream for row in rows],
        "seq": seqs,
        "op": [row.op for row in rows],
        "notification": [row.notification_id for row in rows],
        "arg": [row.arg for row in rows],
        "created": [max(row.created, row.due or row.created) for row in rows],
    }
    return Insert(Entry(), columns)


def _folded(rows: list[Pending], using: str) -> list[Pending]:
    """The rows to be numbered, in order."""
    kept = [row for row in rows if row.op not in FOLDS]
    for op, fold in FOLDS.items():
        found = [row for row in rows if row.op == op]
        if found:
            kept += fold(found, using)
    return kept


def _place(rows: list[Pending], seqs: list[int], using: str) -> list[Update]:
    """Tell the inbox tables the numbers of what was created. Returns what is left to be written."""
    created = [(row, seq) for row, seq in zip(rows, seqs, strict=True) if row.op == Op.CREATED]
    named = [(row, seq) for row, seq in created if row.person_id is not None]
    shared = {
        row.notification_id: (row.stream, seq)
        for row, seq in created
        if row.person_id is None and row.notification_id is not None
    }
    _repair([row for row in rows if row.op in ACTS], using)
    if shared:
        moments = dict(
            Notification.objects.using(using).filter(pk__in=shared).values_list("pk", "created")
        )
        Posting.objects.using(using).bulk_create(
            Posting(notification_id=id, stream=shared[id][0], seq=shared[id][1], created=moment)
            for id, moment in moments.items()
        )
        # A person may have acted on it before it had a number.
        early = Receipt.objects.using(using).filter(notification_id__in=shared, seq=None)
        ordered = early.order_by("pk")  # as readers lock them
        numbers = [(shared[id][1], pk) for pk, id in ordered.values_list("pk", "notification_id")]
        if numbers:
            execute_many(using, Receipt, "SET seq = %s WHERE id = %s", numbers)
    if not named:
        return []
    where = {
        "notification": [row.notification_id for row, _seq in named],
        "person": [row.person_id for row, _seq in named],
    }
    return [Update(Receipt, "seq", [seq for _row, seq in named], where)]


ACTS = frozenset({Op.SEEN, Op.READ, Op.UNREAD, Op.ARCHIVED, Op.UNARCHIVED})


def _repair(acts: list[Pending], using: str) -> None:
    """Give receipts of shared notifications their number, when the acts that made them get one.

    Who acts on a shared notification just while it is numbered writes a receipt that knows no
    number yet, and that the numbering does not see yet.
    """
    ids = {id for act in acts for id in (act.arg or {}).get("ids", ())}
    if not ids:
        return
    waiting = Receipt.objects.using(using).filter(
        notification_id__in=ids,
        person_id__in={act.person_id for act in acts},
        named=False,
        seq=None,
        notification__posting__isnull=False,
    )
    rows = list(waiting.order_by("pk").values_list("notification__posting__seq", "pk"))
    if rows:
        execute_many(using, Receipt, "SET seq = %s WHERE id = %s", rows)


def _locked(names: list[str], using: str) -> list[Stream]:
    theirs = among(Stream, "name", names, using)
    streams = Stream.objects.using(using).filter(theirs).order_by("name")
    if connections[using].vendor == "sqlite":
        # One writer: a write takes the lock also where transactions begin DEFERRED.
        streams.order_by().update(head=models.F("head"))
        return list(streams)
    return list(streams.select_for_update(no_key=connections[using].vendor == "postgresql"))


@contextmanager
def _patience(connection: Any, seconds: float | None) -> Iterator[None]:
    """Limit how long the block waits for a lock."""
    if seconds is None:
        yield
        return
    milliseconds = int(seconds * 1000)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{milliseconds}ms"])
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', '0', false)")
    elif connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            before = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
            cursor.execute(f"PRAGMA busy_timeout = {milliseconds}")
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"PRAGMA busy_timeout = {int(before)}")
    else:
        yield
