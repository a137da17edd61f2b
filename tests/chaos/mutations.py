"""The app, broken on purpose: what the judge must catch.

A mutation is a few lines of the app's source that are replaced while it is imported, in the
processes of a town that ask for it (`CHAOS_BREAK`). The app knows nothing of it. A line that is
no longer there makes the import fail, so that no mutation is silently without effect.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Change:
    module: str
    old: str
    new: str


NO_BELL = Change(
    "notifications.stream.bell",
    "    names = frozenset(streams)\n    if not names:\n        return\n",
    "    names = frozenset(streams)\n    return\n",
)
NO_SWEEP = Change(
    "notifications.stream.hub",
    "        self._sweep_now.clear()\n        names =",
    "        self._sweep_now.clear()\n        return\n        names =",
)

MUTATIONS: dict[str, tuple[Change, ...]] = {
    "no bell": (NO_BELL,),
    "no sweep": (NO_SWEEP,),
    "no bell, no sweep": (NO_BELL, NO_SWEEP),
    "bell before commit": (
        NO_SWEEP,
        Change(
            "notifications.stream.bell",
            "    if not connection.in_atomic_block:\n        ring(streams)\n        return\n",
            "    ring(streams)\n    return\n",
        ),
    ),
    "bell waited for": (
        Change(
            "notifications.stream.bell",
            "        ringer().add(names)\n",
            "        ringer().add(names)\n        ringer().flush(5)\n",
        ),
    ),
    "published after commit": (
        Change(
            "notifications.stream.publish",
            "    Pending.objects.using(using).bulk_create(rows, batch_size=BATCH)\n",
            "    from django.db import transaction\n"
            "    transaction.on_commit(lambda: Pending.objects.using(using).bulk_create(rows),"
            " using=using)\n",
        ),
    ),
    # The number is the row's id, allotted before the commit: the usual `WHERE id > last`.
    "id cursor": (
        Change(
            "notifications.stream.number",
            "        heads[row.stream] += 1\n",
            "        heads[row.stream] = max(heads[row.stream], row.id)\n",
        ),
        Change(
            "notifications.stream.number",
            "        seqs.append(heads[row.stream])\n",
            "        seqs.append(row.id)\n",
        ),
    ),
    "own stream first": (
        Change(
            "notifications.stream.hub",
            "        for name in [*sorted(shared), *own]:\n",
            "        for name in [*own, *sorted(shared)]:\n",
        ),
    ),
    "no dedup": (
        Change(
            "notifications.stream.socket",
            " or self.sent.get(stream) != prev",
            "",
        ),
        Change(
            "notifications.stream.hub",
            "            if local is None or local.pushed is None or local.pushed >= run.seq:\n",
            "            if local is None or local.pushed is None:\n",
        ),
    ),
    "no resume": (),
    "cursor unchecked": (
        Change(
            "notifications.stream.read",
            '    if cursor.epoch != at.epoch:\n        return "epoch"\n',
            "    return None\n",
        ),
    ),
    "no heartbeat": (
        Change(
            "notifications.stream.hub",
            "            if socket.missed >= 2:\n",
            "            if socket.missed >= 2_000_000:\n",
        ),
    ),
    "sync acknowledges nothing": (
        Change(
            "notifications.stream.hub",
            "            socket.ack(cursor)  # what was written before, it has, or threw away\n",
            "",
        ),
    ),
    "no window": (
        Change(
            "notifications.stream.socket",
            "        if self._unacked_bytes >= self.window_bytes:\n",
            "        return self.closed is None\n        if True:\n",
        ),
    ),
    "no drain": (
        Change(
            "notifications.stream.drain",
            "    if threading.current_thread() is not threading.main_thread():\n",
            "    if True:\n",
        ),
    ),
    "hub dies with the database": (
        Change(
            "notifications.stream.hub",
            "                await work()\n",
            "                await work()\n"
            "            except (DatabaseError, InterfaceError):\n"
            "                return\n",
        ),
    ),
}

CLIENTS: dict[str, dict[str, bool]] = {
    "no dedup": {"dedups": False},
    "no resume": {"resumes": False},
}
"""Mutations that break the client too: what its plan says then."""


class _Importer(importlib.abc.MetaPathFinder):
    """Finds nothing by itself; loads the named modules from their changed source."""

    def __init__(self, changes: tuple[Change, ...]) -> None:
        self.changes = changes

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        if all(change.module != fullname for change in self.changes):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Loader(fullname, spec.origin, self.changes)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, changes: tuple[Change, ...]) -> None:
        super().__init__(name, path)
        self.changes = changes

    def get_code(self, fullname: str) -> Any:
        return compile(
            changed(self.get_source(fullname) or "", fullname, self.changes),
            self.get_filename(fullname),
            "exec",
            dont_inherit=True,
        )


def changed(source: str, module: str, changes: tuple[Change, ...]) -> str:
    for change in changes:
        if change.module == module:
            if source.count(change.old) != 1:
                raise ImportError(f"a mutation finds its line no longer in {module}: {change.old}")
            source = source.replace(change.old, change.new)
    return source


def let_in(name: str) -> None:
    """From here on, import the app with this mutation. An empty name is none."""
    if name:
        sys.meta_path.insert(0, _Importer(MUTATIONS[name]))
