"""Errors that are logged, and unhandled 500s, as alerts.

    LOGGING = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"alerts": {"class": "notifications.logging.AlertHandler"}},
        "root": {"handlers": ["alerts"]},
    }

Errors of one place are one alert. What is logged is counted in memory, and written once a second
at most by one thread with a connection of its own: so an alert outlives the rollback of the
transaction in which the error was logged, and a thousand errors a second cost a few rows.

Whoever logs is never made to wait, and never sees an exception of ours. Signal handlers may log,
and threads, and forks. What this app itself logs is left out, and so is what is logged while an
alert is written: an error here must not make the next one.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import queue
import re
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .alerts import Alarm

GROUPS = 200
"""Different alerts that wait to be written, at most; what is beyond is dropped, and counted."""
EVERY = 1.0
"""Seconds between two writings."""
REST = 30.0
"""Between two tries at most, while the database does not take them."""
LAST_WORDS = 2.0
"""For what waits when the process ends."""
DEPTH = 3
"""A message whose text logs an error, whose text logs an error: no further."""
FRAMES = 1_000
"""Of a traceback that are walked through."""

stats: Counter[str] = Counter()
"""Since the start: `heard`, `stored` and `dropped` errors, and `failed` writings."""


@dataclass
class _Group:
    """One alert that waits, or what will say what it is, and how often it was told."""

    alarm: Alarm | Callable[[], Alarm]
    count: int = 0


class Reporter:
    """Writes alerts for callers who cannot: in another thread, grouped, and bounded."""

    def __init__(self) -> None:
        # Reentrant: a signal handler runs in a thread that may hold it.
        self._lock = threading.RLock()
        self._waiting: dict[str, _Group] = {}
        # Of queues this one alone may be used in a signal handler.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._hurry: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._writing = False
        self._pause = EVERY
        self._depth = threading.local()

    def add(
        self, key: str, describe: Callable[[], Alarm], count: int = 1, *, later: bool = False
    ) -> None:
        """Tell of an alert once more. `describe` is asked only for what does not wait already.

        `later`: in the thread that writes, where it may query.
        """
        if self._thread is not None and self._thread.ident == threading.get_ident():
            return
        stats["heard"] += count
        if self._counted(key, count):
            return
        depth = getattr(self._depth, "now", 0)
        if depth >= DEPTH or len(self._waiting) >= GROUPS:
            stats["dropped"] += 1
            return
        alarm: Alarm | Callable[[], Alarm] = describe
        if not later:
            self._depth.now = depth + 1
            try:
                alarm = describe()  # not under the lock: it may be anybody's code
                alarm.as_arg()  # one that cannot be stored would hold up all others
            finally:
                self._depth.now = depth
        with self._lock:
            first = not self._waiting
            self._waiting.setdefault(key, _Group(alarm)).count += count
            if self._thread is None:
                self._start()
        if first:
            self._wake.put(None)

    def _counted(self, key: str, count: int) -> bool:
        with self._lock:
            group = self._waiting.get(key)
            if group is not None:
                group.count += count
            return group is not None

    def _start(self) -> None:
        self._thread = threading.Thread(
            target=self._run, name="notifications-reporter", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is shutting down
            self._thread = None

    def flush(self, patience: float = LAST_WORDS) -> bool:
        """Wait until all is written; False if it is not by then."""
        if self._thread is None:
            return not self._waiting
        self._hurry.put(None)
        end = time.monotonic() + patience
        while self._waiting or self._writing:
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def _run(self) -> None:
        while True:
            if not self._waiting:
                self._wake.get()
            self._write()
            with contextlib.suppress(queue.Empty):
                self._hurry.get(timeout=self._pause)

    def _write(self) -> None:
        with self._lock:
            self._writing = True
            groups, self._waiting = self._waiting, {}
        try:
            if groups:
                self._store(groups)
            self._pause = EVERY
        except Exception:  # whatever it is, it is not the caller's
            stats["failed"] += 1
            self._pause = min(REST, self._pause * 2)
            self._keep(groups)
        finally:
            self._writing = False

    def _store(self, groups: dict[str, _Group]) -> None:
        from django.db import connections

        from .alerts import fold_what_waits, tell

        try:
            # What was written the last time: where no server does it, nobody else may.
            fold_what_waits()
            tell(
                replace(group.alarm() if callable(group.alarm) else group.alarm, count=group.count)
                for group in groups.values()
            )
        finally:
            connections.close_all()
        stats["stored"] += sum(group.count for group in groups.values())

    def _keep(self, groups: dict[str, _Group]) -> None:
        """For the next time, as much of it as there is room for."""
        with self._lock:
            for key, group in groups.items():
                if key in self._waiting:
                    self._waiting[key].count += group.count
                elif len(self._waiting) < GROUPS:
                    self._waiting[key] = group
                else:
                    stats["dropped"] += group.count

    def _begin_anew(self) -> None:
        """In a fork: it has no thread, a lock that may be held, and what waits is its parent's."""
        Reporter.__init__(self)
        stats.clear()


reporter = Reporter()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reporter._begin_anew)
atexit.register(reporter.flush)


class AlertHandler(logging.Handler):
    """Turns records into alerts; of the level ERROR and above unless it is told otherwise."""

    def __init__(self, level: int | str = logging.ERROR) -> None:
        super().__init__(level)

    def handle(self, record: logging.LogRecord) -> Any:
        # Without the handler's lock, which would be held while a message is put together.
        passed = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if record.name.partition(".")[0] != "notifications":
                reporter.add(key_of(record), lambda: alarm_of(record))
        except Exception:
            stats["dropped"] += 1


# --- What a record says ------------------------------------------------------------------


def key_of(record: logging.LogRecord) -> str:
    """The same for errors of the same place: an exception of one type out of one function, or one
    line that logs."""
    error = _error(record)
    if error is not None:
        kind = type(error)
        place: tuple[object, ...] = (
            kind.__module__,
            kind.__qualname__,
            *_where(error.__traceback__),
        )
    else:
        template = record.msg if record.args and isinstance(record.msg, str) else ""
        place = (record.name, record.levelno, record.pathname, record.lineno, template)
    return "log-" + hashlib.sha256(repr(place).encode("utf-8", "replace")).hexdigest()[:20]


def _error(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _where(trace: TracebackType | None) -> tuple[str, ...]:
    """The function that raised, and the innermost one that is no library's."""
    inner = own = ""
    for _frame in range(FRAMES):
        if trace is None:
            break
        code = trace.tb_frame.f_code
        inner = f"{code.co_filename}:{code.co_name}"
        if not re.search(r"[/\\](site-packages|dist-packages|lib[/\\]python3\.\d+)[/\\]", inner):
            own = inner
        trace = trace.tb_next
    return inner, own


def alarm_of(record: logging.LogRecord) -> Alarm:
    """What operators are told. Values of local variables are not in it."""
    from .alerts import Alarm
    from .models import Alert, Level, Notification

    message = _message(record)
    error = _error(record)
    title = message
    parts = [message] if message else []
    if error is not None:
        title = "".join(traceback.format_exception_only(error)).strip()
        trace = "".join(traceback.format_exception(error, limit=-30)).strip()
        parts.append(trace)
    first_line = next((line.strip() for line in title.splitlines() if line.strip()), record.name)
    body = "\n\n".join(parts)
    if len(body) > Alert.BODY_LENGTH:  # the end of a traceback says most
        body = "…" + body[1 - Alert.BODY_LENGTH :]
    level = max((one for one in Level if one <= record.levelno), default=Level.DEBUG)
    return Alarm(
        key_of(record),
        _clean(first_line)[: Notification.TITLE_LENGTH].strip() or "Error",
        body=_clean(body),
        level=level.word,
        source=_clean(record.name)[: Alert.SOURCE_LENGTH],
        labels={"logger": _clean(record.name)[:200]},
    )


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # the arguments do not fit the words
        return str(record.msg)


def _clean(text: str) -> str:
    """Text that can be stored."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")
