"""`manage.py broadcast`: tell an audience something from the terminal."""

from __future__ import annotations

import argparse
import json
import re
import time
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.timesince import timeuntil

from notifications.audiences import Audience, Everyone, Group, Staff, Users
from notifications.conf import conf
from notifications.errors import BadNotification, UnknownRecipient
from notifications.management.terminal import (
    BAD_ARGUMENTS,
    INTERRUPTED,
    NOBODY,
    REFUSED,
    Error,
    confirm,
    plural,
)
from notifications.models import Level, Notification, Process
from notifications.notify import broadcast, draft

UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
DURATION = re.compile(r"(\d+)([wdhms])")


class Command(BaseCommand):
    help = "Tell everyone, the staff, a group or chosen users something, at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("title", nargs="?", help="what to say, on one line")
        who = parser.add_argument_group("audience")
        who.add_argument("--everyone", action="store_true", help="all people with an account")
        who.add_argument("--staff", action="store_true", help="people who may enter the admin")
        who.add_argument("--group", action="append", default=[], metavar="NAME")
        who.add_argument("--user", action="append", default=[], metavar="NAME")
        what = parser.add_argument_group("content")
        what.add_argument("--body", default="", help="more, below the title")
        what.add_argument("--url", default="", help="where a click leads: /path/ or https://...")
        what.add_argument("--level", default="info", choices=[level.word for level in Level])
        what.add_argument("--kind", default="", help="a word that clients can tell it by")
        what.add_argument(
            "--expires",
            type=_moment,
            metavar="WHEN",
            help="11h, 1d12h, or 2026-11-23T06:00: when it disappears by itself",
        )
        what.add_argument("--at", type=_moment, metavar="WHEN", help="deliver it then, not now")
        what.add_argument("--key", help="the same key to the same audience is sent only once")
        how = parser.add_argument_group("how")
        how.add_argument(
            "--yes", "--no-input", action="store_true", help="do not ask before sending"
        )
        how.add_argument("--dry-run", action="store_true", help="say who would get it, and stop")
        how.add_argument("--json", action="store_true", help="print the result as JSON")
        how.add_argument("--recall", type=int, metavar="ID", help="withdraw a notification")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["recall"] is not None:
                self.recall(options["recall"], options["json"])
            else:
                self.send(options)
        except KeyboardInterrupt:
            raise Error("interrupted; nothing was sent.", returncode=INTERRUPTED) from None

    def send(self, options: dict[str, Any]) -> None:
        content = {name: options[name] for name in ("body", "url", "level", "kind", "at")}
        content["expires"] = options["expires"]
        try:
            audience = self.audience(options)
            notification = draft(options["title"] or "", **content)
            people = audience.people()
            matched = people.count()
        except UnknownRecipient as error:
            raise Error(str(error), returncode=REFUSED) from error
        except BadNotification as error:
            raise Error(str(error), returncode=BAD_ARGUMENTS) from error
        if not matched:
            raise Error(f"nobody to notify: {audience} has no users.", returncode=NOBODY)
        if options["dry_run"]:
            self.would_notify(people, matched, audience, options["json"])
            return
        if not options["json"]:
            self.describe(notification, audience, matched, options["at"])
        if matched > conf.confirm_above and not options["yes"]:
            matching = plural(matched, "user")
            confirm(
                f"Send to {matching}?",
                f"refusing to notify {matching}",
                "nothing sent.",
                self.stderr,
            )
        start = time.perf_counter()
        sent = broadcast(audience, options["title"], key=options["key"], **content)
        seconds = time.perf_counter() - start
        online, sockets = Process.objects.online()
        if options["json"]:
            result = {
                "id": sent.pk,
                "audience": str(audience),
                "matched": matched,
                "online": min(online, matched),
                "seconds": round(seconds, 3),
            }
            self.stdout.write(json.dumps(result))
            return
        stored = "Stored once" if sent.audience else "Stored"
        reach = ""
        if sent.audience == "everyone":
            reach = f", about {online:,} of them online ({plural(sockets, 'socket')})"
        self.stdout.write(
            f"{stored} for {plural(matched, 'user')}{reach}, in {seconds * 1000:.0f} ms"
        )
        self.stdout.write(
            f"  id {sent.pk}   withdraw it with: manage.py broadcast --recall {sent.pk}"
        )

    def audience(self, options: dict[str, Any]) -> Audience:
        """The audience that was asked for: all that was named, together."""
        named: list[Audience] = [*map(Group, options["group"])]
        for group in named:
            group.stream()  # an unknown group is told before anything else happens
        if options["everyone"]:
            named.append(Everyone())
        if options["staff"]:
            named.append(Staff())
        if options["user"]:
            named.append(Users.named(*options["user"]))
        if not named:
            raise Error(
                "say who: --everyone, --staff, --group NAME or --user NAME.",
                returncode=BAD_ARGUMENTS,
            )
        return reduce(or_, named)

    def describe(
        self, notification: Notification, audience: Audience, matched: int, at: datetime | None
    ) -> None:
        self.stdout.write(f'Broadcast "{notification.title}"   level={notification.level_word}')
        self.stdout.write(f"  Audience   {audience!s:<40}  {plural(matched, 'user')}")
        for label, moment in (("Deliver", at), ("Expires", notification.expires)):
            if moment is not None:
                self.stdout.write(f"  {label}    {_told(moment)}")

    def would_notify(self, people: Any, matched: int, audience: Audience, as_json: bool) -> None:
        if as_json:
            result = {"dry_run": True, "audience": str(audience), "matched": matched}
            self.stdout.write(json.dumps(result))
            return
        names = [user.get_username() for user in people.order_by("pk")[:5]]
        more = f" and {matched - len(names):,} more" if matched > len(names) else ""
        self.stdout.write(
            f"Dry run, nothing sent: would notify {plural(matched, 'user')}: "
            f"{', '.join(names)}{more}"
        )

    def recall(self, id: int, as_json: bool) -> None:
        notification = Notification.objects.filter(pk=id).first()
        if notification is None:
            raise Error(f"there is no notification {id}.", returncode=REFUSED)
        withdrawn = notification.recall()
        if as_json:
            self.stdout.write(json.dumps({"id": id, "recalled": withdrawn}))
        elif withdrawn:
            self.stdout.write(f'Withdrew {id} "{notification.title}" from every inbox.')
        else:
            self.stdout.write(f'{id} "{notification.title}" was withdrawn before.')


def _moment(text: str) -> datetime:
    """A time from `11h`, `1d12h` (from now) or an ISO date and time (in the site's time zone)."""
    parts = DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        spans = (timedelta(**{UNITS[unit]: int(number)}) for number, unit in parts)
        try:
            return timezone.now() + sum(spans, timedelta())
        except OverflowError:
            raise argparse.ArgumentTypeError(f"{text!r} is too far away") from None
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: expected something like 11h, 1d12h or 2026-11-23T06:00"
        )
    aware = timezone.is_aware(timezone.now())
    return timezone.make_aware(moment) if aware and timezone.is_naive(moment) else moment


def _told(moment: datetime) -> str:
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    return f"{local:%Y-%m-%d %H:%M %Z} (in {timeuntil(moment, depth=1)})".replace("\xa0", " ")
