"""The log handler: errors become alerts, and whoever logs pays nothing and sees nothing of it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time

import pytest
from django.db import OperationalError, connections, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import path

from notifications import logging as ours
from notifications.logging import AlertHandler, reporter, stats
from notifications.metrics import Figures
from notifications.models import Alert, Pending
from notifications.stream.names import ALERTS
from notifications.stream.number import number
from tests.live.process import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def log(transactional_db):
    """A logger whose errors become alerts."""
    logger = logging.Logger("shop.orders")  # of nobody else: pytest listens to all others
    logger.addHandler(AlertHandler())
    yield logger
    reporter.flush(10)


def alerts():
    assert reporter.flush(10)
    number([ALERTS])
    return list(Alert.objects.order_by("id"))


def test_an_error_is_an_alert_with_its_words_and_traceback(log):
    try:
        secret = "hunter2-local"
        raise ValueError(f"no order {len(secret)}")
    except ValueError:
        log.exception("Could not ship %s", "order 7")
    [one] = alerts()
    assert (one.title, one.level_word, one.source) == (
        "ValueError: no order 13",
        "error",
        "shop.orders",
    )
    assert one.body.startswith("Could not ship order 7\n\nTraceback")
    assert one.body.endswith("ValueError: no order 13")
    assert "hunter2-local" not in one.body.replace('secret = "hunter2-local"', "")
    assert one.labels == {"logger": "shop.orders"}


def test_levels_are_told_apart_and_warnings_are_none(log):
    log.warning("only a warning")
    log.error("an error")
    log.critical("much worse")
    assert [(one.title, one.level_word) for one in alerts()] == [
        ("an error", "error"),
        ("much worse", "critical"),
    ]


def test_errors_of_one_place_are_one_alert_with_the_exact_count(log):
    def fail(number):
        raise LookupError(f"number {number}")

    before = stats["stored"]
    for number_of_error in range(3_000):
        try:
            fail(number_of_error)
        except LookupError:
            log.exception("failed for %s", number_of_error)
        log.error("and that was %s", number_of_error)
    found = alerts()
    assert [one.count for one in found] == [3_000, 3_000]
    assert stats["stored"] - before == 6_000


def test_different_places_are_different_alerts(log):
    log.error("here")
    log.error("here")
    for kind in (KeyError, ValueError):
        try:
            raise kind("x")
        except Exception:
            log.exception("failed")
    assert len(alerts()) == 4


def test_an_alert_survives_the_rollback_of_its_caller(log):
    with transaction.atomic():
        log.error("about to roll back")
        transaction.set_rollback(True)
    assert [one.title for one in alerts()] == ["about to roll back"]


def test_logging_makes_no_query_in_the_callers_connection(log, django_assert_num_queries):
    with django_assert_num_queries(0):
        log.error("free of charge")
    assert len(alerts()) == 1


def test_a_storm_of_different_errors_is_bounded_and_what_is_dropped_is_counted(log, monkeypatch):
    monkeypatch.setattr(ours, "GROUPS", 20)
    gate = threading.Event()
    write = reporter._write
    monkeypatch.setattr(reporter, "_write", lambda: (gate.wait(20), write()))
    before = stats["dropped"]
    for place in range(500):
        record = log.makeRecord(log.name, logging.ERROR, f"/shop/{place}.py", 1, "x", (), None)
        log.handle(record)
    gate.set()
    assert len(alerts()) == 20
    assert stats["dropped"] - before == 480


def test_nothing_that_is_logged_raises(log, monkeypatch, capsys):
    class Hostile:
        def __str__(self):
            raise RuntimeError("not even its name")

    class HostileError(Exception):
        def __str__(self):
            raise RuntimeError("not even its name")

    before = stats["dropped"]
    log.error(Hostile())
    log.error("%s and %s", "too few")
    log.error("%s", Hostile())
    log.error("a\x00b \udc80 and more")
    log.error("")
    log.error("x" * 100_000)
    try:
        raise HostileError
    except HostileError:
        log.exception("hostile")
    log.error("no exception", exc_info=(None, None, None))
    found = alerts()
    assert len(found) + stats["dropped"] - before == 8
    assert {"%s and %s", "ab ? and more", "shop.orders", "no exception"} <= {
        one.title for one in found
    }
    assert capsys.readouterr().err == ""


def test_deep_recursion_is_told_with_a_short_body(log):
    def deeper(number):
        return deeper(number + 1)

    try:
        deeper(0)
    except RecursionError:
        log.exception("too deep")
    [one] = alerts()
    assert one.title.startswith("RecursionError")
    assert len(one.body) <= Alert.BODY_LENGTH


def test_an_error_while_an_error_is_put_together_ends(log):
    class Chatty:
        def __init__(self):
            self.asked = 0

        def __str__(self):
            self.asked += 1
            log.error("%s", self)
            return "chatty"

    chatty = Chatty()
    log.error("first: %s", chatty)
    assert chatty.asked <= ours.DEPTH + 1
    assert len(alerts()) == 2


def test_what_this_app_logs_is_no_alert(transactional_db):
    logger = logging.getLogger("notifications.stream")
    handler = AlertHandler()
    logger.addHandler(handler)
    try:
        logger.error("a stream cannot be numbered")
    finally:
        logger.removeHandler(handler)
    assert alerts() == []


def test_what_is_logged_while_an_alert_is_written_is_no_alert(log, monkeypatch):
    store = reporter._store

    def chatty(groups):
        log.error("the database is slow")
        store(groups)

    monkeypatch.setattr(reporter, "_store", chatty)
    log.error("first")
    assert [one.title for one in alerts()] == ["first"]
    number([ALERTS])
    assert [one.title for one in alerts()] == ["first"]


def test_while_the_database_is_away_errors_wait_and_are_counted(log, monkeypatch):
    store, tries = reporter._store, []

    def away(groups):
        tries.append(len(groups))
        if len(tries) < 3:
            raise OperationalError("gone")
        store(groups)

    monkeypatch.setattr(reporter, "_store", away)
    monkeypatch.setattr(ours, "REST", 0.05)
    for number_of_error in range(10):
        log.error("still failing")
        if number_of_error == 4:
            wait_until(lambda: tries, "the first try")
    wait_until(lambda: len(tries) >= 3, "the third try")
    [one] = alerts()
    assert one.count == 10


def test_with_no_server_the_handler_itself_keeps_what_waits_short(log):
    """A site under WSGI whose admin nobody opens over a weekend."""
    for _second in range(5):
        log.error("every second")
        assert reporter.flush(10)
    assert Pending.objects.filter(stream=ALERTS).count() == 1
    assert Alert.objects.get().count == 4


def test_many_threads_lose_nothing(log):
    def storm():
        for _ in range(200):
            log.error("from a thread")
        connections.close_all()

    threads = [threading.Thread(target=storm) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.count for one in alerts()] == [1_600]


def test_a_signal_handler_may_log_at_any_moment(log):
    """Also one that comes while its own thread is in the middle of logging."""
    caught = []
    dropped = stats["dropped"]

    def on_alarm(*_):
        caught.append(1)
        log.error("from a signal handler")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        deadline = time.monotonic() + 20
        while len(caught) < 300 and time.monotonic() < deadline:
            log.error("from the program")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(caught) >= 300
    told = {one.title: one.count for one in alerts()}
    assert set(told) == {"from the program", "from a signal handler"}
    # Where it is slow, signals interrupt each other's handlers: too deep, they are dropped. And a
    # count may be interrupted in the middle, by one that counts the same: that is all.
    too_deep = stats["dropped"] - dropped
    assert told["from a signal handler"] + too_deep >= len(caught) - 5


def test_a_fork_has_a_reporter_of_its_own_and_tells_nothing_twice(log, monkeypatch):
    gate = threading.Event()
    write = reporter._write
    monkeypatch.setattr(reporter, "_write", lambda: (gate.wait(20), write()))
    log.error("of the parent")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            waiting = len(reporter._waiting)
            reporter._write = lambda: None
            log.error("of the child")
            code = 0 if waiting == 0 and len(reporter._waiting) == 1 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.set()
    assert [(one.title, one.count) for one in alerts()] == [("of the parent", 1)]


# --- An unhandled 500 --------------------------------------------------------------------


def broken(request, number):
    raise ZeroDivisionError(f"by {number}")


def fine(request):
    return HttpResponse("fine")


urlpatterns = [path("broken/<int:number>/", broken), path("fine/", fine)]


def test_an_unhandled_500_is_an_alert_one_for_all_addresses(transactional_db, settings):
    settings.ROOT_URLCONF = __name__
    logger = logging.getLogger("django.request")
    handler = AlertHandler()
    logger.addHandler(handler)
    client = Client(raise_request_exception=False)
    try:
        statuses = [client.get(f"/broken/{number}/").status_code for number in (7, 8)]
        statuses += [client.get("/fine/").status_code, client.get("/nowhere/").status_code]
    finally:
        logger.removeHandler(handler)
    assert statuses == [500, 500, 200, 404]
    [one] = alerts()
    assert (one.count, one.source) == (2, "django.request")
    # Of the first, or of the second where the first had been written by then.
    number_of_error = one.title.removeprefix("ZeroDivisionError: by ")
    assert number_of_error in {"7", "8"}
    assert f"Internal Server Error: /broken/{number_of_error}/" in one.body
    assert not Pending.objects.filter(stream=ALERTS).exists()
    assert sys.modules[__name__].__file__ in one.body


def test_the_metrics_say_what_became_of_errors(log):
    log.error("counted")
    alerts()
    [family] = [one for one in Figures(None).collect() if one.name == "notifications_log_alerts"]
    told = {sample.labels["outcome"]: sample.value for sample in family.samples}
    assert told == {name: stats[name] for name in ("heard", "stored", "dropped", "failed")}
    assert told["stored"] >= 1
