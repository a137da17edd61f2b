"""`manage.py notifications_prune`: let the log forget what is old. For a nightly timer."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from notifications.alerts import forget, forget_hours, resolved
from notifications.conf import conf
from notifications.management.terminal import (
    BAD_ARGUMENTS,
    INTERRUPTED,
    Error,
    TerminalCommand,
    followed,
    plural,
)
from notifications.stream.fan_out import forget_drafts, step
from notifications.stream.prune import (
    Limits,
    cuts,
    delete_ended,
    ended,
    number_the_absent,
    prune,
    waiting,
)


class Command(TerminalCommand):
    help = (
        "Prune the log: old entries, what waits for people long absent, and (if asked to) what "
        "has expired or was withdrawn. Inboxes stay as they are; a client that was away for "
        "longer loads its inbox anew."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            type=int,
            default=conf.keep_days,
            metavar="N",
            help="keep the log of so many days (default: KEEP_DAYS, %(default)s)",
        )
        parser.add_argument(
            "--entries",
            type=int,
            default=conf.keep_entries,
            metavar="N",
            help="keep so many entries of a stream at most (default: KEEP_ENTRIES, %(default)s)",
        )
        parser.add_argument(
            "--ended-days",
            type=int,
            default=conf.keep_ended_days,
            metavar="N",
            help="delete what expired or was withdrawn so long ago; 0: nothing "
            "(default: KEEP_ENDED_DAYS, %(default)s)",
        )
        parser.add_argument(
            "--alert-days",
            type=int,
            default=conf.keep_alert_days,
            metavar="N",
            help="delete alerts that were resolved so long ago, with their trail; 0: none "
            "(default: KEEP_ALERT_DAYS, %(default)s)",
        )
        parser.add_argument("--dry-run", action="store_true", help="say how much, and stop")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if min(options[name] for name in ("days", "entries", "ended_days", "alert_days")) < 0:
            raise Error("a number of days or entries is not negative.", returncode=BAD_ARGUMENTS)
        now = timezone.now()
        limits = Limits(now - timedelta(days=options["days"]), options["entries"])
        gone = now - timedelta(days=options["ended_days"]) if options["ended_days"] else None
        over = now - timedelta(days=options["alert_days"]) if options["alert_days"] else None
        done = {"numbered": 0, "entries": 0, "streams": 0, "notifications": 0, "alerts": 0}
        start = time.perf_counter()
        try:
            self.work(done, limits, gone, options["dry_run"])
            self.forget_alerts(done, limits.since, over, options["dry_run"])
        except KeyboardInterrupt:
            raise Error(
                f"interrupted; {said(done)} so far. Run it again to go on.",
                returncode=INTERRUPTED,
            ) from None
        seconds = time.perf_counter() - start
        if options["json"]:
            result = {"dry_run": True, **done} if options["dry_run"] else done
            self.stdout.write(json.dumps(result | {"seconds": round(seconds, 3)}))
            return
        if options["dry_run"]:
            self.stdout.write(f"Dry run, nothing deleted: would have {said(done)}")
        else:
            self.stdout.write(f"{said(done).capitalize()}, in {seconds * 1000:,.0f} ms")
        self.stdout.write(
            f"  kept: {plural(options['days'], 'day')} of the log, "
            f"at most {options['entries']:,} entries of a stream"
        )

    def work(self, done: dict[str, int], limits: Limits, gone: Any, dry: bool) -> None:
        """Do it step by step, counting in `done`; only count when `dry`."""
        if dry:
            done["numbered"] = waiting(limits.since).count()
        else:
            numbering = number_the_absent(limits.since)
            for rows in followed(numbering, "Numbering", "chunk", self.stderr):
                done["numbered"] += rows
            forget_drafts()
            # Where no server holds sockets, nobody else may have told them.
            for _step in followed(iter(step, None), "Telling lists", "part", self.stderr):
                pass
        for chunk in followed(cuts(limits), "Pruning", "chunk", self.stderr):
            for cut in chunk:
                done["entries"] += cut.to - cut.floor if dry else prune(cut)
                done["streams"] += 1
        if gone is None:
            return
        if dry:
            done["notifications"] = ended(gone).count()
            return
        for number in followed(delete_ended(gone), "Deleting", "chunk", self.stderr):
            done["notifications"] += number

    def forget_alerts(
        self, done: dict[str, int], since: datetime, over: datetime | None, dry: bool
    ) -> None:
        """The hours of alerts for as long as the log, and the alerts themselves if asked to."""
        if not dry:
            for _hours in followed(forget_hours(since), "Deleting hours", "chunk", self.stderr):
                pass
        if over is None:
            return
        if dry:
            done["alerts"] = resolved(over).count()
            return
        for number in followed(forget(over), "Deleting alerts", "chunk", self.stderr):
            done["alerts"] += number


def said(done: dict[str, int]) -> str:
    """`pruned 12,400 entries of 310 streams, and ...`."""
    parts = [f"pruned {plural(done['entries'], 'entry')} of {plural(done['streams'], 'stream')}"]
    if done["numbered"]:
        parts.append(f"numbered {plural(done['numbered'], 'row')} of people long absent")
    if done["notifications"]:
        parts.append(f"deleted {plural(done['notifications'], 'ended notification')}")
    if done["alerts"]:
        parts.append(f"deleted {plural(done['alerts'], 'resolved alert')}")
    return ", ".join(parts)
