"""`manage.py notifications_tail`: what is being pushed, live."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandParser
from django.utils import timezone

from notifications.audiences import Users
from notifications.errors import UnknownUser
from notifications.inbox import inbox_of
from notifications.management.terminal import REFUSED, Error, TerminalCommand
from notifications.models import Entry, Notification, Op
from notifications.stream.number import log_database
from notifications.stream.read import Fact, read_since
from notifications.wire import Cursor

LOOK = 0.25
"""Seconds between two looks at the log."""
WINDOW = timedelta(seconds=60)
"""What is numbered later than so long after it was stored is no live push: somebody came back."""
AT_ONCE = 1_000


class Command(TerminalCommand):
    help = (
        "Show what is being pushed to open bells, as it happens, from the log: one line each. "
        "Without --user only streams that somebody is connected to move. Ctrl-C ends it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--user", metavar="NAME", help="what this person gets, and nothing else"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object on each line")

    def handle(self, *args: Any, **options: Any) -> None:
        entries = self.theirs(options["user"]) if options["user"] else everything()
        write = as_json if options["json"] else as_text
        if sys.stderr.isatty() and options["verbosity"]:
            self.stderr.write("Waiting for news. Ctrl-C ends it.", style_func=str)
        try:
            for entry in entries:
                self.stdout.write(write(entry))
                self.stdout.flush()
        except KeyboardInterrupt:
            return
        except BrokenPipeError:
            # Whoever read it has gone. Python would complain of that once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def theirs(self, name: str) -> Iterator[dict[str, Any]]:
        """What one person's clients get, read as they do."""
        try:
            person = Users.named(name).people()[0]
        except UnknownUser as error:
            raise Error(str(error), returncode=REFUSED) from error
        inbox = inbox_of(person)
        inbox.number()  # what waits for them is old
        cursor = inbox.counts().at
        while True:
            inbox = inbox_of(get_user_model()._default_manager.get(pk=person.pk))
            inbox.number()
            reading = read_since(inbox.subscription, cursor, AT_ONCE)
            if reading.why is not None:
                cursor = reading.heads
            for run in reading.runs:
                seqs = {**cursor.seqs, inbox.subscription.key(run.stream): run.seq}
                cursor = Cursor(cursor.epoch, seqs)
                yield from (told(run.stream, fact) for fact in run.facts if is_pushed(fact))
            if not reading.runs:
                time.sleep(LOOK)


def everything() -> Iterator[dict[str, Any]]:
    """What is written into any stream from now on."""
    using = log_database()
    start = timezone.now()
    shown: dict[tuple[str, int], Any] = {}
    while True:
        since = max(start, timezone.now() - WINDOW)
        shown = {place: created for place, created in shown.items() if created >= since}
        recent = Entry.objects.using(using).filter(created__gte=since).order_by("created", "seq")
        new = [entry for entry in recent.iterator() if (entry.stream, entry.seq) not in shown]
        for start_at in range(0, len(new), AT_ONCE):
            chunk = new[start_at : start_at + AT_ONCE]
            ids = {entry.notification_id for entry in chunk}
            notifications = Notification.objects.using(using).in_bulk(ids - {None})
            for entry in chunk:
                shown[entry.stream, entry.seq] = entry.created
                notification = notifications.get(entry.notification_id or 0)
                fact = Fact(entry.seq, entry.op, entry.arg, entry.created, notification)
                if is_pushed(fact):
                    yield told(entry.stream, fact)
        time.sleep(LOOK)


def is_pushed(fact: Fact) -> bool:
    """Not what is for hubs only, nor what was withdrawn before it was read."""
    return fact.op != Op.ACCESS and (fact.op != Op.CREATED or fact.notification is not None)


def told(stream: str, fact: Fact) -> dict[str, Any]:
    one = fact.notification
    return {
        "at": fact.created.isoformat(),
        "stream": stream,
        "seq": fact.seq,
        "op": str(fact.op),
        **({"id": one.pk, "level": one.level_word, "title": one.title} if one else {}),
        **({"arg": fact.arg} if fact.arg else {}),
    }


def as_json(entry: dict[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False)


def as_text(entry: dict[str, Any]) -> str:
    at = datetime.fromisoformat(entry["at"])
    at = timezone.localtime(at) if timezone.is_aware(at) else at
    said = f'{entry["level"]:<8} "{entry["title"]}"' if "title" in entry else ""
    if "arg" in entry:
        said = f"{said} {json.dumps(entry['arg'])}".strip()
    place = f"{entry['stream']} #{entry['seq']}"
    return f"{at:%H:%M:%S.%f}"[:-3] + f"  {place:<20} {entry['op']:<10} {said}"
