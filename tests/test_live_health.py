"""What a server says about itself: to probes, to Prometheus, and in its log."""

from __future__ import annotations

import re
import signal

from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import started
from tests.live import deeds
from tests.live.http import Visitor
from tests.live.postgres import Postgres
from tests.live.process import wait_until
from tests.live.server import migrate
from tests.live.socket import Client


def numbers(server, **headers):
    """The metrics of a server: {(name, labels): value}."""
    page = Visitor(server.url).get("/metrics", **headers)
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name.removeprefix("notifications_"), *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
    }


def test_a_server_is_alive_and_ready_and_no_probe_is_cached(server):
    nobody = server.visitor()
    page = nobody.get("/healthz")
    assert (page.status, page.json()["alive"]) == (200, True)
    assert 0 <= page.json()["loop_lag_ms"] < 5_000
    assert "no-store" in page.headers["Cache-Control"]
    with server.client("ana") as ana:
        ana.hello()
        layer = "local" if server.kind == "runserver" else "ok"

        def heard():
            page = nobody.get("/readyz")
            return page.json()["layer"] == layer and page

        page = wait_until(heard, "the layer is heard")
    assert (page.status, page.headers["Cache-Control"]) == (200, page.headers["Cache-Control"])
    assert page.json() == {"ready": True, "draining": False, "database": "ok", "layer": layer}
    assert nobody.post("/healthz").status == 405
    assert page.headers.get("Set-Cookie") is None


def test_without_its_database_a_server_is_alive_but_not_ready(new_site):
    cluster = started(Postgres)
    try:
        name = cluster.create_database()
        migrate(cluster.url(name))
        site = new_site("postgres", ["uvicorn"], database_url=cluster.url(name))
        nobody = site.visitor()
        assert nobody.get("/readyz").status == 200
        with cluster.down():
            page = nobody.get("/readyz")
            assert page.status == 503
            assert page.json()["database"] == "unavailable"
            assert "127.0.0.1" not in page.text
            assert str(cluster.port) not in page.text
            assert nobody.get("/healthz").status == 200
        wait_until(lambda: nobody.get("/readyz").status == 200, "ready again", 30)
    finally:
        cluster.stop()


def test_a_dead_layer_is_told_and_is_no_reason_to_send_nobody(new_site, own_redis):
    site = new_site("postgres", ["uvicorn"], redis=own_redis)
    nobody = site.visitor()
    wait_until(lambda: nobody.get("/readyz").json()["layer"] == "ok", "the layer is heard")
    with site.client("ana") as ana, own_redis.down():
        ana.hello()
        wait_until(lambda: nobody.get("/readyz").json()["layer"] == "degraded", "it is told")
        assert nobody.get("/readyz").status == 200
        assert numbers(site.server)["layer_degraded",] == 1
        site.call(deeds.send, to="ana", title="All the same")
        ana.listen_for("All the same")


def test_a_server_that_drains_is_not_ready(new_site, redis):
    settings = {"NOTIFICATIONS": {"DRAIN": 60.0}}
    site = new_site("postgres", ["daphne"], redis=redis, settings=settings)
    nobody = site.visitor()
    with site.client("ana") as ana:
        ana.hello()
        assert nobody.get("/readyz").status == 200
        site.server.process.send(signal.SIGTERM)
        ana.wait_for("drain")
        page = nobody.get("/readyz")
        assert page.status == 503
        assert (page.json()["ready"], page.json()["draining"]) == (False, True)
        assert nobody.get("/healthz").status == 200
        assert numbers(site.server)["draining",] == 1


def test_prometheus_is_told_what_happens(server):
    site = server.site
    with server.client("ana") as ana:
        ana.hello()
    wait_until(lambda: numbers(server).get(("sockets",)) == 0, "ana is gone")
    before = numbers(server)
    with server.client("ana") as first, server.client("ana") as second:
        first.hello()
        second.hello()
        assert numbers(server)["sockets",] == 2
        assert numbers(server)["users",] == 1
        site.call(deeds.send, to="ana", title="Timed")
        first.listen_for("Timed")
        second.send({"type": "nonsense"})
        assert second.wait_for_close() == 4002
        with server.client("ana") as third:
            assert third.hello(first.cursor)["mode"] == "resume"
    wait_until(lambda: numbers(server)["sockets",] == 0, "all are gone")
    after = numbers(server)
    grown = {key: value - before.get(key, 0) for key, value in after.items()}
    assert grown["resumes_total", "fresh"] == 2
    assert grown["resumes_total", "resume"] == 1
    assert grown["resumes_total", "reset"] == 0
    assert grown["closes_total", "4002"] == 1
    assert grown["closes_total", "1000"] == 2
    assert grown["pushes_total",] == 2
    assert grown["commit_to_send_seconds_count",] == 1  # one push, whatever the sockets
    assert 0 < grown["commit_to_send_seconds_sum",] < 30
    assert after["loop_lag_seconds_count",] > 0
    assert after["loop_lag_seconds_bucket", "+Inf"] == after["loop_lag_seconds_count",]
    assert {
        outcome for name, *outcome in after if name == "bells_total" for outcome in outcome
    } == {
        "sent",
        "failed",
        "skipped",
        "heard",
    }


def test_bells_of_another_process_are_counted_as_heard(sites):
    site = sites["postgres"]
    site.ids = site.call(deeds.move_in)
    with site.client("ana") as ana:
        ana.hello()
        before = numbers(site.server)

        def counted() -> bool:
            # Again and again: while the layer is taken for dead, on a busy machine, none is heard.
            site.call(deeds.send, to="ana", title="From elsewhere")
            now = numbers(site.server)
            return now["bells_total", "heard"] > before["bells_total", "heard"]

        wait_until(counted, "the bell is counted", every=0.5)


TOKEN = "a-long-token-of-the-operators"
METRICS = {"settings": {"NOTIFICATIONS": {"METRICS_TOKEN": TOKEN}}}


def test_the_metrics_are_for_this_machine_and_for_who_has_the_token(new_site):
    site = new_site("sqlite", ["uvicorn"], **METRICS)
    outsider = site.visitor("jz")
    passed_on = [
        {"X-Forwarded-For": "203.0.113.7"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Forwarded-Proto": "https"},
        {"Via": "1.1 proxy"},
    ]
    for headers in passed_on:
        page = outsider.get("/metrics", **headers)
        assert page.status == 404, headers
        assert "notifications_" not in page.text
        assert outsider.get("/metrics", Authorization="Bearer wrong", **headers).status == 404
        assert outsider.get("/metrics", Authorization="Bearer ", **headers).status == 404
        with_token = outsider.get("/metrics", Authorization=f"Bearer {TOKEN}", **headers)
        assert with_token.status == 200
        assert "notifications_bells_total" in with_token.text
    assert outsider.get("/metrics", Authorization="Bearer wrong").status == 404
    assert outsider.get("/metrics", Authorization="Bearer \u00e9").status == 404
    assert outsider.get("/metrics").status == 200  # straight from this machine


def test_without_a_token_no_word_opens_the_metrics_to_a_proxys_visitors(site):
    for word in ("", "None", "null"):
        page = site.visitor().get(
            "/metrics", **{"X-Forwarded-For": "127.0.0.1", "Authorization": f"Bearer {word}"}
        )
        assert page.status == 404


def test_the_log_says_who_came_and_went_and_none_of_their_secrets(server):
    site = server.site
    before = len(server.log())
    cookies = site.session_of("ana")
    [key] = cookies.values()
    site.call(
        deeds.send,
        to="ana",
        title="A title that is nobody's business",
        body="A body that is nobody's business",
        data={"private": "A datum that is nobody's business"},
    )
    with Client(server.ws_url, cookies=cookies, origin=server.url) as ana:
        ana.hello()
        site.call(deeds.send, to="ana", title="Another title that is nobody's business")
        ana.listen_for("Another title that is nobody's business")
        ana.do("read", ids=list(ana.rows))
        ana.do(f"nonsense {key}", ids=[1])
        ana.send({"type": f"what ana wrote {key}"})
        assert ana.wait_for_close() == 4002
    with server.client() as nobody:
        assert nobody.wait_for_close() == 4001
    forged = {"sessionid": "a-forged-session-key"}
    with Client(server.ws_url, cookies=forged, origin=server.url) as forger:
        assert forger.wait_for_close() == 4001
    page = server.visitor("ana").post_json(
        "/notifications/do/", {"action": "read", "ids": [f"body {key}"]}
    )
    assert page.status == 400
    person = site.ids["ana"]
    closed = f"close person={person} by=socket code=4002 reason=bad_frame"
    wait_until(lambda: closed in server.log()[before:], "the end is in the log")
    said = server.log()[before:]
    assert f"connect person={person} by=socket mode=fresh why=none lang=en" in said
    assert f"bad_frame person={person} error=bad_frame" in said
    assert "refuse code=4001 reason=login_required" in said
    for secret in (key, "nobody's business", "what ana wrote", "a-forged-session-key", "sessionid"):
        assert secret not in said
    for line in said.splitlines():
        if re.match(r"INFO notifications: (connect|close|refuse|bad_frame) ", line):
            assert re.fullmatch(r"INFO notifications: \w+( \w+=([\w.:+-]+|\"[^\"]*\"))+", line)


def test_a_word_of_a_client_cannot_begin_a_line_of_the_log(caplog):
    from notifications.log import log

    with caplog.at_level("INFO", "notifications"):
        log("close", person='41 code=1\nclose person=42 "x"', code=4002)
    [record] = caplog.records
    said = r'close person="41 code=1\nclose person=42 \"x\"" code=4002'
    assert record.getMessage() == said
