"""The same news over HTTP: an event stream and a poll, on every server and under WSGI."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import time
from urllib.parse import quote, urlsplit

import pytest

from tests.conftest import one_site
from tests.live import deeds
from tests.live.http import Visitor
from tests.live.process import Process, free_port
from tests.live.server import ROOT

EVENTS, POLL = "/notifications/events/", "/notifications/poll/"


class EventSource:
    """What a browser does with an event stream: ids, events, and coming back with the last id."""

    def __init__(self, url, cookies, last_id=None, query=""):
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        if last_id:
            headers["Last-Event-ID"] = last_id
        self._connection.request("GET", EVENTS + query, headers=headers)
        self.response = self._connection.getresponse()
        self.last_id = last_id

    def next(self):
        """The next event: ("message", frame) or ("close", code); None at the end."""
        event, data = "message", None
        while line := self.response.readline().decode():
            field, _colon, value = line.rstrip("\n").partition(": ")
            if field == "event":
                event = value
            elif field == "id":
                self.last_id = value
            elif field == "data":
                data = json.loads(value)
            elif not line.strip() and data is not None:
                return event, data
        return None

    def frame(self, kind):
        """The next frame of a kind; heartbeats and counts may come in between."""
        while (event := self.next()) is not None:
            if event[0] == "message" and event[1]["type"] == kind:
                return event[1]
        raise AssertionError(f"the stream ended without {kind}")

    def close(self):
        self._connection.close()


def titles(frames):
    return [
        item["notification"]["title"]
        for frame in frames
        if frame["type"] == "items"
        for item in frame["items"]
        if item["op"] == "created"
    ]


def text_of(cursor):
    pairs = [f"{name}={seq}" for name, seq in cursor.items() if name != "epoch"]
    return ";".join([cursor["epoch"], *pairs])


def polled(visitor, cursor=None):
    query = f"?cursor={quote(text_of(cursor))}" if cursor else ""
    page = visitor.get(POLL + query)
    assert page.status == 200, page.text
    return page.json()["frames"]


# --- The event stream -------------------------------------------------------------------


def test_an_event_stream_brings_news_at_once_and_goes_on_from_its_last_id(server):
    site = server.site
    source = EventSource(server.url, site.session_of("ana"))
    assert source.response.headers["Content-Type"] == "text/event-stream"
    assert source.response.headers["Cache-Control"] == "no-store"
    assert source.frame("welcome")["mode"] == "fresh"
    site.call(deeds.send, to="ana", title="First")
    assert titles([source.frame("items")]) == ["First"]
    last_id = source.last_id
    source.close()
    site.call(deeds.send_many, to="ana", titles=["Second", "Third"])
    site.call(deeds.send, to="jz", title="Not hers")
    again = EventSource(server.url, site.session_of("ana"), last_id)
    assert again.frame("welcome")["mode"] == "resume"
    assert titles([again.frame("items")]) == ["Second", "Third"]
    again.close()


def test_what_is_done_elsewhere_shows_in_the_stream(server):
    site = server.site
    id = site.call(deeds.send, to="ana", title="Read me")
    source = EventSource(server.url, site.session_of("ana"))
    source.frame("welcome")
    with server.client("ana") as ana:
        ana.hello()
        assert ana.do("read", ids=[id])["ok"]
    assert source.frame("items")["items"] == [{"op": "read", "seq": 2, "ids": [id]}]
    assert source.frame("counts")["unread"] == 0
    source.close()


def test_a_stream_ends_after_its_time(new_site):
    site = new_site("sqlite", settings={"NOTIFICATIONS": {"FEED_LIFETIME": 3}})
    source = EventSource(site.url, site.session_of("ana"))
    source.frame("welcome")
    while source.next() is not None:
        pass


@one_site
def test_a_stream_says_when_the_session_ends(site):
    visitor = site.visitor("bo")
    source = EventSource(site.url, visitor.cookies)
    source.frame("welcome")
    visitor.post("/accounts/logout/")
    *_, last = iter(source.next, None)
    assert last == ("close", 4008)


def test_a_reader_that_goes_away_leaves_nothing_behind(server):
    site = server.site
    sources = [EventSource(server.url, site.session_of("ana")) for _ in range(20)]
    for source in sources:
        source.frame("welcome")
        source._connection.sock.shutdown(socket.SHUT_RDWR)
        source.close()
    # Fifty is the limit for one person: were they still counted, this would be refused.
    for _ in range(2):
        again = [EventSource(server.url, site.session_of("ana")) for _ in range(20)]
        for source in again:
            assert source.frame("welcome")
            source.close()


# --- The poll ---------------------------------------------------------------------------


def test_a_poll_without_a_cursor_begins_and_one_with_it_goes_on(server):
    site = server.site
    visitor = server.visitor("ana")
    site.call(deeds.send, to="ana", title="Before")
    (welcome,) = polled(visitor)
    assert (welcome["mode"], welcome["counts"]["unread"]) == ("fresh", 1)
    site.call(deeds.send_many, to="ana", titles=["One", "Two"])
    frames = polled(visitor, welcome["cursor"])
    assert frames[0]["mode"] == "resume"
    assert titles(frames) == ["One", "Two"]
    again = polled(visitor, welcome["cursor"])
    assert titles(again) == ["One", "Two"]  # asking twice is harmless


def test_a_poll_waits_for_news(server):
    site = server.site
    visitor = server.visitor("ana")
    (welcome,) = polled(visitor)
    answer = []
    thread = threading.Thread(target=lambda: answer.extend(polled(visitor, welcome["cursor"])))
    thread.start()
    time.sleep(0.5)  # it has nothing to say, so it must still be waiting
    assert thread.is_alive()
    site.call(deeds.send, to="ana", title="At last")
    thread.join(30)
    assert titles(answer) == ["At last"]


def test_a_client_may_change_between_the_ways_in_mid_stream(server):
    site = server.site
    visitor = server.visitor("ana")
    (welcome,) = polled(visitor)
    site.call(deeds.send, to="ana", title="By poll")
    frames = polled(visitor, welcome["cursor"])
    cursor = welcome["cursor"] | {"user": frames[-1]["seq"]}
    site.call(deeds.send, to="ana", title="By socket")
    with server.client("ana") as ana:
        assert ana.hello(cursor)["mode"] == "resume"
        ana.listen_until(lambda: ana.arrived == ["By socket"], "what came since the poll")
        cursor = ana.cursor
    site.call(deeds.send, to="ana", title="By stream")
    source = EventSource(server.url, visitor.cookies, text_of(cursor))
    assert titles([source.frame("items")]) == ["By stream"]
    source.close()


@pytest.mark.parametrize("path", [EVENTS, POLL])
def test_who_is_not_logged_in_or_asks_nonsense_gets_an_answer_that_says_so(server, path):
    anonymous = server.visitor().get(path)
    assert (anonymous.status, anonymous.json()["error"]["code"]) == (401, "login_required")
    stale = Visitor(server.url, {"sessionid": "x" * 32}).get(path)
    assert stale.status == 401
    visitor = server.visitor("ana")
    for cursor in (";", "k3;user=-1", "k3;user=" + "9" * 5_000):
        refused = visitor.get(f"{path}?cursor={cursor}")
        assert (refused.status, refused.json()["error"]["code"]) == (400, "bad_cursor")
    assert visitor.post(path).status == 405


def test_an_outsider_with_somebodys_cursor_gets_a_reset_and_nothing_of_theirs(server):
    site = server.site
    (welcome,) = polled(server.visitor("ana"))
    site.call(deeds.send, to="ana", title="Private")
    frames = polled(server.visitor("jz"), welcome["cursor"])
    assert [frame["type"] for frame in frames] == ["welcome"]
    assert frames[0]["mode"] == "reset"
    assert "Private" not in json.dumps(frames)


# --- Under WSGI -------------------------------------------------------------------------


@pytest.fixture
def wsgi(new_site):
    """A site whose pages are served by a plain WSGI server."""
    site = new_site("sqlite")
    port = free_port()
    code = (
        "import sys; from wsgiref.simple_server import make_server; "
        "from project.wsgi import application; "
        f"make_server('127.0.0.1', {port}, application).serve_forever()"
    )
    process = Process(
        [sys.executable, "-c", code], site.folder / f"wsgi-{port}.log", env=site.env, cwd=ROOT
    )
    process.wait_for_port(port)
    yield site, f"http://127.0.0.1:{port}"
    process.stop()


def test_under_wsgi_a_poll_answers_at_once_and_a_stream_says_that_it_cannot(wsgi):
    site, url = wsgi
    visitor = Visitor(url, site.session_of("ana"))
    (welcome,) = polled(visitor)
    start = time.monotonic()
    assert titles(polled(visitor, welcome["cursor"])) == []
    assert time.monotonic() - start < 5
    site.call(deeds.send_many, to="ana", titles=["One", "Two"])
    assert titles(polled(visitor, welcome["cursor"])) == ["One", "Two"]
    assert visitor.get(EVENTS).status == 503
    assert Visitor(url).get(POLL).status == 401
