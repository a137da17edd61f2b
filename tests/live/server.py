"""A running site: its database, its processes, and the ways for a test to act on it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.live import deeds
from tests.live.http import Visitor
from tests.live.postgres import Postgres
from tests.live.process import NeverHappened, Process, free_port, until_we_die
from tests.live.redis import Redis
from tests.live.socket import Client
from tests.live.worker import name_of

ROOT = Path(__file__).resolve().parents[2]
MANAGE = [sys.executable, "manage.py"]
LARGEST_FRAME = "262144"

# The way to start each server, as the documents of the project tell people to.
COMMANDS: dict[str, Callable[[int], list[str]]] = {
    "runserver": lambda port: [
        *MANAGE,
        *("runserver", "--noreload", "--verbosity", "1", f"127.0.0.1:{port}"),
    ],
    "daphne": lambda port: [
        *(sys.executable, "-m", "daphne"),
        *("-e", f"tcp:port={port}:interface=127.0.0.1:backlog=4096"),
        *("--websocket_connect_timeout", "30", "--no-server-name"),
        *("--websocket-max-message-size", LARGEST_FRAME),
        *("--websocket-max-frame-size", LARGEST_FRAME),
        "project.asgi:application",
    ],
    "uvicorn": lambda port: [
        *(sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port)),
        *("--ws", "websockets-sansio", "--ws-per-message-deflate", "false"),
        *("--ws-max-size", LARGEST_FRAME, "--ws-ping-interval", "0", "--lifespan", "on"),
        *("--timeout-graceful-shutdown", "10", "--log-level", "warning"),
        "project.asgi:application",
    ],
}


class DeedFailed(AssertionError):
    """A deed raised in the process that was to do it."""


class Worker:
    """A second process of the site, ready for deeds."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self.process = Process(
            [sys.executable, "-m", "tests.live.worker"],
            log,
            env=env,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

        self._is_busy = False

    def begin(self, deed: Callable[..., Any], **arguments: Any) -> None:
        assert not self._is_busy, "this worker still has a deed to finish"
        self._is_busy = True
        line = json.dumps({"deed": name_of(deed), "arguments": arguments}) + "\n"
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()

    def finish(self) -> Any:
        line = self.process.stdout.readline()
        self._is_busy = False
        if not line:
            raise DeedFailed(f"the worker ended:\n{self.process.log()[-4000:]}")
        return answer_of(json.loads(line))

    def call(self, deed: Callable[..., Any], **arguments: Any) -> Any:
        self.begin(deed, **arguments)
        return self.finish()

    def stop(self) -> None:
        self.process.stop()


def answer_of(reply: dict[str, Any]) -> Any:
    if not reply["ok"]:
        raise DeedFailed(reply["error"])
    return reply["answer"]


class Server:
    """One web server process of a site."""

    def __init__(self, kind: str, site: Site, folder: Path, env: dict[str, str]) -> None:
        self.kind = kind
        self.site = site
        self.env = env
        self.port = free_port()
        self._log_file = folder / f"{kind}-{self.port}.log"
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws/notifications/"

    def start(self) -> None:
        """Begin; `wait` says when it answers, so that several can start at the same time."""
        command = COMMANDS[self.kind](self.port)
        self.process = Process(command, self._log_file, env=self.env, cwd=ROOT)

    def wait(self) -> None:
        self.process.wait_for_port(self.port)

    def stop(self, gently: signal.Signals = signal.SIGTERM, timeout: float = 15) -> None:
        self.process.stop(gently, timeout)

    def kill(self) -> None:
        self.process.kill()

    def restart(self) -> None:
        self.stop()
        self.start()
        self.wait()

    def log(self) -> str:
        return self.process.log()

    def visitor(self, username: str | None = None) -> Visitor:
        """A person at a browser without JavaScript, logged in or not."""
        return Visitor(self.url, self.site.session_of(username) if username else {})

    def client(self, username: str | None = None, **options: Any) -> Client:
        """A socket to this server; with a name, in that person's session."""
        cookies = self.site.session_of(username) if username else {}
        return Client(self.ws_url, cookies=cookies, **{"origin": self.url, **options})

    def __repr__(self) -> str:
        return f"<{self.kind} of {self.site.name} at {self.url}>"


class Site:
    """A database, one or more servers on it, and a worker process beside them."""

    def __init__(
        self,
        name: str,
        folder: Path,
        kinds: Iterable[str],
        *,
        database_url: str,
        redis: Redis | None = None,
        settings: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.redis = redis
        self.folder = folder
        self.database_url = database_url
        self.env = environment(database_url, redis, settings) | (env or {})
        self._numbers = itertools.count(1)
        self.servers = [Server(kind, self, folder, self.env) for kind in kinds]
        self._workers: list[Worker] = []
        self.ids: dict[str, int] = {}  # of the people who live here now
        try:
            for server in self.servers:
                server.start()
            self.worker = self.new_worker()
            for server in self.servers:
                server.wait()
        except BaseException:
            self.stop()
            raise

    # Servers

    @property
    def server(self) -> Server:
        return self.servers[0]

    @property
    def other_server(self) -> Server:
        """Another process than `server` where the site has one."""
        return self.servers[-1]

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def ws_url(self) -> str:
        return self.server.ws_url

    def client(self, username: str | None = None, **options: Any) -> Client:
        return self.server.client(username, **options)

    def visitor(self, username: str | None = None) -> Visitor:
        return self.server.visitor(username)

    def log(self) -> str:
        return "\n".join(server.log() for server in self.servers)

    # Other processes

    def new_worker(self) -> Worker:
        log = self.folder / f"worker-{next(self._numbers)}.log"
        worker = Worker(self.env, log)
        self._workers.append(worker)
        return worker

    def call(self, deed: Callable[..., Any], **arguments: Any) -> Any:
        """Do something in the worker process, and have its answer."""
        return self.worker.call(deed, **arguments)

    def time_each(self, client: Client, to: str, title: str, times: int) -> list[float]:
        """Send so many, one after the other; how long each took to this client, in seconds."""
        took = []
        for number in range(times):
            sent = time.monotonic()
            self.call(deeds.send, to=to, title=f"{title} {number}")
            client.listen_for(f"{title} {number}")
            took.append(time.monotonic() - sent)
        return took

    def once(
        self, deed: Callable[..., Any], *, timeout: float = 30, **arguments: Any
    ) -> subprocess.CompletedProcess[str]:
        """Do one thing in a process of its own, that may well die of it."""
        return self._run(
            [sys.executable, "-m", "tests.live.worker", name_of(deed), json.dumps(arguments)],
            timeout=timeout,
        )

    def manage(
        self, *arguments: str, input: str | None = None, timeout: float = 60, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return self._run([*MANAGE, *arguments], input=input, timeout=timeout, **env)

    def _run(
        self, command: list[str], *, timeout: float, input: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        stdin = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            [*until_we_die(), *command],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=ROOT,
            env=self.env | env,
            **stdin,
        )

    # People

    def session_of(self, username: str) -> dict[str, str]:
        """The cookie of a session that logs this person in."""
        return dict([self.call(deeds.log_in, username=username)])

    def login(self, username: str) -> str:
        """The same, as a Cookie header."""
        return "; ".join(f"{name}={value}" for name, value in self.session_of(username).items())

    def stop(self) -> None:
        for server in self.servers:
            if hasattr(server, "process"):
                server.process.send(signal.SIGTERM)
        for worker in self._workers:
            worker.stop()
        for server in self.servers:
            if hasattr(server, "process"):
                server.stop()


def environment(
    database_url: str, redis: Redis | None, settings: dict[str, Any] | None = None
) -> dict[str, str]:
    """What a site's processes find in their environment: nothing of ours but what is said here."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env |= {
        "DJANGO_SETTINGS_MODULE": "tests.live.settings",
        "DATABASE_URL": database_url,
        "SECRET_KEY": "only-for-tests-" + "k" * 50,
        "DEBUG": "true",
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
    }
    if redis is not None:
        env["REDIS_URL"] = redis.url
    if settings:
        env["TEST_SETTINGS"] = json.dumps(settings)
    return env


class Databases:
    """Migrated databases at the price of a copy."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._sqlite: Path | None = None
        self._postgres: str | None = None

    def sqlite(self) -> str:
        if self._sqlite is None:
            template = self._folder / "template.sqlite3"
            migrate(f"sqlite:///{template}")
            self._sqlite = template
        copy = self._folder / f"site-{next(self._numbers)}.sqlite3"
        shutil.copy(self._sqlite, copy)
        return f"sqlite:///{copy}"

    def postgres(self, cluster: Postgres) -> str:
        if self._postgres is None:
            name = cluster.create_database()
            migrate(cluster.url(name))
            self._postgres = name
        return cluster.url(cluster.create_database(like=self._postgres))


def migrate(database_url: str) -> None:
    done = subprocess.run(
        [*until_we_die(), *MANAGE, "migrate", "--verbosity", "0"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(database_url, None),
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise NeverHappened(f"migrate failed:\n{done.stdout}{done.stderr}")
