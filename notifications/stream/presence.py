"""What a hub tells of itself every few seconds: who is connected to it, and how it fares.

A row for each socket and heartbeat would cost more than the news. So a round writes what changed
since the last one, and looks again at so many of the others, one after the other.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import transaction
from django.utils import timezone

from ..models import Connection, Process, Sample
from . import bell, sql
from .number import log_database
from .socket import Socket
from .timing import BOUNDS, Timing

MOVED = 1_000
"""People who came or went, written in one round at most; the others wait for the next."""
LOOKED_AT = 200
"""People of whom nothing is known to have changed, looked at in one round."""
FORGOTTEN = timedelta(hours=1)
"""A process that died leaves its row for so long."""

Line = tuple[str, int, int, float, float, str]
"""Transport, sockets, tabs, since and heard (on the monotonic clock), version."""
UNSURE: tuple[Line, ...] = (("", 0, 0, 0.0, 0.0, ""),)
"""Of whom we do not know what is written."""


@dataclass
class Report:
    """One round: what is to be written, and about whom."""

    people: int
    sockets: int
    looked: list[Any]
    lines: dict[Any, tuple[Line, ...]]
    """All lines of those of whom any has changed."""
    gone: list[Any]
    minute: datetime
    sample: dict[str, Any]
    clock: float = field(default_factory=time.monotonic)

    def moment(self, then: float) -> datetime:
        return timezone.now() - timedelta(seconds=max(0.0, self.clock - then))


class Presence:
    """The rounds of one hub. Touched in its loop's thread, but for `write`."""

    def __init__(self) -> None:
        self.moved: set[Any] = set()
        """People who came, went, or changed how they are connected."""
        self._written: dict[Any, tuple[Line, ...]] = {}
        self._turn = 0
        self._minute: datetime | None = None
        self._before: Counter[str] = Counter()
        self._last: Counter[str] = Counter()
        self._backlog = 0

    def report(
        self, people: Mapping[Any, Collection[Socket]], sockets: int, figures: Figures
    ) -> Report:
        """What has to be written now."""
        moved = list(islice(self.moved, MOVED))
        self.moved = self.moved.difference(moved)  # anew: a set in place never becomes smaller
        looked = [*dict.fromkeys([*moved, *self._next(people)])]
        lines: dict[Any, tuple[Line, ...]] = {}
        gone = []
        for person in looked:
            now = _lines(people.get(person, ()))
            before = self._written.get(person, ())
            if {line[0] for line in before} - {line[0] for line in now}:
                gone.append(person)  # all their rows, and those that stay are written again
            if now and now != before:
                lines[person] = now
        minute = timezone.now().replace(second=0, microsecond=0)
        return Report(
            people=len(people),
            sockets=sockets,
            looked=looked,
            lines=lines,
            gone=gone,
            minute=minute,
            sample=self._sample(minute, figures) | {"sockets": sockets},
        )

    def wrote(self, report: Report) -> None:
        """It is in the database."""
        for person in report.gone:
            self._written.pop(person, None)
        self._written.update(report.lines)

    def failed(self, report: Report) -> None:
        """It is not, or who knows: the next round deletes the rows of these people first."""
        self.moved.update(report.looked)
        self._written.update(dict.fromkeys(report.looked, UNSURE))

    def _next(self, people: Mapping[Any, Any]) -> Iterator[Any]:
        everybody = list(people)
        if not everybody:
            return iter(())
        start = self._turn % len(everybody)
        self._turn = start + LOOKED_AT
        return islice(iter(everybody[start:]), LOOKED_AT)

    def _sample(self, minute: datetime, figures: Figures) -> dict[str, Any]:
        if minute != self._minute:
            self._minute, self._before, self._backlog = minute, self._last, 0
        self._last = now = figures.counted()
        self._backlog = max(self._backlog, figures.backlog)
        grown = {name: max(0, now[name] - self._before[name]) for name in now}
        asked = grown.pop("layer_asked")
        seconds = now["layer_us"] - self._before["layer_us"]
        grown.pop("layer_us")
        return {
            "latency": [grown.pop(f"took_{index}") for index in range(len(BOUNDS) + 1)],
            "layer_ms": seconds / 1000 / asked if asked else None,
            "backlog": self._backlog,
            **grown,
        }


@dataclass(frozen=True)
class Figures:
    """What a hub has counted since it began, and what waits in it now."""

    stats: Counter[str]
    latency: Timing
    layer: Timing
    backlog: int

    def counted(self) -> Counter[str]:
        stats = self.stats
        failed = ("database_errors", "errors", "layer_failures")
        return Counter(
            {
                "pushes": stats["pushes"],
                "failures": sum(stats[name] for name in failed)
                + bell.stats["failed"]
                + bell.stats["skipped"],
                "reconnects": stats["welcome_resume"] + stats["welcome_reset"],
                "dropped": stats["closed_4100"] + stats["closed_4105"],
                "layer_asked": sum(self.layer.counts),
                "layer_us": round(self.layer.total * 1e6),
            }
            | {f"took_{index}": count for index, count in enumerate(self.latency.counts)}
        )


def _lines(sockets: Iterable[Socket]) -> tuple[Line, ...]:
    """One person's sockets by transport."""
    lines: dict[str, Line] = {}
    for socket in sockets:
        line = lines.get(socket.transport)
        if line is None:
            lines[socket.transport] = (
                socket.transport,
                1,
                socket.tabs,
                socket.since,
                socket.heard_at,
                socket.version,
            )
        else:
            transport, count, tabs, since, heard, version = line
            lines[transport] = (
                transport,
                count + 1,
                tabs + socket.tabs,
                min(since, socket.since),
                max(heard, socket.heard_at),
                version or socket.version,
            )
    return tuple(lines.values())


def write(id: uuid.UUID, report: Report) -> None:
    """Write a round, in a thread."""
    using = log_database()
    now = timezone.now()
    processes = Process.objects.using(using)
    how = {"beat": now, "people": report.people, "sockets": report.sockets}
    with transaction.atomic(using=using):
        new = not processes.filter(id=id).update(**how)
        if new:
            processes.create(id=id, **how)
        if report.gone:
            Connection.objects.using(using).filter(
                process_id=id, person_id__in=report.gone
            ).delete()
        if report.lines:
            sql.write([_connections(id, report)], using)
        samples = Sample.objects.using(using)
        samples.bulk_create(
            [Sample(process_id=id, minute=report.minute, **report.sample)],
            update_conflicts=True,
            unique_fields=["process", "minute"],
            update_fields=list(report.sample),
        )
    if new:  # what died before us leaves its row
        processes.filter(beat__lt=now - FORGOTTEN).delete()
    if now - report.minute < timedelta(seconds=10):
        samples.filter(minute__lt=now - Sample.KEPT).delete()


def _connections(id: uuid.UUID, report: Report) -> sql.Insert:
    """A row for each line of the report, new or in place of the one that is there."""
    rows = [
        {
            "person": person,
            "transport": transport,
            "sockets": sockets,
            "tabs": tabs,
            "since": report.moment(since),
            "heard": report.moment(heard),
            "version": version,
        }
        for person, lines in report.lines.items()
        for transport, sockets, tabs, since, heard, version in lines
    ]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return sql.Insert(Connection(process_id=id), columns, ("process", "person", "transport"))
