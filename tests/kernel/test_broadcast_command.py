"""`manage.py broadcast`: what it prints, what it asks, and how it ends."""

from __future__ import annotations

import io
import json
import re
import sys
from datetime import UTC, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from notifications.management.moments import parse_when
from notifications.models import FanOut, Notification, Receipt

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
    # Half an hour more, since it is told a moment later how long that is.
    printed = run("Maintenance", "--everyone", "--level", "warning", "--expires", "11h30m", "--yes")
    sent = Notification.objects.get()
    assert (sent.title, sent.level_word, sent.audience) == ("Maintenance", "warning", "everyone")
    assert sent.expires - sent.created == timedelta(hours=11, minutes=30)
    assert "Stored once for 151 users, about 0 of them online (0 sockets)" in printed
    assert f"manage.py broadcast --recall {sent.pk}" in printed
    assert "(in 11 hours)" in printed
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
        (["Hi", "--everyone", "--at", "2020-01-01T00:00"], 2, "still to come"),
        (["Hi", "--everyone", "--key", ""], 2, "not empty"),
        (["Hi", "--users-from", "no/such/file"], 2, "no file 'no/such/file'"),
        (["-", "--users-from", "-"], 2, "both the JSON and the users"),
        (["--resume", "999999"], 1, "there is no notification 999999"),
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


# --- Lists ---------------------------------------------------------------------------------


@pytest.fixture
def names(tmp_path):
    """A file of usernames."""

    def write(*lines):
        path = tmp_path / "names.txt"
        path.write_text("\n".join(lines))
        return str(path)

    return write


@pytest.fixture
def stdin(monkeypatch):
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_file_of_names_tells_each_once_and_skips_whom_nobody_is(
    run, names, ana, bo, jz, titles, capsys
):
    file = names("ana", "", "  bo ", "anna", "ana", "bo\x00")
    assert code(run, "Hi", "--users-from", file) == (3, "left out 2 unknown names.")
    assert titles(ana) == titles(bo) == ["Hi"]
    assert titles(jz) == []
    assert not FanOut.objects.exists()


def test_names_from_stdin_and_a_group_are_told_together(run, ana, bo, dana, jz, editors, stdin):
    bo.groups.add(editors)
    stdin("ana\nbo\n")
    printed = run("Hi", "--users-from", "-", "--group", "editors", "--staff", "--json")
    assert json.loads(printed)["matched"] == 3
    assert {*Receipt.objects.values_list("person_id", flat=True)} == {ana.pk, bo.pk, dana.pk}
    assert Receipt.objects.count() == 3


def test_a_dry_run_of_a_list_counts_it_and_stores_nothing(run, names, ana, bo):
    assert run("Hi", "--users-from", names("bo", "ana"), "--dry-run") == (
        "Dry run, nothing sent: would notify 2 users: bo, ana\n"
    )
    assert not FanOut.objects.exists()
    assert not Notification.objects.exists()


def test_a_no_to_a_list_leaves_nothing_of_it(run, crowd, names, stdin):
    stdin("")
    file = names(*(person.username for person in crowd))
    assert code(run, "Hi", "--users-from", file)[0] == 1
    assert not FanOut.objects.exists()
    assert not Notification.objects.exists()


def test_the_same_key_tells_those_of_a_list_who_do_not_have_it(run, names, ana, bo, jz, titles):
    first = json.loads(run("Hi", "--users-from", names("ana"), "--key", "k", "--json"))
    again = json.loads(run("Hi", "--users-from", names("ana", "bo"), "--key", "k", "--json"))
    assert again["id"] == first["id"]
    assert titles(ana) == titles(bo) == ["Hi"]
    run("--recall", str(first["id"]))
    file = names("ana", "jz")
    assert code(run, "Hi", "--users-from", file, "--key", "k")[0] == 1
    assert titles(jz) == []
    assert not FanOut.objects.exists()


def test_a_group_that_grew_is_told_once_under_its_key(run, ana, bo, dana, editors, titles):
    ana.groups.add(editors)
    for _ in range(2):
        run("Hi", "--group", "editors", "--staff", "--key", "k")
        bo.groups.add(editors)
    assert titles(ana) == titles(bo) == titles(dana) == ["Hi"]


# --- JSON on stdin ---------------------------------------------------------------------------


def test_one_object_on_stdin_may_have_any_form(run, ana, stdin, titles):
    stdin('{\n  "title": "Hi",\n  "url": "/x/", "level": "error", "expires": "2h"\n}\n')
    result = json.loads(run("-", "--everyone", "--json"))
    sent = Notification.objects.get(pk=result["id"])
    assert (sent.title, sent.url, sent.level_word) == ("Hi", "/x/", "error")
    assert (sent.expires - sent.created).total_seconds() == 7200


def test_each_line_is_one_and_options_say_what_lines_leave_out(run, ana, stdin, titles):
    stdin('{"title": "One"}\n\n{"title": "Two", "level": "info", "data": {"a": [1]}}\n')
    printed = run("-", "--user", "ana", "--level", "warning", "--json")
    assert [json.loads(line)["matched"] for line in printed.splitlines()] == [1, 1]
    assert titles(ana) == ["Two", "One"]
    levels = Notification.objects.order_by("pk").values_list("level", "data")
    assert list(levels) == [(30, {}), (20, {"a": [1]})]


def test_a_line_that_cannot_be_sent_does_not_stop_the_others(run, ana, stdin, titles):
    stdin('{"title": "One"}\n{"title": ""}\nno json\n{"titel": "x"}\n[]\n{"title": "Two"}\n')
    assert code(run, "-", "--user", "ana") == (3, "4 lines could not be sent, 2 could.")
    assert titles(ana) == ["Two", "One"]


@pytest.mark.parametrize(
    ("text", "returncode", "says"),
    [
        ("", 2, "stdin is empty"),
        ("no json", 2, "no JSON"),
        ('{"titel": "x"}', 2, 'Did you mean "title"?'),
        ('{"title": 7}', 2, "title must be a string"),
        ('{"title": "x", "at": "soon"}', 2, "is no time"),
        ('{"title": "x", "level": "loud"}', 2, "unknown level"),
        ('{"title": ""}\n{"title": ""}', 1, "2 lines could not be sent, 0 could."),
    ],
)
def test_stdin_that_says_nothing_to_send(run, ana, stdin, text, returncode, says):
    stdin(text)
    ended, message = code(run, "-", "--everyone")
    assert says in message
    assert ended == returncode
    assert not Notification.objects.exists()


# --- Times ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "text", "utc"),
    [
        ("UTC", "2026-11-23T06:00", "2026-11-23T06:00"),
        ("Europe/Berlin", "2026-03-29T01:59", "2026-03-29T00:59"),
        ("Europe/Berlin", "2026-03-29T03:00", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-10-25 02:30:00+02:00", "2026-10-25T00:30"),
        ("Europe/Berlin", "2026-10-25T03:00", "2026-10-25T02:00"),
        ("Australia/Lord_Howe", "2026-04-05T02:15", "2026-04-04T15:45"),
        ("America/New_York", "2026-07-01T12:00Z", "2026-07-01T12:00"),
    ],
)
def test_a_time_is_the_sites_own_whatever_its_clocks_do(zone, text, utc):
    with timezone.override(zone):
        assert parse_when(text).astimezone(UTC).isoformat() == f"{utc}:00+00:00"


@pytest.mark.parametrize(
    ("zone", "text", "says"),
    [
        ("Europe/Berlin", "2026-03-29T02:30", "does not exist in Europe/Berlin"),
        ("Europe/Berlin", "2026-03-29T02:30", "Did you mean 2026-03-29T03:30:00+02:00?"),
        ("Europe/Berlin", "2026-10-25T02:30", "twice in Europe/Berlin"),
        (
            "Europe/Berlin",
            "2026-10-25T02:30",
            "Say which: 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00.",
        ),
        ("America/New_York", "2026-11-01T01:30", "twice"),
        ("Australia/Lord_Howe", "2026-10-04T02:15", "does not exist"),
    ],
)
def test_a_time_that_does_not_exist_or_is_twice_is_refused_with_the_remedy(zone, text, says):
    with timezone.override(zone), pytest.raises(ValueError, match=re.escape(says)):
        parse_when(text)


def test_a_span_across_a_change_of_clocks_is_so_many_hours():
    assert parse_when("1d12h") == timedelta(hours=36)


def test_expiry_counts_from_the_time_of_delivery(run, ana):
    run("Hi", "--everyone", "--at", "3h", "--expires", "1d")
    sent = Notification.objects.get()
    assert sent.expires - sent.created == timedelta(days=1)
    assert timedelta(hours=2, minutes=59) < sent.created - timezone.now() < timedelta(hours=3)


def test_verbosity_0_says_nothing(run, ana):
    assert run("Hi", "--everyone", "--verbosity", "0") == ""
    assert Notification.objects.count() == 1
