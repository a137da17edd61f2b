"""Checks the sums of bench/scale.py: a million people, one by one, in simulated processes.

    python -m bench.scale_simulation [--sockets 1000000] [--seconds 10]

Nothing is averaged beforehand. Notifications come at random times to random people; each process
gathers bells for 4 ms, reads, and writes, one thing after the other on its core, at the measured
costs. What comes out is compared with the sums: the load of a core, bells, reads, and how long
news takes, which no sum says.
"""

from __future__ import annotations

import argparse
import heapq
import random
from dataclasses import dataclass, field

from .machine import keep
from .scale import BROADCASTS, Sums, units

COLLECT = 0.004
READ = 0.003
"""Seconds that a reading takes in its thread and in the database, beside the CPU of the server."""


@dataclass
class Core:
    """One server process."""

    sockets: int
    free_at: float = 0.0
    worked: float = 0.0
    waiting: list[float] = field(default_factory=list)
    """When the bells came that were not read for yet."""
    reads_at: float | None = None

    def work(self, now: float, seconds: float) -> float:
        """Do something when the core is free; when it is done."""
        self.free_at = max(now, self.free_at) + seconds
        self.worked += seconds
        return self.free_at


def simulate(sums: Sums, seconds: float, seed: int = 1) -> dict[str, float]:
    luck = random.Random(seed)
    cores = [Core(0) for _ in range(sums.processes)]
    home = [luck.randrange(len(cores)) for _ in range(sums.sockets)]  # whose socket is where
    for number in home:
        cores[number].sockets += 1
    us = {name: sums.unit[name]["server"] / 1e6 for name in ("hello", "notification")}
    frame = sums.unit["broadcast"]["frame"] / 1e6
    second = sums.unit["process_second"]["server"] / 1e6
    idle = sums.unit["socket_second"]["server"] / 1e6

    events: list[tuple[float, int, str, int]] = []
    count = 0

    def at(time: float, kind: str, number: int) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (time, count, kind, number))

    def poisson(rate: float, kind: str) -> None:
        time = luck.expovariate(rate)
        while time < seconds:
            at(time, kind, luck.randrange(sums.sockets))
            time += luck.expovariate(rate)

    poisson(sums.personal, "personal")
    poisson(sums.hellos, "hello")
    broadcasts = max(1, round(sums.broadcasts * seconds))
    for number in range(broadcasts):
        at(seconds * (number + 0.5) / broadcasts, "broadcast", 0)
    for tick in range(int(seconds)):
        for number in range(len(cores)):
            at(tick + luck.random(), "beat", number)

    bells = readings = 0
    took: list[float] = []
    last_of_broadcast = 0.0
    shared: dict[int, list[float]] = {number: [] for number in range(len(cores))}

    def ring(now: float, number: int, is_shared: bool) -> None:
        nonlocal bells
        bells += 1
        (shared[number] if is_shared else cores[number].waiting).append(now)
        if cores[number].reads_at is None:
            cores[number].reads_at = now + COLLECT
            at(now + COLLECT, "read", number)

    while events:
        now, _count, kind, number = heapq.heappop(events)
        if kind == "personal":
            ring(now, home[number], False)
        elif kind == "broadcast":
            for each in range(len(cores)):
                ring(now, each, True)
        elif kind == "hello":
            cores[home[number]].work(now, us["hello"])
        elif kind == "beat":
            core = cores[number]
            core.work(now, second + core.sockets * idle)
        elif kind == "read":
            core = cores[number]
            personal, core.waiting = core.waiting, []
            announced, shared[number] = shared[number], []
            core.reads_at = None
            readings += len(personal) + len(announced)
            read = now + READ
            for rung in announced:
                done = core.work(read, core.sockets * frame)
                last_of_broadcast = max(last_of_broadcast, done - rung)
            for rung in personal:
                took.append(core.work(read, us["notification"]) - rung)
    took.sort()
    heaviest = max(core.sockets for core in cores)
    return {
        "processes": len(cores),
        "load": sum(core.worked for core in cores) / len(cores) / seconds,
        "heaviest_load": max(core.worked for core in cores) / seconds,
        "heaviest_sockets": heaviest,
        "bells": bells / seconds,
        "reads": readings / seconds,
        "broadcasts": broadcasts,
        "median_ms": took[len(took) // 2] * 1000,
        "p99_ms": took[int(len(took) * 0.99)] * 1000,
        "longest_ms": took[-1] * 1000,
        "broadcast_last_s": last_of_broadcast,
    }


def compared(sums: Sums, found: dict[str, float], seconds: float) -> dict[str, tuple[float, float]]:
    """What the sums say for the same number of broadcasts, and what came out."""
    same = Sums(sums.unit, sums.sockets, sums.personal, found["broadcasts"] / seconds)
    return {
        "load": (same.load(sums.sockets / sums.processes), found["load"]),
        "bells": (sums.personal + found["broadcasts"] / seconds * sums.processes, found["bells"]),
        "reads": (sums.personal + found["broadcasts"] / seconds * sums.processes, found["reads"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    sums = Sums(units(), options.sockets, options.sockets / 500, BROADCASTS)
    found = simulate(sums, options.seconds)
    for name, (said, came) in compared(sums, found, options.seconds).items():
        print(f"{name}: the sums say {said:,.3f}, the simulation {came:,.3f}")
    for name, value in found.items():
        print(f"{name}: {value:,.2f}")
    keep("scale", found)


if __name__ == "__main__":
    main()
