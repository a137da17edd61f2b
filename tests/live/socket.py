"""A client of the wire protocol that shares no line with the project's own.

It follows DESIGN.md section 3 to the letter and keeps a ledger, so that a test can say what
arrived, in which order, and that nothing came twice.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable
from socket import SHUT_RDWR
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from tests.live.process import NeverHappened

PROTOCOL = "notifications.v1"
OPS = {
    *("created", "updated", "recalled"),
    *("seen", "read", "unread", "read_all", "archived", "unarchived"),
    "alert",
}
PATIENCE = 20.0
"""Seconds, on a machine that is busy with other tests; what comes is not waited for."""
Frame = dict[str, Any]
Cursor = dict[str, Any]


class Closed(Exception):
    """The server ended the connection."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Client:
    """One open socket, and what its owner knows."""

    def __init__(
        self,
        url: str,
        *,
        cookies: dict[str, str] | None = None,
        origin: str | None = None,
        subprotocols: tuple[str, ...] = (PROTOCOL,),
        headers: list[tuple[str, str]] | None = None,
        acks: bool = True,
    ) -> None:
        cookie = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
        opening = connect(
            url,
            origin=Origin(origin) if origin is not None else None,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            additional_headers=[*([("Cookie", cookie)] if cookie else []), *(headers or [])],
            compression=None,
            max_size=None,
            ping_interval=None,
            open_timeout=20,
            close_timeout=2,
            proxy=None,
        )
        self._connection = opening.__enter__()  # `close` and `cut` are its end
        self._acks = acks
        self._frames_since_ack = 0
        self._numbers = 0
        self.cursor: Cursor = {}
        self.counts: Frame = {}
        self.welcome: Frame = {}
        # The ledger.
        self.frames: list[Frame] = []
        self.applied: list[tuple[str, int, str]] = []  # stream, seq, op
        self.rows: dict[int, Frame] = {}  # notification id -> notification
        self.state: dict[int, set[str]] = {}  # notification id -> seen, read, archived
        self.alerts: dict[int, Frame] = {}  # alert id -> its state
        self.arrived: list[str] = []  # titles of what was created, in order
        self.twice: list[Frame] = []  # frames that were dropped because they were not newer
        self.gaps: list[Frame] = []  # frames that did not fit
        self.resets: list[Frame] = []

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    # Speaking

    def send(self, frame: Any) -> None:
        self.send_raw(json.dumps(frame))

    def send_raw(self, message: str | bytes) -> None:
        try:
            self._connection.send(message)
        except ConnectionClosed as closed:
            raise Closed(code_of(closed)) from None

    def hello(self, cursor: Cursor | None = None, **fields: Any) -> Frame:
        """Introduce ourselves, and read the welcome."""
        self.cursor = dict(cursor or {})
        self.send(
            {"type": "hello", "cursor": cursor, "tab": secrets.token_hex(4), "lang": "en"} | fields
        )
        frame = self.receive()
        assert frame["type"] == "welcome", f"the first frame was {frame}"
        return frame

    def send_rubbish(self) -> None:
        """Bytes that are no WebSocket frame, and then whatever the server makes of it."""
        self._connection.socket.sendall(b"\xff" * 64)
        self.receive()

    def start_acking(self) -> None:
        self._acks = True
        self._frames_since_ack = 0
        # With the cursor: without one it would answer the heartbeats that we left unanswered.
        self.send({"type": "ack", "cursor": self.cursor})

    def do(self, action: str, **what: Any) -> Frame:
        """Act on the inbox, and have the answer."""
        self._numbers += 1
        number = str(self._numbers)
        self.send({"type": "do", "id": number, "action": action} | what)
        return self.wait_for("done", lambda frame: frame["id"] == number)

    def sync(self) -> None:
        self.send({"type": "sync", "cursor": self.cursor})

    def close(self) -> None:
        self._connection.close()

    def cut(self) -> None:
        """Lose the line without a goodbye."""
        with contextlib.suppress(OSError):
            self._connection.socket.shutdown(SHUT_RDWR)
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Listening

    def receive(self, timeout: float = PATIENCE) -> Frame:
        """The next frame, applied."""
        try:
            text = self._connection.recv(timeout=timeout)
        except TimeoutError:
            raise NeverHappened(f"no frame within {timeout} s; so far: {self.frames}") from None
        except ConnectionClosed as closed:
            raise Closed(code_of(closed)) from None
        assert isinstance(text, str), "the server sent a binary frame"
        frame: Frame = json.loads(text)
        assert isinstance(frame, dict), text
        assert isinstance(frame.get("type"), str), text
        self.frames.append(frame)
        self._apply(frame)
        return frame

    def wait_for(
        self,
        kind: str,
        that: Callable[[Frame], bool] = lambda frame: True,
        timeout: float = PATIENCE,
    ) -> Frame:
        """The next frame of this type (of which something is true)."""
        deadline = time.monotonic() + timeout
        while True:
            frame = self.receive(max(0.01, deadline - time.monotonic()))
            if frame["type"] == kind and that(frame):
                return frame

    def listen_until(self, truth: Callable[[], Any], what: str, timeout: float = PATIENCE) -> None:
        """Read frames until something is true of what we know."""
        deadline = time.monotonic() + timeout
        while not truth():
            left = deadline - time.monotonic()
            if left <= 0:
                raise NeverHappened(f"not within {timeout} s: {what}; frames: {self.frames}")
            try:
                self.receive(left)
            except NeverHappened:
                continue

    def listen_for(self, *titles: str, timeout: float = PATIENCE) -> None:
        """Read frames until these have arrived, in whatever order."""
        self.listen_until(
            lambda: set(titles) <= set(self.arrived), f"{titles} among {self.arrived}", timeout
        )

    def listen(self, seconds: float) -> None:
        """Read frames for so long, whatever comes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                self.receive(left)
            except NeverHappened:
                return

    def settle(self) -> None:
        """Read all that the server had to say up to now: what it sent before our pong.

        Frames from the collector come a moment after what caused them, so this proves what has
        come, not that nothing else will.
        """
        self.send({"type": "ping"})
        self.wait_for("pong")

    def answer(self, kind: str | None = None) -> Frame:
        """The next frame (of this type), or the end as `{"type": "close", "code": ...}`."""
        try:
            return self.wait_for(kind) if kind else self.receive()
        except Closed as closed:
            return {"type": "close", "code": closed.code}

    def wait_for_close(self, timeout: float = PATIENCE) -> int:
        """Read to the end, and say the code."""
        deadline = time.monotonic() + timeout
        try:
            while True:
                self.receive(max(0.01, deadline - time.monotonic()))
        except Closed as closed:
            return closed.code

    def unread(self) -> set[str]:
        """Titles of the rows that this client shows as unread."""
        return {
            row["title"]
            for id, row in self.rows.items()
            if not {"read"} & self.state.get(id, set())
        }

    # The rules of the protocol

    def _apply(self, frame: Frame) -> None:
        match frame["type"]:
            case "welcome":
                self.welcome = frame
                self.counts = frame["counts"]
                if frame["mode"] != "resume":
                    self.cursor = dict(frame["cursor"])
            case "items":
                self._apply_items(frame)
            case "counts":
                self.counts = {key: frame[key] for key in ("at", "unseen", "unread")}
            case "done":
                if frame.get("counts"):
                    self.counts = frame["counts"]
            case "reset":
                self.resets.append(frame)
                self.cursor = dict(frame["cursor"])
            case "hb":
                if not self._acks:
                    return  # to go on from a cursor acknowledges what came before it
                self.send({"type": "ack"})
                theirs = frame.get("cursor")
                if theirs and any(
                    self.cursor.get(stream, 0) < head
                    for stream, head in theirs.items()
                    if stream != "epoch"
                ):
                    self.sync()

    def _apply_items(self, frame: Frame) -> None:
        stream = frame["stream"]
        held = self.cursor.get(stream, 0)
        if frame["seq"] <= held:
            self.twice.append(frame)
        elif frame["prev"] != held:
            self.gaps.append(frame)
            self.sync()
        else:
            last = held
            for item in frame["items"]:
                assert last < item["seq"] <= frame["seq"], f"out of order: {frame}"
                last = item["seq"]
                self._apply_item(stream, item)
            self.cursor[stream] = frame["seq"]
        self._frames_since_ack += 1
        if self._acks and self._frames_since_ack >= self.welcome.get("window", 64) // 2:
            self._frames_since_ack = 0
            self.send({"type": "ack"})

    def _apply_item(self, stream: str, item: Frame) -> None:
        op = item["op"]
        assert op in OPS, f"no such op: {item}"
        self.applied.append((stream, item["seq"], op))
        if op in ("created", "updated"):
            notification = item["notification"]
            if op == "created" and notification["id"] not in self.rows:
                self.arrived.append(notification["title"])
                at = self.counts.get("at", {}).get(stream, 0)
                if item["seq"] > at:
                    for number in ("unseen", "unread"):
                        self.counts[number] = min(100, self.counts.get(number, 0) + 1)
            self.rows[notification["id"]] = notification
            return
        if op == "alert":
            self.alerts[item["alert"]["id"]] = item["alert"]
            return
        if op == "read_all":
            self._note(list(self.rows), "read", "seen")  # a test that needs `upto` looks at it
            return
        ids = item["ids"] if "ids" in item else list(self.rows)
        if op == "recalled":
            for id in ids:
                self.rows.pop(id, None)
        elif op == "seen":
            self._note(ids, "seen")
        elif op == "read":
            self._note(ids, "read", "seen")
        elif op == "archived":
            self._note(ids, "archived")
        elif op in ("unread", "unarchived"):
            for id in ids:
                self.state.setdefault(id, set()).discard(op.removeprefix("un"))

    def _note(self, ids: list[int], *words: str) -> None:
        for id in ids:
            self.state.setdefault(id, set()).update(words)


def code_of(closed: ConnectionClosed) -> int:
    return closed.rcvd.code if closed.rcvd else 1006
