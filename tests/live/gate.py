"""What stands between a browser and a server in some offices: a proxy that refuses what it does
not understand, and a line that goes dead without a word.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator

REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Gate:
    """Carries HTTP and WebSockets to a port, one connection a request, and writes them down."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.refused: list[str] = []
        """Paths that begin with one of these are answered with 403."""
        self.asked: list[str] = []
        self.sockets = 0
        """How many WebSockets are open now."""
        self._flows = threading.Event()
        self._flows.set()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[near], daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near:
            head = near.recv(65_536)
            if not head:
                return
            path = head.split(b" ", 2)[1].decode()
            self.asked.append(path)
            if any(path.startswith(prefix) for prefix in self.refused):
                near.sendall(REFUSED)
                return
            is_socket = b"\r\nUpgrade:" in head
            if not is_socket:
                # So that no second request slips through on the same connection.
                head = re.sub(rb"\r\nConnection: [^\r]*", b"\r\nConnection: close", head, count=1)
            with socket.create_connection(("127.0.0.1", self._port)) as far:
                far.sendall(head)
                self._open |= {near, far}
                self.sockets += is_socket
                back = threading.Thread(target=self._carry, args=[far, near], daemon=True)
                back.start()
                self._carry(near, far)
                back.join()
            self.sockets -= is_socket
            self._open -= {near, far}

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._flows.wait()
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    @contextlib.contextmanager
    def dead(self) -> Iterator[None]:
        """Nothing gets through, and nobody is told, as when a laptop's lid is closed."""
        self._flows.clear()
        try:
            yield
        finally:
            self.cut()
            self._flows.set()

    def cut(self) -> None:
        """End what is open; what comes later is let through."""
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.cut()
