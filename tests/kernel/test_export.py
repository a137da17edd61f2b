"""What is stored about a person: a command prints it, and deleting the user erases it."""

from __future__ import annotations

import io
import json
import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from notifications import Everyone, Group, alert, broadcast, notify
from notifications.alerts import acknowledge, mute, note
from notifications.models import Alert, AlertEvent, Connection, Notification, Process, Transport
from notifications.stream.number import number

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run():
    def run(name):
        out, err = io.StringIO(), io.StringIO()
        call_command("notifications_export", "--user", name, stdout=out, stderr=err, no_color=True)
        assert err.getvalue() == ""
        return json.loads(out.getvalue())

    return run


@pytest.fixture
def a_life(ana, bo, jz, editors, fresh):
    """Everything that can be stored about ana: the same for jz, who is the outsider."""
    ana.groups.add(editors)
    fresh(ana)
    fresh(jz)
    notify(ana, "Only for ana", body="ana-secret-body", data={"ana-secret": 1}, actor=bo)
    notify([ana, bo], "For ana and bo")
    notify(bo, "About ana", actor=ana, target=ana)
    shared = broadcast(Everyone(), "For all")
    broadcast(Group(editors), "For editors")
    notify(jz, "Only for jz", body="jz-secret-body")
    for person in (ana, bo, jz):
        fresh(person)
    fresh(ana).mark_read([shared.pk])
    fresh(ana).archive([Notification.objects.get(title="Only for ana").pk])
    fresh(ana).mark_seen(upto=fresh(ana).counts().at)
    fresh(ana)
    alert("ana-alert", "About nobody")
    number(["alerts"])
    [one] = Alert.objects.all()
    acknowledge([one.pk], ana, "ana-note")
    acknowledge([one.pk], ana)
    mute([one.pk], ana, timezone.now() + timedelta(hours=1), "ana-reason")
    note([one.pk], jz, "jz-note")
    notify(ana, "Later", at=timezone.now() + timedelta(hours=1))
    notify(ana, "Pending for ana")
    process, now = Process.objects.create(), timezone.now()
    for person in (ana, jz):
        Connection.objects.create(
            process=process,
            person=person,
            transport=Transport.EVENTS,
            version=f"{person.username}-version",
            sockets=2,
            tabs=2,
            since=now,
            heard=now,
        )
    ana.user_permissions.clear()
    return ana


def test_the_export_holds_all_that_is_stored_about_a_person_and_nothing_of_others(a_life, run):
    told = run("ana")
    assert told["person"] == {
        "id": str(a_life.pk),
        "name": "ana",
        "reads": ["everyone", f"group.{a_life.groups.get().pk}", f"user.{a_life.pk}"],
    }
    rows = {row["notification"]["title"]: row for row in told["notifications"]}
    assert set(rows) == {"Only for ana", "For ana and bo", "For all", "Later", "Pending for ana"}
    secret = rows["Only for ana"]
    assert secret["notification"]["body"] == "ana-secret-body"
    assert secret["notification"]["data"] == {"ana-secret": 1}
    assert secret["notification"]["actor"]["name"] == "bo"
    assert secret["archived_at"]
    assert rows["For all"]["addressed"] == "everyone"
    assert rows["For all"]["read"] is True
    assert {row["stream"] for row in told["positions"]} >= {"everyone", f"user.{a_life.pk}"}
    assert [row["head"] for row in told["log"]] == [max(row["seq"] for row in told["entries"])]
    assert {row["op"] for row in told["entries"]} >= {"created", "read", "archived", "seen"}
    assert len(told["waiting"]) == 2
    [connection] = told["connections"]
    assert (connection["transport"], connection["version"]) == ("events", "ana-version")
    acts = [(row["alert"], row["kind"], row["note"]) for row in told["alert_events"]]
    assert acts == [
        ("ana-alert", "acknowledged", "ana-note"),
        ("ana-alert", "muted", "ana-reason"),
    ]
    assert [row["reason"] for row in told["mutes"]] == ["ana-reason"]
    assert "jz-note" not in json.dumps(told)
    [mention] = told["mentioned_in"]
    assert mention["actor"]["ref"] == f"auth.user:{a_life.pk}"
    assert "title" not in mention
    assert "jz-secret-body" not in json.dumps(told)


def test_the_export_names_every_table_with_a_column_for_a_person(a_life, run):
    """A new model about people must be exported too: this fails until it is."""
    people = {
        model._meta.model_name
        for model in apps.get_app_config("notifications").get_models()
        for field in model._meta.concrete_fields
        if field.related_model is User
    }
    exported = {
        "receipt": "notifications",
        "reader": "positions",
        "pending": "waiting",
        "connection": "connections",
        "alertevent": "alert_events",
        "mute": "mutes",
    }
    assert people == set(exported)
    told = run("ana")
    assert all(told[part] for part in exported.values())


def test_deleting_a_user_erases_what_is_theirs_and_nothing_of_others(a_life, bo, jz, run, titles):
    before = run("jz")
    pk = a_life.pk
    a_life.delete()
    number([f"user.{pk}"])
    everything = "\n".join(
        json.dumps([model._meta.label, *map(str, row)])
        for model in apps.get_app_config("notifications").get_models()
        for row in model._base_manager.values_list()
    )
    for trace in ("ana-secret", "Only for ana", "Pending for ana", "Later", f"user.{pk}"):
        assert trace not in everything
    for model in apps.get_app_config("notifications").get_models():
        for field in model._meta.concrete_fields:
            if field.related_model is User:
                assert not model._base_manager.filter(**{field.name: pk}).exists()
    # The trail of an alert keeps the name, and what was said: that is the site's.
    assert [(event.by, event.person) for event in AlertEvent.objects.filter(note="ana-note")] == [
        ("ana", None)
    ]
    # What bo was told about ana is bo's: the words stay.
    assert titles(bo) == ["For all", "About ana", "For ana and bo"]
    assert re.search(f'auth.user:{pk}"', everything)
    assert run("jz") == before


def test_deleting_many_users_at_once_erases_what_only_they_were_told(ana, bo, jz):
    notify([ana, bo], "For both")
    notify([ana, jz], "For ana and jz")
    User.objects.filter(pk__in=[ana.pk, bo.pk]).delete()
    assert list(Notification.objects.values_list("title", flat=True)) == ["For ana and jz"]


def test_an_unknown_name_is_refused_with_a_guess(ana, run):
    with pytest.raises(CommandError, match=r'no user named "anna"\. Did you mean "ana"') as caught:
        run("anna")
    assert caught.value.returncode == 1
