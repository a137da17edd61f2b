"""The direct way to a client works on the servers that we know, as they are installed here."""

from __future__ import annotations

import pytest
from websockets.sync.client import connect

from notifications.stream.line import Frame, direct
from tests.live.directly import SIZES
from tests.live.process import Process, free_port
from tests.live.server import COMMANDS, ROOT, environment


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_frames_of_every_size_are_written_directly(kind, tmp_path):
    port = free_port()
    changed = {"project.asgi:application": "tests.live.directly:application", "on": "auto"}
    command = [changed.get(word, word) for word in COMMANDS[kind](port)]
    env = environment("sqlite:///:memory:", None)
    server = Process(command, tmp_path / "log", env=env, cwd=ROOT)
    try:
        server.wait_for_port(port)
        with connect(f"ws://127.0.0.1:{port}/", compression=None) as socket:
            texts = [socket.recv(timeout=30) for _ in SIZES]
    finally:
        server.stop()
    assert [len(text.encode()) for text in texts] == list(SIZES)
    assert {text[0] for text in texts} == {"ü"}


def test_any_other_server_is_written_to_through_its_send():
    async def send(message):
        raise AssertionError

    assert direct(send) is None


def test_a_frame_is_the_same_bytes_for_all():
    frame = Frame("x" * 200)
    assert frame.wire[:4] == b"\x81\x7e\x00\xc8"
    assert frame.wire is frame.wire
