"""The production way, as docs/running.md tells it: its own commands and its own nginx, over TLS."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.conftest import started
from tests.live import deeds
from tests.live.process import Process, find_program, free_port, wait_until
from tests.live.server import MANAGE, ROOT
from tests.stack import Stack


@pytest.fixture(scope="module")
def site(tmp_path_factory, postgres, redis, databases):
    started(lambda: (find_program("nginx", "/usr/sbin"), find_program("openssl")))
    site = Stack(tmp_path_factory.mktemp("production"), databases.postgres(postgres), redis)
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


def test_both_processes_serve_and_hear_of_what_the_other_was_told(site):
    """nginx sends each line to the process with the fewest, so that two lines have one each."""
    cookie = site.log_in("ana")
    with site.open(cookie) as one, site.open(cookie) as other:
        for line in (one, other):
            line.send(json.dumps({"type": "hello", "cursor": None, "tab": "t", "lang": "en"}))
            assert json.loads(line.recv(20))["type"] == "welcome"
        wait_until(lambda: "2 running" in site.manage("notifications_doctor"), "two say so", 30)
        site.worker.call(deeds.send, to="ana", title="To both")
        for line in (one, other):
            frame = json.loads(line.recv(20))
            while frame["type"] != "items":
                frame = json.loads(line.recv(20))
            assert frame["items"][0]["notification"]["title"] == "To both"


def test_the_doctor_finds_the_scaled_out_site_well(site):
    said = site.manage("notifications_doctor")
    assert "✗" not in said
    assert "RedisPubSubChannelLayer carries a bell in" in said
    assert "answers a page of https://shop.example" in said


@pytest.fixture
def open_folder():
    """A folder for temporary ones that PostgreSQL can enter: it runs as another user than root."""
    with tempfile.TemporaryDirectory(prefix="stack-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.timeout(240)
def test_make_stack_says_where_everything_is_and_leaves_nothing(open_folder):
    started(lambda: find_program("nginx", "/usr/sbin"))
    port = free_port()
    env = os.environ | {"TMPDIR": str(open_folder)}
    command = [sys.executable, "-m", "tests.stack", "--port", str(port)]
    stack = Process(command, open_folder / "said.txt", env=env, cwd=ROOT)
    try:
        wait_until(lambda: "Ctrl-C ends all" in stack.log() or not stack.is_alive(), "it runs", 90)
        said = stack.log()
        assert f"https://localhost:{port}/" in said
        pids = [int(pid) for pid in re.search(r"process ids (\d+) and (\d+)", said).groups()]
        (ring,) = re.findall(r"terminal:\n +(.*?everyone)", said, re.DOTALL)
        ring = ring.replace(".venv/bin/python", sys.executable)
        done = subprocess.run(["sh", "-c", ring], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "everyone" in done.stdout
        stack.send(signal.SIGINT)
        assert stack.wait(60) == 0
    finally:
        stack.stop(timeout=30)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not list(open_folder.glob("notifications-*")), "folders were left"
