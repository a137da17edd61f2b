"""A command in a pseudo-terminal, as somebody at a keyboard has it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

from tests.live.process import NeverHappened, until_we_die, wait_until
from tests.live.server import MANAGE, ROOT

SIZE = struct.pack("HHHH", 30, 110, 0, 0)


class Terminal:
    """`manage.py` with these arguments; stdin, stdout and stderr are the terminal."""

    def __init__(self, env: dict[str, str], *arguments: str, stdout: int | None = None) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, SIZE)
        self._ours = ours
        self.said = ""
        self._popen = subprocess.Popen(
            [*until_we_die(), *MANAGE, *arguments],
            stdin=theirs,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            cwd=ROOT,
            env=env | {"TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
            while chunk := os.read(self._ours, 4096):
                self.said += chunk.decode(errors="replace").replace("\r\n", "\n")

    def expect(self, pattern: str, timeout: float = 60) -> None:
        """Wait for it to say something that fits; it must not have ended without."""

        def said() -> bool:
            ended = self._popen.poll() is not None
            if ended:
                self._reader.join(5)
            found = re.search(pattern, self.said) is not None
            assert found or not ended, f"it ended, and said no {pattern!r}:\n{self.said}"
            return found

        try:
            wait_until(said, repr(pattern), timeout)
        except NeverHappened as error:
            raise NeverHappened(f"{error}\n{self.said}") from None

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C: the terminal makes a signal of it."""
        self.type("\x03")

    def kill(self) -> None:
        self._popen.send_signal(signal.SIGKILL)

    def end(self, timeout: float = 60) -> int:
        """Its exit code, when it has ended and all it said is read."""
        code = self._popen.wait(timeout)
        self._reader.join(5)
        os.close(self._ours)
        return code
