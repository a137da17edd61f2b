"""Tried as a new user would: the wheel, the quick start and no other step, and foreign projects."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.live.server import ROOT
from tests.package import Place, blocks, build_wheel

QUICK_START = ROOT / "docs" / "quickstart.md"
FOREIGN = ROOT / "tests" / "foreign"
SOON = 20_000

pytestmark = pytest.mark.timeout(360)  # environments are made, and wheels built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory, wheel):
    """An environment into which the wheel is installed, for the foreign projects."""
    place = Place(tmp_path_factory.mktemp("environment"), wheel)
    place.shell(
        "python3 -m venv .venv && . .venv/bin/activate\npip install django-live-notifications"
    )
    return place.env


@pytest.fixture
def foreign(tmp_path, wheel, environment):
    """A project of somebody else, from tests/foreign, with a person `ana` in it."""

    def move_in(name: str) -> Place:
        place = Place(tmp_path, wheel)
        place.env = environment | {"PYTHONPATH": f"{FOREIGN / name}:{environment['PYTHONPATH']}"}
        place.env |= {"DJANGO_SETTINGS_MODULE": "settings", "FOLDER": str(tmp_path)}
        place.shell(
            "python -m django migrate --verbosity 0\n"
            "export DJANGO_SUPERUSER_PASSWORD=bell\n"
            "python -m django createsuperuser --no-input --username ana --email a@example.com"
        )
        return place

    return move_in


def log_in(chromium, serving, path="/"):
    """Ana's window: logged in by the form, with the bell live or at least awake."""
    window = chromium.window(serving)
    page = window.tab("/admin/")
    page.get_by_label("Username").fill("ana")
    page.get_by_label("Password").fill("bell")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/admin/")
    page.goto(path)
    window.complaints[:] = [one for one in window.complaints if "favicon.ico" not in one]
    return page


def expect_state(page, state):
    expect(page.locator("notification-bell")).to_have_attribute("state", state, timeout=SOON)


def expect_badge(page, count):
    badge = page.locator("notification-bell .nb-badge")
    expect(badge).to_have_text(str(count), timeout=SOON)


# --- The wheel ---


def test_the_wheel_holds_the_app_whole_and_nothing_else(wheel):
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "notifications"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == {name for name in tracked if (ROOT / name).exists()}
    for name in (
        "py.typed",
        "templates/notifications/bell.html",
        "static/notifications/min/start.js",
        "migrations/0001_initial.py",
    ):
        assert f"notifications/{name}" in held


def test_the_wheel_says_what_it_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
        metadata = archive.read(names["METADATA"]).decode()
        entries = archive.read(names["entry_points.txt"]).decode()
        assert "LICENSE" in names
    assert "License-Expression: BSD-3-Clause" in metadata
    assert "Requires-Python: >=3.11" in metadata
    needs = {line for line in metadata.splitlines() if line.startswith("Requires-Dist: ")}
    unconditional = {line.split()[1].partition("<")[0] for line in needs if "extra ==" not in line}
    assert {name.partition(">")[0].lower() for name in unconditional} == {
        "django",
        "channels",
        "tqdm",
    }
    assert "notifications = notifications.pytest_plugin" in entries


# --- The quick start ---


class Newcomer:
    """Somebody who does what the quick start says, block by block, and looks at the bell."""

    def __init__(self, place, chromium):
        self.place, self.chromium = place, chromium
        self.serving = self.page = None
        self.said = ""

    def follow(self, block):
        if block.title == "manage.py shell":
            self.place.manage("shell", "--command", block.text)
        elif block.title:
            self.place.write(block.title, block.text)
        else:
            text, serves, rest = block.text.partition("python manage.py runserver\n")
            assert not rest
            if text:
                self.said += self.place.shell(text)
            if serves:
                self.start()

    def start(self):
        """`runserver`, on a port of its own: the one thing that is not as it is written."""
        self.stop()
        self.serving = self.place.serve("python", "manage.py", "runserver", "--noreload")
        self.serving.__enter__()
        self.page = log_in(self.chromium, self.serving)
        expect_state(self.page, "live")

    def stop(self):
        if self.serving is not None:
            self.serving.__exit__()


def test_the_quick_start_followed_to_the_letter_rings_a_bell(tmp_path, wheel, chromium):
    ana = Newcomer(Place(tmp_path, wheel), chromium)
    try:
        for block in blocks(QUICK_START):
            ana.follow(block)
            if "broadcast" in block.text:
                expect_badge(ana.page, 1)
            elif "makemigrations" in block.text:
                ana.page.context.close()
                ana.start()  # "Start runserver again"
            elif block.title == "manage.py shell":
                expect_badge(ana.page, 2)
        ana.page.locator("notification-bell .nb-btn").click()
        newest = ana.page.locator("notification-bell .nb-row, notification-bell li").first
        expect(newest).to_contain_text("Order 7 is on its way")
        assert "✓ socket" in ana.said
        assert "✗" not in ana.said
        where = ana.place.shell('python -c "import notifications; print(notifications.__file__)"')
        assert where.startswith(str(ana.place.cwd / ".venv")), "it was not the wheel"
        assert "Traceback" not in ana.serving.process.log()
    finally:
        ana.stop()


# --- Projects that others have ---


def test_a_project_with_its_own_admin_look_and_uuid_users_rings_in_the_admin(foreign, chromium):
    place = foreign("uuid")
    with place.serve("python", "-m", "django", "runserver", "--noreload") as serving:
        page = log_in(chromium, serving, "/admin/")
        expect(page.locator("#site-name")).to_have_text("The works")
        expect_state(page, "live")
        place.shell('python -m django broadcast "By name" --user ana')
        expect_badge(page, 1)
        place.shell('python -m django broadcast "To all" --everyone')
        expect_badge(page, 2)
        page.locator("notification-bell .nb-btn").click()
        expect(page.locator("notification-bell")).to_contain_text("By name")
        assert "Traceback" not in serving.process.log()


def test_under_wsgi_the_bell_polls_and_rings(foreign, chromium):
    place = foreign("wsgi")
    with place.serve("python", "-m", "django", "runserver", "--noreload") as serving:
        page = log_in(chromium, serving)
        expect_state(page, "live")
        expect(page.locator("notification-bell")).to_have_attribute("transport", "poll")
        place.shell('python -m django broadcast "Over HTTP" --everyone')
        page.evaluate("dispatchEvent(new Event('online'))")  # it would ask within 30 s anyway
        expect_badge(page, 1)
        assert "Traceback" not in serving.process.log()
        # The socket and the event stream were tried, and are not there.
        page.context.close()
        for window in chromium.windows:
            window.complaints.clear()


def test_the_fixtures_of_the_test_kit_come_with_the_wheel(foreign):
    place = foreign("wsgi")
    (place.folder / "test_it.py").write_text(
        "from django.contrib.auth import get_user_model\n"
        "from notifications import notify\n"
        "def test_it(outbox):\n"
        "    bo = get_user_model().objects.create_user('bo')\n"
        "    notify(bo, 'Hello')\n"
        "    outbox.assert_notified(bo, title='Hello')\n"
    )
    said = place.shell("python -m pytest -q -p no:cacheprovider test_it.py")
    assert "1 passed" in said
