"""The frames of a history of alerts, as browsers get them: tests/js holds inbox.js to them."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from notifications import alert, alerts, inbox_of, resolve
from notifications.models import Alert
from notifications.notices import render
from notifications.stream.names import ALERTS
from notifications.stream.number import number
from notifications.stream.read import read_since, write_runs

pytestmark = pytest.mark.django_db(transaction=True)

VECTORS = Path(__file__).parents[1] / "js" / "alerts.json"
TIMES = ("changed", "muted_until", "first_seen", "last_seen", "fired", "at")


@pytest.fixture
def dana(transactional_db):
    user = User.objects.create_user("dana")
    user.user_permissions.add(Permission.objects.get(codename="view_alert"))
    return user


def steady(value, ids):
    """The same with every run: no times, and ids from one on."""
    if isinstance(value, list):
        return [steady(one, ids) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: bool(one)
        if name in TIMES
        else ids.setdefault(one, len(ids) + 1)
        if name == "id"
        else steady(one, ids)
        for name, one in value.items()
    }


def test_the_vectors_of_alerts_are_what_the_kernel_says_today(dana):
    """`RECORD=1` writes them anew."""

    def of(key):
        number([ALERTS])
        return [Alert.objects.get(key=key).pk]

    soon = timezone.now() + timedelta(hours=1)
    history = [
        lambda: alert("a", "Gateway timeouts", level="critical", labels={"env": "live"}),
        lambda: (alert("b", "Disk full", body="df"), alert("c", "Slow", level="warning")),
        lambda: alerts.acknowledge(of("a"), dana, "calling the bank"),
        lambda: alerts.mute([*of("b"), *of("c")], dana, soon, "load test"),
        lambda: (resolve("a"), alert("a", "Gateway timeouts", level="critical")),
        lambda: alerts.unmute(of("c"), dana),
        lambda: alerts.note(of("a"), dana, "it is the cache"),
        lambda: alerts.close(of("b"), dana, "deleted the logs"),
    ]
    subscription = inbox_of(dana).subscription
    cursor = inbox_of(dana).counts().at
    ids: dict[int, int] = {}
    steps = []
    for happen in history:
        happen()
        number([ALERTS])
        reading = read_since(subscription, cursor, 100)
        texts = write_runs(reading.runs, subscription.key, "en", render)
        cursor = reading.heads
        frames = [steady(json.loads(text), ids) for _run, text in texts]
        stored = [steady(one.as_json(), ids) for one in Alert.objects.order_by("pk")]
        steps.append({"frames": frames, "stored": stored, "alerts": cursor.seqs[ALERTS]})
    told = json.loads(json.dumps(steps))
    if os.environ.get("RECORD"):
        lines = [json.dumps(one, separators=(",", ":")) for one in told]
        VECTORS.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    assert told == json.loads(VECTORS.read_text())
    assert all(step["frames"] for step in told)
