"""The operators' pages: who may see and do what, and what they say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from notifications import alert, alerts, broadcast, inbox_of
from notifications.admin import PAGES, register
from notifications.admin.delivery import HEIGHT, POINTS, WIDTH, last_hour, quantile
from notifications.audiences import Everyone
from notifications.models import (
    Alert,
    Broadcast,
    Connection,
    Entry,
    Notification,
    Op,
    Pending,
    Process,
    Sample,
)
from notifications.stream.timing import BOUNDS, Timing

pytestmark = pytest.mark.django_db

CONNECTED = "/admin/notifications/connection/"
DELIVERY = "/admin/notifications/health/"
BROADCASTS = "/admin/notifications/broadcast/"
WRITE = f"{BROADCASTS}add/"
JSON = {"Accept": "application/json"}


def person(name, *permissions, **more):
    user = get_user_model().objects.create_user(name, **more)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def browser(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def dana():
    return person("dana", is_staff=True, is_superuser=True)


@pytest.fixture
def as_dana(dana):
    return browser(dana)


@pytest.fixture
def eve():
    """Staff, but none of these pages is hers: the outsider."""
    return person("eve", is_staff=True)


@pytest.fixture
def ana():
    return person("ana")


@pytest.fixture
def process():
    return Process.objects.create(people=2, sockets=3)


def connect(process, user, **more):
    now = timezone.now()
    return Connection.objects.create(
        process=process,
        person=user,
        **{"transport": "websocket", "sockets": 1, "tabs": 1, "since": now, "heard": now} | more,
    )


# --- Who may come in ---------------------------------------------------------------------


def test_nobody_but_operators_with_the_permission_sees_a_page(dana, eve, ana, process):
    line = connect(process, ana)
    sent = broadcast(Everyone(), "Maintenance")
    pages = [
        CONNECTED,
        f"{CONNECTED}{line.pk}/change/",
        DELIVERY,
        BROADCASTS,
        WRITE,
        f"{BROADCASTS}{sent.pk}/change/",
    ]
    for page in pages:
        for headers in ({}, JSON):
            assert browser(dana).get(page, headers=headers).status_code == 200, page
            assert browser(eve).get(page, headers=headers).status_code == 403, page
            for outsider in (browser(ana), Client()):
                answer = outsider.get(page, headers=headers)
                assert answer.status_code == 302, page
                assert answer.url.startswith("/admin/login/")


def test_the_index_names_a_page_to_those_only_who_may_see_it(eve, process):
    page = browser(eve).get("/admin/")
    assert b"/admin/notifications/" not in page.content
    eve.user_permissions.add(Permission.objects.get(codename="view_connection"))
    page = browser(eve).get("/admin/")
    assert CONNECTED.encode() in page.content
    assert DELIVERY.encode() in page.content
    assert BROADCASTS.encode() not in page.content


def test_who_may_only_look_can_neither_test_nor_disconnect(process, ana):
    line = connect(process, ana)
    bo = person("bo", "view_connection", is_staff=True)
    assert b"_selected_action" not in browser(bo).get(CONNECTED).content
    for action in ("send_test", "disconnect"):
        browser(bo).post(CONNECTED, {"action": action, "_selected_action": [line.pk]})
    assert not Notification.objects.exists()
    assert not Pending.objects.exists()


def test_no_one_without_the_permission_broadcasts_or_recalls(eve):
    sent = broadcast(Everyone(), "Maintenance")
    form = {"to": "everyone", "level": "info", "title": "Hi", "key": "1", "_send": "1"}
    assert browser(eve).post(WRITE, form).status_code == 403
    recall = browser(eve).post(f"{BROADCASTS}{sent.pk}/change/", {"_recall": "1"})
    assert recall.status_code == 403
    sent.refresh_from_db()
    assert (Notification.objects.count(), sent.recalled_at) == (1, None)


def test_a_form_from_another_site_is_refused(dana):
    client = Client(enforce_csrf_checks=True)
    client.force_login(dana)
    form = {"to": "everyone", "level": "info", "title": "Hi", "key": "1", "_send": "1"}
    assert client.post(WRITE, form).status_code == 403
    assert not Notification.objects.exists()


# --- In any admin ------------------------------------------------------------------------


def test_a_site_of_ones_own_takes_the_pages_once():
    site = admin.AdminSite(name="office")
    register(site)
    register(site)
    assert all(site.is_registered(model) for model in PAGES)


@pytest.mark.django_db(transaction=True)
def test_on_a_site_of_ones_own_the_pages_lead_to_each_other(as_dana, settings, process, ana):
    settings.ROOT_URLCONF = "tests.office"
    alert("payments-down", "Gateway times out", level="critical")
    alerts.position()
    sent = broadcast(Everyone(), "Maintenance")
    one = Alert.objects.get()
    for page in (
        "alert/",
        f"alert/{one.pk}/change/",
        "connection/",
        f"connection/{connect(process, ana).pk}/change/",
        "health/",
        "broadcast/",
        "broadcast/add/",
        f"broadcast/{sent.pk}/change/",
    ):
        answer = as_dana.get(f"/office/notifications/{page}")
        assert answer.status_code == 200, page
        text = answer.content.decode()
        assert "/office/notifications/alert/critical/" in text, page
        assert 'href="/admin/' not in text, page
        assert 'action="/admin/' not in text, page


def test_the_bell_is_in_the_header_though_the_project_has_a_base_site_of_its_own(
    as_dana, settings, tmp_path
):
    folder = tmp_path / "admin"
    folder.mkdir()
    (folder / "base_site.html").write_text(
        '{% extends "admin/base.html" %}{% block branding %}<p>Our own</p>{% endblock %}'
    )
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path, *engine["DIRS"]]}]
    for page in ("/admin/", "/admin/demo/order/", "/admin/password_change/", CONNECTED):
        text = as_dana.get(page).content.decode()
        assert "<p>Our own</p>" in text
        assert text.count("<notification-bell") == 1, page
        assert text.count('id="nb-config"') == 1, page
    assert "<notification-bell" not in Client().get("/admin/login/").content.decode()
    assert (
        "<notification-bell" not in as_dana.get("/admin/demo/order/add/?_popup=1").content.decode()
    )


# --- Connected people --------------------------------------------------------------------


def test_it_shows_who_is_connected_and_not_who_was(as_dana, dana, ana, process):
    connect(process, ana, sockets=2, tabs=3, version="notifications.v1")
    gone = Process.objects.create(beat=timezone.now() - timedelta(minutes=1))
    connect(gone, dana)
    found = as_dana.get(CONNECTED, headers=JSON).json()
    [row] = found["rows"]
    assert {name: row[name] for name in ("title", "transport", "sockets", "tabs", "version")} == {
        "title": "ana",
        "transport": "WebSocket",
        "sockets": "2",
        "tabs": "3",
        "version": "notifications.v1",
    }
    totals = {name: total["value"] for name, total in found["totals"].items()}
    assert totals == {"people": "1", "sockets": "2", "tabs": "3", "processes": "1"}
    page = as_dana.get(CONNECTED)
    assert b'data-total="sockets">2<' in page.content
    assert "no-store" in page["Cache-Control"]


def test_it_is_filtered_and_searched_as_any_changelist(as_dana, ana, process):
    bo = person("bo")
    connect(process, ana)
    connect(process, bo, transport="poll")

    def names(query):
        return [row["title"] for row in as_dana.get(CONNECTED + query, headers=JSON).json()["rows"]]

    assert sorted(names("")) == ["ana", "bo"]
    assert names("?transport__exact=poll") == ["bo"]
    assert names("?q=an") == ["ana"]
    assert b"Nothing matches." in as_dana.get(f"{CONNECTED}?q=nobody").content


def test_a_hundred_people_cost_no_more_queries_than_one(
    as_dana, process, django_assert_max_num_queries
):
    for number in range(100):
        connect(process, person(f"visitor-{number}"))
    with django_assert_max_num_queries(8):
        assert len(as_dana.get(CONNECTED, headers=JSON).json()["rows"]) == 100


def test_a_test_is_told_to_each_chosen_person_once_in_their_language(as_dana, ana, process):
    lines = [connect(process, ana), connect(process, ana, transport="poll")]
    chosen = {"action": "send_test", "_selected_action": [line.pk for line in lines]}
    page = as_dana.post(CONNECTED, chosen, follow=True)
    assert b"Sent to: ana." in page.content
    [item] = inbox_of(ana).unread()
    assert (item.title, item.body) == (
        "This is a test. Your notifications arrive.",
        "Sent from the administration by dana.",
    )


def test_who_is_disconnected_is_told_in_the_log(as_dana, ana, process):
    line = connect(process, ana)
    as_dana.post(CONNECTED, {"action": "disconnect", "_selected_action": [line.pk]})
    [told] = Pending.objects.all()
    assert (told.op, told.person_id, told.arg) == (Op.ACCESS, ana.pk, {"disconnect": "now"})


# --- Delivery ----------------------------------------------------------------------------


def test_the_charts_add_up_all_processes_and_leave_gaps_where_nothing_is_known(process):
    minute = timezone.now().replace(second=0, microsecond=0)
    other = Process.objects.create()
    fast, slow = Timing(), Timing()
    for _ in range(90):
        fast.took(0.004)
    for _ in range(10):
        slow.took(0.2)
    for one, timing, pushes in ((process, fast, 90), (other, slow, 10)):
        Sample.objects.create(
            process=one, minute=minute, pushes=pushes, latency=timing.counts, layer_ms=pushes
        )
    Entry.objects.create(stream="everyone", seq=1, op=Op.CREATED, created=minute)
    charts = {chart.name: chart for chart in last_hour(minute)}
    assert all(len(line.values) == POINTS for chart in charts.values() for line in chart.lines)
    pushed, stored = charts["flow"].lines
    assert list(pushed.values) == [None] * 59 + [100]
    assert list(stored.values) == [0] * 59 + [1]
    p95, p50 = charts["latency"].lines
    assert p50.values[-1] < 5 < 100 < p95.values[-1] <= 250
    assert charts["layer"].lines[0].values[-1] == 50
    assert charts["flow"].paths[0] == f"M{WIDTH} 0h0"
    assert charts["flow"].paths[1].startswith(f"M0 {HEIGHT}h0L10 {HEIGHT}")
    assert charts["flow"].rows[0][1:] == ["100", "1"]
    assert charts["flow"].summary.startswith("Pushed to sockets: now 100, at most 100; ")


@pytest.mark.parametrize(
    ("seconds", "at_least", "at_most"), [(0.001, 0, 5), (0.03, 25, 50), (99, 10_000, 10_000)]
)
def test_a_quantile_lies_in_the_bucket_of_what_took_so_long(seconds, at_least, at_most):
    timing = Timing()
    for _ in range(20):
        timing.took(seconds)
    assert len(timing.counts) == len(BOUNDS) + 1
    assert at_least <= quantile(timing.counts, 0.5) <= at_most
    assert quantile([0] * len(timing.counts), 0.5) is None


def test_each_chart_is_said_in_words_and_in_a_table(as_dana, process, time_travel):
    time_travel(timezone.now().replace(second=0, microsecond=0))  # no minute ends meanwhile
    Sample.objects.create(process=process, minute=timezone.now().replace(second=0, microsecond=0))
    text = as_dana.get(DELIVERY).content.decode()
    charts = as_dana.get(DELIVERY, headers=JSON).json()["charts"]
    for name, chart in charts.items():
        assert f'role="img" aria-labelledby="nb-sum-{name}"' in text
        assert f'id="nb-sum-{name}">{chart["summary"]}<' in text
    assert text.count("<tr>") >= POINTS * len(charts)
    assert str(process) in text


# --- Broadcasts --------------------------------------------------------------------------


def form(**changes):
    return {
        "to": "everyone",
        "level": "warning",
        "title": "Maintenance at 22:00",
        "body": "Ten minutes at most.",
        "url": "/status/",
        "key": "one-form",
        "_send": "1",
    } | changes


def test_it_is_shown_before_it_is_sent_as_people_will_see_it(as_dana, ana):
    page = as_dana.post(WRITE, form(_preview="1", _send=None) | {"_send": ""}, follow=True)
    assert Notification.objects.count() == 1  # by the button that sends
    Notification.objects.all().delete()
    given = form(_preview="1")
    del given["_send"]
    text = as_dana.post(WRITE, given).content.decode()
    assert not Notification.objects.exists()
    assert "People: 2, about 0 of them online" in text
    assert 'data-level="warning"' in text
    assert page.status_code == 200
    found = as_dana.post(WRITE, given, headers=JSON).json()
    assert found["reach"] == "People: 2, about 0 of them online"
    assert found["row"]["title"] == "Maintenance at 22:00"
    assert not found["errors"]
    assert not Notification.objects.exists()


def test_it_is_sent_once_though_the_form_is_sent_twice(as_dana, dana, ana):
    pages = [as_dana.post(WRITE, form()) for _ in range(2)]
    assert {page.url for page in pages} == {f"{BROADCASTS}{Broadcast.objects.get().pk}/change/"}
    [item] = inbox_of(ana).unread()
    assert (item.title, item.level, item.url, item.actor) == (
        "Maintenance at 22:00",
        "warning",
        "/status/",
        None,
    )


def test_it_is_signed_only_if_the_operator_wants_it(as_dana, ana):
    as_dana.post(WRITE, form(signed="on"))
    assert inbox_of(ana).unread()[0].actor["name"] == "dana"


def test_above_the_limit_it_asks_first(as_dana, ana, settings):
    settings.NOTIFICATIONS = {"CONFIRM_ABOVE": 1}
    page = as_dana.post(WRITE, form())
    assert "Yes, send it" in page.content.decode()
    assert not Notification.objects.exists()
    as_dana.post(WRITE, form(_confirmed="1"))
    assert Notification.objects.count() == 1


def test_it_reaches_the_chosen_and_nobody_else(as_dana, dana, ana):
    editors = Group.objects.create(name="editors")
    writers = Group.objects.create(name="writers")
    bo, cy = person("bo"), person("cy")
    bo.groups.add(editors)
    cy.groups.add(writers, editors)
    people = [dana, ana, bo, cy]

    def told(**changes):
        as_dana.post(WRITE, form(**changes))
        sent = Notification.objects.latest("pk")
        return {
            user.username
            for user in people
            if sent.pk in {item.id for item in inbox_of(user).unread()}
        }

    assert told(to="staff", key="a") == {"dana"}
    assert told(to="groups", groups=[editors.pk], key="b") == {"bo", "cy"}
    assert told(to="groups", groups=[editors.pk, writers.pk], key="c") == {"bo", "cy"}
    assert told(to="people", people="ana\nbo", key="d") == {"ana", "bo"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"title": ""}, "This field is required."),
        ({"url": "javascript:alert(1)"}, "Give a path that starts with one /"),
        ({"url": "//elsewhere.example/"}, "Give a path that starts with one /"),
        ({"at": "2020-01-01T10:00"}, "That time is over."),
        ({"expires": "2020-01-01T10:00"}, "It would be gone before it is delivered."),
        ({"to": "groups"}, "Choose at least one group."),
        ({"to": "people"}, "Name at least one person."),
        ({"to": "people", "people": "anna"}, "Did you mean &quot;ana&quot;?"),
        ({"to": "all"}, "Select a valid choice."),
        ({"level": "loud"}, "Select a valid choice."),
    ],
)
def test_what_cannot_be_sent_is_said_beside_its_field(as_dana, ana, changes, said):
    page = as_dana.post(WRITE, form(**changes))
    assert said in page.content.decode()
    assert not Notification.objects.exists()


def test_it_can_wait_for_its_time_and_disappear_again(as_dana, ana):
    soon = timezone.localtime() + timedelta(hours=2)
    later = soon + timedelta(hours=1)
    when = {"at": f"{soon:%Y-%m-%dT%H:%M}", "expires": f"{later:%Y-%m-%dT%H:%M}"}
    page = as_dana.post(WRITE, form(**when), follow=True)
    assert inbox_of(ana).unread() == []
    sent = Notification.objects.get()
    assert sent.expires - sent.created == timedelta(hours=1)
    assert "Delivered in" in page.content.decode()


def test_its_page_counts_whom_it_reached_and_who_has_read_it_and_withdraws_it(as_dana, dana, ana):
    as_dana.post(WRITE, form())
    sent = Broadcast.objects.get()
    page = f"{BROADCASTS}{sent.pk}/change/"
    mine = inbox_of(ana)
    mine.number()
    mine.act("read", [sent.pk])

    def counted():
        totals = as_dana.get(page, headers=JSON).json()["totals"]
        return [totals[name]["value"] for name in ("reached", "seen", "read")]

    assert counted()[0] == "2"
    assert counted()[2] == "1"
    assert as_dana.post(page, {}).status_code == 403
    as_dana.post(page, {"_recall": "1"})
    assert inbox_of(ana).unread() == []
    text = as_dana.get(page).content.decode()
    assert "Withdrawn" in text
    assert 'name="_recall"' not in text


def test_the_list_has_what_went_to_an_audience_or_was_sent_here(as_dana, ana):
    broadcast(Everyone(), "By command")
    as_dana.post(WRITE, form(to="people", people="ana", title="By form"))
    from notifications import notify

    notify(ana, "Only for ana")
    text = as_dana.get(BROADCASTS).content.decode()
    assert "By command" in text
    assert "By form" in text
    assert "Only for ana" not in text


def test_texts_with_markup_stay_texts(as_dana, ana):
    as_dana.post(WRITE, form(title="<img src=x onerror=alert(1)>", url=""))
    page = reverse("admin:notifications_broadcast_change", args=[Broadcast.objects.get().pk])
    for path in (page, BROADCASTS):
        assert "<img src=x" not in as_dana.get(path).content.decode()
