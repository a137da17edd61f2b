"""`manage.py notifications_epoch`: begin a new history, after a restore from a backup."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from notifications.conf import conf
from notifications.management.terminal import Error, TerminalCommand, confirm, plural
from notifications.models import Process
from notifications.stream.read import new_epoch

WHY = """\
A backup is older than what clients have seen: the numbers that they hold would be given once
more, to other news, which they would take for old. Under a new epoch no cursor from before is
continued. Nothing is deleted, and nobody is logged out."""


class Command(TerminalCommand):
    help = (
        "Give the log a new epoch. To be run after the database was restored from a backup, "
        "before the servers start: every client then loads its inbox anew."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--yes", "--no-input", action="store_true", help="do not ask")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        people, sockets = Process.objects.online()
        online = f"about {plural(people, 'person')} online"
        if people > conf.confirm_above and not options["yes"]:
            question = f"Make {online} load their inbox anew?"
            try:
                confirm(question, f"refusing to reset {online}", "nothing changed.", self.stderr)
            except KeyboardInterrupt:
                raise Error("interrupted; nothing changed.", returncode=130) from None
        new_epoch()
        if options["json"]:
            self.stdout.write(json.dumps({"people": people, "sockets": sockets}))
            return
        self.stdout.write("The log has a new epoch: every client loads its inbox anew.")
        if sockets:
            self.stdout.write(
                f"  {online} ({plural(sockets, 'socket')}): they start again within "
                f"{max(conf.sweep, conf.sweep_unhealthy):.0f} s"
            )
        if options["verbosity"] > 0:
            self.stdout.write(WHY)
