"""Thousands of hostile frames and bodies against real servers.

The `server` fixture looks for tracebacks in the log. Here: documented answers and codes only, and
a healthy socket that works through it all.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket as sockets
from collections import Counter
from urllib.parse import urlsplit

import pytest

from tests.fuzz import Fuzz
from tests.live import deeds
from tests.live.process import NeverHappened
from tests.live.socket import Client, Closed

CODES = {4002, 4100, 1000, 1009, 1006, 1007}
"""1007 and 1009: the server itself refuses what is no UTF-8, and what is too large."""
VISITS = 130


@pytest.mark.timeout(300)
def test_hostile_frames_end_with_a_documented_code_and_disturb_nobody(server):
    site = server.site
    cookies = site.session_of("jz")
    for n in range(5):
        site.call(deeds.send, to="jz", title=f"For jz {n}")
    seen: Counter[int] = Counter()
    frames = 0
    with server.client("ana") as bystander:
        bystander.hello()
        for number in range(VISITS):
            fuzz = Fuzz(random.Random(number), (bystander.cursor["epoch"], "k3"))
            with (
                contextlib.suppress(NeverHappened),
                Client(server.ws_url, cookies=cookies, origin=server.url) as hostile,
            ):
                try:
                    if number % 4:
                        hostile.hello()
                    script = [fuzz.text(fuzz.good()) for _ in range(15)] + [
                        fuzz.frame() for _ in range(5)
                    ]
                    for text in script:
                        frames += 1
                        hostile.send_raw(fuzz.sendable(text))
                    hostile.send({"type": "do", "id": "end", "action": "seen", "ids": []})
                    hostile.wait_for("done", lambda frame: frame["id"] == "end", timeout=10)
                except Closed as closed:
                    seen[closed.code] += 1
                for frame in hostile.frames:
                    assert frame["type"] in {
                        *("welcome", "items", "counts", "hb", "pong", "done", "reset")
                    }
        assert set(seen) <= CODES, seen
        assert seen[4002] > VISITS / 3, seen
        site.call(deeds.send, to="ana", title="Undisturbed")
        bystander.listen_for("Undisturbed", timeout=20)
        assert bystander.arrived == ["Undisturbed"]
        assert not bystander.gaps
    assert frames > 1_500


@pytest.mark.timeout(300)
def test_hostile_bodies_get_documented_answers(server):
    ana = server.visitor("ana")
    fuzz = Fuzz(random.Random(7))
    address = urlsplit(server.url).netloc
    connection = http.client.HTTPConnection(address, timeout=30)
    headers = {
        "Cookie": "; ".join(f"{k}={v}" for k, v in ana.cookies.items()) + f"; csrftoken={'c' * 32}",
        "X-CSRFToken": "c" * 32,
        "Origin": server.url,
        "Content-Type": "application/json",
    }
    seen: Counter[int] = Counter()
    for _ in range(400):
        connection.request("POST", "/notifications/do/", fuzz.body(), headers)
        response = connection.getresponse()
        text = response.read()
        seen[response.status] += 1
        told = json.loads(text)
        assert response.status in (200, 400, 403, 404, 413)
        if response.status == 403:  # ana is no operator
            assert told["error"]["code"] == "forbidden"
        assert told["ok"] is (response.status == 200)
    connection.close()
    assert min(seen[200], seen[400], seen[404]) > 3, seen


@pytest.mark.timeout(300)
def test_bytes_that_are_no_websocket_at_all_leave_the_server_standing(server):
    host, _, port = urlsplit(server.url).netloc.partition(":")
    chance = random.Random(11)
    handshake = (
        f"GET /ws/notifications/ HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Version: 13\r\nOrigin: {server.url}\r\n\r\n"
    ).encode()
    for number in range(150):
        with sockets.create_connection((host, int(port)), timeout=10) as line:
            with contextlib.suppress(OSError):
                if number % 3:
                    line.sendall(handshake)
                    line.recv(100)
                else:
                    at = chance.randint(0, len(handshake))
                    line.sendall(handshake[:at] + chance.randbytes(20))
                line.sendall(chance.randbytes(chance.choice([1, 2, 10, 500])))
            if number % 2:
                line.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with server.client("ana") as ana:
        ana.hello()
        server.site.call(deeds.send, to="ana", title="Still here")
        ana.listen_for("Still here", timeout=20)
