"""Whatever happens, a client that applied the log shows the inbox as it is fetched anew.

Hypothesis drives a small town (town.py). After every step each connected client, which knows
nothing but frames and lists (replica.py), is compared with the inbox: rows, their order, what is
unread, both counts, and the cursor. One of the clients belongs to an outsider.

`EXPLORE=1000 pytest tests/kernel/test_model.py` tries so many new histories.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from .town import NOON, Town

pytestmark = pytest.mark.django_db(transaction=True)

EXPLORE = int(os.environ.get("EXPLORE", "0"))
VECTORS = Path(__file__).parents[1] / "js" / "vectors.json"
SEEDS = range(10)
STEPS = 40

whose = st.integers(0, 2)
lasts = st.sampled_from([0, 0, 0, 3])
fates = st.sampled_from([0, 0, 0, 1, 2])


class Histories(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.town = Town()

    def teardown(self):
        self.town.close()

    @invariant()
    def what_is_shown_is_what_is_stored(self):
        self.town.check()

    @rule(who=st.integers(1, 7), lasts=lasts, fate=fates)
    def notify(self, who, lasts, fate):
        with self.town.step(fate):
            self.town.tell(who, lasts)

    @rule(which=whose, lasts=lasts, fate=fates)
    def broadcast(self, which, lasts, fate):
        with self.town.step(fate):
            self.town.broadcast(which, lasts)

    @rule(seconds=st.integers(1, 9))
    def schedule(self, seconds):
        with self.town.step():
            self.town.schedule(seconds)

    @rule()
    def come_due(self):
        with self.town.step():
            self.town.let_it_be_due()

    @rule(who=whose, action=st.integers(0, 4), which=st.integers(0, 255), fate=fates)
    def act(self, who, action, which, fate):
        with self.town.step(fate):
            self.town.act(who, action, which)

    @rule(who=whose, seen=st.booleans())
    def act_on_all(self, who, seen):
        with self.town.step():
            self.town.move(who, seen)

    @rule(which=st.integers(0, 50), fate=fates)
    def recall(self, which, fate):
        with self.town.step(fate):
            self.town.recall(which)

    @rule(seconds=st.integers(1, 5))
    def expire(self, seconds):
        with self.town.step():
            self.town.wait(seconds)

    @rule(who=whose, leaves=st.booleans())
    def join_or_leave(self, who, leaves):
        with self.town.step():
            self.town.join(who, leaves)

    @rule(who=whose, with_cursor=st.sampled_from([True, True, False]), limit=st.integers(1, 5))
    def connect(self, who, with_cursor, limit):
        with self.town.step():
            self.town.connect(who, with_cursor, limit)

    @rule(who=whose)
    def disconnect(self, who):
        with self.town.step():
            self.town.disconnect(who)

    @rule(who=whose)
    def ask_for_a_list(self, who):
        with self.town.step():
            self.town.open_list(who)

    @rule(who=whose)
    def get_the_list(self, who):
        with self.town.step():
            self.town.take_list(who)

    @rule()
    def let_another_process_read(self):
        self.town.number_for_somebody_else()

    @rule(keep=st.integers(0, 3))
    def prune(self, keep):
        with self.town.step():
            self.town.prune(keep)

    @rule()
    def restore_a_backup(self):
        with self.town.step():
            self.town.restore()


@pytest.mark.timeout(3_600 if EXPLORE else 300)
def test_what_a_client_built_from_the_log_is_what_is_fetched_anew(transactional_db):
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=EXPLORE or 25,
            stateful_step_count=30,
            deadline=None,
            derandomize=not EXPLORE,
            database=None,
            phases=list(Phase) if EXPLORE else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


# --- The same for inbox.js -----------------------------------------------------------------


class Recorder:
    """What one client was given, step by step, in numbers that are the same on every run."""

    def __init__(self):
        self.events = []
        self._ids = {}

    def __call__(self, *event):
        self.events.append(self._plain(list(event)))

    def take(self):
        events, self.events = self.events, []
        return events

    def id(self, id):
        return self._ids.setdefault(id, len(self._ids) + 1)

    def _plain(self, value, key=None):
        if isinstance(value, dict):
            return {
                ("group.1" if name.startswith("group.") else name): self._plain(one, name)
                for name, one in value.items()
            }
        if isinstance(value, list):
            return [self._plain(one, key) for one in value]
        if key in ("id", "ids"):
            return self.id(value)
        if key == "epoch":
            return f"k{self.id(value)}"
        if key == "stream" and value.startswith("group."):
            return "group.1"
        return value


def history(seed):
    """A random life, as a list of steps with what is to be shown after each."""
    chance = random.Random(seed)
    recorder = Recorder()
    town = Town(recorder)
    client = town.clients[0]
    steps = []
    try:
        for number in range(STEPS):
            fate = chance.choice([0, 0, 0, 1, 2])
            deed = chance.choice(DEEDS) if number else DEEDS[-1]
            with town.step(fate):
                deed(town, chance)
            town.check()
            step = {"now": int(town.now.timestamp() * 1000), "events": recorder.take()}
            if client.online and not client.is_loading:
                unseen, unread = client.state.counts
                step["shown"] = [
                    [recorder.id(id), title, unread]
                    for id, title, unread in client.state.shown(town.now)
                ]
                step["counts"] = [unseen, unread]
                step["cursor"] = recorder._plain(client.state.cursor)
            steps.append(step)
    finally:
        town.close()
    return {"seed": seed, "start": int(NOON.timestamp() * 1000), "steps": steps}


DEEDS = [
    lambda town, chance: town.tell(chance.randint(1, 7), chance.choice([0, 0, 4])),
    lambda town, chance: town.tell(1, 0),
    lambda town, chance: town.broadcast(chance.randint(0, 2), chance.choice([0, 0, 4])),
    lambda town, chance: town.act(0, chance.randint(0, 4), chance.randint(0, 255)),
    lambda town, chance: town.act(1, chance.randint(0, 4), chance.randint(0, 255)),
    lambda town, chance: town.act(chance.randint(0, 1), 2, chance.randint(1, 255)),
    lambda town, chance: town.act(chance.randint(0, 1), 3, 255),
    lambda town, chance: town.act(chance.randint(0, 1), 1, 255),
    lambda town, chance: town.move(chance.randint(0, 1), chance.random() < 0.5),
    lambda town, chance: town.recall(chance.randint(0, 50)),
    lambda town, chance: town.wait(chance.randint(1, 5)),
    lambda town, chance: town.join(chance.randint(0, 2), chance.random() < 0.3),
    lambda town, chance: town.disconnect(0) if chance.random() < 0.3 else town.take_list(0),
    lambda town, chance: town.open_list(0),
    lambda town, chance: town.take_list(0),
    lambda town, chance: town.prune(chance.randint(0, 3)),
    lambda town, chance: town.restore() if chance.random() < 0.2 else town.tell(3, 0),
    lambda town, chance: town.connect(1, True, 3),
    lambda town, chance: town.connect(0, chance.random() < 0.8, chance.randint(1, 5)),
    lambda town, chance: town.connect(0, True, 5),
]


@pytest.mark.timeout(300)
def test_the_vectors_for_the_browser_are_what_the_kernel_says_today(transactional_db):
    """`RECORD=1` writes them anew; `node --test tests/js` holds inbox.js to them."""
    histories = json.loads(json.dumps([history(seed) for seed in SEEDS]))
    if os.environ.get("RECORD"):
        lines = [json.dumps(one, separators=(",", ":"), ensure_ascii=False) for one in histories]
        VECTORS.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    recorded = {one["seed"]: one for one in json.loads(VECTORS.read_text())}
    changed = [one["seed"] for one in histories if recorded.get(one["seed"]) != one]
    assert not changed, "the kernel says something else today; if it should, RECORD=1"
    compared = [step for one in histories for step in one["steps"] if "shown" in step]
    assert len(compared) > len(SEEDS) * STEPS / 2
    told = [frame for one in histories for step in one["steps"] for frame in step["events"]]
    kinds = {event[1]["type"] for event in told if event[0] == "frame"}
    assert kinds >= {"welcome", "items", "counts", "reset"}
    ops = {
        item["op"] for event in told if event[0] == "frame" for item in event[1].get("items", ())
    }
    assert ops >= {"created", "read", "unread", "archived", "unarchived", "read_all", "recalled"}
