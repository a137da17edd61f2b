"""`manage.py broadcast`: tell an audience something from the terminal."""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import reduce
from itertools import chain, islice
from operator import or_
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandParser, OutputWrapper
from django.utils import timezone

from notifications.audiences import Audience, Everyone, Group, Staff, Usernames, Users
from notifications.conf import conf
from notifications.errors import BadField, BadNotification, UnknownRecipient, did_you_mean
from notifications.management.moments import moment_of, parse_when, told
from notifications.management.terminal import (
    BAD_ARGUMENTS,
    INTERRUPTED,
    NOBODY,
    PARTLY,
    REFUSED,
    Error,
    TerminalCommand,
    confirm,
    plural,
    progress,
)
from notifications.models import Level, Notification, Process
from notifications.notify import deliver, digest, draft, send_list
from notifications.reach import online, online_of, size
from notifications.stream import fan_out
from notifications.stream.number import log_database

FIELDS = {
    name: ("" if name != "data" else None)
    for name in ("title", "body", "url", "level", "kind", "expires", "at", "key", "data")
}
"""What a JSON object on stdin may say."""
NAMED = 5
"""People whom a dry run names."""


class Command(TerminalCommand):
    help = (
        "Tell everyone, the staff, a group or chosen users something, at once. "
        "Ends with 0 when all is well, 1 when it was refused or failed, 2 for bad arguments, "
        "3 when some of it failed, 4 when nobody matched, 130 when interrupted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "title",
            nargs="?",
            help="what to say, on one line; or -, and stdin has a JSON object with title, body, "
            "url, level, kind, data, expires, at, key, or one such on each line",
        )
        who = parser.add_argument_group("audience")
        who.add_argument("--everyone", action="store_true", help="all people with an account")
        who.add_argument("--staff", action="store_true", help="people who may enter the admin")
        who.add_argument("--group", action="append", default=[], metavar="NAME")
        who.add_argument("--user", action="append", default=[], metavar="NAME")
        who.add_argument(
            "--users-from", metavar="FILE", help="usernames, one on each line; - is stdin"
        )
        what = parser.add_argument_group("content")
        what.add_argument("--body", default="", help="more, below the title")
        what.add_argument("--url", default="", help="where a click leads: /path/ or https://...")
        what.add_argument("--level", default="info", choices=[level.word for level in Level])
        what.add_argument("--kind", default="", help="a word that clients can tell it by")
        what.add_argument(
            "--expires",
            type=_when,
            metavar="WHEN",
            help="11h or 1d12h from when it is delivered, or 2026-11-23T06:00 in the site's time "
            "zone: when it disappears by itself",
        )
        what.add_argument("--at", type=_when, metavar="WHEN", help="deliver it then, not now")
        what.add_argument(
            "--key", help="the same key to the same audience is sent to each person only once"
        )
        how = parser.add_argument_group("how")
        how.add_argument(
            "--yes", "--no-input", action="store_true", help="do not ask before sending"
        )
        how.add_argument("--dry-run", action="store_true", help="say who would get it, and stop")
        how.add_argument("--json", action="store_true", help="print the result as JSON")
        how.add_argument("--recall", type=int, metavar="ID", help="withdraw a notification")
        how.add_argument(
            "--resume", type=int, metavar="ID", help="go on with a list that was interrupted"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.options = options
        self.quiet = options["json"] or options["verbosity"] == 0
        self.on_its_way: Notification | None = None
        self.size = self.sent = 0
        self.confirmed = options["yes"]
        try:
            if options["recall"] is not None:
                self.recall(options["recall"])
            elif options["resume"] is not None:
                self.resume(options["resume"])
            elif options["title"] == "-":
                self.send_each()
            else:
                self.send(self.content(options), self.audience())
        except BadNotification as error:
            raise _as_error(error) from error
        except KeyboardInterrupt:
            raise Error(self.how_far(), returncode=INTERRUPTED) from None

    def say(self, text: str) -> None:
        if not self.quiet:
            self.stdout.write(text)

    # --- What to say, and to whom ---

    def content(self, given: dict[str, Any]) -> dict[str, Any]:
        """What is said, from the options or from JSON; what JSON leaves out, the options say."""
        content = {name: given.get(name, self.options.get(name)) for name in FIELDS}
        content["title"] = content["title"] or ""
        for name in ("expires", "at"):
            text = content[name]
            if isinstance(text, str):
                try:
                    content[name] = parse_when(text)
                except ValueError as error:
                    raise BadField(name, f"a time ({error})", text) from error
        if content["at"] is not None:
            try:
                content["at"] = moment_of(content["at"])
            except ValueError as error:
                raise BadField("at", "a time of this world", content["at"]) from error
            if content["at"] <= timezone.now():
                raise BadField("at", "a time that is still to come", str(content["at"]))
        return content

    def audience(self) -> Audience:
        """The audience that was asked for: all that was named, together."""
        options = self.options
        named: list[Audience] = [*map(Group, options["group"])]
        for group in named:
            try:
                group.stream()  # an unknown group is told before anything else happens
            except UnknownRecipient as error:
                raise Error(str(error), returncode=REFUSED) from error
        if options["everyone"]:
            named.append(Everyone())
        if options["staff"]:
            named.append(Staff())
        if options["user"]:
            try:
                named.append(Users.named(*options["user"]))
            except UnknownRecipient as error:
                raise Error(str(error), returncode=REFUSED) from error
        together = [reduce(or_, named)] if named else []
        if options["users_from"]:
            together.append(self.listed(options["users_from"]))
        if not together:
            raise Error(
                "say who: --everyone, --staff, --group NAME, --user NAME or --users-from FILE.",
                returncode=BAD_ARGUMENTS,
            )
        return together[0] if len(together) == 1 else _Together(together)

    def listed(self, file: str) -> Usernames:
        if file != "-":
            path = Path(file)
            if not path.is_file():
                raise Error(f"there is no file {file!r}.", returncode=BAD_ARGUMENTS)
            return Usernames(lambda: _lines(path), path.name)
        if self.options["title"] == "-":
            raise Error("stdin cannot be both the JSON and the users.", returncode=BAD_ARGUMENTS)
        return Usernames(lambda: sys.stdin, "stdin")

    # --- One, or one for each line of stdin ---

    def send_each(self) -> None:
        """Send what stdin says; a line that cannot be sent does not stop the others."""
        audience = self.audience()
        failures: list[Error] = []
        for number, given in enumerate(_objects(sys.stdin), 1):
            try:
                self.send(self.content(_checked(given)), audience)
            except (Error, BadNotification) as error:
                failures.append(_as_error(error))
                self.stderr.write(f"line {number}: {error}")
            else:
                self.sent += 1
        if not failures and not self.sent:
            raise Error("stdin is empty: expected JSON.", returncode=BAD_ARGUMENTS)
        if failures and not self.sent and len(failures) == 1:
            raise failures[0]
        if failures:
            raise Error(
                f"{plural(len(failures), 'line')} could not be sent, {self.sent:,} could.",
                returncode=PARTLY if self.sent else REFUSED,
            )

    def send(self, content: dict[str, Any], audience: Audience) -> None:
        key = content.pop("key")
        try:
            notification = draft(**content)
            digest(key, None, [])
            if audience.stream() is not None:
                self.send_shared(notification, audience, key, content["at"])
            else:
                self.send_list(notification, audience, key, content["at"])
        except UnknownRecipient as error:
            raise Error(str(error), returncode=REFUSED) from error
        except BadNotification as error:
            raise _as_error(error) from error
        except (OSError, UnicodeDecodeError) as error:
            raise Error(f"cannot read {audience}: {error}.", returncode=REFUSED) from error

    def send_shared(
        self, notification: Notification, audience: Audience, key: str | None, at: datetime | None
    ) -> None:
        matched = size(audience)
        if not self.wanted(notification, audience, matched, at):
            return
        start = time.perf_counter()
        sent, new = deliver(notification, audience, key, at)
        seconds = time.perf_counter() - start
        self.report(sent, new, audience, matched, online(audience), seconds)

    def send_list(
        self, notification: Notification, audience: Audience, key: str | None, at: datetime | None
    ) -> None:
        """Write the list down, ask, send it, and help to tell it."""
        using = log_database()
        if self.options["dry_run"]:
            self.wanted(notification, audience, sum(map(len, audience.pages())), at)
            self.tell_unknown(audience)
            return
        start = time.perf_counter()
        listed, matched = fan_out.write_down(audience.pages(), at, using)
        seconds = time.perf_counter() - start
        try:
            self.tell_unknown(audience)
            self.wanted(notification, audience, matched, at)
        except BaseException:
            fan_out.discard(listed, using)
            raise
        start = time.perf_counter()
        name = None if key is None else digest(key, None, ["list", _kind(audience)])
        sent, new = send_list(listed, notification, name, using, audience=audience, more=True)
        if sent.recalled_at is not None:
            raise Error(f"{sent.pk} has this key, and was withdrawn.", returncode=REFUSED)
        self.finish(sent, matched, "Storing")
        seconds += time.perf_counter() - start
        self.report(sent, new, audience, sent.receipts.count(), online_of(sent), seconds)
        if unknown := self.unknown(audience):
            raise Error(f"left out {plural(unknown, 'unknown name')}.", returncode=PARTLY)

    def wanted(
        self, notification: Notification, audience: Audience, matched: int, at: datetime | None
    ) -> bool:
        """Say what would be sent to whom, and ask; False for a dry run. Raises `Error` for no."""
        if not matched:
            raise Error(f"nobody to notify: {audience} has no users.", returncode=NOBODY)
        if self.options["dry_run"]:
            self.would_notify(audience, matched)
            return False
        self.say(f'Broadcast "{notification.title}"   level={notification.level_word}')
        self.say(f"  Audience   {audience!s:<40}  {plural(matched, 'user')}")
        for label, moment in (("Deliver", at), ("Expires", notification.expires)):
            if moment is not None:
                self.say(f"  {label}    {told(moment)}")
        if matched > conf.confirm_above and not self.confirmed:
            matching = plural(matched, "user")
            confirm(
                f"Send to {matching}?",
                f"refusing to notify {matching}",
                "nothing sent.",
                self.stderr,
            )
        self.confirmed = True
        return True

    def would_notify(self, audience: Audience, matched: int) -> None:
        if self.options["json"]:
            result = {"dry_run": True, "audience": str(audience), "matched": matched}
            self.stdout.write(json.dumps(result))
            return
        first = list(islice(chain.from_iterable(audience.pages()), NAMED))
        users = get_user_model()._default_manager.in_bulk(first)
        names = [users[key].get_username() for key in first]
        more = f" and {matched - len(names):,} more" if matched > len(names) else ""
        self.stdout.write(
            f"Dry run, nothing sent: would notify {plural(matched, 'user')}: "
            f"{', '.join(names)}{more}"
        )

    # --- Afterwards ---

    def finish(self, notification: Notification, total: int, doing: str) -> None:
        """Tell all who are left of a list; other processes may help."""
        self.on_its_way, self.size = notification, total
        shown = self.stderr if self.options["verbosity"] else OutputWrapper(io.StringIO())
        with progress(total, doing, "user", shown) as went_on:
            while True:
                done = fan_out.step(notification)
                if done is not None:
                    went_on(done.size)
                elif fan_out.is_waiting(notification):
                    time.sleep(0.05)  # another process tells a part of it
                else:
                    break
        self.on_its_way = None

    def report(
        self,
        sent: Notification,
        new: bool,
        audience: Audience,
        matched: int,
        here: int,
        seconds: float,
    ) -> None:
        here = min(here, matched)
        if self.options["json"]:
            result = {
                "id": sent.pk,
                "audience": str(audience),
                "matched": matched,
                "online": here,
                "seconds": round(seconds, 3),
            }
            if unknown := self.unknown(audience):
                result["unknown"] = unknown
            self.stdout.write(json.dumps(result))
            self.stdout.flush()
            return
        stored = "Stored once" if sent.audience else "Stored"
        if not new:
            stored = f"Sent before with this key, at {told(sent.created)};\n  now it is stored"
        reach = f", about {here:,} of them online"
        if sent.audience == "everyone":
            _people, sockets = Process.objects.online()
            reach += f" ({plural(sockets, 'socket')})"
        self.say(f"{stored} for {plural(matched, 'user')}{reach}, in {seconds * 1000:,.0f} ms")
        self.say(f"  id {sent.pk}   withdraw it with: manage.py broadcast --recall {sent.pk}")

    def how_far(self) -> str:
        """What to say of an interruption."""
        if self.on_its_way is None:
            before = f"{plural(self.sent, 'notification')} had been sent" if self.sent else ""
            return f"interrupted; {before or 'nothing was sent'}."
        id = self.on_its_way.pk
        if self.on_its_way.recalled_at is not None:
            return (
                f"interrupted; {id} is withdrawn, and open bells are told by the site's servers.\n"
                f"  or tell them here: manage.py broadcast --resume {id}"
            )
        have = self.on_its_way.receipts.count()
        return (
            f"interrupted; {have:,} of {plural(self.size, 'user')} have it. The others are "
            "written down: a server of the site goes on with them.\n"
            f"  go on here:     manage.py broadcast --resume {id}\n"
            f"  or withdraw it: manage.py broadcast --recall {id}"
        )

    def unknown(self, audience: Audience) -> int:
        return sum(one.unknown_count for one in _parts(audience) if isinstance(one, Usernames))

    def tell_unknown(self, audience: Audience) -> None:
        """Name the first names that nobody has; all that are kept with --verbosity 2."""
        shown = None if self.options["verbosity"] > 1 else 10
        for one in _parts(audience):
            if isinstance(one, Usernames) and one.unknown:
                for number, name in one.unknown[:shown]:
                    self.stderr.write(f'{one.source}, line {number}: no user named "{name}".')
                more = one.unknown_count - len(one.unknown[:shown])
                if more:
                    self.stderr.write(f"{one.source}: and {plural(more, 'more unknown name')}.")

    # --- Of one that was sent ---

    def recall(self, id: int) -> None:
        notification = _found(id)
        withdrawn = notification.recall()
        if withdrawn and fan_out.is_waiting(notification):
            self.finish(notification, notification.receipts.count(), "Withdrawing")
        if self.options["json"]:
            self.stdout.write(json.dumps({"id": id, "recalled": withdrawn}))
        elif withdrawn:
            self.say(f'Withdrew {id} "{notification.title}" from every inbox.')
        else:
            self.say(f'{id} "{notification.title}" was withdrawn before.')

    def resume(self, id: int) -> None:
        notification = _found(id)
        left = fan_out.left(notification)
        self.finish(notification, left, "Storing")
        have = notification.receipts.count()
        if self.options["json"]:
            self.stdout.write(json.dumps({"id": id, "matched": have, "told": left}))
        else:
            self.say(f'{id} "{notification.title}": {plural(have, "user")} have it, nobody waits.')


class _Together(Audience):
    """Audiences one after the other, of which one is read from a file."""

    def __init__(self, audiences: list[Audience]) -> None:
        self.audiences = audiences

    def pages(self) -> Iterator[list[Any]]:
        return chain.from_iterable(audience.pages() for audience in self.audiences)

    def __str__(self) -> str:
        return f"({' | '.join(map(str, self.audiences))})"


def _parts(audience: Audience) -> list[Audience]:
    return audience.audiences if isinstance(audience, _Together) else [audience]


def _kind(audience: Audience) -> str:
    """What a key is for: whoever of such an audience does not have it yet, gets it."""
    named = [one for one in _parts(audience) if not isinstance(one, Usernames)]
    return " | ".join(map(str, named))


def _found(id: int) -> Notification:
    notification = Notification.objects.filter(pk=id).first()
    if notification is None:
        raise Error(f"there is no notification {id}.", returncode=REFUSED)
    return notification


def _when(text: str) -> datetime | timedelta:
    try:
        return parse_when(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig") as lines:
        yield from lines


def _objects(stdin: Iterable[str]) -> Iterator[Any]:
    """The JSON values of stdin: one on each line, as they come; or one in all.

    What is no JSON is given as the error that says so.
    """
    lines = iter(stdin)
    first = next((line for line in lines if line.strip()), "")
    if not first:
        return
    try:
        yield json.loads(first)
    except ValueError:
        yield _json(first + "".join(lines))
    yield from (_json(line) for line in lines if line.strip())


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        return Error(f"that is no JSON: {error}.", returncode=BAD_ARGUMENTS)


def _checked(given: Any) -> dict[str, Any]:
    if isinstance(given, Error):
        raise given
    if not isinstance(given, dict):
        raise BadField("a line", "a JSON object", given)
    for name, value in given.items():
        if name not in FIELDS:
            raise BadField(
                "a field", f"one of {', '.join(FIELDS)}{did_you_mean(name, FIELDS)}", name
            )
        if name != "data" and not isinstance(value, str):
            raise BadField(name, "a string", value)
    return given


def _as_error(error: Exception) -> Error:
    return error if isinstance(error, Error) else Error(str(error), returncode=BAD_ARGUMENTS)
