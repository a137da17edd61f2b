"""Statements about many rows, which the ORM builds slowly or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections, models, transaction

MANY = 20


def as_one_array(values: Collection[Any], connection: Any) -> bool:
    """Whether to ask for these values with `= ANY`, as one array.

    Of an `IN`, Django converts and psycopg puts in each value by itself: for a thousand that took
    longer than the query. Few of them are left to it, which every planner knows best.
    """
    return len(values) >= MANY and connection.vendor == "postgresql"


def among(model: type[models.Model], name: str, values: Collection[Any], using: str) -> models.Q:
    """The field `name` of a model is one of `values`, for queries of the database `using`."""
    connection = connections[using]
    if not as_one_array(values, connection):
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


@contextmanager
def uncompiled(using: str) -> Iterator[None]:
    """PostgreSQL does not compile what is executed here.

    It does (`jit`, on as it is shipped) where it expects a high cost, which subqueries for
    hundreds of people add up to: a second for a statement that takes some milliseconds.
    """
    with transaction.atomic(using=using, savepoint=False):
        with connections[using].cursor() as cursor:
            cursor.execute("SET LOCAL jit = off")
        yield


def execute_many(
    using: str, model: type[models.Model], change: str, rows: list[tuple[Any, ...]]
) -> None:
    """One UPDATE for many rows, sent in one go (psycopg pipelines it)."""
    connection = connections[using]
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {table} {change}", rows)


@dataclass(frozen=True)
class Insert:
    """Many rows: like `row`, but for `columns`, each with a value for each row."""

    row: models.Model
    columns: Mapping[str, list[Any]]
    unique: Collection[str] = ()
    """The fields of a unique constraint: a row that has the same values in them gets the others."""
    keep: bool = False
    """Whether rows that are there already stay as they are."""

    def from_arrays(self, connection: Any) -> tuple[str, list[Any]]:
        """The statement for PostgreSQL, and its parameters."""
        fields, same, lists = self._prepared(connection)
        types = [f"%s::{field.db_type(connection)}" for field in fields]
        values = "".join(f"{type}, " for type in types[: len(same)])
        arrays = ", ".join(f"{type}[]" for type in types[len(same) :])
        into = self._into(fields, connection)
        select = f"SELECT {values}told.* FROM unnest({arrays}) AS told"
        return f"{into} {select}{self._or_update(fields, connection)}", [*same, *lists]

    def execute(self, cursor: Any, connection: Any) -> None:
        """One row after the other."""
        fields, same, lists = self._prepared(connection)
        marks = ", ".join(["%s"] * len(fields))
        into, instead = self._into(fields, connection), self._or_update(fields, connection)
        sql = f"{into} VALUES ({marks}){instead}"
        values = [(*same, *differing) for differing in zip(*lists, strict=True)]
        if len(values) == 1:
            cursor.execute(sql, values[0])
        else:
            cursor.executemany(sql, values)

    def _prepared(self, connection: Any) -> tuple[list[Any], list[Any], list[list[Any]]]:
        """The fields, those that differ last; the value of each that does not; and the others'."""
        fields = [
            field
            for field in self.row._meta.concrete_fields
            if not field.primary_key or field.name in self.columns
        ]
        same = [field for field in fields if field.name not in self.columns]
        differing = [field for field in fields if field.name in self.columns]
        given = [
            field.get_db_prep_save(getattr(self.row, field.attname), connection) for field in same
        ]
        lists = [_prepared(field, self.columns[field.name], connection) for field in differing]
        return [*same, *differing], given, lists

    def _into(self, fields: list[Any], connection: Any) -> str:
        quote = connection.ops.quote_name
        names = ", ".join(quote(field.column) for field in fields)
        return f"INSERT INTO {quote(self.row._meta.db_table)} ({names})"

    def _or_update(self, fields: list[Any], connection: Any) -> str:
        if self.keep:
            return " ON CONFLICT DO NOTHING"
        if not self.unique:
            return ""
        quote = connection.ops.quote_name
        same = ", ".join(quote(f.column) for f in fields if f.name in self.unique)
        other = [quote(f.column) for f in fields if f.name not in self.unique]
        new = ", ".join(f"{name} = EXCLUDED.{name}" for name in other)
        return f" ON CONFLICT ({same}) DO UPDATE SET {new}"


@dataclass(frozen=True)
class Update:
    """In each row that has these values in the columns `where`, set `name` to the one of `values`
    at the same place."""

    model: type[models.Model]
    name: str
    values: list[Any]
    where: Mapping[str, list[Any]]

    def from_arrays(self, connection: Any) -> tuple[str, list[Any]]:
        quote = connection.ops.quote_name
        table = quote(self.model._meta.db_table)
        fields, lists = self._prepared(connection)
        names = [quote(field.column) for field in fields]
        arrays = ", ".join(f"%s::{field.db_type(connection)}[]" for field in fields)
        told = ", ".join(f"told{number}" for number in range(len(fields)))
        same = (f"{table}.{name} = told{n}" for n, name in enumerate(names[1:], 1))
        return (
            f"UPDATE {table} SET {names[0]} = told0 FROM unnest({arrays}) AS told ({told}) "
            f"WHERE {' AND '.join(same)}",
            lists,
        )

    def execute(self, cursor: Any, connection: Any) -> None:
        quote = connection.ops.quote_name
        fields, lists = self._prepared(connection)
        set_, *same = (f"{quote(field.column)} = %s" for field in fields)
        table = quote(self.model._meta.db_table)
        sql = f"UPDATE {table} SET {set_} WHERE {' AND '.join(same)}"
        cursor.executemany(sql, list(zip(*lists, strict=True)))

    def _prepared(self, connection: Any) -> tuple[list[Any], list[list[Any]]]:
        columns = {self.name: self.values, **self.where}
        fields = [self.model._meta.get_field(name) for name in columns]
        lists = [
            _prepared(field, values, connection)
            for field, values in zip(fields, columns.values(), strict=True)
        ]
        return fields, lists


@dataclass(frozen=True)
class Delete:
    """The rows with these keys."""

    model: type[models.Model]
    keys: list[Any]

    def from_arrays(self, connection: Any) -> tuple[str, list[Any]]:
        quote = connection.ops.quote_name
        field: Any = self.model._meta.pk
        keys = _prepared(field, self.keys, connection)
        table, key = quote(self.model._meta.db_table), quote(field.column)
        return f"DELETE FROM {table} WHERE {key} = ANY(%s)", [keys]

    def execute(self, cursor: Any, connection: Any) -> None:
        self.model._base_manager.using(connection.alias).filter(pk__in=self.keys).delete()


def write(steps: Sequence[Insert | Update | Delete], using: str) -> None:
    """Change several tables, which know nothing of each other: all or none, on PostgreSQL in one
    statement.

    Five times as fast as `bulk_create`, which prepares every value of every row.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        with transaction.atomic(using=using, savepoint=False), connection.cursor() as cursor:
            for step in steps:
                step.execute(cursor, connection)
        return
    *parts, last = [step.from_arrays(connection) for step in steps]
    before = ", ".join(f"part{n} AS ({sql})" for n, (sql, _) in enumerate(parts))
    sql = f"WITH {before} {last[0]}" if parts else last[0]
    with connection.cursor() as cursor:
        cursor.execute(sql, [value for _, values in [*parts, last] for value in values])


def _prepared(field: Any, values: list[Any], connection: Any) -> list[Any]:
    return [field.get_db_prep_save(value, connection) for value in values]
