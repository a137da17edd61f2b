"""Publish: write down, in the caller's transaction, what is to be told. INSERT only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..models import Notification, Op, Pending, Receipt
from .bell import ring_on_commit
from .names import user_stream
from .sql import Insert, write

BATCH = 1_000


@dataclass(frozen=True)
class News:
    """One fact for one stream."""

    op: Op
    stream: str
    notification_id: int | None = None
    person_id: Any = None
    arg: Any = None
    due: datetime | None = None

    @classmethod
    def for_person(cls, op: Op, person_id: Any, **rest: Any) -> News:
        """A fact for the own stream of a person."""
        return cls(op, user_stream(person_id), person_id=person_id, **rest)


def publish(news: Iterable[News], using: str) -> list[Pending]:
    """Store the facts as pending rows, and ring when the transaction is committed.

    One INSERT for each thousand. It takes no lock that another caller can wait for.
    What is due later is not rung; the sweep finds it at its time.
    """
    rows = [
        Pending(
            stream=fact.stream,
            op=fact.op,
            notification_id=fact.notification_id,
            person_id=fact.person_id,
            arg=fact.arg,
            due=fact.due,
        )
        for fact in news
    ]
    Pending.objects.using(using).bulk_create(rows, batch_size=BATCH)
    ring_on_commit({row.stream for row in rows if row.due is None}, using)
    return rows


def tell(
    notification: Notification, people: list[Any], using: str, due: datetime | None = None
) -> None:
    """Store that these people, by their keys, have a notification: receipts and pending rows."""
    receipt = Receipt(notification_id=notification.pk, created=notification.created)
    fact = Pending(op=Op.CREATED, notification_id=notification.pk, due=due)
    _publish_to_each(fact, people, using, Insert(receipt, {"person": people}))


def publish_to_each(fact: Pending, people: list[Any], using: str) -> None:
    """Store the same fact for each of these people: `publish` for many."""
    _publish_to_each(fact, people, using)


def _publish_to_each(fact: Pending, people: list[Any], using: str, *more: Insert) -> None:
    streams = [user_stream(person_id) for person_id in people]
    write([*more, Insert(fact, {"stream": streams, "person": people})], using)
    if fact.due is None:
        ring_on_commit(streams, using)
