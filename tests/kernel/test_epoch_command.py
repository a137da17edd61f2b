"""`manage.py notifications_epoch`: after a restore from a backup no old cursor is continued."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from notifications import notify
from notifications.models import Entry, Process, Receipt, Stream

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run():
    def run(*arguments):
        out = io.StringIO()
        call_command("notifications_epoch", *arguments, stdout=out, no_color=True)
        return out.getvalue()

    return run


def test_a_restored_backup_with_a_new_epoch_resets_clients_that_saw_more(ana, fresh, since, run):
    notify(ana, "In the backup")
    fresh(ana)
    notify(ana, "After the backup")
    cursor = fresh(ana).counts().at
    # The backup is restored, and a number that ana's client holds is given once more.
    Receipt.objects.filter(seq=2).delete()
    Entry.objects.filter(seq=2).delete()
    Stream.objects.filter(name=f"user.{ana.pk}").update(head=1)
    assert since(ana, cursor) == ([], "ahead")
    notify(ana, "Other news under the same number")
    assert since(ana, cursor) == ([], None)  # forgotten: it is taken for old
    printed = run()
    assert printed.startswith("The log has a new epoch: every client loads its inbox anew.\n")
    assert "A backup is older than what clients have seen" in printed
    assert since(ana, cursor) == ([], "epoch")
    assert [item.title for item in fresh(ana).page().items] == [
        "Other news under the same number",
        "In the backup",
    ]


def test_a_database_that_was_never_read_gets_its_first_epoch(ana, fresh, run):
    run()
    epoch = Stream.objects.get(name=Stream.EPOCH).head
    fresh(ana)
    assert Stream.objects.get(name=Stream.EPOCH).head == epoch > 0


def test_it_asks_before_it_sends_a_crowd_to_its_inbox(transactional_db, run):
    Process.objects.create(people=500, sockets=700)
    Stream.objects.create(name=Stream.EPOCH, head=7)
    with pytest.raises(CommandError, match="refusing to reset about 500 people online") as caught:
        run()
    assert caught.value.returncode == 1
    assert Stream.objects.get(name=Stream.EPOCH).head == 7
    assert "about 500 people online (700 sockets)" in run("--yes")
    assert Stream.objects.get(name=Stream.EPOCH).head != 7
    assert json.loads(run("--yes", "--json")) == {"people": 500, "sockets": 700}
