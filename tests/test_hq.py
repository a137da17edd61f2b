"""Coming from django-notifications-hq: with a database that it has written, and its calls."""

from __future__ import annotations

import json
import sqlite3
import subprocess

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from notifications.hq import notify
from notifications.testing import assert_not_notified, assert_notified
from tests.live.server import MANAGE, ROOT, environment

DUMP = (ROOT / "tests" / "hq" / "dump.sql").read_text()
INBOXES = """
import json
from django.contrib.auth.models import User
from notifications import inbox_of
def rows(user, view):
    return [[item.title, item.unread, item.level, item.url, item.body, item.created.isoformat(),
             item.data] for item in inbox_of(user).page(view).items]
print(json.dumps({user.username: {
    "all": rows(user, "all"), "archived": rows(user, "archived"),
    "counts": [inbox_of(user).counts().unread, inbox_of(user).counts().unseen],
} for user in User.objects.all()}))
"""


class Moved:
    """A project with the database that it had before, and our code."""

    def __init__(self, folder):
        self.file = folder / "old.sqlite3"
        with sqlite3.connect(self.file) as connection:
            connection.executescript(DUMP)
        self.env = environment(f"sqlite:///{self.file}", None)

    def manage(self, *arguments):
        return subprocess.run(
            [*MANAGE, *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def tables(self):
        with sqlite3.connect(self.file) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    return Moved(tmp_path_factory.mktemp("hq"))


def test_their_table_is_taken_over_with_who_has_read_what(moved):
    refused = moved.manage("migrate")
    assert refused.returncode == 1
    assert "Run manage.py notifications_import_hq" in refused.stderr

    dry = moved.manage("notifications_import_hq", "--dry-run")
    assert dry.stdout == "Dry run, nothing changed: 5 rows to import.\n"

    first = moved.manage("notifications_import_hq")
    assert first.returncode == 0, first.stderr
    assert "Imported 5 notifications." in first.stdout
    assert moved.manage("migrate", "--verbosity", "0").returncode == 0

    again = moved.manage("notifications_import_hq", "--drop")
    assert "Imported 0 notifications." in again.stdout
    assert "5 notifications had been imported before" in again.stdout
    assert "notifications_hq" not in moved.tables()
    assert moved.manage("notifications_import_hq").returncode == 1

    done = moved.manage("shell", "--no-imports", "--command", INBOXES)
    inboxes = json.loads(done.stdout)
    noon = "2025-03-01T{}:00:00+00:00".format
    assert inboxes["ana"]["all"] == [
        ["editors met", True, "info", "", "", noon(14), {}],
        [
            *("bo closed jz on editors", True, "warning", "/issues/7/", "At last.", noon(13)),
            {
                "url": "/issues/7/",
                "answer": 42,
                "action_object": {"name": "jz", "ref": "auth.user:3"},
            },
        ],
        ["bo reached level 60", False, "info", "", "", noon(12), {}],
    ]
    assert inboxes["ana"]["counts"] == [2, 2]
    assert inboxes["bo"]["all"] == []
    assert [row[0] for row in inboxes["bo"]["archived"]] == ["editors met"]
    assert [row[0] for row in inboxes["jz"]["all"]] == ["bo founded group 2"]


def test_without_their_table_there_is_nothing_to_do(tmp_path):
    env = environment(f"sqlite:///{tmp_path}/none.sqlite3", None)
    done = subprocess.run(
        [*MANAGE, "notifications_import_hq"], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert (done.returncode, "no table of django-notifications-hq" in done.stderr) == (1, True)


# --- notify.send ---

pytestmark = pytest.mark.django_db


@pytest.fixture
def people():
    return [User.objects.create_user(name) for name in ("ana", "bo", "jz")]


def test_a_call_as_it_was_says_what_it_said(people):
    ana, bo, jz = people
    editors = Group.objects.create(name="editors")
    then = timezone.now() - timezone.timedelta(days=1)
    ((_send, [one]),) = notify.send(
        bo,
        recipient=ana,
        verb="closed",
        action_object=jz,
        target=editors,
        level="warning",
        description="At last.",
        timestamp=then,
        public=False,
        answer=42,
    )
    assert_notified(ana, title="bo closed jz on editors", level="warning", body="At last.")
    assert_not_notified(jz)
    assert (one.actor, one.target, one.created) == (bo, editors, then)
    assert one.data == {"action_object": {"name": "jz", "ref": f"auth.user:{jz.pk}"}, "answer": 42}


def test_several_people_and_groups_are_told(people):
    ana, bo, jz = people
    editors = Group.objects.create(name="editors")
    ana.groups.add(editors)
    notify.send(sender=jz, recipient=User.objects.filter(username="bo"), verb="wrote")
    notify.send(jz, recipient=editors, verb="met", target=bo)
    assert_notified(bo, title="jz wrote")
    assert_notified(ana, title="jz met bo")
    assert_not_notified(jz)


def test_the_address_of_what_it_is_about_is_where_it_leads(people):
    from project.demo.models import Order

    ana, bo, _jz = people
    order = Order.objects.create(buyer=bo)
    notify.send(bo, recipient=ana, verb="paid", target=order)
    assert_notified(ana, title=f"bo paid {order}", url=order.get_absolute_url())
