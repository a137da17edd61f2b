"""What one of each costs: a socket, a second of it, a frame, a notification, a bell, a hello.

    python -m bench.units [--sockets 2000]      bench/results/units.json

One uvicorn with PostgreSQL and Redis as a site has them, and that many clients on the other core.
CPU is that of each process by its own clock, so that a busy machine makes it a little dearer and
not another number.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import psycopg

from .contestants import Ours
from .machine import cpu_seconds, family_seconds, keep, memory, parts, print_machine

IDLE = 20.0
BROADCASTS = 16
ROUNDS = 3
TOLD = 1_000
SETTLE = 1.0
CALM = 10.0
"""Seconds for what comes after many have connected: their presence is written in rounds."""


def measure(sockets: int) -> dict[str, Any]:
    with parts() as at, Ours(at, sockets) as ours:
        server, load = ours.process.pid, ours.load
        clocks: dict[str, Callable[[], float]] = {
            "server": lambda: cpu_seconds(server),
            "database": lambda: family_seconds(at.postgres.process.pid),
            "redis": lambda: cpu_seconds(at.redis.process.pid),
        }

        def cost(what: Callable[[], Any], each: float) -> dict[str, float]:
            """Microseconds of CPU, of each part, for each of what is done: beyond what passes
            anyway while it is done."""
            before = {name: clock() for name, clock in clocks.items()}
            began = time.monotonic()
            what()
            seconds = time.monotonic() - began
            return {
                name: round(max(0, (clock() - before[name]) * 1e6 - idle[name] * seconds) / each, 2)
                for name, clock in clocks.items()
            }

        idle = dict.fromkeys(clocks, 0.0)  # microseconds a second

        def written(what: Callable[[], Any], each: float) -> tuple[dict[str, float], int]:
            """The same, and the bytes of write-ahead log for each."""
            with psycopg.connect(ours.site.database_url, autocommit=True) as connection:
                before = connection.execute("SELECT pg_current_wal_lsn()").fetchone()[0]
                costs = cost(what, each)
                grown = connection.execute(
                    "SELECT pg_current_wal_lsn() - %s::pg_lsn", [before]
                ).fetchone()[0]
            return costs, round(int(grown) / each)

        def connect() -> None:
            load.open(sockets)
            load.rest(SETTLE)

        def rest() -> None:
            load.reset()
            load.rest(IDLE)

        def tell_all() -> None:
            load.reset()
            for number in range(BROADCASTS):
                ours.tell_all()
                seen = load.wait(sockets * (number + 1), 10)
            print(f"broadcasts: {seen['marks']} of {sockets * BROADCASTS} frames")
            time.sleep(SETTLE)

        def tell_each() -> None:
            load.reset()
            for number in range(ROUNDS):
                ours.tell_each(TOLD)
                seen = load.wait(TOLD * (number + 1), 10)
            print(f"notifications: {seen['marks']} of {TOLD * ROUNDS} frames")
            time.sleep(SETTLE)

        alone = cost(lambda: time.sleep(IDLE), IDLE)
        found: dict[str, Any] = {"sockets": sockets, "process_second": alone}
        idle = alone
        empty = memory(server)
        found["hello"], found["hello_wal"] = written(connect, sockets)
        found["bytes_per_socket"] = round((memory(server) - empty) / sockets)
        load.rest(CALM)
        found["socket_second"] = each_idle = cost(rest, IDLE * sockets)
        idle = {name: alone[name] + each_idle[name] * sockets for name in alone}
        tell_all()  # the first ones warm up
        broadcast = cost(tell_all, BROADCASTS)
        found["broadcast"] = {
            "frame": round(broadcast["server"] / sockets, 2),
            "database": broadcast["database"],
            "redis": broadcast["redis"],
        }
        found["notification"], found["notification_wal"] = written(tell_each, TOLD * ROUNDS)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=2_000)
    print_machine()
    found = measure(parser.parse_args().sockets)
    print(found)
    keep("units", found)


if __name__ == "__main__":
    main()
