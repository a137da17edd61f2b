"""One turn of a numbering on PostgreSQL: so many people were told something, and it gets numbers.

python -m bench.numbering
"""

from __future__ import annotations

from typing import Any

from .inside import add_users, milliseconds, site
from .machine import keep, print_machine

TURNS = 200


def main() -> None:
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from notifications import inbox_of, notify
    from notifications.stream.number import number

    add_users(50)
    people = list(User.objects.order_by("pk"))
    for person in people:
        inbox_of(person)
    results: dict[str, Any] = {}
    for count in (1, 10, 40):
        told = people[:count]
        streams = [f"user.{person.pk}" for person in told]

        def tell(told: list[User] = told) -> None:
            for person in told:
                notify(person, "Your export is ready")

        def turn(streams: list[str] = streams) -> None:
            number(streams)

        tell()
        with CaptureQueriesContext(connection) as queries:
            turn()
        results[f"{count} people"] = {
            "ms": milliseconds(turn, TURNS, before=tell),
            "statements": len(queries),
        }
        print(count, results[f"{count} people"])
    keep("numbering", results)


if __name__ == "__main__":
    print_machine()
    with site():
        main()
