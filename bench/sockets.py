"""One visit to one contestant with N sockets: what connecting, waiting and being told cost."""

from __future__ import annotations

import time
from typing import Any

from .contestants import Contestant
from .machine import cpu_seconds, memory

MESSAGES = 64
"""Two windows of acknowledgements."""
SLOW_MESSAGES = 6
SETTLE = 0.3
"""Seconds for what comes after the last delivery: acknowledgements, counts."""


def visit(contestant: Contestant, sockets: int, idle: float = 0) -> dict[str, Any]:
    """Figures of one contestant: CPU in microseconds of its server process, times in ms."""
    found: dict[str, Any] = {"sockets": sockets}
    server, load = contestant.process.pid, contestant.load
    empty = memory(server)

    before = cpu_seconds(server)
    storm = load.open(sockets)
    time.sleep(SETTLE)
    found["connect_cpu"] = (cpu_seconds(server) - before) * 1e6 / sockets
    found["connect_seconds"] = storm["all_live"]
    time.sleep(1)
    found["memory"] = (memory(server) - empty) / sockets

    if contestant.dialect == "ours":
        load.close()
        time.sleep(1 + sockets / 5_000)
        before = cpu_seconds(server)
        storm = load.open(sockets)
        time.sleep(SETTLE)
        found["resume_cpu"] = (cpu_seconds(server) - before) * 1e6 / sockets
        found["resume_seconds"] = storm["all_live"]

    if idle:
        before = cpu_seconds(server)
        load.reset()
        rested = load.rest(idle)
        found["idle_cpu"] = (cpu_seconds(server) - before) / rested["seconds"]
        found["idle_bytes"] = (rested["bytes_in"] + rested["bytes_out"]) / rested["seconds"]

    if contestant.tells:
        found |= broadcast(contestant, sockets)
        found |= each(contestant, sockets)
    return found


def broadcast(contestant: Contestant, sockets: int) -> dict[str, Any]:
    server, load = contestant.process.pid, contestant.load
    messages = SLOW_MESSAGES if contestant.slow else MESSAGES
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
        "broadcast_gaps": seen["gaps"] + seen["twice"],
        "load_share": seen["cpu"] / seen["seconds"],
        "load_limit": seen["limit"],
    }


def each(contestant: Contestant, sockets: int) -> dict[str, Any]:
    """One message each to a thousand people."""
    server, load = contestant.process.pid, contestant.load
    people = min(sockets, 1_000)
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
        "each_p50": seen["p50"],
        "each_p99": seen["p99"],
        "each_bytes": seen["bytes_in"] / max(1, seen["marks"]),
    }
