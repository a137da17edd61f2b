"""How far: how many people an audience has, and what became of what they were told."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections
from django.db.models import Q

from .audiences import Audience, Everyone, audience_of
from .models import Connection, Notification, Posting, Process, Reader, Receipt
from .stream.number import log_database


def size(audience: Audience) -> int:
    """How many people are in an audience now. Raises `UnknownRecipient`."""
    keys = audience.keys()
    return keys.count() if keys.query.is_sliced else keys.distinct().count()


def online(audience: Audience) -> int:
    """About how many of them are connected now: nobody's last five seconds are known."""
    if isinstance(audience, Everyone):
        return Process.objects.using(log_database()).online()[0]
    connected = Connection.objects.using(log_database()).fresh().filter(person__in=audience.keys())
    return connected.values("person").distinct().count()


def online_of(notification: Notification) -> int:
    """About how many of those who have it by name are connected now."""
    using = log_database()
    holders = Receipt.objects.using(using).filter(notification=notification).values("person")
    connected = Connection.objects.using(using).fresh().filter(person__in=holders)
    return connected.values("person").distinct().count()


@dataclass(frozen=True)
class Result:
    """What became of one notification, in people."""

    reached: int
    """In whose inbox it is, or was until they left the audience."""
    seen: int
    read: int


def result(notification: Notification) -> Result:
    """Whom a notification has reached by now, and who has seen and read it.

    One statement for a list of people, three for a shared audience. It looks at everybody who
    has it, so it is for a page that is opened now and then.
    """
    if not notification.audience:
        return Result(*_counted(_NAMED, [notification.pk]))
    using = log_database()
    posting = Posting.objects.using(using).filter(notification=notification.pk).first()
    stream = notification.audience
    # Without a number it is above everybody's watermark, and nobody's beginning.
    seq = posting.seq if posting is not None else 2**62
    _looked, seen, read = _counted(_SHARED, [seq, seq, notification.pk, stream, seq])
    return Result(max(_holders(notification, posting), seen), seen, read)


def _holders(notification: Notification, posting: Posting | None) -> int:
    """The people of a shared audience for whom it began before this notification."""
    audience = audience_of(notification.audience)
    if audience is None:
        return 0
    people = audience.people()
    if posting is not None:
        readers = Reader.objects.using(log_database()).filter(stream=posting.stream)
        later = readers.filter(from_seq__gte=posting.seq)
        people = people.exclude(pk__in=later.values("person_id"))
        if hasattr(people.model, "date_joined"):
            earlier = readers.filter(from_seq__lt=posting.seq)
            people = people.filter(
                Q(date_joined__lte=posting.created) | Q(pk__in=earlier.values("person_id"))
            )
    return people.count()


def _counted(sql: str, parameters: list[int | str]) -> tuple[int, int, int]:
    connection = connections[log_database()]
    names = {
        model.__name__.lower(): connection.ops.quote_name(model._meta.db_table)
        for model in (Reader, Receipt)
    }
    with connection.cursor() as cursor:
        cursor.execute(sql.format(**names, read=connection.ops.quote_name("read")), parameters)
        people, seen, read = cursor.fetchone()
    return people, seen or 0, read or 0


_NAMED = """
SELECT COUNT(*),
    SUM(CASE WHEN c.seen OR c.seq <= r.seen_seq THEN 1 ELSE 0 END),
    SUM(CASE WHEN c.{read} OR (c.{read} IS NULL AND c.seq <= r.read_seq) THEN 1 ELSE 0 END)
FROM {receipt} c
LEFT JOIN {reader} r ON r.person_id = c.person_id AND r.stream LIKE 'user.%%'
WHERE c.notification_id = %s
"""
_SHARED = """
SELECT COUNT(*),
    SUM(CASE WHEN c.seen OR (r.seen_seq >= %s AND (c.{read} IS NULL OR c.{read}))
        THEN 1 ELSE 0 END),
    SUM(CASE WHEN c.{read} OR (c.{read} IS NULL AND r.read_seq >= %s) THEN 1 ELSE 0 END)
FROM {reader} r
LEFT JOIN {receipt} c ON c.notification_id = %s AND c.person_id = r.person_id
WHERE r.stream = %s AND r.from_seq < %s
"""
