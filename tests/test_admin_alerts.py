"""The operators' queue as pages: every button of it, without a script, and who may press it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from notifications import alert, alerts, resolve
from notifications.admin.alerts import EVENTS, initials, strip
from notifications.models import Alert, AlertEvent, Mute, State

pytestmark = pytest.mark.django_db(transaction=True)

QUEUE = "/admin/notifications/alert/"
ACT = f"{QUEUE}act/"
STRIP = f"{QUEUE}critical/"
JSON = {"Accept": "application/json"}


def person(name, *permissions, **more):
    user = get_user_model().objects.create_user(name, **{"is_staff": True} | more)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def dana():
    return person("dana", "view_alert", "change_alert")


@pytest.fixture
def eli():
    """A second operator."""
    return person("eli", "view_alert", "change_alert")


@pytest.fixture
def eve():
    """Staff, and no operator: the outsider."""
    return person("eve", "view_connection", "change_connection", "broadcast")


@pytest.fixture
def payments():
    return fired("payments-down", "Gateway times out", level="critical", source="payments")


def fired(key, title, **more):
    alert(key, title, **more)
    alerts.position()
    return Alert.objects.get(key=key)


def page_of(one):
    return f"{QUEUE}{one.pk}/change/"


def queue(client, query=""):
    return client.get(QUEUE + query, headers=JSON).json()


def titles(client, query=""):
    return [row["title"] for row in queue(client, query)["rows"]]


def strip_of(client):
    return client.get(STRIP).json()["count"]


# --- Who may -----------------------------------------------------------------------------


def test_who_may_not_see_alerts_sees_no_page_no_strip_and_can_do_nothing(eve, payments):
    ana = person("ana", is_staff=False)
    mute = Mute.objects.create(labels={"host": "x"}, until=timezone.now() + timedelta(hours=1))
    for outsider, code in ((eve, 403), (ana, 302), (Client(), 302)):
        for headers in ({}, JSON):
            for path in (QUEUE, page_of(payments), f"{QUEUE}{payments.pk}/history/", STRIP):
                assert outsider.get(path, headers=headers).status_code == code, path
            for verb in ("acknowledge", "resolve", "mute", "unmute", "note"):
                form = {"verb": verb, "id": payments.pk, "note": "x"}
                assert outsider.post(ACT, form, headers=headers).status_code == code
            end = {"verb": "end", "id": mute.pk}
            assert outsider.post(ACT, end, headers=headers).status_code == code
            assert outsider.post(STRIP, headers=headers).status_code == code
        many = {"action": "resolve", "_selected_action": [payments.pk]}
        assert outsider.post(QUEUE, many).status_code == code
    payments.refresh_from_db()
    assert payments.state == State.FIRING
    assert Mute.objects.active().exists()
    index = eve.get("/admin/").content
    assert b"nb-strip" not in index
    assert QUEUE.encode() not in index


def test_who_may_only_look_sees_all_and_can_do_nothing(payments):
    bo = person("bo", "view_alert")
    assert titles(bo) == ["Gateway times out"]
    for path in (QUEUE, page_of(payments)):
        text = bo.get(path).content.decode()
        assert "Gateway times out" in text
        assert "formaction" not in text
        assert "_selected_action" not in text
    assert bo.post(ACT, {"one": f"resolve:{payments.pk}"}).status_code == 403
    bo.post(QUEUE, {"action": "resolve", "_selected_action": [payments.pk]})
    payments.refresh_from_db()
    assert payments.state == State.FIRING


def test_no_get_changes_anything_and_no_form_of_another_site_does(payments):
    client = person("dana", "view_alert", "change_alert")
    assert client.get(f"{ACT}?one=resolve:{payments.pk}").status_code == 404
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(get_user_model().objects.get())
    assert strict.post(ACT, {"one": f"resolve:{payments.pk}"}).status_code == 403
    assert strict.post(STRIP).status_code == 403
    payments.refresh_from_db()
    assert payments.state == State.FIRING


@pytest.mark.parametrize(
    "one", ["", "acknowledge", "acknowledge:", "explode:1", "mute:x", "mute:-1"]
)
def test_a_button_that_does_not_exist_is_not_found(dana, one):
    assert dana.post(ACT, {"one": one}).status_code == 404
    assert dana.post(ACT, {"one": "mute:999999"}).status_code == 404


# --- The queue ---------------------------------------------------------------------------


def test_it_shows_what_is_not_over_and_the_rest_when_asked(dana, payments):
    fired("disk", "Disk is full", level="warning", source="node-3")
    resolve("disk")
    assert titles(dana) == ["Gateway times out"]
    assert titles(dana, "?state=resolved") == ["Disk is full"]
    assert set(titles(dana, "?state=all")) == {"Disk is full", "Gateway times out"}
    assert titles(dana, "?state=all&level__exact=30") == ["Disk is full"]
    assert titles(dana, "?state=all&source=node-3") == ["Disk is full"]
    assert titles(dana, "?state=all&q=disk") == ["Disk is full"]
    text = dana.get(QUEUE).content.decode()
    assert "Gateway times out" in text
    assert "Disk is full" not in text


def test_what_was_told_just_now_is_on_the_page_though_no_server_has_numbered_it(dana):
    alert("new", "Told a moment ago")
    assert titles(dana) == ["Told a moment ago"]


def test_rows_that_no_longer_match_are_told_of_when_the_page_holds_them(dana, payments):
    resolve("payments-down")
    found = queue(dana, f"?_shown={payments.pk},0,x,{'9' * 30}")
    assert found["rows"] == []
    assert [(row["id"], row["state"]) for row in found["others"]] == [(payments.pk, "resolved")]


def test_the_tiles_and_the_hours_count(noon, dana, payments):
    for key in ("a", "b"):
        fired(key, key)
        dana.post(ACT, {"one": f"acknowledge:{Alert.objects.get(key=key).pk}"})
    resolve("b")
    totals = queue(dana)["totals"]
    assert {name: tile["value"] for name, tile in totals["tiles"].items()} == {
        "firing": "1",
        "acknowledged": "1",
        "muted": "0",
        "resolved_today": "1",
    }
    assert len(totals["strip"]["bars"]) == 24
    assert totals["strip"]["summary"] == "Told in the last 24 hours: 3; at most 3 in one"


def test_a_page_of_a_hundred_alerts_costs_as_many_queries_as_one_of_ten(
    dana, django_assert_max_num_queries
):
    for number in range(10):
        alert(f"k{number}", f"Alert {number}")
    queue(dana)
    with django_assert_max_num_queries(25) as few:
        queue(dana)
        most = len(few)
    for number in range(10, 100):
        alert(f"k{number}", f"Alert {number}")
    queue(dana)
    with django_assert_max_num_queries(most):
        assert len(queue(dana)["rows"]) == 100


def test_a_strip_of_hours_says_in_words_what_its_bars_say():
    now = timezone.now()
    hours = [(now - timedelta(hours=23 - n), n * 1000) for n in range(24)]
    told = strip(hours)
    assert told["bars"][0] == {"x": 0, "y": 36, "height": 0.0}
    assert told["bars"][-1] == {"x": 230, "y": 0.0, "height": 36.0}
    assert told["summary"] == "Told in the last 24 hours: 276,000; at most 23,000 in one"
    assert strip([(now, 0)])["bars"] == [{"x": 0, "y": 36, "height": 0.0}]


@pytest.mark.parametrize(
    ("name", "letters"),
    [("dana", "D"), ("dana.smith", "DS"), ("ana maria lopez", "AM"), ("", ""), ("<b>", "B")],
)
def test_an_owner_has_initials(name, letters):
    assert initials(name) == letters


# --- What is done ------------------------------------------------------------------------


def test_each_button_does_what_it_says_and_comes_back(dana, payments):
    def press(verb, **fields):
        page = dana.post(ACT, {"one": f"{verb}:{payments.pk}", "next": page_of(payments)} | fields)
        assert page.url == page_of(payments)
        payments.refresh_from_db()
        return payments.state

    assert press("acknowledge", note="calling the bank") == State.ACKNOWLEDGED
    assert (payments.by, payments.note) == ("dana", "calling the bank")
    assert press("mute", minutes="15") == State.MUTED
    assert timedelta(minutes=14) < payments.muted_until - timezone.now() < timedelta(minutes=16)
    assert queue(dana)["rows"][0]["until"] == payments.muted_until.isoformat(timespec="seconds")
    assert press("unmute") == State.FIRING
    assert queue(dana)["rows"][0]["until"] == ""
    assert press("note", note="it was the firewall") == State.FIRING
    assert press("resolve") == State.RESOLVED
    kinds = list(payments.events.values_list("kind", flat=True))
    assert kinds == ["fired", "acknowledged", "muted", "unmuted", "noted", "resolved"]
    assert LogEntry.objects.filter(object_id=str(payments.pk)).count() == 5
    text = dana.get(page_of(payments)).content.decode()
    assert "it was the firewall" in text
    assert "calling the bank" in text
    assert "Firing" not in dana.get(f"{QUEUE}{payments.pk}/history/").content.decode()


def test_who_comes_second_is_told_who_was_first(dana, eli, payments):
    form = {"verb": "acknowledge", "id": payments.pk}
    first = dana.post(ACT, form, headers=JSON).json()
    second = eli.post(ACT, form, headers=JSON).json()
    assert (first["said"], first["good"]) == ("Acknowledged: Gateway times out.", True)
    assert (second["said"], second["good"]) == ("It is acknowledged already by dana.", False)
    assert second["row"]["standing"] == "Acknowledged by dana"
    page = eli.post(ACT, {"one": f"acknowledge:{payments.pk}"}, follow=True)
    assert "It is acknowledged already by dana." in page.content.decode()


def test_many_at_once_by_the_ordinary_action(dana, eli, payments):
    disk = fired("disk", "Disk is full")
    dana.post(ACT, {"one": f"acknowledge:{disk.pk}"})
    chosen = {"action": "acknowledge", "_selected_action": [payments.pk, disk.pk]}
    page = eli.post(QUEUE, chosen, follow=True)
    text = page.content.decode()
    assert "Acknowledged: Gateway times out." in text
    assert "It is acknowledged already by dana." in text
    for action, state in (("mute", "muted"), ("unmute", "firing"), ("resolve", "resolved")):
        eli.post(QUEUE, chosen | {"action": action})
        states = Alert.objects.values_list("state", flat=True)
        assert set(states) == {state}


def test_every_alert_with_the_same_labels_is_muted_at_once(dana):
    labels = {"host": "node-3", "mount": "/var"}
    disk = fired("disk", "Disk is full", labels=labels)
    fired("cpu", "CPU is hot", labels={"host": "node-3"})
    fired("net", "Net is slow", labels={"host": "node-4"})
    form = {"one": f"mute:{disk.pk}", "minutes": "240", "labels": ["host", "made-up"]}
    dana.post(ACT, form | {"note": "moving it"})
    assert Mute.objects.get().labels == {"host": "node-3"}
    states = dict(Alert.objects.values_list("key", "state"))
    assert states == {"disk": "muted", "cpu": "muted", "net": "firing"}
    assert "host=node-3" in dana.get(page_of(disk)).content.decode()


def test_every_mute_in_force_is_on_the_queue_and_can_be_ended_there(dana, eli):
    """Also one that covers nothing just now: what it will keep quiet would be known to nobody."""
    disk = fired("disk", "Disk is full", labels={"host": "node-3"})
    form = {"one": f"mute:{disk.pk}", "minutes": "240", "labels": ["host"], "note": "moving it"}
    dana.post(ACT, form)
    resolve("disk")
    assert titles(dana) == []
    [row] = queue(dana)["totals"]["mutes"]
    assert (row["title"], row["by"], row["note"]) == ("host=node-3", "dana", "moving it")
    assert "End this mute: host=node-3" in dana.get(QUEUE).content.decode()
    viewer = person("bo", "view_alert").get(QUEUE).content.decode()
    assert "host=node-3" in viewer
    assert "End this mute" not in viewer
    page = eli.post(ACT, {"one": f"end:{row['id']}", "next": QUEUE}, follow=True)
    assert "Ended: host=node-3." in page.content.decode()
    assert queue(dana)["totals"]["mutes"] == []
    late = dana.post(ACT, {"verb": "end", "id": row["id"]}, headers=JSON).json()
    assert (late["good"], late["row"]) == (False, None)
    assert fired("disk", "Disk is full").state == State.FIRING


def test_a_note_that_is_empty_or_too_long_changes_nothing(dana, payments):
    for note in ("", " ", "x" * 501):
        said = dana.post(ACT, {"one": f"note:{payments.pk}", "note": note}, headers=JSON).json()
        assert (said["good"], said["said"]) == (
            False,
            "That could not be done. Nothing was changed.",
        )
    assert payments.events.count() == 1


def test_it_goes_back_to_no_other_site(dana, payments):
    for back in ("https://elsewhere.example/", "//elsewhere.example/", "javascript:alert(1)"):
        page = dana.post(ACT, {"one": f"acknowledge:{payments.pk}", "next": back})
        assert page.url == QUEUE
        assert dana.post(STRIP, {"next": back}).url == "/admin/"


# --- The page of one ---------------------------------------------------------------------


def test_it_shows_everything_as_text_and_leads_to_the_runbook(dana):
    one = fired(
        "k<b>",
        "<img src=x onerror=alert(1)>",
        body="</pre><script>alert(1)</script>",
        labels={"runbook_url": "https://wiki.example/pay", "x": "<i>"},
        source="<u>",
        url="/pay/",
    )
    text = dana.get(page_of(one)).content.decode()
    for markup in ("<img src=x", "<script>alert", "<i>", "<u>", "k<b>"):
        assert markup not in text
    assert '<a href="https://wiki.example/pay" rel="noreferrer">' in text
    assert '<a href="/pay/" rel="noreferrer">' in text
    assert "&quot;runbook_url&quot;: &quot;https://wiki.example/pay&quot;" in text


@pytest.mark.parametrize("runbook", ["javascript:alert(1)", "data:text/html,x", "wiki"])
def test_a_runbook_that_is_no_address_is_no_link(dana, runbook):
    one = fired("k", "Something", labels={"runbook_url": runbook})
    assert f'href="{runbook}' not in dana.get(page_of(one)).content.decode()


def test_it_leads_to_what_the_alert_is_about(dana):
    eli = get_user_model().objects.create(username="eli")
    one = fired("k", "Something", target=eli)
    assert f'<a href="/admin/auth/user/{eli.pk}/change/">eli</a>' in (
        dana.get(page_of(one)).content.decode()
    )


def test_its_trail_stays_readable_when_the_people_in_it_are_gone(dana, payments):
    dana.post(ACT, {"one": f"acknowledge:{payments.pk}", "note": "mine"})
    get_user_model().objects.get(username="dana").delete()
    page = person("eli", "view_alert").get(page_of(payments), headers=JSON).json()
    assert [(step["kind"], step["by"], step["owner"]) for step in page["events"]] == [
        ("Acknowledged", "dana", "D"),
        ("Fired", "", ""),
    ]


def test_a_long_life_is_cut_to_its_newest_part(dana, payments):
    AlertEvent.objects.bulk_create(
        AlertEvent(alert=payments, kind="noted", note=str(number)) for number in range(EVENTS)
    )
    events = dana.get(page_of(payments), headers=JSON).json()["events"]
    assert len(events) == EVENTS
    assert events[0]["note"] == str(EVENTS - 1)


# --- The strip ---------------------------------------------------------------------------


def test_the_strip_counts_critical_alerts_that_nobody_has_taken(dana, payments):
    fired("disk", "Disk is full", level="error")
    page = dana.get("/admin/").content.decode()
    assert "Critical alerts that nobody has taken: 1" in page
    assert strip_of(dana) == 1
    dana.post(ACT, {"one": f"acknowledge:{payments.pk}"})
    assert strip_of(dana) == 0


def test_it_is_put_away_for_the_session_until_the_next_critical_alert(dana, eli, payments):
    page = dana.post(STRIP, {"next": "/admin/auth/"})
    assert page.url == "/admin/auth/"
    assert (strip_of(dana), strip_of(eli)) == (0, 1)
    fired("disk", "Disk is full", level="critical")
    assert strip_of(dana) == 2


def test_what_is_repeated_or_becomes_critical_brings_it_back(dana, payments, settings):
    settings.NOTIFICATIONS = {"ALERT_REPEAT": 600}
    disk = fired("disk", "Disk is full", level="error")
    dana.post(STRIP)
    assert strip_of(dana) == 0
    fired("disk", "Disk is full", level="critical")
    assert strip_of(dana) == 2
    dana.post(ACT, {"one": f"acknowledge:{disk.pk}"})
    dana.post(STRIP)
    assert strip_of(dana) == 0
    long_ago = timezone.now() - timedelta(seconds=601)
    Alert.objects.filter(pk=payments.pk).update(changed=long_ago, due=long_ago)
    alerts.look_at_the_clock()
    assert strip_of(dana) == 1


def test_it_is_on_every_page_of_the_admin_and_on_no_other(payments):
    client = person("root", is_superuser=True)
    for path in ("/admin/", "/admin/demo/order/", "/admin/auth/user/add/", QUEUE):
        assert client.get(path).content.decode().count('class="nb-strip"') == 1, path
    assert "nb-strip" not in client.get("/notifications/").content.decode()
