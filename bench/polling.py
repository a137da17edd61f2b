"""Polling every 15 seconds against a socket: what it costs to wait, and how late news comes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

from tests.live.process import Process, free_port

from .contestants import SERVER_CORE, Ours
from .load import CACHE, Load
from .machine import Parts, family_seconds, pin
from .peers import __file__ as peers

PERIOD = 15
MORE = 5
"""So many times the people also wait on one process of ours: what it does by itself is shared."""
FOLDER = os.path.join(os.path.dirname(peers), "hq")
WANTED = ("django-notifications-hq>=1.8.3,<2", "Django>=4.2,<5", "gunicorn>=23", "psycopg[binary]")
# What a browser sends along with each poll (Chromium 140, fetched from a page of the site).
BROWSER = {
    "Connection": "keep-alive",
    "sec-ch-ua": '"Chromium";v="140", "Not=A?Brand";v="24"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36",
    "Accept": "*/*",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-GB,en;q=0.9",
}


def install() -> str:
    """django-notifications-hq and what it runs on, where nobody else imports it."""
    folder = CACHE / "hq"
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != "\n".join(WANTED):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--upgrade", "--target", str(folder), *WANTED], check=True)
        stamp.write_text("\n".join(WANTED))
    return str(folder)


class Polled:
    """A site of django-notifications-hq behind gunicorn with threads, and people who poll it."""

    def __init__(self, at: Parts, people: int) -> None:
        self.port = free_port()
        self._env = os.environ | {
            "PYTHONPATH": install(),
            "PG_PORT": str(at.postgres.port),
            "PG_NAME": at.postgres.create_database(),
        }
        cookies = at.folder / f"cookies-{self.port}"
        self._do(str(people), str(cookies))
        self.process = Process(
            [
                *(sys.executable, "-m", "gunicorn", "polled:application"),
                *("--bind", f"127.0.0.1:{self.port}", "--worker-class", "gthread"),
                *("--threads", "8", "--keep-alive", "75", "--worker-connections", "20000"),
                *("--backlog", "4096"),
            ],
            at.folder / f"gunicorn-{self.port}.log",
            env=self._env,
            cwd=FOLDER,
        )
        self.process.wait_for_port(self.port)
        time.sleep(1)
        pin(self.process.pid, SERVER_CORE)
        self.load = Load(
            "poll",
            self.port,
            people,
            at.folder,
            path="/inbox/notifications/api/unread_list/?max=5",
            headers={"Referer": f"http://127.0.0.1:{self.port}/", **BROWSER},
            cookies=cookies,
            period=PERIOD,
        )

    def _do(self, *arguments: str) -> None:
        program = [sys.executable, "polled.py", *arguments]
        subprocess.run(program, cwd=FOLDER, env=self._env, check=True)

    def tell_each(self, count: int) -> None:
        self._do("tell", str(count))

    def stop(self) -> None:
        self.load.stop()
        self.process.stop()


def measure(at: Parts, people: int, seconds: float) -> dict[str, Any]:
    """Idle for a while, and then a notification each to a hundred people, for both."""
    polled = Polled(at, people)
    try:
        polled.load.open(people, 50)
        polled.load.rest(2)
        theirs = _wait_and_tell(polled, polled.process.pid, at, people, seconds)
    finally:
        polled.stop()
    return {
        "polling": theirs,
        "ours": _ours(at, people, seconds),
        "ours, more": _ours(at, people * MORE, seconds),
    }


def _ours(at: Parts, people: int, seconds: float) -> dict[str, float]:
    with Ours(at, people) as ours:
        ours.load.open(people)
        ours.load.rest(2)
        return _wait_and_tell(ours, ours.process.pid, at, people, seconds)


def _wait_and_tell(
    site: Any, server: int, at: Parts, people: int, seconds: float
) -> dict[str, float]:
    database = at.postgres.process.pid
    before, stored = family_seconds(server), family_seconds(database)
    site.load.reset()
    rested = site.load.rest(seconds)
    spent = family_seconds(server) - before
    found = {
        "cpu": spent * 1000 / people / seconds,  # CPU seconds for a thousand in a second
        "database_cpu": (family_seconds(database) - stored) * 1000 / people / seconds,
        "bytes": (rested["bytes_in"] + rested["bytes_out"]) / people / seconds,
    }
    told = min(100, people)
    site.load.reset()
    site.tell_each(told)
    seen = site.load.wait(told, 2 * PERIOD)
    return found | {
        "told": told,
        "came": seen["marks"],
        "p50": seen["p50"],
        "p99": seen["p99"],
    }
