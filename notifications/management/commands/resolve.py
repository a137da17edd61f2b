"""`manage.py resolve`: tell the operators from the terminal that it is over."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from notifications.alerts import position, resolve
from notifications.errors import BadNotification, did_you_mean
from notifications.management.terminal import BAD_ARGUMENTS, NOBODY, Error
from notifications.models import Alert, State


class Command(BaseCommand):
    help = "Tell the operators that it is over. Resolving it twice does no harm."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", help="the key of the alert")
        parser.add_argument("--note", default="", help="why it is over")
        parser.add_argument("--json", action="store_true", help="print the alert as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        key = options["key"]
        position()  # an alert may have been told that nobody has looked at yet
        before = Alert.objects.filter(key=key).first()
        if before is None:
            open_keys = Alert.objects.exclude(state=State.RESOLVED).values_list("key", flat=True)
            raise Error(
                f'no alert with the key "{key}".{did_you_mean(key, open_keys[:1_000])}',
                returncode=NOBODY,
            )
        try:
            resolve(key, options["note"])
        except BadNotification as error:
            raise Error(str(error), returncode=BAD_ARGUMENTS) from error
        position()
        after = Alert.objects.get(key=key)
        if options["json"]:
            self.stdout.write(json.dumps(after.as_json()))
        elif before.state == State.RESOLVED:
            self.stdout.write(f"{key}: it was resolved before")
        else:
            self.stdout.write(f"{key}: {after.state}, it was {before.state}")
