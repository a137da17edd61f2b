"""Statements about many rows, which the ORM builds slowly or not at all."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import connections, models

MANY = 20


def among(model: type[models.Model], name: str, values: Collection[Any], using: str) -> models.Q:
    """The field `name` of a model is one of `values`, for queries of the database `using`.

    On PostgreSQL many of them are one array. Of an `IN`, Django converts and psycopg puts in each
    value by itself: for a thousand that took longer than the query.
    """
    connection = connections[using]
    if len(values) < MANY or connection.vendor != "postgresql":
        return models.Q(**{f"{name}__in": values})
    field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
    return models.Q(
        models.Func(
            models.F(name),
            models.Value([field.get_db_prep_value(value, connection) for value in values]),
            template="%(expressions)s)",
            arg_joiner=" = ANY(",
            output_field=models.BooleanField(),
        )
    )


def execute_many(
    using: str, model: type[models.Model], change: str, rows: list[tuple[Any, ...]]
) -> None:
    """One UPDATE for many rows, sent in one go (psycopg pipelines it)."""
    connection = connections[using]
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {table} {change}", rows)
