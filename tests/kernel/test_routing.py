"""Where a site mounts us, and what a server that starts with us is told."""

from __future__ import annotations

import asyncio
import gc

import pytest
from asgiref.compatibility import is_double_callable

from notifications.routing import lifespan, websocket
from notifications.stream.garbage import RARER, collect_rarely
from notifications.stream.hub import Hub
from notifications.wire import Close

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def thresholds():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("path", "root", "code"),
    [
        ("/ws/notifications/", "", Close.LOGIN_REQUIRED),
        ("/shop/ws/notifications/", "/shop", Close.LOGIN_REQUIRED),
        ("/ws/notifications/", "/shop", Close.LOGIN_REQUIRED),  # a server that takes it off
        ("/shop/ws/notifications/", "", Close.BAD_FRAME),
        ("/ws/notifications", "", Close.BAD_FRAME),
        ("/ws/notifications/x/", "", Close.BAD_FRAME),
        ("/", "", Close.BAD_FRAME),
    ],
)
def test_the_address_is_ours_and_any_other_is_closed(path, root, code):
    told = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        told.append(message)

    headers = [(b"host", b"testserver"), (b"origin", b"http://testserver")]
    scope = {"type": "websocket", "path": path, "root_path": root, "headers": headers}

    async def visit():
        await websocket({**scope, "scheme": "ws"}, receive, send)
        if (hub := Hub.running()) is not None:
            await hub.aclose()

    asyncio.run(visit())
    assert [message["type"] for message in told] == ["websocket.accept", "websocket.close"]
    assert told[-1]["code"] == code


def test_it_is_one_application_to_whoever_asks_what_it_is():
    assert not is_double_callable(websocket)


def test_a_server_that_starts_collects_rarely_and_has_its_hub(thresholds):
    gc.set_threshold(700, 10, 10)
    said = iter(["startup", "shutdown"])
    told = []

    async def receive():
        word = next(said)
        if word == "shutdown":
            assert Hub.running() is not None
            assert gc.get_threshold() == (700, 10, RARER)
        return {"type": f"lifespan.{word}"}

    async def send(message):
        told.append(message["type"])

    async def serve():
        await lifespan({"type": "lifespan"}, receive, send)
        assert Hub.running() is None

    asyncio.run(serve())
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_full_collections_are_rarer_unless_the_site_has_chosen(thresholds):
    gc.set_threshold(700, 10, 10)
    collect_rarely()
    assert gc.get_threshold() == (700, 10, RARER)
    gc.set_threshold(5_000, 20, 30)
    collect_rarely()
    assert gc.get_threshold() == (5_000, 20, 30)
