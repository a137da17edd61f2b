"""The peers of `make bench PEERS=all`: the core layer, nchan, django-eventstream."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.live.process import Missing, Process, find_program

from . import people
from .contestants import Application, Contestant, Publisher, Tutorial, notification
from .load import CACHE

NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


class TutorialCore(Tutorial):
    name = "tutorial, uvicorn, core layer"
    settings = "bench.peers.core_layer"


class Nchan(Contestant):
    """nginx with the module nchan, one worker: a POST to one address, sockets at another."""

    name = "nchan, nginx"
    path = "/sub"
    tells_each = False

    def start(self) -> None:
        if not NCHAN.exists():
            root = [] if os.geteuid() == 0 else ["sudo", "-n"]
            packages = ("nginx", "libnginx-mod-nchan")
            subprocess.run(
                [*root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        if not NCHAN.exists():
            raise Missing("libnginx-mod-nchan")
        configuration = self.at.folder / f"nchan-{self.port}.conf"
        configuration.write_text(
            f"""
load_module {NCHAN};
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 30000;
pid {self.at.folder}/nchan-{self.port}.pid; error_log stderr;
events {{ worker_connections 25000; }}
http {{
    access_log off; client_body_temp_path {self.at.folder};
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        location = /sub {{ nchan_subscriber websocket; nchan_channel_id everyone; }}
        location = /pub {{ nchan_publisher; nchan_channel_id everyone; nchan_store_messages off; }}
    }}
}}
"""
        )
        nginx = shutil.which("nginx") or find_program("nginx", "/usr/sbin")
        command = [nginx, "-c", str(configuration), "-p", str(self.at.folder)]
        self.process = Process(command, self.at.folder / f"nchan-{self.port}.log")
        self.process.wait_for_port(self.port)

    def tell_all(self) -> None:
        body = {"notification": notification(f"Maintenance {people.mark()}")}
        url = f"http://127.0.0.1:{self.port}/pub"
        with urllib.request.urlopen(url, json.dumps(body).encode()):
            pass


class EventStream(Application):
    """django-eventstream on uvicorn, installed where nobody else imports it."""

    name = "django-eventstream, uvicorn"
    dialect = "sse"
    path = "/events/"
    application = "bench.peers.eventstream:application"
    settings = "bench.peers.eventstream_settings"
    tells_each = False
    slow = True

    def start(self) -> None:
        folder = CACHE / "eventstream"
        if not folder.exists():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            wanted = ("django-eventstream>=5.3,<6", "Django>=5.2,<5.3", "redis>=7,<8")
            subprocess.run([*pip, "--target", str(folder), *wanted], check=True)
        self._packages = str(folder)
        super().start()
        self._publisher = Publisher(self.at, self.environment())

    def environment(self) -> dict[str, str]:
        return super().environment() | {"PYTHONPATH": self._packages}

    def stop(self) -> None:
        super().stop()
        if hasattr(self, "_publisher"):
            self._publisher.stop()

    def tell_all(self) -> None:
        self._publisher.do("bench.peers.eventstream:tell")


MORE: list[type[Contestant]] = [TutorialCore, Nchan, EventStream]
