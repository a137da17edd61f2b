"""The load generator as Python drives it: builds bench/load.c once, starts it on its own core."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from tests.live.process import Process, find_program

from .machine import pin

SOURCE = Path(__file__).with_name("load.c")
CACHE = Path(__file__).parent / ".cache"
CORE = 1
BUSY = 0.9
"""A share of its core above which the generator itself may have been the limit."""


def build() -> Path:
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    program = CACHE / f"load-{digest}"
    if not program.exists():
        CACHE.mkdir(exist_ok=True)
        making = program.with_suffix(".new")
        compiler = find_program("cc")
        subprocess.run([compiler, "-O2", "-Wall", "-o", str(making), str(SOURCE)], check=True)
        making.rename(program)
    return program


class Load:
    """Clients of one server, all in one process."""

    def __init__(
        self,
        dialect: str,
        port: int,
        clients: int,
        folder: Path,
        *,
        path: str = "/",
        headers: dict[str, str] | None = None,
        cookies: Path | None = None,
        period: float = 15,
    ) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        arguments = [dialect, str(port), path, lines, str(clients), str(cookies or ""), str(period)]
        self._process = Process(
            [str(build()), *arguments],
            folder / f"load-{port}.log",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        pin(self._process.pid, CORE)

    def _ask(self, command: str) -> dict[str, Any]:
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator ended: {self._process.log()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        answer["limit"] = answer["cpu"] > BUSY * answer["seconds"]
        return answer

    def open(self, clients: int, at_once: int = 500) -> dict[str, Any]:
        """Connect until so many are live, so many at a time."""
        answer = self._ask(f"open {clients} {at_once}")
        if answer["live"] < clients:
            raise RuntimeError(f"not all came in: {answer}\n{self._process.log()[-2000:]}")
        return answer

    def reset(self) -> None:
        self._ask("reset")

    def wait(self, marks: int, seconds: float) -> dict[str, Any]:
        """Until so many deliveries have come since the reset."""
        return self._ask(f"wait {marks} {int(seconds * 1000)}")

    def rest(self, seconds: float) -> dict[str, Any]:
        return self._ask(f"rest {int(seconds * 1000)}")

    def close(self) -> None:
        self._ask("close")

    def forget(self) -> None:
        self._ask("forget")

    def at_port(self, port: int) -> None:
        self._ask(f"port {port}")

    def arrivals(self, folder: Path) -> list[tuple[int, int]]:
        """Each mark that came since the reset, and when, in nanoseconds of the monotonic clock."""
        file = folder / "arrivals"
        self._ask(f"dump {file}")
        pairs = (line.split() for line in file.read_text().splitlines())
        return [(int(mark), int(came)) for mark, came in pairs]

    def stop(self) -> None:
        self._process.stop()
