"""One child process: started, watched until it answers, ended by its pid."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

Answer = TypeVar("Answer")


class Missing(Exception):
    """A program that the tests need is not installed."""


class NeverHappened(AssertionError):
    """What a test waited for did not come true in time."""


def find_program(name: str, *more_folders: str) -> str:
    """The path of a program, also looked for where Debian puts it outside the PATH."""
    found = shutil.which(name)
    for pattern in more_folders:
        for folder in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True):
            found = found or shutil.which(name, path=str(folder))
    if not found:
        raise Missing(name)
    return found


PORTS = range(20_000, 32_000)
"""Below those that Linux gives to whoever asks for just any."""
_taken: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody has, and that no other process of tests is given as long as we live.

    Between this and the bind of the server that is to have it are seconds, and a server that was
    killed comes back to it: meanwhile others look for ports, too. What they see is a name.
    """
    while True:
        port = random.choice(PORTS)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0notifications-tests-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        _taken.append(name)
        return port


def wait_until(
    truth: Callable[[], Answer], what: str, timeout: float = 30, every: float = 0.02
) -> Answer:
    """Ask again and again until the answer is true, and give it back; fail when time is over."""
    deadline = time.monotonic() + timeout
    while True:
        answer = truth()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise NeverHappened(f"not within {timeout} s: {what} (last answer: {answer!r})")
        time.sleep(every)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Process:
    """A started program, with what it printed in a file."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> None:
        self.log_file = log
        self.name = Path(command[0]).name
        # Bytes: what a killed program printed last may end in the middle of a character.
        with log.open("ab") as out:
            self._popen = subprocess.Popen(
                [*until_we_die(user), *command],
                stdin=stdin,
                stdout=out if stdout is None else stdout,
                stderr=out,
                env=env,
                cwd=cwd,
                # Ctrl-C reaches the whole foreground group: only pytest should hear it, and end
                # its processes in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def stdin(self):  # type: ignore[no-untyped-def]
        return self._popen.stdin

    @property
    def stdout(self):  # type: ignore[no-untyped-def]
        return self._popen.stdout

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def wait(self, timeout: float) -> int:
        return self._popen.wait(timeout)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_for_port(self, port: int, timeout: float = 90) -> None:
        def up() -> bool:
            if not self.is_alive():
                raise NeverHappened(f"{self.name} ended at its start:\n{self.log()[-4000:]}")
            return answers(port)

        try:
            wait_until(up, f"{self.name} answers on port {port}", timeout)
        except NeverHappened as error:
            raise NeverHappened(f"{error}\n{self.log()[-4000:]}") from None

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(number)

    def stop(self, gently: signal.Signals = signal.SIGTERM, timeout: float = 5) -> None:
        """Ask once, wait, then insist. Quiet when it is already gone."""
        if self.is_alive():
            self.send(gently)
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self._popen.wait(30)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Alive, but deaf: what a hung machine looks like from outside."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)


def until_we_die(user: str | None = None) -> list[str]:
    """A prefix that ties a program's life to ours, and takes root's rights from it."""
    command = [find_program("setpriv"), "--pdeathsig", "KILL"]
    if user is not None and os.geteuid() == 0:
        command += ["--reuid", user, "--regid", group_of(user), "--clear-groups"]
    # Where pytest was started in the background SIGINT is ignored, and all it starts inherits that.
    return [*command, "--", "env", "--default-signal=INT"]


def group_of(user: str) -> str:
    import grp
    import pwd

    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
