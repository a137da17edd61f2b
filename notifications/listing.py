"""Which notifications stand on a page of an inbox, newest first, and how they stand there.

One statement, whatever the inbox: a part for what the person was sent by name, one for each
shared stream, and one for what has no number yet. Each part walks a range of one index and stops
at the page's length. It is written out, since building it through the ORM took longer than
running it (`python -m bench.inbox_counts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connections
from django.utils import timezone

from .errors import BadRequest
from .models import Level, Notification, Pending, Posting, Receipt
from .stream.number import log_database
from .stream.read import Subscription

ALL, UNREAD, ARCHIVED = VIEWS = ("all", "unread", "archived")

SEARCHED = 5_000
"""Notifications of one stream that a page of a search looks through; the next page goes on."""
FEW = 500
PARTS = 100
"""Parts of one statement at most; SQLite takes 500."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Search:
    """What to look for; empty is everything. Days are the reader's, both included.

    Titles and bodies are searched as they are stored: in the site's language.
    """

    text: str = ""
    kind: str = ""
    level: str = ""
    """This level and those above it."""
    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        words = [level.word for level in Level]
        if self.level and self.level not in words:
            raise BadRequest(f"unknown level {self.level[:40]!r}: expected one of {words}.")
        if "\x00" in self.text + self.kind:
            raise BadRequest("a search cannot contain NUL characters.")

    @property
    def narrows(self) -> bool:
        """Whether it asks for something that no index finds."""
        return bool(self.text or self.kind or self.level)

    def __bool__(self) -> bool:
        return self.narrows or bool(self.since or self.until)

    def conditions(self, connection: Any, parameters: dict[str, Any]) -> str:
        """As SQL on a notification `n`; adds what it needs to the parameters."""
        found = ""
        if self.kind:
            found += " AND n.kind = %(kind)s"
            parameters["kind"] = self.kind
        if self.level:
            found += " AND n.level >= %(level)s"
            parameters["level"] = int(Level[self.level.upper()])
        # As the ORM's `icontains`, on each database.
        column = connection.ops.lookup_cast("icontains")
        for number, word in enumerate(self.text.split()):
            contains = connection.operators["icontains"] % f"%(word{number})s"
            either = " OR ".join(f"{column % name} {contains}" for name in ("n.title", "n.body"))
            found += f" AND ({either})"
            parameters[f"word{number}"] = f"%{connection.ops.prep_for_like_query(word)}%"
        if self.since:
            found += " AND n.created >= %(since)s"
            parameters["since"] = _midnight(self.since)
        if self.until:
            found += " AND n.created < %(until)s"
            parameters["until"] = _midnight(self.until + timedelta(days=1))
        return found


EVERYTHING = Search()


def _midnight(day: date) -> datetime:
    moment = datetime.combine(day, time.min)
    return timezone.make_aware(moment) if timezone.is_aware(timezone.now()) else moment


@dataclass(frozen=True, order=True)
class Position:
    """A place in an inbox: no two notifications have the same."""

    created: datetime
    id: int

    @property
    def token(self) -> str:
        """For an address: microseconds since 1970, and the id."""
        created = self.created
        created = created if created.tzinfo else created.replace(tzinfo=UTC)
        return f"{(created - _EPOCH) // timedelta(microseconds=1)}-{self.id}"

    @classmethod
    def parse(cls, token: str) -> Position:
        """What `token` was of; raises `BadRequest` for any other text."""
        try:
            moment, _dash, id = token.partition("-")
            created = _EPOCH + timedelta(microseconds=int(moment))
            number = int(id)
            if not 0 < number < 2**63:
                raise ValueError
        except (ValueError, OverflowError):
            raise BadRequest(f"bad page {token[:40]!r}: expected the token of a page.") from None
        return cls(_as_stored(created), number)


def _as_stored(moment: datetime) -> datetime:
    """As the site keeps its times: with a zone, or without."""
    return moment if timezone.is_aware(timezone.now()) else moment.replace(tzinfo=None)


@dataclass
class Span:
    """What lies beyond a position, towards the older or the newer, up to an end and with it."""

    position: Position | None
    newer: bool
    end: Position | None = None

    def order(self, created: str, id: str) -> str:
        return f"ORDER BY {created}, {id}" if self.newer else f"ORDER BY {created} DESC, {id} DESC"

    def conditions(self, created: str, id: str) -> str:
        """As SQL on two columns, written so that an index on `created` serves it.

        Without a position it is a range of the index all the same: a planner who sees none may
        read the whole table.
        """
        beyond, within = (">", "<") if self.newer else ("<", ">")
        found = f" AND {created} < %(last)s"
        if self.position is not None:
            found = (
                f" AND {created} {beyond}= %(from)s"
                f" AND ({created} {beyond} %(from)s OR {id} {beyond} %(from_id)s)"
            )
        if self.end is not None:
            found += (
                f" AND {created} {within}= %(to)s"
                f" AND ({created} {within} %(to)s OR {id} {within}= %(to_id)s)"
            )
        return found

    @property
    def parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = {"last": _as_stored(_END)}
        if self.position is not None:
            found |= {"from": self.position.created, "from_id": self.position.id}
        if self.end is not None:
            found |= {"to": self.end.created, "to_id": self.end.id}
        return found


@dataclass(frozen=True)
class Row:
    """A notification, and where it stands for the person. `seq` is None while pending."""

    notification: Notification
    stream: str
    seq: int | None
    read: bool | None
    archived: bool

    @property
    def position(self) -> Position:
        return Position(self.notification.created, self.notification.pk)

    def unread(self, read_seq: int) -> bool:
        return is_unread(self.read, self.seq, read_seq)


def is_unread(read: bool | None, seq: int | None, read_seq: int) -> bool:
    """What the person said of this one decides; else their watermark. What is pending is unread."""
    if read is not None:
        return not read
    return seq is None or seq > read_seq


_LIVE = "n.recalled_at IS NULL AND (n.expires IS NULL OR n.expires > %(now)s)"
_MINE = "c.notification_id = n.id AND c.person_id = %(person)s"
_OWN = """
    SELECT c.notification_id AS id, c.created, %(own)s AS stream, c.seq, c.{read}
    FROM {receipt} c JOIN {notification} n ON n.id = c.notification_id
    WHERE c.person_id = %(person)s AND {named} AND c.archived_at IS {archived}
        AND (c.seq IS NOT NULL OR c.created <= %(now)s)
        AND {live}{searched}{span}{part}
    {order} LIMIT %(limit)s
"""
_SHARED = """
    SELECT p.notification_id AS id, p.created, p.stream, p.seq, c.{read}
    FROM {posting} p JOIN {notification} n ON n.id = p.notification_id
        LEFT JOIN {receipt} c ON {mine}
    WHERE p.stream = %({name})s AND p.seq > %({name}_begin)s AND c.archived_at IS {archived}
        AND {live}{searched}{span}{part}
    {order} LIMIT %(limit)s
"""
# What was told to a shared audience and has no number yet: newest, and unread.
_WAITING = """
    SELECT n.id, n.created, w.stream, CAST(NULL AS BIGINT) AS seq, c.{read}
    FROM {pending} w JOIN {notification} n ON n.id = w.notification_id
        LEFT JOIN {receipt} c ON {mine}
    WHERE w.person_id IS NULL AND w.op = 'created' AND w.stream IN ({names})
        AND (w.due IS NULL OR w.due <= %(now)s) AND c.archived_at IS NULL
        AND {live}{searched}{span}{part}
    {order} LIMIT %(limit)s
"""
_PAGE = """
SELECT {columns}, page.created, page.stream, page.seq, page.{read}
FROM ({parts} {order} LIMIT %(limit)s) AS page JOIN {notification} n ON n.id = page.id
"""
# The ways to be unread, of what a person was sent by name: each in a part, as no index serves
# an "or". In the order of their index: for few of a million a planner rather walks through all.
_UNREAD = (
    "c.{read} = FALSE",
    "c.{read} IS NULL AND c.seq IS NULL",
    "c.{read} IS NULL AND c.seq > %(own_read)s",
)
_FEW = """
SELECT c.id FROM {receipt} c WHERE c.person_id = %(person)s AND {part}
ORDER BY c.{read}, c.seq LIMIT {few}
"""
_END_OF_OWN = """
    SELECT c.notification_id AS id, c.created FROM {receipt} c
    WHERE c.person_id = %(person)s AND c.named = TRUE{span} {order} LIMIT 1 OFFSET {skip}
"""
_END_OF_SHARED = """
    SELECT p.notification_id AS id, p.created FROM {posting} p
    WHERE p.stream = %({name})s AND p.seq > %({name}_begin)s{span} {order}
    LIMIT 1 OFFSET {skip}
"""


class Listing:
    """What one person's inbox shows in a view, within a span, of what a search asks for.

    `read_seqs`: up to where they have read each stream.
    """

    def __init__(
        self,
        subscription: Subscription,
        view: str,
        span: Span,
        search: Search,
        read_seqs: Mapping[str, int],
    ) -> None:
        self.view = view
        self.span = span
        self.using = log_database()
        self.connection = connections[self.using]
        person = Receipt._meta.get_field("person")
        self.names = {name: f"s{number}" for number, name in enumerate(subscription.shared)}
        self.parameters: dict[str, Any] = {
            "person": person.get_db_prep_value(subscription.person_id, self.connection),
            "own": subscription.own,
            "own_read": read_seqs.get(subscription.own, 0),
            "now": timezone.now(),
        }
        for stream, name in self.names.items():
            begin, read = subscription.shared[stream], read_seqs.get(stream, 0)
            self.parameters |= {name: stream, f"{name}_begin": begin, f"{name}_read": read}
        quote = self.connection.ops.quote_name
        models = (Notification, Receipt, Posting, Pending)
        self.words = {one.__name__.lower(): quote(one._meta.db_table) for one in models}
        self.words |= {
            "read": quote("read"),
            "columns": ", ".join(
                f"n.{quote(one.column)}"
                for one in Notification._meta.concrete_fields
                if one.column and one.name != "created"
            ),
            "searched": search.conditions(self.connection, self.parameters),
            "mine": _MINE,
            "live": _LIVE,
            "archived": "NOT NULL" if view == ARCHIVED else "NULL",
            # What is archived has an index of its own; SQLite finds the other with "= TRUE" only.
            "named": "c.named" if view == ARCHIVED else "c.named = TRUE",
        }

    def rows(self, limit: int) -> list[Row]:
        """The first so many from the span's position on, in its direction."""
        # What waits comes first: what gets its number between two statements is in both.
        parts = [self._waiting()] if self.names and self.view != ARCHIVED else []
        parts += [*self._own(), *map(self._shared, self.names.values())]
        found: dict[int, Row] = {}
        for together in _unions(parts):
            sql = self._filled(_PAGE, "created", "id", parts=together)
            for one in self._read(sql, limit=limit):
                stands = vars(one)
                read = None if stands["read"] is None else bool(stands["read"])
                archived = self.view == ARCHIVED
                found[one.pk] = Row(one, stands["stream"], stands["seq"], read, archived)
        rows = sorted(found.values(), key=lambda row: row.position, reverse=not self.span.newer)
        return rows[:limit]

    def _own(self) -> Iterator[str]:
        if self.view != UNREAD:
            yield self._filled(_OWN, "c.created", "c.notification_id", part="")
            return
        for way in _UNREAD:
            part = way.format(**self.words)
            few = self._few(part)
            if len(few) <= FEW:
                part = f"c.id IN ({', '.join(map(str, few))})"
            if few:
                yield self._filled(_OWN, "c.created", "c.notification_id", part=f" AND {part}")

    def _few(self, part: str) -> list[int]:
        """The receipts that are unread in one way, if they are few; else one more than that."""
        sql = _FEW.format(**self.words, part=part, few=FEW + 1)
        with self.connection.cursor() as cursor:
            cursor.execute(sql, self._given())
            return [id for (id,) in cursor.fetchall()]

    def _shared(self, name: str) -> str:
        part = f" AND (c.{{read}} = FALSE OR (c.{{read}} IS NULL AND p.seq > %({name}_read)s))"
        part = part.format(**self.words) if self.view == UNREAD else ""
        return self._filled(_SHARED, "p.created", "p.notification_id", name=name, part=part)

    def _waiting(self) -> str:
        part = " AND (c.{read} = FALSE OR c.{read} IS NULL)" if self.view == UNREAD else ""
        part = part.format(**self.words)
        names = ", ".join(f"%({name})s" for name in self.names.values())
        return self._filled(_WAITING, "n.created", "n.id", names=names, part=part)

    def end_of_search(self) -> Position | None:
        """How far a page looks, so that a search through a million costs no more than one page.

        None: to the end.
        """
        own = self._filled(_END_OF_OWN, "c.created", "c.notification_id", skip=SEARCHED - 1)
        shared = (
            self._filled(
                _END_OF_SHARED, "p.created", "p.notification_id", name=name, skip=SEARCHED - 1
            )
            for name in self.names.values()
        )
        ends = (
            Position(one.created, one.pk)
            for together in _unions([own, *shared])
            for one in self._read(together)
        )
        return (min if self.span.newer else max)(ends, default=None)

    def _filled(self, sql: str, created: str, id: str, **words: Any) -> str:
        """The statement, or part of one, in the order and within the span of these two columns."""
        return sql.format(
            **self.words,
            **words,
            span=self.span.conditions(created, id),
            order=self.span.order(created, id),
        )

    def _read(self, sql: str, **parameters: Any) -> Iterable[Notification]:
        return Notification.objects.using(self.using).raw(sql, self._given(**parameters))

    def _given(self, **parameters: Any) -> dict[str, Any]:
        """The parameters as the database takes them."""
        adapt = self.connection.ops.adapt_datetimefield_value
        given = self.parameters | self.span.parameters | parameters
        return {
            name: adapt(value) if isinstance(value, datetime) else value
            for name, value in given.items()
        }


def _unions(parts: list[str]) -> Iterator[str]:
    """Statements of as many parts as one can have; each part has an order and a limit."""
    selects = [f"SELECT * FROM ({part}) AS part{number}" for number, part in enumerate(parts)]
    for start in range(0, len(selects), PARTS):
        yield " UNION ALL ".join(selects[start : start + PARTS])
