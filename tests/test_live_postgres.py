"""What only PostgreSQL can show: callers who lock rows of users, in several processes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.conftest import started
from tests.live import deeds
from tests.live.postgres import Postgres
from tests.live.server import Site, migrate


@pytest.fixture
def site(sites, postgres) -> Iterator[Site]:
    """Two server processes; PostgreSQL itself must have had nothing to complain of."""
    site = sites["postgres"]
    site.ids = site.call(deeds.move_in)
    before = len(postgres.process.log())
    yield site
    said = postgres.process.log()[before:].splitlines()
    # Two calls with one key meet at its unique index, which is where it is decided.
    errors = [line for line in said if "ERROR" in line and "notification_key" not in line]
    assert errors == []


def test_two_callers_who_lock_each_others_users_and_notify_crosswise_do_not_deadlock(
    site, postgres
):
    one, other = site.new_worker(), site.new_worker()
    log_before = len(postgres.process.log())
    with site.client("ana") as ana, site.client("bo") as bo:
        ana.hello()
        bo.hello()
        other.begin(deeds.send_crosswise, mine="bo", theirs="ana", title="From bo", times=15)
        one.begin(deeds.send_crosswise, mine="ana", theirs="bo", title="From ana", times=15)
        assert other.finish() == 15
        assert one.finish() == 15
        # 15 crosswise, and 15 to both from each side.
        ana.listen_until(lambda: len(ana.arrived) >= 45, "all of ana's", 15)
        bo.listen_until(lambda: len(bo.arrived) >= 45, "all of bo's", 15)
        for client in (ana, bo):
            assert len(set(client.arrived)) == 45
            assert not client.gaps
    said = postgres.process.log()[log_before:]
    assert "deadlock" not in said
    assert long_waits(said) == [], "a caller waited for another caller's lock"


def test_who_deletes_a_person_and_who_numbers_their_news_do_not_deadlock(site, tmp_path):
    site.call(deeds.send, to="bo", title="Your account will be deleted")
    one, other = site.new_worker(), site.new_worker()
    one.begin(deeds.number_slowly, username="bo", folder=str(tmp_path))
    other.begin(deeds.delete, username="bo", folder=str(tmp_path))
    one.finish()
    assert other.finish() > 0.3  # it waited for the other one; the log shows no deadlock


def long_waits(said: str) -> list[str]:
    """What waited for a lock for long, but for servers that number the same stream: one of them
    waits for the other, and on a busy machine that may take its time."""
    waits = re.findall(r"still waiting.*?STATEMENT:[^\n]*", said, re.DOTALL)
    assert len(waits) == said.count("still waiting"), said
    return [wait for wait in waits if '"notifications_stream"' not in wait]


def test_publishers_in_four_processes_and_readers_in_two_agree_to_the_last_number(site):
    workers = [site.new_worker() for _ in range(4)]
    with site.server.client("ana") as first, site.other_server.client("ana") as second:
        first.hello()
        second.hello()
        for number, worker in enumerate(workers):
            worker.begin(deeds.send_from_threads, to="ana", title=f"P{number}", threads=2, each=15)
        for worker in workers:
            worker.finish()
        rows = site.call(deeds.rows_of, username="ana")
        assert rows["receipts"] == 4 * 2 * 12
        for client in (first, second):
            client.listen_until(lambda c=client: len(c.arrived) >= rows["receipts"], "all", 20)
            client.settle()
            assert not client.gaps
            assert not client.twice
        assert first.applied == second.applied
        assert first.arrived == second.arrived
        assert len(set(first.arrived)) == rows["receipts"]
        numbers = [seq for _stream, seq, _op in first.applied]
        assert numbers == list(range(1, rows["receipts"] + 1))
        assert site.call(deeds.rows_of, username="ana")["pending"] == 0


def test_the_same_key_from_four_processes_at_once_is_one_notification(site):
    workers = [site.new_worker() for _ in range(4)]
    with site.client("ana") as ana, site.client("bo") as bo:
        ana.hello()
        bo.hello()
        for _round in range(5):
            for worker in workers:
                worker.begin(deeds.send, to="ana", title="Build failed", key=f"build-{_round}")
            assert len({worker.finish() for worker in workers}) == 1
        site.call(deeds.send, to="bo", title="Build failed", key="build-1")
        ana.listen_until(lambda: len(ana.rows) >= 5, "five builds")
        bo.listen_for("Build failed")
        site.call(deeds.send, to="ana", title="Last")
        ana.listen_for("Last")
        assert len(ana.rows) == 6
        assert len([op for _stream, _seq, op in ana.applied]) == 6


def test_sockets_outlive_the_database_and_hear_what_was_committed_before_and_after(new_site):
    cluster = started(Postgres)
    try:
        name = cluster.create_database()
        migrate(cluster.url(name))
        site = new_site("postgres", ["uvicorn"], database_url=cluster.url(name))
        with site.client("ana") as quiet, site.client("ana") as asking:
            quiet.hello()
            asking.hello()
            site.call(deeds.send, to="ana", title="Before")
            quiet.listen_for("Before")
            asking.listen_for("Before")
            with cluster.down():
                asking.sync()
                answer = asking.answer()
                quiet.listen(seconds=1.5)
            assert answer == {"type": "close", "code": 4101}  # come back later
            site.new_worker().call(deeds.send, to="ana", title="After")
            quiet.listen_for("After")
            assert quiet.arrived == ["Before", "After"]
            assert not quiet.gaps
            with site.client("ana") as again:
                assert again.hello(asking.cursor)["mode"] == "resume"
                again.listen_for("After")
                assert again.arrived == ["After"]
    finally:
        cluster.stop()
