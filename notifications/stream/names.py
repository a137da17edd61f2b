"""The names of streams. Each is made here, and nowhere else."""

from __future__ import annotations

import hashlib

from ..wire import OWN, STREAM_KEY

EVERYONE = "everyone"
STAFF = "staff"
ALERTS = "alerts"


def user_stream(person_id: object) -> str:
    """The own stream of a person: `user.41`. Keys that cannot be a group name are hashed."""
    name = f"{OWN}.{person_id}"
    if STREAM_KEY.fullmatch(name) and len(name) <= 60:
        return name
    return f"{OWN}.{hashlib.sha256(str(person_id).encode()).hexdigest()[:32]}"


def group_stream(group_id: object) -> str:
    """The stream of a Django group: `group.5`."""
    return f"group.{group_id}"


def group_of(stream: str) -> int | None:
    """The Django group whose stream this is; None for a stream of another kind."""
    kind, _dot, id = stream.partition(".")
    return int(id) if kind == "group" and id.isdecimal() else None


def is_own(stream: str) -> bool:
    """Whether a stream is one person's."""
    return stream.startswith(f"{OWN}.")


def layer_group(stream: str) -> str:
    """The Channels group that carries the bells of a stream.

    Prefixed: a project may well have a group `user.41` of its own, and its consumers would die
    of a message type that they do not know.
    """
    return f"notifications.{stream}"


def session_mark(key: str) -> str:
    """A session by a hash of its key: keys are secrets, and do not travel."""
    return hashlib.sha256(b"notifications.session" + key.encode()).hexdigest()[:32]


BELLS = "notifications.bells"
"""The Channels group that every hub joins, for bells of many streams."""
