"""Prune: the log forgets what is old, and says so by raising the floor of its streams.

Nothing is lost by it. The log only carries changes to open bells; the inbox is the truth, and a
client from before the floor is told to load it anew (`reset`, why `pruned`).

All work is done in small transactions, each of which leaves the log whole: every number from
`floor` + 1 to `head` is an entry. So it may be stopped anywhere, and begun again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import connections, models, transaction

from ..models import Entry, Notification, Pending, Receipt, Stream
from .number import is_due, log_database, number

STREAMS = 500
"""Streams looked at together."""
ROWS = 5_000
"""Entries, or receipts, deleted in one transaction at most."""
NOTIFICATIONS = 200
"""Notifications deleted together."""


@dataclass(frozen=True)
class Limits:
    """What is kept: entries written since `since`, at most `entries` of each stream."""

    since: datetime
    entries: int


@dataclass(frozen=True)
class Cut:
    """A stream and the floor it shall have."""

    stream: str
    floor: int
    to: int


def number_the_absent(before: datetime) -> Iterator[int]:
    """Number what waits since `before`; how many rows, for each chunk of streams.

    Rows wait that long where nobody ever reads: so people long absent leave entries, which can be
    pruned, and receipts that have a number.
    """
    last = ""
    while streams := list(
        waiting(before)
        .filter(stream__gt=last)
        .order_by("stream")
        .values_list("stream", flat=True)
        .distinct()[:STREAMS]
    ):
        last = streams[-1]
        rows = waiting(before).filter(stream__in=streams).count()
        number(streams)
        yield rows


def waiting(before: datetime) -> models.QuerySet[Pending]:
    """Rows that could have been numbered since `before`."""
    rows = Pending.objects.using(log_database()).filter(is_due(), created__lt=before)
    return rows.filter(models.Q(due=None) | models.Q(due__lt=before))


def cuts(limits: Limits) -> Iterator[list[Cut]]:
    """Which floors are to be raised, for each chunk of streams."""
    using = log_database()
    streams = Stream.objects.using(using).exclude(name=Stream.EPOCH)
    last = ""
    while chunk := list(
        streams.filter(name__gt=last)
        .order_by("name")
        .values_list("name", "head", "floor")[:STREAMS]
    ):
        last = chunk[-1][0]
        full = {name: (head, floor) for name, head, floor in chunk if floor < head}
        young = (
            Entry.objects.using(using)
            .filter(stream__in=list(full), created__gte=limits.since)
            .values("stream")
            .annotate(first=models.Min("seq"))
        )
        first_young = dict(young.values_list("stream", "first"))
        yield [
            Cut(name, floor, to)
            for name, (head, floor) in full.items()
            if (to := max(first_young.get(name, head + 1) - 1, head - limits.entries)) > floor
        ]


def prune(cut: Cut) -> int:
    """Raise a floor and delete the entries below it; how many that were.

    One stream in a transaction: who holds one lock only is in nobody's way.
    """
    using = log_database()
    gone = 0
    for to in [*range(cut.floor + ROWS, cut.to, ROWS), cut.to]:
        with transaction.atomic(using=using):
            stream = Stream.objects.using(using).filter(name=cut.stream, floor__lt=to)
            if stream.filter(head__gte=to).update(floor=to):  # else it was pruned, or deleted
                gone += _delete_entries(cut.stream, to, using)
    return gone


def _delete_entries(stream: str, to: int, using: str) -> int:
    # Not by QuerySet.delete(): over a composite key that lists every row.
    connection = connections[using]
    table = connection.ops.quote_name(Entry._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE stream = %s AND seq <= %s", [stream, to])
        return int(cursor.rowcount)


def ended(before: datetime) -> models.QuerySet[Notification]:
    """Notifications that expired, or were withdrawn, before this time."""
    return Notification.objects.using(log_database()).filter(
        models.Q(expires__lt=before) | models.Q(recalled_at__lt=before)
    )


def delete_ended(before: datetime) -> Iterator[int]:
    """Delete them for good; how many, for each chunk. Their entries read as nothing then."""
    receipts = Receipt.objects.using(log_database())
    while ids := list(ended(before).order_by("pk").values_list("pk", flat=True)[:NOTIFICATIONS]):
        while some := list(
            receipts.filter(notification_id__in=ids).values_list("pk", flat=True)[:ROWS]
        ):
            receipts.filter(pk__in=some).delete()
        ended(before).filter(pk__in=ids).delete()
        yield len(ids)
