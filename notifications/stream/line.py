"""The shortest way to a client: one frame's bytes, made once, straight into the server's transport.

ASGI's `send` makes a coroutine, a message and a frame for every socket, though all get the same
bytes: most of what a delivery cost. A server that is known, and in the state that is expected,
is written to directly; every other one through `send`. docs/performance.md has the figures.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cached_property
from typing import Any

Direct = Callable[["Frame"], bool]
"""Writes a frame now; False when it did not, and `send` must, which knows how to wait or raise."""


class Frame(str):
    """The text of a frame for many sockets, with its bytes on the line."""

    @cached_property
    def wire(self) -> bytes:
        """A whole text frame (RFC 6455, 5.2): unmasked, as servers send, and not compressed."""
        payload = self.encode()
        size = len(payload)
        if size < 126:
            return struct.pack("!BB", 0x81, size) + payload
        if size < 65_536:
            return struct.pack("!BBH", 0x81, 126, size) + payload
        return struct.pack("!BBQ", 0x81, 127, size) + payload


def direct(send: Any) -> Direct | None:
    """The direct way that `send` stands for, if its server is known. After the accept."""
    server = getattr(send, "__self__", None)
    known = (type(server).__module__, type(server).__name__)
    if known == ("uvicorn.protocols.websockets.websockets_sansio_impl", "WebSocketsSansIOProtocol"):
        return _uvicorn(server)
    return None


def _uvicorn(protocol: Any) -> Direct | None:
    """uvicorn with `--ws websockets-sansio` and without compression."""
    try:
        if protocol.conn.extensions or not protocol.handshake_complete:
            return None
        protocol.close_sent, protocol.disconnected  # noqa: B018 (there at all?)
        can_write, write = protocol.writable.is_set, protocol.transport.write
    except AttributeError:  # another version, that keeps its things elsewhere
        return None

    def put(frame: Frame) -> bool:
        if protocol.close_sent or protocol.disconnected or not can_write():
            return False
        write(frame.wire)
        return True

    return put
