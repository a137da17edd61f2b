"""Who is measured: we, and the peers, each with its way to start, to tell one and to tell all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync

from tests.live.process import Process, find_program, free_port
from tests.live.server import COMMANDS, ROOT, environment

from . import people
from .load import CACHE, Load
from .machine import PRODUCTION, Parts, pin

SERVER_CORE = 0
BODY = "Your export of March is ready to be downloaded; it is kept for seven days from now on."
SUBPROTOCOL = {"Sec-WebSocket-Protocol": "notifications.v1"}


def notification(title: str) -> dict[str, Any]:
    """What peers send: the fields of one of ours, so that frames are of one size."""
    return {
        "id": 1234567,
        "kind": "",
        "level": "info",
        "title": title,
        "body": BODY,
        "url": "",
        "actor": None,
        "target": None,
        "created": "2026-11-26T18:00:00.000000+00:00",
        "expires": None,
        "data": {},
    }


class Contestant:
    """One server process under load. Use it in a `with`."""

    name: str
    dialect = "plain"
    path = "/"
    headers: dict[str, str] = {}
    tells = True
    """Whether it can send anything at all."""
    tells_each = True
    """Whether it can send to one person alone, as it is set up here."""
    slow = False
    """Whether it takes so long that fewer messages must do."""

    def __init__(self, at: Parts, sockets: int) -> None:
        self.at = at
        self.sockets = sockets
        self.cookies: Path | None = None
        self.port = free_port()

    def __enter__(self) -> Contestant:
        try:
            self.start()
            pin(self.process.pid, SERVER_CORE)
            self.load = Load(
                self.dialect,
                self.port,
                self.sockets,
                self.at.folder,
                path=self.path,
                headers={"Origin": f"http://127.0.0.1:{self.port}", **self.headers},
                cookies=self.cookies,
            )
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.load.stop()
        self.stop()

    process: Process

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        if hasattr(self, "process"):
            self.process.stop(timeout=20)

    def tell_all(self) -> None:
        """One message to every socket."""
        raise NotImplementedError

    def tell_each(self, count: int) -> None:
        """One message to each of so many people."""
        raise NotImplementedError


# --- On Django ---------------------------------------------------------------------------


class OnDjango(Contestant):
    """Sites on the same database, with the same people and sessions."""

    server = "uvicorn"
    path = "/ws/notifications/"

    def start(self) -> None:
        self.site = self.at.site([self.server])
        self.cookies = self.at.folder / f"cookies-{self.port}"
        self.ids = self.site.call(people.move_in, count=self.sockets, cookies=str(self.cookies))
        self.process = self.site.server.process
        self.port = self.site.server.port

    def restart(self) -> None:
        """A new process at the same address, as after a deploy."""
        self.site.server.restart()
        self.process = self.site.server.process
        pin(self.process.pid, SERVER_CORE)

    def stop(self) -> None:
        if hasattr(self, "site"):
            self.site.stop()


class Ours(OnDjango):
    name = "ours, uvicorn"
    dialect = "ours"
    headers = SUBPROTOCOL

    def tell_all(self) -> None:
        self.site.call(people.announce, body=BODY)

    def tell_each(self, count: int) -> None:
        self.site.call(people.tell_each, ids=self.ids[:count], body=BODY)


class OursDaphne(Ours):
    name = "ours, daphne"
    server = "daphne"


class Application(Contestant):
    """Another ASGI application on the same server, started in the same way."""

    server = "uvicorn"
    application: str
    settings = PRODUCTION["DJANGO_SETTINGS_MODULE"]

    def environment(self) -> dict[str, str]:
        chosen = {"DJANGO_SETTINGS_MODULE": self.settings}
        return environment(self.database(), self.at.redis) | PRODUCTION | chosen

    def start(self) -> None:
        env = self.environment()
        changed = {"project.asgi:application": self.application, "on": "auto"}  # no lifespan there
        command = [changed.get(word, word) for word in COMMANDS[self.server](self.port)]
        self.process = Process(command, self.at.folder / f"{self.port}.log", env=env, cwd=ROOT)
        self.process.wait_for_port(self.port, timeout=60)

    def database(self) -> str:
        return "sqlite:///:memory:"


class Bare(Application):
    name = "bare accept, uvicorn"
    application = "bench.peers.bare:application"
    tells = False


class BareDaphne(Bare):
    name = "bare accept, daphne"
    server = "daphne"


class Tutorial(Application):
    name = "tutorial, uvicorn"
    path = "/ws/notifications/"
    application = "bench.peers.tutorial:application"
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    slow = True

    def start(self) -> None:
        site = self.at.site([])
        self._database = site.database_url
        self.cookies = self.at.folder / f"cookies-{self.port}"
        self.ids = site.call(people.move_in, count=self.sockets, cookies=str(self.cookies))
        site.stop()
        super().start()
        self._publisher = Publisher(self.at, self.environment())

    def database(self) -> str:
        return self._database

    def stop(self) -> None:
        super().stop()
        if hasattr(self, "_publisher"):
            self._publisher.stop()

    def tell_all(self) -> None:
        self._publisher.send("everyone")

    def tell_each(self, count: int) -> None:
        for id in self.ids[:count]:
            self._publisher.send(f"user_{id}")


class TutorialDaphne(Tutorial):
    name = "tutorial, daphne"
    server = "daphne"


class Publisher:
    """Sends to groups, from a process of its own as a worker of a site would."""

    def __init__(self, at: Parts, env: dict[str, str]) -> None:
        self._process = Process(
            [sys.executable, "-m", "tests.live.worker"],
            at.folder / "publisher.log",
            env=env,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def send(self, group: str) -> None:
        self.do("bench.contestants:group_send", group=group)

    def do(self, deed: str, **arguments: str) -> None:
        line = {"deed": deed, "arguments": arguments}
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if not answer["ok"]:
            raise RuntimeError(answer["error"])

    def stop(self) -> None:
        self._process.stop()


def group_send(group: str) -> None:
    from channels.layers import get_channel_layer

    message = notification(f"Maintenance {people.mark()}")
    event = {"type": "notification.created", "notification": message}
    async_to_sync(get_channel_layer().group_send)(group, event)


# --- On Node -----------------------------------------------------------------------------

PEERS = Path(__file__).parent / "peers"


def install_node() -> Path:
    """The peers' packages, in a folder that git does not see."""
    folder = CACHE / "node"
    wanted = (PEERS / "package.json").read_text()
    stamp = folder / "package.json"
    if not stamp.exists() or stamp.read_text() != wanted or not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        stamp.write_text(wanted)
        npm = find_program("npm")
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True
        )
    return folder / "node_modules"


class OnNode(Contestant):
    script: str

    def start(self) -> None:
        modules = install_node()
        self.process = Process(
            [find_program("node"), str(PEERS / self.script), str(self.port)],
            self.at.folder / f"node-{self.port}.log",
            env={**os.environ, "NODE_PATH": str(modules), "NODE_ENV": "production"},
            stdin=subprocess.PIPE,
        )
        self.process.wait_for_port(self.port)

    def _send(self, to: Sequence[int | None]) -> None:
        for person in to:
            line = {"to": person, "notification": notification(f"Maintenance {people.mark()}")}
            self.process.stdin.write(json.dumps(line).encode() + b"\n")
        self.process.stdin.flush()

    def tell_all(self) -> None:
        self._send([None])

    def tell_each(self, count: int) -> None:
        self._send(range(count))


class SocketIO(OnNode):
    name = "Socket.IO, Node"
    dialect = "socketio"
    path = "/socket.io/?EIO=4&transport=websocket"
    script = "socketio.js"


class Ws(OnNode):
    name = "ws, Node"
    script = "ws.js"


USUAL: list[type[Contestant]] = [
    Ours,
    SocketIO,
    Ws,
    Tutorial,
    OursDaphne,
    TutorialDaphne,
    Bare,
    BareDaphne,
]
