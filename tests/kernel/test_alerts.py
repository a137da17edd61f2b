"""The operators' queue: folding, what happens by itself, and what operators do."""

from __future__ import annotations

import asyncio
import io
import random
import threading
from collections import Counter
from datetime import timedelta
from unittest import mock

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections, transaction
from django.db.models import DateTimeField, Value
from django.utils import timezone

from notifications import aalert, alert, alerts, aresolve, resolve
from notifications.alerts import (
    acknowledge,
    close,
    end_mutes,
    look_at_the_clock,
    mute,
    mute_labels,
    note,
    unmute,
)
from notifications.errors import AlreadyDone, BadNotification, UnknownAlert
from notifications.models import Alert, AlertEvent, AlertHour, Entry, Mute, Pending
from notifications.stream import number as numbering
from notifications.stream.names import ALERTS
from notifications.stream.number import number
from notifications.testing import time_travel

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cy(transactional_db):
    """The second operator."""
    return User.objects.create_user("cy", is_staff=True)


@pytest.fixture
def one(transactional_db):
    """The alert with a key, folded."""

    def one(key="payments-down"):
        number([ALERTS])
        return Alert.objects.get(key=key)

    return one


def entries():
    return list(Entry.objects.filter(stream=ALERTS).order_by("seq").values_list("arg", flat=True))


def trail(key="payments-down"):
    events = AlertEvent.objects.filter(alert__key=key)
    return [(event.kind, event.by, event.note) for event in events]


def in_a_while(**ahead):
    """As a server process would, some time later."""
    with time_travel(**ahead):
        look_at_the_clock()


def at(moment):
    """The database's clock stands still there."""
    return mock.patch.object(numbering, "Now", return_value=Value(moment, DateTimeField()))


def look_at(moment):
    """As a server process would, at this very moment."""
    with at(moment):
        look_at_the_clock()


# --- Folding -----------------------------------------------------------------------------


def test_an_alert_is_one_row_with_all_that_was_said_of_it(ana, one):
    before = timezone.now()
    alert(
        "payments-down",
        "Gateway timeouts",
        body="504 from the bank",
        level="critical",
        source="payments",
        url="/pay/",
        labels={"env": "live", "shard": 7},
        target=ana,
    )
    assert not Alert.objects.exists()  # only told
    found = one()
    assert (found.title, found.body, found.level_word) == (
        "Gateway timeouts",
        "504 from the bank",
        "critical",
    )
    assert (found.source, found.url, found.labels) == (
        "payments",
        "/pay/",
        {"env": "live", "shard": "7"},
    )
    assert found.target == ana
    assert (found.state, found.count) == ("firing", 1)
    assert before <= found.first_seen == found.last_seen <= timezone.now()
    [entry] = entries()
    assert entry["alert"] == found.as_json()
    assert entry["event"]["kind"] == "fired"
    assert not Pending.objects.exists()


def test_alert_costs_one_insert_in_the_callers_transaction(
    transactional_db, django_assert_num_queries
):
    with transaction.atomic(), django_assert_num_queries(1) as queries:
        alert("payments-down", "Gateway timeouts")
    assert queries[0]["sql"].startswith("INSERT")


def test_a_rollback_leaves_no_alert(one):
    with transaction.atomic():
        alert("payments-down", "Gateway timeouts")
        transaction.set_rollback(True)
    number([ALERTS])
    assert not Alert.objects.exists()
    assert entries() == []


def test_ten_thousand_calls_of_one_key_are_one_row_with_the_exact_count_and_few_entries(one, noon):
    said = alerts.Alarm("payments-down", "Gateway timeouts")
    for _thousand in range(10):
        alerts.tell([said] * 1_000)
    found = one()
    assert found.count == 10_000
    assert Alert.objects.count() == AlertEvent.objects.count() == AlertHour.objects.count() == 1
    assert AlertHour.objects.get().count == 10_000
    assert not Pending.objects.exists()
    assert 1 <= len(entries()) <= 5
    in_a_while(seconds=2)  # what was held back is told
    assert entries()[-1]["alert"]["count"] == 10_000


def test_repeats_are_told_at_most_once_a_second_and_the_last_one_always(one):
    now = timezone.now()
    second = timedelta(seconds=1)

    def told():
        return [entry["alert"]["count"] for entry in entries()]

    for after in (timedelta(0), second * 0.999):
        with at(now + after):
            for number_of_call in range(10):
                alert("payments-down", "Gateway timeouts", body=str(number_of_call))
                one()
    assert told() == [1]
    assert one().count == 20
    look_at(now + second * 0.999)
    assert told() == [1]
    look_at(now + second)
    assert told() == [1, 20]
    look_at(now + second * 60)
    assert told() == [1, 20]


def test_the_latest_words_stand(one):
    alert("payments-down", "Slow", level="warning", labels={"env": "live"})
    alert("payments-down", "Down", level="critical")
    found = one()
    assert (found.title, found.level_word, found.labels) == ("Down", "critical", {})
    assert found.count == 2


def test_a_resolved_alert_fires_again(one):
    alert("payments-down", "Gateway timeouts")
    resolve("payments-down", "the bank is back")
    found = one()
    assert (found.state, found.note, found.by) == ("resolved", "the bank is back", "")
    alert("payments-down", "Gateway timeouts")
    found = one()
    assert (found.state, found.note, found.count) == ("firing", "", 2)
    assert trail() == [
        ("fired", "", ""),
        ("resolved", "", "the bank is back"),
        ("reopened", "", ""),
    ]


def test_resolving_what_does_not_fire_says_nothing(one):
    resolve("nothing")
    alert("payments-down", "Gateway timeouts")
    one()
    resolve("payments-down")
    resolve("payments-down")
    one()
    assert [entry["alert"]["state"] for entry in entries()] == ["firing", "resolved"]
    assert not Pending.objects.exists()


def test_an_alert_outside_of_any_server_is_folded_by_whoever_looks(one):
    alert("payments-down", "Gateway timeouts")
    assert alerts.position() == 1
    assert Alert.objects.get().count == 1


def test_another_persons_inbox_does_not_fold_alerts(ana, fresh):
    alert("payments-down", "Gateway timeouts")
    fresh(ana)
    assert Pending.objects.filter(stream=ALERTS).count() == 1


def test_there_are_async_twins(one):
    async def tell():
        await aalert("payments-down", "Gateway timeouts")
        await aresolve("payments-down")

    asyncio.run(tell())
    assert one().state == "resolved"


WRONG = [
    ({"key": ""}, "key must be a string that is not empty"),
    ({"key": 7}, "key must be a string"),
    ({"key": "k" * 201}, "key is 201 characters long"),
    ({"title": " "}, "needs a title"),
    ({"title": "a\x00b"}, "without NUL"),
    ({"level": "eror"}, 'Did you mean "error"'),
    ({"url": "javascript:alert(1)"}, "unsafe url"),
    ({"labels": ["env"]}, "labels must be"),
    ({"labels": {"env": None}}, "labels must be"),
    ({"labels": {"env": "\x00"}}, "without NUL"),
    ({"labels": {str(number): "" for number in range(51)}}, "at most 50"),
    ({"ttl": 0}, "ttl must be"),
    ({"target": "payments"}, "target must be"),
    ({"body": "b" * 10_001}, "body is 10001"),
]


def test_what_cannot_be_shown_is_refused_where_it_is_said(transactional_db, subtests):
    for wrong, said in WRONG:
        with subtests.test(said), pytest.raises(BadNotification, match=said):
            alert(**({"key": "payments-down", "title": "Gateway timeouts"} | wrong))
    assert not Pending.objects.exists()


def test_callers_at_once_from_many_threads_are_all_counted(one):
    def storm():
        for _call in range(25):
            alert("payments-down", "Gateway timeouts")
            number([ALERTS])
        connections.close_all()

    threads = [threading.Thread(target=storm) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one().count == 100
    assert [kind for kind, *_ in trail()] == ["fired"]


# --- What operators do -------------------------------------------------------------------


def test_acknowledging_tells_who_when_and_why(dana, one):
    alert("payments-down", "Gateway timeouts", level="critical")
    id = one().pk
    outcome = acknowledge([id], dana, "calling the bank")
    assert [changed.pk for changed in outcome.changed] == [id]
    found = one()
    assert (found.state, found.by, found.note) == ("acknowledged", "dana", "calling the bank")
    assert entries()[-1]["alert"] == found.as_json()
    assert entries()[-1]["event"]["by"] == "dana"
    assert trail()[-1] == ("acknowledged", "dana", "calling the bank")
    history = LogEntry.objects.get()
    assert (history.user, history.object_id) == (dana, str(id))
    assert history.get_edited_object() == found
    assert history.change_message == "Acknowledged: calling the bank"


def test_the_second_is_told_who_was_first(dana, cy, one):
    alert("payments-down", "Gateway timeouts")
    id = one().pk
    acknowledge([id], dana)
    outcome = acknowledge([id], cy)
    assert outcome.changed == []
    [refused] = outcome.refused
    assert isinstance(refused, AlreadyDone)
    assert str(refused) == "it is acknowledged already by dana."
    assert one().by == "dana"
    assert [kind for kind, *_ in trail()] == ["fired", "acknowledged"]


def test_of_two_at_once_exactly_one_wins(dana, cy, one):
    for attempt in range(5):
        key = f"payments-{attempt}"
        alert(key, "Gateway timeouts")
        id = one(key).pk
        barrier = threading.Barrier(2)
        outcomes = {}

        def click(person, id=id, barrier=barrier, outcomes=outcomes):
            barrier.wait(10)
            outcomes[person.username] = acknowledge([id], person)
            connections.close_all()

        threads = [threading.Thread(target=click, args=[person]) for person in (dana, cy)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [winner] = [name for name, outcome in outcomes.items() if outcome.changed]
        [loser] = [name for name, outcome in outcomes.items() if outcome.refused]
        assert {winner, loser} == {"dana", "cy"}
        assert outcomes[loser].refused[0].by == winner == one(key).by


def test_an_acknowledged_alert_counts_on_and_asks_again_only_if_it_gets_worse(dana, one):
    alert("payments-down", "Slow", level="warning")
    acknowledge([one().pk], dana)
    alert("payments-down", "Slow", level="warning")
    assert (one().state, one().count, one().by) == ("acknowledged", 2, "dana")
    alert("payments-down", "Down", level="critical")
    assert (one().state, one().by) == ("firing", "")
    assert trail()[-1][0] == "raised"


def test_what_becomes_critical_while_it_fires_is_told_once_and_then_repeated(one, settings):
    settings.NOTIFICATIONS = {"ALERT_REPEAT": 600}
    alert("payments-down", "Slow", level="warning")
    one()
    for level in ("error", "critical", "error", "critical", "critical"):
        alert("payments-down", "Slow", level=level)
        one()
    assert [kind for kind, *_rest in trail()] == ["fired", "raised"]
    assert [entry["event"] for entry in entries() if entry["event"]][-1]["kind"] == "raised"
    assert (one().state, one().count) == ("firing", 6)
    in_a_while(seconds=601)
    assert [kind for kind, *_rest in trail()] == ["fired", "raised", "repeated"]


def test_an_operator_can_close_an_alert_and_write_into_its_trail(dana, cy, one):
    alert("payments-down", "Gateway timeouts")
    id = one().pk
    note([id], cy, "the bank's status page is red")
    close([id], dana, "switched to the other bank")
    assert (one().state, one().by) == ("resolved", "dana")
    assert trail()[1:] == [
        ("noted", "cy", "the bank's status page is red"),
        ("resolved", "dana", "switched to the other bank"),
    ]
    assert [entry["event"]["kind"] for entry in entries()] == ["fired", "noted", "resolved"]
    assert close([id], cy).refused[0].by == "dana"


def test_what_was_told_before_the_click_comes_before_it(dana, one):
    alert("payments-down", "Gateway timeouts")
    id = one().pk
    resolve("payments-down")
    outcome = acknowledge([id], dana)
    assert outcome.changed == []
    assert one().state == "resolved"


def test_some_of_several_are_changed_and_the_others_are_named(dana, cy, one):
    alert("a", "A")
    alert("b", "B")
    ids = [one("a").pk, one("b").pk]
    acknowledge(ids[:1], cy)
    outcome = acknowledge(ids, dana)
    assert [changed.key for changed in outcome.changed] == ["b"]
    assert [refused.by for refused in outcome.refused] == ["cy"]
    with pytest.raises(UnknownAlert, match=r"no such alert: 987654\."):
        acknowledge([*ids, 987654], dana)


def test_an_act_in_a_transaction_that_is_rolled_back_never_was(dana, one):
    alert("payments-down", "Gateway timeouts")
    id = one().pk
    with transaction.atomic():
        acknowledge([id], dana)
        transaction.set_rollback(True)
    assert one().state == "firing"
    assert [kind for kind, *_ in trail()] == ["fired"]
    assert not LogEntry.objects.exists()


# --- Quiet -------------------------------------------------------------------------------


def test_a_muted_alert_counts_on_and_is_heard_again_at_its_time(dana, one):
    alert("payments-down", "Gateway timeouts", level="critical")
    until = timezone.now() + timedelta(hours=1)
    mute([one().pk], dana, until, "the bank said so")
    alert("payments-down", "Gateway timeouts", level="critical")
    found = one()
    assert (found.state, found.count, found.by, found.note, found.muted_until) == (
        "muted",
        2,
        "dana",
        "the bank said so",
        until,
    )
    in_a_while(minutes=59)
    assert one().state == "muted"
    in_a_while(minutes=61)
    assert (one().state, one().by) == ("firing", "")
    assert trail()[-1] == ("unmuted", "", "")


def test_what_fires_again_while_its_key_is_muted_is_muted(dana, one):
    alert("payments-down", "Gateway timeouts")
    close([one().pk], dana)
    mute([one().pk], dana, timezone.now() + timedelta(hours=1))
    assert one().state == "resolved"
    alert("payments-down", "Gateway timeouts")
    assert one().state == "muted"


def test_labels_mute_what_has_all_of_them(dana, one):
    alert("a", "A", labels={"env": "test", "app": "shop"})
    alert("b", "B", labels={"env": "live", "app": "shop"})
    number([ALERTS])
    until = timezone.now() + timedelta(hours=1)
    told = mute_labels({"env": "test", "app": "shop"}, dana, until, "load test")
    alert("c", "C", labels={"env": "test", "app": "shop", "host": "h1"})
    alert("d", "D", labels={"env": "test"})
    states = {key: one(key).state for key in "abcd"}
    assert states == {"a": "muted", "b": "firing", "c": "muted", "d": "firing"}
    assert one("c").note == "load test"
    assert told.covers(one("c"))
    outcome = end_mutes([told.pk], dana)
    assert {changed.key for changed in outcome.changed} == {"a", "c"}
    assert {one(key).state for key in "abcd"} == {"firing"}
    assert trail("a")[-1] == ("unmuted", "dana", "")


def test_unmuting_ends_the_mute_and_only_then_it_is_heard(dana, cy, one):
    alert("payments-down", "Gateway timeouts", labels={"env": "live"})
    id = one().pk
    until = timezone.now() + timedelta(hours=1)
    mute([id], dana, until)
    mute_labels({"env": "live"}, dana, until + timedelta(hours=1))
    assert unmute([id], cy).changed
    assert one().state == "firing"
    assert not Mute.objects.active().exists()
    assert unmute([id], cy).refused
    alert("payments-down", "Gateway timeouts")
    assert one().state == "firing"


def test_the_longest_mute_counts(dana, one):
    alert("payments-down", "Gateway timeouts", labels={"env": "live"})
    mute([one().pk], dana, timezone.now() + timedelta(hours=1))
    mute_labels({"env": "live"}, dana, timezone.now() + timedelta(hours=2))
    in_a_while(minutes=90)
    assert one().state == "muted"
    in_a_while(minutes=121)
    assert one().state == "firing"


def test_a_mute_ends_within_a_year(dana, one):
    alert("payments-down", "Gateway timeouts")
    for ahead in (timedelta(minutes=-1), timedelta(days=400)):
        with pytest.raises(BadNotification, match="until must be"):
            mute([one().pk], dana, timezone.now() + ahead)


def test_a_critical_alert_that_nobody_takes_is_repeated(dana, one, settings):
    settings.NOTIFICATIONS = {"ALERT_REPEAT": 600}
    alert("payments-down", "Gateway timeouts", level="critical")
    alert("slow", "Slow", level="error")
    number([ALERTS])
    period, moment = timedelta(seconds=600), timedelta(milliseconds=1)
    first = one().changed + period
    look_at(first - moment)
    assert one().repeats == 0
    look_at(first)
    look_at(first + period - moment)
    assert one().repeats == 1
    assert entries()[-1]["event"]["kind"] == "repeated"
    look_at(first + period)
    assert one().repeats == 2
    acknowledge([one().pk], dana)
    in_a_while(seconds=6000)
    assert one().repeats == 2
    assert one("slow").repeats == 0


def test_no_reminder_where_the_setting_is_nought(one, settings):
    settings.NOTIFICATIONS = {"ALERT_REPEAT": 0}
    alert("payments-down", "Gateway timeouts", level="critical")
    one()
    in_a_while(days=3)
    assert one().repeats == 0


def test_an_alert_whose_source_falls_silent_is_over(dana, one, settings):
    alert("payments-down", "Gateway timeouts", ttl=300)
    alert("forever", "Stays")
    number([ALERTS])
    acknowledge([one().pk], dana)
    in_a_while(seconds=200)
    assert one().state == "acknowledged"
    alert("payments-down", "Gateway timeouts", ttl=timedelta(minutes=5))
    Pending.objects.update(created=timezone.now() + timedelta(seconds=250))
    in_a_while(seconds=400)
    assert one().state == "acknowledged"
    in_a_while(seconds=560)
    assert (one().state, one().by) == ("resolved", "")
    assert "300" in one().note
    assert one("forever").state == "firing"
    settings.NOTIFICATIONS = {"ALERT_SILENCE": 60}
    alert("other", "Other")
    number([ALERTS])
    in_a_while(seconds=70)
    assert one("other").state == "resolved"


def test_what_is_due_is_done_once_by_many_processes(one, settings):
    settings.NOTIFICATIONS = {"ALERT_REPEAT": 600}
    alert("payments-down", "Gateway timeouts", level="critical")
    one()
    barrier = threading.Barrier(4)

    def process():
        barrier.wait(10)
        look_at_the_clock()
        connections.close_all()

    with time_travel(seconds=601):
        threads = [threading.Thread(target=process) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert one().repeats == 1
    assert [kind for kind, *_ in trail()] == ["fired", "repeated"]


# --- The trail ---------------------------------------------------------------------------


def test_the_trail_is_never_changed_and_outlives_the_people_in_it(dana, one):
    alert("payments-down", "Gateway timeouts")
    acknowledge([one().pk], dana, "mine")
    event = AlertEvent.objects.get(kind="acknowledged")
    assert event.person == dana
    event.note = "not mine"
    with pytest.raises(TypeError, match="not changed"):
        event.save()
    with pytest.raises(TypeError, match="not changed"):
        AlertEvent.objects.update(note="not mine")
    dana.delete()
    event = AlertEvent.objects.get(kind="acknowledged")
    assert (event.person, event.by, event.note) == (None, "dana", "mine")
    assert one().by == "dana"
    assert not LogEntry.objects.exists()  # which is why the trail is our own


# --- Pages -------------------------------------------------------------------------------


def test_the_summary_counts_what_is_in_the_queue(dana, one, noon, django_assert_num_queries):
    for key, level in (("a", "critical"), ("b", "error"), ("c", "critical"), ("d", "info")):
        alert(key, key, level=level)
    number([ALERTS])
    acknowledge([one("c").pk], dana)
    close([one("d").pk], dana)
    mute([one("b").pk], dana, timezone.now() + timedelta(hours=1))
    with django_assert_num_queries(3):
        told = alerts.summary()
    assert (told.firing, told.acknowledged, told.muted, told.resolved_today, told.critical) == (
        *(1, 1, 1, 1),
        1,
    )
    assert len(told.hours) == 24
    assert [count for _hour, count in told.hours][-1] == 4


def test_pruning_forgets_old_hours_and_only_if_asked_to_old_alerts(dana, one):
    for key in ("old", "young", "open"):
        alert(key, key)
    number([ALERTS])
    close([one("old").pk, one("young").pk], dana)
    long_ago = timezone.now() - timedelta(days=100)
    Alert.objects.filter(key__in=("old", "open")).update(changed=long_ago)
    AlertHour.objects.filter(alert__key="open").update(hour=long_ago)

    def prune(*words):
        out = io.StringIO()
        call_command("notifications_prune", *words, stdout=out, stderr=io.StringIO())
        return out.getvalue()

    prune()
    assert sorted(AlertHour.objects.values_list("alert__key", flat=True)) == ["old", "young"]
    assert Alert.objects.count() == 3
    assert "would have pruned" in prune("--alert-days", "90", "--dry-run")
    assert Alert.objects.count() == 3
    assert "deleted 1 resolved alert" in prune("--alert-days", "90")
    assert sorted(Alert.objects.values_list("key", flat=True)) == ["open", "young"]
    assert not AlertEvent.objects.filter(alert__key="old").exists()


# --- Whatever happens --------------------------------------------------------------------


def test_a_numbering_that_fails_at_its_end_has_counted_nothing(one, noon, monkeypatch):
    """As when a process is killed there."""
    alert("payments-down", "Gateway timeouts")
    one()
    alert("payments-down", "Gateway timeouts")
    resolve("payments-down")
    write = numbering.write

    def killed(steps, using):
        write(steps, using)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(numbering, "write", killed)
        number([ALERTS])
    found = Alert.objects.get()
    assert (found.state, found.count) == ("firing", 1)
    assert (one().state, one().count) == ("resolved", 2)
    assert [kind for kind, *_ in trail()] == ["fired", "resolved"]
    assert len(entries()) == 2
    assert AlertHour.objects.get().count == 2


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_last_entry_of_an_alert_is_the_alert(dana, cy, one, seed):
    """Random calls, acts and times: what a client holds is what is stored, and counts are exact."""
    chance = random.Random(seed)
    keys = ["a", "b", "c"]
    told = Counter()
    held = {}
    seen = ahead = 0

    def some():
        ids = list(Alert.objects.values_list("pk", flat=True))
        return chance.sample(ids, chance.randint(1, len(ids))) if ids else []

    def step():
        nonlocal ahead
        person = chance.choice([dana, cy])
        match chance.randrange(9):
            case 0 | 1 | 2:
                key, times = chance.choice(keys), chance.choice([1, 1, 2, 40])
                level = chance.choice(["warning", "critical"])
                labels = {"env": chance.choice(["live", "test"])}
                ttl = chance.choice([None, None, 600])
                alerts.tell([alerts.Alarm(key, "T", level=level, labels=labels, ttl=ttl)] * times)
                told[key] += times
            case 3:
                resolve(chance.choice(keys))
            case 4:
                acknowledge(some(), person)
            case 5:
                close(some(), person)
            case 6:
                mute(some(), person, timezone.now() + timedelta(minutes=chance.randint(1, 5)))
            case 7:
                unmute(some(), person)
            case 8:
                ahead += chance.randint(1, 900)

    for _ in range(50):
        with time_travel(seconds=ahead):
            step()
        ahead += 2
        with time_travel(seconds=ahead):
            look_at_the_clock()
        for entry in Entry.objects.filter(stream=ALERTS, seq__gt=seen).order_by("seq"):
            assert entry.seq == seen + 1
            seen = entry.seq
            held[entry.arg["alert"]["key"]] = entry.arg["alert"]
        stored = {found.key: found.as_json() for found in Alert.objects.all()}
        assert held == stored
        assert {key: found["count"] for key, found in stored.items()} == dict(told)
        active = Mute.objects.filter(ended=None)
        for found in Alert.objects.filter(state="muted"):
            assert found.muted_until == max(m.until for m in active if m.covers(found))
    assert seen > 25
    assert {kind for key in keys for kind, *_ in trail(key)} >= {
        *("fired", "reopened", "resolved", "muted", "unmuted"),
    }
