"""`manage.py broadcast`: what it prints, what it asks, and how it ends."""

from __future__ import annotations

import io
import json
import sys

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from notifications.models import Notification, Receipt

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run():
    """Run the command; what it printed on stdout. Its prompts go to stderr."""

    def run(*arguments):
        out, err = io.StringIO(), io.StringIO()
        call_command("broadcast", *arguments, stdout=out, stderr=err, no_color=True)
        return out.getvalue()

    return run


@pytest.fixture
def crowd(transactional_db):
    """More people than may be told without a question."""
    return User.objects.bulk_create(User(username=f"p{n}") for n in range(150))


def code(run, *arguments):
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return caught.value.returncode, str(caught.value)


def test_everyone_is_one_row_and_it_says_how_to_withdraw_it(run, crowd, ana, titles):
    printed = run("Maintenance", "--everyone", "--level", "warning", "--expires", "11h", "--yes")
    sent = Notification.objects.get()
    assert (sent.title, sent.level_word, sent.audience) == ("Maintenance", "warning", "everyone")
    assert (sent.expires - sent.created).total_seconds() == pytest.approx(11 * 3600, abs=5)
    assert "Stored once for 151 users, about 0 of them online (0 sockets)" in printed
    assert f"manage.py broadcast --recall {sent.pk}" in printed
    assert "(in 10 hours)" in printed or "(in 11 hours)" in printed
    assert titles(ana) == ["Maintenance"]
    assert f'Withdrew {sent.pk} "Maintenance"' in run("--recall", str(sent.pk))
    assert titles(ana) == []
    assert "was withdrawn before" in run("--recall", str(sent.pk))


def test_named_groups_and_users_are_told_together_and_nobody_else(
    run, ana, bo, dana, jz, editors, titles
):
    bo.groups.add(editors)
    run("Hi", "--group", "editors", "--user", "ana", "--user", "bo", "--staff")
    assert titles(ana) == titles(bo) == titles(dana) == ["Hi"]
    assert titles(jz) == []
    assert Receipt.objects.count() == 3


def test_json_is_all_that_is_printed(run, ana):
    result = json.loads(run("Hi", "--everyone", "--json"))
    assert result == {
        "id": Notification.objects.get().pk,
        "audience": "everyone",
        "matched": 1,
        "online": 0,
        "seconds": result["seconds"],
    }


def test_a_dry_run_names_people_and_stores_nothing(run, crowd):
    printed = run("Hi", "--everyone", "--dry-run")
    assert printed == (
        "Dry run, nothing sent: would notify 150 users: p0, p1, p2, p3, p4 and 145 more\n"
    )
    assert not Notification.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "returncode", "says"),
    [
        (["Hi", "--group", "editor"], 1, 'no group named "editor". Did you mean "editors"?'),
        (["Hi", "--user", "anna"], 1, 'no user named "anna". Did you mean "ana"?'),
        (["Hi"], 2, "say who"),
        (["", "--everyone"], 2, "not empty"),
        (["--everyone"], 2, "not empty"),
        (["x" * 201, "--everyone"], 2, "title is 201 characters"),
        (["Hi", "--everyone", "--url", "javascript:alert(1)"], 2, "unsafe url"),
        (["Hi", "--everyone", "--expires", "2020-01-01T00:00"], 2, "later than"),
        (["Hi", "--group", "editors"], 4, "nobody to notify"),
        (["--recall", "999999"], 1, "there is no notification 999999"),
    ],
)
def test_what_cannot_be_done_ends_with_its_own_code_and_stores_nothing(
    run, ana, editors, arguments, returncode, says
):
    ended, message = code(run, *arguments)
    assert says in message
    assert ended == returncode
    assert not Notification.objects.exists()


@pytest.mark.parametrize("when", ["soon", "11", "1h soon", "2026-13-01T00:00", "9" * 20 + "w"])
def test_what_is_no_time_is_refused(run, ana, when):
    with pytest.raises(CommandError, match=r"is no time|too far away"):
        run("Hi", "--everyone", "--expires", when)


def test_without_a_terminal_to_ask_at_it_refuses(run, crowd, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert code(run, "Hi", "--everyone") == (
        1,
        "refusing to notify 150 users without confirmation; add --yes.",
    )
    assert not Notification.objects.exists()


@pytest.mark.parametrize(("answer", "sends"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_above_a_hundred_people_it_asks(run, crowd, monkeypatch, answer, sends):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    if sends:
        run("Hi", "--everyone")
    else:
        assert code(run, "Hi", "--everyone") == (1, "nothing sent.")
    assert Notification.objects.exists() is sends


def test_the_same_key_is_sent_once(run, ana, titles):
    first = json.loads(run("Hi", "--everyone", "--key", "k", "--json"))
    assert json.loads(run("Hi", "--everyone", "--key", "k", "--json"))["id"] == first["id"]
    assert titles(ana) == ["Hi"]
