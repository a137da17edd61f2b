"""Every limit of docs/limits.md, on real servers: just below it works, above it ends as told."""

from __future__ import annotations

import contextlib
import json
import re
import time

import pytest

from notifications.conf import Conf
from notifications.models import Notification
from notifications.wire import Close
from tests.live import deeds
from tests.live.server import ROOT
from tests.live.socket import Client, Closed

TABLE = (ROOT / "docs" / "limits.md").read_text()
BEAT = 4.0
"""Seconds: soon, but not before a busy machine has opened a few sockets."""


def ends_with(client: Client, timeout: float = 15) -> int:
    return client.wait_for_close(timeout)


def test_the_table_names_settings_that_exist_with_their_defaults():
    defaults = {name.upper(): field.default for name, field in Conf.__dataclass_fields__.items()}
    named = set(re.findall(r"`([A-Z_]{5,})`", TABLE)) - {"NOTIFICATIONS"}
    assert named <= set(defaults), "the table names settings that do not exist"
    limits = {
        "FRAME_BYTES",
        "FRAMES_PER_SECOND",
        "FRAMES_BURST",
        "HELLO_TIMEOUT",
        "HEARTBEAT",
        "LIFETIME",
        "SOCKETS_PER_PERSON",
        "SOCKETS_PER_PROCESS",
        "IDS_LIMIT",
        "WINDOW",
        "READ_LIMIT",
        "FEED_FRAMES",
        "FEED_LIFETIME",
        "POLL_WAIT",
        "KEEP_DAYS",
        "KEEP_ENTRIES",
    }
    assert named >= limits
    for row in TABLE.splitlines():
        cells = [cell.strip() for cell in row.split("|")]
        for place, name in enumerate(
            re.findall(r"`([A-Z_]{5,})`", cells[2] if row[:1] == "|" else "")
        ):
            numbers = [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", cells[3])]
            expected = {"LIFETIME": 1, "FEED_LIFETIME": 5, "HEARTBEAT": 25}.get(
                name, int(defaults[name])
            )
            assert expected in numbers, f"{name} is {defaults[name]}, not {cells[3]} ({place})"
    for code in re.findall(r"\b4[01]\d\d\b", TABLE):
        Close(int(code))


def test_a_frame_may_be_as_large_as_frame_bytes_and_no_larger(server):
    frame = {"type": "ping", "padding": ""}
    room = Conf.frame_bytes - len(json.dumps(frame))
    with server.client("ana") as ana:
        ana.hello()
        ana.send(frame | {"padding": "x" * room})
        ana.wait_for("pong")
        ana.send(frame | {"padding": "x" * (room + 1)})
        assert ends_with(ana) == Close.BAD_FRAME


def test_a_frame_is_measured_in_bytes_and_not_in_characters(server):
    with server.client("ana") as ana:
        ana.hello()
        ana.send_raw('{"type":"ping","padding":"' + "\u20ac" * 12_000 + '"}')
        assert ends_with(ana) == Close.BAD_FRAME


def test_a_body_may_be_as_large_as_frame_bytes_and_no_larger(server):
    ana = server.visitor("ana")
    do = {"id": "1", "action": "seen", "ids": [], "padding": ""}
    room = Conf.frame_bytes - len(json.dumps(do))
    path = "/notifications/do/"
    assert ana.post_json(path, do | {"padding": "x" * room}).status == 200
    page = ana.post_json(path, do | {"padding": "x" * (room + 1)})
    assert (page.status, page.json()["error"]["code"]) == (413, "too_large")


def test_a_body_without_a_length_is_measured_too(server):
    ana = server.visitor("ana")
    page = ana.post_chunked("/notifications/do/", [b'{"action":"seen","padding":"', b"x" * 40_000])
    assert page.status == 413


def test_a_socket_that_sends_too_many_frames_is_sent_away_and_may_come_back(server):
    with server.client("ana") as ana:
        ana.hello()
        for _ in range(Conf.frames_burst // 2):
            ana.send({"type": "ping"})
        for _ in range(Conf.frames_burst // 2):
            ana.wait_for("pong")
        with pytest.raises(Closed) as closed:
            for _ in range(Conf.frames_burst * 20):
                ana.send({"type": "ping"})
            ana.listen(10)
        assert closed.value.code == Close.OVER_CAPACITY
        assert len([frame for frame in ana.frames if frame["type"] == "pong"]) < 600
    with server.client("ana") as again:
        assert again.hello(ana.cursor)["mode"] == "resume"


@pytest.fixture(params=[("sqlite", "runserver"), ("postgres", "uvicorn"), ("postgres", "daphne")])
def narrow(request, new_site, redis):
    """A site where everything ends soon."""
    name, kind = request.param
    tight = {
        "HELLO_TIMEOUT": BEAT,
        "HEARTBEAT": BEAT,
        "SOCKETS_PER_PERSON": 2,
        "SOCKETS_PER_PROCESS": 4,
        "WINDOW": 4,
        "READ_LIMIT": 3,
        "IDS_LIMIT": 5,
        "FEED_FRAMES": 3,
        "POLL_WAIT": 0.5,
    }
    options = {"redis": redis} if name == "postgres" else {}
    return new_site(name, [kind], settings={"NOTIFICATIONS": tight}, **options)


def test_what_is_too_slow_too_many_or_too_long_ends_as_told(narrow):
    site = narrow
    with site.client("ana") as silent:
        assert ends_with(silent) == Close.NO_HELLO
    with site.client("ana", acks=False) as deaf:
        deaf.hello()
        start = time.monotonic()
        assert ends_with(deaf, 30) == Close.HEARTBEAT_LOST
        assert time.monotonic() - start < 3 * BEAT + 7  # the third finds two unanswered
    with contextlib.ExitStack() as lines:
        here: list[Client] = []

        def there(name: str) -> Client:
            here.append(lines.enter_context(site.client(name)))
            here[-1].hello()
            for one in here:  # who does not listen answers no heartbeat
                one.settle()
            return here[-1]

        one, two = there("ana"), there("ana")
        with site.client("ana") as three:
            assert ends_with(three) == Close.TOO_MANY_TABS
        page = site.visitor("ana").get("/notifications/poll/")
        assert page.status == 429
        there("bo")
        there("dana")
        with site.client("jz") as fifth:
            assert ends_with(fifth) == Close.OVER_CAPACITY
        assert site.visitor("jz").get("/notifications/poll/").status == 503
        done = one.do("read", ids=[1])  # it is not here, and that is all
        assert done["error"]["code"] == "not_yours"
        two.send({"type": "do", "id": "1", "action": "read", "ids": [1, 2, 3, 4, 5, 6]})
        assert ends_with(two) == Close.BAD_FRAME
    wrong = {"action": "read", "ids": [1, 2, 3, 4, 5, 6]}
    assert site.visitor("ana").post_json("/notifications/do/", wrong).status == 400


def test_a_window_that_is_full_and_a_reading_that_is_long_come_bit_by_bit(narrow):
    site = narrow
    with site.client("ana") as ana:
        cursor = ana.hello()["cursor"]
    site.call(deeds.send_many, to="ana", titles=[f"N{n}" for n in range(30)])
    with site.client("ana", acks=False) as ana:
        ana.hello(cursor)

        def frames():
            return [frame for frame in ana.frames if frame["type"] == "items"]

        ana.listen_until(lambda: len(frames()) == 4, "as much as the window has room for", 8)
        ana.listen(0.8)
        assert len(frames()) == 4
        assert all(len(frame["items"]) <= 3 for frame in frames())  # the limit of a reading
    with site.client("ana") as ana:
        ana.hello(cursor)
        ana.listen_until(lambda: len(ana.arrived) == 30, "all of them", 15)
        assert not ana.twice


@pytest.mark.parametrize("field", ["tab", "lang"])
def test_words_of_a_hello_have_an_end(server, field):
    with server.client("ana") as ana:
        ana.hello(**{field: "x" * 100})
    with server.client("ana") as ana:
        ana.send({"type": "hello", "cursor": None, "tab": "t", "lang": "en"} | {field: "x" * 101})
        assert ends_with(ana) == Close.BAD_FRAME


def test_the_id_of_an_action_has_an_end(server):
    with server.client("ana") as ana:
        ana.hello()
        ana.send({"type": "do", "id": "x" * 64, "action": "seen", "ids": []})
        assert ana.wait_for("done")["ok"]
        ana.send({"type": "do", "id": "x" * 65, "action": "seen", "ids": []})
        assert ends_with(ana) == Close.BAD_FRAME


def test_the_table_tells_the_lengths_that_a_notification_may_have():
    row = next(line for line in TABLE.splitlines() if line.startswith("| title, body"))
    lengths = (Notification.TITLE_LENGTH, Notification.BODY_LENGTH, Notification.URL_LENGTH)
    assert f"{lengths[0]:,}, {lengths[1]:,}, {lengths[2]:,} and 10,000" in row
