"""Makes the pictures in docs/screenshots/ from the running demo: `python docs/make_screenshots.py`.

It serves a fresh demo of its own on a free port, and walks through it as ana and as dana.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "screenshots"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


@contextmanager
def demo() -> Iterator[tuple[str, dict[str, str]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"DATABASE_URL": f"sqlite:///{folder}/demo.sqlite3"}
        command = [sys.executable, "manage.py", "demo", "--port", str(port)]
        log = subprocess.DEVNULL
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url)
            yield url, env
        finally:
            server.terminate()
            server.wait()


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            urlopen(url, timeout=1).close()
            return
        except (URLError, TimeoutError):
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def window(browser: Browser, url: str, name: str, **options) -> Page:
    options = {"viewport": {"width": 1040, "height": 720}, "locale": "en-GB"} | options
    page = browser.new_context(base_url=url, **options).new_page()
    page.goto("/")
    page.get_by_role("button", name=f"Log in as {name},").click()
    page.wait_for_url("**/admin/" if name == "dana" else "**/")
    page.wait_for_selector("notification-bell[state=live]", state="attached")
    return page


def shoot(page: Page, name: str) -> None:
    page.wait_for_timeout(400)
    page.screenshot(path=PICTURES / f"{name}.png")


def rung(page: Page, count: int) -> None:
    page.locator(".nb-badge", has_text=str(count)).wait_for()


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with demo() as (url, env), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        ana, dana = window(browser, url, "ana"), window(browser, url, "dana")

        ana.get_by_role("button", name="Place order Linen notebook").click()
        rung(ana, 1)
        rung(dana, 1)
        shoot(ana, "shop")
        dana.locator("notification-bell button").first.click()
        shoot(dana, "admin")

        dana.goto("/admin/demo/order/")
        dana.get_by_role("link", name="Order 1002").click()
        dana.select_option("#id_status", "shipped")
        dana.get_by_role("button", name="Save", exact=True).click()
        rung(ana, 2)
        broadcast = ["broadcast", "Maintenance at 22:00", "--everyone", "--level", "warning"]
        subprocess.run(
            [sys.executable, "manage.py", *broadcast, "--body", "Ten minutes at most.", "--yes"],
            cwd=ROOT,
            env=env,
            check=True,
        )
        rung(ana, 3)
        ana.reload()
        ana.locator("notification-bell button").first.click()
        shoot(ana, "bell")

        ana.goto("/notifications/")
        shoot(ana, "inbox")
        small = {"width": 320, "height": 640}
        phone = window(browser, url, "ana", viewport=small, color_scheme="dark")
        phone.goto("/notifications/")
        shoot(phone, "inbox-small-dark")
        browser.close()


if __name__ == "__main__":
    main()
