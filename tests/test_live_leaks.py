"""Connections that end in all the ugly ways leave nothing behind.

`LEAKS=10000 pytest tests/test_live_leaks.py` is the long form.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import socket
import struct
from collections import Counter
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import redis as redis_client
from prometheus_client.parser import text_string_to_metric_families

from tests.live import deeds
from tests.live.http import Visitor
from tests.live.process import wait_until

CONNECTS = int(os.environ.get("LEAKS", "1200"))
WARM_UP = 300
AT_ONCE = 16
HELLO = json.dumps({"type": "hello", "cursor": None, "tab": "t", "lang": "en"}).encode()


def masked(payload: bytes, opcode: int = 1) -> bytes:
    """A client's WebSocket frame."""
    mask = os.urandom(4)
    length = (
        struct.pack("!B", 0x80 | len(payload))
        if len(payload) < 126
        else struct.pack("!BH", 0x80 | 126, len(payload))
    )
    body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes([0x80 | opcode]) + length + mask + body


class Ugly:
    """One connection, without a library that would keep it polite."""

    def __init__(self, address: tuple[str, int], cookie: str) -> None:
        self.address, self.cookie = address, cookie

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(*self.address)

    async def shake_hands(self) -> None:
        host = "{}:{}".format(*self.address)
        key = base64.b64encode(os.urandom(16)).decode()
        self.writer.write(
            (
                f"GET /ws/notifications/ HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Protocol: notifications.v1\r\nCookie: {self.cookie}\r\n\r\n"
            ).encode()
        )
        await self.reader.readuntil(b"\r\n\r\n")

    async def greet(self) -> None:
        await self.shake_hands()
        self.writer.write(masked(HELLO))
        await self.reader.readuntil(b'"server_time"')

    async def ask(self, path: str) -> None:
        host = "{}:{}".format(*self.address)
        self.writer.write(
            f"GET /notifications/{path} HTTP/1.1\r\nHost: {host}\r\n"
            f"Cookie: {self.cookie}\r\n\r\n".encode()
        )

    def cut(self) -> None:
        """A reset instead of an end."""
        line = self.writer.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.close()

    async def end(self, way: str) -> None:
        await self.open()
        match way:
            case "never spoke":
                self.writer.close()
            case "cut in the handshake":
                self.writer.write(b"GET /ws/notifications/ HTTP/1.1\r\nHost: x\r\nUpg")
                self.cut()
            case "cut before hello":
                await self.shake_hands()
                self.cut()
            case "cut while it is welcomed":
                await self.shake_hands()
                self.writer.write(masked(HELLO))
                self.cut()
            case "cut in its life":
                await self.greet()
                self.cut()
            case "half closed":
                await self.greet()
                self.writer.write_eof()
                await asyncio.sleep(0.05)  # some servers wait long for the other half
                self.writer.close()
            case "half a frame":
                await self.greet()
                self.writer.write(masked(b'{"type":"ping"}')[:7])
                self.cut()
            case "cut while it acts":
                await self.greet()
                act = {"type": "do", "id": "1", "action": "seen", "ids": []}
                self.writer.write(masked(json.dumps(act).encode()) * 5)
                self.cut()
            case "a bad frame":
                await self.greet()
                self.writer.write(masked(b"nonsense"))
                await self.reader.read(4_096)  # the close, which is left without an answer
                self.writer.close()
            case "a stranger":
                self.cookie = ""
                await self.shake_hands()
                await self.reader.read(64)
                self.cut()
            case "a cut event stream":
                await self.ask("events/")
                await self.reader.readuntil(b"server_time")
                self.cut()
            case "a cut poll":
                await self.ask("poll/")
                self.cut()
            case "a poll cut while it waits":
                await self.ask("poll/")
                answer = await self.reader.readuntil(b"}]}")
                at = json.loads(answer[answer.index(b'{"frames"') :])["frames"][0]["cursor"]
                position = ";".join(
                    [at["epoch"], *(f"{key}={seq}" for key, seq in at.items() if key != "epoch")]
                )
                self.writer.close()
                await self.open()
                await self.ask(f"poll/?cursor={quote(position)}")
                await asyncio.sleep(0.05)
                self.cut()
            case "polite":
                await self.greet()
                self.writer.write(masked(struct.pack("!H", 1000), opcode=8))
                await self.reader.read()
                self.writer.close()


WAYS = (
    *("never spoke", "cut in the handshake", "cut before hello", "cut while it is welcomed"),
    *("cut in its life", "half closed", "half a frame", "cut while it acts", "a bad frame"),
    *("a cut event stream", "a cut poll", "a poll cut while it waits", "a stranger", "polite"),
)


async def connect_and_go(address: tuple[str, int], cookies: list[str], times: int) -> Counter[str]:
    """So many connections; how many came to the end that was meant for them."""
    ended: Counter[str] = Counter()
    chance = random.Random(times)
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with room:
            ugly = Ugly(address, chance.choice(cookies))
            way = WAYS[number % len(WAYS)]
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(60):
                    await ugly.end(way)
                    ended[way] += 1

    await asyncio.gather(*(one(number) for number in range(times)))
    return ended


def what_it_holds(server, redis) -> dict[str, float]:
    page = Visitor(server.url).get("/metrics")
    found = {
        sample.name.removeprefix("notifications_"): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
    }
    process = Path("/proc") / str(server.process.pid)
    [rss] = [line for line in (process / "status").read_text().splitlines() if "VmRSS" in line]
    with redis_client.Redis.from_url(redis.url) as layer:
        groups = len(layer.pubsub_channels())
    return {name: found[name] for name in ("sockets", "users", "streams", "tasks")} | {
        "descriptors": len(list((process / "fd").iterdir())),
        "groups": groups,
        "memory": int(rss.split()[1]) / 1024,
    }


@pytest.mark.timeout(3_600 if CONNECTS > 5_000 else 400)
@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_connections_that_end_in_ugly_ways_leave_nothing_behind(new_site, redis, kind):
    # Under DEBUG Django keeps the last 9,000 queries of each thread, which looks like a leak.
    site = new_site("postgres", [kind], redis=redis, env={"DEBUG": "off", "HTTPS": "off"})
    server = site.server
    host, _, port = urlsplit(server.url).netloc.partition(":")
    cookies = [site.login(name) for name in ("ana", "bo", "dana")]
    address = (host, int(port))

    def is_calm() -> bool:
        held = what_it_holds(server, redis)
        return held["sockets"] == held["streams"] == held["users"] == 0

    asyncio.run(connect_and_go(address, cookies, WARM_UP))
    wait_until(is_calm, "all that came is gone", 60, every=0.3)
    before = what_it_holds(server, redis)
    ended = asyncio.run(connect_and_go(address, cookies, CONNECTS))
    assert min(ended[way] for way in WAYS) > CONNECTS / len(WAYS) * 0.9, ended
    wait_until(is_calm, "all that came is gone", 60, every=0.3)
    wait_until(
        lambda: what_it_holds(server, redis)["groups"] <= before["groups"], "groups are left", 20
    )
    wait_until(
        lambda: what_it_holds(server, redis)["tasks"] <= before["tasks"] + 2, "tasks end", 20
    )
    wait_until(
        lambda: what_it_holds(server, redis)["descriptors"] <= before["descriptors"] + 5,
        f"descriptors are closed but for those of before, {before}",
    )
    after = what_it_holds(server, redis)
    assert after["memory"] - before["memory"] < 8 + CONNECTS / 1_000, (before, after)
    with server.client("ana") as ana:
        ana.hello()
        site.call(deeds.send, to="ana", title="Still here")
        ana.listen_for("Still here", timeout=20)
    said = server.log()
    assert "Traceback" not in said, said[said.index("Traceback") - 500 :][:3_000]
    assert "Task was destroyed" not in said
    assert "never retrieved" not in said
