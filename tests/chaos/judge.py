"""The judge: what was committed, what the ledgers applied, and whether that is the same.

It compares four witnesses: what the callers say they committed or took back, what the database
holds, what every tab applied and in which order, and what every tab shows in the end. It knows
nothing of Django and asks nobody.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Line = dict[str, Any]

SILENT = {"access"}
"""Entries that are for hubs, and not told to clients."""


@dataclass
class Verdict:
    """What was found. A good one has nothing but zeros, and was in time."""

    committed: int = 0
    applied: int = 0
    deliveries: int = 0
    lost: int = 0
    twice: int = 0
    disorder: int = 0
    phantoms: int = 0
    """Applied, though it was never committed, or was for somebody else."""
    wrong: int = 0
    """Badges and rows that differ from the inbox in the database."""
    deadlocks: int = 0
    worst: float = 0.0
    evidence: list[str] = field(default_factory=list)

    KEPT = 40

    def note(self, count: str, text: str, by: int = 1) -> None:
        setattr(self, count, getattr(self, count) + by)
        if len(self.evidence) < self.KEPT:
            self.evidence.append(f"{count}: {text}")

    @property
    def good(self) -> bool:
        return not (
            self.lost
            or self.twice
            or self.disorder
            or self.phantoms
            or self.wrong
            or self.deadlocks
        )


@dataclass(frozen=True)
class Case:
    """All that the judge looks at."""

    run: str
    people: dict[str, dict[str, Any]]  # name: id, streams
    tabs: dict[str, str]  # tab: name of the person
    truth: dict[str, Any]
    ledger: list[Line]
    callers: list[Line]
    shown: dict[str, dict[str, Any]]  # tab: shown, unread, archived; only those that should match


def judge(case: Case) -> Verdict:
    verdict = Verdict()
    told = {one["id"]: one for one in case.truth["notifications"]}
    when = _moments(case, told)
    _compare_callers(case, told, verdict)
    _compare_orders(case, told, verdict)
    by_tab: dict[str, list[Line]] = defaultdict(list)
    for line in case.ledger:
        by_tab[line["tab"]].append(line)
    complete = dict.fromkeys(told, True)
    for tab, name in case.tabs.items():
        person = case.people[name]
        reading = _Reading(tab, person, told, when, verdict)
        for line in by_tab[tab]:
            reading.take(line)
        for id in reading.finish(case.truth["log"]):
            complete[id] = False
    verdict.committed = len(told)
    verdict.applied = sum(complete.values())
    for tab, shown in case.shown.items():
        _compare_inbox(tab, shown, case.truth["inboxes"][case.tabs[tab]], verdict)
    return verdict


def is_for(one: dict[str, Any], person: dict[str, Any]) -> bool:
    if one["audience"]:
        return one["audience"] in person["streams"]
    return person["id"] in one["people"]


def due(truth: dict[str, Any], person: dict[str, Any]) -> int:
    """How many notifications a person must have in the end."""
    return sum(is_for(one, person) and not one["recalled"] for one in truth["notifications"])


def _moments(case: Case, told: dict[int, Any]) -> dict[int, float]:
    """When each was committed, as its caller says; else when it was made, which is earlier."""
    said = {
        (line["w"], n): line["t"]
        for line in case.callers
        if line["e"] == "committed"
        for n in line["n"]
    }
    return {
        id: said.get((one["data"].get("w"), one["data"].get("n")), one["created"])
        for id, one in told.items()
    }


def _compare_callers(case: Case, told: dict[int, Any], verdict: Verdict) -> None:
    """What callers say they committed must be there, once; what they took back must not."""
    there = Counter((one["data"].get("w"), one["data"].get("n")) for one in told.values())
    keys = Counter(one["data"]["key"] for one in told.values() if "key" in one["data"])
    for key, number in keys.items():
        if number > 1:
            verdict.note("twice", f"key {key} made {number} notifications", number - 1)
    for line in case.callers:
        if line["e"] == "deadlock":
            verdict.note("deadlocks", line["error"])
        gone = line["n"] if line["e"] == "rolled back" else line.get("lost", [])
        for n in gone:
            if there[line["w"], n]:
                verdict.note("phantoms", f"{line['w']}.{n} was rolled back, and is stored")
        for n in line["n"] if line["e"] == "committed" else ():
            found = there[line["w"], n]
            if found != 1:
                kind = "twice" if found else "lost"
                verdict.note(kind, f"{line['w']}.{n} was committed, and is stored {found} times")


def _compare_orders(case: Case, told: dict[int, Any], verdict: Verdict) -> None:
    """Each saved order told its buyer and the operators, and no order that is not there did."""
    news = Counter(one["order"] for one in told.values() if one["order"] is not None)
    for order in case.truth["orders"]:
        if news[order] != 2:
            verdict.note("lost", f"order {order} was saved, and {news[order]} of 2 were told")
    for order in news.keys() - set(case.truth["orders"]):
        verdict.note("phantoms", f"order {order} was told, and is not there")


class _Reading:
    """One tab's ledger, read from top to bottom.

    It is cut into lives: a new one begins where the client took a position from the server
    (`fresh`, `reset`) instead of going on from its own.
    """

    def __init__(
        self,
        tab: str,
        person: dict[str, Any],
        told: dict[int, Any],
        when: dict[int, float],
        verdict: Verdict,
    ) -> None:
        self.tab, self.person, self.told, self.when = tab, person, told, when
        self.verdict = verdict
        self.mine = {id for id, one in told.items() if is_for(one, person)}
        self.known: set[int] = set()
        self.epoch: str | None = None
        self.begin: dict[str, int] = {}
        self.held: dict[str, int] = {}
        self.done: set[tuple[str, int]] = set()
        self.created: set[int] = set()
        self.senders: dict[tuple[str, int], int] = {}
        self.back = 0.0
        self.unproved: set[int] = set()
        """Acted on before they were known, while a list was on its way."""
        self.waits_for_list = False
        self.began = 0.0
        """When the tab was told to begin anew: what is older, it reads page by page."""

    def take(self, line: Line) -> None:
        match line["e"]:
            case "welcome":
                if line["mode"] == "fresh":
                    self._adopt(line["cursor"])
                elif line["mode"] == "reset":
                    self._adopt(line["cursor"])
                    self.waits_for_list, self.began = True, line["t"]
                elif self.epoch is None:  # it came with a cursor that we gave it
                    self._adopt(line["held"])
            case "reset":
                self._adopt(line["cursor"])
                self.waits_for_list, self.began = True, line["t"]
            case "list":
                self._list(line)
            case "copy":
                self._adopt(line["cursor"])
                self.known.update(line["ids"])
            case "back":
                self.back = line["t"]
            case "item":
                self._item(line)

    def _adopt(self, cursor: Line) -> None:
        if cursor["epoch"] != self.epoch:
            self.epoch = cursor["epoch"]
            self.done.clear()
            self.created.clear()
        self.begin = {key: seq for key, seq in cursor.items() if key != "epoch"}
        self.held = dict(self.begin)
        self.senders.clear()

    def _list(self, line: Line) -> None:
        for id in line["ids"]:
            if id in self.mine and id not in self.known and self.when[id] > self.began:
                self._late(id, line["t"])
        self.known.update(line["ids"])
        for id in self.unproved - self.known:
            self._act_of_stranger(id)
        self.unproved.clear()
        self.waits_for_list = False

    def _item(self, line: Line) -> None:
        stream, seq = line["stream"], line["seq"]
        if (stream, seq) in self.done:
            self.verdict.note("twice", f"{self.tab} applied {stream} {seq} {line['op']} again")
            return
        self.done.add((stream, seq))
        if seq <= self.held.get(stream, 0):
            self.verdict.note(
                "disorder", f"{self.tab} applied {stream} {seq} after {self.held[stream]}"
            )
        self.held[stream] = max(seq, self.held.get(stream, 0))
        if line["op"] == "created":
            self._created(line)
        for id in line.get("ids", ()):
            if id in self.mine and id not in self.known and not self.told[id]["recalled"]:
                if self.waits_for_list:
                    self.unproved.add(id)
                else:
                    self._act_of_stranger(id)

    def _act_of_stranger(self, id: int) -> None:
        self.verdict.note("disorder", f"{self.tab} heard of an act on {id} before {id} came")

    def _created(self, line: Line) -> None:
        id = line["id"]
        if id not in self.mine:
            if id in self.told:
                self.verdict.note("phantoms", f"{self.tab} was told {id}, which is not theirs")
            elif self.told and id > min(self.told):
                self.verdict.note("phantoms", f"{self.tab} was told {id}, which is not stored")
            return
        if id in self.created:
            self.verdict.note("twice", f"{self.tab} was told {id} in two entries")
            return
        self.created.add(id)
        if id not in self.known:
            self._late(id, line["t"])
        self.known.add(id)
        sender = self.told[id]["data"].get("w")
        if sender is not None:
            place = line["stream"], sender
            number = self.told[id]["data"]["n"]
            if number <= self.senders.get(place, 0):
                self.verdict.note(
                    "disorder",
                    f"{self.tab} was told {sender}.{number} after {sender}.{self.senders[place]}",
                )
            self.senders[place] = number

    def _late(self, id: int, t: float) -> None:
        late = t - max(self.when[id], self.back)
        self.verdict.worst = max(self.verdict.worst, late)

    def finish(self, log: dict[str, list[Any]]) -> set[int]:
        """Compare with all that there was; the notifications that are missing."""
        wanted = {id for id in self.mine if not self.told[id]["recalled"]}
        self.verdict.deliveries += len(wanted & self.known)
        missing = wanted - self.known
        for id in sorted(missing):
            self.verdict.note("lost", f"{self.tab} never got {id} ({self.told[id]['data']})")
        own = f"user.{self.person['id']}"
        for key, begin in self.begin.items():
            for seq, op, id in log.get(own if key == "user" else key, ()):
                if op in SILENT or seq <= begin or (key, seq) in self.done:
                    continue
                if op in ("created", "updated"):
                    continue  # by its id, above; what was recalled says nothing
                self.verdict.note("lost", f"{self.tab} never got {key} {seq} {op} ({id})")
        return missing


def _compare_inbox(
    tab: str, shown: dict[str, Any], inbox: dict[str, Any], verdict: Verdict
) -> None:
    if shown["shown"] != inbox["shown"]:
        verdict.note("wrong", f"{tab} shows {shown['shown']}, stored is {inbox['shown']}")
    for view in ("unread", "archived"):
        odd = set(shown[view]) ^ set(inbox[view])
        if odd:
            verdict.note("wrong", f"{tab} differs in what is {view}: {sorted(odd)[:20]}")


def lines_of(text: Iterable[str]) -> list[Line]:
    """The JSON lines of a file; the last one of a process that was killed may be torn."""
    import json

    found = []
    for line in text:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
