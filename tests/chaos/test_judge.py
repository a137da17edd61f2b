"""The judge alone, on ledgers that were made up: it must see what is wrong, and only that."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.judge import Case, Verdict, judge

ANA = {"id": 7, "streams": ["everyone"]}
FRESH = {"e": "welcome", "mode": "fresh", "cursor": {"epoch": "k", "user": 0, "everyone": 0}}


def told(id: int, number: int, audience: str = "", people: tuple[int, ...] = (7,)) -> dict:
    return {
        "id": id,
        "audience": audience,
        "people": [] if audience else list(people),
        "created": 10.0,
        "recalled": False,
        "data": {"w": 1, "n": number},
        "order": None,
    }


def created(seq: int, id: int, stream: str = "user", t: float = 11.0) -> dict:
    return {"e": "item", "stream": stream, "seq": seq, "op": "created", "id": id, "t": t}


def read(seq: int, *ids: int) -> dict:
    return {"e": "item", "stream": "user", "seq": seq, "op": "read", "ids": list(ids), "t": 11.0}


def verdict(
    ledger: list[dict[str, Any]],
    notifications: list[dict[str, Any]],
    log: dict[str, list[Any]] | None = None,
    callers: list[dict[str, Any]] | None = None,
    shown: list[int] | None = None,
) -> Verdict:
    inbox = {"shown": [0, 0], "unread": [], "archived": []}
    return judge(
        Case(
            run="run1",
            people={"ana": ANA},
            tabs={"ana/a": "ana"},
            truth={
                "notifications": notifications,
                "orders": [],
                "log": log or {},
                "inboxes": {"ana": inbox},
            },
            ledger=[{"t": 1.0, "tab": "ana/a"} | line for line in ledger],
            callers=callers or [],
            shown={} if shown is None else {"ana/a": inbox | {"shown": shown}},
        )
    )


def test_a_perfect_ledger_is_good_and_its_latency_is_from_commit_to_applied():
    found = verdict(
        [FRESH, created(1, 51, t=10.5), created(2, 52, t=12.0), read(3, 51)],
        [told(51, 1), told(52, 2)],
        {"user.7": [[1, "created", 51], [2, "created", 52], [3, "read", None]]},
        [{"e": "committed", "w": 1, "n": [1, 2], "t": 10.25}],
        [0, 0],
    )
    assert found.good, found.evidence
    assert (found.committed, found.applied, found.deliveries) == (2, 2, 2)
    assert found.worst == pytest.approx(1.75)


def test_what_was_never_applied_is_lost_also_when_it_never_got_a_number():
    assert verdict([FRESH], [told(51, 1)]).lost == 1


def test_an_entry_that_is_no_notification_can_be_lost_too():
    found = verdict(
        [FRESH, created(1, 51)],
        [told(51, 1)],
        {"user.7": [[1, "created", 51], [2, "read", None], [3, "access", None]]},
    )
    assert found.lost == 1


def test_what_is_for_somebody_else_is_not_missed_and_a_phantom_when_it_comes():
    other = told(51, 1, people=(8,))
    assert verdict([FRESH], [other]).good
    assert verdict([FRESH, created(1, 51)], [other]).phantoms == 1


def test_what_is_not_stored_is_a_phantom():
    assert verdict([FRESH, created(1, 50), created(2, 99)], [told(50, 1)]).phantoms == 1


def test_the_same_entry_and_the_same_notification_are_twice():
    assert verdict([FRESH, created(1, 51), created(1, 51)], [told(51, 1)]).twice == 1
    assert verdict([FRESH, created(1, 51), created(2, 51)], [told(51, 1)]).twice == 1


def test_numbers_that_go_back_are_out_of_order():
    rows = [told(51, 1), told(52, 2, "everyone"), told(53, 3)]
    lines = [FRESH, created(2, 53), created(1, 52, "everyone"), created(1, 51)]
    assert verdict(lines, rows).disorder >= 1


def test_what_one_caller_committed_later_must_not_come_earlier_in_a_stream():
    found = verdict([FRESH, created(1, 52), created(2, 51)], [told(51, 1), told(52, 2)])
    assert found.disorder == 1


def test_a_read_before_its_created_is_out_of_order():
    found = verdict([FRESH, read(1, 51), created(1, 51, "everyone")], [told(51, 1, "everyone")])
    assert found.disorder == 1


def test_after_a_reset_a_list_stands_for_what_it_names_and_the_log_goes_on_from_there():
    reset = {"e": "reset", "why": "pruned", "cursor": {"epoch": "k", "user": 5, "everyone": 0}}
    rows = [told(51, 1), told(52, 2)]
    log = {"user.7": [[5, "created", 51], [6, "created", 52]]}
    lines = [FRESH, reset, read(7, 51), {"e": "list", "ids": [51], "t": 11.0}]
    assert verdict([*lines, created(8, 52)], rows, log).good
    assert verdict(lines, rows, log).lost == 1


def test_what_is_older_than_a_reset_is_not_late_in_its_list_and_what_is_newer_may_be():
    reset = {"e": "reset", "why": "epoch", "cursor": {"epoch": "k", "user": 5, "everyone": 0}}
    lines = [FRESH, reset | {"t": 15.0}, {"e": "list", "ids": [51], "t": 19.0}]
    assert verdict(lines, [told(51, 1)]).worst == 0  # made at 10
    assert verdict(lines, [told(51, 1) | {"created": 16.0}]).worst == pytest.approx(3)


def test_rolled_back_and_stored_is_a_phantom_and_committed_and_gone_is_lost():
    back = [{"e": "rolled back", "w": 1, "n": [1], "t": 10.0}]
    assert verdict([FRESH, created(1, 51)], [told(51, 1)], callers=back).phantoms == 1
    gone = [{"e": "committed", "w": 1, "n": [1, 2], "t": 10.0}]
    assert verdict([FRESH, created(1, 51)], [told(51, 1)], callers=gone).lost == 1


def test_a_badge_that_differs_from_what_is_stored_is_wrong():
    assert verdict([FRESH], [], shown=[0, 1]).wrong == 1


def test_a_deadlock_is_never_good():
    line = {"e": "deadlock", "w": 1, "n": [], "t": 1.0, "error": "deadlock detected"}
    assert not verdict([FRESH], [], callers=[line]).good
