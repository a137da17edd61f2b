"""Headless Chromium: windows of people, each logged in, each with its complaints written down."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    WebSocket,
    sync_playwright,
)

from tests.live.process import find_program
from tests.live.server import Server

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} in ${event.sourceFile}`);
});
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

    def close(self) -> None:
        self.context.close()


class Chromium:
    def __init__(self) -> None:
        program = find_program("chromium")
        self._playwright = sync_playwright().start()
        try:
            self._browser = self._playwright.chromium.launch(
                executable_path=program, args=ARGUMENTS
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
