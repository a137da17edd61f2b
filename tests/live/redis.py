"""A Redis server that keeps nothing, and that a test may stop and start again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.live.process import Process, find_program, free_port


class Redis:
    def __init__(self, folder: Path) -> None:
        self._program = find_program("redis-server")
        self._folder = folder
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.process = Process(
            [
                self._program,
                *("--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", str(self._folder)),
            ],
            self._folder / "redis.log",
        )
        self.process.wait_for_port(self.port)

    def stop(self) -> None:
        self.process.stop()

    def frozen(self) -> contextlib.AbstractContextManager[None]:
        return self.process.frozen()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Gone, with the connections cut; back on the same port afterwards."""
        self.process.kill()
        try:
            yield
        finally:
            self.start()
