"""The same frames over HTTP, where WebSockets are blocked: an event stream, and a poll.

`GET events/` is Server-Sent Events, each with the whole cursor as its id. `GET poll/` answers
with what came since the cursor, and waits for it under ASGI. In both, asking again with the
cursor is the acknowledgement.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.utils import translation
from django.views.decorators.http import require_safe

from . import wire
from .audiences import authenticate
from .conf import conf
from .consumers import the_hub
from .errors import BadCursor
from .inbox import LOCK_PATIENCE
from .notices import render
from .stream.read import Subscription, greet, write_runs
from .stream.socket import Socket
from .wire import Close, Cursor

QUEUE = 8
"""Frames that wait for a slow reader before its feed is merely behind."""
FEED_BYTES = 512 * 1024
"""After which an event stream ends: daphne takes what it is given, also if nobody reads it."""

STATUS = {
    Close.ACCOUNT_DISABLED: 403,
    Close.TOO_MANY_TABS: 429,
    Close.OVER_CAPACITY: 503,
    Close.SERVER_ERROR: 503,
    Close.DRAINING: 503,
}
"""What a close code is over HTTP; 401 for all others, which speak of the login."""


class Feed(Socket):
    """A socket whose frames are taken from a short queue, by the response that sends them."""

    __slots__ = ("queue",)

    transport = "events"

    def __init__(self, subscription: Subscription, session_key: str) -> None:
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(QUEUE)
        super().__init__(subscription, self.queue.put, session_key)
        self.window = conf.feed_frames
        self.window_bytes = sys.maxsize  # the queue is the bound

    def write(self, text: str) -> None:
        self._step({"type": "websocket.send", "text": text, "id": str(self.cursor())})

    def write_heartbeat(self, text: str) -> None:
        """It shows that the line is alive. Nobody can answer; who does not read fills the queue."""
        self.missed = 0
        self._heard = time.monotonic()
        self.write(text)

    def taken(self) -> list[dict[str, Any]]:
        """All that is in the queue. What waits to get into it does so, then."""
        taken = []
        while not self.queue.empty():
            taken.append(self.queue.get_nowait())
        return taken


class Poll(Feed):
    """A feed for one answer."""

    __slots__ = ()

    transport = "poll"

    def write_heartbeat(self, text: str) -> None:
        """An answer has a time limit of its own."""


@require_safe
async def events(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Server-Sent Events. Ends after a while; the browser opens it again by itself."""
    if not isinstance(request, ASGIRequest):
        return refusal(Close.OVER_CAPACITY, "an event stream needs ASGI; poll instead.")
    opened = await _open(request, Feed)
    if isinstance(opened, HttpResponse):
        return opened
    feed, cursor = opened
    return StreamingHttpResponse(
        _events(feed, cursor),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@require_safe
async def poll(request: HttpRequest) -> HttpResponse:
    """What came since the cursor, as `{"frames": [...]}`.

    Under ASGI it waits for something to come, unless `?wait=0`.
    """
    if not isinstance(request, ASGIRequest):
        return await sync_to_async(_poll_now)(request)
    opened = await _open(request, Poll)
    if isinstance(opened, HttpResponse):
        return opened
    feed, cursor = opened
    hub = the_hub()
    code = hub.admit(feed)
    if code is not None:
        return refusal(code)
    messages = []
    try:
        await hub.attach(feed)
        mode = await hub.greet(feed, cursor)
        messages = feed.taken()
        # A welcome and no news. A client that only wants to know whether it gets through waits not.
        if mode == "resume" and len(messages) == 1 and request.GET.get("wait") != "0":
            async with asyncio.timeout(conf.poll_wait):
                messages.append(await feed.queue.get())
            messages += feed.taken()
    except TimeoutError:
        pass
    except (DatabaseError, InterfaceError):
        return refusal(Close.SERVER_ERROR)
    finally:
        hub.detach(feed)
        feed.taken()  # else what waits for room in the queue waits for ever
    for message in messages:
        if message["type"] == "websocket.close":
            return refusal(Close(message["code"]))
    return _frames(message["text"] for message in messages)


async def _open(
    request: HttpRequest, kind: type[Feed]
) -> tuple[Feed, Cursor | None] | HttpResponse:
    """The feed of who is logged in and where it begins, or the answer that refuses it."""
    try:
        cursor = asked_cursor(request)
    except BadCursor as error:
        return _error(400, error.code, str(error))
    key = request.session.session_key
    if key is None:
        return refusal(Close.LOGIN_REQUIRED)
    try:
        found = await the_hub().authenticate(key)
    except (DatabaseError, InterfaceError):
        return refusal(Close.SERVER_ERROR)
    if isinstance(found, Close):
        return refusal(found)
    feed = kind(found, key)
    feed.language = asked_language(request)
    return feed, cursor


async def _events(feed: Feed, cursor: Cursor | None) -> AsyncIterator[str]:
    hub = the_hub()
    code = hub.admit(feed)
    if code is not None:
        yield f"event: close\ndata: {int(code)}\n\n"
        return
    try:
        yield f"retry: {RETRY}\n\n"
        await hub.attach(feed)
        await hub.greet(feed, cursor)
        end = time.monotonic() + conf.feed_lifetime
        room = FEED_BYTES
        for _ in range(conf.feed_frames):
            async with asyncio.timeout(end - time.monotonic()):
                message = await feed.queue.get()
            if message["type"] == "websocket.close":
                yield f"event: close\ndata: {message['code']}\n\n"
                return
            yield f"id: {message['id']}\ndata: {message['text']}\n\n"
            room -= len(message["text"].encode())
            if room < 0:
                return
    except TimeoutError:
        pass
    except (DatabaseError, InterfaceError):
        yield f"event: close\ndata: {int(Close.SERVER_ERROR)}\n\n"
    finally:
        hub.detach(feed)
        feed.taken()  # else what waits for room in the queue waits for ever


RETRY = 1_000
"""Milliseconds after which a browser opens an ended stream again."""


def _poll_now(request: HttpRequest) -> HttpResponse:
    """A poll that cannot wait: a thread of a WSGI server is dear."""
    try:
        cursor = asked_cursor(request)
    except BadCursor as error:
        return _error(400, error.code, str(error))
    key = request.session.session_key
    found = authenticate([key])[key] if key is not None else Close.LOGIN_REQUIRED
    if isinstance(found, Close):
        return refusal(found)
    greeting = greet(found, cursor, conf.read_limit, patience=LOCK_PATIENCE)
    items = write_runs(greeting.reading.runs, found.key, asked_language(request), render)
    return _frames([greeting.text, *(text for _run, text in items)])


def _frames(texts: Any) -> HttpResponse:
    return HttpResponse(
        '{"frames":[' + ",".join(texts) + "]}",
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def asked_cursor(request: HttpRequest) -> Cursor | None:
    """The cursor of `Last-Event-ID`, which a browser sends when it comes back, or `?cursor=`."""
    text = request.headers.get("Last-Event-ID") or request.GET.get("cursor")
    return Cursor.parse(text) if text else None


def asked_language(request: HttpRequest) -> str:
    asked = request.GET.get("lang", "")
    return asked if asked in conf.languages else translation.get_language() or conf.language


def refusal(code: Close, detail: str = "") -> JsonResponse:
    """A close code as an answer over HTTP."""
    return _error(STATUS.get(code, 401), code.name.lower(), detail or wire.CLOSE_TEXTS[code])


def _error(status: int, code: str, detail: str) -> JsonResponse:
    answer = JsonResponse({"error": {"code": code, "detail": detail}}, status=status)
    answer["Cache-Control"] = "no-store"
    if status in (429, 503):
        answer["Retry-After"] = "5"
    return answer
