"""The production way, as docs/running.md tells it: its own commands and its own nginx, over TLS."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import shlex
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.conftest import started
from tests.live import deeds
from tests.live.process import Process, find_program, free_port, wait_until
from tests.live.server import MANAGE, ROOT, Worker, environment

RUNNING = (ROOT / "docs" / "running.md").read_text()
HOST = "shop.example"


class Production:
    """PostgreSQL, Redis, uvicorn on a UNIX socket, and nginx in front of it."""

    def __init__(self, folder: Path, database_url: str, redis) -> None:
        self.folder, self.port = folder, free_port()
        self.env = environment(database_url, redis) | {
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "DEBUG": "off",
            "ALLOWED_HOSTS": HOST,
            "CSRF_TRUSTED_ORIGINS": f"https://{HOST}",
            "STATIC_ROOT": str(folder / "static"),
        }

    def start(self) -> None:
        folder = self.folder
        self.manage("collectstatic", "--no-input", "--verbosity", "0")
        (told,) = re.findall(r"\.venv/bin/uvicorn (.*?)```", RUNNING, re.DOTALL)
        words = shlex.split(told.replace("\\\n", " ").replace("/run/shop", str(folder)))
        self.uvicorn = Process(
            [sys.executable, "-m", "uvicorn", *words],
            folder / "uvicorn.log",
            env=self.env,
            cwd=ROOT,
        )
        wait_until((folder / "1.sock").exists, "uvicorn listens", 30)
        self.nginx = Process(self.nginx_command(), folder / "nginx.log")
        self.nginx.wait_for_port(self.port)
        self.worker = Worker(self.env, folder / "worker.log")
        self.worker.call(deeds.move_in)

    def nginx_command(self) -> list[str]:
        program = find_program("nginx", "/usr/sbin")
        key, certificate = self.folder / "shop.key", self.folder / "shop.pem"
        subprocess.run(
            [
                *(find_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
                *("-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={HOST}"),
            ],
            check=True,
            capture_output=True,
        )
        (ours,) = re.findall(r"```nginx\n(.*?)```", RUNNING, re.DOTALL)
        for told, here in {
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
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

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [*MANAGE, *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, path: str, cookie: str = "") -> tuple[http.client.HTTPResponse, str]:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=trusting())
        connection.request("GET", path, headers={"Host": HOST, "Cookie": cookie})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return answer, body.decode()

    def log_in(self, name: str) -> str:
        return "=".join(self.worker.call(deeds.log_in, username=name))

    def open(self, cookie: str, origin: str = f"https://{HOST}"):
        return connect(
            f"wss://{HOST}/ws/notifications/",
            sock=socket.create_connection(("127.0.0.1", self.port)),
            ssl=trusting(),
            origin=origin,
            subprotocols=["notifications.v1"],
            additional_headers={"Cookie": cookie},
        )

    def stop(self) -> None:
        for name in ("worker", "nginx", "uvicorn"):
            process = getattr(self, name, None)
            if process is not None:
                process.stop()


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.fixture(scope="module")
def site(tmp_path_factory, postgres, redis, databases):
    started(lambda: (find_program("nginx", "/usr/sbin"), find_program("openssl")))
    url = databases.postgres(postgres)
    site = Production(tmp_path_factory.mktemp("production"), url, redis)
    try:
        site.start()
        yield site
    finally:
        site.stop()


def test_a_page_comes_over_tls_and_tells_browsers_to_keep_to_it(site):
    answer, page = site.get("/")
    assert answer.status == 200
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "Log in as" not in page


def test_static_files_have_hashed_names_down_to_the_last_import(site):
    _answer, page = site.get("/", site.log_in("ana"))
    todo = set(re.findall(r'"(/static/[^"]+)"', page))
    seen = set()
    while todo:
        path = todo.pop()
        seen.add(path)
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", path), path
        answer, text = site.get(path)
        assert answer.status == 200, path
        assert "max-age=315360000" in answer.headers["Cache-Control"], path
        if path.endswith(".js"):
            for name in re.findall(r'(?:from|import)\s*\(?["\']\./([^"\']+)["\']', text):
                todo |= {f"{path.rpartition('/')[0]}/{name}"} - seen
    for name in ("start", "show", "feeds"):
        assert any(f"/notifications/min/{name}." in path for path in seen)


def test_an_order_reaches_a_socket_behind_nginx(site):
    with site.open(site.log_in("ana")) as line:
        line.send(json.dumps({"type": "hello", "cursor": None, "tab": "t", "lang": "en"}))
        assert json.loads(line.recv(10))["type"] == "welcome"
        site.worker.call(deeds.send, to="ana", title="Over TLS")
        frame = json.loads(line.recv(10))
        while frame["type"] != "items":
            frame = json.loads(line.recv(10))
        assert frame["items"][0]["notification"]["title"] == "Over TLS"


@pytest.mark.parametrize(
    "origin", ["http://shop.example", "https://evil.example", "https://shop.example:8443"]
)
def test_a_foreign_origin_is_told_so_and_gets_nothing(site, origin):
    with site.open(site.log_in("ana"), origin) as line, pytest.raises(ConnectionClosed) as end:
        line.recv(10)
    assert end.value.rcvd.code == 4003


def test_the_demo_does_not_run_here(site):
    done = subprocess.run(
        [*MANAGE, "demo", "--seed-only"], cwd=ROOT, env=site.env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "DEBUG off" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_secret_the_site_does_not_start(site):
    env = {name: value for name, value in site.env.items() if name != "SECRET_KEY"}
    done = subprocess.run(
        [*MANAGE, "check"], cwd=ROOT, env=env | {"DEBUG": "off"}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "SECRET_KEY must be set" in done.stderr
