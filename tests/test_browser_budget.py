"""What the bell may cost a page, measured in a real browser: docs/bell.md has the table.

Times are taken on a machine that others use too, and noise only adds: so they are the CPU time of
the page's own thread, which the browser really slows four times, and the best of a few attempts
counts. Everything else is exact.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Response, WebSocketRoute, expect

from tests.conftest import one_site
from tests.live import badge, deeds
from tests.live.process import wait_until

BELL = "notification-bell"
BUTTON = f"{BELL} button.nb-btn"
SOON = 15_000
ATTEMPTS = 5
SLOW = 4

pytestmark = [pytest.mark.timeout(180), one_site]

MEASURE = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) shifted += one.value;
}).observe({ type: "layout-shift", buffered: true });
window.came = 0;
addEventListener("notify:receive", () => came++);
window.long = []; // milliseconds of what the browser itself calls a long task
new PerformanceObserver((list) => long.push(...list.getEntries().map((one) => one.duration)))
  .observe({ type: "longtask", buffered: true });
"""


class Tab:
    """A page under the eyes of the browser's own instruments."""

    def __init__(self, window, path: str, slow: int = 1) -> None:
        window.context.add_init_script(MEASURE)
        self.page: Page = window.context.new_page()
        self.session = window.context.new_cdp_session(self.page)
        self.session.send("Performance.enable")
        self.slow(slow)
        self.responses: list[Response] = []
        self.page.on("response", lambda response: self.responses.append(response))
        self.page.goto(path)

    def live(self) -> Tab:
        expect(self.page.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)
        return self

    def metric(self, name: str) -> float:
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in metrics if one["name"] == name)

    def heap(self) -> float:
        """Bytes of JavaScript that are still wanted."""
        for _ in range(3):
            self.session.send("HeapProfiler.collectGarbage")
        return self.metric("JSHeapUsedSize")

    def push(self, site, number: int) -> None:
        """As many at once; until all came and nothing is put off any more."""
        before = self.page.evaluate("came")
        site.call(deeds.send_many, to="ana", titles=["News"] * number, in_one=True)
        wait_until(lambda: self.page.evaluate("came") == before + number, f"{number} came", 60)
        self.page.wait_for_timeout(1500)
        self.page.evaluate("ledger.length = toasted.length = 0")  # the test's own memory

    def slow(self, rate: int) -> None:
        """The browser makes the page's thread spin, for so much longer than it has worked."""
        self.session.send("Emulation.setCPUThrottlingRate", {"rate": rate})

    def spin(self, rounds: float) -> None:
        """One task that does nothing, so often."""
        self.page.evaluate(
            """(rounds) => new Promise((done) => setTimeout(() => {
              let x = 1;
              for (let round = 0; round < rounds; round++) x = (x * 7) % 1000003;
              done(x);
            }))""",
            rounds,
        )

    def slowdown(self) -> float:
        """How much more CPU the same work takes when slowed: less than it should where the core is
        somebody else's while the thread spins."""
        costs = []
        for rate in (1, SLOW):
            self.slow(rate)
            costs.append(min(self.longest_task(lambda: self.spin(1e7)) for _ in range(2)))
        return costs[1] / costs[0]

    def longest_task(self, during: Callable[[], None]) -> float:
        """Milliseconds of CPU that the page's thread spent on one task at most.

        By the clock a task is longer: another process had the core meanwhile. So each task that
        the browser calls long must be among those of which the CPU time is known.
        """
        browser = self.page.context.browser
        assert browser
        browser.start_tracing(page=self.page, categories=["toplevel"])
        self.page.evaluate("long.length = 0")
        during()
        called_long = self.page.evaluate("long")
        events = json.loads(browser.stop_tracing())["traceEvents"]
        main = {
            (one["pid"], one["tid"])
            for one in events
            if one["name"] == "thread_name" and one["args"]["name"] == "CrRendererMain"
        }
        tasks = [
            (one["tdur"] / 1000, one["dur"] / 1000)
            for one in events
            if one["name"].endswith("RunTask") and (one["pid"], one["tid"]) in main
            if "tdur" in one
        ]
        assert tasks, "nothing was traced"
        by_the_clock = [clock for _cpu, clock in tasks if clock > 45]
        assert len(called_long) <= len(by_the_clock), (called_long, by_the_clock)
        return max(tasks)[0]

    def loaded(self, ending: str) -> dict[str, int]:
        """What came of the bell with this ending, and how much of it over the line."""
        return {
            name: len(gzip.compress(response.body(), 9))
            for response in self.responses
            if "/static/notifications/" in response.url
            and (name := urlsplit(response.url).path.rsplit("/", 1)[1]).endswith(ending)
        }


def best(attempt: Callable[[], float], limit: float, attempts: int = ATTEMPTS) -> float:
    """The least of a few, or the first that is good enough."""
    least = float("inf")
    for _ in range(attempts):
        least = min(least, attempt())
        if least <= limit:
            break
    return least


def test_what_a_page_loads_at_start_on_opening_and_where_no_socket_comes_through(site, chromium):
    site.call(deeds.send, to="ana", title="Export ready")
    window = chromium.window(site.server, "ana")
    sockets: list[WebSocketRoute] = []  # refused when it is written down what was loaded till then
    window.context.route_web_socket("**/ws/**", lambda ws: sockets.append(ws))
    tab = Tab(window, "/orders/")
    start = tab.loaded(".js")
    assert list(start) == ["start.js"]
    assert sum(start.values()) <= 8_000
    styles = tab.loaded(".css")
    assert list(styles) == ["bell.css"]
    assert sum(styles.values()) <= 3_000
    tab.page.route_web_socket("**/ws/**", lambda ws: ws.close(code=4100))
    for socket in sockets:
        socket.close(code=4100)
    tab.page.locator(BUTTON).click()
    expect(tab.page.locator(".nb-item")).to_have_count(1)
    expect(tab.page.locator(BELL)).to_have_attribute("transport", "events", timeout=30_000)
    later = {name: size for name, size in tab.loaded(".js").items() if name not in start}
    assert set(later) == {"show.js", "feeds.js"}
    assert sum(later.values()) <= 4_096
    size = tab.page.evaluate("document.getElementById('nb-config').textContent.length")
    assert size <= 2_048


def test_a_page_asks_for_nothing_but_its_files_and_one_socket_until_somebody_wants_more(
    site, chromium
):
    site.call(deeds.send, to="ana", title="Export ready")
    site.call(deeds.counts_of, username="ana")  # numbered: no news to the page
    window = chromium.window(site.server, "ana")
    tab = Tab(window, "/orders/").live()
    asked = [response.request for response in tab.responses]
    assert {urlsplit(request.url).netloc for request in asked} == {urlsplit(site.url).netloc}
    assert [one.url for one in asked if one.resource_type in ("fetch", "xhr", "eventsource")] == []
    ours = [one.url for one in asked if "/notifications/" in one.url]
    assert len(ours) == 2, ours
    assert len(window.sockets) == 1
    tab.page.locator(BUTTON).hover()
    tab.page.wait_for_timeout(300)
    assert not any("/list/" in response.url for response in tab.responses)
    tab.page.locator(BUTTON).click()
    expect(tab.page.locator(".nb-item")).to_have_count(1)
    assert sum("/list/" in response.url for response in tab.responses) == 1


def test_the_page_does_not_move_when_the_bell_is_upgraded(site, chromium):
    window = chromium.window(site.server, "ana")
    tab = Tab(window, "/", slow=SLOW).live()
    site.call(deeds.send, to="ana", title="Export ready")
    expect(tab.page.locator(".nb-badge")).to_have_text("1", timeout=SOON)
    assert tab.page.evaluate("shifted") <= 0.01


def test_starting_takes_little_of_a_slow_machine(site, chromium):
    def attempt() -> float:
        with_bell = Tab(chromium.window(site.server, "ana"), "/orders/", slow=SLOW).live()
        spent = with_bell.metric("ScriptDuration")
        with_bell.page.close()
        return spent

    assert best(attempt, 0.150) <= 0.150


def test_a_long_task_is_seen_for_what_it_is(site, chromium):
    """The instrument of the test below."""
    tab = Tab(chromium.window(site.server), "/")
    assert tab.longest_task(lambda: tab.spin(1e8)) > 50
    wait_until(lambda: tab.page.evaluate("long.length") >= 1, "the browser calls it long")


@pytest.mark.parametrize("panel", ["closed", "open"])
def test_five_hundred_pushes_at_once_leave_a_usable_page(site, chromium, panel):
    """No task of more than 50 ms on a page that is slowed four times."""
    tab = Tab(chromium.window(site.server, "ana"), "/orders/", slow=SLOW).live()
    page = tab.page
    tab.push(site, 1)  # loads what shows it
    if panel == "open":
        page.locator(BUTTON).click()
        expect(page.locator(".nb-item")).to_have_count(1)
    page.wait_for_timeout(1500)
    lacks = max(1, SLOW / tab.slowdown())
    worst = best(lambda: lacks * tab.longest_task(lambda: tab.push(site, 500)), 50)
    assert worst <= 50
    assert page.locator(".nb-toast").count() <= 3
    assert page.locator(".nb-item").count() <= 100
    if panel == "open":
        expect(page.locator(".nb-pill")).to_have_text("New notifications: 100")
    page.locator(BUTTON).click()  # it still answers


def test_a_push_is_on_the_badge_before_anybody_could_say_when(site, chromium):
    """p95 from before the commit to the painted frame; `python -m bench.badge` has the figures."""
    window = chromium.window(site.server, "ana")
    badge.watch(window.context)
    page = Tab(window, "/orders/").live().page
    ana = site.server.visitor("ana")

    def attempt() -> float:
        order = functools.partial(ana.post, "/orders/place/", {"product": "1"})
        return badge.p95(badge.delays(page, order, 40, every=0.02))

    badge.delays(page, functools.partial(ana.post, "/orders/place/", {"product": "1"}), 3)
    assert best(attempt, 100, attempts=3 * ATTEMPTS) <= 100


def test_the_heap_is_small_and_does_not_grow(site, chromium):
    without = Tab(chromium.window(site.server), "/")
    expect(without.page.locator("main")).to_be_visible()  # what Playwright puts in, too
    tab = Tab(chromium.window(site.server, "ana"), "/").live()
    assert tab.heap() - without.heap() <= 600_000
    tab.page.locator(BUTTON).click()
    tab.push(site, 1000)
    before = tab.heap()
    tab.push(site, 1000)
    assert tab.heap() <= before * 1.1
    assert tab.page.locator(".nb-item").count() <= 100
