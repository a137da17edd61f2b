"""What tests have done in other processes of the site: plain functions, JSON in and out.

Everything of Django is imported inside, so that a test can name a deed without loading the site.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from typing import Any

PASSWORD = "demo"
PEOPLE = {"ana": False, "bo": False, "dana": True, "jz": False}  # name: is an operator


# People


def move_in() -> dict[str, int]:
    """New people under the old names, so that no test meets what another one left behind.

    ana and bo are shoppers, dana is an operator, and jz is in no test's audience but everyone's.
    """
    from django.contrib.auth import get_user_model
    from django.db.models import CharField, F, Value
    from django.db.models.functions import Cast, Concat

    users = get_user_model().objects
    users.filter(username__in=PEOPLE).update(
        username=Concat(F("username"), Value("."), Cast("pk", CharField())), is_staff=False
    )
    ids = {}
    for name, operator in PEOPLE.items():
        user = users.create(
            username=name,
            first_name=name.title(),
            password=hashed_password(),
            is_staff=operator,
            is_superuser=operator,
        )
        ids[name] = user.pk
    return ids


def fans(number: int) -> None:
    """Many people who never come: fan0, fan1, ..."""
    from django.contrib.auth import get_user_model

    model = get_user_model()
    model.objects.bulk_create(
        (model(username=f"fan{n}", password="!") for n in range(number)),
        batch_size=1_000,
        ignore_conflicts=True,
    )


def told(title: str) -> dict[str, int]:
    """How often each person was told this: rows in the inbox, and news in the stream."""
    from collections import Counter

    from notifications.models import Entry, Pending, Receipt

    rows = Receipt.objects.filter(notification__title=title)
    receipts = Counter(map(str, rows.values_list("person_id", flat=True)))
    news: Counter[str] = Counter()
    for model in (Pending, Entry):
        created = model.objects.filter(op="created", notification__title=title)
        news.update(name.partition(".")[2] for name in created.values_list("stream", flat=True))
    assert receipts == news, "somebody has a row and no news of it, or news and no row"
    return dict(receipts)


def recalled(id: int) -> int:
    """How many people were told that it was withdrawn."""
    from notifications.models import Entry, Pending

    return sum(
        model.objects.filter(op="recalled", notification=id).values("stream").distinct().count()
        for model in (Pending, Entry)
    )


def lists() -> int:
    """Lists that are still to be told, and drafts."""
    from notifications.models import FanOut, Part

    return int(FanOut.objects.count() + Part.objects.count())


@functools.cache
def hashed_password() -> str:
    from django.contrib.auth.hashers import make_password

    return make_password(PASSWORD)


def person(name: str) -> Any:
    from django.contrib.auth import get_user_model

    return get_user_model().objects.get(username=name)


def log_in(username: str) -> tuple[str, str]:
    """The cookie that a login by form would have set."""
    from importlib import import_module

    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    user = person(username)
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return settings.SESSION_COOKIE_NAME, session.session_key


def session_of(key: str) -> Any:
    from importlib import import_module

    from django.conf import settings

    return import_module(settings.SESSION_ENGINE).SessionStore(key)


def has_session(key: str) -> bool:
    return bool(session_of(key).exists(key))


def end_session(key: str) -> None:
    session_of(key).delete()


def expire_session(key: str) -> None:
    """Its time is over, though nobody has cleared it away yet."""
    from datetime import timedelta

    from django.contrib.sessions.models import Session
    from django.utils import timezone

    Session.objects.filter(pk=key).update(expire_date=timezone.now() - timedelta(hours=1))


def change_user(username: str, **fields: Any) -> None:
    type(person(username)).objects.filter(username=username).update(**fields)


def change_password(username: str, password: str) -> None:
    user = person(username)
    user.set_password(password)
    user.save()


def join_group(username: str, group: str) -> int:
    from django.contrib.auth.models import Group

    found, _created = Group.objects.get_or_create(name=group)
    person(username).groups.add(found)
    return int(found.pk)


def leave_group(username: str, group: str) -> None:
    from django.contrib.auth.models import Group

    person(username).groups.remove(Group.objects.get(name=group))


def members(number: int, group: str) -> list[str]:
    """So many new people, who are all operators and in this group; their names."""
    import secrets

    from django.contrib.auth import get_user_model

    names = [f"member{n}.{secrets.token_hex(3)}" for n in range(number)]
    for name in names:
        get_user_model().objects.create(username=name, password="!", is_staff=True)
        join_group(name, group)
    return names


def log_out(key: str) -> None:
    """As the view of Django does it."""
    from django.contrib.auth import get_user, logout
    from django.http import HttpRequest

    request = HttpRequest()
    request.session = session_of(key)
    request.user = get_user(request)
    logout(request)


def delete_user(username: str) -> None:
    person(username).delete()


# The shop


def goods() -> None:
    from project.demo.models import Product

    for name, price in (("Oak desk lamp", "49.00"), ("Stoneware mug", "18.00")):
        Product.objects.get_or_create(name=name, defaults={"price": price})


def save_orders(buyer: str, number: int = 1) -> list[int]:
    """Save orders, each in a transaction of its own, and say their numbers."""
    from project.demo.models import Order

    user = person(buyer)
    return [Order.objects.create(buyer=user, items="Oak desk lamp").number for _ in range(number)]


def move_order(number: int, status: str) -> None:
    from project.demo.models import Order

    order = Order.objects.get(pk=number - 1000)
    order.status = status
    order.save()


# Notifications


def send(to: str | list[str], title: str, **what: Any) -> int:
    """notify() in autocommit, as a command would."""
    from notifications import notify

    people = person(to) if isinstance(to, str) else [person(name) for name in to]
    return int(notify(people, title, **what).pk)


def send_many(to: str, titles: list[str], in_one: bool = False, **what: Any) -> list[int]:
    """One after another, each committed for itself or all together."""
    import contextlib

    from django.db import transaction

    with transaction.atomic() if in_one else contextlib.nullcontext():
        return [send(to, title, **what) for title in titles]


def announce(title: str, to: str = "everyone", **what: Any) -> int:
    """broadcast() to a shared audience: everyone, staff or group:NAME."""
    from notifications import Everyone, Group, Staff, broadcast

    kind, _, name = to.partition(":")
    audience = {"everyone": Everyone, "staff": Staff, "group": lambda: Group(name)}[kind]()
    return int(broadcast(audience, title, **what).pk)


def recall(id: int) -> None:
    from notifications.models import Notification

    Notification.objects.get(pk=id).recall()


def act(username: str, action: str, ids: list[int] | None = None) -> int:
    from notifications import inbox_of

    return int(inbox_of(person(username)).act(action, ids))


# Alerts


def make_operator(username: str) -> None:
    from django.contrib.auth.models import Permission

    powers = Permission.objects.filter(codename__in=("view_alert", "change_alert"))
    person(username).user_permissions.add(*powers)


def raise_alert(key: str, title: str, times: int = 1, **what: Any) -> None:
    """alert() in autocommit, again and again."""
    from notifications import alert

    for _ in range(times):
        alert(key, title, **what)


def resolve_alert(key: str) -> None:
    from notifications import resolve

    resolve(key)


def log_errors(name: str, times: int) -> None:
    """Errors of one place."""
    import logging

    logger = logging.getLogger(name)
    for number in range(times):
        logger.error("failed for the %s. time", number)


def alert_of(key: str) -> dict[str, Any] | None:
    """What is stored of it by now; None if nobody has counted it yet."""
    from notifications.models import Alert

    found = Alert.objects.filter(key=key).first()
    return found and found.as_json()


def events_of(key: str) -> list[list[str]]:
    from notifications.models import AlertEvent

    return [[event.kind, event.by] for event in AlertEvent.objects.filter(alert__key=key)]


class Regret(Exception):
    """What makes a caller roll back."""


def send_and_roll_back(to: str, title: str) -> dict[str, int]:
    """notify() and an order, in a transaction that does not come to its end."""
    from django.db import transaction

    from project.demo.models import Order

    try:
        with transaction.atomic():
            send(to, title)
            Order.objects.create(buyer=person(to), items="Never bought")
            raise Regret
    except Regret:
        return rows_of(to)


def send_then_roll_back_a_part(to: str, kept: str, lost: str) -> None:
    """One notification outside, one inside a savepoint that is rolled back."""
    from django.db import transaction

    with transaction.atomic():
        send(to, kept)
        try:
            with transaction.atomic():
                send(to, lost)
                raise Regret
        except Regret:
            pass


def send_and_die(to: str, title: str) -> None:
    """Killed right after the commit, before any callback could ring a bell."""
    from django.db import transaction

    with transaction.atomic():
        transaction.on_commit(lambda: os._exit(9))
        send(to, title)


def order_and_die(buyer: str) -> None:
    """The same for a model rule: the row must be in the transaction of the save."""
    from django.db import transaction

    from project.demo.models import Order

    with transaction.atomic():
        transaction.on_commit(lambda: os._exit(9))
        Order.objects.create(buyer=person(buyer), items="Oak desk lamp")


def send_and_hold(to: str, title: str, folder: str) -> None:
    """A caller whose transaction stays open after notify(), until a file says that it may end."""
    from pathlib import Path

    from django.db import transaction

    with transaction.atomic():
        send(to, title)
        Path(folder, "sent").touch()
        end = time.monotonic() + 60
        while not Path(folder, "commit").exists() and time.monotonic() < end:
            time.sleep(0.01)


def send_timed(to: str, titles: list[str]) -> list[float]:
    """Send one by one, and say how long the caller waited each time."""
    took = []
    for title in titles:
        before = time.perf_counter()
        send(to, title)
        took.append(time.perf_counter() - before)
    return took


def send_crosswise(mine: str, theirs: str, title: str, times: int) -> int:
    """Lock my own user row, then notify the other one, whose row another caller has locked."""
    from django.contrib.auth import get_user_model
    from django.db import transaction

    users = get_user_model().objects
    for number in range(times):
        with transaction.atomic():
            users.select_for_update().get(username=mine)
            time.sleep(0.02)  # so that the other caller holds its own lock too
            send(theirs, f"{title} {number}")
            send([mine, theirs], f"{title} {number} to both")
    return times


def number_slowly(username: str, folder: str) -> None:
    """Number what the person has, and take a second between reading and writing it."""
    from pathlib import Path

    from notifications.stream import number as numbering
    from notifications.stream.names import user_stream

    write = numbering.write

    def slowly(*given: Any) -> None:
        Path(folder, "read").touch()
        time.sleep(1)
        write(*given)

    numbering.write = slowly
    try:
        numbering.number([user_stream(person(username).pk)])
    finally:
        numbering.write = write


def delete(username: str, folder: str) -> float:
    """Delete the person while they are numbered; how long that took, in seconds."""
    from pathlib import Path

    end = time.monotonic() + 20
    while not Path(folder, "read").exists() and time.monotonic() < end:
        time.sleep(0.01)
    began = time.monotonic()
    person(username).delete()
    return time.monotonic() - began


def send_from_threads(to: str, title: str, threads: int, each: int) -> None:
    """Many callers at once, in transactions of different lengths, every fifth rolled back."""
    from django.db import connection, transaction

    failures: list[BaseException] = []

    def caller(which: int) -> None:
        try:
            for number in range(each):
                try:
                    with transaction.atomic():
                        send(to, f"{title} {which}.{number}")
                        time.sleep((which * 7 + number * 3) % 5 / 500)
                        if (which + number) % 5 == 4:
                            raise Regret
                except Regret:
                    pass
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    callers = [threading.Thread(target=caller, args=(which,)) for which in range(threads)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    if failures:
        raise failures[0]


# What the database holds


def rows_of(username: str) -> dict[str, int]:
    """How many rows there are, and how far the person's own stream has come."""
    from notifications.models import Entry, Notification, Pending, Receipt, Stream
    from project.demo.models import Order

    user = person(username)
    stream = f"user.{user.pk}"
    head = Stream.objects.filter(name=stream).values_list("head", flat=True).first()
    return {
        "notifications": Notification.objects.count(),
        "receipts": Receipt.objects.filter(person=user).count(),
        "pending": Pending.objects.filter(stream=stream).count(),
        "entries": Entry.objects.filter(stream=stream).count(),
        "head": head or 0,
        "orders": Order.objects.filter(buyer=user).count(),
    }


def titles_of(username: str, view: str = "all") -> list[str]:
    """The inbox as its page would show it, newest first."""
    from notifications import inbox_of

    inbox = inbox_of(person(username))
    inbox.number()
    return [item.title for item in inbox.page(view=view).items]


def counts_of(username: str) -> dict[str, Any]:
    from notifications import inbox_of

    inbox = inbox_of(person(username))
    inbox.number()
    counts: dict[str, Any] = inbox.counts().as_json()
    return counts


def new_epoch() -> None:
    """The database's history begins anew, as after a restore from a backup."""
    import secrets

    from notifications.models import Stream

    Stream.objects.filter(name=Stream.EPOCH).update(head=secrets.randbelow(2**53))


def online() -> list[int]:
    """About how many people and sockets are connected."""
    from notifications.models import Process

    return list(Process.objects.online())


def session_row(key: str) -> list[str]:
    from django.contrib.sessions.models import Session

    row = Session.objects.get(pk=key)
    return [row.session_data, row.expire_date.isoformat()]


def ring_nonsense() -> None:
    """What a program of somebody else, or an older release, might put on the bus."""
    from asgiref.sync import async_to_sync
    from channels.layers import get_channel_layer

    messages = [
        {"type": "close"},
        {"type": "send", "text_data": "x"},
        {"type": "no.such.thing"},
        {"type": "bell"},
        {"type": "bell", "streams": 5},
        {"type": "bell", "streams": [None, 7, "no.stream", "user.x", "user."]},
        {},
    ]

    async def ring() -> None:
        layer = get_channel_layer()
        for message in messages:
            await layer.group_send("bells", message)

    async_to_sync(ring)()


def orders_of(buyer: str) -> list[int]:
    from project.demo.models import Order

    return list(Order.objects.filter(buyer__username=buyer).values_list("pk", flat=True))


def save_user(username: str, **fields: Any) -> None:
    """As the admin does, with signals."""
    user = person(username)
    for name, value in fields.items():
        setattr(user, name, value)
    user.save()


def announce_later(title: str, seconds: float) -> int:
    from datetime import timedelta

    from django.utils import timezone

    return announce(title, at=timezone.now() + timedelta(seconds=seconds))


def entries_of(id: int) -> int:
    """How many numbers a notification was given."""
    from notifications.models import Entry

    return int(Entry.objects.filter(notification=id, op="created").count())


def send_to_fans(title: str, also: str) -> int:
    """To all fans and one more, as a queryset."""
    from django.contrib.auth import get_user_model
    from django.db.models import Q

    from notifications import notify

    found = get_user_model().objects.filter(Q(username__startswith="fan") | Q(username=also))
    return int(notify(found, title).pk)


def send_later(to: str | list[str], title: str, seconds: float) -> int:
    from datetime import timedelta

    from django.utils import timezone

    return send(to, title, at=timezone.now() + timedelta(seconds=seconds))


def send_until(to: str, title: str, seconds: float) -> int:
    from datetime import timedelta

    return send(to, title, expires=timedelta(seconds=seconds))


def crowd(number: int) -> None:
    from django.contrib.auth import get_user_model

    users = get_user_model().objects
    users.bulk_create(
        (users.model(username=f"crowd.{one}") for one in range(number)), ignore_conflicts=True
    )


def send_to_crowd(title: str, also: str) -> float:
    """To all of the crowd and one more; says how long the caller took."""
    from django.contrib.auth import get_user_model

    from notifications import notify

    people = [person(also), *get_user_model().objects.filter(username__startswith="crowd.")]
    before = time.perf_counter()
    notify(people, title)
    return time.perf_counter() - before


def empty_inbox(username: str) -> None:
    from notifications import inbox_of

    inbox = inbox_of(person(username))
    inbox.number()
    inbox.archive(item.id for item in inbox.page(limit=100).items)


def send_steadily(to: str, titles: list[str], every: float) -> None:
    """One after another, with a while between them."""
    for title in titles:
        send(to, title)
        time.sleep(every)


# Operators


def trouble() -> None:
    """A queue of alerts as operators may have it, and some hours of them."""
    from datetime import timedelta

    from django.utils import timezone

    from notifications import alert, alerts, resolve
    from notifications.models import Alert, AlertHour

    labels = {"env": "live", "runbook_url": "https://wiki.example/payments"}
    alert(
        "payments-down",
        "Payment gateway times out",
        body="HTTPSConnectionPool(host='pay.example'): Read timed out.",
        level="critical",
        source="payments",
        labels=labels,
        url="/orders/",
    )
    for _ in range(41):
        alert("disk-var", "Disk /var is 91 % full", level="warning", source="node-3")
    alert("mail-queue", "Mail queue grows", source="postfix")
    alert("certificate", "Certificate ends in 3 days", level="warning", source="cron")
    alert("backup", "Backup failed", source="cron")
    resolve("backup", "It ran again.")
    alerts.position()
    ids = dict(Alert.objects.values_list("key", "pk"))
    dana, now = person("dana"), timezone.now()
    alerts.acknowledge([ids["disk-var"]], dana, "cleaning up logs")
    alerts.mute([ids["certificate"]], dana, now + timedelta(hours=4), "the new one is ordered")
    alerts.note([ids["payments-down"]], dana, "called the bank")
    hour = now.replace(minute=0, second=0, microsecond=0)
    AlertHour.objects.bulk_create(
        AlertHour(
            alert_id=ids["disk-var"], hour=hour - timedelta(hours=back), count=back * 7 % 29 + 2
        )
        for back in range(1, 24)
    )


def measured() -> None:
    """An hour of delivery, as a busy site may have measured it."""
    from datetime import timedelta

    from django.utils import timezone

    from notifications.models import Process, Sample
    from notifications.stream.timing import BOUNDS

    process = Process.objects.order_by("started").last()
    minute = timezone.now().replace(second=0, microsecond=0)
    for back in range(1, 60):
        pushes = 900 + back * 137 % 400 + (700 if 20 < back < 26 else 0)
        late = pushes // (12 if 20 < back < 26 else 60)
        latency = [pushes - late, late, *[0] * (len(BOUNDS) - 1)]
        figures = {
            "sockets": 310 + back * 53 % 40,
            "pushes": pushes,
            "latency": latency,
            "layer_ms": 0.6 + back * 31 % 7 / 10,
            "backlog": back * 11 % 4,
            "failures": 3 if back == 23 else 0,
            "reconnects": 40 if back == 22 else back % 3,
            "dropped": 0,
        }
        when = minute - timedelta(minutes=back)
        Sample.objects.update_or_create(process=process, minute=when, defaults=figures)
