"""Frames and cursors: what is taken, and that everything else is refused by name."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications import wire
from notifications.conf import conf
from notifications.errors import BadCursor, BadFrame, BadRequest
from notifications.wire import Cursor

SEQS = st.dictionaries(
    st.sampled_from(["user", "everyone", "staff", "group.5", "alerts"]),
    st.integers(0, wire.MAX_SEQ),
)


@given(st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True), SEQS)
def test_a_cursor_is_the_same_after_a_walk_through_text_or_json(epoch, seqs):
    cursor = Cursor(epoch, seqs)
    assert Cursor.parse(str(cursor)) == cursor
    assert Cursor.parse(json.loads(json.dumps(cursor.as_json()))) == cursor


def test_a_cursor_reads_as_the_design_says():
    cursor = Cursor("k3", {"user": 41, "everyone": 7, "group.5": 3})
    assert str(cursor) == "k3;user=41;everyone=7;group.5=3"
    assert cursor.as_json() == {"epoch": "k3", "user": 41, "everyone": 7, "group.5": 3}


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ";user=1",
        "k3;user",
        "k3;user=",
        "k3;user=-1",
        "k3;user=1.5",
        "k3;user=9223372036854775808",
        "k3;user=1;user=2",
        "k3;us er=1",
        "k 3;user=1",
        {},
        {"user": 1},
        {"epoch": 3},
        {"epoch": "k3", "user": "1"},
        {"epoch": "k3", "user": True},
        {"epoch": "k3", "user": 1.0},
        {"epoch": "k3", "x" * 101: 1},
        [],
        7,
        None,
    ],
    ids=repr,
)
def test_what_is_no_cursor_is_refused(bad):
    with pytest.raises(BadCursor):
        Cursor.parse(bad)


def test_an_epoch_differs_per_person_and_per_history():
    epochs = {wire.epoch_of(person, epoch) for person in (1, 2) for epoch in (7, 8)}
    assert len(epochs) == 4
    assert wire.epoch_of(1, 7) == wire.epoch_of(1, 7)


def test_every_frame_of_a_client_is_decoded():
    cursor = {"epoch": "k3", "user": 1}
    parsed = Cursor("k3", {"user": 1})
    frames = {
        '{"type":"hello","cursor":null,"tab":"t","lang":"de"}': wire.Hello(None, "t", "de"),
        json.dumps({"type": "hello", "cursor": cursor}): wire.Hello(parsed, "", ""),
        '{"type":"ack"}': wire.Ack(None),
        json.dumps({"type": "ack", "cursor": cursor}): wire.Ack(parsed),
        json.dumps({"type": "sync", "cursor": cursor}): wire.Sync(parsed),
        '{"type":"ping"}': wire.Ping(),
        '{"type":"do","id":"7","action":"read","ids":[3,1,3]}': wire.Do("7", "read", [1, 3], None),
        json.dumps({"type": "do", "id": 7, "action": "read_all", "upto": cursor}): wire.Do(
            7, "read_all", None, parsed
        ),
    }
    for text, frame in frames.items():
        assert wire.decode(text) == frame


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "text frame"),
        ("", "expected JSON"),
        ("{", "expected JSON"),
        ("[" * 5_000, "expected JSON"),
        ("[]", "JSON object, not list"),
        ('"hello"', "JSON object, not str"),
        ("{}", "unknown type"),
        ('{"type":"close"}', "unknown type"),
        ('{"type":["hello"]}', "unknown type"),
        ('{"type":"hello","tab":7}', "tab must be"),
        ('{"type":"do","id":"7"}', "action must be"),
        ('{"type":"do","id":{},"action":"read"}', "id must be"),
        ('{"type":"do","id":"\\ud800","action":"read"}', "id must be"),
        ('{"type":"do","id":"7","action":"read","ids":7}', "ids must be a list"),
        ('{"type":"do","id":"7","action":"read","ids":["7"]}', "positive whole"),
        ('{"type":"do","id":"7","action":"read","ids":[true]}', "positive whole"),
        ('{"type":"do","id":"7","action":"read","ids":[0]}', "positive whole"),
        ('{"type":"do","id":"7","action":"read","ids":[1e3]}', "positive whole"),
        ('{"type":"sync"}', "bad cursor"),
    ],
)
def test_what_is_no_frame_is_refused_and_says_what_was_expected(text, says):
    with pytest.raises(BadRequest, match=says):
        wire.decode(text)


def test_a_frame_that_is_too_large_is_refused():
    with pytest.raises(BadFrame, match="larger than"):
        wire.decode(json.dumps({"type": "ping", "x": "y" * conf.frame_bytes}))


def test_too_many_ids_are_refused():
    with pytest.raises(BadFrame, match="at most 1000"):
        wire.ids_of(list(range(1, 1_002)))


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(json.dumps)
)
def test_no_text_at_all_makes_the_decoder_raise_anything_but_bad_request(text):
    with contextlib.suppress(BadRequest):
        wire.decode(text)
