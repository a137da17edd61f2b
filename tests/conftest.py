"""What tests run on.

Plain `django_db` tests run in this process, on a SQLite file (settings give it a WAL, which an
in-memory database has not). tests/test_kernel_on_postgres.py runs tests/kernel once more, in a
process of its own with DATABASE_URL set. A process of a real site has one database for its whole
life, and so has ours: nothing is swapped under loaded code, settings take the branch that they
take in production, and still everything ends in one summary. To run any plain test on
PostgreSQL by hand, set DATABASE_URL.

End-to-end tests ask for `site` (each way to run the project), for `server` (each kind of server)
or, where they break something or need settings of their own, for `new_site`. All of these are
other processes; the test reaches them by HTTP, by socket, by browser, and by deeds.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.conf import settings
from django.db import connections, transaction
from django.test import TransactionTestCase
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.live import deeds
from tests.live.browser import Chromium
from tests.live.postgres import Postgres
from tests.live.process import Missing
from tests.live.redis import Redis
from tests.live.server import Databases, Server, Site

Tool = TypeVar("Tool")

KEPT = {"django_migrations", "django_content_type", "auth_permission"}

# A busy machine stands still for longer than the 200 ms that Hypothesis gives an example, and what
# it tries is the same in every run: `EXPLORE=1` tries something new.
hypothesis_settings.register_profile(
    "steady",
    deadline=None,
    derandomize="EXPLORE" not in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("steady")


def empty_the_database(case: TransactionTestCase) -> None:
    """After a test that committed: DELETE, where Django truncates each table and makes its
    permissions anew. Most tables are empty, and TRUNCATE costs PostgreSQL the same for those."""
    for name in case._databases_names(include_mirrors=False):
        connection = connections[name]
        tables = set(connection.introspection.django_table_names(only_existing=True)) - KEPT
        with transaction.atomic(using=name), connection.cursor() as cursor:
            for table in sorted(tables):
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


TransactionTestCase._fixture_teardown = empty_the_database

# The two rows of the table in DESIGN.md section 6, each with every server it is documented for.
SITES = {"sqlite": ["runserver"], "postgres": ["uvicorn", "daphne"]}
SERVERS = [(name, number) for name, kinds in SITES.items() for number in range(len(kinds))]


def started(start: Callable[[], Tool]) -> Tool:
    """A tool; without its program the test is skipped, but never where all must be proven."""
    try:
        return start()
    except Missing as missing:
        message = f"{missing} is not installed; `make test` installs it where it may"
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


def pytest_unconfigure() -> None:
    """Django removes the test database of SQLite, and leaves its WAL behind."""
    name = settings.DATABASES["default"].get("TEST", {}).get("NAME")
    for ending in ("-shm", "-wal"):
        if name:
            Path(f"{name}{ending}").unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def _nobody_writes_into_the_tests_database() -> None:
    """What a test logs is no alert, but for those that are about it. A test that sets Django up
    once more gives the loggers their handlers back."""
    for name in ("django.request", "project"):
        logging.getLogger(name).handlers.clear()


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It is noon, and goes on from there: no minute, hour or day ends in the middle of the test."""
    from django.utils import timezone

    from notifications.models import Pending
    from notifications.testing import time_travel

    with time_travel(to=timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)):
        # A field keeps the clock that it was made with.
        created = Pending._meta.get_field("created")
        monkeypatch.setattr(created, "_get_default", lambda: timezone.now())
        yield


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    cluster = started(Postgres)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def redis(folder: Path) -> Iterator[Redis]:
    server = started(lambda: Redis(folder))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def databases(folder: Path) -> Databases:
    return Databases(folder)


class Sites:
    """Sites by name, started when first asked for and kept to the end."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request = request
        self._folder = folder
        self._running: dict[str, Site] = {}
        self.databases: Databases = request.getfixturevalue("databases")

    def __getitem__(self, name: str) -> Site:
        if name not in self._running:
            redis = self._request.getfixturevalue("redis") if name == "postgres" else None
            self._running[name] = self.start(name, SITES[name], redis=redis)
        return self._running[name]

    def start(self, name: str, kinds: list[str], **options: Any) -> Site:
        if name == "postgres":
            url = self.databases.postgres(self._request.getfixturevalue("postgres"))
        else:
            url = self.databases.sqlite()
        return Site(name, self._folder, kinds, **{"database_url": url} | options)

    def stop(self) -> None:
        for site in self._running.values():
            site.stop()


@pytest.fixture(scope="session")
def sites(request: pytest.FixtureRequest, folder: Path) -> Iterator[Sites]:
    sites = Sites(request, folder)
    yield sites
    sites.stop()


def quietly(site: Site) -> Iterator[None]:
    """Around a test: new people before it, and afterwards no traceback in any log."""
    site.ids = site.call(deeds.move_in)
    site.call(deeds.goods)
    before = {server: len(server.log()) for server in site.servers}
    yield
    for server in site.servers:
        said = server.log()[before[server] :]
        assert "Traceback" not in said, f"{server} printed a traceback:\n{said[-6000:]}"


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest, sites: Sites) -> Iterator[Site]:
    """Each way to run the project: SQLite with no Redis, and PostgreSQL with Redis."""
    site = sites[request.param]
    around = quietly(site)
    next(around)
    yield site
    next(around, None)


# For a test in which neither the database nor the layer has a part.
one_site = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


@pytest.fixture(params=SERVERS, ids=lambda param: f"{param[0]}-{SITES[param[0]][param[1]]}")
def server(request: pytest.FixtureRequest, sites: Sites) -> Iterator[Server]:
    """Each kind of server, for what is decided by the server and the wire."""
    name, number = request.param
    site = sites[name]
    around = quietly(site)
    next(around)
    yield site.servers[number]
    next(around, None)


@pytest.fixture
def new_site(sites: Sites) -> Iterator[Callable[..., Site]]:
    """Start a site that only this test uses: `new_site("postgres", ["daphne"], redis=...)`."""
    started_here: list[Site] = []

    def start(
        name: str, kinds: list[str] | None = None, *, move_in: bool = True, **options: Any
    ) -> Site:
        site = sites.start(name, kinds or SITES[name][:1], **options)
        started_here.append(site)
        if move_in:
            site.ids = site.call(deeds.move_in)
            site.call(deeds.goods)
        return site

    yield start
    for site in started_here:
        site.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis to break."""
    server = started(lambda: Redis(tmp_path))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def the_chromium() -> Iterator[Chromium]:
    # Not for the session: Playwright keeps an event loop running in this thread, and Django
    # refuses to query where one runs.
    chromium = started(Chromium)
    yield chromium
    chromium.stop()


@pytest.fixture
def chromium(the_chromium: Chromium) -> Iterator[Chromium]:
    """A browser; afterwards no window may have an error or a violated policy on its console."""
    yield the_chromium
    complaints = the_chromium.close_windows()
    assert not complaints, "\n".join(complaints)
