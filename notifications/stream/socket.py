"""One connected socket, as the hub sees it: what it was sent, and whether it keeps up."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from ..conf import conf
from ..wire import HEARTBEAT, SUBPROTOCOL, Close, Cursor
from .line import Frame, direct
from .read import Subscription

GONE = 1006
"""The code of a line that was lost."""

WINDOW_BYTES = 256 * 1024
"""What may be written to a socket and unacknowledged, and what daphne may hold of it unsent: its
`send` never waits."""
TOO_MUCH = 2 * WINDOW_BYTES
"""Unsent bytes, answers and heartbeats included, with which a socket is closed."""

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Socket:
    """A socket has no queue. One that does not keep up is merely behind, and is read further.

    `sent` says for each stream what was written to it. While it is `behind` it gets no pushes
    at all, so that nothing of its own stream overtakes a shared one.
    """

    __slots__ = (
        "_after_heartbeat",
        "_allowance",
        "_direct",
        "_finishing",
        "_heard",
        "_protocol",
        "_send",
        "_unacked",
        "_unacked_bytes",
        "behind",
        "checked",
        "closed",
        "epoch",
        "expires",
        "language",
        "live",
        "missed",
        "owed_counts",
        "sent",
        "session_key",
        "since",
        "subscription",
        "tabs",
        "turn",
        "version",
        "window",
        "window_bytes",
    )

    transport = "websocket"

    def __init__(
        self,
        subscription: Subscription,
        send: Send,
        session_key: str,
    ) -> None:
        self.subscription = subscription
        self.language = conf.language
        self.session_key = session_key
        self.checked = self.since = self._heard = now = time.monotonic()
        self.version = SUBPROTOCOL
        self.tabs = 1
        """Windows that share it, as their leader says."""
        self._send = send
        self._direct = direct(send)
        self._protocol = _daphnes_protocol(send)
        self.sent: dict[str, int] = {}
        self.epoch = 0
        self.live = False
        self.behind = False
        self.owed_counts = False
        """Counts changed while it could not be told."""
        self.turn = 0
        """Counted up by every `sync`: what was being read for an earlier one is void."""
        self.window = conf.window
        """`items` frames that may be unacknowledged."""
        self.window_bytes = WINDOW_BYTES
        self._unacked: list[int] = []
        """The sizes of the `items` frames that are not acknowledged, oldest first."""
        self._unacked_bytes = 0
        self._after_heartbeat: int | None = None
        self.missed = 0
        self._allowance: float = conf.frames_burst
        self.closed: int | None = None
        self._finishing: asyncio.Task[None] | None = None
        self.expires = now + conf.lifetime * random.uniform(0.8, 1)

    @property
    def person_id(self) -> Any:
        return self.subscription.person_id

    @property
    def heard_at(self) -> float:
        """When it last said something, by the monotonic clock."""
        return self._heard

    @property
    def writable(self) -> bool:
        """Whether the server has taken what was written before."""
        return self._finishing is None and self.closed is None

    @property
    def has_room(self) -> bool:
        """Whether its window has room, or is still waiting for the server to take what was
        written."""
        if self._unacked_bytes >= self.window_bytes:
            return False
        if len(self._unacked) >= self.window:
            return False
        return self._protocol is None or self.unsent < WINDOW_BYTES

    @property
    def window_open(self) -> bool:
        return self._finishing is None and self.closed is None and self.has_room

    @property
    def unsent(self) -> int:
        """Bytes that daphne holds for a client that does not read. 0 where `send` waits for it."""
        line: Any = getattr(self._protocol, "transport", None)
        try:
            return len(line.dataBuffer) - line.offset + line._tempDataLen
        except AttributeError:  # not daphne, closed, or wrapped in TLS
            return 0

    @property
    def unacked(self) -> int:
        return len(self._unacked)

    def cursor(self) -> Cursor:
        """What was written to it, as a cursor."""
        return self.subscription.cursor(self.epoch, self.sent)

    def adopt(self, cursor: Cursor, epoch: int) -> None:
        """It holds this now, of the history with this epoch of the database."""
        self.sent = self.subscription.seqs(cursor)
        self.epoch = epoch

    # --- Writing ---

    def write(self, text: str) -> None:
        """Write a frame now. No task and no wake-up, unless the server makes it wait."""
        if self._direct is not None and self._finishing is None and self.closed is None:
            frame = text if type(text) is Frame else Frame(text)
            if self._direct(frame):
                return
        self._step({"type": "websocket.send", "text": text})

    def push(self, stream: str, prev: int, seq: int, text: str) -> bool:
        """Write an `items` frame, if the socket is live, stands at `prev` and has room for it."""
        if not self.live or self.behind or self.sent.get(stream) != prev or not self.window_open:
            return False
        self.write_items(stream, seq, text)
        return True

    def write_items(self, stream: str, seq: int, text: str) -> None:
        """Write an `items` frame, which the client will acknowledge."""
        frame = text if type(text) is Frame else Frame(text)
        size = frame.size
        self.sent[stream] = seq
        self._unacked.append(size)
        self._unacked_bytes += size
        if self._after_heartbeat is not None:
            self._after_heartbeat += 1
        self.write(frame)
        if self._after_heartbeat is None and self._unacked_bytes >= self.window_bytes:
            self.write_heartbeat(HEARTBEAT)  # a client counts frames: ask it to acknowledge

    def write_heartbeat(self, text: str) -> None:
        """Write a heartbeat. Its answer acknowledges all that was sent before it."""
        self.missed += 1
        self._after_heartbeat = 0
        self.write(text)

    def close(self, code: Close) -> None:
        """Close with `code`; the server ends the socket's task."""
        if self.closed is None:
            self.closed = code
            self.live = False
            self._step({"type": "websocket.close", "code": int(code)})

    async def drained(self) -> None:
        """Wait until the server has taken what was written; raises `OSError` if the line is gone.

        Who asks just when it was taken gives the event loop its turn too: only then is it noted.
        """
        while (finishing := self._finishing) is not None:
            await asyncio.wait([finishing])
            finishing.result()

    def _step(self, message: dict[str, Any]) -> None:
        coroutine = self._send(message)
        assert isinstance(coroutine, Coroutine)
        if self._finishing is not None:  # behind the frame that waits
            self._finish(_after(self._finishing, coroutine))
            return
        try:
            waits_for = coroutine.send(None)
        except StopIteration:
            return
        except Exception:  # the line is gone; the server says so to the socket's own task
            self.closed = self.closed or GONE
            self.live = False
            return
        self._finish(_rest(coroutine, waits_for))

    def _finish(self, rest: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(rest)
        self._finishing = task

        def finished(done: asyncio.Task[None]) -> None:
            if self._finishing is done:
                self._finishing = None
            if not done.cancelled() and done.exception() is not None:
                self.closed = self.closed or GONE
                self.live = False

        task.add_done_callback(finished)

    # --- Acknowledgements ---

    def ack(self, cursor: Cursor | None) -> None:
        """The client has applied what was sent: all of it up to the last heartbeat when that is
        being answered, else half the window, which is when a client acknowledges."""
        if cursor is not None and cursor.seqs == self.cursor().seqs:
            left = 0
        elif self._after_heartbeat is not None:
            left = self._after_heartbeat
            self._after_heartbeat = None
        else:
            left = self.unacked - max(1, self.window // 2)
        taken = self.unacked - max(0, left)
        self._unacked_bytes -= sum(self._unacked[:taken])
        del self._unacked[:taken]

    def heard(self) -> bool:
        """The client said something, so the line is alive. False: it says more than it may."""
        self.missed = 0
        now = time.monotonic()
        earned = (now - self._heard) * conf.frames_per_second
        self._heard = now
        self._allowance = min(conf.frames_burst, self._allowance + earned) - 1
        return self._allowance >= 0


def _daphnes_protocol(send: Send) -> Any:
    """What daphne's `send` is bound to; None for every other server."""
    protocol = next(iter(getattr(send, "args", ())), None)
    return protocol if hasattr(protocol, "transport") else None


class _Started:
    """A coroutine that was started outside a task, and waits for the future it yielded."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self.coroutine, self.waits_for = coroutine, waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        while True:
            yield self.waits_for
            try:
                self.waits_for = self.coroutine.send(None)
            except StopIteration:
                return


async def _rest(coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
    await _Started(coroutine, waits_for)


async def _after(task: asyncio.Task[None], coroutine: Coroutine[Any, Any, None]) -> None:
    await asyncio.wait([task])
    await coroutine
