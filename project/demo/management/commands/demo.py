import errno
import os
import socket
from argparse import ArgumentTypeError

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from project.demo import seed, stage

HOST = "127.0.0.1"


class Command(BaseCommand):
    help = "Prepare the demo shop (database, people, goods) and serve it."
    requires_system_checks = []  # runserver makes them

    def add_arguments(self, parser):
        parser.add_argument(
            "--port",
            type=port_number,
            default=os.environ.get("PORT", "8000"),
            help="where to serve it; default $PORT, else 8000",
        )
        parser.add_argument(
            "--seed-only", action="store_true", help="prepare the database and serve nothing"
        )

    def handle(self, *, port, seed_only, **options):
        if not settings.DEBUG:
            raise CommandError(
                "the demo has logins with a known password, so it does not run with DEBUG off."
            )
        if not seed_only:
            refuse_taken(port)
        call_command("migrate", verbosity=0, interactive=False)
        seed.seed()
        if seed_only:
            return
        self.stdout.write(self.welcome(port))
        call_command("runserver", f"{HOST}:{port}", use_reloader=False)

    def welcome(self, port):
        site = f"http://{HOST}:{port}"
        bold = self.style.MIGRATE_HEADING
        logins = "\n".join(
            f"    {login.username:<6} {login.role!s:<12} password: {login.password}"
            for login in seed.LOGINS
        )
        return (
            f"\n{bold('Both sides')}  http://{stage.HOST}:{port}/demo/\n"
            f"{bold('The shop')}    {site}/\n"
            f"{bold('The inbox')}   {site}/notifications/\n"
            f"{bold('The admin')}   {site}/admin/    (in a private window, as dana)\n\n"
            f"{logins}\n\n"
            "Ring every bell from a second terminal:\n"
            '    .venv/bin/python manage.py broadcast "Hello, everybody" --everyone\n\n'
            "Ctrl-C ends it.\n"
        )


def port_number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ArgumentTypeError(f"{text!r} is not a port; give a number from 1 to 65535")
    return int(text)


def refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CommandError(
                    f"port {port} is taken by another program. "
                    f"Choose a free one, for example: make demo PORT={port + 1}"
                ) from error
            raise CommandError(f"cannot serve on port {port}: {error.strerror}.") from error
