"""The demo as `make demo` starts it: served, walked through, and ended by Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.live.http import Visitor
from tests.live.process import Process, free_port
from tests.live.server import MANAGE, ROOT, environment
from tests.live.socket import Client


class Demo:
    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.env = environment(f"sqlite:///{folder}/demo.sqlite3", None) | {
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "PORT": str(port),
        }
        del self.env["ALLOWED_HOSTS"]  # as where nobody has set it
        # As in a terminal: whoever starts pytest with & has switched Ctrl-C off for its children.
        command = ["env", "--default-signal=INT", *MANAGE, "demo"]
        self.process = Process(command, folder / "demo.log", env=self.env, cwd=ROOT)
        self.process.wait_for_port(port)

    def log_in(self, name: str) -> Visitor:
        """The way a person does it: by the form on the front page."""
        visitor = Visitor(self.url)
        fields = {"username": name, "password": "demo", "next": "/orders/"}
        assert visitor.post("/accounts/login/", fields).location == "/orders/"
        return visitor

    def socket(self, visitor: Visitor) -> Client:
        url = self.url.replace("http", "ws") + "/ws/notifications/"
        return Client(url, cookies=visitor.cookies, origin=self.url)

    def manage(self, *arguments: str) -> str:
        """What is typed in a second terminal."""
        return subprocess.run(
            [*MANAGE, *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout


@pytest.fixture
def demo(tmp_path):
    demo = Demo(tmp_path)
    yield demo
    demo.process.stop()


def test_it_says_where_it_is_and_who_can_log_in(demo):
    said = demo.process.log()
    assert f"{demo.url}/\n" in said
    assert f"{demo.url}/admin/" in said
    for name in ("ana", "dana"):
        assert f"    {name} " in said
    assert "manage.py broadcast" in said


def test_an_order_rings_for_both_and_a_broadcast_from_a_second_terminal_too(demo):
    ana, dana = demo.log_in("ana"), demo.log_in("dana")
    with demo.socket(ana) as anas, demo.socket(dana) as danas:
        assert anas.hello()["counts"]["unseen"] == danas.hello()["counts"]["unseen"] == 0
        ana.post("/orders/place/", {"product": "1"})
        anas.listen_for("Order 1002 received")
        danas.listen_for("New order from ana")
        demo.manage("broadcast", "Hello, everybody", "--everyone", "--yes")
        for line in (anas, danas):
            line.listen_for("Hello, everybody")
        assert anas.arrived == ["Order 1002 received", "Hello, everybody"]
        assert danas.arrived == ["New order from ana", "Hello, everybody"]


def test_ctrl_c_ends_it_cleanly_though_a_bell_is_connected(demo):
    with demo.socket(demo.log_in("ana")) as line:
        line.hello()
        demo.process.send(signal.SIGINT)
        assert demo.process.wait(60) == 0
    assert "Traceback" not in demo.process.log()
