"""What the database holds: read in a process of the site, without giving anything a number."""

from __future__ import annotations

from typing import Any


def read(run: str, since: int, people: dict[str, int]) -> dict[str, Any]:
    """All notifications newer than `since`, the log of the people, and their inboxes anew."""
    from notifications.models import Entry, Notification, Pending, Receipt
    from notifications.models.notification import ref
    from project.demo.models import Order

    named: dict[int, list[Any]] = {}
    receipts = Receipt.objects.filter(notification_id__gt=since, named=True)
    for id, person in receipts.values_list("notification_id", "person_id"):
        named.setdefault(id, []).append(person)
    told = [
        {
            "id": one.pk,
            "audience": one.audience,
            "people": named.get(one.pk, []),
            "created": one.created.timestamp(),
            "recalled": one.recalled_at is not None,
            "data": one.data,
            "order": (one.params.get("order") or {}).get("$ref"),
        }
        for one in Notification.objects.filter(pk__gt=since).order_by("pk")
    ]
    streams = [f"user.{id}" for id in people.values()]
    streams += {one["audience"] for one in told if one["audience"]}
    entries = Entry.objects.filter(stream__in=streams).order_by("stream", "seq")
    log: dict[str, list[Any]] = {}
    for stream, seq, op, id in entries.values_list("stream", "seq", "op", "notification_id"):
        log.setdefault(stream, []).append([seq, op, id])
    return {
        "notifications": told,
        "orders": [ref(order) for order in Order.objects.filter(items=run)],
        "log": log,
        "pending": Pending.objects.filter(stream__in=streams, due=None).count(),
        "inboxes": {name: inbox(id) for name, id in people.items()},
    }


def inbox(person: Any) -> dict[str, Any]:
    """One inbox, fetched anew."""
    from django.contrib.auth import get_user_model

    from notifications import inbox_of

    mine = inbox_of(get_user_model().objects.get(pk=person))
    counts = mine.counts()
    return {
        "shown": [counts.unseen, counts.unread],
        "unread": ids(mine, "unread"),
        "archived": ids(mine, "archived"),
    }


def ids(mine: Any, view: str) -> list[int]:
    found: list[int] = []
    before = None
    while True:
        page = mine.page(view, before, limit=1_000)
        found += [item.id for item in page.items]
        before = page.before
        if before is None:
            return sorted(found)
