"""An outsider never gets a frame, a row or an effect in another's stream.

By no transport, no cursor and no action: jz is in no group and no list. Whatever jz asks for, in
whatever way, is held against the titles and ids that are for others.
"""

from __future__ import annotations

import asyncio
import json
import random
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications import Everyone, Group, Staff, alert, broadcast, inbox_of, notify
from notifications.consumers import NotificationConsumer
from notifications.errors import BadCursor
from notifications.models import Alert, AlertEvent, Entry, Mute, Notification, Reader, Receipt
from notifications.notices import render
from notifications.stream.hub import Hub
from notifications.stream.number import number
from notifications.stream.read import greet, read_since, write_runs
from notifications.wire import Cursor
from tests.live import deeds
from tests.test_fuzz_frames import Line

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "not for jz"
CALM = settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


class Others:
    """What is stored for others, and the ways to name it."""

    def __init__(self, editors) -> None:
        self.ana, self.jz = (User.objects.create_user(name) for name in ("ana", "jz"))
        self.dana = User.objects.create_user("dana", is_staff=True)
        self.ana.groups.add(editors)
        sent = [
            notify(self.ana, f"{SECRET} 1", body=SECRET, data={"x": SECRET}),
            notify([self.ana, self.dana], f"{SECRET} 2"),
            broadcast(Group(editors), f"{SECRET} 3"),
            broadcast(Staff(), f"{SECRET} 4"),
        ]
        notify(self.ana, f"{SECRET} 5", at=timezone.now() + timedelta(hours=1))
        broadcast(Everyone(), "For all")
        notify(self.jz, "For jz")
        alert("secret", f"{SECRET} 6", body=SECRET, level="critical", source=SECRET)
        number(["alerts"])
        for person in (self.ana, self.dana, self.jz):
            inbox_of(person).number()
        self.ids = [one.pk for one in sent]
        self.targets = [*self.ids, Alert.objects.get().pk]
        self.epochs = [inbox_of(one).counts().at.epoch for one in (self.jz, self.ana, self.dana)]
        self.streams = [
            *("user", f"user.{self.ana.pk}", f"user.{self.dana.pk}", f"user.{self.jz.pk}"),
            *("everyone", "staff", f"group.{editors.pk}", "alerts", "epoch2", "nowhere"),
        ]
        self.jz = User.objects.get(pk=self.jz.pk)

    def state(self):
        """All that others have, to see that nobody changed it."""
        theirs = [self.ana.pk, self.dana.pk]
        return [
            list(Receipt.objects.filter(person_id__in=theirs).order_by("pk").values()),
            list(Reader.objects.filter(person_id__in=theirs).order_by("pk").values()),
            list(Notification.objects.order_by("pk").values()),
            *(list(model.objects.order_by("pk").values()) for model in (Alert, AlertEvent, Mute)),
            list(Entry.objects.exclude(stream=f"user.{self.jz.pk}").order_by("pk").values()),
        ]


@pytest.fixture
def others(transactional_db, editors):
    return Others(editors)


def cursors(others):
    seqs = st.dictionaries(
        st.sampled_from(others.streams), st.sampled_from([0, 0, 1, 2, 99]), max_size=6
    )
    return st.builds(Cursor, st.sampled_from(others.epochs), seqs)


def test_no_cursor_opens_anothers_stream(others):
    subscription = inbox_of(others.jz).subscription
    mine = {"user", "everyone"}

    @given(cursor=cursors(others), limit=st.integers(1, 5), hello=st.booleans())
    @settings(CALM, max_examples=400)
    def ask(cursor, limit, hello):
        if hello:
            found = greet(subscription, cursor, limit)
            assert SECRET not in found.text
            assert set(found.start.seqs) == mine or found.mode == "resume"
            reading = found.reading
        else:
            reading = read_since(subscription, cursor, limit)
        assert set(reading.heads.seqs) == mine
        for run, text in write_runs(reading.runs, subscription.key, "en", render):
            assert run.stream in (f"user.{others.jz.pk}", "everyone")
            assert SECRET not in text

    ask()


def test_no_cursor_and_no_action_opens_anothers_stream_by_websocket(others, settings):
    settings.NOTIFICATIONS = {"FRAMES_BURST": 1_000_000}
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    name, key = deeds.log_in("jz")
    chance = random.Random(3)
    before = others.state()
    pick = lambda: {  # noqa: E731
        "epoch": chance.choice(others.epochs),
        **{name: chance.choice([0, 1, 99]) for name in chance.sample(others.streams, 3)},
    }
    deeds_of_jz = ["read", "unread", "archive", "unarchive", "seen", "read_all"]
    deeds_of_jz += ["ack_alert", "resolve_alert", "mute_alert", "unmute_alert"]
    answers: list[dict] = []

    async def visit() -> None:
        script = [{"type": "hello", "cursor": pick(), "tab": f"user.{others.ana.pk}", "lang": "en"}]
        for which in range(12):
            script.append({"type": "sync", "cursor": pick()})
            act = {"type": "do", "id": which, "action": chance.choice(deeds_of_jz)}
            if chance.random() < 0.6:
                act["ids"] = chance.sample(others.targets, chance.randint(1, 3))
            else:
                act["upto"] = pick()
            script.append(act)
        line = Line(f"{name}={key}", [json.dumps(frame) for frame in script])
        await NotificationConsumer()(line.scope, line.receive, line.send)
        answers.extend(line.told)

    async def visits() -> None:
        for _ in range(25):
            await visit()
        await Hub.running().aclose()

    asyncio.run(visits())
    assert SECRET not in json.dumps(answers)
    assert {frame["stream"] for frame in answers if frame["type"] == "items"} <= {
        "user",
        "everyone",
    }
    done = [frame for frame in answers if frame["type"] == "done"]
    assert len(done) > 100
    assert {frame["error"]["code"] for frame in done if not frame["ok"]} >= {
        "not_yours",
        "bad_cursor",
        "forbidden",
    }
    assert others.state() == before


def test_no_address_and_no_body_opens_anothers_stream_by_http(others):
    client = Client()
    client.force_login(others.jz)
    chance = random.Random(4)
    before = others.state()
    asked = 0
    for which in range(250):
        cursor = Cursor(
            chance.choice(others.epochs),
            {name: chance.choice([0, 1, 99]) for name in chance.sample(others.streams, 3)},
        )
        match which % 5:
            case 0:
                answer = client.get("/notifications/poll/", {"cursor": str(cursor)})
            case 1:
                view = chance.choice(["all", "unread", "archived"])
                token = f"{chance.choice([0, 10**15, 2 * 10**15])}-{chance.choice(others.ids)}"
                query = {"view": view, "before": token, "user": others.ana.pk, "person": "ana"}
                answer = client.get("/notifications/list/", query)
            case 2:
                action = chance.choice(["read", "archive", "ack_alert", "mute_alert"])
                body = {"action": action, "ids": others.targets}
                answer = client.post("/notifications/do/", body, "application/json")
                assert answer.json()["error"]["code"] in ("not_yours", "forbidden")
            case 3:
                body = {"action": "read_all", "upto": cursor.as_json()}
                answer = client.post("/notifications/do/", body, "application/json")
            case _:
                form = {"open": chance.choice(others.ids), "next": "/notifications/"}
                answer = client.post("/notifications/act/", form, follow=True)
        asked += 1
        assert SECRET not in answer.content.decode(), answer.request
    assert asked == 250
    assert others.state() == before


def test_an_action_on_what_does_not_exist_and_on_anothers_tells_the_same(others):
    """Ids are no oracle: nobody learns from the answer that somebody was told something."""
    client = Client()
    client.force_login(others.jz)
    answers = [
        client.post("/notifications/do/", {"action": "read", "ids": [id]}, "application/json")
        for id in (others.ids[0], others.ids[3], 10**9)
    ]
    assert {answer.status_code for answer in answers} == {404}
    told = [answer.json()["error"]["detail"].rstrip(".0123456789") for answer in answers]
    assert len(set(told)) == 1


def test_the_outsider_is_one_and_the_others_are_not(others):
    """Or else the tests above would mean nothing."""
    assert [item.title for item in inbox_of(others.jz).page().items] == ["For jz", "For all"]
    ana = User.objects.get(pk=others.ana.pk)
    assert [item.title for item in inbox_of(ana).page().items] == [
        "For all",
        f"{SECRET} 3",
        f"{SECRET} 2",
        f"{SECRET} 1",
    ]
    subscription = inbox_of(ana).subscription
    at = inbox_of(ana).counts().at
    zero = Cursor(at.epoch, dict.fromkeys(at.seqs, 0))
    texts = write_runs(read_since(subscription, zero, 50).runs, subscription.key, "en", render)
    assert SECRET in "".join(text for _run, text in texts)
    with pytest.raises(BadCursor):
        inbox_of(others.jz).act("read_all", upto=at)
