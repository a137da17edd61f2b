"""What strangers and broken clients send. Each server kind, since servers decide part of it.

After each of these the log has no traceback (the `server` fixture looks), and a healthy socket
still works.
"""

from __future__ import annotations

import contextlib
import json
import socket as sockets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.live import deeds
from tests.live.process import wait_until
from tests.live.socket import Client, Closed

BAD_FRAME = 4002
REFUSED = {"type": "close", "code": BAD_FRAME}


@pytest.fixture
def bystander(server) -> Iterator[Client]:
    """bo, who does nothing wrong, and whose socket must work before and after."""
    id = server.site.call(deeds.send, to="bo", title="Unharmed")
    with server.client("bo") as bo:
        bo.hello()
        yield bo
        assert bo.do("read", ids=[id])["ok"] is True
        bo.listen_until(lambda: bo.applied, "the entry of bo's own action")
        assert [op for _stream, _seq, op in bo.applied] == ["read"]
        assert not bo.gaps


HELLO = {"type": "hello", "cursor": None, "tab": "t1", "lang": "en"}
NOT_FRAMES = {
    "no JSON": "hello",
    "nothing": "",
    "half a frame": '{"type": "ping"',
    "a list": "[]",
    "a number": "1",
    "null": "null",
    "a string": '"ping"',
    "no type": "{}",
    "a type that is a list": '{"type": ["ping"]}',
    "a type of nobody": '{"type": "subscribe"}',
    "a type of channels": '{"type": "websocket.close"}',
    "a type of the server": '{"type": "items"}',
    "a type of Python": '{"type": "__class__"}',
    "a null byte": '{"type": "\\u0000"}',
    "deep nesting": "[" * 5000 + "]" * 5000,
    "deep nesting in a field": '{"type":"ack","cursor":' + '{"a":' * 3000 + "1" + "}" * 3001,
    "a sync without a cursor": '{"type": "sync"}',
    "a sync with a list": '{"type": "sync", "cursor": []}',
    "a negative cursor": '{"type": "sync", "cursor": {"epoch": "k", "user": -1}}',
    "a huge cursor": '{"type": "sync", "cursor": {"epoch": "k", "user": 1e400}}',
    "a long number": '{"type": "sync", "cursor": {"epoch": "k", "user": ' + "9" * 5000 + "}}",
    "a true cursor": '{"type": "sync", "cursor": {"epoch": "k", "user": true}}',
    "not a number": '{"type": "sync", "cursor": {"epoch": "k", "user": NaN}}',
    "an epoch that is a number": '{"type": "sync", "cursor": {"epoch": 7}}',
    "an id that is an object": '{"type": "do", "id": {}, "action": "read", "ids": [1]}',
    "an ack with a string": '{"type": "ack", "cursor": 5}',
}


@pytest.mark.parametrize("message", NOT_FRAMES.values(), ids=NOT_FRAMES)
def test_what_is_no_frame_closes_the_socket_with_bad_frame(server, bystander, message):
    with server.client("ana") as ana:
        ana.hello()
        ana.send_raw(message)
        assert ana.wait_for_close() == BAD_FRAME


@pytest.mark.parametrize(
    "message",
    [
        b"\x00\x01\x02",
        json.dumps({"type": "ping"}).encode(),
        b"",
    ],
    ids=["bytes", "a frame in bytes", "no bytes"],
)
def test_a_binary_frame_closes_the_socket_with_bad_frame(server, bystander, message):
    with server.client("ana") as ana:
        ana.hello()
        ana.send_raw(message)
        assert ana.wait_for_close() == BAD_FRAME


@pytest.mark.parametrize("size", [40_000, 70_000, 3_000_000])
def test_a_frame_that_is_too_large_closes_the_socket(server, bystander, size):
    with server.client("ana") as ana:
        ana.hello()
        try:
            ana.send_raw(json.dumps({"type": "ping", "padding": "x" * size}))
            code = ana.wait_for_close()
        except Closed as closed:
            code = closed.code
        # 4002 where it reaches us; 1009, or a line that is just cut, where the server stops it.
        assert code == BAD_FRAME if size < 60_000 else code in (BAD_FRAME, 1009, 1006)


@pytest.mark.parametrize(
    "first",
    [{"type": "ping"}, {"type": "do", "id": "1", "action": "read_all"}, {"type": "ack"}],
    ids=lambda frame: frame["type"],
)
def test_a_first_frame_that_is_not_hello_closes_the_socket(server, bystander, first):
    with server.client("ana") as ana:
        ana.send(first)
        assert ana.wait_for_close() == BAD_FRAME
        assert ana.frames == []


def test_a_second_hello_closes_the_socket_or_is_a_clean_start_but_never_an_error(server, bystander):
    with server.client("ana") as ana:
        ana.hello()
        ana.send(HELLO)
        answer = ana.answer()
        assert answer == REFUSED or answer["type"] == "welcome"


@pytest.mark.parametrize(
    "fields",
    [
        {"cursor": "k3;user=1"},
        {"cursor": []},
        {"cursor": 5},
        {"cursor": {}},
        {"cursor": {"epoch": "k", "user": "1"}},
        {"cursor": {"epoch": "k", "user.5": 1, "group.x;y": 2}},
        {"cursor": {"epoch": "k" * 10_000}},
        {"tab": 5},
        {"tab": None},
        {"tab": "x" * 20_000},
        {"lang": 5},
        {"lang": ["de"]},
        {"lang": "x" * 20_000},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_a_hello_with_a_bad_field_is_refused_or_answered_but_never_an_error(
    server, bystander, fields
):
    with server.client("ana") as ana:
        ana.send(HELLO | fields)
        answer = ana.answer()
        assert answer == REFUSED or answer["mode"] in ("fresh", "reset")


@pytest.mark.parametrize(
    "what",
    [
        {"action": "read", "ids": "12"},
        {"action": "read", "ids": [None]},
        {"action": "read", "ids": [True]},
        {"action": "read", "ids": [1.5]},
        {"action": "read", "ids": [10**30]},
        {"action": "read", "ids": [-1]},
        {"action": "read", "ids": [0]},
        {"action": "read", "ids": [[1]]},
        {"action": "read", "ids": list(range(1, 3000))},
        {"action": "read"},
        {"action": "read_all"},
        {"action": "read_all", "upto": {"epoch": "k", "user": 10**9}},
        {"action": "read_all", "upto": "x"},
        {"action": None, "ids": [1]},
        {"action": {"a": 1}, "ids": [1]},
        {"action": "__init__", "ids": [1]},
        {"action": "\ud800", "ids": [1]},
        {"action": "x" * 10_000, "ids": [1]},
    ],
    ids=lambda what: str(what)[:50].encode("ascii", "replace").decode(),
)
def test_an_action_that_makes_no_sense_is_refused_and_changes_nothing(server, bystander, what):
    server.site.call(deeds.send, to="ana", title="One")
    with server.client("ana") as ana:
        ana.hello()
        ana.send({"type": "do", "id": "1"} | what)
        answer = ana.answer("done")
        if answer != REFUSED:
            assert answer["ok"] is False
            assert answer["error"]["code"]
            assert answer["error"]["detail"]
    assert server.site.call(deeds.counts_of, username="ana")["unread"] == 1


def test_an_action_on_nothing_changes_nothing(server, bystander):
    server.site.call(deeds.send, to="ana", title="One")
    with server.client("ana") as ana:
        ana.hello()
        done = ana.do("read", ids=[])
        assert done["ok"] is True
        assert done["counts"]["unread"] == 1


def test_half_a_character_in_an_id_does_not_break_the_answer(server, bystander):
    with server.client("ana") as ana:
        ana.hello()
        ana.send_raw('{"type":"do","id":"\\ud800","action":"nonsense","ids":[1]}')
        answer = ana.answer("done")
        assert answer == REFUSED or answer["ok"] is False


# Who may come in


def test_an_anonymous_socket_is_told_to_log_in(server, bystander):
    with server.client() as nobody:
        assert nobody.wait_for_close() == 4001
        assert nobody.frames == []


@pytest.mark.parametrize(
    "key",
    [
        "x" * 32,
        "",
        "../../etc/passwd",
        "%00",
        "a" * 5000,
        "null",
        "' OR 1=1 --",
        '"\\000aaaaaaaaaaaaaaaa"',
    ],
)
def test_an_invented_session_is_told_to_log_in(server, bystander, key):
    name, _value = server.site.call(deeds.log_in, username="ana")
    with Client(server.ws_url, cookies={name: key}, origin=server.url) as stranger:
        assert stranger.wait_for_close() == 4001


# Servers refuse some malformed headers themselves, with a status instead of a code.
REFUSALS = (4003, 400)


def code_for(server, username, **options) -> int:
    """With what code, or HTTP status, a socket is refused; it must have been told nothing."""
    try:
        client = server.client(username, **options)
    except InvalidStatus as refused:
        return refused.response.status_code
    with client:
        code = client.wait_for_close()
        assert client.frames == []
        return code


ORIGINS = {
    "another site": "https://evil.example",
    "another scheme": "https://127.0.0.1:{port}",
    "another port": "http://127.0.0.1:1",
    "no port": "http://127.0.0.1",
    "another host of ours": "http://localhost:{port}",
    "a longer host": "http://127.0.0.1.evil.example:{port}",
    "a host with a user": "http://127.0.0.1:{port}@evil.example",
    "null": "null",
    "no URL": "http://[",
    "a port of six digits": "http://127.0.0.1:999999",
    "a port of letters": "http://127.0.0.1:http",
    "a path": "http://127.0.0.1:{port}/x",
    "nothing": "",
    "spaces": "http://127.0.0.1:{port} http://evil.example",
    "a file": "file:///etc/passwd",
    "a long one": "http://" + "a" * 3000,
}


@pytest.mark.parametrize("origin", ORIGINS.values(), ids=ORIGINS)
def test_a_socket_from_another_origin_is_refused_with_or_without_a_login(server, bystander, origin):
    origin = origin.format(port=server.port)
    for username in ("ana", None):
        assert code_for(server, username, origin=origin) in REFUSALS


def test_a_socket_without_an_origin_is_refused(server, bystander):
    with server.client("ana", origin=None) as ana:
        assert ana.wait_for_close() == 4003


def test_a_socket_with_two_origins_is_refused(server, bystander):
    twice = [("Origin", "https://evil.example")]
    assert code_for(server, "ana", headers=twice) in REFUSALS


def test_a_trusted_origin_of_the_site_may_come_in(new_site):
    site = new_site(
        "sqlite", env={"CSRF_TRUSTED_ORIGINS": "https://app.example,https://*.shop.example"}
    )
    for origin in ("https://app.example", "https://eu.shop.example"):
        with site.client("ana", origin=origin) as ana:
            assert ana.hello()["mode"] == "fresh"
    for origin in ("http://app.example", "https://app.example:444", "https://shop.example.evil"):
        with site.client("ana", origin=origin) as ana:
            assert ana.wait_for_close() == 4003


# Where


@pytest.mark.parametrize(
    "path", ["/ws/", "/ws/notifications", "/ws/notifications/x/", "/nothing", "/", "/%ff/"]
)
def test_an_unknown_path_closes_the_socket_and_prints_no_traceback(server, bystander, path):
    url = f"ws://127.0.0.1:{server.port}{path}"
    cookies = server.site.session_of("ana")
    with Client(url, cookies=cookies, origin=server.url) as client:
        assert client.wait_for_close() >= 4000
        assert client.frames == []


def test_a_socket_that_never_speaks_the_protocol_is_let_go(server, bystander):
    """Half a handshake, and rubbish after a whole one."""
    with sockets.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(
            b"GET /ws/notifications/ HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        )
    with server.client("ana") as ana:
        ana.hello()
        with pytest.raises((Closed, OSError)):
            ana.send_rubbish()


def test_a_socket_without_the_subprotocol_is_refused_or_served_but_never_an_error(
    server, bystander
):
    with server.client("ana", subprotocols=()) as ana:
        assert ana.subprotocol is None
        ana.send(HELLO)
        answer = ana.answer()
        assert answer["type"] == "welcome" or answer["code"] in (1002, BAD_FRAME)


def test_the_server_chooses_our_subprotocol_among_others(server, bystander):
    with server.client("ana", subprotocols=("other.v9", "notifications.v1")) as ana:
        assert ana.subprotocol == "notifications.v1"
        ana.hello()


# Time


KINDS = [("sqlite", "runserver"), ("postgres", "uvicorn"), ("postgres", "daphne")]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_who_stays_silent_is_let_go(new_site, redis, name, kind):
    # Time enough for those who do speak, on a machine that is busy with other tests.
    limits = {"NOTIFICATIONS": {"HELLO_TIMEOUT": 2.0, "HEARTBEAT": 1.0}}
    layer = redis if name == "postgres" else None
    site = new_site(name, [kind], redis=layer, settings=limits)

    with site.client("ana") as silent:
        assert silent.wait_for_close() == 4104

    with site.client("ana", acks=False) as deaf:
        deaf.hello()
        assert deaf.wait_for_close() == 4103

    with site.client("ana") as alive:
        assert alive.hello()["heartbeat"] == 1.0
        for _ in range(5):  # more than one who does not answer would live to hear
            alive.wait_for("hb")
    assert "Traceback" not in site.log(), site.log()[-6000:]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_who_does_not_keep_up_or_has_too_many_tabs_meets_a_limit(new_site, redis, name, kind):
    limits = {"NOTIFICATIONS": {"WINDOW": 4, "READ_LIMIT": 5, "SOCKETS_PER_PERSON": 3}}
    layer = redis if name == "postgres" else None
    site = new_site(name, [kind], redis=layer, settings=limits)

    # Who does not acknowledge gets a window full and no more, and the rest when they do.
    with site.client("bo", acks=False) as slow:
        slow.hello()
        titles = [f"Number {number}" for number in range(60)]
        site.call(deeds.send_many, to="bo", titles=titles, in_one=True)
        slow.listen_until(lambda: len(slow.arrived) >= 20, "a window of four times five")
        slow.listen(seconds=0.3)
        assert len([frame for frame in slow.frames if frame["type"] == "items"]) == 4
        assert len(slow.arrived) == 20
        slow.start_acking()
        slow.listen_until(lambda: len(slow.arrived) >= 60, "the rest", 10)
        assert slow.arrived == titles
        assert not slow.gaps

    # Who has too many tabs is told so, also if all came before the first hello.
    tabs = [site.client("ana") for _ in range(5)]
    closed = []
    for tab in tabs:
        try:
            tab.hello()
        except Closed as refused:
            closed.append(refused.code)
    assert closed == [4009, 4009]
    with site.client("jz") as jz:  # and nobody else pays for it
        jz.hello()
    for tab in tabs:
        tab.close()

    def there_is_room() -> bool:
        with site.client("ana") as ana:
            ana.send(HELLO)
            return ana.answer()["type"] == "welcome"

    wait_until(there_is_room, "a closed tab makes room for another")
    assert "Traceback" not in site.log(), site.log()[-6000:]


# Who takes nothing: daphne buffers without a bound, and its `send` never waits


def memory_of(site) -> float:
    """MiB of the server's process."""
    status = Path(f"/proc/{site.server.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def growth(site, before: float) -> float:
    """How much the server has grown at most, until it grows no more."""
    peak, grew, end = before, time.monotonic(), time.monotonic() + 30
    while time.monotonic() < min(grew + 1.5, end):
        if (now := memory_of(site)) > peak + 0.1:
            peak, grew = now, time.monotonic()
        time.sleep(0.05)
    return peak - before


@pytest.fixture
def hoard(new_site):
    """A site on daphne, where bo has 8 MB in the log."""
    site = new_site("sqlite", ["daphne"], settings={"NOTIFICATIONS": {"FRAMES_BURST": 10_000}})
    site.call(deeds.send, to="bo", title="First")
    with site.client("bo") as bo:
        welcome = bo.hello()
    titles = [f"{n}" for n in range(800)]
    site.call(deeds.send_many, to="bo", titles=titles, in_one=True, body="x" * 9_999)
    return site, welcome["cursor"]


def test_who_asks_again_and_again_and_acknowledges_what_they_never_read_costs_little(hoard):
    site, cursor = hoard
    with site.client("bo") as warm:
        warm.hello(cursor)
        warm.listen_until(lambda: len(warm.arrived) >= 800, "all", 30)
    before = memory_of(site)
    with site.client("bo", acks=False) as greedy:
        greedy.send(HELLO | {"cursor": cursor})
        for _ in range(300):  # 36 MB
            greedy.send({"type": "ack"})
            greedy.send({"type": "sync", "cursor": cursor})
        assert growth(site, before) < 10
    assert "Traceback" not in site.log(), site.log()[-6000:]


def test_event_streams_that_are_never_read_cost_little(hoard):
    site, cursor = hoard
    at = "%3B".join([cursor["epoch"], *(f"{k}%3D{v}" for k, v in cursor.items() if k != "epoch")])
    request = (
        f"GET /notifications/events/?cursor={at} HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{site.server.port}\r\nCookie: {site.login('bo')}\r\n\r\n"
    )

    def open_one() -> sockets.socket:
        line = sockets.socket()
        line.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", site.server.port))
        line.sendall(request.encode())
        assert line.recv(15) == b"HTTP/1.1 200 OK"
        return line

    with contextlib.ExitStack() as lines:
        lines.enter_context(open_one())
        growth(site, memory_of(site))
        before = memory_of(site)
        for _ in range(10):
            lines.enter_context(open_one())
        assert (
            growth(site, before) < 10
        )  # 80 MB were asked for; much of it is in the kernel's buffers
