"""The template tags, the inbox page and its forms, in this process. See also test_live_http.py."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.template import Context, Template, TemplateSyntaxError
from django.test import Client
from django.utils import translation

import notifications
from notifications import Everyone, broadcast, inbox_of, notify
from notifications.models import Pending

pytestmark = pytest.mark.django_db(transaction=True)

STATIC = Path(notifications.__file__).parent / "static" / "notifications"
MIN = STATIC / "min"


@pytest.fixture
def ana():
    return User.objects.create_user("ana")


@pytest.fixture
def jz():
    """The outsider: nothing here is theirs."""
    return User.objects.create_user("jz")


@pytest.fixture
def as_ana(ana):
    client = Client()
    client.force_login(ana)
    return client


@pytest.fixture
def as_jz(jz):
    client = Client()
    client.force_login(jz)
    return client


@pytest.fixture
def draw(rf):
    """Render tags for a person, as a page of somebody else's would."""

    def draw(person, tags, session_key="a" * 32, **context):
        request = rf.get("/")
        request.user = (person and User.objects.get(pk=person.pk)) or AnonymousUser()
        request.session = SimpleNamespace(session_key=session_key)
        text = "{% load notifications %}" + tags
        return Template(text).render(Context({"request": request, **context}))

    return draw


def config_of(html):
    return json.loads(re.search(r'id="nb-config"[^>]*>(.*?)</script>', html, re.DOTALL)[1])


def unread(person):
    inbox = inbox_of(person)
    inbox.number()
    return [item.title for item in inbox.page("unread").items]


# --- The tags ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tag",
    ["notifications_head", "notification_bell", "notification_bell lazy", "notification_inbox"],
)
def test_the_anonymous_get_nothing(draw, tag):
    assert draw(None, f"{{% {tag} %}}") == ""


def test_a_template_without_a_request_gets_nothing():
    assert Template("{% load notifications %}{% notification_bell %}").render(Context()) == ""


def test_head_and_bell_cost_the_groups_and_one_count_however_often_they_are_used(
    draw, ana, django_assert_num_queries
):
    ana.groups.add(Group.objects.create(name="editors"))
    notify([ana], "Export ready")
    inbox_of(ana).number()
    inbox_of(ana).counts()
    with django_assert_num_queries(4):  # the person, their groups, where these begin, the counts
        draw(
            ana,
            "{% notifications_head %}{% notification_bell %}"
            '{% notification_bell badge="unread" %}{% notifications_head %}',
        )


def test_lazy_tags_ask_the_database_nothing_and_say_nothing_personal(
    draw, ana, django_assert_num_queries
):
    notify(ana, "Export ready")
    with django_assert_num_queries(1):  # the person
        html = draw(ana, "{% notifications_head lazy %}{% notification_bell lazy %}")
    assert "cursor" not in config_of(html)
    assert "counts" not in config_of(html)
    assert re.search(r'class="nb-badge"[^>]*></span>', html)


def test_the_tags_never_number(draw, ana):
    notify(ana, "Export ready")
    html = draw(ana, "{% notifications_head %}{% notification_bell %}{% notification_inbox %}")
    assert "Export ready" in html, "the list shows what is pending"
    assert Pending.objects.filter(stream=f"user.{ana.pk}").exists()
    assert config_of(html)["counts"]["unseen"] == 0


def test_the_config_says_where_everything_is_and_how_far_the_page_is(draw, ana):
    notify(ana, "Export ready")
    inbox_of(ana).number()
    config = config_of(draw(ana, "{% notifications_head %}"))
    assert config["ws"] == "/ws/notifications/"
    assert config["list"] == "/notifications/list/"
    assert config["do"] == "/notifications/do/"
    assert config["inbox"] == "/notifications/"
    assert config["login"] == "/accounts/login/"
    assert config["cursor"] == config["counts"]["at"]
    assert config["cursor"]["user"] == 1
    assert config["counts"]["unseen"] == 1
    assert len(config["csrf"]) == 64


@pytest.mark.parametrize("language", ["en", "de", "ar"])
def test_the_config_is_small(draw, ana, language):
    with translation.override(language):
        html = draw(ana, "{% notifications_head %}")
    config = re.search(r"<script id=.*?</script>", html, re.DOTALL)[0]
    assert len(config.encode()) <= 2048


def test_the_config_cannot_close_its_script(draw, ana, settings):
    settings.LOGIN_URL = "/</script><b>/"
    html = draw(ana, "{% notifications_head %}")
    assert "</script><b>" not in html
    assert config_of(html)["login"] == "/</script><b>/"


def test_the_channel_of_the_tabs_is_that_of_one_session_and_one_person(draw, ana, jz):
    def channel(person, key):
        return config_of(draw(person, "{% notifications_head %}", session_key=key))["channel"]

    assert channel(ana, "a" * 32) == channel(ana, "a" * 32)
    assert len({channel(ana, "a" * 32), channel(ana, "b" * 32), channel(jz, "a" * 32)}) == 3
    assert "a" * 32 not in channel(ana, "a" * 32)
    assert channel(ana, None) == ""


def test_nothing_is_inline_and_every_module_is_named(draw, ana):
    html = draw(ana, "{% notifications_head %}{% notification_bell %}{% notification_inbox %}")
    scripts = re.findall(r"<script[^>]*>", html)
    assert [script for script in scripts if "src=" not in script and "json" not in script] == []
    assert not re.search(r"\sstyle=|\son[a-z]+=", html)
    for name, url in config_of(html)["modules"].items():
        assert url == f"/static/notifications/min/{name}.js"
        assert (MIN / f"{name}.js").is_file()
    assert html.count('rel="modulepreload"') == 1


def test_the_bell_is_a_link_with_the_number_in_its_name(draw, ana):
    for number in range(3):
        notify(ana, f"Export {number} ready")
    inbox_of(ana).number()
    html = draw(ana, "{% notification_bell %}")
    assert 'href="/notifications/"' in html
    assert ">Notifications, unread: 3</span>" in html
    assert '<span class="nb-badge" aria-hidden="true">3</span>' in html


def test_the_badge_shows_what_is_unseen_and_the_name_what_is_unread(draw, ana):
    notify(ana, "Export ready")
    inbox_of(ana).number()
    inbox_of(ana).mark_seen(upto=inbox_of(ana).counts().at)
    html = draw(ana, "{% notification_bell %}")
    assert '<span class="nb-badge" aria-hidden="true"></span>' in html
    assert "Notifications, unread: 1" in html
    html = draw(ana, '{% notification_bell badge="unread" %}')
    assert '<span class="nb-badge" aria-hidden="true">1</span>' in html


def test_more_than_99_is_99_and_more(draw, ana):
    for number in range(101):
        notify(ana, f"Export {number} ready")
    inbox_of(ana).number()
    assert ">99+</span>" in draw(ana, "{% notification_bell %}")
    assert ">9+</span>" in draw(ana, "{% notification_bell max=9 %}")


def test_options_of_the_bell_are_its_attributes_escaped(draw, ana):
    html = draw(ana, "{% notification_bell toasts=how keys='off' %}", how='"><b>')
    assert 'toasts="&quot;&gt;&lt;b&gt;"' in html
    assert 'keys="off"' in html
    assert " title-badge" in html
    assert " title-badge" not in draw(ana, "{% notification_bell title_badge=False %}")


@pytest.mark.parametrize("tag", ["notification_bell lasy", "notification_bell bagde='unread'"])
def test_a_misspelt_option_is_refused_when_the_template_is_read(tag):
    with pytest.raises(TemplateSyntaxError, match="expected acknowledge, lazy, app_badge=, badge="):
        Template("{% load notifications %}{% " + tag + " %}")


def test_a_list_on_any_page_shows_one_s_own_and_can_act(draw, ana, jz):
    notify(ana, "Export ready", url="/exports/7/")
    html = draw(ana, "{% notification_inbox limit=1 %}")
    assert "Export ready" in html
    assert 'action="/notifications/act/"' in html
    assert "csrfmiddlewaretoken" in html
    assert "Export ready" not in draw(jz, "{% notification_inbox %}")


# --- The page ----------------------------------------------------------------------------


def test_a_title_is_escaped_wherever_it_is_written(as_ana, ana):
    notify(ana, "<b>bold</b>", body="</template><script>", url="/?a=1&b='\"")
    html = as_ana.get("/notifications/").content.decode()
    assert "<b>bold</b>" not in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "</template><script>" not in html
    assert 'href="/?a=1&amp;b=' in html


def test_the_page_numbers_what_is_pending_before_it_renders(as_ana, ana):
    notify(ana, "Export ready")
    html = as_ana.get("/notifications/").content.decode()
    assert config_of(html)["counts"]["unread"] == 1
    assert 'data-seq="1"' in html


def test_the_page_reads_no_count_twice(as_ana, ana, django_assert_max_num_queries):
    for number in range(25):
        notify(ana, f"Export {number} ready")
    as_ana.get("/notifications/")
    with django_assert_max_num_queries(14):
        as_ana.get("/notifications/")


def test_every_view_says_when_it_is_empty(as_ana, ana):
    assert b"Nothing here yet" in as_ana.get("/notifications/").content
    assert "You’re all caught up" in as_ana.get("/notifications/?view=unread").content.decode()
    assert b"Nothing is archived" in as_ana.get("/notifications/?view=archived").content


def test_older_pages_are_linked_and_lead_back(as_ana, ana):
    for number in range(30):
        notify(ana, f"Export {number} ready")
    first = as_ana.get("/notifications/?view=unread").content.decode()
    older = re.search(r'href="([^"]*)" rel="next"', first)[1].replace("&amp;", "&")
    assert "view=unread" in older
    second = as_ana.get(older).content.decode()
    assert second.count('class="nb-row nb-unread" id=') == 5
    assert "Newest" in second
    assert 'rel="next"' not in second


def test_what_is_shown_by_day_is_in_the_order_of_days(as_ana, ana, noon):
    notify(ana, "Export ready")
    html = as_ana.get("/notifications/").content.decode()
    assert re.search(r"<h2>Today</h2>.*Export ready", html, re.DOTALL)


def test_an_outsider_sees_nothing_of_it(as_jz, ana):
    [notification] = [notify(ana, "Private")]
    for path in ("/notifications/", "/notifications/?view=archived", "/notifications/list/"):
        assert "Private" not in as_jz.get(path).content.decode()
    as_jz.post("/notifications/act/", {"open": notification.pk})
    assert unread(ana) == ["Private"]


def test_nothing_is_kept_in_any_cache(as_ana):
    for path in ("/notifications/", "/notifications/list/"):
        assert "no-store" in as_ana.get(path)["Cache-Control"]
    assert "no-store" in as_ana.post("/notifications/act/", {})["Cache-Control"]


@pytest.mark.parametrize("path", ["/notifications/do/", "/notifications/act/"])
def test_a_get_of_an_action_is_refused(as_ana, path):
    assert as_ana.get(path).status_code == 405


# --- The forms ---------------------------------------------------------------------------


def press(client, **form):
    """Press a button of the page; what the person is told."""
    answer = client.post("/notifications/act/", {"next": "/notifications/?view=all", **form})
    assert answer.status_code == 303
    assert answer["Location"] == "/notifications/?view=all"
    html = client.get(answer["Location"]).content.decode()
    return re.search(r'<p class="(?:nb-)?said[^>]*>(.*?)</p>', html, re.DOTALL)[1].strip()


def test_undo_brings_back_only_what_was_changed(as_ana, ana):
    new, old = notify(ana, "New"), notify(ana, "Old")
    inbox_of(ana).mark_read([old.pk])
    said = press(as_ana, action="read", ids=[new.pk, old.pk], unread=f"{new.pk}")
    assert said.startswith("Marked as read: 1.")
    assert unread(ana) == []
    undo = re.search(r'form="nb-undo" name="undo" value="([^"]*)"', said)[1]
    assert press(as_ana, undo=undo).startswith("Marked as unread: 1.")
    assert unread(ana) == ["New"]


def test_mark_all_read_leaves_what_came_after_the_page(as_ana, ana):
    notify(ana, "Seen on the page")
    broadcast(Everyone(), "Seen on the page too")
    html = as_ana.get("/notifications/").content.decode()
    upto = re.search(r'name="upto" value="([^"]*)"', html)[1]
    notify(ana, "Came since")
    assert press(as_ana, action="read_all", upto=upto) == "Marked as read: 2."
    assert unread(ana) == ["Came since"]


def test_archiving_and_back(as_ana, ana):
    one = notify(ana, "One")
    said = press(as_ana, one=f"archive:{one.pk}")
    assert "Archived: 1." in said
    assert [item.title for item in inbox_of(ana).page("archived").items] == ["One"]
    assert "Moved to the inbox: 1." in press(as_ana, undo=f"unarchive:{one.pk}")
    assert unread(ana) == ["One"]


def test_nothing_chosen_is_said(as_ana):
    assert press(as_ana, action="archive") == "Nothing was selected."


def test_what_is_not_theirs_is_said_in_words_for_people(as_jz, jz, ana):
    one = notify(ana, "Private")
    assert "no longer in your inbox" in press(as_jz, one=f"read:{one.pk}")
    assert unread(ana) == ["Private"]


def test_a_nonsense_form_is_said_in_words_for_people(as_ana):
    assert "could not be done" in press(as_ana, one="read:x")


def test_open_without_a_page_to_go_to_comes_back(as_ana, ana):
    one = notify(ana, "One")
    answer = as_ana.post("/notifications/act/", {"open": one.pk})
    assert (answer.status_code, answer["Location"]) == (303, "/notifications/")
    assert unread(ana) == []


def test_more_ids_than_one_action_takes_are_refused(as_ana, settings):
    settings.NOTIFICATIONS = {"IDS_LIMIT": 2}
    answer = as_ana.post(
        "/notifications/do/", {"action": "read", "ids": [1, 2, 3]}, "application/json"
    )
    assert answer.status_code == 400
    assert "at most 2" in answer.json()["error"]["detail"]
    assert "could not be done" in press(as_ana, action="read", ids=[1, 2, 3])


def test_a_body_that_is_too_large_is_refused_before_it_is_read(as_ana, settings):
    settings.NOTIFICATIONS = {"FRAME_BYTES": 100}
    answer = as_ana.post("/notifications/do/", {"x": "x" * 200}, "application/json")
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"


def test_do_answers_with_counts_that_hold_what_was_done(as_ana, ana):
    one = notify(ana, "One")
    body = {"action": "read", "ids": [one.pk]}
    answer = as_ana.post("/notifications/do/", body, "application/json").json()
    assert answer["ok"] is True
    assert answer["counts"]["unread"] == 0
    assert answer["counts"]["at"]["user"] == 2


# --- The weight --------------------------------------------------------------------------


def weight(*names):
    return sum(len(gzip.compress((MIN / name).read_bytes(), 9)) for name in names)


def test_what_a_page_loads_stays_small():
    assert weight("start.js") <= 8000
    assert weight("show.js", "feeds.js") <= 4096
    assert weight("bell.css") <= 3000
    assert weight("page.js", "inbox.css") <= 5000
    assert weight("admin.js") <= 6000


def test_what_is_served_was_built_from_the_sources_beside_it():
    """`make script` builds it; nothing else would notice that somebody forgot."""
    lines = (MIN / "sources.sha256").read_text().split("\n")
    sums = dict(reversed(line.split("  ")) for line in lines if line)
    assert {"start.js", "bell.js", "show.js", "bell.css"} <= set(sums)
    for name, digest in sums.items():
        now = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
        assert now == digest, f"{name} has changed since: run `make script`"
