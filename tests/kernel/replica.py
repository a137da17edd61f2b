"""A client of the protocol in Python: what it knows, from frames and lists alone.

Written from DESIGN.md section 3, as `inbox.js` is; neither knows the other.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

CAP = 100

Frame = dict[str, Any]


class Replica:
    """One window's state. `apply` says what the client has to ask for: `sync`, `reload`."""

    def __init__(self) -> None:
        self.cursor: Frame | None = None
        self.rows: dict[int, Frame] = {}
        self.base: Frame = {"at": None, "unseen": 0, "unread": 0}
        self.ahead: list[tuple[str, int]] = []  # created, and not in `base`
        self._while_loading: list[tuple[str, Frame]] | None = None

    # What is on the screen

    def shown(self, now: datetime) -> list[tuple[int, str, bool]]:
        """Id, title and unread of each row, newest first."""
        rows = [
            row
            for row in self.rows.values()
            if not row["archived"]
            and not (row["expires"] and datetime.fromisoformat(row["expires"]) <= now)
        ]
        rows.sort(key=lambda row: (datetime.fromisoformat(row["created"]), row["id"]), reverse=True)
        return [(row["id"], row["title"], row["unread"]) for row in rows]

    @property
    def counts(self) -> tuple[int, int]:
        """Unseen and unread."""
        more = len(self.ahead)
        return min(CAP, self.base["unseen"] + more), min(CAP, self.base["unread"] + more)

    # What comes

    def apply(self, text: str) -> set[str]:
        frame = json.loads(text)
        match frame["type"]:
            case "welcome":
                return self._welcome(frame)
            case "items":
                return self._items(frame)
            case "counts":
                self._count(frame)
            case "reset":
                return self._begin_at(frame["cursor"])
            case "hb":
                if "cursor" in frame and self._behind(frame["cursor"]):
                    return {"sync"}
            case kind:
                raise AssertionError(f"a frame that no client knows: {kind}")
        return set()

    def _welcome(self, frame: Frame) -> set[str]:
        wishes = set()
        if frame["mode"] != "resume":
            wishes = self._begin_at(frame["cursor"])
        self._count(frame["counts"])
        return wishes

    def _begin_at(self, cursor: Frame) -> set[str]:
        self.cursor = dict(cursor)
        self.ahead = []
        self.base["at"] = None
        return {"reload"}

    def _behind(self, heads: Frame) -> bool:
        assert self.cursor is not None
        return any(self.cursor.get(name, 0) != at for name, at in heads.items())

    def _items(self, frame: Frame) -> set[str]:
        assert self.cursor is not None
        stream, held = frame["stream"], self.cursor.get(frame["stream"], 0)
        if frame["seq"] <= held:
            return set()
        if frame["prev"] != held:
            return {"sync"}
        wishes: set[str] = set()
        last = held
        for item in frame["items"]:
            assert last < item["seq"] <= frame["seq"], f"out of order: {frame}"
            last = item["seq"]
            if self._while_loading is not None:
                self._while_loading.append((stream, item))
            wishes |= self._change(stream, item)
            at = (self.base["at"] or {}).get(stream, 0)
            if item["op"] == "created" and item["seq"] > at:
                self.ahead.append((stream, item["seq"]))
        self.cursor[stream] = frame["seq"]
        return wishes

    def _count(self, counts: Frame) -> None:
        self.base = {name: counts[name] for name in ("at", "unseen", "unread")}
        at = counts["at"]
        self.ahead = [(stream, seq) for stream, seq in self.ahead if seq > at.get(stream, 0)]

    # Lists

    def begin_loading(self) -> None:
        self._while_loading = []

    def load(self, answer: Frame) -> None:
        """The answer of `GET list/`, and what was applied since it was asked for."""
        self.rows = {item["id"]: dict(item) for item in answer["items"]}
        at = answer["counts"]["at"]
        self.cursor = self.cursor or dict(at)
        held = self.base["at"]
        newer = (
            held
            and held["epoch"] == at["epoch"]
            and any(at[k] < v for k, v in held.items() if k != "epoch")
        )
        if not newer:
            self._count(answer["counts"])
        for stream, item in self._while_loading or []:
            if item["seq"] > at.get(stream, 0):
                self._change(stream, item)
        self._while_loading = None

    # What an entry changes

    def _change(self, stream: str, item: Frame) -> set[str]:
        op = item["op"]
        if op == "created":
            one = item["notification"]
            before = self.rows.get(one["id"], {"unread": True, "archived": False})
            self.rows[one["id"]] = before | one | {"stream": stream, "seq": item["seq"]}
        elif op == "updated":
            if item["notification"]["id"] in self.rows:
                self.rows[item["notification"]["id"]].update(item["notification"])
        elif op == "recalled":
            for id in item["ids"]:
                self.rows.pop(id, None)
        elif op == "read_all":
            for row in self.rows.values():
                if row["seq"] and row["seq"] <= item["upto"].get(row["stream"], 0):
                    row["unread"] = False
        elif op == "seen":
            pass  # counts only
        else:
            field, value = {
                "read": ("unread", False),
                "unread": ("unread", True),
                "archived": ("archived", True),
                "unarchived": ("archived", False),
            }[op]
            for id in item["ids"]:
                if id in self.rows:
                    self.rows[id][field] = value
            if op == "unarchived" and not set(item["ids"]) <= set(self.rows):
                return {"reload"}  # a row that was archived before this window opened
        return set()
