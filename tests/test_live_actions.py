"""Actions on the inbox from sockets, forms and HTTP; several tabs and devices converge."""

from __future__ import annotations

import pytest

from tests.live import deeds
from tests.live.server import Site
from tests.live.socket import Client


def tabs(site: Site, username: str = "ana") -> tuple[Client, Client]:
    """Two open tabs, in different server processes where the site has two."""
    first, second = site.server.client(username), site.other_server.client(username)
    first.hello()
    second.hello()
    return first, second


def until_counts(client: Client, unseen: int, unread: int) -> None:
    client.listen_until(
        lambda: (client.counts["unseen"], client.counts["unread"]) == (unseen, unread),
        f"unseen {unseen} and unread {unread}, not {client.counts}",
    )


def ops(client: Client, op: str) -> list[dict]:
    return [
        item
        for frame in client.frames
        if frame["type"] == "items"
        for item in frame["items"]
        if item["op"] == op
    ]


@pytest.mark.parametrize(
    ("before", "action", "unseen", "unread"),
    [
        ([], "seen", 1, 2),
        ([], "read", 1, 1),
        (["read"], "unread", 1, 2),
        ([], "archive", 1, 1),
        (["archive"], "unarchive", None, None),
    ],
    ids=["seen", "read", "unread", "archive", "unarchive"],
)
def test_an_action_in_one_tab_is_answered_with_counts_and_shows_in_the_other(
    site, before, action, unseen, unread
):
    ids = site.call(deeds.send_many, to="ana", titles=["One", "Two"])
    for earlier in before:
        site.call(deeds.act, username="ana", action=earlier, ids=ids[:1])
    first, second = tabs(site)
    with first, second:
        done = first.do(action, ids=ids[:1])
        assert done["ok"] is True, done
        assert set(done["counts"]) == {"at", "unseen", "unread"}
        truth = site.call(deeds.counts_of, username="ana")
        assert done["counts"]["unseen"] == truth["unseen"]
        assert done["counts"]["unread"] == truth["unread"]
        if unread is not None:
            assert (done["counts"]["unseen"], done["counts"]["unread"]) == (unseen, unread)
        op = {"archive": "archived", "unarchive": "unarchived"}.get(action, action)
        for tab in (first, second):
            tab.listen_until(lambda tab=tab: ops(tab, op), f"the entry `{op}`")
            assert [item.get("ids") for item in ops(tab, op)] == [ids[:1]]
            until_counts(tab, truth["unseen"], truth["unread"])
            assert not tab.gaps


def test_read_all_means_what_the_client_had_seen_and_nothing_that_came_meanwhile(site):
    first, second = tabs(site)
    with first, second:
        site.call(deeds.send_many, to="ana", titles=["One", "Two"])
        site.call(deeds.announce, title="To all")
        first.listen_for("One", "Two", "To all")
        upto = dict(first.cursor)
        site.call(deeds.send, to="ana", title="During the click")
        done = first.do("read_all", upto=upto)
        assert done["ok"] is True, done
        assert done["counts"]["unread"] == 1
        for tab in (first, second):
            tab.listen_until(lambda tab=tab: ops(tab, "read_all"), "the entry read_all")
            [item] = ops(tab, "read_all")
            named = {key: seq for key, seq in item["upto"].items() if key != "epoch"}
            assert named["user"] == upto["user"]
            assert named["everyone"] == upto["everyone"]
            until_counts(tab, 1, 1)
    assert site.call(deeds.titles_of, username="ana", view="unread") == ["During the click"]


def test_a_broadcast_read_by_one_person_stays_unread_for_the_others(site):
    with site.client("ana") as ana, site.client("bo") as bo:
        ana.hello()
        bo.hello()
        id = site.call(deeds.announce, title="To all")
        ana.listen_for("To all")
        bo.listen_for("To all")
        assert ana.do("read", ids=[id])["counts"]["unread"] == 0
        until_counts(ana, 0, 0)
        bo.settle()
        assert ops(bo, "read") == []
        until_counts(bo, 1, 1)
    assert site.call(deeds.counts_of, username="bo")["unread"] == 1


def test_an_action_by_form_or_http_shows_in_an_open_socket(site):
    ids = site.call(deeds.send_many, to="ana", titles=["One", "Two", "Three"])
    with site.client("ana") as ana:
        ana.hello()
        page = site.other_server.visitor("ana")
        page.get("/notifications/")
        answer = page.post_json("/notifications/do/", {"action": "read", "ids": ids[:1]})
        assert answer.status == 200, answer.text
        assert answer.json()["ok"] is True
        assert answer.json()["counts"]["unread"] == 2
        ana.listen_until(lambda: ops(ana, "read"), "the entry read")
        until_counts(ana, 2, 2)


def test_an_action_twice_is_the_same_as_once(site):
    [id] = site.call(deeds.send_many, to="ana", titles=["One"])
    with site.client("ana") as ana:
        ana.hello()
        for _ in range(2):
            done = ana.do("read", ids=[id, id])
            assert done["ok"] is True
            assert done["counts"]["unread"] == 0


@pytest.mark.parametrize("action", ["seen", "read", "unread", "archive", "unarchive"])
def test_an_action_on_a_notification_of_somebody_else_changes_nothing(site, action):
    ids = site.call(deeds.send_many, to="ana", titles=["Private", "Also private"])
    if action.startswith("un"):
        opposite = "read" if action == "unread" else "archive"
        site.call(deeds.act, username="ana", action=opposite, ids=ids)
    before = (site.call(deeds.counts_of, username="ana"), site.call(deeds.rows_of, username="ana"))
    own = site.call(deeds.send, to="jz", title="Own")
    with site.client("jz") as jz:
        jz.hello()
        for stolen in (ids[:1], [own, ids[0]], [10**9]):
            done = jz.do(action, ids=stolen)
            assert done["ok"] is False, (stolen, done)
            assert done["error"]["code"] == "not_yours", done
            assert "Private" not in str(done)
        jz.settle()
        assert jz.arrived == []
    after = (site.call(deeds.counts_of, username="ana"), site.call(deeds.rows_of, username="ana"))
    assert after[0]["unread"] == before[0]["unread"]
    assert after[1]["head"] == before[1]["head"]
    assert site.call(deeds.counts_of, username="jz")["unread"] == 1


def test_an_unknown_action_is_refused_by_name_and_the_socket_lives_on(site):
    [id] = site.call(deeds.send_many, to="ana", titles=["One"])
    with site.client("ana") as ana:
        ana.hello()
        done = ana.do("reed", ids=[id])
        assert done["ok"] is False
        assert done["error"]["code"] == "unknown_action"
        assert "read" in done["error"]["detail"]
        assert ana.do("read", ids=[id])["ok"] is True


def test_the_badge_is_capped_and_still_exact_below(site):
    titles = [f"Number {number}" for number in range(120)]
    ids = site.call(deeds.send_many, to="ana", titles=titles, in_one=True)
    with site.client("ana") as ana:
        assert ana.hello()["counts"]["unread"] == 100
        assert ana.do("read", ids=ids[:30])["counts"]["unread"] == 90


def test_thirty_tabs_of_one_person_all_hear_the_same(site):
    clients = [site.server.client("ana") for _ in range(30)]
    try:
        for client in clients:
            client.hello()
        site.call(deeds.send_many, to="ana", titles=["One", "Two", "Three"])
        for client in clients:
            client.listen_for("One", "Two", "Three")
            assert client.arrived == ["One", "Two", "Three"]
            assert not client.gaps
            assert not client.twice
    finally:
        for client in clients:
            client.close()
