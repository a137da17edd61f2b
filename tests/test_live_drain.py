"""A server that is told to stop lets its clients go one by one."""

from __future__ import annotations

import signal
import time

import pytest

from tests.live import deeds
from tests.live.socket import Client, Closed

WINDOW = 5.0  # s; who comes too late must come within it, also on a busy machine


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_on_sigterm_every_client_is_asked_to_come_back_and_closed_in_its_turn(
    new_site, redis, kind
):
    settings = {"NOTIFICATIONS": {"DRAIN": WINDOW}}
    site = new_site("postgres", [kind, kind], redis=redis, settings=settings)
    leaving, staying = site.servers
    clients = [leaving.client("ana") for _ in range(20)]
    for client in clients:
        client.hello()
    late = site.session_of("bo")
    start = time.monotonic()
    leaving.process.send(signal.SIGTERM)
    closes = []
    for client in clients:
        assert client.wait_for("drain")["in"] == WINDOW * 1000
    came_late = Client(leaving.ws_url, cookies=late, origin=leaving.url)
    with pytest.raises(Closed) as refused, came_late as bo:
        bo.hello()
    assert refused.value.code == 4102
    cursors = []
    for client in clients:
        code = client.wait_for_close()
        closes.append((time.monotonic() - start, code))
        cursors.append(client.cursor)
    assert {code for _, code in closes} == {4102}
    assert closes[-1][0] > WINDOW / 2, "they were all closed at once"
    site.call(deeds.send, to="ana", title="During the deploy")
    for cursor in cursors[:3]:
        with staying.client("ana") as back:
            assert back.hello(cursor)["mode"] == "resume"
            back.listen_until(lambda back=back: back.arrived == ["During the deploy"], "the news")
    leaving.process.wait(timeout=30)
    assert "Traceback" not in leaving.log(), leaving.log()[-4000:]


def test_a_server_without_clients_stops_at_once(new_site):
    site = new_site("sqlite")
    start = time.monotonic()
    site.server.stop()
    assert time.monotonic() - start < 5


def test_ctrl_c_does_not_wait_for_clients(new_site):
    site = new_site("sqlite")
    with site.client("ana") as ana:
        ana.hello()
        start = time.monotonic()
        site.server.stop(signal.SIGINT)
        assert time.monotonic() - start < 5
