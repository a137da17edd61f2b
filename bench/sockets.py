"""One visit to one contestant with N sockets: what connecting, waiting and being told cost."""

from __future__ import annotations

import time
from typing import Any

from .contestants import Contestant, Ours
from .machine import cpu_seconds, memory

MESSAGES = 128
"""Half a window: each client of ours acknowledges once."""
SLOW_MESSAGES = 6
AT_ONCE = 500
SLOW_AT_ONCE = 50
"""Connects under way; more at once, and daphne refuses those whose look-ups take too long."""
SETTLE = 0.3
"""Seconds for what comes after the last delivery: acknowledgements, counts."""


def visit(contestant: Contestant, sockets: int) -> dict[str, Any]:
    """Figures of one contestant: CPU in microseconds of its server process, times in ms."""
    found: dict[str, Any] = {"sockets": sockets}
    load = contestant.load
    empty = memory(contestant.process.pid)
    found |= _storm(contestant, sockets, "connect")
    time.sleep(1)
    found["memory"] = (memory(contestant.process.pid) - empty) / sockets
    if isinstance(contestant, Ours):
        # After a deploy: a new process, and everybody comes back to it with a cursor.
        load.close()
        contestant.restart()
        time.sleep(1)
        found |= _storm(contestant, sockets, "resume")
    if contestant.tells:
        time.sleep(SETTLE)
        found |= broadcast(contestant, sockets)
    if contestant.tells and contestant.tells_each:
        found |= each(contestant, sockets)
    return found


def _storm(contestant: Contestant, sockets: int, name: str) -> dict[str, float]:
    server = contestant.process.pid
    before = cpu_seconds(server)
    storm = contestant.load.open(sockets, SLOW_AT_ONCE if contestant.slow else AT_ONCE)
    time.sleep(SETTLE)
    return {
        f"{name}_cpu": (cpu_seconds(server) - before) * 1e6 / sockets,
        f"{name}_seconds": storm["all_live"],
    }


def broadcast(contestant: Contestant, sockets: int, messages: int = 0) -> dict[str, Any]:
    server, load = contestant.process.pid, contestant.load
    messages = messages or (SLOW_MESSAGES if contestant.slow else MESSAGES)
    load.reset()
    contestant.tell_all()  # the first one warms up
    load.wait(sockets, 60)
    time.sleep(SETTLE)
    before = cpu_seconds(server)
    load.reset()
    last = []
    for number in range(messages):
        began = time.monotonic()
        contestant.tell_all()
        seen = load.wait(sockets * (number + 1), 60)
        last.append((time.monotonic() - began) * 1000)
    time.sleep(SETTLE)
    spent = cpu_seconds(server) - before
    seen = load.wait(sockets * messages, 1)
    count = seen["marks"]
    return {
        "broadcast_cpu": spent * 1e6 / count,
        "broadcast_last": sorted(last)[len(last) // 2],
        "broadcast_missing": sockets * messages - count,
        "broadcast_bytes": seen["bytes_in"] / count,
        "broadcast_wrong": seen["gaps"] + seen["twice"] + seen["closed"],
        "load_share": seen["cpu"] / seen["seconds"],
        "load_limit": seen["limit"],
    }


def each(contestant: Contestant, sockets: int) -> dict[str, Any]:
    """One message each to many people."""
    server, load = contestant.process.pid, contestant.load
    people = min(sockets, 200 if contestant.slow else 1_000)
    load.reset()
    contestant.tell_each(people)
    load.wait(people, 60)
    time.sleep(SETTLE)
    before = cpu_seconds(server)
    load.reset()
    contestant.tell_each(people)
    seen = load.wait(people, 60)
    time.sleep(SETTLE)
    return {
        "each_cpu": (cpu_seconds(server) - before) * 1e6 / max(1, seen["marks"]),
        "each_missing": people - seen["marks"],
        "each_wrong": seen["gaps"] + seen["twice"] + seen["closed"],
        "each_p50": seen["p50"],
        "each_p99": seen["p99"],
        "each_bytes": seen["bytes_in"] / max(1, seen["marks"]),
    }
