"""What a durable notification costs its caller, how late it comes, and how many there can be."""

from __future__ import annotations

from typing import Any

from . import people
from .contestants import BODY, Ours
from .machine import Parts, cpu_seconds, family_seconds

READERS = 200
PUBLISHER_RATE = 500
"""One publisher sends no more a second: for more there are several, as a site has processes."""


def latency(at: Parts, rate: int, seconds: float) -> dict[str, Any]:
    """From commit to client, at a steady rate, each notification committed for itself."""
    with Ours(at, READERS) as ours:
        ours.load.open(READERS)
        publishers = [ours.site.worker]
        while len(publishers) * PUBLISHER_RATE < rate:
            publishers.append(ours.site.new_worker())
        each = rate // len(publishers)
        for publisher in publishers:  # warm up
            publisher.call(people.tell_at, ids=ours.ids, body=BODY, rate=each, seconds=1)
        ours.load.rest(1)
        ours.load.reset()
        before = cpu_seconds(ours.process.pid)
        for publisher in publishers:
            publisher.begin(people.tell_at, ids=ours.ids, body=BODY, rate=each, seconds=seconds)
        told = {sign: done for publisher in publishers for sign, done in publisher.finish()}
        seen = ours.load.wait(len(told), 20)
        spent = cpu_seconds(ours.process.pid) - before
        came = dict(ours.load.arrivals(at.folder))
    late = sorted(max(0, came[sign] - told[sign]) / 1e6 for sign in told if sign in came)
    span = (max(told.values()) - min(told.values())) / 1e9
    return {
        "wanted": rate,
        "reached": len(told) / span,
        "sent": len(told),
        "lost": len(told) - len(late),
        "twice": seen["marks"] - len(came) + seen["twice"] + seen["gaps"],
        "p50": late[len(late) // 2],
        "p99": late[int(len(late) * 0.99)],
        "max": late[-1],
        "cpu": spent * 1e6 / len(told),
    }


def most(at: Parts, seconds: float) -> dict[str, Any]:
    """The most that one publisher can send and that come; and the same rows, stored bare."""
    with Ours(at, READERS) as ours:
        ours.load.open(READERS)
        ask = {"ids": ours.ids, "body": BODY}
        ours.site.call(people.tell_fast, **ask, seconds=1)
        ours.load.rest(2)
        bare = ours.site.call(people.insert_fast, **ask, seconds=seconds) / seconds
        ours.load.reset()
        database = family_seconds(at.postgres.process.pid)
        count = ours.site.call(people.tell_fast, **ask, seconds=seconds)
        seen = ours.load.wait(count, 30)
        database = family_seconds(at.postgres.process.pid) - database
    return {
        "sent": count,
        "came": seen["marks"],
        "per_second": count / max(seconds, seen["seconds"]),
        "bare_per_second": bare,
        "database_cpu": database * 1e6 / count,
    }


def cost(at: Parts, calls: int) -> dict[str, float]:
    """notify() in the caller's own transaction, and the two INSERTs that anybody would make."""
    site = at.site([])
    ids = site.call(people.move_in, count=READERS, cookies=str(at.folder / "cookies"))
    site.call(people.cost_in_transaction, ids=ids, body=BODY, calls=100)
    found: dict[str, float] = site.call(people.cost_in_transaction, ids=ids, body=BODY, calls=calls)
    site.stop()
    return found
