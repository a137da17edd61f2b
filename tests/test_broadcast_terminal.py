"""`manage.py broadcast` at a real pseudo-terminal: asked, interrupted, killed, resumed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.live import deeds
from tests.live.process import until_we_die, wait_until
from tests.live.server import MANAGE, ROOT, Worker, environment
from tests.live.terminal import Terminal

CROWD = 25_000
FEW = 300
STORING = r"Storing +[1-9]\d*%"

pytestmark = pytest.mark.timeout(360)  # some begin several times


class Desk:
    """A site's database with a crowd in it, no server, and somebody who types."""

    def __init__(self, url: str, folder) -> None:
        self.env = environment(url, None)
        self.folder = folder
        self.worker = Worker(self.env, folder / "desk.log")
        self.worker.call(deeds.move_in)
        self.worker.call(deeds.fans, number=CROWD)
        self.names = folder / "winners.txt"
        self.names.write_text("".join(f"fan{n}\n" for n in range(CROWD)))
        self.few = folder / "few.txt"
        self.few.write_text("".join(f"fan{n}\n" for n in range(FEW)))

    def type(self, *arguments: str, **more) -> Terminal:
        return Terminal(self.env, "broadcast", *arguments, **more)

    def run(self, *arguments: str, **more) -> tuple[int, str]:
        terminal = self.type(*arguments, **more)
        return terminal.end(120), terminal.said

    def stop_in_the_middle(self, title: str, stop: str, *arguments: str) -> tuple[Terminal, int]:
        """Begin to tell the crowd, and `stop` it when it has begun."""
        terminal = self.type(title, "--users-from", str(self.names), "--yes", *arguments)
        terminal.expect(STORING)
        getattr(terminal, stop)()
        return terminal, terminal.end()

    def told(self, title: str) -> dict[str, int]:
        return self.worker.call(deeds.told, title=title)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def desk(request, databases, tmp_path_factory) -> Iterator[Desk]:
    if request.param == "postgres":
        url = databases.postgres(request.getfixturevalue("postgres"))
    else:
        url = databases.sqlite()
    found = Desk(url, tmp_path_factory.mktemp("desk"))
    yield found
    found.worker.stop()


one_database = pytest.mark.parametrize("desk", ["sqlite"], indirect=True)


@one_database
def test_it_asks_on_the_terminal_and_a_no_sends_nothing(desk):
    terminal = desk.type("Asked", "--everyone")
    terminal.expect(r"Send to 25,004 users\? \[y/N\]")
    terminal.type("n\n")
    assert terminal.end() == 1
    assert "Error: nothing sent." in terminal.said
    assert desk.told("Asked") == {}
    # Half an hour more, since it is told a moment later how long that is.
    terminal = desk.type("Asked", "--everyone", "--level", "warning", "--expires", "11h30m")
    terminal.expect(r"\[y/N\]")
    terminal.type("y\n")
    assert terminal.end() == 0
    assert 'Broadcast "Asked"   level=warning' in terminal.said
    assert "(in 11 hours)" in terminal.said
    assert "Stored once for 25,004 users, about 0 of them online (0 sockets), in " in terminal.said


@one_database
def test_ctrl_c_at_the_question_sends_nothing(desk):
    terminal = desk.type("Regretted", "--users-from", str(desk.few))
    terminal.expect(r"Send to 300 users\? \[y/N\]")
    terminal.interrupt()
    assert terminal.end() == 130
    assert "interrupted; nothing was sent." in terminal.said
    assert desk.told("Regretted") == {}
    assert desk.worker.call(deeds.lists) == 0


def test_killed_in_the_middle_and_run_again_each_has_exactly_one(desk):
    for attempt in range(5):  # on a busy machine it may be done before we kill it
        title = f"Won {attempt}"
        _terminal, code = desk.stop_in_the_middle(title, "kill", "--key", title)
        told = desk.told(title)
        if code == -signal.SIGKILL and len(told) < CROWD:
            break
    assert 0 < len(told) < CROWD
    assert set(told.values()) == {1}
    again = (title, "--users-from", str(desk.names), "--yes", "--key", title)
    code, said = desk.run(*again)
    assert code == 0, said
    assert "Sent before with this key" in said
    assert "stored for 25,000 users" in said
    told = desk.told(title)
    assert len(told) == CROWD
    assert set(told.values()) == {1}
    code, said = desk.run(*again)
    assert code == 0, said
    assert desk.told(title) == told


def test_ctrl_c_in_the_middle_says_what_is_stored_and_how_to_go_on(desk):
    for attempt in range(5):
        title = f"Long {attempt}"
        terminal, code = desk.stop_in_the_middle(title, "interrupt")
        if code == 130:
            break
    assert code == 130
    assert f"interrupted; {len(desk.told(title)):,} of 25,000 users have it." in terminal.said
    found = re.search(r"--resume (\d+)\n.*--recall \1\n", terminal.said)
    assert found, terminal.said
    code, said = desk.run("--resume", found[1])
    assert code == 0, said
    assert "25,000 users have it, nobody waits." in said
    told = desk.told(title)
    assert len(told) == CROWD
    assert set(told.values()) == {1}
    code, said = desk.run("--recall", found[1])
    assert code == 0, said
    assert "Withdrawing 100%" in said
    assert desk.worker.call(deeds.recalled, id=int(found[1])) == CROWD


@one_database
def test_with_a_pipe_for_stdout_there_is_nothing_but_json_on_it(desk):
    reading, writing = os.pipe()
    terminal = desk.type("Piped", "--users-from", str(desk.few), "--yes", "--json", stdout=writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        (line,) = pipe.read().splitlines()
    assert terminal.end() == 0
    assert json.loads(line)["matched"] == FEW
    assert "Storing 100% |####" in terminal.said


@one_database
@pytest.mark.parametrize("colours", [True, False])
def test_no_color_is_honoured(desk, colours):
    env = {} if colours else {"NO_COLOR": "1"}
    terminal = Terminal(desk.env | env, "broadcast", "Hi", "--group", "nobody")
    assert terminal.end() == 1
    assert 'Error: no group named "nobody".' in terminal.said
    assert ("\x1b[" in terminal.said) is colours


@contextlib.contextmanager
def tail(desk, *arguments):
    process = subprocess.Popen(
        [*until_we_die(), *MANAGE, "notifications_tail", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=desk.env,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_tail_shows_what_one_person_gets_from_another_process_and_ends_on_ctrl_c(desk):
    terminal = Terminal(desk.env, "notifications_tail", "--user", "ana", "--json")
    terminal.expect("Waiting for news")
    wait_until(
        lambda: [
            desk.worker.call(deeds.send, to="jz", title="Not for ana"),
            desk.worker.call(deeds.send, to="ana", title="Tailed"),
            "Tailed" in terminal.said,
        ][-1],
        "ana's news in the tail",
        30,
        every=0.5,
    )
    terminal.interrupt()
    assert terminal.end() == 0
    lines = [line for line in terminal.said.splitlines() if line.startswith("{")]
    assert {json.loads(line)["title"] for line in lines} == {"Tailed"}
    seqs = [json.loads(line)["seq"] for line in lines]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert "Traceback" not in terminal.said


def test_tail_of_everything_shows_what_is_numbered_in_any_stream_once(desk):
    terminal = Terminal(desk.env, "notifications_tail", "--json")
    terminal.expect("Waiting for news")
    told = []

    def tell_until_both_are_shown() -> bool:
        told.append(desk.worker.call(deeds.send, to="jz", title="Just for jz"))
        told.append(desk.worker.call(deeds.announce, title="For all"))
        desk.worker.call(deeds.counts_of, username="jz")  # who reads them numbers them
        return "Just for jz" in terminal.said and "For all" in terminal.said

    wait_until(tell_until_both_are_shown, "the news of two streams", 30, every=0.5)
    wait_until(lambda: all(f'"id": {id},' in terminal.said for id in told[2:]), "the rest", 30)
    terminal.interrupt()
    assert terminal.end() == 0
    lines = [json.loads(line) for line in terminal.said.splitlines() if line.startswith("{")]
    created = [line for line in lines if line["op"] == "created"]
    assert {(line["stream"].split(".")[0], line["title"]) for line in created} == {
        ("user", "Just for jz"),
        ("everyone", "For all"),
    }
    ids = [line["id"] for line in created]
    assert len(ids) == len(set(ids))
    assert "Traceback" not in terminal.said


@one_database
def test_tail_ends_quietly_when_nobody_reads_it_any_more(desk):
    with tail(desk, "--user", "ana") as process:
        wait_until(
            lambda: (
                desk.worker.call(deeds.send, to="ana", title="Again")
                and select_line(process.stdout)
            ),
            "a line of the tail",
            30,
            every=0.5,
        )
        process.stdout.close()
        wait_until(
            lambda: (
                desk.worker.call(deeds.send, to="ana", title="And again")
                and process.poll() is not None
            ),
            "the end of the tail",
            30,
            every=0.5,
        )
        assert process.returncode == 0
        assert process.stderr.read() == ""


def select_line(pipe):
    ready, _, _ = select.select([pipe], [], [], 0)
    return pipe.readline() if ready else ""
