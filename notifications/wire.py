"""The wire protocol `notifications.v1`: cursors, frames, one encoder and one decoder."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

from .conf import conf
from .errors import BadCursor, BadFrame

SUBPROTOCOL = "notifications.v1"
ADDRESS = "/ws/notifications/"
"""Where it is spoken, on every site."""

OWN = "user"
"""The key of a person's own stream in a cursor and in an `items` frame."""

MAX_SEQ = 2**63 - 1
MINUTES = 366 * 24 * 60
STREAM_KEY = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)
EPOCH = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)


class Close(IntEnum):
    """Close codes. The client stops after 4001 to 4009, and comes back after the others."""

    LOGIN_REQUIRED = 4001
    BAD_FRAME = 4002
    FORBIDDEN_ORIGIN = 4003
    ACCOUNT_DISABLED = 4004
    LOGGED_OUT = 4008
    TOO_MANY_TABS = 4009
    OVER_CAPACITY = 4100
    SERVER_ERROR = 4101
    DRAINING = 4102
    HEARTBEAT_LOST = 4103
    NO_HELLO = 4104
    TOO_SLOW = 4105
    LIFETIME_OVER = 4106
    SESSION_CHANGED = 4107


CLOSE_TEXTS = {
    Close.LOGIN_REQUIRED: "log in first.",
    Close.BAD_FRAME: "that was no frame of notifications.v1.",
    Close.FORBIDDEN_ORIGIN: "this page may not open the line.",
    Close.ACCOUNT_DISABLED: "this account is disabled.",
    Close.LOGGED_OUT: "you have logged out.",
    Close.TOO_MANY_TABS: "too many windows are open.",
    Close.OVER_CAPACITY: "the server is full; come back.",
    Close.SERVER_ERROR: "the server has trouble; come back.",
    Close.DRAINING: "the server is going down; come back.",
    Close.HEARTBEAT_LOST: "nothing was heard for two heartbeats; come back.",
    Close.NO_HELLO: "no hello came in time; come back.",
    Close.TOO_SLOW: "too much came, or too little was taken; come back.",
    Close.LIFETIME_OVER: "the line is old; come back.",
    Close.SESSION_CHANGED: "the session has changed; come back.",
}


@dataclass(frozen=True)
class Cursor:
    """What a reader has applied: a number for each of their streams, and whose history it is.

    >>> str(Cursor("k3", {"user": 41, "everyone": 7}))
    'k3;user=41;everyone=7'
    """

    epoch: str
    seqs: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return ";".join([self.epoch, *(f"{key}={seq}" for key, seq in self.seqs.items())])

    def as_json(self) -> dict[str, Any]:
        return {"epoch": self.epoch, **self.seqs}

    @classmethod
    def parse(cls, given: object) -> Cursor:
        """A cursor from its string or its JSON object; raises `BadCursor`."""
        try:
            if isinstance(given, str):
                epoch, *pairs = given.split(";")
                split = (pair.partition("=") for pair in pairs)
                seqs: dict[str, Any] = {key: int(seq) for key, _equals, seq in split}
                if len(seqs) != len(pairs):
                    raise BadCursor(given)
            elif isinstance(given, dict):
                seqs = dict(given)
                epoch = seqs.pop("epoch")
            else:
                raise BadCursor(given)
        except (KeyError, ValueError) as error:
            if isinstance(error, BadCursor):
                raise
            raise BadCursor(given) from None
        if not isinstance(epoch, str) or not EPOCH.fullmatch(epoch):
            raise BadCursor(given)
        for key, seq in seqs.items():
            if not STREAM_KEY.fullmatch(key) or type(seq) is not int or not 0 <= seq <= MAX_SEQ:
                raise BadCursor(given)
        return cls(epoch, seqs)


def epoch_of(person: object, database_epoch: int) -> str:
    """The epoch that one person sees: opaque, so that a cursor tells nothing and fits nobody else.

    A keyed hash (HMAC-SHA-256, cut to 60 bits) of the database's epoch and the person.
    """
    message = f"{database_epoch}:{person}".encode()
    digest = hmac.new(conf.secret_key.encode() + b"notifications.epoch", message, hashlib.sha256)
    return digest.hexdigest()[:15]


@dataclass(frozen=True)
class Counts:
    """Unseen and unread, and the heads at which they are true. 100 means "more than 99"."""

    at: Cursor
    unseen: int
    unread: int

    CAP = 100

    def as_json(self) -> dict[str, Any]:
        return {"at": self.at.as_json(), "unseen": self.unseen, "unread": self.unread}


# --- From the server ---------------------------------------------------------------------


def encode(frame: Mapping[str, Any]) -> str:
    """The one encoder: compact JSON text."""
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))


HEARTBEAT = encode({"type": "hb"})
PONG = encode({"type": "pong"})


def welcome(mode: str, cursor: Cursor, counts: Counts, now: datetime) -> str:
    return encode(
        {
            "type": "welcome",
            "mode": mode,
            "cursor": cursor.as_json(),
            "counts": counts.as_json(),
            "heartbeat": conf.heartbeat,
            "window": conf.window,
            "server_time": now.isoformat(),
        }
    )


def items_frame(key: str, prev: int, seq: int, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "items", "stream": key, "prev": prev, "seq": seq, "items": items}


def counts_frame(counts: Counts) -> str:
    return encode({"type": "counts", **counts.as_json()})


def heartbeat(cursor: Cursor) -> str:
    """The heartbeat of a socket that is behind: it says where the heads are."""
    return encode({"type": "hb", "cursor": cursor.as_json()})


def reset(cursor: Cursor, why: str) -> str:
    return encode({"type": "reset", "cursor": cursor.as_json(), "why": why})


def drain(within: int) -> str:
    """Asks the client to reconnect within `within` milliseconds."""
    return encode({"type": "drain", "in": within})


def done(id: str | int, counts: Counts | None = None, error: tuple[str, str] | None = None) -> str:
    frame: dict[str, Any] = {"type": "done", "id": id, "ok": error is None}
    if error is not None:
        frame["error"] = {"code": error[0], "detail": error[1]}
    if counts is not None:
        frame["counts"] = counts.as_json()
    return encode(frame)


# --- From the client ---------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    cursor: Cursor | None
    tab: str
    lang: str


@dataclass(frozen=True)
class Ack:
    cursor: Cursor | None


@dataclass(frozen=True)
class Sync:
    cursor: Cursor


@dataclass(frozen=True)
class Ping:
    pass


@dataclass(frozen=True)
class Do:
    """An action. `ids` and `upto` are checked here for form, by the inbox for ownership."""

    id: str | int
    action: str
    ids: list[int] | None
    upto: Cursor | None
    note: str = ""
    """Why: for alerts."""
    minutes: int | None = None
    """For how long: for `mute_alert`."""


ClientFrame = Hello | Ack | Sync | Ping | Do


def decode(text: str | None) -> ClientFrame:
    """The one decoder of what clients send; raises `BadFrame` (`BadCursor` for a cursor)."""
    if text is None:
        raise BadFrame("expected a text frame, not a binary one.")
    # Most frames are short: their bytes need not be counted.
    if len(text) * 4 > conf.frame_bytes < len(text.encode("utf-8", "surrogatepass")):
        raise BadFrame(f"the frame is larger than {conf.frame_bytes} bytes.")
    return frame_of(loads(text))


def loads(text: str | bytes) -> dict[str, Any]:
    """A JSON object from a client; raises `BadFrame`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise BadFrame("expected JSON.") from None
    if not isinstance(value, dict):
        raise BadFrame(f"expected a JSON object, not {type(value).__name__}.")
    return value


def frame_of(value: dict[str, Any]) -> ClientFrame:
    kind = value.get("type")
    match kind:
        case "hello":
            cursor = value.get("cursor")
            return Hello(
                cursor=None if cursor is None else Cursor.parse(cursor),
                tab=_word(value, "tab"),
                lang=_word(value, "lang"),
            )
        case "ack":
            cursor = value.get("cursor")
            return Ack(None if cursor is None else Cursor.parse(cursor))
        case "sync":
            return Sync(Cursor.parse(value.get("cursor")))
        case "ping":
            return Ping()
        case "do":
            return do_of(value)
    raise BadFrame(f"unknown type {str(kind)[:40]!r}: expected one of hello, ack, sync, ping, do.")


def do_of(value: dict[str, Any]) -> Do:
    """An action from a `do` frame, or from the body of `POST do/`, where the id may be left out."""
    id = value.get("id", "")
    if type(id) is not int and not (isinstance(id, str) and len(id) <= 64 and id.isascii()):
        raise BadFrame("id must be a number, or at most 64 ASCII characters.")
    action = value.get("action")
    if not isinstance(action, str):
        raise BadFrame("action must be a string.")
    upto = value.get("upto")
    ids = value.get("ids")
    note = value.get("note", "")
    if not isinstance(note, str):
        raise BadFrame("note must be a string.")
    minutes = value.get("minutes")
    if minutes is not None and not (type(minutes) is int and 0 < minutes <= MINUTES):
        raise BadFrame(f"minutes must be a whole number from 1 to {MINUTES}.")
    return Do(
        id=id,
        action=action,
        ids=None if ids is None else ids_of(ids),
        upto=None if upto is None else Cursor.parse(upto),
        note=note,
        minutes=minutes,
    )


def ids_of(given: Iterable[object]) -> list[int]:
    """The ids of an action; raises `BadFrame`."""
    if not isinstance(given, list) or len(given) > conf.ids_limit:
        raise BadFrame(f"ids must be a list of at most {conf.ids_limit} numbers.")
    for id in given:
        if type(id) is not int or not 0 < id <= MAX_SEQ:
            raise BadFrame(f"ids must be positive whole numbers, not {str(id)[:40]!r}.")
    return sorted(set(given))


def _word(value: dict[str, Any], name: str) -> str:
    word = value.get(name, "")
    if not isinstance(word, str) or len(word) > 100:
        raise BadFrame(f"{name} must be a string of at most 100 characters.")
    return word
