"""`manage.py notifications_doctor`: a tick or a cross a line, and what to do about each cross."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from notifications.doctor import about, examine
from notifications.management.terminal import REFUSED, Error, TerminalCommand, plural


class Command(TerminalCommand):
    help = (
        "Try everything that a bell needs, and say what is wrong and what to do about it. Ends "
        "with 1 if something is. Run it with the settings and on the machine of the servers."
    )
    requires_system_checks = ()  # they are part of it, and it tells them in its own way

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--origin",
            metavar="URL",
            help="where your pages are, https://shop.example (default: as the settings say)",
        )
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = []
        if not options["json"]:
            self.stdout.write(about())
        for finding in examine(options["origin"]):
            findings.append(finding)
            if options["json"]:
                continue
            mark = self.style.SUCCESS("✓") if finding.ok else self.style.ERROR("✗")
            self.stdout.write(f"{mark} {finding.name:<12} {finding.said}")
            if not finding.ok and finding.remedy:
                self.stdout.write(f"  {'':<12} {finding.remedy}")
        wrong = sum(not finding.ok for finding in findings)
        if options["json"]:
            found = [finding.__dict__ for finding in findings]
            self.stdout.write(json.dumps({"ok": not wrong, "findings": found}))
        if wrong:
            raise Error(f"{plural(wrong, 'thing')} to mend.", returncode=REFUSED)
