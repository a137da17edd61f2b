"""A PostgreSQL cluster in a temporary folder."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.live.process import Process, find_program, free_port, until_we_die, wait_until

DEBIAN = "/usr/lib/postgresql/*/bin"
# Durability is not what the tests are about; everything that decides what a transaction sees is
# as PostgreSQL ships it.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "deadlock_timeout": "300ms",
    "log_lock_waits": "on",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}


def unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise LookupError("root, and neither a user `postgres` nor `nobody` to run PostgreSQL as")


class Postgres:
    def __init__(self, settings: dict[str, str] | None = None) -> None:
        initdb = find_program("initdb", DEBIAN)
        server = find_program("postgres", DEBIAN)
        user = unprivileged_user()
        # Not pytest's tmp_path: that folder is closed to other users, and the server is one.
        self.folder = Path(tempfile.mkdtemp(prefix="notifications-postgres-"))
        if user:
            shutil.chown(self.folder, user)
        data = self.folder / "data"
        try:
            subprocess.run(
                [
                    *until_we_die(user),
                    *(initdb, "--pgdata", str(data), "--username", "test", "--auth", "trust"),
                    *("--encoding", "UTF8", "--no-locale", "--no-sync"),
                ],
                check=True,
                capture_output=True,
                text=True,
                cwd=self.folder,
            )
            self.port = free_port()
            options = [f"--{name}={value}" for name, value in (FAST | (settings or {})).items()]
            self._command = [server, "-D", str(data), "-p", str(self.port), *options]
            self._user = user
            self.start()
        except subprocess.CalledProcessError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise RuntimeError(f"initdb failed: {error.stderr}") from error
        except BaseException:
            self.stop()
            raise
        self._numbers = itertools.count(1)

    def start(self) -> None:
        log = self.folder / "server.log"
        self.process = Process(self._command, log, cwd=self.folder, user=self._user)
        self.process.wait_for_port(self.port)
        wait_until(self._is_ready, "PostgreSQL takes queries")

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Gone with all its connections, as in a failover; back on the same port afterwards."""
        # In order, however long it takes: a killed one leaves its children behind for a while.
        self.process.stop(signal.SIGINT, timeout=60)
        try:
            yield
        finally:
            self.start()

    def _is_ready(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def url(self, database: str = "postgres") -> str:
        return f"postgres://test@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def create_database(self, like: str | None = None) -> str:
        """A new database, empty or a copy of another one, by its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {like}" if like else ""))
        return name

    def stop(self) -> None:
        if hasattr(self, "process"):
            # SIGQUIT: at once, without a checkpoint; the folder is thrown away anyway.
            self.process.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)
