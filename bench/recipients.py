"""A list of chosen people: written down, told in parts, and against bare `bulk_create`.

python -m bench.recipients [PEOPLE]
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc

from .inside import add_users, execute, site
from .machine import keep, print_machine

ROUNDS = 3


def main(people: int) -> None:
    from django.contrib.auth.models import User
    from django.db import transaction

    from notifications import notify
    from notifications.models import Notification, Receipt
    from notifications.stream import fan_out

    add_users(people)
    chosen = User.objects.filter(username__startswith="user")
    bare, whole, caller, longest = [], [], [], []
    for _ in range(ROUNDS):
        one = Notification.objects.create(title="Bare")
        keys = list(chosen.order_by("pk").values_list("pk", flat=True))
        execute("CHECKPOINT")
        start = time.perf_counter()
        with transaction.atomic():
            Receipt.objects.bulk_create(
                (Receipt(person_id=key, notification=one) for key in keys), batch_size=1_000
            )
        bare.append(time.perf_counter() - start)
        del keys
        execute("CHECKPOINT")
        start = time.perf_counter()
        sent = notify(chosen, "Ours")
        caller.append(time.perf_counter() - start)
        steps = []
        while True:
            began = time.perf_counter()
            if fan_out.step(sent) is None:
                break
            steps.append(time.perf_counter() - began)
        whole.append(time.perf_counter() - start)
        longest.append(max(steps))
        assert sent.receipts.count() == chosen.count() == people
    results = {
        "people": people,
        "bare_s": round(min(bare), 2),
        "ours_s": round(min(whole), 2),
        "ratio": round(min(whole) / min(bare), 2),
        "caller_ms": round(min(caller) * 1000, 1),
        "longest_transaction_ms": round(max(longest) * 1000, 1),
        "peak_kib": {n: peak(chosen[:n]) for n in (people // 10, people // 2, people)},
    }
    print(results)
    keep("recipients", results)


def peak(chosen) -> int:  # type: ignore[no-untyped-def]
    """The most memory that Python held at once for a list."""
    from notifications import notify
    from notifications.stream import fan_out

    gc.collect()
    tracemalloc.start()
    sent = notify(chosen, "Ours")
    while fan_out.step(sent) is not None:
        pass
    _now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most // 1024


if __name__ == "__main__":
    print_machine()
    with site():
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
