"""One person's inbox: what is in it, what is unread, and what they do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import transaction
from django.db.models import FilteredRelation, Q
from django.utils import timezone, translation

from .audiences import pk_of, streams_of
from .conf import conf
from .errors import BadCursor, BadFrame, BadRequest, NotYours, UnknownAction, UnknownView
from .models import Level, Notification, Op, Pending, Posting, Reader, Receipt, described
from .notices import render
from .signals import inbox_changed
from .stream.number import is_due, log_database, number
from .stream.publish import News, publish
from .stream.read import Member, Subscription, read_counts, read_heads, read_standing, subscribe
from .wire import Counts, Cursor

ALL, UNREAD, ARCHIVED = VIEWS = ("all", "unread", "archived")

ACTIONS = {
    "seen": Op.SEEN,
    "read": Op.READ,
    "unread": Op.UNREAD,
    "archive": Op.ARCHIVED,
    "unarchive": Op.UNARCHIVED,
    "read_all": Op.READ_ALL,
}

PAGE_LIMIT = 100
SEARCHED = 5_000
"""Notifications of one stream that a page of a search looks through; the next page goes on."""
KINDS_FROM = 300
"""The newest notifications whose kinds are offered as filters."""
WALKED = 1_000
"""Postings of a shared stream, beyond which what was read one by one moves the watermark."""
FEW = 500
YES, NO = [True], [False]
"""For `in`: SQLite finds `named IN (1)` in an index, and a bare `named` in none."""
LOCK_PATIENCE = 1.0
"""Seconds that a page waits to number what is pending, before it shows it unnumbered."""


@dataclass(frozen=True)
class Item:
    """A notification in somebody's inbox, in their language. `seq` is None while pending."""

    id: int
    kind: str
    level: str
    title: str
    body: str
    url: str
    actor: dict[str, Any] | None
    target: dict[str, Any] | None
    created: datetime
    expires: datetime | None
    data: dict[str, Any]
    stream: str
    seq: int | None
    unread: bool
    archived: bool
    lang: str

    def as_json(self) -> dict[str, Any]:
        return self.__dict__ | {
            "created": self.created.isoformat(),
            "expires": self.expires and self.expires.isoformat(),
        }


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

    def of(self, prefix: str = "") -> Q:
        """The condition, on a notification or on what leads to one."""
        found = Q()
        if self.kind:
            found &= Q(**{f"{prefix}kind": self.kind})
        if self.level:
            found &= Q(**{f"{prefix}level__gte": Level[self.level.upper()]})
        for word in self.text.split():
            found &= Q(**{f"{prefix}title__icontains": word}) | Q(
                **{f"{prefix}body__icontains": word}
            )
        if self.since:
            found &= Q(created__gte=_midnight(self.since))
        if self.until:
            found &= Q(created__lt=_midnight(self.until + timedelta(days=1)))
        return found


def _midnight(day: date) -> datetime:
    moment = datetime.combine(day, time.min)
    return timezone.make_aware(moment) if timezone.is_aware(timezone.now()) else moment


EVERYTHING = Search()


@dataclass(frozen=True)
class Page:
    """Items, newest first. `counts.at` was taken before them.

    `before` leads to the page of older ones, `after` to that of newer ones.
    """

    items: list[Item]
    before: str | None
    counts: Counts
    after: str | None = None


@dataclass(frozen=True)
class _Row:
    """Where a notification stands for the person."""

    created: datetime
    id: int
    stream: str
    seq: int | None
    read: bool | None
    archived_at: datetime | None

    def unread(self, read_seq: int) -> bool:
        return _is_unread(self.read, self.seq, read_seq)


def _is_unread(read: bool | None, seq: int | None, read_seq: int) -> bool:
    """What the person said of this one decides; else their watermark. What is pending is unread."""
    if read is not None:
        return not read
    return seq is None or seq > read_seq


class Inbox:
    """The inbox of one person, of the streams in `subscription`."""

    def __init__(self, subscription: Subscription, language: str | None = None) -> None:
        self.subscription = subscription
        self.person_id = subscription.person_id
        self.language = language or translation.get_language() or conf.language

    # --- Reading ---

    def number(self) -> None:
        """Give numbers to what is pending, if no transaction is open and nobody is in the way.

        For pages that are the reader's own. Never raises; waits a second at most.
        """
        number(self.subscription.streams, patience=LOCK_PATIENCE)

    def counts(self) -> Counts:
        """Unseen and unread, with the positions at which they are true. One statement."""
        return read_counts([self.subscription])[self.person_id]

    def page(
        self,
        view: str = ALL,
        before: str | None = None,
        limit: int = 25,
        *,
        after: str | None = None,
        search: Search = EVERYTHING,
    ) -> Page:
        """A page of the inbox, newest first.

        `before` and `after` are tokens of the page that led here. Raises `UnknownView`,
        `BadRequest`.
        """
        if view not in VIEWS:
            raise UnknownView(view, VIEWS)
        limit = max(1, min(limit, PAGE_LIMIT))
        token = before if after is None else after
        span = _Span(None if token is None else _parse_position(token), newer=after is not None)
        standing = read_standing(self.subscription)
        read_seqs = standing.read_seqs
        if search.narrows:
            span.end = self._end_of_search(span)
        rows = [
            *self._personal(view, span, limit + 1, read_seqs, search),
            *self._shared(view, span, limit + 1, read_seqs, search),
            *self._pending(view, span, limit + 1, search),
        ]
        rows = sorted({row.id: row for row in rows}.values(), key=_position, reverse=not span.newer)
        if span.newer and len(rows) <= limit and span.end is None:
            return self.page(view, None, limit, search=search)  # the newest page, and a full one
        shown, more = rows[:limit], len(rows) > limit
        far = span.end if not more else _position(shown[-1])
        near = span.position and (_position(shown[0]) if shown else None)
        if span.newer:
            shown = shown[::-1]
            far, near = near, far
        found = Notification.objects.using(log_database()).in_bulk([row.id for row in shown])
        rendered = render(found.values(), self.language)
        items = [
            self._item(row, found[row.id], rendered[row.id], read_seqs)
            for row in shown
            if row.id in found  # else it was deleted just now
        ]
        return Page(items, _position_token(far), standing.counts, _position_token(near))

    def kinds(self) -> list[str]:
        """The kinds of the newest notifications of this inbox."""
        using = log_database()
        own = Receipt.objects.using(using).filter(person_id=self.person_id, named__in=YES)
        shared = Posting.objects.using(using).filter(self._theirs())
        found: set[str] = set()
        for rows in (own, shared):
            kinds = rows.order_by("-created").values_list("notification__kind", flat=True)
            found.update(kinds[:KINDS_FROM])
        return sorted(found - {""})

    def unread(self, limit: int = PAGE_LIMIT) -> list[Item]:
        """What is unread, newest first."""
        return self.page(UNREAD, limit=limit).items

    def url_of(self, id: int) -> str:
        """Where a notification of this inbox leads; empty if nowhere, or if it is not in it."""
        mine = Q(receipts__person=self.person_id) | Q(audience__in=list(self.subscription.shared))
        found = Notification.objects.using(log_database()).filter(mine, pk=id).distinct()
        rendered = render(found, self.language)
        return str(rendered[id]["url"]) if id in rendered else ""

    def _read_seqs(self) -> dict[str, int]:
        readers = Reader.objects.using(log_database()).filter(
            person_id=self.person_id, stream__in=self.subscription.streams
        )
        return dict(readers.values_list("stream", "read_seq"))

    def _personal(
        self, view: str, span: _Span, limit: int, seqs: dict[str, int], search: Search
    ) -> Iterable[_Row]:
        own = self.subscription.own
        # What is archived has an index of its own, and SQLite is not to take the other.
        named = Q(named=True) if view == ARCHIVED else Q(named__in=YES)
        due = Q(seq__isnull=False) | Q(created__lte=timezone.now())
        rows = (
            Receipt.objects.using(log_database())
            .filter(
                _live("notification__") & span.within() & search.of("notification__") & named & due,
                person_id=self.person_id,
                archived_at__isnull=view != ARCHIVED,
            )
            .order_by(*span.order)
            .values_list("created", "notification_id", "seq", "read", "archived_at")
        )
        # Each in a query of its own: no index serves an "or".
        parts = [Q()]
        if view == UNREAD:
            kept = Q(read__in=NO)
            parts = [kept, Q(read=None, seq=None), Q(read=None, seq__gt=seqs.get(own, 0))]
        for part in parts:
            few = self._few(part) if view == UNREAD else None
            part = part if few is None else Q(pk__in=few)
            for created, id, seq, read, archived_at in rows.filter(part)[:limit]:
                yield _Row(created, id, own, seq, read, archived_at)

    def _few(self, part: Q) -> list[int] | None:
        """The receipts that are unread in one way, if they are few.

        In the order of their index: for few of a million a planner rather walks through all.
        """
        receipts = Receipt.objects.using(log_database()).filter(part, person_id=self.person_id)
        found = list(receipts.order_by("read", "seq").values_list("pk", flat=True)[: FEW + 1])
        return found if len(found) <= FEW else None

    def _shared(
        self, view: str, span: _Span, limit: int, seqs: dict[str, int], search: Search
    ) -> Iterable[_Row]:
        mine = Q(notification__receipts__person=self.person_id)
        wanted = self._theirs()
        if view == UNREAD:
            unread = Q(mine__read=False)
            for stream in self.subscription.shared:
                unread |= Q(stream=stream, seq__gt=seqs.get(stream, 0), mine__read=None)
            wanted &= unread
        rows = (
            Posting.objects.using(log_database())
            .annotate(mine=FilteredRelation("notification__receipts", condition=mine))
            .filter(
                _live("notification__") & span.within() & search.of("notification__") & wanted,
                mine__archived_at__isnull=view != ARCHIVED,
            )
            .order_by(*span.order)
            .values_list(
                "created", "notification_id", "stream", "seq", "mine__read", "mine__archived_at"
            )
        )
        for row in rows[:limit]:
            yield _Row(*row)

    def _theirs(self) -> Q:
        """The postings of the shared streams that are this person's."""
        theirs = Q(pk__in=[])
        for stream, begin in self.subscription.shared.items():
            theirs |= Q(stream=stream, seq__gt=begin)
        return theirs

    def _end_of_search(self, span: _Span) -> tuple[datetime, int] | None:
        """How far this page looks, so that a search through a million costs no more than one page.

        None: to the end.
        """
        using = log_database()
        own = Receipt.objects.using(using).filter(person_id=self.person_id, named__in=YES)
        shared = Posting.objects.using(using).filter(self._theirs())
        ends: list[tuple[datetime, int]] = []
        for rows in (own, shared):
            rows = rows.filter(span.within()).order_by(*span.order)
            ends += rows.values_list("created", "notification_id")[SEARCHED - 1 : SEARCHED]
        return (min if span.newer else max)(ends, default=None)

    def _pending(self, view: str, span: _Span, limit: int, search: Search) -> Iterable[_Row]:
        """What was told to a shared audience and has no number yet: newest, and unread."""
        if view == ARCHIVED:
            return
        waiting = (
            Pending.objects.using(log_database())
            .filter(is_due(), op=Op.CREATED, stream__in=list(self.subscription.shared))
            .values_list("notification_id", "stream")
        )
        streams = dict(waiting.order_by("-id")[:limit])
        if not streams:
            return
        mine = FilteredRelation("receipts", condition=Q(receipts__person=self.person_id))
        found = (
            Notification.objects.using(log_database())
            .annotate(mine=mine)
            .filter(_live(), search.of(), pk__in=streams, mine__archived_at=None)
            .values_list("created", "pk", "mine__read")
        )
        for created, id, read in found:
            row = _Row(created, id, streams[id], None, read, None)
            if span.holds(_position(row)) and (view == ALL or row.unread(0)):
                yield row

    def _item(
        self, row: _Row, one: Notification, rendered: dict[str, Any], seqs: dict[str, int]
    ) -> Item:
        return Item(
            id=one.pk,
            kind=one.kind,
            level=one.level_word,
            title=rendered["title"],
            body=rendered["body"],
            url=rendered["url"],
            actor=described(one.actor_name, one.actor_ref),
            target=described(one.target_name, one.target_ref),
            created=one.created,
            expires=one.expires,
            data=one.data,
            stream=self.subscription.key(row.stream),
            seq=row.seq,
            unread=row.unread(seqs.get(row.stream, 0)),
            archived=row.archived_at is not None,
            lang=self.language if one.kind else _lang_of(one),
        )

    # --- Acting ---

    def act(self, action: str, ids: Iterable[int] | None = None, upto: Cursor | None = None) -> int:
        """Do one of `ACTIONS` to the notifications `ids`, or to all `upto` a cursor.

        Returns how many it changed (100 for "more than 99" with `upto`). Raises
        `UnknownAction`, `BadFrame`, `BadCursor`, and `NotYours` when one of the ids is not in
        this inbox; then nothing was changed.
        """
        if action not in ACTIONS:
            raise UnknownAction(action, ACTIONS)
        if upto is not None and action in ("read_all", "seen"):
            return self._move(ACTIONS[action], upto)
        if action == "read_all":
            raise BadFrame("read_all needs upto: the cursor of what was on the screen.")
        if ids is None or upto is not None:
            raise BadFrame(f"{action} needs ids: a list of notifications.")
        return self._change(ACTIONS[action], sorted(set(ids)))

    def mark_read(self, ids: Iterable[int] | None = None, upto: Cursor | None = None) -> int:
        """Mark these as read, or all up to a cursor (`counts().at`)."""
        return self.act("read" if upto is None else "read_all", ids, upto)

    def mark_unread(self, ids: Iterable[int]) -> int:
        return self.act("unread", ids)

    def mark_seen(self, ids: Iterable[int] | None = None, upto: Cursor | None = None) -> int:
        return self.act("seen", ids, upto)

    def archive(self, ids: Iterable[int]) -> int:
        return self.act("archive", ids)

    def unarchive(self, ids: Iterable[int]) -> int:
        return self.act("unarchive", ids)

    def _change(self, op: Op, ids: list[int]) -> int:
        if len(ids) > conf.ids_limit:
            raise BadFrame(f"at most {conf.ids_limit} notifications in one action.")
        using = log_database()
        with transaction.atomic(using=using, savepoint=False):
            self._lock([self.subscription.own])
            read_seqs = self._read_seqs()
            receipts = self._receipts_to_change(ids)
            now = timezone.now()
            changed = []
            for receipt in receipts:
                stream = receipt.notification.audience or self.subscription.own
                if _apply(op, receipt, read_seqs.get(stream, 0), now):
                    changed.append(receipt)
            Receipt.objects.using(using).bulk_update(
                changed, ["seen", "read", "read_at", "archived_at"]
            )
            for stream in {receipt.notification.audience for receipt in changed} - {""}:
                self._shorten(stream, read_seqs.get(stream, 0))
            changed_ids = [receipt.notification_id for receipt in changed]
            self._publish(op, {"ids": changed_ids}, changed_ids)
        return len(changed)

    def _receipts_to_change(self, ids: list[int]) -> list[Receipt]:
        """The person's receipts of `ids`, locked in order of id; made for shared notifications."""
        using = log_database()
        shared = self.subscription.shared
        mine = (
            Receipt.objects.using(using)
            .filter(person_id=self.person_id, notification_id__in=ids)
            .filter(Q(named=True) | Q(notification__audience__in=list(shared)))
            .select_related("notification")
            .order_by("pk")
        )
        missing = set(ids) - set(mine.values_list("notification_id", flat=True))
        if missing:
            candidates = Notification.objects.using(using).filter(
                pk__in=missing, audience__in=list(shared), created__lte=timezone.now()
            )
            new = []
            for one in candidates.select_related("posting"):
                posting = getattr(one, "posting", None)
                if posting is None or posting.seq > shared[one.audience]:
                    new.append(
                        Receipt(
                            person_id=self.person_id,
                            notification=one,
                            named=False,
                            seq=posting and posting.seq,
                            created=one.created,
                        )
                    )
            missing -= {receipt.notification_id for receipt in new}
            if missing:
                raise NotYours(sorted(missing))
            Receipt.objects.using(using).bulk_create(new, ignore_conflicts=True)
        return list(mine.select_for_update(of=("self",)))

    def _shorten(self, stream: str, read_seq: int) -> None:
        """Move the watermark of a shared stream on, over what was read one by one.

        A count walks from there to the first hundred that are unread. When these lie far apart,
        they are marked as unread one by one, and the watermark goes behind them. For the person
        nothing changes; nor for who asks how many have read it, so what is over counts as unread.
        """
        using = log_database()
        postings = Posting.objects.using(using).filter(stream=stream, seq__gt=read_seq)
        last = postings.order_by("-seq").values_list("seq", flat=True).first()
        if last is None or last <= read_seq + WALKED:
            return
        mine = Q(notification__receipts__person=self.person_id)
        unread = list(
            postings.annotate(mine=FilteredRelation("notification__receipts", condition=mine))
            .filter(mine__read=None)
            .order_by("stream", "seq")[: Counts.CAP]
        )
        if len(unread) == Counts.CAP:
            last = unread[-1].seq
        if last <= read_seq + WALKED:
            return
        reader = Reader.objects.using(using).filter(person_id=self.person_id, stream=stream)
        seen_seq = reader.values_list("seen_seq", flat=True)[0]
        ids = [posting.notification_id for posting in unread]
        Receipt.objects.using(using).bulk_create(
            (
                Receipt(
                    person_id=self.person_id,
                    notification_id=posting.notification_id,
                    named=False,
                    seq=posting.seq,
                    created=posting.created,
                )
                for posting in unread
            ),
            ignore_conflicts=True,
        )
        kept = Receipt.objects.using(using).filter(
            person_id=self.person_id, notification_id__in=ids
        )
        kept.update(read=False)
        kept.filter(seq__lte=seen_seq).update(seen=True)
        reader.update(read_seq=last, seen_seq=max(seen_seq, last))
        self._shorten(stream, last)

    def _move(self, op: Op, upto: Cursor) -> int:
        using = log_database()
        with transaction.atomic(using=using, savepoint=False):
            self._lock(self.subscription.streams)
            heads = read_heads(self.subscription.streams)
            at = self.subscription.cursor(heads.epoch, heads.head)
            if upto.epoch != at.epoch:
                raise BadCursor(upto)
            before = self.counts()
            seqs = {
                name: min(seq, heads.head.get(name, 0))
                for name, seq in self.subscription.seqs(upto).items()
            }
            readers = Reader.objects.using(using).filter(person_id=self.person_id)
            for name, seq in seqs.items():
                reader = readers.filter(stream=name)
                reader.filter(seen_seq__lt=seq).update(seen_seq=seq)
                if op == Op.READ_ALL:
                    reader.filter(read_seq__lt=seq).update(read_seq=seq)
                # What was kept unread one by one is read, or seen, now too.
                kept = Receipt.objects.using(using).filter(
                    person_id=self.person_id,
                    read=False,
                    seq__lte=seq,
                    notification__audience="" if name == self.subscription.own else name,
                )
                if op == Op.READ_ALL:
                    kept.update(read=None)
                else:
                    kept.filter(seen=False).update(seen=True)
            after = self.counts()
            changed = before.unread - after.unread
            if op == Op.SEEN:
                changed = before.unseen - after.unseen
            positions = {self.subscription.key(name): seq for name, seq in seqs.items()}
            self._publish(op, {"upto": positions}, [])
        return changed

    def _lock(self, streams: list[str]) -> None:
        """Actions of one person come one after the other."""
        list(
            Reader.objects.using(log_database())
            .filter(person_id=self.person_id, stream__in=streams)
            .order_by("stream")
            .select_for_update()
        )

    def _publish(self, op: Op, arg: dict[str, Any], ids: list[int]) -> None:
        if arg.get("ids") == []:
            return
        using = log_database()
        publish([News.for_person(op, self.person_id, arg=arg)], using)
        if inbox_changed.has_listeners():

            def tell() -> None:
                inbox_changed.send(None, person_id=self.person_id, action=op.value, ids=ids)

            transaction.on_commit(tell, using=using, robust=True)


def inbox_of(user: Any, language: str | None = None) -> Inbox:
    """The inbox of a user; raises `UnknownRecipient` for anybody who is not one."""
    person_id = pk_of(user)
    member = Member(streams_of(user), getattr(user, "date_joined", None))
    return Inbox(subscribe({person_id: member})[person_id], language)


def _apply(op: Op, receipt: Receipt, read_seq: int, now: datetime) -> bool:
    """Change a receipt; False if it was so before."""
    unread = _is_unread(receipt.read, receipt.seq, read_seq)
    match op:
        case Op.SEEN if not receipt.seen:
            receipt.seen = True
        case Op.READ if unread:
            receipt.read, receipt.read_at, receipt.seen = True, now, True
        case Op.UNREAD if not unread:
            receipt.read, receipt.read_at, receipt.seen = False, None, True
        case Op.ARCHIVED if receipt.archived_at is None:
            receipt.archived_at, receipt.seen = now, True
            if unread:
                receipt.read = False  # so that the watermark may go on over it
        case Op.UNARCHIVED if receipt.archived_at is not None:
            receipt.archived_at = None
        case _:
            return False
    return True


def _live(prefix: str = "") -> Q:
    """Neither recalled nor expired."""
    expires = Q(**{f"{prefix}expires": None}) | Q(**{f"{prefix}expires__gt": timezone.now()})
    return Q(**{f"{prefix}recalled_at": None}) & expires


# --- The place on a page ---------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(9999, 1, 1, tzinfo=UTC)


def _position(row: _Row) -> tuple[datetime, int]:
    return row.created, row.id


def _position_token(position: tuple[datetime, int] | None) -> str | None:
    if position is None:
        return None
    created, id = position
    created = created if created.tzinfo else created.replace(tzinfo=UTC)
    return f"{(created - _EPOCH) // timedelta(microseconds=1)}-{id}"


def _parse_position(token: str) -> tuple[datetime, int]:
    try:
        moment, _dash, id = token.partition("-")
        created = _EPOCH + timedelta(microseconds=int(moment))
        number = int(id)
        if not 0 < number < 2**63:
            raise ValueError
    except (ValueError, OverflowError):
        raise BadRequest(f"bad page {token[:40]!r}: expected the token of a page.") from None
    return _as_stored(created), number


def _as_stored(moment: datetime) -> datetime:
    """As the site keeps its times: with a zone, or without."""
    return moment if timezone.is_aware(timezone.now()) else moment.replace(tzinfo=None)


@dataclass
class _Span:
    """What lies beyond a position, towards the older or the newer, up to an end."""

    position: tuple[datetime, int] | None
    newer: bool
    end: tuple[datetime, int] | None = None

    @property
    def order(self) -> tuple[str, str]:
        return ("created", "notification_id") if self.newer else ("-created", "-notification_id")

    def within(self) -> Q:
        older, newer = ("gt", "lt") if self.newer else ("lt", "gt")
        found = Q()
        if self.position is not None:
            found &= _beyond(older, *self.position)
        else:
            # A range of the index all the same: a planner who sees none may read the whole table.
            found &= Q(created__lt=_as_stored(_END))
        if self.end is not None:
            created, id = self.end
            found &= _beyond(newer, created, id) | Q(created=created, notification_id=id)
        return found

    def holds(self, position: tuple[datetime, int]) -> bool:
        if self.newer:
            return (self.position is None or position > self.position) and (
                self.end is None or position <= self.end
            )
        return (self.position is None or position < self.position) and (
            self.end is None or position >= self.end
        )


def _beyond(side: str, created: datetime, id: int) -> Q:
    """Written so that an index on `created` serves it."""
    return Q(**{f"created__{side}e": created}) & (
        Q(**{f"created__{side}": created}) | Q(**{f"notification_id__{side}": id})
    )


def _lang_of(one: Notification) -> str:
    """The language of a text that was stored as it is: what its sender said of it."""
    lang = one.data.get("lang", "") if isinstance(one.data, dict) else ""
    return lang if isinstance(lang, str) else ""
