"""Python's garbage collector in a process that holds thousands of sockets."""

from __future__ import annotations

import gc

DEFAULT = 10
RARER = 100


def collect_rarely() -> None:
    """Make full collections ten times as rare, unless the site has chosen for itself.

    Each looks at every object of the process. A storm of connects makes nothing but objects that
    stay, so that one follows the other: a quarter of the CPU of each connect, and pauses of
    0.2 s with five thousand sockets (docs/performance.md). Young objects are looked at as often
    as before, and garbage that is old waits until 700,000 objects are more than there were.
    """
    young, middle, full = gc.get_threshold()
    if full == DEFAULT:
        gc.set_threshold(young, middle, RARER)
