"""`manage.py notifications_export`: everything that is stored about a person, as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from notifications.audiences import Users
from notifications.errors import UnknownUser
from notifications.export import export
from notifications.management.terminal import INTERRUPTED, REFUSED, Error, TerminalCommand, followed


class Command(TerminalCommand):
    help = (
        "Print everything that notifications store about a person, as one JSON object. What "
        "deleting the user erases is all of it but `mentioned_in`, which is in others' inboxes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", required=True, metavar="NAME", help="by their login name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            person = Users.named(options["user"]).people().get()
        except UnknownUser as error:
            raise Error(str(error), returncode=REFUSED) from error
        try:
            for text in self.pieces(person):
                self.stdout.write(text, ending="")
        except KeyboardInterrupt:
            raise Error(
                "interrupted; what was printed is incomplete.", returncode=INTERRUPTED
            ) from None

    def pieces(self, person: Any) -> Iterator[str]:
        """The JSON text bit by bit: a person may have very much, and memory has an end."""
        encode = DjangoJSONEncoder(ensure_ascii=False).encode
        before = "{"
        for name, part in export(person):
            yield f"{before}\n  {encode(name)}: "
            before = ","
            if isinstance(part, dict):
                yield encode(part)
                continue
            yield "["
            comma = ""
            for row in followed(part, f"Exporting {name}", "row", self.stderr):
                yield f"{comma}\n    {encode(row)}"
                comma = ","
            yield "]"
        yield "\n}\n"
