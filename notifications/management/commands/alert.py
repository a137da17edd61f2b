"""`manage.py alert`: tell the operators from the terminal that something is wrong."""

from __future__ import annotations

import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from notifications.alerts import Alarm, position, tell
from notifications.errors import BadNotification
from notifications.management.terminal import BAD_ARGUMENTS, Error
from notifications.models import Alert, Level


class Command(BaseCommand):
    help = "Tell the operators that something is wrong. The same key is the same alert."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", help="what it is told by: disk-full-db1")
        parser.add_argument("title", nargs="+", help="what is wrong, on one line")
        parser.add_argument("--body", default="", help="more, below the title")
        parser.add_argument("--level", default="error", metavar="LEVEL", help=LEVELS)
        parser.add_argument("--source", default="", help="who says so: cron, backup")
        parser.add_argument("--url", default="", help="where a click leads: /path/ or https://...")
        parser.add_argument(
            "--label",
            action="append",
            default=[],
            type=_label,
            metavar="NAME=VALUE",
            help="a word to find and mute it by (repeatable)",
        )
        parser.add_argument(
            "--ttl",
            type=float,
            metavar="SECONDS",
            help="it is over by itself when it was not told again for so long",
        )
        parser.add_argument("--json", action="store_true", help="print the alert as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        content = {name: options[name] for name in ("body", "level", "source", "url", "ttl")}
        said = Alarm(
            options["key"], " ".join(options["title"]), labels=dict(options["label"]), **content
        )
        try:
            tell([said])
        except BadNotification as error:
            raise Error(str(error), returncode=BAD_ARGUMENTS) from error
        position()
        found = Alert.objects.filter(key=options["key"]).first()
        if options["json"]:
            told = found.as_json() if found else {"key": options["key"], "state": "pending"}
            self.stdout.write(json.dumps(told))
        elif found is None:
            self.stdout.write(f"Told: {options['key']}, to be counted by whoever looks first")
        else:
            self.stdout.write(f"{found.key}: {found.state}, told {times(found.count)}")


LEVELS = ", ".join(level.word for level in Level) + " (default: %(default)s)"


def times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no label: expected NAME=VALUE")
    return name, value
