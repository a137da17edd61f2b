"""The town: a whole site of real processes, its people, its callers, and its ledgers.

Two kinds: `postgres` is two server processes behind nginx with PostgreSQL and Redis, `sqlite` is
one process with nothing else. Everything listens on 127.0.0.1, lives in one temporary folder,
and dies with us.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.chaos import callers, judge, truth
from tests.chaos.mutations import CLIENTS
from tests.live import deeds
from tests.live.postgres import DEBIAN, FAST, Postgres, unprivileged_user
from tests.live.process import (
    NeverHappened,
    Process,
    find_program,
    free_port,
    wait_until,
)
from tests.live.redis import Redis
from tests.live.server import ROOT, Databases, DeedFailed, Server, Site, Worker

KINDS = {"postgres": ("uvicorn", "daphne"), "sqlite": ("runserver",)}
SETTINGS = {"HEARTBEAT": 4.0, "DRAIN": 2.0}
"""So that dead lines are found, and servers end, within seconds. All else is as it ships."""
PATIENCE = 2.0
"""Of clients with a heartbeat that is late; in a browser it is 10 s, for heartbeats of 25 s."""


class Cluster(Postgres):
    """PostgreSQL that may be restarted, or crash, and keeps what it said it committed."""

    def __init__(self) -> None:
        super().__init__()
        self.execute("ALTER SYSTEM SET log_min_messages = 'warning'")

    def restart(self, how: signal.Signals) -> None:
        """SIGINT ends it in order and throws everybody out; SIGQUIT is a crash."""
        self.process.stop(how, timeout=20)
        settings = FAST | {"synchronous_commit": "on"}
        self.process = Process(
            [
                *(find_program("postgres", DEBIAN), "-D", str(self.folder / "data")),
                *("-p", str(self.port), *(f"--{key}={value}" for key, value in settings.items())),
            ],
            self.folder / "server.log",
            cwd=self.folder,
            user=unprivileged_user(),
        )
        self.process.wait_for_port(self.port)
        wait_until(self._is_ready, "PostgreSQL takes queries again", 30)

    def deadlocks(self) -> int:
        return self.process.log().count("deadlock detected")


class Tools:
    """What towns share: one PostgreSQL, and migrated databases. Made when first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.databases = Databases(folder)
        self._cluster: Cluster | None = None
        self.numbers = itertools.count(1)

    @property
    def cluster(self) -> Cluster:
        if self._cluster is None:
            self._cluster = Cluster()
            self._cluster.restart(signal.SIGINT)  # with commits that last
        return self._cluster

    def postgres(self) -> str:
        """The URL of a new database."""
        return self.databases.postgres(self.cluster)

    def stop(self) -> None:
        if self._cluster is not None:
            self._cluster.stop()


class Nginx:
    """Debian's nginx, as docs/running.md has it but for TLS and static files."""

    def __init__(self, folder: Path, servers: list[Server]) -> None:
        self.folder, self.servers = folder, servers
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._configure(servers)
        program = find_program("nginx", "/usr/sbin")
        self.process = Process(
            [program, "-p", str(folder), "-c", str(folder / "nginx.conf")], folder / "nginx.log"
        )
        self.process.wait_for_port(self.port)

    def _configure(self, up: list[Server]) -> None:
        paths = "".join(
            f"{name}_temp_path {self.folder}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        upstream = "".join(
            f"server 127.0.0.1:{one.port} max_fails=0{'' if one in up else ' down'};\n"
            for one in self.servers
        )
        (self.folder / "nginx.conf").write_text(
            ("user root;\n" if os.geteuid() == 0 else "")
            + f"daemon off; pid {self.folder}/nginx.pid; error_log stderr crit;\n"
            "worker_processes 1;\n"
            "events { worker_connections 4096; }\n"
            f"http {{ access_log off;\n{paths}"
            "map $http_upgrade $connection_upgrade { default upgrade; '' close; }\n"
            f"upstream town {{ least_conn;\n{upstream}}}\n"
            f"server {{ listen 127.0.0.1:{self.port} backlog=4096;\n"
            "location / { proxy_pass http://town; proxy_http_version 1.1;\n"
            "proxy_set_header Host $http_host;\n"
            "proxy_set_header Upgrade $http_upgrade;\n"
            "proxy_set_header Connection $connection_upgrade;\n"
            'proxy_set_header Sec-WebSocket-Extensions "";\n'
            "proxy_connect_timeout 2s; proxy_read_timeout 75s; proxy_buffering off; }}}\n"
        )

    def point_at(self, up: list[Server]) -> None:
        """Send new connections to these only (`down`, reload); open ones stay where they are."""
        before = self._workers()
        self._configure(up)
        self.process.send(signal.SIGHUP)
        wait_until(lambda: self._workers() - before, "nginx has a new worker process")

    def _workers(self) -> set[str]:
        pid = self.process.pid
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    def stop(self) -> None:
        self.process.stop()


class Ledger:
    """A process of tabs, told what to do line by line."""

    def __init__(self, folder: Path, number: int) -> None:
        self.book = folder / f"ledger-{number}.jsonl"
        self.process = Process(
            [sys.executable, "-m", "tests.chaos.ledger", str(self.book)],
            folder / f"ledger-{number}.log",
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._read = 0

    def tell(self, say: str, **what: Any) -> Any:
        line = json.dumps({"say": say} | what) + "\n"
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise NeverHappened(f"a ledger died:\n{self.process.log()[-3000:]}")
        return json.loads(answer)

    def lines(self) -> list[judge.Line]:
        """What was written since `forget`."""
        self.tell("flush")
        with self.book.open(encoding="utf-8") as book:
            book.seek(self._read)
            return judge.lines_of(book)

    def forget(self) -> None:
        self.tell("forget")
        self.tell("flush")
        self._read = self.book.stat().st_size

    def stop(self) -> None:
        self.process.stop()


class Town:
    def __init__(
        self,
        kind: str,
        tools: Tools,
        *,
        kinds: Iterable[str] | None = None,
        callers: int = 4,
        mutation: str = "",
        settings: dict[str, Any] | None = None,
        without_redis: bool = False,
    ) -> None:
        self.kind, self.tools, self.mutation = kind, tools, mutation
        self.without_redis = without_redis
        number = next(tools.numbers)
        self.folder = tools.folder / f"town-{number}"
        self.folder.mkdir()
        self.redis: Redis | None = None
        self.nginx: Nginx | None = None
        self.ledgers: list[Ledger] = []
        self.seated: list[Worker] = []
        self._ledger_numbers = itertools.count(1)
        self._plays = itertools.count(1)
        self.closing = contextlib.ExitStack()
        try:
            if kind == "postgres":
                url = tools.postgres()
                self.redis = Redis(self.folder)
                self.closing.callback(self.redis.stop)
                if without_redis:
                    self.redis.stop()
            else:
                url = tools.databases.sqlite()
            self.site = Site(
                f"{kind}-{number}",
                self.folder,
                kinds or KINDS[kind],
                database_url=url,
                redis=self.redis,
                settings={"NOTIFICATIONS": SETTINGS | (settings or {})},
                env={
                    "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
                    "CHAOS_BREAK": mutation,
                    "DATABASE_POOL_SIZE": "6",
                },
            )
            self.closing.callback(self.site.stop)
            if kind == "postgres":
                self.nginx = Nginx(self.folder, self.site.servers)
                self.closing.callback(self.nginx.stop)
            self.seats(callers)
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """Where people go."""
        return self.nginx.url if self.nginx else self.site.url

    @property
    def servers(self) -> list[Server]:
        return self.site.servers

    def seats(self, number: int) -> list[Worker]:
        """So many callers' processes, those that died replaced."""
        self.seated = [worker for worker in self.seated if worker.process.is_alive()]
        while len(self.seated) < number:
            self.seated.append(self.site.new_worker())
        return self.seated[:number]

    def ledger(self) -> Ledger:
        ledger = Ledger(self.folder, next(self._ledger_numbers))
        self.ledgers.append(ledger)
        self.closing.callback(ledger.stop)
        return ledger

    def repair(self) -> None:
        """After a scenario: everything runs again."""
        for ledger in self.ledgers[1:]:
            ledger.process.kill()
        del self.ledgers[1:]
        if self.redis is not None and not self.without_redis and not self.redis.process.is_alive():
            self.redis.start()
        for server in self.servers:
            if not server.process.is_alive():
                server.start()
        for server in self.servers:
            server.wait()

    def ask(self, deed: Callable[..., Any], **arguments: Any) -> Any:
        """Have the worker do something; again, if its connection died with the database."""
        for _ in range(20):
            try:
                return self.site.call(deed, **arguments)
            except DeedFailed as error:
                if not any(word in str(error) for word in ("OperationalError", "InterfaceError")):
                    raise
                failed = error
                time.sleep(0.3)
        raise failed

    def everybody_out(self) -> None:
        """End all callers and the worker, so that nobody has the database open; a new worker."""
        for worker in [*self.seated, self.site.worker]:
            worker.stop()
        self.seated.clear()

    def redis_says(self, *command: str) -> bytes:
        """Say something to Redis as an operator would."""
        assert self.redis is not None
        text = f"*{len(command)}\r\n" + "".join(f"${len(one)}\r\n{one}\r\n" for one in command)
        with socket.create_connection(("127.0.0.1", self.redis.port), timeout=5) as line:
            line.sendall(text.encode())
            return line.recv(4096)

    def play(self, scenario: Any, size: int, seed: int, slack: float = 1.0) -> Result:
        """Do a scenario here, and have it judged."""
        return Play(self, scenario, size, seed, next(self._plays), slack).perform()

    def logs(self) -> str:
        return "\n".join(f"--- {server}\n{server.log()[-3000:]}" for server in self.servers)

    def stop(self) -> None:
        self.closing.close()


class Result:
    """What the judge said of one play, and how long the play took."""

    def __init__(self, play: Play, verdict: judge.Verdict, took: float) -> None:
        self.scenario, self.kind, self.size = play.scenario, play.town.kind, play.size
        own = play.scenario.town.get("mutation", "")
        self.broken = play.town.mutation if play.town.mutation != own else ""
        self.verdict, self.took = verdict, took
        self.within: float = play.scenario.within[play.town.kind]
        self.complaints: list[str] = play.complaints

        self.notes: list[str] = play.notes
        self.slack = play.slack

    @property
    def good(self) -> bool:
        return self.verdict.good and not self.complaints and self.in_time

    @property
    def in_time(self) -> bool:
        return self.verdict.worst <= self.within * self.slack

    def why(self) -> str:
        late = f"worst {self.verdict.worst:.2f} s, promised {self.within} s"
        return "\n".join([late, *self.complaints, *self.verdict.evidence])


class Play:
    """One scenario in one town: people move in, tabs open, callers call, trouble comes."""

    def __init__(
        self, town: Town, scenario: Any, size: int, seed: int, number: int, slack: float
    ) -> None:
        self.slack = slack
        """Times allowed are multiplied by it, on machines that do other things as well."""
        self.town, self.scenario, self.size, self.seed = town, scenario, size, seed
        self.run = f"run{number}"
        self.random = random.Random(f"{seed}/{scenario.name}/{town.kind}")
        self.complaints: list[str] = []
        self.plans: list[dict[str, Any]] = []
        self.unmatched: set[str] = set()
        """Tabs whose badge and rows are not compared: they were cut off on purpose."""
        self.busy: list[tuple[Worker, int]] = []
        self.notes: list[str] = []
        self.backup: float | None = None
        self.restored: float | None = None

    # --- From beginning to end ------------------------------------------------------

    def perform(self) -> Result:
        town, scenario = self.town, self.scenario
        began = time.monotonic()
        town.repair()
        deadlocks = town.tools.cluster.deadlocks() if town.redis else 0
        self.people = town.ask(callers.settle_in, run=self.run, people=scenario.people)
        self.since = town.ask(callers.last_notification)
        self.ledger = town.ledgers[0] if town.ledgers else town.ledger()
        self.ledger.forget()
        try:
            scenario.open(self)
            self.begin_callers()
            scenario.trouble(self)
            self.finish_callers()
            scenario.calm(self)
            self.quiet()
            self.last_words()
            facts = self.wait_until_complete()
        except (NeverHappened, DeedFailed, subprocess.TimeoutExpired) as error:
            self.complaints.append(f"{type(error).__name__}: {str(error)[-1500:]}")
            self.abandon()
            facts = self.facts()
        verdict = judge.judge(self.case(facts))
        if town.redis:
            verdict.deadlocks += town.tools.cluster.deadlocks() - deadlocks
        self.ledger.forget()
        return Result(self, verdict, time.monotonic() - began)

    # --- Tabs -----------------------------------------------------------------------

    def names(self) -> list[str]:
        return list(self.people)

    def tab(self, name: str, label: str = "a", **plan: Any) -> dict[str, Any]:
        """The plan of a tab of this person."""
        return (
            {
                "name": f"{name}/{label}",
                "person": name,
                "url": self.town.url,
                "cookie": self.people[name]["cookie"],
                "seed": f"{self.seed}/{name}/{label}",
                "patience": PATIENCE,
            }
            | CLIENTS.get(self.town.mutation, {})
            | plan
        )

    def open(self, plans: list[dict[str, Any]], ledger: Ledger | None = None) -> None:
        """Open tabs, and wait until those that listen are welcomed."""
        ledger = ledger or self.ledger
        self.plans += plans
        ledger.tell("open", tabs=plans)
        names = [plan["name"] for plan in plans if plan.get("reads", True)]
        self.wait_for_live(names, ledger)

    def duplicate(self, name: str) -> None:
        """Open a tab that begins with all that another one has now, its cursor included."""
        (original,) = (plan for plan in self.plans if plan["name"] == name)
        copies = sum(plan.get("like") == name for plan in self.plans)
        plan = original | {"name": f"{name}.{copies + 1}", "like": name}
        self.plans.append(plan)
        self.ledger.tell("open", tabs=[plan])

    def wait_for_live(
        self, names: Iterable[str], ledger: Ledger | None = None, timeout: float = 30
    ) -> float:
        """Seconds until all these tabs are welcomed."""
        began = time.monotonic()

        def live() -> bool:
            state = (ledger or self.ledger).tell("state")
            return all(state[name]["live"] for name in names)

        wait_until(live, "all tabs are welcomed", timeout, every=0.05)
        return time.monotonic() - began

    def wait_until_all_are_back(self, timeout: float = 60) -> float:
        """After servers were killed: seconds until the last tab was welcomed elsewhere."""
        began = time.time()
        time.sleep(0.3)  # a killed server's lines end at once; this is for the ledger to notice
        names = [plan["name"] for plan in self.plans if plan["name"] not in self.unmatched]
        self.wait_for_live(names, timeout=timeout)
        welcomes = [line["t"] for line in self.ledger.lines() if line["e"] == "welcome"]
        return max(0.0, max(welcomes) - began)

    def wait_for_books(self, ledger: Ledger) -> None:
        """Until the tabs of another ledger have all that is stored by now."""
        facts = self.facts()

        def complete() -> bool:
            state = ledger.tell("state")
            return all(
                state[plan["name"]]["created"] >= judge.due(facts, self.people[plan["person"]])
                for plan in self.plans
                if plan["name"] in state
            )

        with contextlib.suppress(NeverHappened):
            wait_until(complete, "the other ledger is complete", self.scenario.patience, every=0.1)

    def sockets(self, server: Server) -> int:
        """TCP connections that are open at this server."""
        local = f":{server.port:04X}"
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        fields = [line.split() for line in lines]
        return sum(one[1].endswith(local) and one[3] == "01" for one in fields)

    def admitted(self) -> int:
        """Sockets that the servers say they hold, as of the last few seconds."""
        return int(self.town.ask(deeds.online)[1])

    # --- Callers --------------------------------------------------------------------

    def plan(self, which: int, **more: Any) -> dict[str, Any]:
        return {
            "run": self.run,
            "seed": self.seed,
            "which": which,
            "people": [person["id"] for person in self.people.values()],
            "book": str(self.town.folder / f"{self.run}-callers-{which}.jsonl"),
        } | more

    def begin_callers(self, *, more: bool = False) -> None:
        """`more`: others, after the first have finished."""
        seats = self.town.seats(self.scenario.callers(self.town.kind, self.size))
        each = -(-self.size // len(seats))
        for which, worker in enumerate(seats, 41 if more else 1):
            rest = self.scenario.callers_rest(self.town.kind)
            plan = self.plan(which, rest=rest, **self.scenario.calls)
            worker.begin(callers.call, plan=plan, calls=each)
            self.busy.append((worker, which))

    def finish_callers(self) -> None:
        for worker, _which in self.busy:
            worker.finish()
        self.busy.clear()

    def kill_a_caller(self) -> None:
        """With -9, in the middle of whatever it does; another one does the rest."""
        worker, which = self.busy.pop()
        worker.process.kill()
        seat = self.town.seats(len(self.town.seated))[-1]
        left = max(1, round(self.size * (1 - self.progress()) / (len(self.busy) + 1)))
        seat.begin(callers.call, plan=self.plan(which + 20, **self.scenario.calls), calls=left)
        self.busy.append((seat, which + 20))

    def seat_one_with(self, mutation: str) -> Worker:
        """The first caller is of another build than the rest."""
        env = self.town.site.env | {"CHAOS_BREAK": mutation}
        odd = Worker(env, self.town.folder / f"{self.run}-odd.log")
        self.town.closing.callback(odd.stop)
        self.town.seats(self.scenario.callers(self.town.kind, self.size))
        self.town.seated[0].stop()
        self.town.seated[0] = odd
        return odd

    def abandon(self) -> None:
        """Something went wrong: end the callers where they are, and let what runs be judged."""
        for worker, _which in self.busy:
            worker.process.kill()
        self.busy.clear()
        self.town.repair()

    def called(self) -> list[judge.Line]:
        found = []
        for path in sorted(self.town.folder.glob(f"{self.run}-callers-*.jsonl")):
            with path.open(encoding="utf-8") as book:
                found += judge.lines_of(book)
        return found

    def progress(self) -> float:
        """What part of the calls is committed."""
        sent = sum(len(line["n"]) for line in self.called() if line["e"] == "committed")
        return sent / self.size

    def wait_for(self, part: float, timeout: float = 300) -> None:
        """Until so large a part of the calls is committed."""
        wait_until(
            lambda: self.progress() >= part or self.finished(),
            f"{part:.0%} committed",
            timeout,
            every=0.1,
        )

    def finished(self) -> bool:
        """Whether every caller has an answer waiting, or is dead."""
        pipes = [worker.process.stdout for worker, _which in self.busy]
        return len(select.select(pipes, [], [], 0)[0]) == len(pipes)

    def pause(self, seconds: float) -> None:
        """For trouble that has to last, not to wait for anything."""
        time.sleep(seconds)

    def twice(self) -> Iterable[int]:
        """For trouble that comes twice; in the short form once."""
        return range(2 if self.size >= 2_000 else 1)

    def note_backup(self) -> None:
        self.backup = time.time()

    def note_restore(self) -> None:
        """From here on all is judged anew; what was committed after the backup is gone."""
        self.restored = time.time()
        self.town.site.worker = self.town.site.new_worker()

    def last_words(self) -> None:
        """Everybody reads all, and then a few more notifications come."""
        state = self.ledger.tell("state")
        for name in self.people:
            mine = [p["name"] for p in self.plans if p["person"] == name and p["name"] in state]
            live = [tab for tab in mine if state[tab]["live"]]
            if live:
                what = {"action": "read_all", "upto_here": True}
                self.ledger.tell("do", tab=live[0], what=what)
        self.town.ask(callers.last_words, plan=self.plan(90))

    # --- The end --------------------------------------------------------------------

    def quiet(self) -> None:
        self.ledger.tell("calm")

    def facts(self) -> dict[str, Any]:
        people = {name: person["id"] for name, person in self.people.items()}
        found: dict[str, Any] = self.town.ask(
            truth.read, run=self.run, since=self.since, people=people
        )
        return found

    def matched(self) -> dict[str, str]:
        """The tabs that must be complete: tab and person."""
        return {
            plan["name"]: plan["person"]
            for plan in self.plans
            if plan["name"] not in self.unmatched
        }

    def all_are_complete(self, facts: dict[str, Any]) -> Callable[[], bool]:
        """Whether each tab has what there was when the facts were read."""
        due = {name: judge.due(facts, person) for name, person in self.people.items()}

        def complete() -> bool:
            state = self.ledger.tell("state")
            return all(
                state[tab]["created"] >= due[name]
                for tab, name in self.matched().items()
                if tab in state
            )

        return complete

    def expect_all_within(self, seconds: float) -> None:
        """Each tab must have all that is stored by now, though nothing new comes."""
        try:
            wait_until(self.all_are_complete(self.facts()), "all", seconds, every=0.1)
        except NeverHappened:
            self.complain(f"not all was delivered within {seconds:.0f} s")

    def wait_until_complete(self) -> dict[str, Any]:
        """Wait until each tab has all and shows what is stored, or the time is over."""
        deadline = time.monotonic() + self.scenario.patience
        complete = self.all_are_complete(self.facts())
        with contextlib.suppress(NeverHappened):
            wait_until(complete, "all tabs are complete", self.scenario.patience, every=0.1)
        while True:
            facts = self.facts()
            shown = self.shown()
            if time.monotonic() > deadline or all(
                shown[tab][what] == stored
                for tab in shown
                for what, stored in facts["inboxes"][self.matched()[tab]].items()
            ):
                return facts
            time.sleep(0.3)

    def shown(self) -> dict[str, Any]:
        """What the tabs show, that must show all."""
        state, inboxes = self.ledger.tell("state"), self.ledger.tell("inbox")
        return {
            tab: inboxes[tab] | {"shown": state[tab]["shown"]}
            for tab in self.matched()
            if tab in state
        }

    def case(self, facts: dict[str, Any]) -> judge.Case:
        ledger = [line for one in self.town.ledgers for line in one.lines()]
        called = self.called()
        if self.restored is not None and self.backup is not None:
            ledger = [line for line in ledger if line["t"] >= self.restored]
            called = [
                line
                for line in called
                if line["e"] != "committed" or line["t"] < self.backup or line["t"] > self.restored
            ]
        return judge.Case(
            run=self.run,
            people=self.people,
            tabs=self.matched(),
            truth=facts,
            ledger=ledger,
            callers=called,
            shown=self.shown(),
        )

    def complain(self, text: str) -> None:
        self.complaints.append(text)

    def note(self, text: str) -> None:
        """Something measured that is worth a line under the table."""
        self.notes.append(text)

    def manage(self, *words: str) -> str:
        done = self.town.site.manage(*words)
        if done.returncode:
            raise NeverHappened(f"{words} failed: {done.stderr[-2000:]}")
        return done.stdout
