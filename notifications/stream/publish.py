"""Publish: write down, in the caller's transaction, what is to be told. INSERT only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections, models

from ..models import Notification, Op, Pending, Receipt
from .bell import ring_on_commit
from .names import user_stream

BATCH = 1_000

Rows = tuple[models.Model, Mapping[str, list[Any]]]
"""Many rows of one table: like this row, but for these columns, each with a value for each row."""


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
    _publish_to_each(fact, people, using, (receipt, {"person": people}))


def publish_to_each(fact: Pending, people: list[Any], using: str) -> None:
    """Store the same fact for each of these people: `publish` for many."""
    _publish_to_each(fact, people, using)


def _publish_to_each(fact: Pending, people: list[Any], using: str, *more: Rows) -> None:
    streams = [user_stream(person_id) for person_id in people]
    _insert([*more, (fact, {"stream": streams, "person": people})], using)
    if fact.due is None:
        ring_on_commit(streams, using)


def _insert(tables: list[Rows], using: str) -> None:
    """INSERT many rows into each table: on PostgreSQL with one statement for all of them.

    Five times as fast as `bulk_create`, which prepares every value of every row.
    """
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            inserts = [_from_arrays(*rows, connection) for rows in tables]
            *parts, sql = [sql for sql, _values in inserts]
            if parts:
                before = ", ".join(f"part{n} AS ({part})" for n, part in enumerate(parts))
                sql = f"WITH {before} {sql}"
            cursor.execute(sql, [value for _sql, values in inserts for value in values])
            return
        for row, columns in tables:
            fields, same, lists = _prepared(row, columns, connection)
            marks = ", ".join(["%s"] * len(fields))
            sql = f"{_into(row, fields, connection)} VALUES ({marks})"
            values = [(*same, *differing) for differing in zip(*lists, strict=True)]
            if len(values) == 1:
                cursor.execute(sql, values[0])
            else:
                cursor.executemany(sql, values)


def _from_arrays(
    row: models.Model, columns: Mapping[str, list[Any]], connection: Any
) -> tuple[str, list[Any]]:
    """An INSERT that takes what differs as arrays, and its parameters."""
    fields, same, lists = _prepared(row, columns, connection)
    types = [f"%s::{field.db_type(connection)}" for field in fields]
    values = ", ".join(types[: len(same)])
    arrays = ", ".join(f"{type}[]" for type in types[len(same) :])
    into = _into(row, fields, connection)
    return f"{into} SELECT {values}, told.* FROM unnest({arrays}) AS told", [*same, *lists]


def _prepared(
    row: models.Model, columns: Mapping[str, list[Any]], connection: Any
) -> tuple[list[Any], list[Any], list[list[Any]]]:
    """The fields of rows that are like `row` but for `columns`, these last, with their values."""
    fields = [field for field in row._meta.concrete_fields if not field.primary_key]
    same = [field for field in fields if field.name not in columns]
    differing = [field for field in fields if field.name in columns]
    given = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in same]
    lists = [
        [field.get_db_prep_save(value, connection) for value in columns[field.name]]
        for field in differing
    ]
    return [*same, *differing], given, lists


def _into(row: models.Model, fields: list[Any], connection: Any) -> str:
    quote = connection.ops.quote_name
    names = ", ".join(quote(field.column) for field in fields)
    return f"INSERT INTO {quote(row._meta.db_table)} ({names})"
