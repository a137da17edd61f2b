"""The test kit: what was said to whom, a client that hears it, and a clock that jumps.

    from notifications.testing import assert_notified

    def test_a_shipped_order_tells_its_buyer(order):
        order.ship()
        assert_notified(order.buyer, OrderShipped, order=order)

Nothing is mocked: the rows are those that `notify()` wrote, and the live client talks to the real
consumer, hub and log. With pytest the fixtures `outbox`, `live_client` and `time_travel` are
there as soon as the package is installed; with unittest, mix in `NotificationsMixin`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar
from unittest import mock

from django.conf import settings
from django.db import connections
from django.db.models import DateTimeField, Q, QuerySet, Value
from django.test import Client
from django.utils import timezone

from .audiences import Audience, resolve, streams_of
from .consumers import NotificationConsumer
from .inbox import inbox_of
from .models import Notification
from .notices import Notice
from .stream import number as numbering
from .stream.hub import Hub
from .stream.number import log_database, number
from .stream.read import read_heads
from .wire import ADDRESS, SUBPROTOCOL, Counts

Kind = type[Notice] | str | None
Frame = dict[str, Any]

_STORED = ("title", "body", "url", "key", "data")


# --- What was said -----------------------------------------------------------------------


class Outbox:
    """What was sent since it was made, as it stands in the database. Withdrawn news is not in it.

    What a transaction took back is not there either, and what an open one has written is.
    """

    def __init__(self, *, from_the_start: bool = False) -> None:
        newest = None if from_the_start else self._rows().order_by("-pk").first()
        self._after = newest.pk if newest else 0

    @staticmethod
    def _rows() -> QuerySet[Notification]:
        return Notification.objects.using(log_database())

    def sent(self, to: Any = None, kind: Kind = None, **expected: Any) -> list[Notification]:
        """The notifications of this kind and content that `to` was sent, oldest first.

        `to` is a user (then also what went to an audience of theirs), an audience, or None for
        anybody. `expected` are fields of the kind, or `title`, `body`, `url`, `level`, `data` as
        they are stored: in the site's language.
        """
        rows = self._rows().filter(pk__gt=self._after, recalled_at=None).order_by("pk")
        if isinstance(to, Audience):
            stream = to.stream()
            rows = rows.filter(
                Q(audience=stream) if stream else Q(receipts__person_id__in=resolve(to).person_ids)
            )
        elif to is not None:
            rows = rows.filter(
                Q(receipts__person=to, receipts__named=True) | Q(audience__in=streams_of(to))
            )
        if kind is not None:
            rows = rows.filter(kind=kind if isinstance(kind, str) else kind.kind)
        return [one for one in rows.distinct() if _is(one, kind, expected)]

    def assert_notified(
        self, to: Any, kind: Kind = None, times: int | None = 1, **expected: Any
    ) -> list[Notification]:
        """`to` was sent this, so many times; None: once or more. Returns the notifications."""
        found = self.sent(to, kind, **expected)
        good = bool(found) if times is None else len(found) == times
        if not good:
            wanted = "at least once" if times is None else f"{times} times"
            raise AssertionError(
                f"expected {to} to be sent {_described(kind, expected)} {wanted}, and it was "
                f"{len(found)} times. {self._told(to)}"
            )
        return found

    def assert_not_notified(self, to: Any, kind: Kind = None, **expected: Any) -> None:
        """`to` was not sent this; without a kind: nothing at all."""
        self.assert_notified(to, kind, times=0, **expected)

    def _told(self, to: Any) -> str:
        said = [f"  {one.kind or '(no kind)'}: {one.title}" for one in self.sent(to)]
        return "\n".join([f"{to} was sent:", *said]) if said else f"{to} was sent nothing."

    def __iter__(self) -> Iterator[Notification]:
        return iter(self.sent())

    def __len__(self) -> int:
        return len(self.sent())

    def __getitem__(self, index: int) -> Notification:
        return self.sent()[index]


def _is(one: Notification, kind: Kind, expected: dict[str, Any]) -> bool:
    fields = kind.field_types() if isinstance(kind, type) else {}
    for name, value in expected.items():
        if name in fields:
            stand_in = object.__new__(kind)  # type: ignore[arg-type]
            stand_in.__dict__ = dict.fromkeys(fields, value)
            if one.params.get(name) != stand_in.params()[name]:
                return False
        elif name == "level":
            if one.level_word != value:
                return False
        elif name not in _STORED:
            known = ", ".join([*fields, *_STORED, "level"])
            raise TypeError(f"{name!r} cannot be expected: choose from {known}.")
        elif getattr(one, name) != value:
            return False
    return True


def _described(kind: Kind, expected: dict[str, Any]) -> str:
    name = "anything" if kind is None else kind if isinstance(kind, str) else kind.__name__
    more = ", ".join(f"{field}={value!r}" for field, value in expected.items())
    return f"{name}({more})" if more else name


def assert_notified(
    to: Any, kind: Kind = None, times: int | None = 1, **expected: Any
) -> list[Notification]:
    """`Outbox.assert_notified`, of all that is in the test's database."""
    return Outbox(from_the_start=True).assert_notified(to, kind, times, **expected)


def assert_not_notified(to: Any, kind: Kind = None, **expected: Any) -> None:
    """`Outbox.assert_not_notified`, of all that is in the test's database."""
    Outbox(from_the_start=True).assert_not_notified(to, kind, **expected)


# --- The clock ---------------------------------------------------------------------------


@contextmanager
def time_travel(to: datetime | None = None, **ahead: float) -> Iterator[None]:
    """Be at a moment, or so far ahead: `time_travel(hours=3)`. The clock goes on from there.

    Schedules come due, and what expires is gone; for this process, and the database's clock in
    so far as the app asks it.
    """
    here = timezone.now
    offset = timedelta(**ahead) if to is None else to - here()

    def now() -> datetime:
        return here() + offset

    def now_there() -> Value:
        return Value(timezone.now(), output_field=DateTimeField())

    with mock.patch.object(timezone, "now", now), mock.patch.object(numbering, "Now", now_there):
        yield


# --- The live client ---------------------------------------------------------------------


class _Server:
    """The event loop, in a thread, of all live clients that are open: one server process."""

    _running: ClassVar[_Server | None] = None

    def __init__(self) -> None:
        self.users = 0
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    @classmethod
    @contextmanager
    def entered(cls) -> Iterator[_Server]:
        server = cls._running = cls._running or cls()
        server.users += 1
        try:
            yield server
        finally:
            server.users -= 1
            if not server.users:
                cls._running = None
                server._stop()

    def _stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close_hub(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(15)
        self.loop.close()

    async def _close_hub(self) -> None:
        hub = Hub.running()
        if hub is not None:
            await hub.aclose()


class LiveClient:
    """A browser's end of the socket, in this process: it logs in, greets, applies and answers.

    Use `with live_client(user) as client:`. It needs a test whose data is committed:
    `TransactionTestCase`, or `@pytest.mark.django_db(transaction=True)`.
    """

    PATIENCE = 15.0
    """Seconds to wait for what must come."""

    def __init__(self, server: _Server, user: Any, language: str) -> None:
        self._server, self._user, self._language = server, user, language
        self._changed = threading.Condition()
        self._to_server: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._numbers = 0
        self._since_ack = 0
        self._done: dict[str, Frame] = {}
        self._counts: Frame = {"at": {}, "unseen": 0, "unread": 0}
        self._ahead: list[tuple[str, int]] = []
        self.frames: list[Frame] = []
        """Every frame that came, as it came."""
        self.cursor: dict[str, Any] = {}
        self.notifications: dict[int, Frame] = {}
        """What was told while it was connected, by id, as clients get it."""
        self.closed: int | None = None
        """The close code, once the server has closed it."""

    # What it knows

    def titles(self) -> list[str]:
        """What it was told since it connected, in order: all that is committed by now."""
        self.settle()
        return [one["title"] for one in self.notifications.values()]

    @property
    def unread(self) -> int:
        """The number of the badge, as the protocol has clients count it; 100 is "99+"."""
        return min(Counts.CAP, self._counts["unread"] + len(self._ahead))

    @property
    def unseen(self) -> int:
        return min(Counts.CAP, self._counts["unseen"] + len(self._ahead))

    def assert_heard(self, title: str) -> Frame:
        """It was told this; the notification as it came."""
        self.settle()
        for one in self.notifications.values():
            if one["title"] == title:
                return one
        raise AssertionError(f"{self._user} did not hear {title!r}, but {self.titles()}")

    def assert_not_heard(self, title: str) -> None:
        assert title not in self.titles(), f"{self._user} heard {title!r}"

    # What it does

    def do(self, action: str, **what: Any) -> Frame:
        """An action on the inbox, `do("read", ids=[7])`, and its answer."""
        self._numbers += 1
        id = str(self._numbers)
        self._say({"type": "do", "id": id, "action": action} | what)
        self.wait_until(lambda: id in self._done, f"an answer to {action!r}")
        return self._done[id]

    def settle(self) -> None:
        """Wait until it has applied everything that is committed for its person."""
        subscription = inbox_of(
            type(self._user)._default_manager.get(pk=self._user.pk)
        ).subscription
        number(subscription.streams)
        head = read_heads(subscription.streams).head
        wanted = {subscription.key(name): head.get(name, 0) for name in subscription.streams}
        self.wait_until(
            lambda: all(self.cursor.get(key, -1) >= seq for key, seq in wanted.items()),
            f"the client at {wanted}; it is at {self.cursor}",
        )

    def wait_until(self, truth: Callable[[], Any], what: str = "it to come true") -> None:
        """Wait for something that a frame will make true."""
        with self._changed:
            came = self._changed.wait_for(lambda: truth() or self.closed, self.PATIENCE)
        if not truth():
            why = f"closed with {self.closed}" if came else f"waited {self.PATIENCE:.0f} s"
            raise AssertionError(f"{why} for {what}; frames: {self.frames[-5:]}")

    # Its line

    @contextmanager
    def _open(self) -> Iterator[None]:
        browser = Client()
        browser.force_login(self._user)
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())
        scope = {
            "type": "websocket",
            "path": ADDRESS,
            "scheme": "ws",
            "subprotocols": [SUBPROTOCOL],
            "headers": [
                (b"host", b"testserver"),
                (b"origin", b"http://testserver"),
                (b"cookie", cookies.encode("latin-1")),
            ],
        }
        self._to_server.put_nowait({"type": "websocket.connect"})
        task = asyncio.run_coroutine_threadsafe(
            NotificationConsumer()(scope, self._to_server.get, self._take),
            self._server.loop,
        )
        try:
            self._say({"type": "hello", "cursor": None, "tab": "test", "lang": self._language})
            self.wait_until(lambda: self.cursor, "a welcome")
            yield
        finally:
            self._tell({"type": "websocket.disconnect", "code": 1000})
            task.result(self.PATIENCE)

    def _say(self, frame: Frame) -> None:
        self._tell({"type": "websocket.receive", "text": json.dumps(frame)})

    def _tell(self, message: dict[str, Any]) -> None:
        self._server.loop.call_soon_threadsafe(self._to_server.put_nowait, message)

    async def _take(self, message: dict[str, Any]) -> None:
        """From the server, in its loop."""
        with self._changed:
            if message["type"] == "websocket.close":
                self.closed = message.get("code", 1000)
            elif "text" in message:
                frame = json.loads(message["text"])
                self.frames.append(frame)
                self._apply(frame)
            self._changed.notify_all()

    # The rules of the protocol

    def _apply(self, frame: Frame) -> None:
        match frame["type"]:
            case "welcome" | "reset":
                self.cursor = dict(frame["cursor"])
                if "counts" in frame:
                    self._count(frame["counts"])
            case "items":
                self._apply_items(frame)
            case "counts":
                self._count(frame)
            case "done":
                if frame.get("counts"):
                    self._count(frame["counts"])
                self._done[frame["id"]] = frame
            case "hb":
                self._say({"type": "ack"})
                if any(
                    self.cursor.get(key, 0) < head
                    for key, head in frame.get("cursor", {}).items()
                    if key != "epoch"
                ):
                    self._say({"type": "sync", "cursor": self.cursor})

    def _apply_items(self, frame: Frame) -> None:
        stream, held = frame["stream"], self.cursor.get(frame["stream"], 0)
        if frame["seq"] > held:
            if frame["prev"] != held:
                self._say({"type": "sync", "cursor": self.cursor})
                return
            for item in frame["items"]:
                self._apply_item(stream, item)
            self.cursor[stream] = frame["seq"]
        self._since_ack += 1
        if self._since_ack >= self.frames[0].get("window", 64) // 2:
            self._since_ack = 0
            self._say({"type": "ack"})

    def _apply_item(self, stream: str, item: Frame) -> None:
        if item["op"] in ("created", "updated"):
            one = item["notification"]
            new = item["op"] == "created" and one["id"] not in self.notifications
            if new and item["seq"] > self._counts["at"].get(stream, 0):
                self._ahead.append((stream, item["seq"]))
            self.notifications[one["id"]] = one
        elif item["op"] == "recalled":
            for id in item["ids"]:
                self.notifications.pop(id, None)

    def _count(self, counts: Frame) -> None:
        self._counts = {name: counts[name] for name in ("at", "unseen", "unread")}
        at = self._counts["at"]
        self._ahead = [(key, seq) for key, seq in self._ahead if seq > at.get(key, 0)]


@contextmanager
def live_client(user: Any, *, language: str | None = None) -> Iterator[LiveClient]:
    """A connected `LiveClient` of `user`. Several at once share one hub, as in one process."""
    if connections[log_database()].in_atomic_block:
        raise RuntimeError(
            "a live client hears what is committed, and this test commits nothing: use "
            "TransactionTestCase, or @pytest.mark.django_db(transaction=True)."
        )
    with _Server.entered() as server:
        client = LiveClient(server, user, language or settings.LANGUAGE_CODE)
        with client._open():
            yield client


# --- unittest ----------------------------------------------------------------------------


class NotificationsMixin:
    """For Django's test cases: `class ShopTest(NotificationsMixin, TestCase)`."""

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self.outbox = Outbox()

    def assert_notified(
        self, to: Any, kind: Kind = None, times: int | None = 1, **expected: Any
    ) -> list[Notification]:
        """`Outbox.assert_notified`, since this test began."""
        return self.outbox.assert_notified(to, kind, times, **expected)

    def assert_not_notified(self, to: Any, kind: Kind = None, **expected: Any) -> None:
        """`Outbox.assert_not_notified`, since this test began."""
        self.outbox.assert_not_notified(to, kind, **expected)

    def live_client(self, user: Any, **options: Any) -> LiveClient:
        """A `LiveClient` until the end of the test."""
        return self.enterContext(live_client(user, **options))  # type: ignore[attr-defined]

    def time_travel(self, to: datetime | None = None, **ahead: float) -> None:
        """`time_travel`, until the end of the test."""
        self.enterContext(time_travel(to, **ahead))  # type: ignore[attr-defined]
