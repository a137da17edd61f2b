"""The callers: processes of the site that notify people in the ugliest transactions there are.

What they say that they committed or rolled back goes into a file, a JSON line for each
transaction, so that the judge need not believe the app. Every notification carries in its data
who sent it and their how-manieth it was: `{"w": 3, "n": 17}`.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from typing import Any

MAX_CALLS = 6
"""Calls in one transaction."""
HOLD = 0.020
"""Seconds that a transaction stays open at most."""


class Regret(Exception):
    """What makes a caller roll back."""


def settle_in(run: str, people: int) -> dict[str, dict[str, Any]]:
    """New people who have nothing in their inboxes; the first two are operators, half are in a
    group. With the cookie of each."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Group

    from tests.live import deeds

    group = Group.objects.create(name=f"{run}-team")
    found = {}
    for number in range(people):
        name = f"{run}-{number}"
        staff = number in (1, 2)
        user = get_user_model().objects.create(
            username=name, password=deeds.hashed_password(), is_staff=staff
        )
        if number % 2 == 0:
            user.groups.add(group)
        cookie = "=".join(deeds.log_in(name))
        streams = ["everyone"]
        streams += ["staff"] if staff else []
        streams += [f"group.{group.pk}"] if number % 2 == 0 else []
        found[name] = {"id": user.pk, "cookie": cookie, "streams": streams}
    return found


def last_notification() -> int:
    from django.db.models import Max

    from notifications.models import Notification

    return Notification.objects.aggregate(last=Max("pk"))["last"] or 0


def wait_for_the_database() -> None:
    """A pool that saw the database die tries again only now and then."""
    from django.db import Error, close_old_connections, connection, connections

    close_old_connections()
    for last in (False, False, False, True):
        try:
            connection.ensure_connection()
            return
        except Error:
            connections.close_all()
            if last:
                raise


class Caller:
    """One caller: `calls` notifications from the seed `seed`, each in some transaction."""

    def __init__(self, plan: dict[str, Any]) -> None:
        from django.contrib.auth import get_user_model
        from django.contrib.auth.models import Group

        self.run: str = plan["run"]
        self.which: int = plan["which"]
        self.random = random.Random(f"{plan['seed']}/{plan['which']}")
        wait_for_the_database()
        users = get_user_model().objects
        self.people = list(users.filter(pk__in=plan["people"]).order_by("pk"))
        self.group = Group.objects.get(name=f"{self.run}-team")
        self.hold: float = plan.get("hold", HOLD)
        self.rest: float = plan.get("rest", 0.0)
        self.body: str = "x" * plan.get("body", 0)
        self.regrets: float = plan.get("regrets", 0.2)
        self.haste: float = plan.get("haste", 0.05)
        self.number: int = plan.get("first", 0)
        self.transactions = 0
        self.book = open(plan["book"], "a", encoding="utf-8", buffering=1)  # noqa: SIM115

    def write(self, event: str, **what: Any) -> None:
        line = {"t": time.time(), "w": self.which, "e": event} | what
        self.book.write(json.dumps(line) + "\n")

    def call(self, calls: int) -> int:
        committed = 0
        while committed < calls:
            committed += self.attempt(self.transaction)
            if self.random.random() < self.haste:
                committed += self.attempt(self.read_at_once)
            time.sleep(self.rest * self.random.random())
        return committed

    def attempt(self, act: Callable[[list[int], list[int]], None]) -> int:
        """Do something, and write down what came of it; how many calls were committed."""
        from django.db import Error

        sent: list[int] = []
        lost: list[int] = []
        began = time.monotonic()
        try:
            act(sent, lost)
        except Regret:
            self.write("rolled back", n=sent + lost)
        except Error as error:
            self.failed(error, sent)
        else:
            self.write("committed", n=sent, lost=lost, took=time.monotonic() - began)
            return len(sent)
        return 0

    def read_at_once(self, sent: list[int], _lost: list[int]) -> None:
        """Tell everybody, and let some have read it before anybody can have seen it."""
        from notifications import Everyone, broadcast, inbox_of

        self.number += 1
        data = {"run": self.run, "w": self.which, "n": self.number}
        told = broadcast(Everyone(), f"{self.which}.{self.number}", data=data)
        sent.append(self.number)
        for person in self.random.sample(self.people, 3):
            inbox_of(person).mark_read([told.pk])

    def failed(self, error: Exception, sent: list[int]) -> None:
        """The database said no. Whether it committed, it alone knows."""
        from django.db import connections

        text = f"{type(error).__name__}: {str(error).strip()[:300]}"
        deadlock = "deadlock" in text.lower()
        self.write("deadlock" if deadlock else "unavailable", n=sent, error=text)
        connections.close_all()
        time.sleep(0.2)

    def transaction(self, sent: list[int], lost: list[int]) -> None:
        """Some calls, some waiting, a lock on a user, a savepoint that is undone; then perhaps
        regret. In order, so that two of us never wait for each other because of us: first our
        lock on a user, last the call with a key."""
        from django.contrib.auth import get_user_model
        from django.db import OperationalError, transaction

        self.transactions += 1
        calls = self.random.randint(1, MAX_CALLS)
        waits = self.random.random() * self.hold
        if self.random.random() < 0.1:  # in autocommit, as a command would
            self.one(sent)
            return
        with transaction.atomic():
            locked = None
            if self.random.random() < 0.3:
                locked = self.random.choice(self.people)
                get_user_model().objects.select_for_update().get(pk=locked.pk)
            for _ in range(calls):
                self.one(sent, locked)
                time.sleep(waits / calls)
            if self.random.random() < self.regrets:
                try:
                    with transaction.atomic():
                        self.one(lost, locked)
                        raise Regret
                except Regret:
                    # Else Django rolls all of it back, and says nothing.
                    if transaction.get_rollback():
                        raise OperationalError("the savepoint could not be undone") from None
            if self.random.random() < 0.15:
                self.keyed()
            if self.random.random() < self.regrets:
                raise Regret

    def one(self, sent: list[int], locked: Any = None) -> None:
        """One call. An order refers to its buyer's row, with a foreign key that locks it: who
        holds the lock of a user saves orders for that one only, or deadlocks by themselves."""
        from notifications import Everyone, Group, Staff, broadcast, notify
        from project.demo.models import Order

        self.number += 1
        sent.append(self.number)
        what = {
            "body": self.body,
            "data": {"run": self.run, "w": self.which, "n": self.number},
        }
        title = f"{self.which}.{self.number}"
        hot, *cold = self.people
        way = self.random.random()
        if way < 0.35:
            notify(hot, title, **what)
        elif way < 0.6:
            notify(self.random.choice(cold), title, **what)
        elif way < 0.72:
            notify(self.random.sample(self.people, 3), title, **what)
        elif way < 0.82:
            broadcast(Everyone(), title, **what)
        elif way < 0.88:
            broadcast(Staff(), title, **what)
        elif way < 0.94:
            broadcast(Group(self.group), title, **what)
        else:  # a saved model, whose rule tells the buyer and the operators
            sent.pop()
            Order.objects.create(buyer=locked or self.random.choice(cold), items=self.run)

    def keyed(self) -> None:
        """The same key from every caller, at about the same time: one notification."""
        from notifications import notify

        key = f"{self.run}/{self.transactions // 4}"
        notify(self.people[0], key, key=key, data={"run": self.run, "key": key})


def call(plan: dict[str, Any], calls: int) -> int:
    """Be a caller until so many notifications are committed."""
    return Caller(plan).call(calls)


def last_words(plan: dict[str, Any]) -> int:
    """A few more to each, different numbers of them: what the badges must show in the end.

    The last transaction stays open for a while after its call: no later bell repairs one that
    was rung too early.
    """
    from django.db import transaction

    from notifications import Everyone, broadcast, notify

    caller = Caller(plan)
    sent: list[int] = []
    for number, person in enumerate(caller.people):
        for _ in range(number % 5):
            caller.number += 1
            sent.append(caller.number)
            data = {"run": caller.run, "w": caller.which, "n": caller.number}
            notify(person, "last", data=data)
            caller.write("committed", n=[caller.number], lost=[])
    caller.number += 1
    data = {"run": caller.run, "w": caller.which, "n": caller.number}
    with transaction.atomic():
        broadcast(Everyone(), "last", data=data)
        time.sleep(5 * HOLD)
    caller.write("committed", n=[caller.number], lost=[])
    return len(sent) + 1


# How callers die


def die_in_the_transaction(plan: dict[str, Any]) -> None:
    """kill -9 before COMMIT: nothing of this may ever be seen."""
    from django.db import transaction

    caller = Caller(plan)
    sent: list[int] = []
    with transaction.atomic():
        for _ in range(3):
            caller.one(sent)
        caller.write("rolled back", n=sent)
        os._exit(9)


def die_before_the_callbacks(plan: dict[str, Any]) -> None:
    """kill -9 after COMMIT, before the first on_commit callback: no bell, and still no loss."""
    die_after(plan, Caller.one)


def die_before_the_callbacks_of_a_model(plan: dict[str, Any]) -> None:
    """The same for a saved model, whose rule sends the news."""
    from project.demo.models import Order

    def save(caller: Caller, _sent: list[int]) -> None:
        Order.objects.create(buyer=caller.people[1], items=caller.run)

    die_after(plan, save)


def die_after(plan: dict[str, Any], act: Callable[[Caller, list[int]], None]) -> None:
    from django.db import transaction

    caller = Caller(plan)
    sent: list[int] = []

    def die() -> None:
        caller.write("committed", n=sent, lost=[])
        os._exit(9)

    with transaction.atomic():
        transaction.on_commit(die)
        for _ in range(3):
            act(caller, sent)


def time_calls(number: int) -> list[float]:
    """How long each call takes its caller, from the beginning to after the callbacks."""
    from django.contrib.auth import get_user_model

    from notifications import notify

    nobody, _new = get_user_model().objects.get_or_create(username="nobody")
    took = []
    for _ in range(number):
        began = time.perf_counter()
        notify(nobody, "Timed")
        took.append(time.perf_counter() - began)
    return took


def pile_up(person: int, number: int) -> None:
    """So many notifications for one person, each as long as can be, in one transaction."""
    from django.contrib.auth import get_user_model
    from django.db import transaction

    from notifications import notify

    user = get_user_model().objects.get(pk=person)
    with transaction.atomic():
        for which in range(number):
            notify(user, f"Long {which}", body="x" * 10_000)


def lock_the_database(seconds: float) -> None:
    """Somebody else's long write: on SQLite nobody can write meanwhile."""
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE auth_user SET last_name = last_name")
        time.sleep(seconds)
