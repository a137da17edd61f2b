"""One broadcast to a thousand people and to a million, against a row for each.

python -m bench.broadcast [USERS]
"""

from __future__ import annotations

import sys
import time

from .inside import add_users, execute, milliseconds, site, wal
from .machine import keep, print_machine

ROWS = 100_000
"""Of a row for each, so many are written and measured; the rest is their multiple."""


def main(users: int) -> None:
    from django.contrib.auth.models import User
    from django.db import transaction

    from notifications import Everyone, broadcast
    from notifications.models import Notification, Receipt

    def tell() -> None:
        broadcast(Everyone(), "Maintenance at 22:00", body="We shall be back soon.")

    found = {}
    for number in (1_000, users):
        add_users(number - User.objects.count())
        found[number] = milliseconds(tell, 50)
        print(f"broadcast(Everyone()) with {number:,} users: {found[number]} ms to commit")
    before = wal()
    for _ in range(100):
        tell()
    written = (wal() - before) / 100
    one = Notification.objects.create(title="A row for each")
    keys = list(User.objects.order_by("pk").values_list("pk", flat=True)[:ROWS])
    execute("CHECKPOINT")
    before, start = wal(), time.perf_counter()
    with transaction.atomic():
        Receipt.objects.bulk_create(
            (Receipt(person_id=key, notification=one) for key in keys), batch_size=1_000
        )
    each = (time.perf_counter() - start) * 1000 * users / len(keys)
    each_written = (wal() - before) * users / len(keys)
    results = {
        "users": users,
        "commit_ms_1000": found[1_000],
        "commit_ms": found[users],
        "ratio": round(found[users][1] / found[1_000][1], 2),
        "wal_bytes": round(written),
        "row_for_each_ms": round(each),
        "row_for_each_wal_bytes": round(each_written),
        "times_faster": round(each / found[users][0]),
        "times_fewer_bytes": round(each_written / written),
    }
    print(f"a row for each of {users:,}: {each / 1000:,.1f} s, {each_written / 1e6:,.0f} MB of WAL")
    print(results)
    keep("broadcast", results)


if __name__ == "__main__":
    print_machine()
    with site():
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
