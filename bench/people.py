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


def say(answer: Any) -> Any:
    return answer
