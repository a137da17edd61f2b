"""The bell: after a commit, tell the hubs which streams are dirty. It may be lost.

It names streams and carries no content. Hubs of this process are told directly. Other
processes are told through the channel layer, by one background thread with an event loop of
its own, so that a caller never waits for the network: not once, also when it hangs. What is
to be rung waits in a set of names, so a storm costs one message for each name at most. After
`FAILURES` failures in a row the ringer rests for `REST` seconds; the sweep finds what it
did not tell.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from channels.layers import BaseChannelLayer, InMemoryChannelLayer, get_channel_layer
from django.db import connections, transaction

from ..conf import conf
from .names import BELLS, layer_group

logger = logging.getLogger("notifications")

FAILURES = 3
REST = 5.0
SINGLE = 16
"""Up to so many streams are rung one by one, in their own groups; more go to `BELLS`."""
CHUNK = 500
"""Names in one message to `BELLS`."""

MESSAGE = "notifications.bell"
PROCESS = os.urandom(8).hex()

stats: Counter[str] = Counter()
"""`sent`, `failed` and `skipped` messages since the start."""

Listener = Callable[[frozenset[str]], None]
_listeners: dict[Listener, asyncio.AbstractEventLoop] = {}


def listen(listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
    """Tell `listener` the dirty streams, in the thread of `loop`."""
    _listeners[listener] = loop


def unlisten(listener: Listener) -> None:
    _listeners.pop(listener, None)


def layer() -> BaseChannelLayer | None:
    """The channel layer to other processes: none if there is none, or it is in-memory."""
    found = get_channel_layer(conf.channel_layer)
    return None if isinstance(found, InMemoryChannelLayer) else found


def ring(streams: Iterable[str]) -> None:
    """Ring now. Never raises and never waits."""
    names = frozenset(streams)
    if not names:
        return
    for listener, loop in list(_listeners.items()):
        with contextlib.suppress(RuntimeError):  # its loop is closed
            loop.call_soon_threadsafe(listener, names)
    if layer() is not None:
        ringer().add(names)


class _Ring:
    """The callback of one transaction; later calls in the same savepoint join it."""

    __qualname__ = "notifications.stream.bell.ring"  # Django's robust on_commit logs it

    def __init__(self, savepoints: tuple[str, ...]) -> None:
        self.savepoints = savepoints
        self.streams: set[str] = set()

    def __call__(self) -> None:
        ring(self.streams)


def ring_on_commit(streams: Iterable[str], using: str) -> None:
    """Ring once for the transaction that is open, when it is committed; at once without one."""
    connection = connections[using]
    if not connection.in_atomic_block:
        ring(streams)
        return
    savepoints = tuple(connection.savepoint_ids)
    # What a rollback undoes leaves `run_on_commit`, so what is found there is alive.
    for hook in reversed(connection.run_on_commit):
        callback = hook[1]
        if isinstance(callback, _Ring) and callback.savepoints == savepoints:
            callback.streams.update(streams)
            return
    callback = _Ring(savepoints)
    callback.streams.update(streams)
    transaction.on_commit(callback, using=using, robust=True)


class Ringer:
    """The background thread that sends bells to other processes."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._names: set[str] = set()
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()
        self._failures = 0
        self._rest_until = 0.0
        threading.Thread(target=self._run, name="notifications-bell", daemon=True).start()
        atexit.register(self.flush)

    def add(self, names: frozenset[str]) -> None:
        with self._lock:
            self._names |= names
            self._idle.clear()
        self._loop.call_soon_threadsafe(self._wake.set)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all is sent, `bell_timeout` at most: for processes that end after a call."""
        return self._idle.wait(conf.bell_timeout if timeout is None else timeout)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._send_for_ever())

    async def _send_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            with self._lock:
                names, self._names = self._names, set()
            await self._send(sorted(names))
            with self._lock:
                if not self._names:
                    self._idle.set()

    async def _send(self, names: list[str]) -> None:
        if len(names) <= SINGLE:
            messages = [(layer_group(name), [name]) for name in names]
        else:
            chunks = (names[i : i + CHUNK] for i in range(0, len(names), CHUNK))
            messages = [(BELLS, chunk) for chunk in chunks]
        for group, streams in messages:
            if time.monotonic() < self._rest_until:
                stats["skipped"] += 1
                continue
            message: dict[str, Any] = {"type": MESSAGE, "streams": streams, "from": PROCESS}
            try:
                target = layer()
                if target is None:
                    return
                async with asyncio.timeout(conf.bell_timeout):
                    await target.group_send(group, message)
            except Exception as error:  # whatever a layer raises, it is a lost bell
                stats["failed"] += 1
                self._failures += 1
                if self._failures >= FAILURES:
                    self._rest_until = time.monotonic() + REST
                    self._failures = 0
                    logger.warning("bells rest for %s s: %s %s", REST, type(error).__name__, error)
            else:
                stats["sent"] += 1
                self._failures = 0


_ringer: Ringer | None = None
_ringer_lock = threading.Lock()


def ringer() -> Ringer:
    """The ringer of this process; a fork gets a new one."""
    global _ringer
    with _ringer_lock:
        if _ringer is None or _ringer.pid != os.getpid():
            _ringer = Ringer()
        return _ringer
