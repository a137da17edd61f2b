"""Fan out: lists of people too long for one transaction.

The list is written down first, in parts of so many keys; that costs a five-hundredth of telling
it. Then its notification is stored, in one short transaction, and from there on it is sent:
whichever process is free takes a part, and tells it in a transaction that also deletes the part.
So it may be stopped anywhere, by anything, and goes on elsewhere, and nobody is told twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, models, transaction
from django.utils import timezone

from ..models import FanOut, Notification, Op, Part, Pending, Receipt
from .number import log_database
from .publish import publish_to_each, tell
from .sql import among

PART = 2_000
"""People told in one transaction."""
FORGOTTEN = timedelta(days=1)
"""Whoever wrote down a list for so long, and did not send it, is gone."""


def write_down(pages: Iterable[list[Any]], due: datetime | None, using: str) -> tuple[FanOut, int]:
    """Write a list down; nobody is told yet. With how many keys it has.

    Without an open transaction each page is stored by itself. Raises what `pages` raises, and
    has stored nothing then.
    """
    draft = FanOut.objects.using(using).create(due=due)
    size = 0
    try:
        for page in pages:
            rows = []
            for start in range(0, len(page), PART):
                keys = page[start : start + PART]
                rows.append(Part(fan_out=draft, people=keys, size=len(keys)))
            Part.objects.using(using).bulk_create(rows)
            size += len(page)
    except BaseException:
        discard(draft, using)
        raise
    return draft, size


def discard(draft: FanOut, using: str) -> None:
    """Forget a list that was not sent. Best effort: what stays is found when the log is pruned."""
    if not connections[using].needs_rollback:
        draft.delete(using=using)


def send(draft: FanOut, notification: Notification, using: str) -> None:
    """The list is whole, and its notification is stored: it may be told, when this is committed."""
    draft.notification = notification
    draft.touched = timezone.now()
    draft.save(using=using, update_fields=["notification", "touched"])


def recall(notification: Notification, at_once: int, using: str) -> None:
    """Tell all who have it that it is withdrawn, and nobody else of it.

    In the transaction that withdraws it, if these are `at_once` people or fewer. Waits for the
    part of the list that is being told.
    """
    fan_outs = FanOut.objects.using(using).filter(notification=notification)
    list(fan_outs.select_for_update())
    fan_outs.delete()
    people = list(_holders(notification, using)[: at_once + 1])
    if len(people) <= at_once:
        publish_to_each(_recalled(notification), people, using)
    else:
        FanOut.objects.using(using).create(notification=notification, op=Op.RECALLED)


@dataclass(frozen=True)
class Step:
    """What one step did."""

    notification_id: int
    size: int
    """Keys that were done with; those of people who have it, or are gone, too."""
    told: int


def step(notification: Notification | None = None) -> Step | None:
    """Tell one part of a list; None if there is nothing to do, or others are doing it.

    Of this notification, or else of whichever list has waited longest. One short transaction.
    """
    using = log_database()
    waiting = FanOut.objects.using(using).filter(notification__isnull=False)
    if notification is not None:
        waiting = waiting.filter(notification=notification)
    if not waiting.exists():  # asked every second, so without a lock
        return None
    start = time.perf_counter()
    with transaction.atomic(using=using):
        fan_out = _claimed(waiting, using)
        if fan_out is None or fan_out.notification is None:
            return None
        tell_next = _recall_next if fan_out.op == Op.RECALLED else _tell_next
        done = tell_next(fan_out, fan_out.notification, using)
        if done.size == 0:
            fan_out.delete(using=using)
    if connections[using].vendor == "sqlite":  # one writer: leave others the same time
        time.sleep(time.perf_counter() - start)
    return done


def _claimed(waiting: models.QuerySet[FanOut], using: str) -> FanOut | None:
    """A list that nobody else is telling, locked; of one notification, the first of its lists."""
    connection = connections[using]
    if connection.vendor == "sqlite":  # one writer: a write takes the lock
        waiting.update(op=models.F("op"))
    earlier = FanOut.objects.filter(
        notification=models.OuterRef("notification"), pk__lt=models.OuterRef("pk")
    )
    free = waiting.filter(~models.Exists(earlier)).order_by("touched", "pk")
    skips = connection.features.has_select_for_update_skip_locked
    fan_out = free.select_for_update(of=("self",), skip_locked=skips).first()
    if fan_out is not None:
        fan_out.touched = timezone.now()
        fan_out.save(using=using, update_fields=["touched"])
    return fan_out


def is_waiting(notification: Notification) -> bool:
    """Whether there is anybody of a list who is still to be told."""
    return FanOut.objects.using(log_database()).filter(notification=notification).exists()


def _tell_next(fan_out: FanOut, notification: Notification, using: str) -> Step:
    part = fan_out.parts.using(using).order_by("pk").first()
    if part is None:
        return Step(notification.pk, 0, 0)
    part.delete(using=using)
    person = Receipt._meta.get_field("person")
    keys = dict.fromkeys(person.to_python(key) for key in part.people)
    user = person.related_model
    there = user._base_manager.using(using).filter(among(user, "pk", keys, using))
    mine = among(Receipt, "person", keys, using)
    had = Receipt.objects.using(using).filter(mine, notification=notification)
    people = {*there.values_list("pk", flat=True)} - {*had.values_list("person_id", flat=True)}
    told = [key for key in keys if key in people]
    tell(notification, told, using, fan_out.due)
    return Step(notification.pk, part.size, len(told))


def _recall_next(fan_out: FanOut, notification: Notification, using: str) -> Step:
    holders = _holders(notification, using)
    if fan_out.after is not None:
        holders = holders.filter(person__gt=fan_out.after)
    people = list(holders[:PART])
    if people:
        publish_to_each(_recalled(notification), people, using)
        fan_out.after = people[-1]
        fan_out.save(using=using, update_fields=["after"])
    return Step(notification.pk, len(people), len(people))


def _holders(notification: Notification, using: str) -> models.QuerySet[Receipt, Any]:
    """The keys of those who have it, in order."""
    receipts = Receipt.objects.using(using).filter(notification=notification)
    return receipts.order_by("person_id").values_list("person_id", flat=True)


def _recalled(notification: Notification) -> Pending:
    id = notification.pk
    return Pending(op=Op.RECALLED, notification_id=id, arg={"ids": [id]})


def left(notification: Notification) -> int:
    """How many keys of its list wait to be told."""
    parts = Part.objects.using(log_database()).filter(fan_out__notification=notification)
    return parts.aggregate(left=models.Sum("size"))["left"] or 0


def forget_drafts() -> None:
    """Delete the lists that somebody began to write down a day ago, and never sent."""
    long_ago = timezone.now() - FORGOTTEN
    drafts = FanOut.objects.using(log_database()).filter(notification=None, touched__lt=long_ago)
    drafts.delete()
