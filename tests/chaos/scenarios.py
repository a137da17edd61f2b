"""What is done to the town. Each scenario is a small class that says so in plain words.

In each of them the callers of callers.py notify twelve people, who have a tab open each (the
first one, to whom every third notification goes, has two) and click around in it. Then each
reads all, a few last notifications come, and the judge looks.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections import Counter
from typing import Any, ClassVar

from tests.chaos import backup, callers
from tests.chaos.processes import Line, Wsgi
from tests.chaos.town import PATIENCE, SETTINGS, Play
from tests.live.process import wait_until

SCENARIOS: list[type[Scenario]] = []


class Scenario:
    """What all have in common. The docstring of each is what docs/reliability.md says of it."""

    name = ""
    on: tuple[str, ...] = ("postgres", "sqlite")
    short_on: tuple[str, ...] | None = None
    """The towns of its short form, if not all."""
    people = 12
    fidgets = 2.0
    """Seconds between two clicks of a person, about."""
    within: ClassVar[dict[str, float]] = {"postgres": 6.0, "sqlite": 10.0}
    """Seconds from a commit to the last tab that applied it, at most."""
    patience = 30.0
    """Seconds until what is missing in the end counts as lost."""
    broken_by: tuple[str, ...] = ()
    """The mutations against which it must fail."""
    town: ClassVar[dict[str, Any]] = {}
    """What its town has of its own; a scenario without shares one with the others."""
    rest = 0.1
    """Seconds that a caller rests at most between two transactions. Without it two cores are full,
    and times say how long the queue for them is. On SQLite the waiting for its one writer is not
    fair: callers must leave it idle at times."""
    calls: ClassVar[dict[str, Any]] = {}
    """What its callers do otherwise."""

    @classmethod
    def broken_town(cls, mutation: str) -> dict[str, Any]:
        """What its town has of its own, with an app that is broken on purpose.

        Heartbeats are slow there: a client that comes back because of one would repair it.
        """
        settings = {"HEARTBEAT": 25.0} | cls.town.get("settings", {})
        return cls.town | {"settings": settings, "mutation": mutation, "callers": 2}

    def __init_subclass__(cls) -> None:
        if cls.name:
            SCENARIOS.append(cls)

    def callers(self, kind: str, size: int) -> int:
        return 8 if size >= 2_000 and kind == "postgres" else 4

    def callers_rest(self, kind: str) -> float:
        return self.rest

    def open(self, play: Play) -> None:
        plans = [play.tab(name, fidgets=self.fidgets) for name in play.names()]
        play.open([*plans, play.tab(play.names()[0], "b", fidgets=self.fidgets)])

    def trouble(self, play: Play) -> None:
        """What happens while the callers call."""

    def calm(self, play: Play) -> None:
        """What is put right after they have called."""


# Callers


class CommitOrder(Scenario):
    """Nothing breaks. Callers hold their transactions open for 0 to 20 ms, commit in another
    order than they began, roll back every fifth, undo savepoints, lock users, use the same key
    from several transactions at once, save models with rules, read what they sent at once in
    other people's names, and write to hot, cold and shared streams."""

    name = "commit order"
    broken_by = ("id cursor", "no bell, no sweep", "own stream first")
    calls: ClassVar[dict[str, Any]] = {"haste": 0.15}

    def callers_rest(self, kind: str) -> float:
        return 0.0 if kind == "postgres" else self.rest


class CallersKilled(Scenario):
    """Callers are killed with -9: in their transaction; after its commit, before the first
    callback; the same for a saved model whose rule sends the news; in the middle of whatever they
    do; and once more after a commit, when nobody else is there to ring."""

    name = "callers killed"
    short_on = ("sqlite",)
    broken_by = ("no sweep", "published after commit")

    def trouble(self, play: Play) -> None:
        deaths = (
            callers.die_in_the_transaction,
            callers.die_before_the_callbacks,
            callers.die_before_the_callbacks_of_a_model,
        )
        for number, death in enumerate(deaths):
            play.wait_for(0.2 * (number + 1))
            play.town.site.once(death, plan=play.plan(80 + number, first=0))
        play.wait_for(0.7)
        play.kill_a_caller()

    def calm(self, play: Play) -> None:
        """Once more, when nobody else rings and nobody clicks any more."""
        play.quiet()
        play.town.site.once(callers.die_before_the_callbacks, plan=play.plan(89, first=0))
        play.expect_all_within(self.within[play.town.kind] * play.slack)


# Servers


class ServerKilled(Scenario):
    """A server process is killed with -9 in the burst. With two, the clients go to the other one,
    and later that one is killed; with one, it is started again."""

    name = "server killed"
    broken_by = ("no resume",)
    within: ClassVar[dict[str, float]] = {"postgres": 5.0, "sqlite": 30.0}
    BACK = 5.0

    def trouble(self, play: Play) -> None:
        servers = play.town.servers
        order = play.random.sample(servers, len(servers))
        for number, server in enumerate(order):
            play.wait_for(0.3 * (number + 1))
            server.kill()
            if len(servers) > 1:
                back = play.wait_until_all_are_back()
                if back > self.BACK * play.slack:
                    play.complain(f"all were back after {back:.1f} s")
            server.start()
            server.wait()


class RollingDeploy(Scenario):
    """Each server in turn, first uvicorn and then daphne, is taken out of nginx (`down`, reload)
    and told to end with SIGTERM, and starts anew. Every second tab obeys `drain`; the others wait
    until they are closed."""

    name = "rolling deploy"
    on = ("postgres",)
    broken_by = ("no drain",)
    WINDOW = SETTINGS["DRAIN"]

    def open(self, play: Play) -> None:
        patience = PATIENCE * play.slack  # who gives up on a busy machine was not refused
        play.open(
            [
                play.tab(name, label, obeys=label == "a", fidgets=self.fidgets, patience=patience)
                for name in play.names()
                for label in "ab"
            ]
        )

    def trouble(self, play: Play) -> None:
        for number, server in enumerate(play.town.servers):
            play.wait_for(0.3 * (number + 1))
            self.replace(play, server)

    def replace(self, play: Play, server: Any) -> None:
        nginx = play.town.nginx
        assert nginx is not None
        sockets = play.sockets(server)
        nginx.point_at([one for one in play.town.servers if one is not server])
        began = time.time()
        server.process.send(signal.SIGTERM)
        try:
            code = server.process.wait(self.WINDOW + 20)
        except subprocess.TimeoutExpired:
            code = None
            server.kill()
        if code not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
            play.complain(f"{server.kind} ended with {code}")
        play.wait_until_all_are_back()
        ends = [line for line in play.ledger.lines() if line["t"] >= began and line["e"] == "end"]
        codes = Counter(line["code"] for line in ends)
        told = {line["tab"] for line in play.ledger.lines() if line["e"] == "drain"}
        if sockets and not told:
            play.complain(f"{server.kind} told nobody to drain ({sockets} sockets)")
        if codes.keys() - {1000, 4102}:
            play.complain(f"{server.kind} closed with {dict(codes)}")
        refused = [line for line in ends if not line["welcomed"]]
        if refused:
            play.complain(f"{len(refused)} were refused: {refused[:3]}")
        closed = sorted(line["t"] - began for line in ends if line["code"] == 4102)
        if len(closed) >= 4 and closed[-1] - closed[0] < self.WINDOW * 0.3:
            play.complain(f"4102 came all at once: {closed}")
        server.start()
        server.wait()
        nginx.point_at(play.town.servers)


# Redis


class RedisKilled(Scenario):
    """Redis is killed with -9, stays away for some seconds, comes back empty; twice."""

    name = "Redis killed"
    on = ("postgres",)
    broken_by = ("no sweep",)
    within: ClassVar[dict[str, float]] = {"postgres": 2.0}
    rest = 0.3

    def trouble(self, play: Play) -> None:
        assert play.town.redis is not None
        for number in play.twice():
            play.wait_for(0.2 + 0.4 * number)
            with play.town.redis.down():
                play.wait_for(0.4 + 0.4 * number)
                play.pause(2.5)


class RedisHung(Scenario):
    """Redis is alive and answers nothing (SIGSTOP), twice. Callers must not wait for it: one
    sends twenty times meanwhile, and may lose 0.3 s once."""

    name = "Redis hung"
    on = ("postgres",)
    broken_by = ("no sweep", "bell waited for")
    within: ClassVar[dict[str, float]] = {"postgres": 2.0}
    rest = 0.3
    ONCE = 0.3

    def trouble(self, play: Play) -> None:
        assert play.town.redis is not None
        for number in play.twice():
            play.wait_for(0.2 + 0.4 * number)
            before = self.times(play)
            with play.town.redis.frozen():
                during = self.times(play)
                play.wait_for(0.4 + 0.4 * number)
                play.pause(2.5)
            usual = before[-1]
            if during[-1] > usual + self.ONCE * play.slack:
                play.complain(f"a call took {during[-1]:.2f} s, before that {usual:.2f} s")
            if during[-2] > usual + 0.1 * play.slack:
                play.complain(f"more than one call took longer: {during[-3:]}, before {usual:.2f}")

    def times(self, play: Play) -> list[float]:
        """How long each of twenty calls took its caller, the longest last. To nobody here."""
        return sorted(play.town.site.call(callers.time_calls, number=20))


class RedisFlushed(Scenario):
    """Redis forgets everything (FLUSHALL) and throws all its clients out, again and again; at the
    end with one call after each time, when nobody else is there to ring."""

    name = "Redis flushed"
    on = ("postgres",)
    broken_by = ("no sweep",)

    def trouble(self, play: Play) -> None:
        assert play.town.redis is not None
        for number in range(6):
            play.wait_for(0.1 + 0.15 * number)
            self.flush(play)

    def calm(self, play: Play) -> None:
        play.quiet()
        for number in range(6):
            self.flush(play)
            play.town.ask(callers.call, plan=play.plan(81 + number), calls=1)
        play.expect_all_within(self.within[play.town.kind] * play.slack)

    def flush(self, play: Play) -> None:
        play.town.redis_says("FLUSHALL")
        play.town.redis_says("CLIENT", "KILL", "TYPE", "pubsub")
        play.town.redis_says("CLIENT", "KILL", "TYPE", "normal")


class RedisAbsent(Scenario):
    """Redis is not there when the site starts, and never comes."""

    name = "Redis absent"
    on = ("postgres",)
    broken_by = ("no sweep",)
    within: ClassVar[dict[str, float]] = {"postgres": 2.0}
    town: ClassVar[dict[str, Any]] = {"without_redis": True}


# Bells


class NoBells(Scenario):
    """No bell is ever rung, by anybody, while Redis is well and every hub hears itself."""

    name = "every bell lost"
    on = ("postgres",)
    broken_by = ("no bell, no sweep",)
    town: ClassVar[dict[str, Any]] = {"mutation": "no bell"}


class OneCallersBellsLost(Scenario):
    """The bells of one process are lost; those of the others ring. At the end that one calls when
    nobody else does."""

    name = "one caller's bells lost"
    on = ("postgres",)
    broken_by = ("no sweep",)

    def open(self, play: Play) -> None:
        super().open(play)
        self.mute = play.seat_one_with("no bell")

    def calm(self, play: Play) -> None:
        play.quiet()
        self.mute.call(callers.call, plan=play.plan(81), calls=5)
        play.expect_all_within(self.within[play.town.kind] * play.slack)


# The database


class DatabaseRestarted(Scenario):
    """PostgreSQL is restarted in the burst: first in order (SIGINT, which throws everybody out),
    then by a crash (SIGQUIT)."""

    name = "database restarted"
    on = ("postgres",)
    broken_by = ("hub dies with the database",)
    within: ClassVar[dict[str, float]] = {"postgres": 15.0}

    def trouble(self, play: Play) -> None:
        play.wait_for(0.3)
        play.town.tools.cluster.restart(signal.SIGINT)
        play.wait_for(0.7)
        play.town.tools.cluster.restart(signal.SIGQUIT)


class DatabaseLocked(Scenario):
    """Somebody else's transaction keeps SQLite's only write lock for four seconds, twice."""

    name = "database locked"
    on = ("sqlite",)
    broken_by = ("no sweep",)
    within: ClassVar[dict[str, float]] = {"sqlite": 12.0}

    def trouble(self, play: Play) -> None:
        other = play.town.site.new_worker()
        for number in play.twice():
            play.wait_for(0.3 * (number + 1))
            other.call(callers.lock_the_database, seconds=4.0)
        other.stop()


class BackupRestored(Scenario):
    """A backup is made in the burst. At the end of it the servers are stopped, the backup is
    put in the database's place, `notifications_epoch` is run, and the servers start again. Then
    the callers go on, and what is judged is what came of that."""

    name = "backup restored"
    short_on = ("postgres",)
    broken_by = ("cursor unchecked",)
    within: ClassVar[dict[str, float]] = {"postgres": 30.0, "sqlite": 30.0}
    patience = 120.0
    """Each tab loads all of its inbox anew, where a browser would load a page of it."""

    def trouble(self, play: Play) -> None:
        play.wait_for(0.4)
        play.note_backup()
        copy = backup.make(play.town)
        play.finish_callers()
        self.go_beyond(play)
        for server in play.town.servers:
            server.kill()
        play.town.everybody_out()
        backup.put_back(play.town, copy)
        play.note_restore()
        self.begin_again(play)
        for server in play.town.servers:
            server.start()
        for server in play.town.servers:
            server.wait()
        play.wait_until_all_are_back()
        play.begin_callers(more=True)

    def go_beyond(self, play: Play) -> None:
        """What everybody still gets that is not in the backup."""

    def begin_again(self, play: Play) -> None:
        play.manage("notifications_epoch", "--yes")


class EpochForgotten(BackupRestored):
    """The same, but nobody runs `notifications_epoch`. Everybody got something that the backup
    does not have, and all are back before anything new is written: each is ahead of the database,
    and must be told so."""

    name = "epoch forgotten"
    short_on = ("sqlite",)

    def go_beyond(self, play: Play) -> None:
        play.last_words()
        play.wait_until_complete()

    def begin_again(self, play: Play) -> None:
        pass


# Lines


class HalfOpen(Scenario):
    """Half of the clients are suspended (SIGSTOP) for some heartbeats; those behind another line
    find that it swallows everything, in both directions, without an end. The server must let go
    of the sockets of both; when they wake, or the line carries again, they come back."""

    name = "half-open lines"
    short_on = ("postgres",)
    broken_by = ("no heartbeat",)
    rest = 0.2
    town: ClassVar[dict[str, Any]] = {"settings": {"HEARTBEAT": 2.0, "PRESENCE": 1.0}}
    within: ClassVar[dict[str, float]] = {"postgres": 40.0, "sqlite": 40.0}
    """Nothing can come to who is suspended, or behind a line that is deaf."""
    LET_GO = 12.0

    def open(self, play: Play) -> None:
        self.line = Line(play.town)
        self.sleepers = play.town.ledger()
        names = play.names()
        play.open([play.tab(name) for name in names[:4]])
        play.open([play.tab(name, url=self.line.url) for name in names[4:8]])
        play.open([play.tab(name) for name in names[8:]], self.sleepers)

    def trouble(self, play: Play) -> None:
        play.wait_for(0.3)
        wait_until(
            lambda: play.admitted() == len(play.names()),
            "the servers tell of all sockets",
            self.LET_GO * play.slack,
            every=0.1,
        )
        self.line.swallow()
        with self.sleepers.process.frozen():
            wait_until(
                lambda: play.admitted() <= 4,
                "the servers let go of eight sockets that say nothing",
                self.LET_GO * play.slack,
                every=0.3,
            )
            play.wait_for(0.6)
        self.line.carry()

    def calm(self, play: Play) -> None:
        names = play.names()
        play.wait_for_live([f"{name}/a" for name in names[8:]], self.sleepers, timeout=60)
        play.wait_for_live([f"{name}/a" for name in names[:8]], timeout=60)
        play.wait_for_books(self.sleepers)


class NeverReads(Scenario):
    """Forty clients of one person come back from a long absence, ask for everything (800
    notifications of 10,000 characters and more), and never read a byte nor acknowledge anything.
    Each may cost the server less than 1 MiB."""

    name = "never reads"
    short_on = ("postgres",)
    broken_by = ("no window",)
    town: ClassVar[dict[str, Any]] = {"settings": {"HEARTBEAT": 25.0}}
    within: ClassVar[dict[str, float]] = {"postgres": 30.0, "sqlite": 30.0}
    """The backlog is one long transaction; what is in it counts from when it was written."""
    BACKLOG = 800
    """8 MB: more than the kernel's own buffers hold for one connection that takes little."""
    FIRST = 2
    """Those that come before them find the server's own working memory not yet made."""
    STALLED = 40
    """A tenth of them in the short form."""
    EACH = 1024.0
    """KiB"""

    def callers(self, kind: str, size: int) -> int:
        return 4

    def trouble(self, play: Play) -> None:
        play.wait_for(0.5)
        name = play.names()[0]
        play.town.ask(callers.pile_up, person=play.people[name]["id"], number=self.BACKLOG)
        wait_until(  # what it costs to bring all this to tabs that read is none of ours
            lambda: play.ledger.tell("state")[f"{name}/a"]["created"] > self.BACKLOG,
            "the backlog is delivered",
            60,
            every=0.1,
        )
        cursor = play.ledger.tell("state")[f"{name}/a"]["cursor"]
        cursor = {key: value if key == "epoch" else 0 for key, value in cursor.items()}
        stalled = play.town.ledger()
        many = self.STALLED if play.size >= 2_000 else self.STALLED // 10
        for server in play.town.servers:
            labels = [f"stalled-{server.port}-{number}" for number in range(self.FIRST + many)]
            plans = [
                play.tab(name, label, url=server.url, reads=False, acks=False, cursor=cursor)
                for label in labels
            ]
            play.unmatched.update(plan["name"] for plan in plans)
            before = self.grown(play, server, plans[: self.FIRST], stalled, 1)
            after = self.grown(play, server, plans[self.FIRST :], stalled, 5)
            each = (after - before) / many
            play.note(f"{server.kind}: {each:.0f} KiB for each of {many} stalled readers")
            if each > self.EACH:
                play.complain(f"{server.kind}: {each:.0f} KiB for each stalled reader")
        stalled.process.kill()
        play.town.ledgers.remove(stalled)

    def grown(
        self, play: Play, server: Any, plans: list[dict[str, Any]], stalled: Any, seconds: float
    ) -> int:
        """KiB of the server when these clients are connected for so long and it grows no more.

        It does not grow while the kernel's buffers take all.
        """
        wanted = play.sockets(server) + len(plans)
        play.open(plans, stalled)
        wait_until(
            lambda: play.sockets(server) >= wanted,
            "the clients that do not read are connected",
            30,
        )
        peak, grew = server_kib(server), time.monotonic()
        least, most = grew + seconds, grew + 30
        while time.monotonic() < min(max(grew + 1.5, least), most):
            if (now := server_kib(server)) > peak + 256:
                grew = time.monotonic()
            peak = max(peak, now)
            time.sleep(0.1)
        return peak


class NeverAcks(Scenario):
    """Clients read all and acknowledge nothing. They get a window of frames and no more. One only
    asks, at each heartbeat, to go on from where it stands, and that must do; one says nothing at
    all: the server closes it when its heartbeats are not answered, and it comes back by cursor."""

    name = "never acks"
    short_on = ("sqlite",)
    broken_by = ("sync acknowledges nothing", "no heartbeat", "no resume")
    town: ClassVar[dict[str, Any]] = {"settings": {"HEARTBEAT": 2.0, "WINDOW": 8}}
    within: ClassVar[dict[str, float]] = {"postgres": 120.0, "sqlite": 120.0}
    """Of the mute one: eight frames in each of its lives, and up to 20 s between two of these."""
    patience = 90.0

    def open(self, play: Play) -> None:
        if play.size >= 2_000:  # eight frames in each of many short lives
            self.patience = 600.0
        asks, mute, *others = play.names()
        play.open(
            [
                play.tab(asks, acks=False),
                play.tab(mute, acks=False, syncs=False),
                *map(play.tab, others),
            ]
        )


class TwentyTabs(Scenario):
    """Everybody has four tabs and the first person twenty. Again and again
    two of these are closed, one is duplicated, and all three come back at once, two of them with
    the same cursor."""

    name = "twenty tabs"
    broken_by = ("no dedup",)
    people = 6

    def open(self, play: Play) -> None:
        first, *others = play.names()
        plans = [play.tab(first, f"t{number}") for number in range(20)]
        plans += [play.tab(name, f"t{number}") for name in others for number in range(4)]
        play.open(plans)

    def trouble(self, play: Play) -> None:
        first = play.names()[0]
        for number in range(8):
            play.wait_for(0.1 * (number + 1))
            pair = [f"{first}/t{2 * number}", f"{first}/t{2 * number + 1}"]
            play.ledger.tell("close", tabs=pair)
            play.duplicate(pair[0])
            play.ledger.tell("reopen", tabs=pair)


# Cursors


class OddCursors(Scenario):
    """Clients come with a cursor from the future, from another epoch, of another person, without
    one of their streams, with a stream that is not theirs, and with one from before what was
    pruned meanwhile: each is told to start anew, reloads, and misses nothing."""

    name = "odd cursors"
    broken_by = ("cursor unchecked",)

    def trouble(self, play: Play) -> None:
        play.wait_for(0.3)
        play.manage("notifications_prune", "--days", "1", "--entries", "3")
        # Taken after that, so that nothing is wrong with the odd ones but what is said of them.
        names = play.names()
        play.wait_for_live([f"{names[3]}/a", f"{names[5]}/a"])
        state = play.ledger.tell("state")
        mine = state[f"{names[3]}/a"]["cursor"]
        other = state[f"{names[5]}/a"]["cursor"]
        zero = {key: value if key == "epoch" else 0 for key, value in mine.items()}
        odd = {
            "future": mine | {"user": mine["user"] + 10**9},
            "epoch": mine | {"epoch": "k" * len(mine["epoch"])},
            "stolen": other,
            "short": {key: mine[key] for key in ("epoch", "user")},
            "greedy": mine | {"staff": 0},
            "pruned": zero,
        }
        play.open([play.tab(names[3], label, cursor=cursor) for label, cursor in odd.items()])
        welcomes = {
            line["tab"].split("/")[1]: line["mode"]
            for line in play.ledger.lines()
            if line["e"] == "welcome"
        }
        for label in odd:
            if welcomes.get(label) != "reset":
                play.complain(f"a cursor that was {label} was welcomed with {welcomes.get(label)}")


# Feeds


class Feeds(Scenario):
    """People come by event stream, by long poll, by plain poll, and some change between these and
    the WebSocket every second or two; at the same time a process under WSGI answers polls."""

    name = "feeds"
    broken_by = ("no resume", "id cursor")

    def open(self, play: Play) -> None:
        self.wsgi = Wsgi(play.town)
        ways = ["socket", "events", "longpoll", "poll", "mixed", "mixed"]
        plans = [
            play.tab(name, way=ways[number % len(ways)], fidgets=self.fidgets)
            for number, name in enumerate(play.names())
        ]
        plans += [play.tab(name, "b", way="mixed") for name in play.names()[:3]]
        plans += [
            play.tab(name, "wsgi", way="poll", url=self.wsgi.url) for name in play.names()[:2]
        ]
        play.open(plans)


def server_kib(server: Any) -> int:
    """What the process holds in memory now."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{server.process.pid}/status") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0
