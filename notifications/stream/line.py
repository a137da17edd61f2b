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
    """The text of a frame for many sockets, with its bytes on the line, and how many they are."""

    @cached_property
    def size(self) -> int:
        return len(self.wire)

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
    try:
        if known == (UVICORN, "WebSocketsSansIOProtocol"):
            return _Uvicorn(server)
        protocol = next(iter(getattr(send, "args", ())), None)
        known = (type(protocol).__module__, type(protocol).__name__)
        if known == (DAPHNE, "WebSocketProtocol"):
            return _Daphne(protocol)
    except (AttributeError, _Compressed):
        pass  # another version that keeps its things elsewhere, or a line with its own ideas
    return None


UVICORN = "uvicorn.protocols.websockets.websockets_sansio_impl"
DAPHNE = "daphne.ws_protocol"


class _Compressed(Exception):
    """Each socket has a compressor of its own, so that no two get the same bytes."""


class _Uvicorn:
    """uvicorn with `--ws websockets-sansio`. It closes the transport when it ends a line, and asks
    `send` to wait when something is left in the transport's buffer."""

    __slots__ = ("_transport",)

    def __init__(self, protocol: Any) -> None:
        if protocol.conn.extensions:
            raise _Compressed
        self._transport = protocol.transport

    def __call__(self, frame: Frame) -> bool:
        transport = self._transport
        if transport.get_write_buffer_size() or transport.is_closing():
            return False
        transport.write(frame.wire)
        return True


class _Daphne:
    """daphne, without TLS of its own. What the kernel takes at once costs no turn of its loop."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: Any) -> None:
        line = protocol.transport
        if protocol._perMessageCompress is not None:
            raise _Compressed
        _ = line.writeSomeData, line.dataBuffer, line._tempDataBuffer, protocol.send_queue
        self._protocol = protocol

    def __call__(self, frame: Frame) -> bool:
        protocol = self._protocol
        line, wire = protocol.transport, frame.wire
        if (
            protocol.state != protocol.STATE_OPEN
            or protocol.send_queue
            or not line.connected
            or line.disconnecting
        ):
            return False
        taken = 0 if line.dataBuffer or line._tempDataBuffer else line.writeSomeData(wire)
        if not isinstance(taken, int):
            return False  # the line is lost
        if taken < len(wire):
            line.write(wire[taken:])
        return True
