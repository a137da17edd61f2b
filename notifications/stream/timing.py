"""How long something took, counted into buckets: cheap enough for every push."""

from __future__ import annotations

from bisect import bisect_left

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds; what took longer is in the last bucket."""


class Timing:
    """A histogram of seconds, touched by one thread."""

    __slots__ = ("counts", "last", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        self.last = 0.0

    def took(self, seconds: float) -> None:
        self.last = seconds = max(0.0, seconds)  # two machines' clocks may differ
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
