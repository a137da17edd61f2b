"""The parts that tests run on keep their own promises."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from redis import exceptions
from redis.backoff import NoBackoff
from redis.client import Redis as Connection
from redis.retry import Retry

from tests.live.process import wait_until
from tests.live.server import ROOT


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_test_run_that_is_killed_leaves_no_process_behind(tmp_path, redis, postgres, end):
    script = (
        "import sys, pathlib\n"
        "from tests.live.postgres import Postgres\n"
        "from tests.live.redis import Redis\n"
        f"parts = [Redis(pathlib.Path({str(tmp_path)!r})), Postgres()]\n"
        "print(*(part.process.pid for part in parts), parts[1].folder, flush=True)\n"
        "sys.stdin.read()\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with run:
        *pids, folder = run.stdout.readline().decode().split()
        pids = [int(pid) for pid in pids]
        assert all(is_running(pid) for pid in pids)
        getattr(run, end)()
    for pid in pids:
        wait_until(lambda pid=pid: not is_running(pid), f"{pid} has ended")
    shutil.rmtree(folder)


def test_a_copy_of_a_database_has_what_the_first_one_had(postgres):
    name = postgres.create_database()
    with psycopg.connect(postgres.url(name)) as connection:
        connection.execute("CREATE TABLE people AS SELECT 'ana' AS name")
    copy = postgres.create_database(like=name)
    with psycopg.connect(postgres.url(copy)) as connection:
        assert connection.execute("SELECT name FROM people").fetchall() == [("ana",)]


def test_redis_comes_back_on_the_same_port(own_redis):
    once = Retry(NoBackoff(), retries=0)
    patient, hasty = (
        Connection(port=own_redis.port, socket_timeout=seconds, retry=once) for seconds in (30, 0.5)
    )
    assert patient.ping()
    with own_redis.down(), pytest.raises(exceptions.ConnectionError):
        patient.ping()
    assert patient.ping()
    with own_redis.frozen(), pytest.raises(exceptions.TimeoutError):
        hasty.ping()
