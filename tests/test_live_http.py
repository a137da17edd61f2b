"""The inbox over HTTP, as pages, forms and JSON: by its owner, by strangers, and by nonsense."""

from __future__ import annotations

import re

import pytest

from tests.live import deeds


@pytest.fixture
def ana(site):
    return site.visitor("ana")


@pytest.fixture
def jz(site):
    """An outsider to everything that is ana's."""
    return site.visitor("jz")


def truth(site, username="ana"):
    """What the database says, to be the same before and after what must change nothing."""
    rows = site.call(deeds.rows_of, username=username)
    return rows["head"] + rows["pending"], site.call(deeds.counts_of, username=username)["unread"]


def test_the_inbox_lists_what_there_is_newest_first_and_is_never_cached(site, ana):
    site.call(deeds.send_many, to="ana", titles=["First", "Second"])
    page = ana.get("/notifications/")
    assert page.status == 200
    assert page.text.index("Second") < page.text.index("First")
    assert "no-store" in page.headers["Cache-Control"]
    answer = ana.get("/notifications/list/")
    assert "no-store" in answer.headers["Cache-Control"]
    assert [item["title"] for item in answer.json()["items"]] == ["Second", "First"]


def test_older_pages_follow_by_token_with_nothing_left_out_and_nothing_twice(site, ana):
    titles = [f"Number {number}" for number in range(60)]
    site.call(deeds.send_many, to="ana", titles=titles, in_one=True)
    site.call(deeds.announce, title="To all")
    found, before = [], ""
    for _ in range(10):
        answer = ana.get(
            f"/notifications/list/?view=all&before={before}" if before else "/notifications/list/"
        ).json()
        found += [item["title"] for item in answer["items"]]
        if found and len(found) < 40:
            site.call(deeds.send, to="ana", title="New while turning pages")
        before = answer["before"]
        if not before:
            break
    assert found == ["To all", *reversed(titles)]


def test_a_get_changes_nothing(site, ana):
    site.call(deeds.send_many, to="ana", titles=["One"])
    before = truth(site)
    for path in (
        "/notifications/",
        "/notifications/?view=unread",
        "/notifications/list/",
        "/notifications/do/?action=read_all",
        "/notifications/act/?action=read_all",
    ):
        ana.get(path)
    assert truth(site) == before


@pytest.mark.parametrize(
    "query",
    [
        "view=nonsense",
        "view=all&before=x",
        "before=%00",
        "before=" + "9" * 5000,
        "view=../x",
        "before=%ff%fe",
        "before=0.0",
        "view=unread&before=-1",
        "before=99999999999999999999.1",
    ],
)
def test_a_bad_address_is_a_clear_refusal_in_page_and_json(site, ana, query):
    page = ana.get(f"/notifications/?{query}")
    assert page.status == 400
    assert "<h1>" in page.text
    answer = ana.get(f"/notifications/list/?{query}")
    assert answer.status == 400
    error = answer.json()["error"]
    assert error["code"]
    assert error["detail"]


def test_the_anonymous_are_sent_to_the_login_or_told_in_json(site):
    nobody = site.visitor()
    page = nobody.get("/notifications/")
    assert page.status == 302
    assert page.location.startswith("/accounts/login/")
    answer = nobody.get("/notifications/list/")
    assert (answer.status, answer.json()["error"]["code"]) == (401, "login_required")
    answer = nobody.post_json("/notifications/do/", {"action": "read", "ids": [1]})
    assert (answer.status, answer.json()["error"]["code"]) == (401, "login_required")
    assert nobody.post("/notifications/act/", {"one": "read:1"}).status in (302, 303)


def test_an_action_without_a_csrf_token_is_refused(site, ana):
    [id] = site.call(deeds.send_many, to="ana", titles=["One"])
    before = truth(site)
    wrong = {"X-CSRFToken": "d" * 32}
    assert (
        ana.post_json("/notifications/do/", {"action": "read", "ids": [id]}, **wrong).status == 403
    )
    form = {"one": f"read:{id}", "csrfmiddlewaretoken": "d" * 32}
    assert ana.post("/notifications/act/", form).status == 403
    foreign = {"Origin": "https://evil.example"}
    assert ana.post("/notifications/act/", {"one": f"read:{id}"}, **foreign).status == 403
    assert truth(site) == before


def test_nobody_acts_on_what_is_in_the_inbox_of_somebody_else(site, jz):
    [id] = site.call(deeds.send_many, to="ana", titles=["Private"])
    before = truth(site)
    for action in ("seen", "read", "unread", "archive", "unarchive"):
        answer = jz.post_json("/notifications/do/", {"action": action, "ids": [id]})
        assert (answer.status, answer.json()["error"]["code"]) == (404, "not_yours")
        assert "Private" not in answer.text
        form = jz.post("/notifications/act/", {"one": f"{action}:{id}", "next": "/notifications/"})
        assert form.status == 303
        assert "Private" not in jz.get("/notifications/").text
    opened = jz.post("/notifications/act/", {"open": id})
    assert opened.status == 303
    assert opened.location == "/notifications/"
    assert truth(site) == before
    assert "Private" not in jz.get("/notifications/list/").text


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        "{",
        "{}",
        '{"action": "read"}',
        '{"action": "read", "ids": "1"}',
        '{"action": "read", "ids": [1e999]}',
        '{"action": "read", "ids": [' + "9" * 5000 + "]}",
        '{"action": ["read"], "ids": [1]}',
        '{"action": "read_all"}',
        '{"action": "read_all", "upto": {"epoch": "k", "user": 1}}',
        "[" * 5000,
        '{"action": "\\ud800", "ids": [1]}',
        "\x00",
        '{"action": "x"}',
    ],
    ids=lambda body: ascii(body[:40]),
)
def test_a_body_that_makes_no_sense_is_refused_and_changes_nothing(site, ana, body):
    site.call(deeds.send_many, to="ana", titles=["One"])
    before = truth(site)
    answer = ana.post_text("/notifications/do/", body)
    assert answer.status == 400, answer.text[:500]
    assert answer.json()["ok"] is False
    assert answer.json()["error"]["detail"]
    assert truth(site) == before


def test_a_body_that_is_too_large_is_refused(site, ana):
    answer = ana.post_text(
        "/notifications/do/", '{"action": "read", "ids": [' + "1," * 60_000 + "1]}"
    )
    assert answer.status in (400, 413)
    assert answer.json()["ok"] is False


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"action": "read"},
        {"action": "nonsense", "ids": "1"},
        {"one": "read"},
        {"one": ":"},
        {"one": "read:x"},
        {"one": "read:" + "9" * 5000},
        {"one": "__init__:1"},
        {"open": ""},
        {"open": "1; DROP TABLE"},
        {"open": "²"},
        {"undo": "read:"},
        {"undo": "x"},
        {"action": "read_all"},
        {"action": "read_all", "upto": "x"},
        {"action": "read_all", "upto": "k;user=" + "9" * 5000},
        {"action": "read", "ids": ["1", "\x00"]},
    ],
    ids=lambda form: ascii(str(form)[:40]),
)
def test_a_form_that_makes_no_sense_comes_back_with_a_message_and_changes_nothing(site, ana, form):
    site.call(deeds.send_many, to="ana", titles=["One"])
    before = truth(site)
    answer = ana.post("/notifications/act/", form)
    assert answer.status == 303, answer.text[:300]
    assert answer.location == "/notifications/"
    assert re.search(r'class="nb-said|class="said', ana.get("/notifications/").text)
    assert truth(site) == before


@pytest.mark.parametrize(
    "next_page", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "\\\\evil", ""]
)
def test_a_form_never_leads_away_from_the_site(site, ana, next_page):
    [id] = site.call(deeds.send_many, to="ana", titles=["One"])
    answer = ana.post("/notifications/act/", {"one": f"read:{id}", "next": next_page})
    assert answer.status == 303
    assert answer.location == "/notifications/"


def test_open_and_mark_read_leads_to_what_it_is_about(site, ana):
    id = site.call(deeds.send, to="ana", title="Export ready", url="/orders/")
    answer = ana.post("/notifications/act/", {"open": id})
    assert (answer.status, answer.location) == (303, "/orders/")
    assert site.call(deeds.counts_of, username="ana")["unread"] == 0


def test_pages_have_a_strict_policy_and_nothing_inline(site, ana):
    site.call(deeds.send_many, to="ana", titles=["One"])
    for path in ("/", "/orders/", "/notifications/", "/accounts/login/"):
        page = ana.get(path)
        policy = page.headers["Content-Security-Policy"]
        assert "unsafe-inline" not in policy
        assert "unsafe-eval" not in policy
        assert "script-src 'self'" in policy
        assert "default-src 'none'" in policy
        inline = re.findall(
            r"<script(?![^>]*(?:\bsrc=|application/json))[^>]*>|\son\w+=|\sstyle=", page.text
        )
        assert inline == [], path


def test_a_person_without_any_notification_sees_that_there_is_nothing(site, jz):
    page = jz.get("/notifications/")
    assert page.status == 200
    assert "Nothing here yet" in page.text
    assert page.config()["counts"]["unseen"] == 0
