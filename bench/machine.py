"""What every bench needs: which machine this is, a database and Redis of its own, CPU clocks.

with parts() as at:          # PostgreSQL and Redis in temporary folders, gone afterwards
    site = at.site(["uvicorn"])
    ...
keep("broadcast", results)   # bench/results/broadcast.json, with the machine
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.live.postgres import DEBIAN, Postgres
from tests.live.process import Missing, find_program
from tests.live.redis import Redis
from tests.live.server import Databases, Site

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("Django", "channels", "channels-redis", "daphne", "uvicorn", "websockets", "psycopg")


# --- Which machine -----------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """Processor, memory, system and versions: without them a figure means nothing."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": _version("postgres", DEBIAN),
        "redis": _version("redis-server"),
        "node": _version("node"),
        **{name: _package(name) for name in PACKAGES},
    }


def print_machine() -> None:
    print(", ".join(f"{name} {value}" for name, value in machine().items() if value))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(program: str, *folders: str) -> str | None:
    try:
        path = find_program(program, *folders)
    except Missing:
        return None
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    words = said.replace("v=", " ").replace("v", " ").split()
    return next((word for word in words if word[:1].isdigit()), None)


def _package(name: str) -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


# --- Parts of a site ---------------------------------------------------------------------


class Parts:
    """A PostgreSQL cluster and a Redis server, and sites on fresh databases of it."""

    def __init__(self, folder: Path, durable: bool) -> None:
        self.folder = folder
        self._databases = Databases(folder)
        self._sites: list[Site] = []
        self.redis = Redis(folder)
        try:
            self.postgres = Postgres(DURABLE if durable else {})
        except BaseException:
            self.redis.stop()
            raise

    def database(self) -> str:
        """A new migrated database, by its URL."""
        return self._databases.postgres(self.postgres)

    def site(
        self, servers: Iterable[str], *, settings: dict[str, Any] | None = None, **env: str
    ) -> Site:
        """A production site: servers (`uvicorn`, `daphne`) and a worker process.

        With `settings`, which are read by `tests.live.settings`, those are the site's own.
        """
        own = {"DJANGO_SETTINGS_MODULE": "tests.live.settings"} if settings else {}
        site = Site(
            "bench",
            self.folder,
            servers,
            database_url=self.database(),
            redis=self.redis,
            settings=settings,
            env=PRODUCTION | own | env,
        )
        self._sites.append(site)
        return site

    def stop(self) -> None:
        for site in self._sites:
            site.stop()
        self.redis.stop()
        self.postgres.stop()


PRODUCTION = {"DJANGO_SETTINGS_MODULE": "project.settings", "DEBUG": "off", "HTTPS": "off"}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
"""As PostgreSQL ships it. The tests run without."""


@contextlib.contextmanager
def parts(durable: bool = True) -> Iterator[Parts]:
    """PostgreSQL and Redis in a temporary folder, ended with all that was started on them."""
    with tempfile.TemporaryDirectory(prefix="notifications-bench-") as folder:
        found = Parts(Path(folder), durable)
        try:
            yield found
        finally:
            found.stop()


# --- Clocks ------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process, all its threads together, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)


def family(pid: int) -> list[int]:
    """The process and all that came from it: PostgreSQL has one for each connection."""
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            children += [int(word) for word in (task / "children").read_text().split()]
    return [pid, *(found for child in children for found in family(child))]


def family_seconds(pid: int) -> float:
    """The CPU time of a process and of all that came from it and lives."""
    total = 0.0
    for each in family(pid):
        with contextlib.suppress(OSError):
            total += cpu_seconds(each)
    return total


def memory(pid: int) -> int:
    """Bytes that a process holds for itself and shares with nobody (private, resident)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * sum(
        int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_")
    )


def pin(pid: int, core: int) -> None:
    """Keep a process, with all its threads, on one core, where there is more than one."""
    cores = sorted(os.sched_getaffinity(0))
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            os.sched_setaffinity(int(task.name), {cores[core % len(cores)]})


# --- Results -----------------------------------------------------------------------------


def keep(name: str, results: Any) -> Path:
    """Write results to `bench/results/NAME.json`, with the machine and the day."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    day = datetime.now(UTC).date().isoformat()
    whole = {"machine": machine(), "day": day, "results": results}
    path.write_text(json.dumps(whole, indent=1) + "\n")
    return path


if __name__ == "__main__":
    print_machine()
