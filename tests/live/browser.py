"""Headless Chromium: windows of people, each logged in, each with its complaints written down."""

from __future__ import annotations

import os
import signal
from typing import Any

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    WebSocket,
    expect,
    sync_playwright,
)

from tests.live.process import find_program
from tests.live.server import Server

expect.set_options(timeout=15_000)  # a browser has it hard on a machine that is busy with others

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# In the admin Trusted Types are reported, not enforced: project/admin.py. Only Django's own files
# may need that.
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  const { violatedDirective, blockedURI, sourceFile, disposition } = event;
  if (disposition === "report" && sourceFile.startsWith(`${origin}/static/admin/js/`)) return;
  console.error(`CSP: ${violatedDirective} ${blockedURI} in ${sourceFile}`);
});
"""


KEEP_A_LEDGER = """
window.ledger = [];  // what was received here, in order
window.toasted = [];
addEventListener("notify:receive", ({ detail }) => ledger.push(detail.notification.title));
addEventListener("notify:toast", ({ detail }) => toasted.push(detail.notification.title));
"""


class Window:
    """One person's browser: a session of its own, and as many tabs as they like."""

    def __init__(self, browser: Browser, server: Server, username: str | None, **options: Any):
        self.server = server
        self.context: BrowserContext = browser.new_context(
            **{"base_url": server.url, "locale": "en-GB"} | options
        )
        self.context.set_default_timeout(15_000)
        self.context.add_init_script(TELL_VIOLATIONS)
        self.context.add_init_script(KEEP_A_LEDGER)
        self.complaints: list[str] = []
        self.sockets: list[WebSocket] = []
        self.context.on("page", self._note_page)
        self.context.on("console", self._note_console)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        if username:
            self.context.add_cookies(
                [
                    {"name": name, "value": value, "url": server.url}
                    for name, value in server.site.session_of(username).items()
                ]
            )

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url')})")

    def _note_page(self, page: Page) -> None:
        page.on("websocket", self._note_socket)

    def _note_socket(self, socket: WebSocket) -> None:
        self.sockets.append(socket)

    def tab(self, path: str = "/") -> Page:
        page = self.context.new_page()
        page.goto(path)
        return page

    @property
    def open_sockets(self) -> list[WebSocket]:
        return [socket for socket in self.sockets if not socket.is_closed()]

    def with_real_focus(self, page: Page) -> Page:
        """One tab is in front, as for people; Playwright makes each believe that it is."""
        session = self.context.new_cdp_session(page)
        session.send("Emulation.setFocusEmulationEnabled", {"enabled": False})
        return page

    def kill(self, page: Page) -> None:
        """Kill the process that renders a page. It is told from the others by the work it does."""
        browser = self.context.browser
        assert browser
        session = browser.new_browser_cdp_session()

        def times() -> dict[int, float]:
            processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
            return {one["id"]: one["cpuTime"] for one in processes if one["type"] == "renderer"}

        before = times()
        for _ in range(30):  # on a busy machine it gets little of the time
            page.evaluate("for (const end = performance.now() + 700; performance.now() < end; );")
            # Not of a process that has only begun, which has that work behind it.
            spent = {pid: now - before[pid] for pid, now in times().items() if pid in before}
            *others, most = sorted(spent.values())
            if most > 0.3 and most > 3 * max(others, default=0):
                break
        else:
            raise AssertionError(f"no process stands out: {spent}")
        os.kill(max(spent, key=spent.__getitem__), signal.SIGKILL)
        session.detach()

    def close(self) -> None:
        self.context.close()


class Chromium:
    def __init__(self) -> None:
        program = find_program("chromium")
        self._playwright = sync_playwright().start()
        try:
            self._browser = self._playwright.chromium.launch(
                executable_path=program,
                args=ARGUMENTS,
                ignore_default_args=["--disable-back-forward-cache"],
            )
        except BaseException:
            self._playwright.stop()
            raise
        self.windows: list[Window] = []

    def window(self, server: Server, username: str | None = None, **options: Any) -> Window:
        window = Window(self._browser, server, username, **options)
        self.windows.append(window)
        return window

    def close_windows(self) -> list[str]:
        """Close all, and hand over what they complained of."""
        complaints = [complaint for window in self.windows for complaint in window.complaints]
        for window in self.windows:
            window.close()
        self.windows.clear()
        return complaints

    def stop(self) -> None:
        self._browser.close()
        self._playwright.stop()
