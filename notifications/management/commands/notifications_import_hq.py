"""`manage.py notifications_import_hq`: take over the table of django-notifications-hq."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from notifications.hq import CHUNK, KEPT, Old, drop, is_in_the_way, is_kept, put_aside, take_over
from notifications.management.terminal import INTERRUPTED, REFUSED, Error, followed, plural
from notifications.stream.number import log_database


class Command(BaseCommand):
    help = (
        "Take over what django-notifications-hq has stored: rename its table to "
        f"{KEPT}, migrate, and import its rows with who has read what. To be run in place of the "
        "first `migrate`, with the servers stopped. May be interrupted, and run again."
    )
    requires_system_checks = ()  # one of them says that this command should be run

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say how much, and stop")
        parser.add_argument(
            "--drop", action="store_true", help="delete the old table when all of it is imported"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using = log_database()
        in_the_way = is_in_the_way(using)
        if not in_the_way and not is_kept(using):
            raise Error("there is no table of django-notifications-hq here.", returncode=REFUSED)
        if options["dry_run"]:
            Old._meta.db_table = "notifications_notification" if in_the_way else KEPT
            try:
                rows = Old._default_manager.using(using).count()
            finally:
                Old._meta.db_table = KEPT
            self.stdout.write(f"Dry run, nothing changed: {plural(rows, 'row')} to import.")
            return
        if in_the_way:
            put_aside(using)
            self.stdout.write(f"Its table is called {KEPT} now.")
        call_command("migrate", "notifications", database=using, interactive=False, verbosity=0)
        self.import_rows(using, options["drop"])

    def import_rows(self, using: str, then_drop: bool) -> None:
        imported, before, refused = 0, 0, 0
        try:
            for chunk in followed(take_over(using), "Importing", "chunk", self.stderr):
                imported += chunk.imported
                before += chunk.before
                for id, why in chunk.refused:
                    refused += 1
                    self.stderr.write(f"row {id} is left out: {why}")
        except KeyboardInterrupt:
            so_far = f"interrupted after about {plural(imported // CHUNK * CHUNK, 'row')}"
            raise Error(f"{so_far}. Run it again to go on.", returncode=INTERRUPTED) from None
        self.stdout.write(f"Imported {plural(imported, 'notification')}.")
        if before:
            self.stdout.write(f"  {plural(before, 'notification')} had been imported before")
        if refused:
            raise Error(f"{plural(refused, 'row')} left out; {KEPT} is kept.", returncode=REFUSED)
        if then_drop:
            drop(using)
            self.stdout.write(f"  {KEPT} is deleted")
        else:
            self.stdout.write(f"  {KEPT} is kept; delete it with --drop")
