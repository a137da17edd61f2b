"""The one read function, and the counts that go with it.

Every transport pushes what `read_since` returns, and nothing else.
"""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from itertools import accumulate
from operator import itemgetter
from types import MappingProxyType
from typing import Any

from django.db import connections
from django.db.models import Max, Q
from django.utils import timezone

from ..models import Entry, Notification, Op, Pending, Posting, Reader, Receipt, Stream
from ..wire import OWN, Counts, Cursor, encode, epoch_of, items_frame, welcome
from .names import is_own, user_stream
from .number import is_due, log_database, number
from .sql import Insert, among, as_one_array, uncompiled, write

Render = Callable[[Iterable[Notification], str], dict[int, dict[str, Any]]]
"""Notifications as clients get them, in a language, by id."""

ERASED = 500
"""Notifications deleted in one statement, when their last reader is."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """The streams of one person: their own, and the shared ones with where each begins for them."""

    person_id: Any
    shared: Mapping[str, int] = field(default_factory=dict)
    own: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "own", user_stream(self.person_id))

    @property
    def streams(self) -> list[str]:
        """Shared streams first: a `read` must not overtake its `created`."""
        return [*self.shared, self.own]

    def key(self, stream: str) -> str:
        """The stream's name in this person's cursor."""
        return OWN if stream == self.own else stream

    def cursor(self, database_epoch: int, seqs: Mapping[str, int]) -> Cursor:
        """A cursor over all streams of the person, 0 included."""
        return Cursor(
            epoch_of(self.person_id, database_epoch),
            {OWN: seqs.get(self.own, 0)} | {name: seqs.get(name, 0) for name in self.shared},
        )

    def seqs(self, cursor: Cursor) -> dict[str, int]:
        """The cursor's numbers by the streams' own names."""
        return {name: cursor.seqs.get(self.key(name), 0) for name in self.streams}


@dataclass(frozen=True)
class Member:
    """What a person's subscription is made of: their shared streams, and since when they are here.

    A shared stream begins for a person where it was when they joined the site.
    """

    shared: list[str]
    joined: datetime | None


def subscribe(people: Mapping[Any, Member]) -> dict[Any, Subscription]:
    """The people's subscriptions; writes a `Reader` row for each stream seen for the first time.

    As many queries for a thousand people as for one.
    """
    using = log_database()
    wanted = {
        (person_id, name)
        for person_id, member in people.items()
        for name in [*member.shared, user_stream(person_id)]
    }
    begins = _begins(people, using)
    missing = sorted(wanted - begins.keys(), key=str)
    if missing:
        names = sorted({name for _person, name in missing})
        write([Insert(Stream(), {"name": names}, keep=True)], using)
        joined = _joined(missing, people, using)
        _begin([(*each, joined.get(each, 0)) for each in missing], using)
        begins = _begins(people, using)
    return {
        person_id: Subscription(
            person_id,
            _shared(tuple((name, begins[person_id, name]) for name in sorted(member.shared))),
        )
        for person_id, member in people.items()
    }


@lru_cache(maxsize=1_000)
def _shared(begins: tuple[tuple[str, int], ...]) -> Mapping[str, int]:
    """One mapping for all for whom the same streams begin alike: for most who are connected."""
    return MappingProxyType(dict(begins))


def _begins(people: Iterable[Any], using: str) -> dict[tuple[Any, str], int]:
    readers = Reader.objects.using(using).filter(among(Reader, "person", list(people), using))
    rows = readers.values_list("person_id", "stream", "from_seq")
    return {(person_id, name): begin for person_id, name, begin in rows}


def _begin(readers: Iterable[tuple[Any, str, int]], using: str) -> None:
    """People read streams from these numbers on, but for those who read them already."""
    people, streams, begins = map(list, zip(*readers, strict=True))
    seqs = dict.fromkeys(("from_seq", "seen_seq", "read_seq"), begins)
    write([Insert(Reader(), {"person": people, "stream": streams, **seqs}, keep=True)], using)


def _joined(
    missing: Iterable[tuple[Any, str]], people: Mapping[Any, Member], using: str
) -> dict[tuple[Any, str], int]:
    """Where shared streams stood when these people joined the site."""
    latecomers: dict[str, dict[Any, datetime]] = {}
    for person_id, name in missing:
        joined = people[person_id].joined
        if joined is not None and not is_own(name):
            latecomers.setdefault(name, {})[person_id] = joined
    begins: dict[tuple[Any, str], int] = {}
    for name, moments in latecomers.items():
        postings = Posting.objects.using(using).filter(stream=name)
        first, last = min(moments.values()), max(moments.values())
        start = postings.filter(created__lt=first).aggregate(last=Max("seq"))["last"] or 0
        since = postings.filter(created__gte=first, created__lt=last).order_by("created")
        later = list(since.values_list("created", "seq"))
        highest = list(accumulate((seq for _created, seq in later), max, initial=start))
        head, waiting = _coming(name, using)
        for person_id, joined in moments.items():
            before = bisect_left(later, joined, key=itemgetter(0))
            told = [place for place, created in enumerate(waiting, 1) if created < joined]
            begins[person_id, name] = head + told[-1] if told else highest[before]
    return begins


def begin_here(person_ids: Iterable[Any], stream: str, using: str) -> None:
    """The people join the audience of `stream` now: it begins for them behind all that is in it.

    Those who were in it before keep what they had.
    """
    head, waiting = _coming(stream, using)
    begin = head + len(waiting)
    if readers := [(person_id, stream, begin) for person_id in person_ids]:
        _begin(readers, using)


def _coming(stream: str, using: str) -> tuple[int, list[datetime]]:
    """The head of a stream, and since when the rows wait that get the numbers behind it.

    What is numbered between the two statements is in neither: somebody may see a little of what
    was before their time, and never misses what came after.
    """
    streams = Stream.objects.using(using).filter(name=stream)
    head = streams.values_list("head", flat=True).first() or 0
    waiting = Pending.objects.using(using).filter(is_due(), stream=stream).order_by("id")
    return head, [
        max(created, due or created) for created, due in waiting.values_list("created", "due")
    ]


def hold(stream: str, using: str) -> None:
    """Keep others from numbering a stream until this transaction ends: they and who deletes its
    rows would lock these in another order, and wait for each other."""
    if connections[using].vendor == "postgresql":
        list(Stream.objects.using(using).filter(name=stream).select_for_update(no_key=True))


def told_by_name(person_id: Any, using: str) -> list[int]:
    """The notifications that this person was sent by name."""
    receipts = Receipt.objects.using(using).filter(person_id=person_id, named=True)
    return list(receipts.values_list("notification_id", flat=True))


def erase(person_id: Any, told: list[int], using: str) -> None:
    """Delete the person's own stream, and of what they were `told` all that nobody else was.

    Receipts and readers have gone with the user's row.
    """
    own = user_stream(person_id)
    Pending.objects.using(using).filter(stream=own).delete()
    Entry.objects.using(using).filter(stream=own).delete()
    Stream.objects.using(using).filter(name=own).delete()
    left = Notification.objects.using(using).filter(audience="", receipts=None)
    for start in range(0, len(told), ERASED):
        left.filter(pk__in=told[start : start + ERASED]).delete()


# --- Reading ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Fact:
    """A numbered entry with what it speaks of.

    `notification` is None when that was deleted or recalled, or has expired: a client would
    count it until the next `counts`.
    """

    seq: int
    op: str
    arg: Any
    created: datetime
    notification: Notification | None


@dataclass(frozen=True)
class Run:
    """What came in one stream after `prev`, up to `seq`."""

    stream: str
    prev: int
    seq: int
    facts: list[Fact]


@dataclass(frozen=True)
class Reading:
    """What a reader gets. `why` says that the cursor cannot be continued, and runs are empty."""

    epoch: int
    """The database's, from which the person's is made."""
    heads: Cursor
    runs: list[Run]
    why: str | None = None


@dataclass(frozen=True)
class Heads:
    """The positions of some streams, from one statement."""

    epoch: int
    head: dict[str, int]
    floor: dict[str, int]


def read_heads(streams: Iterable[str]) -> Heads:
    """The heads, floors and epoch, in one statement."""
    using = log_database()
    while True:
        theirs = among(Stream, "name", [*streams, Stream.EPOCH], using)
        rows = Stream.objects.using(using).filter(theirs)
        found = {name: (head, floor) for name, head, floor in rows.values_list()}
        if Stream.EPOCH in found:
            epoch, _floor = found.pop(Stream.EPOCH)
            return Heads(
                epoch,
                {name: head for name, (head, _) in found.items()},
                {name: floor for name, (_, floor) in found.items()},
            )
        # A new database: whoever comes first names its history.
        Stream.objects.using(using).bulk_create(
            [Stream(name=Stream.EPOCH, head=_drawn_epoch())], ignore_conflicts=True
        )


def new_epoch() -> None:
    """Begin a new history: no cursor from before is continued."""
    Stream.objects.using(log_database()).update_or_create(
        name=Stream.EPOCH, defaults={"head": _drawn_epoch()}
    )


def _drawn_epoch() -> int:
    return secrets.randbits(62) + 1


def read_since(
    subscription: Subscription,
    cursor: Cursor | None,
    limit: int,
    upto: Mapping[str, int] | None = None,
) -> Reading:
    """All that came in the person's streams after `cursor`, at most `limit` entries a stream.

    Without a cursor there is nothing to continue: the reading is the heads alone. `upto` names
    positions behind which nothing is read.
    """
    heads = read_heads(subscription.streams)
    at = subscription.cursor(heads.epoch, heads.head)
    if cursor is None:
        return Reading(heads.epoch, at, [])
    why = _broken(subscription, cursor, at, heads)
    if why is not None:
        return Reading(heads.epoch, at, [], why)
    if upto:
        ends = {name: min(seq, upto.get(name, seq)) for name, seq in heads.head.items()}
        heads = replace(heads, head=ends)
    runs, pruned = read_runs(subscription.seqs(cursor), heads, limit, subscription.shared)
    if pruned:
        return Reading(heads.epoch, at, [], "pruned")
    return Reading(heads.epoch, at, runs)


def _broken(subscription: Subscription, cursor: Cursor, at: Cursor, heads: Heads) -> str | None:
    """Why a cursor cannot be continued, or None if it can."""
    if cursor.epoch != at.epoch:
        return "epoch"
    if cursor.seqs.keys() != at.seqs.keys():
        return "audience"
    seqs = subscription.seqs(cursor)
    if any(seq > heads.head.get(name, 0) for name, seq in seqs.items()):
        return "ahead"
    if any(seq < heads.floor.get(name, 0) for name, seq in seqs.items()):
        return "pruned"
    return None


def read_runs(
    since: Mapping[str, int], heads: Heads, limit: int, begins: Mapping[str, int] | None = None
) -> tuple[list[Run], set[str]]:
    """The entries between `since` and the heads, in the order of `since`.

    At most `limit` of each stream, and as many as fit into `FRAMES` frames: a run is what one
    frame holds, and those of a stream follow each other.

    Shared streams come first in `since`. When one of them is cut short, no person's own stream
    is read: it may speak of what was cut off. Entries before `begins` take their number, but
    say nothing: they are from before the reader's time.

    Also returns the streams of which something was pruned before it could be read: every number
    above the floor is an entry, so a missing one means that the floor has risen meanwhile.
    """
    using = log_database()
    begins = begins or {}
    found: list[tuple[str, int, list[Entry]]] = []
    pruned = {name for name, prev in since.items() if heads.floor.get(name, 0) > prev}
    cut = False
    ahead = {
        name: (prev, min(heads.head.get(name, 0), prev + limit))
        for name, prev in since.items()
        if heads.head.get(name, 0) > prev and name not in pruned
    }
    read = _entries(ahead, using)
    for name, (prev, end) in ahead.items():
        if cut and is_own(name):
            continue
        entries = read[name]
        if len(entries) < end - prev:
            pruned.add(name)
            continue
        cut = cut or (not is_own(name) and heads.head[name] > end)
        found.append((name, prev, entries))
    told = _told([entry for _name, _prev, entries in found for entry in entries[:AHEAD]], using)
    runs = []
    for name, prev, entries in found:
        if cut and is_own(name):
            continue
        runs += _runs(name, prev, entries, told, begins.get(name, 0), using)
        cut = cut or (not is_own(name) and runs[-1].seq < entries[-1].seq)
    return runs, pruned


def _entries(spans: Mapping[str, tuple[int, int]], using: str) -> dict[str, list[Entry]]:
    """The entries of each stream behind one number up to another.

    Short spans are read together: news for a thousand people at once are few queries.
    """
    entries = Entry.objects.using(using).order_by("stream", "seq")
    found: dict[str, list[Entry]] = {name: [] for name in spans}
    short: list[tuple[str, int]] = []
    for name, (prev, end) in spans.items():
        if end - prev <= SHORT:
            short += [(name, seq) for seq in range(prev + 1, end + 1)]
        else:
            found[name] = list(entries.filter(stream=name, seq__gt=prev, seq__lte=end))
    for start in range(0, len(short), TOGETHER):
        for entry in entries.filter(pk__in=short[start : start + TOGETHER]):
            found[entry.stream].append(entry)
    return found


SHORT = 4
"""Entries of a stream that are named one by one, to be read along with those of others."""
TOGETHER = 400
"""Entries named in one query."""


def _told(entries: Iterable[Entry], using: str) -> dict[int, Notification]:
    """The notifications that these entries may speak of now."""
    lasting = Q(expires=None) | Q(expires__gt=timezone.now())
    alive = Notification.objects.using(using).filter(lasting, recalled_at=None)
    return alive.in_bulk({e.notification_id for e in entries if e.notification_id is not None})


def _runs(
    name: str,
    prev: int,
    entries: list[Entry],
    told: Mapping[int, Notification],
    begin: int,
    using: str,
) -> list[Run]:
    """The entries of a stream, as many as fit into so many frames.

    Of the first few, `told` is what they speak of; of the others that is read when they fit.
    """
    runs: list[Run] = []
    facts: list[Fact] = []
    seq, room = prev, FRAME_ROOM
    for index, entry in enumerate(entries):
        if index and index % AHEAD == 0:
            told = _told(entries[index : index + AHEAD], using)
        notification = told.get(entry.notification_id or 0)
        room -= _weight(entry, notification)
        if room < 0 and seq > prev:
            runs.append(Run(name, prev, seq, facts))
            if len(runs) == FRAMES:
                return runs
            prev, facts, room = seq, [], FRAME_ROOM - _weight(entry, notification)
        seq = entry.seq
        if seq > begin:
            facts.append(Fact(seq, entry.op, entry.arg, entry.created, notification))
    return [*runs, Run(name, prev, seq, facts)]


AHEAD = 40
"""Entries of a stream whose notifications are read in one go: many that are long fill the frames
soon, and what does not fit was read in vain."""
FRAMES = 4
"""Frames of one stream in one reading: half a window, so a socket that acknowledges takes them."""
FRAME_ROOM = 32 * 1024
"""Bytes of an `items` frame, about; one item may be larger. daphne drops without a word what is
longer than its limit for messages, in either direction."""


def _weight(entry: Entry, notification: Notification | None) -> int:
    """About how many bytes an item takes in a frame."""
    if notification is None:
        return 100 + len(str(entry.arg).encode())
    texts = (notification.title, notification.body, notification.url)
    return 500 + sum(len(text.encode()) for text in texts) + len(str(notification.data))


def items_of(run: Run, rendered: Mapping[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """The items of a run on the wire. One that is gone leaves no item, only its number."""
    items: list[dict[str, Any]] = []
    for fact in run.facts:
        item: dict[str, Any] = {"op": fact.op, "seq": fact.seq}
        if fact.op == Op.ACCESS:
            continue
        if fact.op in (Op.CREATED, Op.UPDATED):
            if fact.notification is None or fact.notification.pk not in rendered:
                continue
            item["notification"] = rendered[fact.notification.pk]
        else:
            item |= fact.arg or {}
        items.append(item)
    return items


def write_runs(
    runs: Iterable[Run], key: Callable[[str], str], language: str, render: Render
) -> list[tuple[Run, str]]:
    """Each run with its `items` frame in `language`; the notifications are rendered together."""
    runs = list(runs)
    told = {
        fact.notification.pk: fact.notification
        for run in runs
        for fact in run.facts
        if fact.notification is not None
    }
    rendered = render(told.values(), language)
    return [
        (run, encode(items_frame(key(run.stream), run.prev, run.seq, items_of(run, rendered))))
        for run in runs
    ]


@dataclass(frozen=True)
class Greeting:
    """The answer to `hello`."""

    mode: str
    start: Cursor
    """Where the client goes on from: its own cursor, or else where its counts are true."""
    reading: Reading
    counts: Counts
    why: str | None
    """Why the client's cursor cannot be continued, under `reset`."""

    @property
    def text(self) -> str:
        """The `welcome` frame."""
        cursor = self.reading.heads if self.mode == "resume" else self.start
        return welcome(self.mode, cursor, self.counts, timezone.now())


def greet(
    subscription: Subscription,
    cursor: Cursor | None,
    limit: int,
    patience: float | None = None,
) -> Greeting:
    """Number what is pending for the person, count, and read what came since `cursor`."""
    return greet_all([(subscription, cursor)], limit, patience)[0]


def greet_all(
    asked: Sequence[tuple[Subscription, Cursor | None]],
    limit: int,
    patience: float | None = None,
) -> list[Greeting]:
    """Greet many together: whoever stands at the heads, or begins there, costs no query alone."""
    number((name for subscription, _cursor in asked for name in subscription.streams), patience)
    epoch, standings = _standings([subscription for subscription, _cursor in asked])
    missed: dict[Any, list[Run]] = {}
    return [
        _greeting(subscription, cursor, standing.counts, epoch, limit, missed)
        for (subscription, cursor), standing in zip(asked, standings, strict=True)
    ]


def _greeting(
    subscription: Subscription,
    cursor: Cursor | None,
    counts: Counts,
    epoch: int,
    limit: int,
    missed: dict[Any, list[Run]],
) -> Greeting:
    # From the positions of the counts: what is numbered from here on is in neither, and the
    # hub, which knew the reader before it asked, reads on from there.
    here = Reading(epoch, counts.at, [])
    if cursor is None:
        return Greeting("fresh", counts.at, here, counts, None)
    if cursor == counts.at:
        return Greeting("resume", cursor, here, counts, None)
    reading = _read_alike(subscription, cursor, counts.at, epoch, limit, missed)
    if reading.why is None:
        return Greeting("resume", cursor, reading, counts, None)
    return Greeting("reset", counts.at, here, counts, reading.why)


def _read_alike(
    subscription: Subscription,
    cursor: Cursor,
    at: Cursor,
    epoch: int,
    limit: int,
    missed: dict[Any, list[Run]],
) -> Reading:
    """Read on from `cursor`. After a deploy all come back at once, and most of them missed the
    same of their shared streams and nothing of their own: that is read once (`missed`)."""
    own = cursor.seqs.get(OWN)
    if cursor.epoch != at.epoch or own != at.seqs[OWN]:
        return read_since(subscription, cursor, limit)
    shared = {name: seq for name, seq in cursor.seqs.items() if name != OWN}
    alike = (tuple(sorted(shared.items())), tuple(subscription.shared.items()))
    if alike in missed:
        return Reading(epoch, at, missed[alike])
    reading = read_since(subscription, cursor, limit)
    if reading.why is None and not any(is_own(run.stream) for run in reading.runs):
        missed[alike] = reading.runs
    return reading


def count_changes(runs: Iterable[Run]) -> set[str]:
    """The streams of those runs after which a client cannot count for itself."""
    return {
        run.stream
        for run in runs
        if any(fact.op not in (Op.CREATED, Op.ACCESS, Op.ALERT) for fact in run.facts)
    }


# --- Counting ---------------------------------------------------------------------------


def read_counts(subscriptions: Iterable[Subscription]) -> dict[Any, Counts]:
    """Unseen and unread of each person, with the heads they are true at, in one statement.

    Rows that are still pending are left out: they come later, with a number. Each count stops
    at 100, and looks at nothing below the person's watermark, so it costs the same for an
    inbox of ten and of ten million.
    """
    subscriptions = list(subscriptions)
    _epoch, standings = _standings(subscriptions)
    return {s.person_id: found.counts for s, found in zip(subscriptions, standings, strict=True)}


@dataclass(frozen=True)
class Standing:
    """Where a person stands: their counts, and up to where they have read each stream."""

    counts: Counts
    read_seqs: dict[str, int]


def read_standing(subscription: Subscription) -> Standing:
    """One statement, as for `read_counts`."""
    return _standings([subscription])[1][0]


def _standings(subscriptions: Sequence[Subscription]) -> tuple[int, list[Standing]]:
    """The epoch of the database, and where each of these people stands."""
    if not subscriptions:
        return 0, []
    using = log_database()
    connection = connections[using]
    person = Reader._meta.get_field("person")
    people = dict.fromkeys(subscription.person_id for subscription in subscriptions)
    keys: list[Any] = [person.get_db_prep_value(key, connection) for key in people]
    people_are = f"IN ({', '.join(['%s'] * len(keys))})"
    plan: AbstractContextManager[None] = nullcontext()
    if as_one_array(keys, connection):
        people_are, keys, plan = "= ANY(%s)", [keys], uncompiled(using)
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    sql = _COUNTS.format(
        **{
            model.__name__.lower(): connection.ops.quote_name(model._meta.db_table)
            for model in (Reader, Stream, Receipt, Posting, Notification)
        },
        cap=Counts.CAP,
        people_are=people_are,
        read=connection.ops.quote_name("read"),
    )
    with plan, connection.cursor() as cursor:
        cursor.execute(sql, [now] * 6 + keys)
        rows = cursor.fetchall()
    epoch = 0
    found: dict[Any, list[tuple[str, int, int, int, int]]] = {}
    for key, name, head, *row in rows:
        if name == Stream.EPOCH:
            epoch = head
        else:
            found.setdefault(person.to_python(key), []).append((name, head, *row))
    if not epoch:
        epoch = read_heads([]).epoch
    return epoch, [_sum(one, found.get(one.person_id, []), epoch) for one in subscriptions]


def _sum(
    subscription: Subscription, rows: Iterable[tuple[str, int, int, int, int]], epoch: int
) -> Standing:
    heads: dict[str, int] = {}
    read_seqs: dict[str, int] = {}
    unseen = unread = 0
    for name, head, read_seq, new, open in rows:
        if name in subscription.shared or name == subscription.own:
            heads[name] = head
            read_seqs[name] = read_seq
            unseen += new
            unread += open
    at = subscription.cursor(epoch, heads)
    return Standing(Counts(at, min(unseen, Counts.CAP), min(unread, Counts.CAP)), read_seqs)


_LIVE = "n.recalled_at IS NULL AND (n.expires IS NULL OR n.expires > %s)"
_OWN = f"""
    SELECT 1 FROM {{receipt}} c JOIN {{notification}} n ON n.id = c.notification_id
    WHERE c.person_id = r.person_id AND c.named AND c.archived_at IS NULL
        AND c.{{read}} IS NULL AND {_LIVE}
"""
_SHARED = f"""
    SELECT 1 FROM {{posting}} p JOIN {{notification}} n ON n.id = p.notification_id
    LEFT JOIN {{receipt}} c
        ON c.notification_id = p.notification_id AND c.person_id = r.person_id
    WHERE p.stream = r.stream AND c.archived_at IS NULL AND c.{{read}} IS NULL AND {_LIVE}
"""
# Marked unread one by one, below the watermark or above it.
_KEPT = f"""
    SELECT 1 FROM {{receipt}} c JOIN {{notification}} n ON n.id = c.notification_id
    WHERE c.person_id = r.person_id AND c.{{read}} = FALSE AND c.seq IS NOT NULL
        AND c.archived_at IS NULL AND {_LIVE}
        AND c.named = (r.stream LIKE 'user.%%')
        AND n.audience = CASE WHEN r.stream LIKE 'user.%%' THEN '' ELSE r.stream END
"""
# In the order of the index: else a planner who expects many rows for a person walks through
# everybody's receipts, or through all notifications.
_BY_RECEIPT = "ORDER BY c.{read}, c.seq"
_BY_POSTING = "ORDER BY p.stream, p.seq"


def _count(select: str, order: str) -> str:
    return f"(SELECT COUNT(*) FROM ({select} {order} LIMIT {{cap}}) AS capped)"


_UNSEEN_OWN = _count(_OWN + " AND c.seq > r.seen_seq AND NOT c.seen", _BY_RECEIPT)
_UNSEEN_SHARED = _count(
    _SHARED + " AND p.seq > r.seen_seq AND (c.seen IS NULL OR NOT c.seen)", _BY_POSTING
)
_UNSEEN_KEPT = _count(_KEPT + " AND NOT c.seen", _BY_RECEIPT)
_UNREAD_OWN = _count(_OWN + " AND c.seq > r.read_seq", _BY_RECEIPT)
_UNREAD_SHARED = _count(_SHARED + " AND p.seq > r.read_seq", _BY_POSTING)
_UNREAD_KEPT = _count(_KEPT, _BY_RECEIPT)
_COUNTS = f"""
SELECT r.person_id, r.stream, s.head, r.read_seq,
    CASE WHEN r.stream LIKE 'user.%%' THEN {_UNSEEN_OWN} ELSE {_UNSEEN_SHARED} END
        + {_UNSEEN_KEPT},
    CASE WHEN r.stream LIKE 'user.%%' THEN {_UNREAD_OWN} ELSE {_UNREAD_SHARED} END
        + {_UNREAD_KEPT}
FROM {{reader}} r JOIN {{stream}} s ON s.name = r.stream
WHERE r.person_id {{people_are}}
UNION ALL
SELECT NULL, name, head, 0, 0, 0 FROM {{stream}} WHERE name = 'epoch'
"""
