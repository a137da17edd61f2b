"""A small town for the model test: people, their clients, and all that can happen to them.

Every step takes plain numbers, so that Hypothesis and a seeded `random.Random` can both drive it.
Time is the town's own: a second for each step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from django.contrib.auth.models import Group as DjangoGroup
from django.contrib.auth.models import User
from django.db.models import DateTimeField, Value
from django.utils import timezone

from notifications import Everyone, Group, Staff, broadcast, inbox_of, notify, wire
from notifications.errors import NotificationError
from notifications.models import Entry, Notification, Pending, Posting, Reader, Receipt, Stream
from notifications.notices import render
from notifications.stream import number as numbering
from notifications.stream.number import number
from notifications.stream.prune import Limits, cuts, prune
from notifications.stream.read import (
    count_changes,
    greet,
    new_epoch,
    read_counts,
    read_since,
    write_runs,
)
from notifications.wire import Cursor

from .replica import Replica

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TABLES = (Entry, Pending, Posting, Reader, Receipt, Stream, Notification)


ACTIONS = ("read", "unread", "archive", "unarchive", "seen")
OK, TWICE, LOST = range(3)
"""What happens to a frame on its way."""

Record = Callable[..., None]


@contextmanager
def clock(now: Callable[[], datetime]) -> Iterator[None]:
    """Everybody has this time: the process, the database, and the rows by themselves."""

    def now_there() -> Value:
        return Value(now(), DateTimeField())

    with ExitStack() as patches:
        for model in TABLES:
            for field in model._meta.concrete_fields:
                if field.default is timezone.now:  # it holds the function, not its name
                    patches.enter_context(mock.patch.object(field, "_get_default", now))
        patches.enter_context(mock.patch.object(numbering, "Now", now_there))
        patches.enter_context(mock.patch.object(timezone, "now", now))
        yield


class Client:
    """A window of somebody, and the socket that the server has for it."""

    def __init__(self, town: Town, person: User, record: Record | None = None) -> None:
        self.town = town
        self.person = person
        self.state = Replica()
        self.online = False
        self.sent: Cursor | None = None
        self.shared: set[str] = set()
        self._list: dict[str, Any] | None = None
        self._record = record or (lambda *event: None)
        self.ask_for_list()
        self.take_list()

    @property
    def inbox(self):
        return inbox_of(User.objects.get(pk=self.person.pk), "en")

    @property
    def is_loading(self) -> bool:
        return self._list is not None

    def ask_for_list(self) -> None:
        """The server answers now; the answer may take a while to arrive."""
        inbox = self.inbox
        inbox.number()
        page = inbox.page(limit=100)
        self.state.begin_loading()
        self._record("begin")
        answer = {
            "items": [item.as_json() for item in page.items],
            "counts": page.counts.as_json(),
        }
        self._list = json.loads(json.dumps(answer))

    def take_list(self) -> None:
        if self._list is not None:
            self.state.load(self._list)
            self._record("load", self._list)
            self._list = None

    def take(self, text: str) -> None:
        """A frame arrives; do what the protocol asks for."""
        self.town.check_audience(self.person, text)
        wishes = self.state.apply(text)
        self._record("frame", json.loads(text))
        if "reload" in wishes:
            self.ask_for_list()
            self.take_list()
        if "sync" in wishes:
            self.sent = Cursor.parse(self.state.cursor)
            self.read_on()

    # The server's side of the socket

    def connect(self, with_cursor: bool, limit: int) -> None:
        cursor = Cursor.parse(self.state.cursor) if with_cursor else None
        subscription = self.inbox.subscription
        found = greet(subscription, cursor, limit)
        self.online = True
        self.shared = set(subscription.shared)
        self.sent = found.start
        self.take(found.text)
        self.read_on(limit)

    def read_on(self, limit: int = 50, fate: int = OK) -> None:
        """Everything that there is for this socket, as the hub would push it."""
        inbox = self.inbox
        inbox.number()
        subscription = inbox.subscription
        counts_are_due = False
        if set(subscription.shared) != self.shared:
            self.shared = set(subscription.shared)
            self._reset(read_since(subscription, None, limit).heads, "audience")
        while True:
            assert self.sent is not None
            reading = read_since(subscription, self.sent, limit)
            if reading.why is not None:
                self._reset(reading.heads, reading.why)
                continue
            if not reading.runs:
                break
            counts_are_due |= bool(count_changes(reading.runs))
            for run, text in write_runs(reading.runs, subscription.key, "en", render):
                key = subscription.key(run.stream)
                self.sent = Cursor(self.sent.epoch, {**self.sent.seqs, key: run.seq})
                for _ in range({OK: 1, TWICE: 2, LOST: 0}[fate]):
                    self.take(text)
        if counts_are_due or self.town.has_expired:
            self.count()
        if fate == LOST:
            self.take(wire.heartbeat(read_since(subscription, None, limit).heads))

    def _reset(self, heads: Cursor, why: str) -> None:
        self.sent = heads
        self.take(wire.reset(heads, why))

    def count(self) -> None:
        subscription = self.inbox.subscription
        self.take(wire.counts_frame(read_counts([subscription])[self.person.pk]))


class Town:
    def __init__(self, record: Record | None = None) -> None:
        self.now = NOON
        self.has_expired = False
        self.sent: list[Notification] = []
        self.named: dict[int, set[int]] = {}  # notification -> who may see it; none: an audience
        self._patches = ExitStack()
        self._patches.enter_context(clock(lambda: self.now))
        self.editors = DjangoGroup.objects.create(name="editors")
        self.people = [
            User.objects.create(username=name, date_joined=NOON) for name in ("ana", "bo", "jz")
        ]
        self.ana, self.bo, self.jz = self.people
        self.tick()
        self.clients = [
            Client(self, self.ana, record),
            Client(self, self.ana),
            Client(self, self.jz),
        ]

    def close(self) -> None:
        self._patches.close()
        for model in TABLES:
            model.objects.all().delete()
        User.objects.filter(pk__in=[one.pk for one in self.people]).delete()
        self.editors.delete()
        for model in TABLES:
            model.objects.all().delete()

    def tick(self, seconds: int = 1) -> None:
        before, self.now = self.now, self.now + timedelta(seconds=seconds)
        self.has_expired |= Notification.objects.filter(
            expires__gt=before, expires__lte=self.now
        ).exists()

    @contextmanager
    def step(self, fate: int = OK) -> Iterator[None]:
        """Something happens; then every socket is served, and what is shown is compared."""
        self.has_expired = False
        self.tick()
        yield
        for client in self.clients:
            if client.online:
                client.read_on(fate=fate)

    # What must hold after every step

    def check(self) -> None:
        for client in self.clients:
            if client.online and not client.is_loading:
                inbox = client.inbox
                inbox.number()
                page = inbox.page(limit=100)
                rows = [(item.id, item.title, item.unread) for item in page.items]
                assert client.state.shown(self.now) == rows
                assert client.state.counts == (page.counts.unseen, page.counts.unread)
                assert client.state.cursor == page.counts.at.as_json()

    def check_audience(self, person: User, text: str) -> None:
        """Nobody gets what was told to others."""
        frame = json.loads(text)
        for item in frame.get("items", ()):
            told = item.get("notification", {}).get("id")
            if self.named.get(told):
                assert person.pk in self.named[told], f"{person} was told what is for others"
            if frame["stream"].startswith("group."):
                assert person.groups.exists(), f"{person} is no editor"
            assert frame["stream"] != "staff"

    # What may happen

    def tell(self, who: int, lasts: int) -> None:
        """notify(): `who` is a set of people as bits."""
        people = [one for bit, one in enumerate(self.people) if who & 1 << bit] or [self.bo]
        expires = timedelta(seconds=lasts) if lasts else None
        title = f"News {len(self.sent)}"
        sent = notify(people, title, expires=expires)
        self._remember(sent, people)

    def schedule(self, seconds: int) -> None:
        at = self.now + timedelta(seconds=seconds)
        sent = notify([self.ana, self.jz], f"News {len(self.sent)}", at=at)
        self._remember(sent, [self.ana, self.jz])

    def let_it_be_due(self) -> None:
        """Time goes on to what is scheduled."""
        last = Pending.objects.exclude(due=None).order_by("due").last()
        if last is not None and last.due is not None:
            self.tick(max(1, int((last.due - self.now).total_seconds()) + 1))

    def broadcast(self, which: int, lasts: int) -> None:
        audience = (Everyone(), Group(self.editors), Staff())[which]
        expires = timedelta(seconds=lasts) if lasts else None
        self._remember(broadcast(audience, f"News {len(self.sent)}", expires=expires), [])

    def _remember(self, sent: Notification, people: list[User]) -> None:
        self.sent.append(sent)
        self.named[sent.pk] = {one.pk for one in people}

    def act(self, who: int, action: int, which: int) -> None:
        """Do something to what a window shows: `which` is a set of its rows as bits."""
        client = self.clients[who]
        ids = [id for bit, id in enumerate(sorted(client.state.rows)[-8:]) if which & 1 << bit]
        self._try(client, ACTIONS[action], ids, None)

    def move(self, who: int, seen: bool) -> None:
        """Everything up to what a window holds: seen, or read."""
        client = self.clients[who]
        action = "seen" if seen else "read_all"
        self._try(client, action, None, Cursor.parse(client.state.cursor))

    def _try(self, client: Client, action: str, ids: list[int] | None, upto: Any) -> None:
        try:
            client.inbox.act(action, ids, upto)
        except NotificationError:
            assert not client.online or upto is None  # only what is stale is refused

    def recall(self, which: int) -> None:
        if self.sent:
            self.sent[which % len(self.sent)].recall()

    def wait(self, seconds: int) -> None:
        self.tick(seconds)

    def join(self, who: int, leaves: bool) -> None:
        groups = self.people[who].groups
        (groups.remove if leaves else groups.add)(self.editors)

    def connect(self, who: int, with_cursor: bool, limit: int) -> None:
        if not self.clients[who].online:
            self.clients[who].take_list()
            self.clients[who].connect(with_cursor, limit)

    def disconnect(self, who: int) -> None:
        self.clients[who].online = False

    def open_list(self, who: int) -> None:
        """A window asks for its list; the answer is on its way until `take_list`."""
        if self.clients[who].online:
            self.clients[who].ask_for_list()

    def take_list(self, who: int) -> None:
        self.clients[who].take_list()

    def number_for_somebody_else(self) -> None:
        """Another process reads."""
        number(Pending.objects.values_list("stream", flat=True).distinct())

    def prune(self, keep: int) -> None:
        for chunk in cuts(Limits(datetime(2000, 1, 1, tzinfo=UTC), keep)):
            for cut in chunk:
                prune(cut)

    def restore(self) -> None:
        new_epoch()
