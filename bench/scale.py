"""The sums of docs/scale.md: what a million sockets take, from bench/results/units.json.

    python -m bench.scale          the tables, as they stand in the document

Every sum is a line of `Sums`; bench/scale_simulation.py checks them against the same units.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .machine import RESULTS

BUSY = 0.5
"""The share of a core that is meant to be used in the mean."""
CAP = 20_000
"""Sockets in one process at most (`SOCKETS_PER_PROCESS`)."""
PROCESS_BYTES = 90 * 2**20
"""A process without sockets."""
LIFETIME = 3_600 * 0.9
"""Seconds after which a socket comes back, in the mean (`LIFETIME`, less up to a fifth)."""
CONNECTIONS = 6
"""To the database, of one process: the hub's four threads, and some for pages."""


def units() -> dict[str, Any]:
    return dict(json.loads((RESULTS / "units.json").read_text())["results"])


@dataclass(frozen=True)
class Sums:
    """A site of so many sockets, each one person's, that is told so much."""

    unit: dict[str, Any]
    sockets: int
    personal: float
    """Notifications to one person each, a second."""
    broadcasts: float
    """To everyone, a second."""

    def _us(self, what: str, part: str) -> float:
        return float(self.unit[what][part]) / 1e6

    @property
    def hellos(self) -> float:
        """A second, since sockets have a lifetime."""
        return self.sockets / LIFETIME

    def load(self, sockets: float) -> float:
        """The share of a core that a process with so many sockets takes."""
        share = sockets / self.sockets
        return (
            self._us("process_second", "server")
            + sockets * self._us("socket_second", "server")
            + share * self.hellos * self._us("hello", "server")
            + share * self.personal * self._us("notification", "server")
            + self.broadcasts * sockets * self.unit["broadcast"]["frame"] / 1e6
        )

    @property
    def sockets_per_process(self) -> int:
        """As many as keep a process at `BUSY`, and no more than the setting allows."""
        fixed = self._us("process_second", "server")
        return int(min(CAP, CAP * (BUSY - fixed) / (self.load(CAP) - fixed)))

    @property
    def processes(self) -> int:
        return -(-self.sockets // self.sockets_per_process)

    @property
    def memory(self) -> float:
        """Bytes, of all processes."""
        return self.sockets * self.unit["bytes_per_socket"] + self.processes * PROCESS_BYTES

    @property
    def bells(self) -> float:
        """Messages that Redis delivers, a second: a personal one to the process where the
        person is, a broadcast to all."""
        return self.personal + self.broadcasts * self.processes

    @property
    def redis_cores(self) -> float:
        bell = max(self._us("broadcast", "redis"), self._us("notification", "redis"))
        return self.bells * bell + self.processes * self._us("process_second", "redis")

    @property
    def reads(self) -> float:
        """Times that a process reads one stream, a second."""
        return self.personal + self.broadcasts * self.processes

    @property
    def database_cores(self) -> float:
        return (
            self.personal * self._us("notification", "database")
            + self.broadcasts * self.processes * self._us("broadcast", "database")
            + self.hellos * self._us("hello", "database")
            + self.sockets * self._us("socket_second", "database")
            + self.processes * self._us("process_second", "database")
        )

    @property
    def wal(self) -> float:
        """Bytes of write-ahead log a second."""
        return float(self.personal * self.unit["notification_wal"]) + float(
            self.hellos * self.unit["hello_wal"]
        )

    @property
    def broadcast_seconds(self) -> float:
        """Of work in one process, until its last socket has a broadcast."""
        return self.sockets_per_process * self.unit["broadcast"]["frame"] / 1e6

    @property
    def storm_database_seconds(self) -> float:
        """Core seconds of the database when everybody comes back at once."""
        return self.sockets * self._us("hello", "database")

    @property
    def storm_server_seconds(self) -> float:
        """Of work in each process then."""
        return self.sockets_per_process * self._us("hello", "server")


SITES = [(10_000, 20), (100_000, 200), (1_000_000, 2_000)]
"""Sockets, and personal notifications a second: 7 an hour for each person."""
BROADCASTS = 10 / 3_600


def table(rows: list[list[str]]) -> str:
    head, *rest = rows
    lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rest]]
    return "\n".join(lines)


def unit_table(unit: dict[str, Any]) -> str:
    def row(name: str, what: str) -> list[str]:
        costs = unit[what]
        return [name, *(f"{costs[part]:,.1f} µs" for part in ("server", "database", "redis"))]

    frame = unit["broadcast"]
    return table(
        [
            ["one", "server", "database", "Redis"],
            row("second of a process", "process_second"),
            [
                "second of an idle socket",
                *(f"{unit['socket_second'][part]:,.2f} µs" for part in ("server", "database")),
                f"{unit['socket_second']['redis']:,.2f} µs",
            ],
            row("hello", "hello"),
            row("notification to one person who is online", "notification"),
            [
                "broadcast, for each process",
                f"{frame['frame']:,.1f} µs a socket",
                f"{frame['database']:,.0f} µs",
                f"{frame['redis']:,.1f} µs",
            ],
        ]
    )


def sum_table(unit: dict[str, Any]) -> str:
    sites = [Sums(unit, sockets, personal, BROADCASTS) for sockets, personal in SITES]
    lines: list[tuple[str, Any]] = [
        ("sockets", lambda s: f"{s.sockets:,}"),
        ("personal notifications a second", lambda s: f"{s.personal:,}"),
        ("sockets in a process", lambda s: f"{s.sockets_per_process:,}"),
        ("processes, a core each", lambda s: f"{s.processes:,}"),
        ("load of such a core", lambda s: f"{s.load(s.sockets / s.processes):.0%}"),
        ("memory of all processes", lambda s: f"{s.memory / 2**30:,.1f} GiB"),
        ("hellos a second", lambda s: f"{s.hellos:,.0f}"),
        ("bells a second that Redis delivers", lambda s: f"{s.bells:,.0f}"),
        ("cores of Redis", lambda s: f"{s.redis_cores:.2f}"),
        ("reads of a stream a second", lambda s: f"{s.reads:,.0f}"),
        ("cores of the database", lambda s: f"{s.database_cores:,.1f}"),
        ("write-ahead log", lambda s: f"{s.wal / 2**20:,.1f} MiB/s"),
        ("connections to the database", lambda s: f"{s.processes * CONNECTIONS:,}"),
        ("a broadcast has reached the last socket after", lambda s: f"{s.broadcast_seconds:.2f} s"),
        ("all come back at once: core seconds of the database", lambda s: storm(s)),
        ("and seconds of work in each process", lambda s: f"{s.storm_server_seconds:,.0f} s"),
    ]
    return table([["", *("" for _ in sites)], *([name, *map(say, sites)] for name, say in lines)])


def storm(sums: Sums) -> str:
    return f"{sums.storm_database_seconds:,.0f} s"


def main() -> None:
    unit = units()
    print(unit_table(unit), sum_table(unit), sep="\n\n")


if __name__ == "__main__":
    main()
