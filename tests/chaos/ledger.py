"""An independent client of `notifications.v1` that writes down every item it applies.

    python -m tests.chaos.ledger BOOK

It shares no line with the project, with its tests' client, nor with its JavaScript: DESIGN.md
section 3, the package `websockets` and the standard library are all it knows. One process holds
many tabs. What they do is told as JSON lines on stdin and answered on stdout; what they applied
goes into the file BOOK, a JSON line each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, TextIO

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

Frame = dict[str, Any]

FINAL = {4001, 4002, 4003, 4004, 4008, 4009}
"""After these codes a client stops; after all others it comes back."""
CAP = 100
STABLE = 30.0
ACTIONS = ("read", "read", "unread", "archive", "unarchive", "seen", "read_all")
LOST_LINE = (OSError, EOFError, ConnectionClosed, InvalidHandshake, InvalidMessage, TimeoutError)


class Row:
    """One notification, as a tab shows it."""

    __slots__ = ("archived", "seq", "stream", "unread")

    def __init__(self, stream: str, seq: int) -> None:
        self.stream, self.seq = stream, seq
        self.unread, self.archived = True, False


class Again(Exception):
    """The line is given up on purpose, and another one is opened at once."""


class Tab:
    """One tab of one person: its cursor, its rows, its badge, and its line to the site."""

    def __init__(self, book: TextIO, plan: dict[str, Any]) -> None:
        self.book = book
        self.name: str = plan["name"]
        self.url: str = plan["url"]
        self.path: str = plan.get("path", "/ws/notifications/")
        self.cookie: str = plan["cookie"]
        self.way: str = plan.get("way", "socket")
        self.reads: bool = plan.get("reads", True)
        self.acks: bool = plan.get("acks", True)
        self.syncs: bool = plan.get("syncs", True)
        self.obeys: bool = plan.get("obeys", True)
        """Leaves when it is asked to; else it waits until it is closed."""
        self.dedups: bool = plan.get("dedups", True)
        self.resumes: bool = plan.get("resumes", True)
        """These two are what a client must do; without them it is broken on purpose."""
        self.patience: float = plan.get("patience", 10.0)
        self.fidgets: float = plan.get("fidgets", 0.0)
        self.random = random.Random(plan.get("seed", self.name))
        self.cursor: dict[str, Any] | None = plan.get("cursor")
        self.rows: dict[int, Row] = {}
        self.base: Frame = {"at": {}, "unseen": 0, "unread": 0}
        self.ahead: list[tuple[str, int]] = []
        self.window = 64
        self.heartbeat = 25.0
        self.unacked = 0
        self.heard = 0.0
        self.live = False
        self.stopped = False
        self.drain: float | None = None
        self.tally: Counter[str] = Counter()
        self.created: set[int] = set()
        self.line: ClientConnection | None = None
        self.change: asyncio.Timeout | None = None
        """When it gives its line up for one of another kind."""
        self.answers: dict[str, asyncio.Future[Frame]] = {}
        self.numbers = 0
        self.fidget: asyncio.Task[None] | None = None
        self.calmed = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.wants_sync = False
        self.reloads = 0
        self.log: list[tuple[str, Frame]] | None = None
        """What came while a list is on its way."""

    def write(self, event: str, **what: Any) -> None:
        line = {"t": round(time.time(), 6), "tab": self.name, "e": event} | what
        self.book.write(json.dumps(line, separators=(",", ":")) + "\n")

    # --- Life -----------------------------------------------------------------------

    def begin(self) -> None:
        self.stopped = False
        self._spawn(self._live())
        if self.fidgets:
            self.fidget = self._spawn(self._fidget())

    def copy(self, other: Tab) -> None:
        """Begin with all that another tab has."""
        self.cursor = dict(other.cursor or {}) or None
        self.base, self.ahead = dict(other.base), list(other.ahead)
        self.created = set(other.created)
        for id, row in other.rows.items():
            mine = self.rows[id] = Row(row.stream, row.seq)
            mine.unread, mine.archived = row.unread, row.archived
        self.write("copy", ids=sorted(self.created), cursor=self.cursor)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def calm(self) -> None:
        """No more clicks; the last one is answered, or will never be."""
        self.calmed.set()
        if self.fidget is not None:
            await asyncio.wait([self.fidget], timeout=31)
            self.fidget = None

    async def end(self) -> None:
        """Close the tab: the line goes, what was applied stays."""
        self.stopped = True
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.live = False

    async def _live(self) -> None:
        attempts = 0
        while not self.stopped:
            began = time.monotonic()
            self.live, self.unacked, self.drain = False, 0, None
            if not self.resumes:
                self.cursor = None
            code = 1006
            try:
                code = await self._once()
            except Again:
                code = 0
            except LOST_LINE as error:
                self.tally[f"lost {type(error).__name__}"] += 1
                self.write("lost", why=f"{type(error).__name__}: {error}"[:200])
            self.tally[f"end {code}"] += 1
            self.write("end", code=code, welcomed=self.live, drained=self.drain is not None)
            self.live = False
            for answer in self.answers.values():
                answer.cancel()
            self.answers.clear()
            if code in FINAL:
                self.stopped = True
                return
            if time.monotonic() - began > STABLE:
                attempts = 0
            if code == 0:
                continue
            wait = self.random.uniform(0, min(20.0, 0.5 * 2**attempts))
            attempts += 1
            await asyncio.sleep(wait)

    async def _once(self) -> int:
        way = self.way
        if way == "mixed":
            way = self.random.choice(["socket", "events", "longpoll", "poll"])
        self.tally[f"way {way}"] += 1
        mixed = self.way == "mixed"
        try:
            async with asyncio.timeout(None) as self.change:
                if mixed:  # for another way, but who is not let in does not go away at once
                    self._change_in(15.0)
                if way == "socket":
                    return await self._socket()
                if way == "events":
                    return await self._events()
                return await self._poll(wait=way == "longpoll")
        except TimeoutError:
            if not mixed:
                raise
            raise Again from None

    def _change_in(self, seconds: float) -> None:
        assert self.change is not None
        self.change.reschedule(asyncio.get_running_loop().time() + seconds)

    # --- The socket -----------------------------------------------------------------

    async def _socket(self) -> int:
        more: dict[str, Any] = {}
        if not self.reads:  # with a small buffer, so that what it does not read stays elsewhere
            host, port = urllib.parse.urlsplit(self.url).netloc.split(":")
            more["sock"] = small = socket.socket()
            small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            small.setblocking(False)
            await asyncio.get_running_loop().sock_connect(small, (host, int(port)))
        line = await asyncio.wait_for(
            connect(
                self.url.replace("http", "ws", 1) + self.path,
                origin=self.url,  # type: ignore[arg-type]
                subprotocols=["notifications.v1"],  # type: ignore[list-item]
                additional_headers={"Cookie": self.cookie},
                compression=None,
                max_size=None,
                ping_interval=None,
                open_timeout=None,
                close_timeout=1,
                proxy=None,
                **more,
            ),
            15,
        )
        self.line = line
        watch = asyncio.ensure_future(self._watch(line))
        try:
            await self._say({"type": "hello", "cursor": self.cursor, "tab": self.name, "lang": ""})
            self.heard = time.monotonic()
            if not self.reads:
                line.transport.pause_reading()
                await asyncio.sleep(3_600)
            while True:
                frame = json.loads(await line.recv())
                self.heard = time.monotonic()
                self.apply(frame)
                await self._answer(frame)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006
        finally:
            watch.cancel()
            self.line = None
            line.transport.abort()

    async def _say(self, frame: Frame) -> None:
        if self.line is not None:
            await self.line.send(json.dumps(frame))

    async def _answer(self, frame: Frame) -> None:
        if frame["type"] == "items":
            self.unacked += 1
        if self.acks and (frame["type"] == "hb" or self.unacked >= self.window // 2):
            self.unacked = 0
            await self._say({"type": "ack"})
        if self.wants_sync and self.syncs:
            self.wants_sync = False
            await self._say({"type": "sync", "cursor": self.cursor})
        if frame["type"] == "drain" and self.obeys:
            wait = self.random.uniform(0, frame["in"] / 1000)
            self._spawn(self._leave(self.line, wait))

    async def _leave(self, line: ClientConnection | None, wait: float) -> None:
        """Asked to drain: go in time, without being told twice."""
        await asyncio.sleep(wait)
        if line is not None and line is self.line:
            await line.close(1000)

    async def _watch(self, line: ClientConnection) -> None:
        """A heartbeat that is late: ask. Still nothing: the line is dead."""
        while True:
            await asyncio.sleep(0.1)
            late = time.monotonic() - self.heard
            if self.live and late > self.heartbeat + self.patience:
                asked = time.monotonic()
                with contextlib.suppress(ConnectionClosed, TimeoutError):
                    await asyncio.wait_for(line.send('{"type":"ping"}'), self.patience / 2)
                await asyncio.sleep(self.patience / 2)
                if self.heard < asked:
                    self.write("dead line")
                    line.transport.abort()
                    return

    # --- HTTP -----------------------------------------------------------------------

    def position(self) -> str:
        if self.cursor is None:
            return ""
        pairs = (f"{key}={seq}" for key, seq in self.cursor.items() if key != "epoch")
        return "?" + urllib.parse.urlencode({"cursor": ";".join([self.cursor["epoch"], *pairs])})

    async def _events(self) -> int:
        path = "/notifications/events/" + self.position()
        async with asyncio.timeout(400), asked(self.url, path, self.cookie) as (status, lines):
            if status != 200:
                return code_of(status)
            data: list[str] = []
            event = ""
            while True:
                async with asyncio.timeout(self.heartbeat + self.patience * 1.5):
                    line = await anext(lines, None)
                if line is None:
                    raise Again  # it ends after a while, and coming back is the acknowledgement
                self.heard = time.monotonic()
                if line.startswith("event:"):
                    event = line[6:].strip()
                elif line.startswith("data:"):
                    data.append(line[5:].removeprefix(" "))
                elif not line and data:
                    if event == "close":
                        return int(data[0])
                    self.apply(json.loads("\n".join(data)))
                    event, data = "", []
                    if self.wants_sync:
                        self.wants_sync = False
                        raise Again
        raise AssertionError

    async def _poll(self, *, wait: bool) -> int:
        while True:
            path = "/notifications/poll/" + self.position()
            async with asyncio.timeout(40):
                status, body = await fetched(self.url, path, self.cookie)
            if status != 200:
                return code_of(status)
            for frame in json.loads(body)["frames"]:
                self.apply(frame)
            self.wants_sync = False  # the next poll is one
            await asyncio.sleep(0 if wait else 0.3)

    async def reload(self) -> None:
        """Reload the whole list, as after `reset`; in a position that was adopted before."""
        self.reloads += 1
        mine, log = self.reloads, []
        self.log = log
        listed: dict[int, tuple[Row, dict[str, int]]] = {}
        for view in ("all", "archived"):
            before = ""
            while before is not None:
                path = f"/notifications/list/?view={view}&size=100{before}"
                try:
                    status, body = await fetched(self.url, path, self.cookie)
                except LOST_LINE:
                    status, body = 0, ""
                if self.reloads != mine:
                    return
                if status != 200:
                    self.tally[f"list {status}"] += 1
                    await asyncio.sleep(0.5)
                    continue
                page = json.loads(body)
                for item in page["items"]:
                    row = Row(item["stream"], item["seq"] or 0)
                    row.unread, row.archived = item["unread"], item["archived"]
                    listed[item["id"]] = row, page["counts"]["at"]
                before = page["before"] and "&before=" + urllib.parse.quote(page["before"])
        # What the log said meanwhile is newer than a page that was read before it.
        rows = {id: row for id, (row, _at) in listed.items()}
        for stream, item in log:
            older = {id: rows[id] for id in rows if item["seq"] > listed[id][1].get(stream, 0)}
            change(older, item)
            for id in item["ids"] if item["op"] == "recalled" else ():
                rows.pop(id, None)
        self.log = None
        self.rows = rows | self.rows
        self.created |= listed.keys()
        self.write("list", ids=sorted(listed))

    # --- The rules of the protocol --------------------------------------------------

    def apply(self, frame: Frame) -> None:
        self.tally[frame["type"]] += 1
        match frame["type"]:
            case "welcome":
                self._welcome(frame)
            case "items":
                self._items(frame)
            case "counts":
                self._counts(frame)
            case "done":
                if frame.get("counts"):
                    self._counts(frame["counts"])
                answer = self.answers.pop(str(frame["id"]), None)
                if answer is not None and not answer.done():
                    answer.set_result(frame)
            case "reset":
                self.write("reset", why=frame["why"], held=self.cursor, cursor=frame["cursor"])
                self._adopt(frame["cursor"])
            case "hb":
                theirs = frame.get("cursor") or {}
                held = self.cursor or {}
                self.wants_sync = any(
                    held.get(stream, 0) < head
                    for stream, head in theirs.items()
                    if stream != "epoch"
                )
            case "drain":
                self.drain = frame["in"]
                self.write("drain", within=frame["in"])

    def _welcome(self, frame: Frame) -> None:
        if self.way == "mixed" and not self.live:
            self._change_in(self.random.uniform(0.5, 2.0))
        self.live = True
        self.window, self.heartbeat = frame["window"], frame["heartbeat"]
        self.write("welcome", mode=frame["mode"], held=self.cursor, cursor=frame["cursor"])
        self.tally[f"welcome {frame['mode']}"] += 1
        if frame["mode"] == "fresh":
            self.cursor = dict(frame["cursor"])
        elif frame["mode"] == "reset":
            self._adopt(frame["cursor"])
        self._counts(frame["counts"])

    def _adopt(self, cursor: Frame) -> None:
        self.cursor = dict(cursor)
        self.base = {**self.base, "at": {}}
        self.ahead = []
        self.rows.clear()
        self._spawn(self.reload())

    def _counts(self, counts: Frame) -> None:
        held, at = self.base["at"], counts["at"]
        if held.get("epoch") == at["epoch"] and any(at.get(key, 0) < held[key] for key in held):
            return  # an older answer, overtaken
        self.base = {key: counts[key] for key in ("at", "unseen", "unread")}
        self.ahead = [(stream, seq) for stream, seq in self.ahead if seq > at.get(stream, 0)]

    def shown(self) -> list[int]:
        """Unseen and unread, as the badge has them."""
        return [min(CAP, self.base[key] + len(self.ahead)) for key in ("unseen", "unread")]

    def _items(self, frame: Frame) -> None:
        assert self.cursor is not None, "items before a welcome"
        stream, seq = frame["stream"], frame["seq"]
        held = self.cursor.get(stream, 0)
        if self.dedups:
            if seq <= held:
                self.tally["old frames"] += 1
                return
            if frame["prev"] != held:
                self.tally["gaps"] += 1
                self.wants_sync = True
                return
        for item in frame["items"]:
            self._item(stream, item)
        self.cursor[stream] = max(seq, held)

    def _item(self, stream: str, item: Frame) -> None:
        op, seq = item["op"], item["seq"]
        about = {key: item[key] for key in ("ids", "upto") if key in item}
        if op in ("created", "updated"):
            about["id"] = item["notification"]["id"]
        self.write("item", stream=stream, seq=seq, op=op, **about)
        if self.log is not None:
            self.log.append((stream, item))
        if op == "created":
            id = item["notification"]["id"]
            row = self.rows.setdefault(id, Row(stream, seq))
            row.stream, row.seq = stream, seq  # it was in a list, perhaps without a number
            self.created.add(id)
            if seq > self.base["at"].get(stream, 0):
                self.ahead = [*self.ahead, (stream, seq)][-CAP:]
        else:
            change(self.rows, item)

    # --- Acting ---------------------------------------------------------------------

    async def do(self, action: str, **what: Any) -> Frame:
        """Act on the inbox; the answer, or an error of our own when the line is lost."""
        if self.line is not None and self.live:
            self.numbers += 1
            id = str(self.numbers)
            answer = self.answers[id] = asyncio.get_running_loop().create_future()
            try:
                await self._say({"type": "do", "id": id, "action": action} | what)
                return await asyncio.wait_for(answer, 30)
            except (ConnectionClosed, TimeoutError, asyncio.CancelledError):
                return {"ok": False, "error": {"code": "no_answer"}}
            finally:
                self.answers.pop(id, None)
        body = json.dumps({"action": action} | what)
        try:
            async with asyncio.timeout(30):
                status, text = await fetched(self.url, "/notifications/do/", self.cookie, body)
            answered: Frame = json.loads(text) if text.startswith("{") else {"ok": False}
        except LOST_LINE:
            return {"ok": False, "error": {"code": "no_answer"}}
        if status == 200:
            self._counts(answered["counts"])
        return answered

    async def _fidget(self) -> None:
        """A person who clicks around while it rains notifications."""
        while not self.calmed.is_set():
            pause = self.random.expovariate(1 / self.fidgets)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.calmed.wait(), pause)
            if self.calmed.is_set() or not self.live or not self.rows or self.cursor is None:
                continue
            action = self.random.choice(ACTIONS)
            if action == "read_all":
                done = await self.do(action, upto=dict(self.cursor))
            else:
                known = list(self.rows)[-30:]
                done = await self.do(action, ids=self.random.sample(known, min(3, len(known))))
            self.tally["acts" if done.get("ok") else "acts refused"] += 1

    # --- Answers to who watches -----------------------------------------------------

    def state(self) -> Frame:
        return {
            "live": self.live,
            "stopped": self.stopped,
            "created": len(self.created),
            "shown": self.shown(),
            "cursor": self.cursor,
            "tally": dict(self.tally),
        }

    def inbox(self) -> Frame:
        """The whole state that was built from the log."""
        here = {id: row for id, row in self.rows.items() if not row.archived}
        return {
            "unread": sorted(id for id, row in here.items() if row.unread),
            "archived": sorted(self.rows.keys() - here.keys()),
            "rows": sorted(self.rows),
        }


def change(rows: dict[int, Row], item: Frame) -> None:
    """What an entry that creates nothing does to the rows."""
    op = item["op"]
    named = [id for id in item.get("ids", ()) if id in rows]
    if op == "recalled":
        for id in named:
            del rows[id]
    elif op in ("read", "unread"):
        for id in named:
            rows[id].unread = op == "unread"
    elif op in ("archived", "unarchived"):
        for id in named:
            rows[id].archived = op == "archived"
    elif op == "read_all":
        for row in rows.values():
            if row.seq and row.seq <= item["upto"].get(row.stream, 0):
                row.unread = False


def code_of(status: int) -> int:
    return {401: 4001, 403: 4001, 400: 4002, 404: 4002, 429: 4009}.get(status, 1011)


# --- A small HTTP client -----------------------------------------------------------------


@contextlib.asynccontextmanager
async def asked(
    url: str, path: str, cookie: str, body: str | None = None
) -> AsyncIterator[tuple[int, AsyncIterator[str]]]:
    """The status, and the lines of the body as they come."""
    host, port = urllib.parse.urlsplit(url).netloc.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**26)
    try:
        token = "c" * 32
        head = [
            f"{'GET' if body is None else 'POST'} {path} HTTP/1.1",
            f"Host: {host}:{port}",
            f"Cookie: {cookie}; csrftoken={token}",
            f"Origin: {url}",
            f"X-CSRFToken: {token}",
            "Connection: close",
        ]
        if body is not None:
            head += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
        writer.write(("\r\n".join(head) + "\r\n\r\n" + (body or "")).encode())
        status = int((await reader.readline()).split()[1:2][0])
        headers = {}
        while line := (await reader.readline()).decode("latin-1").strip():
            key, _colon, value = line.partition(":")
            headers[key.lower()] = value.strip()
        yield status, lines_of(reader, headers)
    except (IndexError, ValueError) as error:
        raise EOFError("no answer") from error
    finally:
        writer.transport.abort()


async def lines_of(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[str]:
    rest = b""
    async for chunk in chunks_of(reader, headers):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode().rstrip("\r")
    if rest:
        yield rest.decode()


async def chunks_of(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    if headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).strip() or b"x", 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
    elif "content-length" in headers:
        yield await reader.readexactly(int(headers["content-length"]))
    else:
        while chunk := await reader.read(65_536):
            yield chunk


async def fetched(url: str, path: str, cookie: str, body: str | None = None) -> tuple[int, str]:
    async with asked(url, path, cookie, body) as (status, lines):
        return status, "\n".join([line async for line in lines])


# --- The process -------------------------------------------------------------------------


class Ledger:
    """The tabs of this process, and who tells them what to do."""

    def __init__(self, book: TextIO) -> None:
        self.book = book
        self.tabs: dict[str, Tab] = {}

    async def obey(self, order: Frame) -> Any:
        chosen = [self.tabs[name] for name in order.get("tabs", ()) if isinstance(name, str)]
        match order["say"]:
            case "open":
                for plan in order["tabs"]:
                    tab = self.tabs[plan["name"]] = Tab(self.book, plan)
                    if "like" in plan:
                        tab.copy(self.tabs[plan["like"]])
                    tab.begin()
            case "close":
                for tab in chosen:
                    await tab.end()
                    tab.write("away")
            case "reopen":
                for tab in chosen:
                    tab.write("back")
                    tab.begin()
            case "calm":
                for tab in self.tabs.values():
                    await tab.calm()
            case "state":
                return {name: tab.state() for name, tab in self.tabs.items()}
            case "inbox":
                return {name: tab.inbox() for name, tab in self.tabs.items()}
            case "do":
                tab = self.tabs[order["tab"]]
                what = dict(order["what"])
                if what.pop("upto_here", False):
                    what["upto"] = dict(tab.cursor or {})
                return await tab.do(**what)
            case "forget":
                for tab in self.tabs.values():
                    await tab.end()
                self.tabs.clear()
            case "flush":
                self.book.flush()
            case unknown:
                raise ValueError(unknown)
        return True


async def main(path: str) -> None:
    orders = asyncio.StreamReader(limit=2**26)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    with open(path, "a", encoding="utf-8") as book:  # noqa: ASYNC230
        ledger = Ledger(book)
        while line := await orders.readline():
            answer = await ledger.obey(json.loads(line))
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
