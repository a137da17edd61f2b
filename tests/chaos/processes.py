"""Further processes that a scenario may ask for: a line that goes deaf, a WSGI server."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.live.process import Process, free_port
from tests.live.server import ROOT

if TYPE_CHECKING:
    from tests.chaos.town import Town


class Line:
    """A way to the town that may swallow everything (line.py)."""

    def __init__(self, town: Town) -> None:
        port = town.url.rpartition(":")[2]
        self.process = Process(
            [sys.executable, "-m", "tests.chaos.line", port],
            town.folder / "line.log",
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        town.closing.callback(self.process.stop)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def swallow(self) -> None:
        self._say(b"swallow\n")

    def carry(self) -> None:
        self._say(b"carry\n")

    def _say(self, word: bytes) -> None:
        self.process.stdin.write(word)
        self.process.stdin.flush()


SERVE = """
import socketserver, sys, wsgiref.simple_server as simple
from project.wsgi import application
class Server(socketserver.ThreadingMixIn, simple.WSGIServer):
    daemon_threads = True
class Quiet(simple.WSGIRequestHandler):
    def log_message(self, *words): pass
simple.make_server("127.0.0.1", int(sys.argv[1]), application, Server, Quiet).serve_forever()
"""


class Wsgi:
    """The site under WSGI, on the same database: it answers polls, and has no hub."""

    def __init__(self, town: Town) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = Process(
            [sys.executable, "-c", SERVE, str(port)],
            town.folder / "wsgi.log",
            env=town.site.env,
            cwd=ROOT,
        )
        town.closing.callback(self.process.stop)
        self.process.wait_for_port(port)
