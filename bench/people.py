"""What benches have done in the site's own processes: plain functions, JSON in and out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

CROWD = "crowd"


def move_in(count: int, cookies: str) -> list[int]:
    """People with a session each; writes their Cookie headers to a file, one a line."""
    from datetime import timedelta

    from django.conf import settings
    from django.contrib.auth import (
        BACKEND_SESSION_KEY,
        HASH_SESSION_KEY,
        SESSION_KEY,
        get_user_model,
    )
    from django.contrib.sessions.backends.db import SessionStore
    from django.contrib.sessions.models import Session
    from django.utils import timezone

    users = get_user_model().objects
    users.bulk_create(
        [users.model(username=f"{CROWD}{n}", password=f"!{n}") for n in range(count)],
        batch_size=2_000,
    )
    people = list(users.filter(username__startswith=CROWD).order_by("pk"))
    store = SessionStore()
    end = timezone.now() + timedelta(days=14)
    sessions = []
    for user in people:
        found = {
            SESSION_KEY: str(user.pk),
            BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[0],
            HASH_SESSION_KEY: user.get_session_auth_hash(),
        }
        sessions.append(
            Session(
                session_key=f"{user.pk:032d}", session_data=store.encode(found), expire_date=end
            )
        )
    Session.objects.bulk_create(sessions, batch_size=2_000)
    name = settings.SESSION_COOKIE_NAME
    Path(cookies).write_text("".join(f"{name}={row.session_key}\n" for row in sessions))
    return [user.pk for user in people]


def mark() -> str:
    return f"@{time.clock_gettime_ns(time.CLOCK_MONOTONIC)}@"


def announce(body: str) -> None:
    """One broadcast to everyone."""
    from notifications import Everyone, broadcast

    broadcast(Everyone(), f"Maintenance {mark()}", body=body)


def tell_each(ids: list[int], body: str) -> None:
    """One notification each."""
    from django.contrib.auth import get_user_model

    from notifications import notify

    for user in get_user_model().objects.filter(pk__in=ids).order_by("pk"):
        notify(user, f"Export ready {mark()}", body=body)


def users_of(ids: list[int]) -> list[Any]:
    from django.contrib.auth import get_user_model

    found = get_user_model().objects.in_bulk(ids)
    return [found[id] for id in ids]


def tell_at(ids: list[int], body: str, rate: int, seconds: float) -> list[list[int]]:
    """Notifications at a steady rate, each committed for itself; its mark, and when it was."""
    from notifications import notify

    users = users_of(ids)
    began = time.monotonic()
    told = []
    for number in range(int(rate * seconds)):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        sign = mark()
        notify(users[number % len(users)], f"Export ready {sign}", body=body)
        told.append([int(sign.strip("@")), time.clock_gettime_ns(time.CLOCK_MONOTONIC)])
    return told


def tell_fast(ids: list[int], body: str, seconds: float) -> int:
    """As many notifications as one process can send, each committed for itself."""
    from notifications import notify

    users = users_of(ids)
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        notify(users[count % len(users)], f"Export ready {mark()}", body=body)
        count += 1
    return count


def insert_fast(ids: list[int], body: str, seconds: float) -> int:
    """The rows that anybody would store, and no more: a notification and its receipt."""
    from django.db import transaction

    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        with transaction.atomic():
            insert_bare(ids[count % len(ids)], body)
        count += 1
    return count


def insert_bare(person_id: int, body: str) -> None:
    from notifications.models import Notification, Receipt

    notification = Notification.objects.create(title=f"Export ready {mark()}", body=body)
    Receipt.objects.create(person_id=person_id, notification=notification)


def cost_in_transaction(ids: list[int], body: str, calls: int) -> dict[str, float]:
    """Microseconds of a caller in whose transaction something is told, and stored bare: by turns,
    in one transaction that ends with a rollback."""
    from django.db import transaction

    from notifications import notify

    users = users_of(ids)
    took: dict[str, list[float]] = {"notify": [], "bare": []}
    with transaction.atomic():
        for number in range(calls):
            user = users[number % len(users)]
            began = time.perf_counter()
            notify(user, f"Export ready {mark()}", body=body)
            between = time.perf_counter()
            insert_bare(user.pk, body)
            took["notify"].append(between - began)
            took["bare"].append(time.perf_counter() - between)
        transaction.set_rollback(True)
    return {name: sorted(times)[len(times) // 2] * 1e6 for name, times in took.items()}
