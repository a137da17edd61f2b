"""The outsider on real servers: the event stream, the poll and the socket, with others' cursors."""

from __future__ import annotations

import http.client
import json
from urllib.parse import quote, urlsplit

from tests.live import deeds
from tests.live.http import Visitor

SECRET = "not for jz"


def heard_by_events(server, cookies, cursor, seconds=1.0):
    """What an event stream says: its welcome, and what follows that within a while."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    connection.request("GET", f"/notifications/events/?cursor={quote(cursor)}", headers=headers)
    line = connection.sock
    response = connection.getresponse()
    text = b""
    try:
        while piece := response.read1(65_536):
            text += piece
            if b'"welcome"' in text:
                line.settimeout(seconds)
    except TimeoutError:
        pass
    finally:
        connection.close()
    return text.decode()


def test_anothers_cursor_opens_nothing_by_any_transport(server):
    site = server.site
    site.call(deeds.join_group, username="ana", group="editors-only")
    with server.client("ana") as ana:
        before = ana.hello()["cursor"]
        site.call(deeds.send, to="ana", title=f"{SECRET} 1", body=SECRET)
        site.call(deeds.announce, title=f"{SECRET} 2", to="group:editors-only")
        site.call(deeds.announce, title=f"{SECRET} 3", to="staff")
        ana.listen_for(f"{SECRET} 1", f"{SECRET} 2")
        after = ana.cursor
    with server.client("jz") as jz:
        mine = jz.hello()["cursor"]
    forged = [
        before,
        after,
        {**before, "epoch": mine["epoch"]},
        {**mine, "staff": 0, "everyone": 0},
    ]
    cookies = site.session_of("jz")
    for cursor in forged:
        text = ";".join(
            [cursor["epoch"], *(f"{name}={seq}" for name, seq in cursor.items() if name != "epoch")]
        )
        with server.client("jz") as jz:
            welcome = jz.hello(cursor)
            jz.send({"type": "sync", "cursor": cursor})
            jz.settle()
            assert set(welcome["cursor"]) == set(mine)
            assert SECRET not in json.dumps(jz.frames)
        page = Visitor(server.url, cookies).get(f"/notifications/poll/?cursor={quote(text)}")
        assert page.status == 200
        assert '"welcome"' in page.text
        assert SECRET not in page.text
        said = heard_by_events(server, cookies, text)
        assert '"welcome"' in said
        assert SECRET not in said
    assert SECRET not in Visitor(server.url, cookies).get("/notifications/list/").text
