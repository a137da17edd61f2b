"""Makes docs/screenshots/ and docs/screenshots.md from the running demo: `make screenshots`.

It serves a fresh demo of its own on a free port, walks through it as ana and as dana, and takes
a picture of every state in which people see the bell and the inbox.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.live import deeds  # noqa: E402
from tests.live.server import Worker  # noqa: E402

PICTURES = ROOT / "docs" / "screenshots"
PAGE = ROOT / "docs" / "screenshots.md"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
WIDE = {"width": 1040, "height": 720}
SMALL = {"width": 320, "height": 640}


@contextmanager
def demo() -> Iterator[tuple[str, Worker]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {
            "DATABASE_URL": f"sqlite:///{folder}/demo.sqlite3",
            "DJANGO_SETTINGS_MODULE": "project.settings",
        }
        command = [sys.executable, "manage.py", "demo", "--port", str(port)]
        log = subprocess.DEVNULL
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url)
            worker = Worker(env, Path(folder) / "worker.log")
            yield url, worker
            worker.stop()
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


class Album:
    """The pictures, with what is said of each."""

    def __init__(self, browser: Browser, url: str, worker: Worker) -> None:
        self.browser, self.url, self.worker = browser, url, worker
        self.lines: list[str] = []
        self.only = set(sys.argv[1:])

    def chapter(self, title: str) -> None:
        self.lines += [f"## {title}", ""]

    def take(self, page: Page, name: str, said: str, of: str = "") -> None:
        page.mouse.move(0, 719)
        page.wait_for_timeout(300)
        if not self.only or name in self.only:
            clip = around(page, of) if of else None
            keep(page.screenshot(clip=clip), PICTURES / f"{name}.png")  # type: ignore[arg-type]
        self.lines += [f"{said}", "", f"![{said}](screenshots/{name}.png)", ""]

    def window(self, name: str, path: str = "/", **options: Any) -> Page:
        options = {"viewport": WIDE, "locale": "en-GB"} | options
        context = self.browser.new_context(base_url=self.url, **options)
        key, value = self.worker.call(deeds.log_in, username=name)
        context.add_cookies([{"name": key, "value": value, "url": self.url}])
        page = context.new_page()
        page.goto(path)
        if options.get("java_script_enabled", True):
            page.wait_for_selector("notification-bell[state=live]", state="attached")
        return page

    def tell(self, title: str, to: str = "ana", **what: Any) -> None:
        self.worker.call(deeds.send, to=to, title=title, **what)


def keep(png: bytes, path: Path) -> None:
    """With 256 colours, two fifths of the bytes: surfaces as they are, letters nearly so."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    few = picture.quantize(256, Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def bell(page: Page) -> Locator:
    return page.locator("notification-bell button.nb-btn")


def opened(page: Page) -> Page:
    bell(page).click()
    page.locator(".nb-pop").wait_for()
    page.wait_for_timeout(300)
    return page


def rung(page: Page, count: int) -> None:
    page.locator(".nb-badge", has_text=str(count)).wait_for()


def around(page: Page, selector: str, margin: int = 24) -> dict[str, float]:
    """The part of a page that holds what `selector` finds, and the bell if that is near."""
    boxes = [box for one in page.locator(selector).all() if (box := one.bounding_box())]
    if selector == ".nb-pop":
        boxes.append(bell(page).bounding_box() or boxes[0])
    view = page.viewport_size
    assert view
    left = max(min(box["x"] for box in boxes) - margin, 0)
    top = max(min(box["y"] for box in boxes) - margin, 0)
    right = min(max(box["x"] + box["width"] for box in boxes) + margin, view["width"])
    bottom = min(max(box["y"] + box["height"] for box in boxes) + margin, view["height"])
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def news(album: Album) -> None:
    """An inbox as a shopper may have it."""
    album.tell("Order 1001 is paid", level="success", url="/orders/")
    album.tell(
        "Your export is ready",
        body="orders-2026.csv, 1,204 rows. It is kept for seven days.",
        url="/orders/",
    )
    album.tell(
        "تم تحديث شروط المتجر", body="تسري الشروط الجديدة ابتداءً من الغد.", data={"lang": "ar"}
    )
    album.tell("The card ending in 4242 was declined", level="error", url="/orders/")


def the_bell(album: Album) -> None:
    album.chapter("The bell")
    ana = album.window("ana", viewport={"width": 1040, "height": 560})
    bell(ana).hover()
    ana.wait_for_timeout(500)
    opened(ana)
    album.take(ana, "bell-empty", "Nothing in it.", ".nb-pop")
    news(album)
    album.worker.call(
        deeds.announce,
        title="Maintenance at 22:00",
        level="warning",
        body="Ten minutes at most. Orders placed meanwhile are kept.",
    )
    ana.locator(".nb-pill").wait_for()
    album.take(
        ana,
        "bell-pill",
        "What comes while the panel is open waits behind a button, so that nothing moves under "
        "the pointer.",
        ".nb-pop",
    )
    ana.close()

    for name, said, options in (
        ("bell", "Open: unread, levels, a row in another language than the page.", {}),
        ("bell-dark", "In the dark.", {"color_scheme": "dark"}),
        ("bell-rtl", "In Arabic, from right to left.", {"locale": "ar"}),
        ("bell-forced-colors", "In forced colours.", {"forced_colors": "active"}),
    ):
        ana = album.window("ana", viewport={"width": 1040, "height": 560}, **options)
        opened(ana)
        album.take(ana, name, said, "" if name == "bell" else ".nb-pop")
        ana.context.close()

    phone = opened(album.window("ana", viewport=SMALL, color_scheme="dark"))
    album.take(phone, "bell-small-dark", "320 pixels wide.")
    phone.context.close()

    ana = opened(album.window("ana", viewport={"width": 1040, "height": 700}))
    ana.get_by_role("button", name="Keys and settings").click()
    album.take(ana, "bell-keys", "Keys and settings.", ".nb-pop")
    ana.get_by_role("button", name="Keys and settings").click()
    ana.locator(".nb-item [data-act=archive]").first.click()
    ana.locator(".nb-note").wait_for()
    album.take(ana, "bell-undo", "Archived, with a way back.", ".nb-pop")
    ana.locator(".nb-note button").click()
    ana.context.close()


def the_line(album: Album) -> None:
    album.chapter("The line")
    ana = opened(album.window("ana", viewport={"width": 1040, "height": 560}))
    ana.evaluate("document.querySelector('notification-bell').pause()")
    album.tell("Order 1001 is packed")
    ana.locator(".nb-state", has_text="1").wait_for()
    album.take(ana, "line-paused", "Paused by the page.", ".nb-pop")
    ana.evaluate("document.querySelector('notification-bell').resume()")
    ana.context.set_offline(True)
    ana.locator(".nb-state", has_text="Offline").wait_for()
    album.take(ana, "line-offline", "Offline.", ".nb-pop")
    ana.context.close()

    ana = opened(album.window("ana", viewport={"width": 1040, "height": 560}))
    ana.route(re.compile("/notifications/(events|poll|list)"), lambda route: route.abort())
    ana.route_web_socket(re.compile("/ws/"), lambda ws: ws.close(code=4101))
    ana.reload()
    ana.locator("notification-bell[state=reconnecting]").wait_for(state="attached")
    opened(ana)
    ana.locator(".nb-state", has_text="Reconnecting").wait_for()
    album.take(
        ana,
        "line-reconnecting",
        "Reconnecting, and what could not be loaded meanwhile.",
        ".nb-pop",
    )
    ana.context.close()

    ana = album.window("ana", viewport={"width": 1040, "height": 560})
    opened(ana)
    [cookie] = [one for one in ana.context.cookies() if one["name"] == "sessionid"]
    album.worker.call(deeds.end_session, key=cookie["value"])
    ana.locator(".nb-signin").wait_for()
    album.take(ana, "line-signedout", "The session has ended: nothing is shown.", ".nb-pop")
    ana.context.close()


def the_toasts(album: Album) -> None:
    album.chapter("Toasts")
    for name, said, options in (
        ("toasts", "Three at a time, the newest at the corner.", {}),
        ("toasts-dark", "In the dark.", {"color_scheme": "dark"}),
        ("toasts-rtl", "From right to left.", {"locale": "ar"}),
    ):
        ana = album.window("ana", "/orders/", **options)
        ana.bring_to_front()
        album.tell("Order 1001 is on its way", level="success", url="/orders/", body="With DHL.")
        album.tell("Your trial ends on Friday", level="warning")
        album.tell("Payments are down", level="critical", body="Cards are declined since 14:02.")
        ana.locator(".nb-toast").nth(2).wait_for()
        album.take(ana, name, said, ".nb-toast")
        ana.context.close()
    ana = album.window("ana", "/orders/")
    for number in range(40):
        album.tell(f"Job {number} is done")
    ana.locator(".nb-toast", has_text="New notifications").wait_for()
    ana.wait_for_timeout(2500)
    album.take(ana, "toasts-storm", "A storm is one toast with a number.", ".nb-toast")
    ana.context.close()


def the_inbox(album: Album) -> None:
    album.chapter("The inbox")
    album.worker.call(deeds.empty_inbox, username="ana")
    news(album)
    album.tell("Order 1001 is on its way", level="success", url="/orders/", body="With DHL.")
    for name, said, options in (
        ("inbox", "The inbox page.", {}),
        ("inbox-dark", "In the dark.", {"color_scheme": "dark"}),
        ("inbox-small-dark", "320 pixels wide.", {"viewport": SMALL, "color_scheme": "dark"}),
        ("inbox-rtl", "From right to left.", {"locale": "ar"}),
        ("inbox-forced-colors", "In forced colours.", {"forced_colors": "active"}),
    ):
        ana = album.window("ana", "/notifications/", **options)
        album.take(ana, name, said)
        ana.context.close()
    ana = album.window("ana", "/notifications/?q=order&level=success")
    album.take(ana, "inbox-search", "Looking for something.")
    ana.goto("/notifications/?q=nowhere")
    album.take(ana, "inbox-nothing", "Nothing found.")
    ana.goto("/notifications/?level=loud")
    album.take(ana, "inbox-error", "An address that means nothing.")
    ana.goto("/notifications/")
    album.tell("Order 1001 was delivered", level="success", url="/orders/")
    ana.locator("main .nb-pill:not([hidden])").wait_for()
    album.take(ana, "inbox-pill", "Something new waits until it is asked for.")
    ana.context.close()
    ana = album.window("ana", "/notifications/", java_script_enabled=False)
    ana.locator(".nb-row").nth(1).get_by_role("button", name="Archive").click()
    album.take(ana, "inbox-no-script", "Without JavaScript: every action is a form, with its Undo.")
    ana.get_by_role("button", name="Undo").click()
    ana.context.close()


def the_rest(album: Album) -> None:
    album.chapter("The demo shop, and the admin")
    ana = album.window("ana", viewport={"width": 1040, "height": 900})
    ana.get_by_role("button", name="Place order Linen notebook").click()
    ana.locator(".nb-toast").wait_for()
    album.take(ana, "shop", "An order in the demo shop rings.")
    dana = opened(album.window("dana", "/admin/"))
    album.take(dana, "admin", "The bell in the admin.")
    dana.context.close()
    dana = opened(album.window("dana", "/admin/", color_scheme="dark"))
    album.take(dana, "admin-dark", "In the dark.")
    dana.context.close()


ROOMY = {"width": 1280, "height": 860}


def the_operators(album: Album) -> None:
    album.chapter("The operators' pages of the admin")
    album.worker.call(deeds.trouble)
    album.worker.call(deeds.measured)
    root = "/admin/notifications"
    pages = (
        ("alerts", f"{root}/alert/", "What is wrong, live, and who is on it."),
        ("alert", f"{root}/alert/1/change/", "One alert: what was told, and what was done."),
        ("connected", f"{root}/connection/", "Who is connected."),
        (
            "delivery",
            f"{root}/health/",
            "How delivery has fared in the last hour (made-up numbers).",
        ),
    )
    for scheme in ("light", "dark"):
        dark = "-dark" if scheme == "dark" else ""
        shopper = album.window("ana")
        dana = album.window("dana", root + "/alert/", viewport=ROOMY, color_scheme=scheme)
        for name, path, said in pages:
            dana.goto(path)
            dana.locator(".nb-live-state[data-value=live]").wait_for()
            if name == "connected":
                dana.locator("#result_list tr", has_text="ana").first.wait_for()
            album.take(dana, name + dark, "In the dark." if dark else said)
        dana.goto(f"{root}/broadcast/add/")
        dana.get_by_label("Title:").fill("Maintenance at 22:00 UTC")
        dana.get_by_label("Text:").fill("Ten minutes at most.")
        dana.get_by_label("Level:").select_option(label="Warning")
        dana.locator(".nb-preview .nb-toast").wait_for()
        dana.set_viewport_size({"width": 1280, "height": 1200})
        said = "A broadcast: whom it reaches and how it looks, while it is written."
        album.take(dana, "broadcast" + dark, "In the dark." if dark else said)
        if not dark:
            dana.get_by_role("button", name="Send").click()
            dana.locator("[data-total=reached]").wait_for()
            dana.set_viewport_size(ROOMY)
            album.take(dana, "broadcast-result", "What became of it.")
        for page in (dana, shopper):
            page.context.close()
    dana = album.window("dana", root + "/alert/", viewport=SMALL, color_scheme="dark")
    album.take(dana, "alerts-small-dark", "320 pixels wide.")
    dana.context.close()


def the_stage(album: Album) -> None:
    album.chapter("The demo on one page")
    page = album.browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.goto(album.url + "/demo/")
    ana = page.frame_locator("iframe[title^=Ana]")
    dana = page.frame_locator("iframe[title^=Dana]")
    ana.locator("notification-bell[state=live]").wait_for(state="attached")
    dana.locator("notification-bell[state=live]").wait_for(state="attached")
    ana.get_by_role("button", name="Kill the socket").click()
    ana.locator(".missed", has_text="recovered").wait_for()
    dana.get_by_role("button", name="Payment gateway down", exact=True).click()
    dana.get_by_role("button", name="Acknowledge: Payment gateway down").click()
    ana.locator(".banner", has_text="Dana").wait_for()
    album.take(page, "stage", "A shopper and an operator, side by side.")
    page.context.close()


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with demo() as (url, worker), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        album = Album(browser, url, worker)
        worker.call(deeds.empty_inbox, username="ana")
        for chapter in (
            the_bell,
            the_line,
            the_toasts,
            the_inbox,
            the_rest,
            the_operators,
            the_stage,
        ):
            chapter(album)
        browser.close()
    head = [
        "# What people see",
        "",
        "Each picture is taken from the running demo in Debian's Chromium, by `make screenshots`.",
        "",
    ]
    PAGE.write_text("\n".join(head + album.lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
