"""The hub: one for each event loop of a server process, between the log and its local sockets.

A bell marks streams dirty. The collector numbers and reads them, renders once for each stream
and language, and writes the same text to every socket that stands where the text begins. All
others are behind, and are read further one by one. What bells miss, the sweep finds.

All state is touched in the loop's own thread. Database work runs in a few threads of the hub,
each with a connection of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import random
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from channels.layers import BaseChannelLayer
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connections
from django.utils import timezone

from .. import wire
from ..conf import conf
from ..log import log
from ..models import Notification, Op, Pending, Receipt
from ..wire import Close, Cursor
from . import bell, fan_out, presence
from .drain import drain_on_sigterm
from .due import Due, what_is_due
from .line import Frame
from .names import BELLS, is_own, layer_group, session_mark, user_stream
from .number import database_now, is_due, log_database, number
from .read import (
    Greeting,
    Reading,
    Render,
    Run,
    Subscription,
    count_changes,
    greet_all,
    read_counts,
    read_heads,
    read_runs,
    read_since,
    write_runs,
)
from .socket import GONE, TOO_MUCH, Socket
from .sql import among
from .timing import TURNS, Timing, Within
from .together import Together

logger = logging.getLogger("notifications")

T = TypeVar("T")


@dataclass(frozen=True)
class Above:
    """What the hub asks of the floors above it. Each is called in a thread."""

    render: Render
    authenticate: Callable[[Iterable[str]], Mapping[str, Subscription | Close]]
    """Whose these sessions are: the streams of each, or the code that refuses it."""
    ended: Callable[[Iterable[str]], set[str]]
    """Those of these sessions that are over."""
    look_at_the_clock: Callable[[], set[str]]
    """Does what is due in shared streams by itself; the streams that grew."""


REASONS = {int(code): code.name.lower() for code in Close} | {GONE: "line_lost"}
"""What a close code says in the log."""
SLICE = 500
"""Sockets written to between two breaths of the event loop."""
HELD = 16
"""Frames pushed while a socket is read for that are kept for it, at most."""
HISTORY_PAUSE = 0.1
SWEEP_CHUNK = 2_000
RECOUNT_PAUSE = 1.0
SELF_TEST = 1.0
PATIENCE = 5.0
"""Seconds that those who come wait for groups to be joined; a layer that takes longer is ill."""
JOINED_AT_ONCE = 100
SESSION_SWEEP = 2.0
PROMPT = 1.0
"""Seconds from the look at a session to `hello` within which it needs no other look."""
REJOIN = 1_800.0
"""Seconds between two times that all groups are joined; channels_redis.core forgets after a day."""
DUE_SWEEP = 1.0
DUE_WINDOW = timedelta(seconds=30)
"""What has come due for longer, and was not numbered, belongs to people who are not here."""


class _Local:
    """A stream with sockets in this process."""

    __slots__ = ("joined", "pushed")

    def __init__(self) -> None:
        self.pushed: int | None = None
        """The number up to which it was pushed; None until its first socket is live."""
        self.joined = False

    def add(self, socket: Socket) -> None:
        raise NotImplementedError

    def discard(self, socket: Socket) -> None:
        raise NotImplementedError

    def all(self) -> Sequence[Socket]:
        raise NotImplementedError

    def languages(self) -> set[str]:
        """Those in which somebody reads it; none when nobody is left."""
        raise NotImplementedError

    def reading(self, language: str) -> Sequence[Socket]:
        """Its sockets of this language."""
        raise NotImplementedError


class _Shared(_Local):
    """An audience's: thousands of sockets, kept by language.

    They are told in the order in which they came, which is about the order in which they lie in
    memory.
    """

    __slots__ = ("_sockets",)

    def __init__(self) -> None:
        super().__init__()
        self._sockets: dict[str, dict[Socket, None]] = defaultdict(dict)

    def add(self, socket: Socket) -> None:
        self._sockets[socket.language][socket] = None

    def discard(self, socket: Socket) -> None:
        sockets = self._sockets[socket.language]
        sockets.pop(socket, None)
        if not sockets:
            del self._sockets[socket.language]

    def all(self) -> Sequence[Socket]:
        return [socket for sockets in self._sockets.values() for socket in sockets]

    def languages(self) -> set[str]:
        return set(self._sockets)

    def reading(self, language: str) -> Sequence[Socket]:
        return list(self._sockets.get(language, ()))


class _Own(_Local):
    """One person's: there is one for nearly every socket, and a set would be most of its size."""

    __slots__ = ("_sockets",)

    def __init__(self) -> None:
        super().__init__()
        self._sockets: tuple[Socket, ...] = ()

    def add(self, socket: Socket) -> None:
        if socket not in self._sockets:
            self._sockets += (socket,)

    def discard(self, socket: Socket) -> None:
        self._sockets = tuple(other for other in self._sockets if other is not socket)

    def all(self) -> Sequence[Socket]:
        return self._sockets

    def languages(self) -> set[str]:
        return {socket.language for socket in self._sockets}

    def reading(self, language: str) -> Sequence[Socket]:
        return [socket for socket in self._sockets if socket.language == language]


class Hub:
    """Use `Hub.here(above)`: the hub of the running loop, started at its first use."""

    _hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()

    @classmethod
    def here(cls, above: Above) -> Hub:
        loop = asyncio.get_running_loop()
        hub = cls._hubs.get(loop)
        if hub is None:
            hub = cls._hubs[loop] = cls(loop, above)
        return hub

    @classmethod
    def running(cls) -> Hub | None:
        """The hub of the running loop, if it was started."""
        return cls._hubs.get(asyncio.get_running_loop())

    def __init__(self, loop: asyncio.AbstractEventLoop, above: Above) -> None:
        self.id = uuid.uuid4()
        self.loop = loop
        self.above = above
        self.draining = False
        self.sockets: dict[Socket, None] = {}
        """As they came. A dict, which is half as large as a set of so many."""
        self.people: dict[Any, tuple[Socket, ...]] = {}
        self.streams: dict[str, _Local] = {}
        self.epoch: int | None = None
        self.healthy = False
        self._recovered = -bell.REST
        """When the layer became healthy; those who ring may rest for a while longer."""
        self.stats: Counter[str] = Counter()
        self.commit_to_send = Timing()
        """From when something was stored to when it is written to the sockets; live pushes only."""
        self.lag = Timing()
        """How late the event loop comes to what is due, once a second."""
        self.layer_round_trip = Timing()
        """A bell to ourselves, through the layer."""
        self.presence = presence.Presence()
        self._tested = 0.0
        self._dirty: set[str] = set()
        self._collected = 0.0
        self._rung = asyncio.Event()
        self._sweep_now = asyncio.Event()
        self._to_count: set[Any] = set()
        self._count_now = asyncio.Event()
        self._heard = 0.0
        self._joined_at = 0.0
        self._unsure: set[Socket] = set()
        """Sockets whose session must be looked at again: what asked for it was not answered."""
        self._looked = timezone.now()
        """Up to when it is known what was due and what expired."""
        self._next_look: asyncio.Future[Due] = loop.create_future()
        self._knows_the_schedule = False
        self._catching_up: dict[Socket, list[tuple[Run, str]]] = {}
        """Sockets that are being read further, each with what was pushed during its reading."""
        self._wheel = 0
        self._slots: list[set[Socket]] = [set() for _ in range(max(1, round(conf.heartbeat)))]
        self._channel: str | None = None
        self._threads = ThreadPoolExecutor(conf.hub_threads, "notifications-hub")
        self._authenticate = Together(self._authenticate_all)
        self._greet = Together(self._greet_all)
        self._memberships = Together(self._join_or_leave_for_all)
        self._to_leave: set[str] = set()
        """Whose groups are not left yet: with a layer that is ill, once it is well again. (One that
        it lost in the middle of leaving, channels-redis takes for left: bells heard in vain.)"""
        self._collector = ThreadPoolExecutor(1, "notifications-collector")
        """A thread of its own: what is live does not queue behind those who catch up."""
        self._stopped = False
        self._tasks: set[asyncio.Task[None]] = set()
        for work in (
            self._collect,
            self._sweep,
            self._look_for_what_is_due,
            self._sweep_due,
            self._look_at_the_clock,
            self._tell_lists,
            self._count,
            self._beat,
            self._hear,
            self._test_layer,
            self._check_sessions,
            self._tell_presence,
        ):
            self._keep(work)
        bell.listen(self.ring, loop)
        atexit.register(self.stop_at_exit)
        drain_on_sigterm(self)

    # --- Work in threads, and loops that do not end ---

    async def run(
        self, work: Callable[..., T], *args: Any, threads: ThreadPoolExecutor | None = None
    ) -> T:
        """Run database work in a thread of the hub."""
        return await self.loop.run_in_executor(
            threads or self._threads, _with_connection, work, args
        )

    def _keep(self, work: Callable[[], Any]) -> None:
        """Repeat `work` in a task. One that others cancel, by mistake, begins again."""
        task = self.loop.create_task(self._for_ever(work), name=f"notifications-{work.__name__}")

        def ended(_task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not self._stopped:  # or the loop is closing, and comes to nothing more
                self.loop.call_later(0.5, again)

        def again() -> None:
            if not self._stopped:
                self.stats["errors"] += 1
                logger.error("%s was cancelled, and begins again", work.__name__.strip("_"))
                self._keep(work)

        self._tasks.add(task)
        task.add_done_callback(ended)

    async def _for_ever(self, work: Callable[[], Any]) -> None:
        """Repeat `work`; one failure is told and waited out, and stops nothing else."""
        while True:
            try:
                await work()
            except (DatabaseError, InterfaceError) as error:
                self.stats["database_errors"] += 1
                logger.warning("%s: %s", work.__name__.strip("_"), str(error).strip())
                await asyncio.sleep(0.5)
            except Exception:
                self.stats["errors"] += 1
                logger.exception("%s failed", work.__name__.strip("_"))
                await asyncio.sleep(1)

    def stop(self) -> None:
        """End the hub's tasks and threads."""
        self._stopped = True
        bell.unlisten(self.ring)
        for task in self._tasks:
            task.cancel()
        for together in (self._authenticate, self._greet, self._memberships):
            together.stop()
        for threads in (self._threads, self._collector):
            threads.shutdown(wait=False, cancel_futures=True)
        self._hubs.pop(self.loop, None)
        atexit.unregister(self.stop_at_exit)

    async def aclose(self) -> None:
        """`stop`, waited for, with the threads' database connections closed: for those who go on
        without it, as tests do."""
        together = threading.Barrier(conf.hub_threads)  # so that each thread gets one

        def leave() -> None:
            together.wait(15)
            connections.close_all()

        self._stopped = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=5)
        await asyncio.gather(
            self.run(connections.close_all, threads=self._collector),
            *(self.run(leave) for _ in range(conf.hub_threads)),
        )
        self.stop()

    def stop_at_exit(self) -> None:
        """daphne ends and leaves its loop as it stands; Python crashes on tasks left in it."""
        if not self.loop.is_closed() and not self.loop.is_running():
            tasks = list(self._tasks)
            self.stop()
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=1))

    # --- Sockets come and go ---

    async def authenticate(self, session_key: str) -> Subscription | Close:
        """Whose session it is: their streams, or the code that refuses them."""
        return await self._authenticate(session_key)

    async def _authenticate_all(self, keys: Sequence[str]) -> list[Subscription | Close]:
        answers = await self.run(self.above.authenticate, keys)
        return [answers[key] for key in keys]

    async def _greet_all(
        self, asked: Sequence[tuple[Subscription, Cursor | None]]
    ) -> list[Greeting]:
        return await self.run(greet_all, asked, conf.read_limit)

    def admit(self, socket: Socket) -> Close | None:
        """Count a socket in, or say why there is no room. From here on `detach` must follow."""
        if self.draining:
            return Close.DRAINING
        if len(self.sockets) >= conf.sockets_per_process:
            return Close.OVER_CAPACITY
        theirs = self.people.get(socket.person_id, ())
        if len(theirs) >= conf.sockets_per_person:
            return Close.TOO_MANY_TABS
        self.sockets[socket] = None
        self.people[socket.person_id] = (*theirs, socket)
        self.presence.moved.add(socket.person_id)
        return None

    async def attach(self, socket: Socket) -> None:
        """Register a socket. From here on bells of its streams are heard; then read for it."""
        random.choice(self._slots).add(socket)  # a storm of connects must not beat as one
        missing = []
        for name in socket.subscription.streams:
            local = self.streams.get(name)
            if local is None:
                local = self.streams[name] = _Own() if is_own(name) else _Shared()
            local.add(socket)
            if not local.joined:
                missing.append(name)
        await self._join_or_leave(missing)

    def detach(self, socket: Socket, code: int | None = None) -> None:
        """Forget a socket. Never waits and never fails. `code`: what the client closed it with."""
        if socket in self.sockets:
            del self.sockets[socket]
            self._tell_end(socket, code)
        socket.live = False
        theirs = self.people.pop(socket.person_id, ())
        if left := tuple(other for other in theirs if other is not socket):
            self.people[socket.person_id] = left
        self.presence.moved.add(socket.person_id)
        self._unsubscribe(socket)

    def _tell_end(self, socket: Socket, code: int | None) -> None:
        if socket.closed in (None, GONE):  # not by us, which is counted where we do it
            code = code or socket.closed
            if code is not None:
                known = code in REASONS or code in (1000, 1001, 1005)
                self.stats[f"closed_{code if known else 'other'}"] += 1
        else:
            code = socket.closed
        log(
            "close",
            person=socket.person_id,
            by=type(socket).__name__.lower(),
            code=code or "none",
            reason=REASONS.get(code or 0, "client"),
        )

    def _unsubscribe(self, socket: Socket) -> None:
        for slot in self._slots:
            slot.discard(socket)
        left = []
        for name in socket.subscription.streams:
            local = self.streams.get(name)
            if local is None:
                continue
            local.discard(socket)
            if not local.languages():
                del self.streams[name]
                left.append(name)
        if left and self._channel is not None:
            self._to_leave.update(left)
            self._spawn(self._join_or_leave(left))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something once, beside all else. What the database refuses, the sweep repeats."""

        name = getattr(work, "__qualname__", "work")

        async def guarded() -> None:
            try:
                await work
            except (DatabaseError, InterfaceError) as error:
                self.stats["database_errors"] += 1
                logger.warning("%s: %s", name, str(error).strip())
            except Exception:
                self.stats["errors"] += 1
                logger.exception("%s failed", name)

        task = self.loop.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _task: work.close())  # if it was ended before it began

    async def look_again(self, socket: Socket) -> None:
        """Who took their time to say hello: nothing told us what became of them meanwhile."""
        if time.monotonic() - socket.checked > PROMPT:
            await self._recheck([socket])

    async def greet(self, socket: Socket, cursor: Cursor | None) -> str:
        """Answer `hello`: where the log stands, the counts, and what came since `cursor`.

        Returns the mode of the welcome: `fresh`, `resume` or `reset`.
        """
        found = await self._greet((socket.subscription, cursor))
        self.stats[f"welcome_{found.mode}"] += 1
        log(
            "connect",
            person=socket.person_id,
            by=type(socket).__name__.lower(),
            mode=found.mode,
            why=found.why or "none",
            lang=socket.language,
        )
        socket.adopt(found.start, found.reading.epoch)
        socket.write(found.text)
        await self._write_reading(socket, found.reading)
        return found.mode

    async def sync(self, socket: Socket, cursor: Cursor) -> None:
        """Answer `sync`: go on from what the client says it holds."""
        socket.live = False
        socket.turn = turn = socket.turn + 1
        reading = await self.run(read_since, socket.subscription, cursor, conf.read_limit)
        if socket.turn != turn:
            return  # the client, or the hub, has begun anew meanwhile
        self.stats["syncs"] += 1
        if reading.why is None:
            socket.adopt(cursor, reading.epoch)
            socket.ack(cursor)  # what was written before, it has, or threw away
        else:
            self._reset(socket, reading)
        await self._write_reading(socket, reading)

    def _reset(self, socket: Socket, reading: Reading) -> None:
        self.stats["resets"] += 1
        socket.adopt(reading.heads, reading.epoch)
        socket.write(wire.reset(reading.heads, reading.why or ""))

    async def _write_reading(
        self, socket: Socket, reading: Reading, upto: Mapping[str, int] | None = None
    ) -> None:
        """Write what was read for one socket, and let it live when it has reached the rest.

        When it has reached `upto`, what was pushed since then goes on from there.
        """
        if self.epoch is None:
            self.epoch = reading.epoch
        if reading.epoch != self.epoch:
            # One of us has not heard yet that the database has another history: look, and
            # begin anew.
            self._sweep_now.set()
            self._spawn(self._begin_anew(socket, after=HISTORY_PAUSE))
            return
        turn = socket.turn
        if reading.runs:
            texts = await self.run(
                write_runs,
                reading.runs,
                socket.subscription.key,
                socket.language,
                self.above.render,
            )
            if socket.turn != turn or socket not in self.sockets:
                return  # begun anew meanwhile, perhaps with other streams, or gone
            for run, text in texts:
                if not socket.window_open:
                    break
                socket.write_items(run.stream, run.seq, text)
        if upto and all(socket.sent[name] >= seq for name, seq in upto.items()):
            for run, text in self._catching_up.get(socket, ()):
                if socket.sent[run.stream] != run.prev or not socket.window_open:
                    break
                socket.write_items(run.stream, run.seq, text)
        self._settle(socket)

    def _settle(self, socket: Socket) -> None:
        """A socket that stands where its streams were pushed to is live; else it is behind."""
        if socket not in self.sockets or socket.closed is not None:
            return
        reached = True
        for name in socket.subscription.streams:
            local = self.streams[name]
            if local.pushed is None:
                local.pushed = socket.sent[name]
                self._mark(name)  # a bell may have come while nobody was live
            reached = reached and socket.sent[name] >= local.pushed
        socket.live = True
        if socket.owed_counts:
            socket.owed_counts = False
            self._to_count.add(socket.person_id)
            self._count_now.set()
        socket.behind = not reached
        if socket.behind:
            self._catch_up(socket)

    def acked(self, socket: Socket, cursor: Cursor | None) -> None:
        """The client acknowledged; one that is behind is read further."""
        socket.ack(cursor)
        if socket.behind:
            self._catch_up(socket)

    def _wants_more(self, socket: Socket) -> bool:
        return socket.behind and socket.live and socket.has_room

    def _catch_up(self, socket: Socket) -> None:
        if self._wants_more(socket) and socket not in self._catching_up:
            self._catching_up[socket] = []
            self._spawn(self._read_further(socket))

    async def _read_further(self, socket: Socket) -> None:
        """Read up to where the streams are pushed now, then write what was pushed meanwhile.

        Else a socket would run behind the pushes for as long as they come faster than it reads.
        """
        try:
            while self._wants_more(socket):
                if not socket.writable:
                    with contextlib.suppress(OSError):  # gone, and `live` no more
                        await socket.drained()
                    continue
                self.stats["catch_ups"] += 1
                turn = socket.turn
                upto = self._pushed(socket)
                self._catching_up[socket] = []
                reading = await self.run(
                    read_since, socket.subscription, socket.cursor(), conf.read_limit, upto
                )
                if socket.turn != turn:
                    continue  # it began anew meanwhile, and may be behind again
                if reading.why is not None:
                    self._reset(socket, reading)
                await self._write_reading(socket, reading, upto)
        finally:
            self._catching_up.pop(socket, None)

    # --- Bell, collector, push ---

    def ring(self, streams: Iterable[str]) -> None:
        """These streams are dirty."""
        for name in streams:
            if name in self.streams:
                self._mark(name)

    def _mark(self, name: str) -> None:
        self._dirty.add(name)
        self._rung.set()

    async def _collect(self) -> None:
        await self._rung.wait()
        await asyncio.sleep(self._collected + conf.collect - time.monotonic())
        self._collected = time.monotonic()
        self._rung.clear()
        dirty, self._dirty = self._dirty, set()
        try:
            positions = self._positions(dirty)
            await self._push(await self.run(self._read, dirty, positions, threads=self._collector))
        except BaseException:
            self._dirty |= dirty
            self._rung.set()
            raise

    def _positions(self, dirty: set[str]) -> dict[str, tuple[int, set[str]]]:
        """What to read from where, and in which languages: the dirty streams, after all shared
        ones, since an entry of a person's own stream may speak of something in those."""
        shared = [name for name in self.streams if not is_own(name)]
        own = [name for name in dirty if is_own(name)]
        positions = {}
        for name in [*sorted(shared), *own]:
            local = self.streams.get(name)
            if local is not None and local.pushed is not None:
                positions[name] = (local.pushed, local.languages())
        return positions

    def _read(
        self, dirty: set[str], positions: dict[str, tuple[int, set[str]]]
    ) -> tuple[int, list[tuple[Run, dict[str, str]]]]:
        """Number and read, in a thread: each run with its text in each language."""
        self._number(dirty)
        heads = read_heads(positions)
        since = {name: pushed for name, (pushed, _languages) in positions.items()}
        runs, lost = read_runs(since, heads, conf.read_limit)
        lost |= {name for name, pushed in since.items() if heads.head.get(name, 0) < pushed}
        if lost:
            self.loop.call_soon_threadsafe(self._start_again, lost)
        texts: list[tuple[Run, dict[str, str]]] = [(run, {}) for run in runs]
        for language in {word for run in runs for word in positions[run.stream][1]}:
            wanted = [pair for pair in texts if language in positions[pair[0].stream][1]]
            written = write_runs([run for run, _texts in wanted], _key, language, self.above.render)
            for (_run, by_language), (_same, text) in zip(wanted, written, strict=True):
                by_language[language] = text
        reached = since | {run.stream: run.seq for run in runs}
        more = [
            name
            for name, seq in reached.items()
            if seq < heads.head.get(name, 0) and name not in lost
        ]
        if more:  # the limit cut it off
            self.loop.call_soon_threadsafe(self.ring, more)
        return heads.epoch, texts

    def _number(self, streams: set[str]) -> None:
        """Number them together; if something is wrong with one, that one alone stays behind."""
        try:
            number(streams)
        except (IntegrityError, DataError):
            for name in streams:
                try:
                    number([name])
                except (IntegrityError, DataError):
                    self.stats["database_errors"] += 1
                    logger.exception("a stream cannot be numbered")

    async def _push(self, read: tuple[int, list[tuple[Run, dict[str, str]]]]) -> None:
        """Write each text to every socket that stands where it begins."""
        epoch, texts = read
        if self.epoch not in (None, epoch):
            self._restart(epoch)
            return
        self.epoch = epoch
        written = 0
        for run, by_language in texts:
            local = self.streams.get(run.stream)
            if local is None or local.pushed is None or local.pushed >= run.seq:
                continue
            local.pushed = run.seq
            for language, text in by_language.items():
                frame, sockets = Frame(text), local.reading(language)
                stream, prev, seq = run.stream, run.prev, run.seq
                for start in range(0, len(sockets), SLICE):
                    for socket in sockets[start : start + SLICE]:
                        if not socket.push(stream, prev, seq, frame):
                            self._not_pushed(socket, run, frame)
                    await asyncio.sleep(0)
                written += len(sockets)
            if run.facts:
                stored = run.facts[0].created
                self.commit_to_send.took((timezone.now() - stored).total_seconds())
            for language in local.languages() - by_language.keys():
                # One that came with another language while this was read.
                for socket in local.reading(language):
                    if socket.live and socket.sent[run.stream] < run.seq and not socket.behind:
                        self._fall_behind(socket)
            for fact in run.facts:
                if fact.op == Op.ACCESS:
                    self._check_access(local, fact.arg or {})
        self.stats["pushes"] += written
        self._recount(count_changes(run for run, _texts in texts))

    def _not_pushed(self, socket: Socket, run: Run, text: str) -> None:
        """It stands elsewhere, or has no room: if it lacks this, it is behind."""
        if not socket.live or run.stream not in socket.sent:
            return  # gone, or no longer of this audience, while others were written to
        if socket.sent[run.stream] >= run.seq:
            return
        held = self._catching_up.get(socket)
        if held is not None and len(held) < HELD:
            held.append((run, text))
        self._fall_behind(socket)

    def _fall_behind(self, socket: Socket) -> None:
        socket.behind = True
        self._catch_up(socket)

    def _start_again(self, names: Iterable[str]) -> None:
        """These streams do not go on from what was pushed: they are shorter now, or pruned."""
        for name in names:
            local = self.streams.get(name)
            if local is not None:
                logger.warning("stream=%s does not go on; its sockets start again", name)
                local.pushed = None
                for socket in local.all():
                    if socket.sent:  # welcomed; who is not yet, is told in its welcome
                        # Nothing of its own stream meanwhile: it may speak of what was lost.
                        socket.live = False
                        socket.turn += 1
                        self._spawn(self._begin_anew(socket, recheck=True))

    async def _begin_anew(self, socket: Socket, *, recheck: bool = False, after: float = 0) -> None:
        """Go on from what the socket holds, or say why not.

        One for which this fails would get nothing from then on: it is closed, and comes back.
        """
        try:
            await asyncio.sleep(after)
            if recheck:
                await self._recheck([socket])
            if socket in self.sockets and socket.closed is None:
                await self.sync(socket, socket.cursor())
        except Exception:
            self.close(socket, Close.SERVER_ERROR)
            raise

    def _restart(self, epoch: int) -> None:
        """The database has another history: nothing that was pushed counts any more."""
        logger.warning("the log has a new epoch; every socket starts again")
        self.epoch = epoch
        for local in self.streams.values():
            local.pushed = None
        for socket in list(self.sockets):
            if socket.sent:  # welcomed; who is not yet, is told in its welcome
                self._spawn(self._begin_anew(socket))

    # --- Who may stay ---

    def _check_access(self, local: _Local, arg: Mapping[str, Any]) -> None:
        """The log says that a session was ended, or that who a person is has changed."""
        sockets = local.all()
        if "logout" in arg:
            for socket in sockets:
                if session_mark(socket.session_key) == arg["logout"]:
                    self.close(socket, Close.LOGGED_OUT)
        elif "disconnect" in arg:
            for socket in sockets:
                self.close(socket, Close.SESSION_CHANGED)
        else:
            self._spawn(self._recheck(sockets))

    async def _recheck(self, sockets: Iterable[Socket]) -> None:
        """Look again at who is there: close those who may not stay, re-scope those who moved."""
        sockets = list(sockets)
        keys = {socket.session_key for socket in sockets}
        began = time.monotonic()
        try:
            answers = await self.run(self.above.authenticate, keys)
        except Exception:
            self._unsure.update(sockets)
            raise
        for index, socket in enumerate(sockets):
            if socket not in self.sockets or socket.closed is not None:
                continue
            if socket.checked > began:
                continue  # somebody who asked later was answered before us
            socket.checked = began
            found = answers[socket.session_key]
            if isinstance(found, Close):
                # A session that is gone may be another one by now (a login makes a new key):
                # the client comes back with the cookie of today, and is told then.
                gone = found == Close.LOGIN_REQUIRED
                self.close(socket, Close.SESSION_CHANGED if gone else found)
            elif found.person_id != socket.person_id:
                self.close(socket, Close.SESSION_CHANGED)
            elif found.shared.keys() != socket.subscription.shared.keys():
                if socket.sent:
                    try:
                        await self._rescope(socket, found)
                    except Exception:
                        self._unsure.update(sockets[index + 1 :])  # they may have moved, too
                        raise
                else:  # not welcomed yet, and nothing may come before that
                    self.close(socket, Close.SESSION_CHANGED)

    async def _rescope(self, socket: Socket, subscription: Subscription) -> None:
        """The person's audiences changed: go on with the new ones, from their heads."""
        self._unsubscribe(socket)
        socket.live = False
        socket.turn = turn = socket.turn + 1
        socket.subscription = subscription
        try:
            await self.attach(socket)
            reading = await self.run(read_since, subscription, None, conf.read_limit)
            if socket.turn != turn:
                return
            self._reset(socket, replace(reading, why="audience"))
            await self._write_reading(socket, reading)
        except Exception:  # it would get nothing from now on
            self.close(socket, Close.SERVER_ERROR)
            raise

    # --- Counts ---

    def _recount(self, streams: Iterable[str]) -> None:
        for name in streams:
            local = self.streams.get(name)
            if local is not None:
                self._to_count.update(socket.person_id for socket in local.all())
        if self._to_count:
            self._count_now.set()

    async def _count(self) -> None:
        """One query for all whose clients cannot count for themselves, once a second."""
        await self._count_now.wait()
        self._count_now.clear()
        people, self._to_count = self._to_count, set()
        subscriptions = [
            self.people[person_id][0].subscription
            for person_id in people
            if person_id in self.people
        ]
        try:
            for start in range(0, len(subscriptions), SWEEP_CHUNK):
                counts = await self.run(read_counts, subscriptions[start : start + SWEEP_CHUNK])
                for person_id, found in counts.items():
                    people.discard(person_id)
                    text = wire.counts_frame(found)
                    for socket in self.people.get(person_id, ()):
                        self._tell_counts(socket, text)
        except BaseException:
            self._to_count |= people
            self._count_now.set()
            raise
        await asyncio.sleep(RECOUNT_PAUSE)

    def _tell_counts(self, socket: Socket, text: str) -> None:
        """Who cannot be told now is told as soon as they can: nothing else would mend the badge."""
        if socket.live and socket.writable:
            socket.write(text)
        elif socket.live:
            self._to_count.add(socket.person_id)
            self._count_now.set()
        else:
            socket.owed_counts = bool(socket.sent)  # not welcomed yet: they come with that

    # --- The sweep ---

    async def _sweep(self) -> None:
        """Find what bells did not tell: rows without a number, and heads beyond what was pushed."""
        all_ring = self.healthy and time.monotonic() > self._recovered + bell.REST
        period = conf.sweep if all_ring else conf.sweep_unhealthy
        try:
            async with asyncio.timeout(period):
                await self._sweep_now.wait()
        except TimeoutError:
            pass
        self._sweep_now.clear()
        names = list(self.streams)
        if not names:
            return
        for start in range(0, len(names), SWEEP_CHUNK):
            chunk = names[start : start + SWEEP_CHUNK]
            waiting, heads = await self.run(_look, chunk)
            if self.epoch not in (None, heads.epoch):
                self._restart(heads.epoch)
                return
            for name in chunk:
                local = self.streams.get(name)
                if local is None or local.pushed is None:
                    continue
                if name in waiting or heads.head.get(name, 0) != local.pushed:
                    self.stats["sweep_repairs"] += 1
                    self._mark(name)
        for socket in list(self.sockets):
            if socket.behind:
                self._catch_up(socket)

    async def _look_for_what_is_due(self) -> None:
        """Tell those that wait for it, each of which does its own part."""
        await asyncio.sleep(DUE_SWEEP)
        found = await self.run(what_is_due, self._looked)
        self._next_look, told = self.loop.create_future(), self._next_look
        told.set_result(found)

    async def _due(self) -> Due:
        """What the next look finds."""
        return await asyncio.shield(self._next_look)

    async def _sweep_due(self) -> None:
        """Deliver what was scheduled, and count again what has expired."""
        found = await self._due()
        since, now = self._looked, found.until
        if found.expired:
            self._recount(await self.run(_look_what_expired, since, now, list(self.people)))
        self._looked = now
        lately = self._knows_the_schedule and now - since < DUE_WINDOW / 2
        self._knows_the_schedule = False  # until all of it is delivered
        if found.scheduled:
            bell.ring(await self.run(_deliver_what_is_due, list(self.streams), lately))
        self._knows_the_schedule = True

    async def _look_at_the_clock(self) -> None:
        """Do what is due in shared streams by itself, whether anybody listens or not."""
        found = await self._due()
        if found.alerts or found.shared:
            bell.ring(await self.run(self.above.look_at_the_clock))

    async def _tell_lists(self) -> None:
        """Tell what is left of long lists, for as long as nobody else does."""
        if (await self._due()).lists:
            while not self.draining and await self.run(fan_out.step) is not None:
                self.stats["list_parts"] += 1

    # --- The layer ---

    async def _join_or_leave(self, names: Collection[str]) -> None:
        """Join the groups of those of these streams that have sockets here, and leave the others'.

        A layer that does not answer costs latency only.
        """
        if names and self.healthy:
            await self._memberships(names)

    async def _join_or_leave_for_all(self, asked: Sequence[Collection[str]]) -> list[None]:
        """One after the other: a layer takes one at a time, and many who wait for it cost more."""
        layer = bell.layer()
        if layer is not None and self._channel is not None:
            began = time.monotonic()
            for index, name in enumerate(chain.from_iterable(asked)):
                if time.monotonic() > began + PATIENCE:
                    self._unhealthy("joining groups takes too long")
                    break
                try:
                    async with Within(conf.bell_timeout):
                        await self._join_or_leave_one(name, layer, self._channel)
                except Exception as error:
                    self._unhealthy(error)
                if not self.healthy:
                    break
                if index % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
        return [None] * len(asked)

    async def _join_or_leave_one(self, name: str, layer: BaseChannelLayer, channel: str) -> None:
        local = self.streams.get(name)
        if local is None:
            await layer.group_discard(layer_group(name), channel)
        elif not local.joined:
            await layer.group_add(layer_group(name), channel)
            local.joined = True
        if self.streams.get(name) is local:  # else the last one went meanwhile
            self._to_leave.discard(name)

    async def _hear(self) -> None:
        """Take bells from the layer."""
        layer = bell.layer()
        if layer is None:
            await asyncio.sleep(3_600)
            return
        try:
            self._channel = self._channel or await layer.new_channel("notifications")
            while True:
                message = await layer.receive(self._channel)
                self._take(message)
        except Exception as error:
            self._unhealthy(error)
            await asyncio.sleep(0.5)

    def _take(self, message: Mapping[str, Any]) -> None:
        """A message from the layer: untrusted, so that a forged one does no more than a bell."""
        if message.get("type") != bell.MESSAGE:
            return
        if message.get("from") == bell.PROCESS:
            if message.get("test"):
                self._heard = time.monotonic()
                self.layer_round_trip.took(self._heard - self._tested)
            return
        streams = message.get("streams")
        if isinstance(streams, list):
            self.stats["bells_heard"] += 1
            self.ring(name for name in streams if isinstance(name, str))

    async def _test_layer(self) -> None:
        """Ring ourselves. Unheard for a second is unhealthy; heard again, join all groups anew."""
        layer = bell.layer()
        if layer is None:
            await asyncio.sleep(3_600)
            return
        if self._channel is None:
            await asyncio.sleep(0.05)
            return
        self._tested = began = time.monotonic()
        message = {"type": bell.MESSAGE, "from": bell.PROCESS, "test": True}
        try:
            async with Within(conf.bell_timeout):
                await layer.send(self._channel, message)
            await asyncio.sleep(0.1 if not self.healthy else SELF_TEST)
            for _turn in range(TURNS):  # as in `Within`
                if self._heard < began:
                    await asyncio.sleep(0)
        except Exception as error:
            self._unhealthy(error)
            await asyncio.sleep(SELF_TEST)
            return
        if self._heard < began:
            self._unhealthy("a bell to ourselves was not heard")
            await asyncio.sleep(SELF_TEST)
        elif not self.healthy:
            self.healthy = True
            self._recovered = time.monotonic()
            logger.info("the channel layer is healthy")
            await self._join_all(layer, self._channel)
            self._sweep_now.set()
        elif time.monotonic() > self._joined_at + REJOIN:
            await self._join_all(layer, self._channel)

    async def _join_all(self, layer: BaseChannelLayer, channel: str) -> None:
        """Join every group, once more where that was done: layers let memberships expire. And leave
        those that could not be left before."""
        try:
            async with Within(conf.bell_timeout):
                await layer.group_add(BELLS, channel)
        except Exception as error:  # the next test of the layer begins anew
            self._unhealthy(error)
            return
        self._joined_at = time.monotonic()
        for local in self.streams.values():
            local.joined = False
        names = [*self.streams, *self._to_leave]
        for start in range(0, len(names), JOINED_AT_ONCE):  # who comes now need not wait for all
            await self._join_or_leave(names[start : start + JOINED_AT_ONCE])

    def _unhealthy(self, why: object) -> None:
        if self.healthy:
            self.healthy = False
            for local in self.streams.values():
                local.joined = False
            self._sweep_now.set()
            self.stats["layer_failures"] += 1
            said = str(why) or type(why).__name__  # a TimeoutError says nothing
            logger.warning("the channel layer is unhealthy: %s; sweeping every second", said)

    # --- Heartbeats and presence ---

    async def _beat(self) -> None:
        """One wheel for all heartbeats: each second one slot's sockets are due."""
        due = time.monotonic() + conf.heartbeat / len(self._slots)
        await asyncio.sleep(due - time.monotonic())
        self.lag.took(time.monotonic() - due)
        self._wheel = (self._wheel + 1) % len(self._slots)
        now = time.monotonic()
        for index, socket in enumerate(list(self._slots[self._wheel])):
            if now > socket.checked + conf.session_check:
                self._unsure.add(socket)  # looked at along with others
            if socket.missed >= 2:
                self.close(socket, Close.HEARTBEAT_LOST)
            elif now > socket.expires:
                self.close(socket, Close.LIFETIME_OVER)
            elif socket.unsent > TOO_MUCH:
                self.close(socket, Close.TOO_SLOW)
            elif socket.live and socket.writable:
                pushed = self._pushed(socket)
                late = socket not in self._catching_up and any(  # else it is coming
                    socket.sent[name] < seq for name, seq in pushed.items()
                )
                socket.write_heartbeat(
                    wire.heartbeat(socket.subscription.cursor(socket.epoch, pushed))
                    if late
                    else wire.HEARTBEAT
                )
            elif not socket.writable:  # not live: that waits for us, not for them
                socket.missed += 1
            if index % SLICE == SLICE - 1:
                await asyncio.sleep(0)

    def close(self, socket: Socket, code: Close) -> None:
        """Close a socket, behind what was written to it."""
        if socket.closed is None:
            self.stats[f"closed_{int(code)}"] += 1
            socket.close(code)

    def _pushed(self, socket: Socket) -> dict[str, int]:
        """How far the streams of a socket were pushed."""
        return {name: self.streams[name].pushed or 0 for name in socket.subscription.streams}

    async def _check_sessions(self) -> None:
        """Find the sockets whose session has ended without a word: expired, or deleted."""
        await asyncio.sleep(SESSION_SWEEP)
        keys = list({socket.session_key for socket in self.sockets})
        for start in range(0, len(keys), SWEEP_CHUNK):
            ended = await self.run(self.above.ended, keys[start : start + SWEEP_CHUNK])
            self._unsure.update(s for s in self.sockets if s.session_key in ended)
        unsure, self._unsure = self._unsure, set()
        if unsure:
            await self._recheck(unsure)

    async def drain(self, seconds: float) -> None:
        """Ask every client to come back elsewhere, and close those that have not, one by one.

        Whoever comes meanwhile is sent on with 4102.
        """
        self.draining = True
        sockets = list(self.sockets)
        random.shuffle(sockets)
        text = wire.drain(int(seconds * 1000))
        for index, socket in enumerate(sockets):
            if socket.writable:
                socket.write(text)
            if index % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        started = time.monotonic()
        for index, socket in enumerate(sockets):
            slot = started + seconds * (index + 1) / (len(sockets) + 1)
            await asyncio.sleep(max(0.0, slot - time.monotonic()))
            if socket in self.sockets and socket.closed is None:
                self.close(socket, Close.DRAINING)

    async def _tell_presence(self) -> None:
        backlog = len(self._dirty) + sum(socket.behind for socket in self.sockets)
        figures = presence.Figures(self.stats, self.commit_to_send, self.layer_round_trip, backlog)
        report = self.presence.report(self.people, len(self.sockets), figures)
        try:
            await self.run(presence.write, self.id, report)
        except BaseException:
            self.presence.failed(report)
            raise
        self.presence.wrote(report)
        await asyncio.sleep(conf.presence)


def _key(stream: str) -> str:
    """The stream's name on the wire, the same for all who read it."""
    return wire.OWN if is_own(stream) else stream


# --- Database work, in threads -----------------------------------------------------------


def _with_connection(work: Callable[..., T], args: tuple[Any, ...]) -> T:
    """Do the work; a connection that failed is closed, so that the next try opens another."""
    try:
        return work(*args)
    except (DatabaseError, InterfaceError):
        connections.close_all()
        raise


def _look(names: list[str]) -> tuple[set[str], Any]:
    """Which of these streams have rows to number, and where all of them stand."""
    using = log_database()
    waiting = Pending.objects.using(using).filter(is_due(), among(Pending, "stream", names, using))
    found = set(waiting.values_list("stream", flat=True).distinct())
    return found, read_heads(names)


def _deliver_what_is_due(local: list[str], lately: bool) -> set[str]:
    """Number what was scheduled and has come due, lately or ever; the streams that grew.

    In shared streams, and in those that somebody is connected to here: whoever comes later
    numbers their own. So a list of a million, all of them asleep, costs nothing.
    """
    due = Pending.objects.using(log_database()).filter(due__lte=database_now())
    if lately:
        due = due.filter(due__gt=database_now() - DUE_WINDOW)
    if not due.exists():
        return set()
    streams = due.order_by().values_list("stream", flat=True).distinct()
    found = set(streams.filter(person=None))
    for chunk in _chunks(local):
        found |= set(streams.filter(stream__in=chunk))
    return number(found)


def _look_what_expired(since: Any, now: Any, local: list[Any]) -> set[str]:
    """Shared streams in which something expired meanwhile, and own ones of people who are here."""
    ended = Notification.objects.using(log_database()).filter(expires__gt=since, expires__lte=now)
    found = dict(ended.values_list("pk", "audience"))
    named = [id for id, audience in found.items() if not audience]
    receipts = Receipt.objects.using(log_database()).filter(notification__in=named)
    people: set[Any] = set()
    for chunk in _chunks(local) if named else ():
        people |= set(receipts.filter(person__in=chunk).values_list("person_id", flat=True))
    return {*filter(None, found.values()), *map(user_stream, people)}


def _chunks(all: list[T]) -> Iterator[list[T]]:
    return (all[start : start + SWEEP_CHUNK] for start in range(0, len(all), SWEEP_CHUNK))
