"""What a hostile or broken client may send: frames and bodies, near to good ones and far from it.

Driven by a `random.Random`, which Hypothesis seeds, so a failure comes again with its seed.
"""

from __future__ import annotations

import json
import random
from typing import Any

ACTIONS = (
    *("seen", "read", "unread", "archive", "unarchive", "read_all", "explode"),
    *("ack_alert", "resolve_alert", "mute_alert", "unmute_alert"),
)
WORDS = (
    "",
    " ",
    "\x00",
    "\ud800",
    "\udfff\ud800",
    "user",
    "user.1",
    "everyone",
    "group.5",
    "staff",
    "epoch",
    "type",
    "__class__",
    "constructor",
    "../../etc/passwd",
    "'; DROP TABLE notifications_entry; --",
    "<script>alert(1)</script>",
    "{{ 7 * 7 }}",
    "%s%s%n",
    "\r\nSet-Cookie: a=b",
    "\u202e\u200f",
    "e\u0301" * 50,
    "k;user=1;user=2",
    "=;=;=",
    "x" * 101,
    "x" * 5_000,
    "9" * 400,
)
NUMBERS = (
    *(0, 1, -1, 2, 7, 41, 63, 64, 1_000, 2**31 - 1, 2**31, 2**53, 2**53 + 1),
    *(2**63 - 1, 2**63, -(2**63), 2**64, 10**30, 10**300, 0.0, -0.0, 0.5, 1e308, 1e-300),
)
RAW = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "01", "0x10", "1_000", "9" * 5_000)


class Fuzz:
    def __init__(self, chance: random.Random, epochs: tuple[str, ...] = ("k3",)) -> None:
        self.chance = chance
        self.epochs = epochs
        """Epochs that somebody may really have: some frames shall come through."""

    # Good ones

    def cursor(self) -> Any:
        streams = self.chance.sample(["user", "everyone", "staff", "group.5"], k=2)
        seqs = {name: self.chance.choice([0, 0, 1, 2, 9]) for name in ["user", *streams]}
        epoch = self.chance.choice(self.epochs)
        if self.chance.random() < 0.3:
            return ";".join([epoch, *(f"{name}={seq}" for name, seq in seqs.items())])
        return {"epoch": epoch, **seqs}

    def good(self) -> dict[str, Any]:
        """A frame as a client of ours may send it."""
        chance = self.chance
        match chance.choice(["ack", "sync", "ping", "do", "do", "do"]):
            case "ack":
                return {"type": "ack"} | (
                    {"cursor": self.cursor()} if chance.random() < 0.5 else {}
                )
            case "sync":
                return {"type": "sync", "cursor": self.cursor()}
            case "ping":
                return {"type": "ping"}
        return {"type": "do", **self.do()}

    def do(self) -> dict[str, Any]:
        chance = self.chance
        frame: dict[str, Any] = {
            "id": chance.choice(["1", "x", 7]),
            "action": chance.choice(ACTIONS),
        }
        if frame["action"] == "read_all" or chance.random() < 0.2:
            frame["upto"] = self.cursor()
        else:
            frame["ids"] = [chance.randint(1, 30) for _ in range(chance.randint(0, 6))]
        return frame

    def hello(self) -> dict[str, Any]:
        cursor = self.cursor() if self.chance.random() < 0.6 else None
        return {"type": "hello", "cursor": cursor, "tab": "t1", "lang": "en"}

    # And what becomes of them

    def value(self, depth: int = 0) -> Any:
        chance = self.chance
        match chance.randint(0, 9 if depth < 3 else 6):
            case 0:
                return chance.choice([None, True, False])
            case 1 | 2:
                return chance.choice(NUMBERS)
            case 3 | 4:
                return chance.choice(WORDS)
            case 5:
                return "".join(chr(chance.randint(0, 0x2FF)) for _ in range(chance.randint(0, 9)))
            case 6:
                return self.cursor()
            case 7:
                return [self.value(depth + 1) for _ in range(chance.randint(0, 4))]
            case 8:
                return {self.word(): self.value(depth + 1) for _ in range(chance.randint(0, 4))}
        return [chance.randint(-5, 99)] * chance.choice([1, 3, 999, 1_000, 1_001])

    def word(self) -> str:
        return self.chance.choice([*WORDS, "type", "cursor", "ids", "upto", "action", "id", "lang"])

    def bend(self, frame: dict[str, Any]) -> Any:
        """The same frame with something wrong, or merely odd, somewhere in it."""
        chance = self.chance
        bent = json.loads(json.dumps(frame))
        for _ in range(chance.choice([1, 1, 2, 3])):
            where: Any = bent
            while isinstance(where, dict) and where and chance.random() < 0.4:
                deeper = where[chance.choice(list(where))]
                if not isinstance(deeper, dict | list):
                    break
                where = deeper
            if isinstance(where, list):
                where.insert(chance.randint(0, len(where)), self.value())
            elif isinstance(where, dict):
                key = chance.choice([*where, self.word()])
                if chance.random() < 0.2:
                    where.pop(key, None)
                else:
                    where[key] = self.value()
        return bent

    def text(self, value: Any) -> str:
        text = json.dumps(value, ensure_ascii=self.chance.random() < 0.8)
        if self.chance.random() < 0.05:
            text = text.replace("1", self.chance.choice(RAW), 1)
        return text

    def scratch(self, text: str) -> str:
        """The same text with some characters lost, doubled, swapped or foreign."""
        chance = self.chance
        for _ in range(chance.choice([1, 1, 2, 8])):
            at = chance.randint(0, len(text))
            match chance.randint(0, 4):
                case 0:
                    text = text[:at]
                case 1:
                    text = (
                        text[:at] + chance.choice('{}[]",:\\u0\x00\x1f\ud800\u2028é😀') + text[at:]
                    )
                case 2:
                    text = text[:at] + text[at + chance.randint(1, 4) :]
                case 3:
                    text = text[:at] + text[at : at + 20] * chance.choice([2, 3, 50]) + text[at:]
                case 4:
                    text = (
                        text[:at] + chance.choice("[{") * chance.choice([1, 50, 20_000]) + text[at:]
                    )
        return text

    def frame(self) -> str:
        """Any text frame."""
        good = self.hello() if self.chance.random() < 0.2 else self.good()
        roll = self.chance.random()
        if roll < 0.1:
            return self.text(good)
        if roll < 0.6:
            return self.text(self.bend(good))
        if roll < 0.9:
            return self.scratch(self.text(good))
        return self.text(self.value())

    def sendable(self, text: str) -> str:
        """What a WebSocket can carry: UTF-8."""
        return text.encode("utf-8", "replace").decode()

    def body(self) -> bytes:
        """Any body of `POST do/`."""
        roll = self.chance.random()
        if roll < 0.2:
            return json.dumps(self.do()).encode()
        if roll < 0.6:
            return self.text(self.bend(self.do())).encode("utf-8", "surrogatepass")
        if roll < 0.9:
            return self.scratch(self.text(self.do())).encode("utf-8", "surrogatepass")
        return self.chance.randbytes(self.chance.choice([0, 1, 40, 4_000]))
