"""Where alerts come from: model rules, Alertmanager, the terminal, failed logins."""

from __future__ import annotations

import io
import json

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.db.models.signals import post_save, pre_save
from django.test import Client
from django.test.utils import CaptureQueriesContext

from notifications import Alarm, AllClear, alert, logins, notify_on
from notifications.logging import reporter
from notifications.models import Alert, Pending
from notifications.stream.names import ALERTS
from notifications.stream.number import number

pytestmark = pytest.mark.django_db(transaction=True)


def queue():
    number([ALERTS])
    return list(Alert.objects.order_by("id"))


# --- Model rules -------------------------------------------------------------------------


@pytest.fixture
def rule():
    """A group is an order here: its name is its status."""
    receivers = list(pre_save.receivers), list(post_save.receivers)

    @notify_on(Group)
    def order_stuck(order, changed):
        key = f"order-{order.pk}-stuck"
        if order.name.startswith("stuck"):
            return Alarm(key, f"Order is {order.name}", level="warning", target=order)
        return [AllClear(key, "it goes on")]

    yield
    for known, before in zip((pre_save, post_save), receivers, strict=True):
        known.receivers = before
        known.sender_receivers_cache.clear()


def test_a_rule_may_raise_an_alarm_and_give_the_all_clear(rule):
    order = Group.objects.create(name="stuck at customs")
    [one] = queue()
    assert (one.key, one.title, one.target) == (
        f"order-{order.pk}-stuck",
        "Order is stuck at customs",
        order,
    )
    order.name = "shipped"
    order.save()
    [one] = queue()
    assert (one.state, one.note) == ("resolved", "it goes on")


def test_the_alarm_of_a_rule_goes_with_the_transaction_of_the_save(rule):
    with transaction.atomic():
        Group.objects.create(name="stuck")
        transaction.set_rollback(True)
    assert queue() == []
    with transaction.atomic():
        order = Group.objects.create(name="stuck")
        order.name = "stuck again"
        order.save()
        order.name = "stuck for good"
        order.save()
    [one] = queue()
    assert (one.title, one.count) == ("Order is stuck for good", 1)


# --- Alertmanager ------------------------------------------------------------------------

# As Alertmanager 0.27 sends it, but for the names.
FIRING = {
    "receiver": "site",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {
                "alertname": "InstanceDown",
                "instance": "db1.shop.example:9100",
                "job": "node",
                "severity": "critical",
                "team": "",
            },
            "annotations": {
                "description": "db1.shop.example:9100 of job node has been down for 5 minutes.",
                "runbook_url": "https://wiki.shop.example/InstanceDown",
                "summary": "Instance db1.shop.example:9100 down",
            },
            "startsAt": "2026-11-26T17:02:13.417Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.shop.example:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
            "fingerprint": "c0ffee5ba1d9e001",
        }
    ],
    "groupLabels": {"alertname": "InstanceDown"},
    "commonLabels": {"alertname": "InstanceDown", "severity": "critical"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager.shop.example:9093",
    "version": "4",
    "groupKey": '{}:{alertname="InstanceDown"}',
    "truncatedAlerts": 0,
}


def changed(**changes):
    """The payload with its one alert changed."""
    return FIRING | {"alerts": [FIRING["alerts"][0] | changes]}


RESOLVED = changed(status="resolved", endsAt="2026-11-26T17:09:58.417Z") | {"status": "resolved"}
GROUPED = FIRING | {
    "alerts": [
        FIRING["alerts"][0],
        {
            "status": "resolved",
            "labels": {"alertname": "InstanceDown", "instance": "db2"},
            "annotations": {},
            "startsAt": "2026-11-26T16:02:13Z",
            "endsAt": "2026-11-26T17:02:13Z",
            "generatorURL": "",
            "fingerprint": "c0ffee5ba1d9e002",
        },
        {
            "status": "firing",
            "labels": {"alertname": "Größe überschritten", "where": "東京 🗼", "severity": "page"},
            "annotations": {"summary": "مساحة القرص ممتلئة", "message": "läuft voll"},
            "startsAt": "2026-11-26T17:02:13Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "",
            "fingerprint": "c0ffee5ba1d9e003",
        },
        {"status": "firing", "labels": {}, "annotations": {}, "fingerprint": "c0ffee5ba1d9e004"},
    ]
}
TOKEN = "a token of the test"


@pytest.fixture
def post(transactional_db, settings):
    settings.NOTIFICATIONS = {"ALERTMANAGER_TOKEN": TOKEN}
    client = Client(enforce_csrf_checks=True)

    def post(payload, authorization=f"Bearer {TOKEN}"):
        body = payload if isinstance(payload, str | bytes) else json.dumps(payload)
        headers = {"Authorization": authorization} if authorization else {}
        return client.post(
            "/notifications/alerts/webhook/", body, "application/json", headers=headers
        )

    return post


def test_alertmanager_fires_and_resolves(post):
    answer = post(FIRING)
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "fired": 1, "resolved": 0})
    [one] = queue()
    assert (one.key, one.title, one.level_word, one.source) == (
        "alertmanager-c0ffee5ba1d9e001",
        "Instance db1.shop.example:9100 down",
        "critical",
        "alertmanager",
    )
    assert one.body.endswith("has been down for 5 minutes.")
    assert one.url.startswith("http://prometheus.shop.example:9090/graph?")
    assert one.labels["team"] == ""
    assert one.labels["runbook_url"] == "https://wiki.shop.example/InstanceDown"
    assert post(FIRING).status_code == 200
    assert post(RESOLVED).json() == {"ok": True, "fired": 0, "resolved": 1}
    [one] = queue()
    assert (one.state, one.count) == ("resolved", 2)


def test_a_group_is_taken_in_one_go_with_unicode_and_empty_labels(post):
    with CaptureQueriesContext(connection) as captured:
        assert post(GROUPED).json() == {"ok": True, "fired": 3, "resolved": 1}
    assert len([one for one in captured if one["sql"].startswith("INSERT")]) == 1
    assert len(captured) <= 4  # the transaction around it, and a look at what waits
    told = {one.key[-1]: (one.title, one.level_word, one.url) for one in queue()}
    assert told == {
        "1": ("Instance db1.shop.example:9100 down", "critical", told["1"][2]),
        "3": ("مساحة القرص ممتلئة", "critical", "http://alertmanager.shop.example:9093"),
        "4": ("Alert", "error", "http://alertmanager.shop.example:9093"),
    }
    assert Alert.objects.get(key__endswith="3").labels["where"] == "東京 🗼"


def test_without_the_token_nothing_is_taken(post, subtests):
    wrong = [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ünï"]
    for authorization in wrong:
        with subtests.test(str(authorization)):
            answer = post(FIRING, authorization)
            assert answer.status_code == 401
            assert answer["WWW-Authenticate"] == "Bearer"
    assert not Pending.objects.exists()


def test_without_a_token_in_the_settings_there_is_no_such_page(post, settings):
    settings.NOTIFICATIONS = {}
    for authorization in (None, "Bearer ", f"Bearer {TOKEN}"):
        assert post(FIRING, authorization).status_code == 404
    assert not Pending.objects.exists()


def test_a_session_is_no_token(post):
    admin = User.objects.create_superuser("admin")
    client = Client()
    client.force_login(admin)
    answer = client.post("/notifications/alerts/webhook/", json.dumps(FIRING), "application/json")
    assert answer.status_code == 401


NO_PAYLOADS = [
    ("{", "expected JSON"),
    (b"\xff\xfe", "expected JSON"),
    ("[]", "expected a JSON object, not list"),
    ({}, 'version must be "4"'),
    (FIRING | {"version": "5"}, "not '5'"),
    (FIRING | {"alerts": None}, "alerts must be a list"),
    (FIRING | {"alerts": [FIRING["alerts"][0]] * 1_001}, "at most 1000"),
    (FIRING | {"alerts": [FIRING["alerts"][0], 7]}, "alerts[1] must be an object"),
    (changed(labels=[]), "alerts[0].labels must be an object of strings"),
    (changed(labels={"a": 1}), "alerts[0].labels must be an object of strings"),
    (changed(annotations="x"), "alerts[0].annotations must be"),
    (changed(status="pending"), "alerts[0].status must be firing or resolved"),
    (changed(fingerprint="../.."), "alerts[0].fingerprint must be letters"),
]


def test_what_is_no_payload_is_refused_whole_with_the_reason(post, subtests):
    for payload, said in NO_PAYLOADS:
        with subtests.test(said):
            answer = post(payload)
            assert answer.status_code == 400
            assert said in answer.json()["error"]["detail"]
    assert not Pending.objects.exists()


def test_too_much_is_refused(post):
    assert post("x" * (2 * 1024 * 1024 + 1)).status_code == 413


def test_hostile_words_are_cut_and_no_link_leads_to_a_script(post):
    hostile = changed(
        generatorURL="javascript:alert(1)",
        labels={f"l{number}": "v" * 1_000 for number in range(60)} | {"severity": "odd"},
        annotations={"summary": "a\x00" * 500, "description": "d" * 20_000},
    ) | {"externalURL": "//evil.example"}
    assert post(hostile).status_code == 200
    [one] = queue()
    assert (one.url, one.level_word, len(one.labels)) == ("", "error", 49)
    assert len(one.title) == 200
    assert len(one.body) == Alert.BODY_LENGTH


def test_only_a_post_does_anything(post):
    assert Client().get("/notifications/alerts/webhook/").status_code == 405


# --- The terminal ------------------------------------------------------------------------


@pytest.fixture
def run(transactional_db):
    def run(*words):
        out = io.StringIO()
        call_command(*words, stdout=out, no_color=True)
        return out.getvalue().strip()

    return run


def test_alert_and_resolve_in_the_terminal(run):
    words = ("disk-full-db1", "Disk", "full", "--level", "critical", "--label", "host=db1")
    assert run("alert", *words) == "disk-full-db1: firing, told once"
    told = json.loads(run("alert", *words, "--ttl", "600", "--source", "cron", "--json"))
    assert (told["title"], told["count"], told["labels"]) == ("Disk full", 2, {"host": "db1"})
    assert Alert.objects.get().ttl == 600
    assert run("resolve", "disk-full-db1", "--note", "deleted the old logs") == (
        "disk-full-db1: resolved, it was firing"
    )
    assert run("resolve", "disk-full-db1") == "disk-full-db1: it was resolved before"
    assert json.loads(run("resolve", "disk-full-db1", "--json"))["note"] == "deleted the old logs"


MISTAKES = [
    (("alert", "k", "T", "--level", "eror"), 2, 'Did you mean "error"?'),
    (("alert", "", "T"), 2, "key must be a string that is not empty"),
    (("alert", "k", " "), 2, "needs a title"),
    (("alert", "k", "T", "--ttl", "0"), 2, "ttl must be"),
    (("resolve", "disk-ful-db1"), 4, 'no alert with the key "disk-ful-db1". Did you mean'),
    (("resolve", "disk-full-db1", "--note", "n" * 501), 2, "note is 501"),
]


def test_the_terminal_says_what_is_wrong(run, subtests):
    alert("disk-full-db1", "Disk full")
    for words, code, said in MISTAKES:
        with subtests.test(said):
            with pytest.raises(CommandError) as caught:
                run(*words)
            assert said in str(caught.value)
            assert caught.value.returncode == code
    assert [one.key for one in queue()] == ["disk-full-db1"]


def test_a_label_without_a_value_is_refused(run):
    with pytest.raises(CommandError, match="'host' is no label: expected NAME=VALUE"):
        run("alert", "k", "T", "--label", "host")


# --- Failed logins -----------------------------------------------------------------------


@pytest.fixture
def tries(transactional_db, monkeypatch, settings):
    """Try to log in; a fresh count, and a threshold of five."""
    monkeypatch.setattr(logins, "_tries", logins._Tries())
    settings.NOTIFICATIONS = {"FAILED_LOGINS": 5}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

    def tries(name, times):
        for _ in range(times):
            assert authenticate(username=name, password="wrong") is None

    yield tries
    reporter.flush(10)


def logged():
    assert reporter.flush(10)
    return [(one.title, one.body, one.count) for one in queue()]


def test_failed_logins_to_one_account_are_an_alert_over_the_threshold(tries, ana):
    tries("ana", 4)
    assert logged() == []
    tries("bo", 4)
    assert logged() == []
    tries("ana", 1)
    assert logged() == [("Failed logins to one account: 5 and more", "Account: ana", 5)]
    tries("ANA", 5)
    assert [count for *_words, count in logged()] == [10]


def test_what_was_typed_is_not_stored_where_it_is_nobodys_name(tries):
    tries("hunter2-typed-into-the-wrong-field", 5)
    [(title, body, _count)] = logged()
    assert (title, body) == ("Failed logins to one account: 5 and more", "No such account.")
    [one] = Alert.objects.all()
    assert "hunter2" not in json.dumps(one.as_json()) + one.body


def test_many_accounts_tried_a_little_are_an_alert_too(tries):
    for number_of_name in range(50):
        tries(f"name{number_of_name}", 1)
    assert [title for title, *_rest in logged()] == ["Failed logins to many accounts: 50 and more"]


def test_failed_logins_cost_no_query_and_hostile_names_no_error(
    tries, django_assert_num_queries, monkeypatch
):
    monkeypatch.setattr(logins, "ACCOUNTS", 10)
    with django_assert_num_queries(0):
        for name in ("a\x00b", "\udc80", None, 7, "x" * 100_000):
            for _ in range(6):
                logins._failed({"username": name})
    assert len(logged()) == 5
    for number_of_name in range(100):
        logins._failed({"username": str(number_of_name)})
    assert len(logins._tries.counts) == 10


def test_the_window_closes_and_nought_turns_it_off(tries, settings, monkeypatch):
    tries("ana", 4)
    logins._tries.begun -= 301
    tries("ana", 4)
    settings.NOTIFICATIONS = {"FAILED_LOGINS": 0}
    tries("ana", 20)
    assert logged() == []
