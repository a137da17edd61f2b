"""The scaled-out site of docs/running.md, for real: its commands and its nginx, in one folder.

    make stack      https://localhost:8443/ until Ctrl-C

PostgreSQL, Redis and nginx are Debian's. What is started, and with which options, is read from
the document, so the two cannot differ.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

from websockets.sync.client import ClientConnection, connect

from tests.live import deeds
from tests.live.postgres import Postgres
from tests.live.process import Process, find_program, free_port, wait_until
from tests.live.redis import Redis
from tests.live.server import MANAGE, ROOT, Worker, environment

RUNNING = (ROOT / "docs" / "running.md").read_text()
SEED = "from project.demo import seed; seed.seed()"


class Stack:
    """PostgreSQL and Redis, which are there already; two uvicorns on UNIX sockets; nginx, TLS."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        redis: Redis,
        *,
        host: str = "shop.example",
        port: int | None = None,
    ) -> None:
        self.folder, self.host, self.port = folder, host, port or free_port()
        self.origin = f"https://{host}" if port is None else f"https://{host}:{port}"
        self.env = environment(database_url, redis) | {
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "DEBUG": "off",
            "ALLOWED_HOSTS": host,
            "CSRF_TRUSTED_ORIGINS": self.origin,
            "STATIC_ROOT": str(folder / "static"),
        }
        self.uvicorns: list[Process] = []
        self.nginx: Process | None = None
        self._worker: Worker | None = None

    def start(self) -> None:
        self.manage("migrate", "--verbosity", "0")
        self.manage("collectstatic", "--no-input", "--verbosity", "0")
        for number in (1, 2):
            log = self.folder / f"uvicorn-{number}.log"
            command = [sys.executable, "-m", "uvicorn", *self.uvicorn_options(number)]
            self.uvicorns.append(Process(command, log, env=self.env, cwd=ROOT))
        for number in (1, 2):
            wait_until((self.folder / f"{number}.sock").exists, "uvicorn listens", 60)
        self.nginx = Process(self.nginx_command(), self.folder / "nginx.log")
        self.nginx.wait_for_port(self.port)

    def uvicorn_options(self, number: int) -> list[str]:
        """As the document has them, with our folder for /run/shop."""
        (told,) = re.findall(r"\.venv/bin/uvicorn (.*?)```", RUNNING, re.DOTALL)
        assert "/run/shop/1.sock" in told
        here = told.replace("/run/shop/1.sock", f"{self.folder}/{number}.sock")
        return shlex.split(here.replace("\\\n", " "))

    def nginx_command(self) -> list[str]:
        program = find_program("nginx", "/usr/sbin")
        key, certificate = self.folder / "shop.key", self.folder / "shop.pem"
        subprocess.run(
            [
                *(find_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
                *("-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={self.host}"),
                *("-addext", f"subjectAltName=DNS:{self.host}"),
            ],
            check=True,
            capture_output=True,
        )
        (ours,) = re.findall(r"```nginx\n(.*?)```", RUNNING, re.DOTALL)
        for told, here in {
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            "server_name shop.example": f"server_name {self.host}",
            "/etc/ssl/shop.example.pem": str(certificate),
            "/etc/ssl/shop.example.key": str(key),
            "/srv/shop/static_collected/": f"{self.folder}/static/",
            "/run/shop/": f"{self.folder}/",
        }.items():
            assert told in ours, f"docs/running.md no longer says {told!r}"
            ours = ours.replace(told, here)
        paths = "".join(
            f"{name}_temp_path {self.folder}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration = self.folder / "nginx.conf"
        configuration.write_text(
            ("user root;\n" if os.geteuid() == 0 else "")
            + f"daemon off; pid {self.folder}/nginx.pid; error_log stderr;\n"
            "events {}\n"
            f"http {{ include /etc/nginx/mime.types; access_log off;\n{paths}{ours}}}\n"
        )
        return [program, "-p", str(self.folder), "-c", str(configuration)]

    # What a test does with it

    @property
    def worker(self) -> Worker:
        """A process beside the servers, in which people have moved in."""
        if self._worker is None:
            self._worker = Worker(self.env, self.folder / "worker.log")
            self._worker.call(deeds.move_in)
        return self._worker

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [*MANAGE, *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, path: str, cookie: str = "") -> tuple[http.client.HTTPResponse, str]:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=trusting())
        connection.request("GET", path, headers={"Host": self.host, "Cookie": cookie})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return answer, body.decode()

    def log_in(self, name: str) -> str:
        return "=".join(self.worker.call(deeds.log_in, username=name))

    def open(self, cookie: str, origin: str | None = None) -> ClientConnection:
        return connect(
            f"wss://{self.host}/ws/notifications/",
            sock=socket.create_connection(("127.0.0.1", self.port)),
            ssl=trusting(),
            origin=origin or self.origin,  # type: ignore[arg-type]
            subprotocols=["notifications.v1"],  # type: ignore[list-item]
            additional_headers={"Cookie": cookie},
        )

    def stop(self) -> None:
        for process in (self._worker and self._worker.process, self.nginx, *self.uvicorns):
            if process is not None:
                process.stop(timeout=15)


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--port", type=int, default=8443)
    port = parser.parse_args().port
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="notifications-stack-") as name:
        folder = Path(name)
        postgres, redis, stack = None, None, None
        try:
            postgres = Postgres()
            redis = Redis(folder)
            url = postgres.url(postgres.create_database())
            stack = Stack(folder, url, redis, host="localhost", port=port)
            stack.start()
            stack.manage("shell", "--no-imports", "--command", SEED)
            print(told(stack, postgres, redis), flush=True)
            signal.pause()
        except KeyboardInterrupt:
            print("Ending ...", flush=True)
        finally:
            for part in (stack, redis, postgres):
                if part is not None:
                    part.stop()


def told(stack: Stack, postgres: Postgres, redis: Redis) -> str:
    needed = ("SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS")
    environment = " ".join(
        f"{name}={shlex.quote(stack.env[name])}" for name in (*needed, "DATABASE_URL", "REDIS_URL")
    )
    return f"""
nginx        {stack.origin}/   (a certificate of its own: your browser will ask)
logins       ana, a shopper, and dana, an operator; password: demo
uvicorn      {stack.folder}/1.sock and 2.sock, process ids {pids(stack)}
PostgreSQL   {stack.env["DATABASE_URL"]}
Redis        {redis.url}
logs         {stack.folder}/*.log, {postgres.folder}/server.log

Ring every bell, from a second terminal:
    {environment} \\
    .venv/bin/python manage.py broadcast "Hello, everybody" --everyone

Ctrl-C ends all of it, and deletes the folders.
"""


def pids(stack: Stack) -> str:
    return " and ".join(str(process.pid) for process in stack.uvicorns)


if __name__ == "__main__":
    main()
