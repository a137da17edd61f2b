"""A hundred thousand frames and bodies that nobody means well with: only documented answers.

Here they meet the decoder, the consumer and the view in this process; tests/test_fuzz_live.py
sends thousands more to real servers.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
from collections import Counter

import pytest
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications import Everyone, alert, broadcast, inbox_of, notify
from notifications.conf import conf
from notifications.consumers import NotificationConsumer
from notifications.errors import BadRequest
from notifications.stream.hub import Hub
from notifications.wire import Close, Cursor, Do, Hello, decode, do_of, epoch_of, loads
from tests.fuzz import Fuzz
from tests.live import deeds

CALM = settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
BATCH = 500

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
hypothetical = st.fixed_dictionaries(
    {"type": st.sampled_from(["hello", "ack", "sync", "ping", "do"]) | json_values},
    optional=dict.fromkeys(
        ("cursor", "tab", "lang", "id", "action", "ids", "upto", "padding"), json_values
    ),
)


def decoded(text: str) -> str:
    """What the decoder made of it, in a word."""
    try:
        return type(decode(text)).__name__
    except BadRequest as error:
        return error.code


@given(seeds=st.integers(0, 2**32))
@settings(CALM, max_examples=140)
def fuzz_the_decoder(seen: Counter[str], seeds: int) -> None:
    fuzz = Fuzz(random.Random(seeds))
    seen.update(decoded(fuzz.frame()) for _ in range(BATCH))


def test_seventy_thousand_frames_are_frames_or_bad_frames_and_nothing_stays_of_them():
    seen: Counter[str] = Counter()
    gc.collect()
    before = len(gc.get_objects())
    fuzz_the_decoder(seen)
    gc.collect()
    assert sum(seen.values()) >= 70_000
    assert set(seen) == {"Hello", "Ack", "Sync", "Ping", "Do", "bad_frame", "bad_cursor"}
    assert min(seen.values()) > 500, seen  # each was well tried
    assert len(gc.get_objects()) - before < 20_000


@given(value=hypothetical | json_values, text=st.text(max_size=60))
@settings(CALM, max_examples=800)
def test_frames_that_hypothesis_thinks_of_are_frames_or_bad_frames(value, text):
    decoded(json.dumps(value))
    decoded(text)


@given(given=st.text(max_size=60) | json_values)
@settings(CALM, max_examples=800)
def test_a_cursor_is_refused_or_comes_back_as_the_same(given):
    try:
        cursor = Cursor.parse(given)
    except BadRequest:
        return
    assert Cursor.parse(str(cursor)) == cursor
    assert Cursor.parse(json.loads(json.dumps(cursor.as_json()))) == cursor


@given(seeds=st.integers(0, 2**32))
@settings(CALM, max_examples=50)
def fuzz_the_body(seen: Counter[str], seeds: int) -> None:
    fuzz = Fuzz(random.Random(seeds))
    for _ in range(BATCH):
        try:
            assert isinstance(do_of(loads(fuzz.body())), Do)
            seen["do"] += 1
        except BadRequest as error:
            seen[error.code] += 1


def test_twenty_five_thousand_bodies_are_actions_or_bad_ones():
    seen: Counter[str] = Counter()
    fuzz_the_body(seen)
    assert sum(seen.values()) >= 25_000
    assert set(seen) == {"do", "bad_frame", "bad_cursor"}


# --- The consumer and the view ----------------------------------------------------------


@pytest.fixture
def complaints(caplog):
    """Whatever is logged as an error, or with a traceback."""
    caplog.set_level(logging.INFO)
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.ERROR or record.exc_info
    ]


@pytest.fixture
def ana(transactional_db):
    ana = User.objects.create_user("ana")
    for n in range(12):
        notify(ana, f"{n}")
        broadcast(Everyone(), f"All {n}")
    inbox_of(ana).number()
    return ana


class Line:
    """The server's side of one connection: it holds what is sent to it."""

    def __init__(self, cookie: str, frames: list[str | bytes]) -> None:
        self.scope = {
            "type": "websocket",
            "path": "/ws/notifications/",
            "subprotocols": ["notifications.v1"],
            "scheme": "ws",
            "headers": [
                (b"host", b"127.0.0.1"),
                (b"origin", b"http://127.0.0.1"),
                (b"cookie", cookie.encode()),
            ],
        }
        self.frames = frames[::-1]
        self.taken = 0
        self.told: list[dict] = []
        self.code: int | None = None
        self._began = False

    async def receive(self):
        if not self._began:
            self._began = True
            return {"type": "websocket.connect"}
        await asyncio.sleep(0)
        if self.code is not None or not self.frames:
            return {"type": "websocket.disconnect", "code": self.code or 1001}
        self.taken += 1
        frame = self.frames.pop()
        return {"type": "websocket.receive", "bytes" if isinstance(frame, bytes) else "text": frame}

    async def send(self, message):
        assert self.code is None, f"something was sent after the close: {message}"
        if message["type"] == "websocket.close":
            self.code = message["code"]
        elif message["type"] == "websocket.send":
            self.told.append(json.loads(message["text"]))


ANSWERS = {"welcome", "items", "counts", "hb", "pong", "done", "reset"}
ERRORS = {"unknown_action", "not_yours", "bad_cursor", "bad_frame"}
OF_ALERTS = {"forbidden", "unknown_alert", "already"}


@pytest.mark.timeout(300)
def test_thousands_of_frames_through_the_consumer_get_documented_answers_only(
    ana, settings, complaints
):
    settings.NOTIFICATIONS = {"FRAMES_BURST": 1_000_000}
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    User.objects.create_superuser("dana")  # an operator, with an alert to act on
    alert("gateway-down", "Timeouts", level="critical", source="payments")
    name, anas = deeds.log_in("ana")
    _name, danas = deeds.log_in("dana")
    epoch = inbox_of(ana).counts().at.epoch
    seen: Counter[str] = Counter()
    frames = 0

    async def visit(number: int) -> None:
        nonlocal frames
        fuzz = Fuzz(random.Random(number), (epoch, epoch, epoch, "k3"))
        script: list[str | bytes] = [fuzz.text(fuzz.hello()) if number % 8 else fuzz.frame()]
        script += [fuzz.text(fuzz.good()) for _ in range(25)]
        if number % 3:
            script.insert(number % 20 + 1, fuzz.frame())
        if number % 50 == 0:
            script.insert(3, b"\x00bytes")
        line = Line(f"{name}={anas if number % 5 else danas}", script)
        await NotificationConsumer()(line.scope, line.receive, line.send)
        frames += line.taken
        assert line.code is None or Close(line.code) is Close.BAD_FRAME, line.code
        seen[str(line.code)] += 1
        for frame in line.told:
            assert frame["type"] in ANSWERS
            seen[frame["type"]] += 1
            if frame["type"] == "done" and not frame["ok"]:
                assert frame["error"]["code"] in ERRORS | OF_ALERTS, frame
                seen[frame["error"]["code"]] += 1

    async def visits() -> None:
        await visit(1)
        hub = Hub.running()
        assert hub is not None
        before = len(asyncio.all_tasks())
        for start in range(0, 250, 10):
            await asyncio.gather(*(visit(number) for number in range(start, start + 10)))
        async with asyncio.timeout(60):  # what was begun for them comes to its end
            while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 (any task)
                await asyncio.sleep(0.05)
        assert (hub.sockets, hub.people, hub.streams) == ({}, {}, {})
        assert not any(hub._slots)
        assert hub.stats["errors"] == 0
        await hub.aclose()

    asyncio.run(visits())
    assert frames > 2_500
    assert min(seen["4002"], seen["None"]) > 40
    assert {"welcome", "items", "done", "pong", "reset", *ERRORS, "forbidden"} <= set(seen), seen
    assert complaints() == []


@pytest.mark.timeout(300)
def test_a_thousand_bodies_through_the_view_get_documented_answers_only(ana, complaints):
    client = Client(raise_request_exception=True, enforce_csrf_checks=True)
    client.force_login(ana)
    client.cookies["csrftoken"] = token = "c" * 32
    kinds = ["application/json"] * 5 + [
        "application/x-www-form-urlencoded",
        "text/plain; charset=utf-16",
        "",
    ]
    fuzz = Fuzz(random.Random(5), (epoch_of(ana.pk, 1), inbox_of(ana).counts().at.epoch))
    seen: Counter[int] = Counter()
    for _ in range(1_000):
        kind = fuzz.chance.choice(kinds)
        answer = client.generic(
            "POST", "/notifications/do/", fuzz.body(), kind, headers={"X-CSRFToken": token}
        )
        told = json.loads(answer.content)
        seen[answer.status_code] += 1
        if answer.status_code == 200:
            assert told["ok"] is True
        else:
            assert told["ok"] is False
            assert told["error"]["code"] in ERRORS | {"too_large", "forbidden"}
            assert len(answer.content) < 2_000
    assert set(seen) - {413} == {200, 400, 403, 404}, seen
    assert [
        one for one in complaints() if not one.startswith(("Bad Request", "Not Found", "Forbidden"))
    ] == []


def test_an_action_in_the_clothes_of_a_form_is_a_bad_frame(ana, complaints):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ana)
    client.cookies["csrftoken"] = token = "c" * 32
    answer = client.post(  # Django has read it all before the view does
        "/notifications/do/", {"action": "seen"}, headers={"X-CSRFToken": token}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_frame")


@pytest.mark.timeout(300)
def test_hundreds_of_odd_addresses_of_the_list_and_the_poll_get_documented_answers_only(
    ana, complaints
):
    client = Client(raise_request_exception=True)
    client.force_login(ana)
    fuzz = Fuzz(random.Random(6), (inbox_of(ana).counts().at.epoch,))
    seen: Counter[int] = Counter()
    for number in range(400):
        path = ("list/", "poll/")[number % 2]
        query = {
            fuzz.sendable(fuzz.chance.choice(["view", "before", "cursor", "lang", fuzz.word()])): (
                fuzz.sendable(
                    str(fuzz.chance.choice([fuzz.value(), fuzz.cursor(), "unread", "1-1"]))
                )
            )
            for _ in range(fuzz.chance.randint(0, 3))
        }
        answer = client.get(f"/notifications/{path}", query)
        seen[answer.status_code] += 1
        assert answer.status_code in (200, 400), answer.content
        assert isinstance(json.loads(answer.content), dict)
    assert min(seen[200], seen[400]) > 20
    assert [one for one in complaints() if "Bad Request" not in one] == []


def test_the_fuzz_is_hostile_enough_to_find_a_decoder_that_trusts():
    """The machine itself is tried: it must break a decoder with one check less."""
    broken = Counter[str]()
    for number in range(3_000):
        text = Fuzz(random.Random(number)).frame()
        try:
            frame = json.loads(text)
            assert isinstance(frame["type"], str)
            Hello(Cursor.parse(frame["cursor"]), frame["tab"], frame["lang"])
        except BadRequest:
            continue
        except Exception as error:
            broken[type(error).__name__] += 1
    assert set(broken) >= {"KeyError", "TypeError", "AssertionError", "JSONDecodeError"}
    assert conf.frame_bytes < 100_000
