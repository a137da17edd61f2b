"""Everything that is stored about one person, for the person. Raw: as it is in the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import models

from .audiences import streams_of
from .models import (
    AlertEvent,
    Connection,
    Entry,
    Mute,
    Notification,
    Pending,
    Reader,
    Receipt,
    Stream,
    described,
    ref,
)
from .stream.names import user_stream
from .stream.number import log_database

CHUNK = 2_000


def export(user: Any) -> Iterator[tuple[str, Any]]:
    """The parts of the export by name: a dict, or an iterator of dicts for what may be long."""
    using = log_database()
    own = user_stream(user.pk)
    yield (
        "person",
        {
            "id": str(user.pk),
            "name": user.get_username(),
            "reads": [*streams_of(user), own],
        },
    )
    # What was sent to them by name, and what they did with it and with what all were told.
    receipts = Receipt.objects.using(using).filter(person=user.pk).select_related("notification")
    yield "notifications", map(_receipt, _all(receipts.order_by("pk")))
    # How far they have read.
    yield "positions", map(_plain, _all(Reader.objects.using(using).filter(person=user.pk)))
    streams = Stream.objects.using(using).filter(name=own)
    yield "log", map(_plain, _all(streams))
    yield "entries", map(_entry, _all(Entry.objects.using(using).filter(stream=own)))
    yield "waiting", map(_plain, _all(Pending.objects.using(using).filter(stream=own)))
    # Where they are connected now, and since when.
    yield "connections", map(_plain, _all(Connection.objects.using(using).filter(person=user.pk)))
    # What they did about alerts, and what they muted. Their name stays in it when they go.
    acts = AlertEvent.objects.using(using).filter(person=user.pk).select_related("alert")
    yield "alert_events", map(_act, _all(acts.order_by("pk")))
    yield "mutes", map(_plain, _all(Mute.objects.using(using).filter(person=user.pk)))
    # Where others were told about them.
    named = models.Q(actor_ref=ref(user)) | models.Q(target_ref=ref(user))
    told = Notification.objects.using(using).filter(named)
    yield "mentioned_in", map(_mention, _all(told.order_by("pk")))


def _all(rows: models.QuerySet[Any]) -> Iterator[Any]:
    return rows.iterator(chunk_size=CHUNK)


def _plain(row: models.Model) -> dict[str, Any]:
    """A row by its fields, without the person, who is the same in all of them."""
    return {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if field.name not in ("person", "pk")
    }


def _entry(row: Entry) -> dict[str, Any]:
    return {name: value for name, value in _plain(row).items() if name != "stream"}


def _act(row: AlertEvent) -> dict[str, Any]:
    return _plain(row) | {"alert": row.alert.key}


def _receipt(row: Receipt) -> dict[str, Any]:
    one = row.notification
    return {
        "notification": _notification(one),
        "addressed": "by name" if row.named else one.audience,
        "number": row.seq,
        "seen": row.seen,
        "read": row.read,
        "read_at": row.read_at,
        "archived_at": row.archived_at,
    }


def _notification(one: Notification) -> dict[str, Any]:
    return {
        "id": one.pk,
        "kind": one.kind,
        "level": one.level_word,
        "title": one.title,
        "body": one.body,
        "url": one.url,
        "actor": described(one.actor_name, one.actor_ref),
        "target": described(one.target_name, one.target_ref),
        "params": one.params,
        "data": one.data,
        "created": one.created,
        "expires": one.expires,
        "recalled_at": one.recalled_at,
    }


def _mention(one: Notification) -> dict[str, Any]:
    """No more than that they are named: what others were told is theirs."""
    return {
        "id": one.pk,
        "created": one.created,
        "actor": described(one.actor_name, one.actor_ref),
        "target": described(one.target_name, one.target_ref),
    }
