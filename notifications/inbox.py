"""One person's inbox: what is in it, what is unread, and what they do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import FilteredRelation, Q
from django.utils import timezone, translation

from .audiences import pk_of, streams_of
from .conf import conf
from .errors import BadCursor, BadFrame, NotYours, UnknownAction, UnknownView
from .listing import ALL, EVERYTHING, UNREAD, VIEWS, Listing, Position, Row, Search, Span, is_unread
from .models import Notification, Op, Posting, Reader, Receipt, described
from .notices import render
from .signals import inbox_changed
from .stream.number import log_database, number
from .stream.publish import News, publish
from .stream.read import Member, Subscription, read_counts, read_heads, read_standing, subscribe
from .wire import Counts, Cursor

ACTIONS = {
    "seen": Op.SEEN,
    "read": Op.READ,
    "unread": Op.UNREAD,
    "archive": Op.ARCHIVED,
    "unarchive": Op.UNARCHIVED,
    "read_all": Op.READ_ALL,
}

PAGE_LIMIT = 100
KINDS_FROM = 300
"""The newest notifications whose kinds are offered as filters."""
WALKED = 1_000
"""Postings of a shared stream, beyond which what was read one by one moves the watermark."""
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
class Page:
    """Items, newest first. `counts.at` was taken before them.

    `before` leads to the page of older ones, `after` to that of newer ones.
    """

    items: list[Item]
    before: str | None
    counts: Counts
    after: str | None = None


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
        span = Span(None if token is None else Position.parse(token), newer=after is not None)
        standing = read_standing(self.subscription)
        listing = Listing(self.subscription, view, span, search, standing.read_seqs)
        if search.narrows:
            span.end = listing.end_of_search()
        rows = listing.rows(limit + 1)
        if span.newer and len(rows) <= limit and span.end is None:
            return self.page(view, None, limit, search=search)  # the newest page, and a full one
        shown, more = rows[:limit], len(rows) > limit
        far = span.end if not more else shown[-1].position
        near = span.position and (shown[0].position if shown else None)
        if span.newer:
            shown = shown[::-1]
            far, near = near, far
        rendered = render([row.notification for row in shown], self.language)
        items = [
            self._item(row, rendered[row.notification.pk], standing.read_seqs) for row in shown
        ]
        return Page(items, _token(far), standing.counts, _token(near))

    def kinds(self) -> list[str]:
        """The kinds of the newest notifications of this inbox."""
        using = log_database()
        own = Receipt.objects.using(using).filter(person_id=self.person_id, named__in=[True])
        theirs = Q(pk__in=[])
        for stream, begin in self.subscription.shared.items():
            theirs |= Q(stream=stream, seq__gt=begin)
        shared = Posting.objects.using(using).filter(theirs)
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

    def _item(self, row: Row, rendered: dict[str, Any], seqs: dict[str, int]) -> Item:
        one = row.notification
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
            archived=row.archived,
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
    unread = is_unread(receipt.read, receipt.seq, read_seq)
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


def _lang_of(one: Notification) -> str:
    """The language of a text that was stored as it is: what its sender said of it."""
    lang = one.data.get("lang", "") if isinstance(one.data, dict) else ""
    return lang if isinstance(lang, str) else ""


def _token(position: Position | None) -> str | None:
    return None if position is None else position.token
