"""One line for all tabs of a browser: whatever becomes of tabs and line, a ledger in each tab says
that nothing was lost there, nothing came twice, and no toast was shown in two of them.
"""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import one_site
from tests.live import deeds
from tests.live.gate import Gate
from tests.live.process import wait_until

BELL = "notification-bell"
PANEL = f"{BELL} .nb-pop"
SOON = 15_000

pytestmark = [pytest.mark.timeout(120), one_site]


@pytest.fixture
def gate(site):
    gate = Gate(site.server.port)
    yield gate
    gate.close()


def live(page: Page, timeout: float = SOON) -> Page:
    expect(page.locator(BELL)).to_have_attribute("state", "live", timeout=timeout)
    return page


def expect_ledger(page: Page, titles: list[str], timeout: float = 30) -> None:
    """All of it, in order, and nothing twice."""

    def holds():
        ledger = page.evaluate("ledger")
        assert len(set(ledger)) == len(ledger), f"received twice: {ledger}"
        assert ledger == titles[: len(ledger)], f"out of order: {ledger}"
        page.wait_for_timeout(50)  # waiting here lets Playwright hear what the browser says
        return ledger == titles

    try:
        wait_until(holds, f"{page.url} received {len(titles)}", timeout)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{page.evaluate('ledger')}") from None


def expect_no_toast_twice(pages: list[Page], more: tuple[str, ...] | list[str] = ()) -> None:
    toasted = [title for page in pages for title in page.evaluate("toasted")] + list(more)
    twice = {title for title in toasted if toasted.count(title) > 1}
    assert not twice, f"shown in two tabs: {sorted(twice)}"


def test_five_tabs_whose_leader_closes_and_whose_next_leader_crashes(site, the_chromium, gate):
    window = the_chromium.window(site.server, "ana", base_url=gate.url)
    paths = ("/", "/orders/", "/notifications/", "/", "/orders/")
    tabs = [live(window.with_real_focus(window.tab(path))) for path in paths]
    assert gate.sockets == 1
    titles = [f"N{number}" for number in range(60)]
    sender = site.new_worker()
    sender.begin(deeds.send_steadily, to="ana", titles=titles, every=0.08)
    wait_until(lambda: tabs[0].evaluate("ledger.length") > 5, "the first ones came")
    toasted = tabs[0].evaluate("toasted")
    tabs[0].wait_for_timeout(500)  # who looks later, finds that these were shown
    tabs[0].close()  # a hand-over
    went_on = min(tabs[1].evaluate("ledger.length") + 6, len(titles))
    wait_until(lambda: tabs[1].evaluate("ledger.length") >= went_on, "the second tab went on")
    [leader] = wait_until(
        lambda: [tab for tab in tabs[1:] if tab.evaluate(LEADS)], "one of the others leads"
    )
    survivors = [tab for tab in tabs[1:] if tab is not leader]
    toasted += leader.evaluate("toasted")
    window.kill(leader)
    sender.finish()
    sender.stop()
    for tab in survivors:
        expect_ledger(tab, titles)
        live(tab)
    expect_no_toast_twice(survivors, toasted)
    wait_until(lambda: gate.sockets == 1, f"{gate.sockets} sockets became one")
    the_chromium.close_windows()


LEADS = f"document.querySelector('{BELL}').tabs.leader"


def test_a_leader_in_the_back_forward_cache_hands_over_and_catches_up(site, chromium, gate):
    window = chromium.window(site.server, "ana", base_url=gate.url)
    leader, other = live(window.tab("/")), live(window.tab("/orders/"))
    assert leader.evaluate(LEADS)
    site.call(deeds.send_many, to="ana", titles=["One"])
    expect_ledger(leader, ["One"])
    leader.evaluate("location.href = '/notifications/'")
    leader.wait_for_url("**/notifications/")
    site.call(deeds.send_many, to="ana", titles=["Two", "Three"])
    expect_ledger(other, ["One", "Two", "Three"])
    live(leader)
    leader.evaluate("history.back()")
    leader.wait_for_url(f"{gate.url}/", wait_until="commit")  # the page it leaves is live, too
    live(leader)
    assert leader.evaluate("performance.getEntriesByType('navigation')[0].type") == "navigate"
    expect_ledger(leader, ["One", "Two", "Three"])  # the ledger of before: the page was restored
    site.call(deeds.send, to="ana", title="Four")
    for tab in (leader, other):
        expect_ledger(tab, ["One", "Two", "Three", "Four"])
    expect_no_toast_twice([leader, other])
    wait_until(lambda: gate.sockets == 1, f"{gate.sockets} sockets became one")
    leader.locator(f"{BELL} button.nb-btn").click()
    expect(leader.locator(".nb-item")).to_have_count(4)


def test_a_frozen_leader_hands_over_and_catches_up_when_it_is_resumed(site, chromium):
    """The events are ours, since a headless page is never hidden; a page that goes into the
    back/forward cache gets the real ones."""
    window = chromium.window(site.server, "ana")
    leader, other = live(window.tab("/")), live(window.tab("/orders/"))
    leader.evaluate("document.dispatchEvent(new Event('freeze'))")
    wait_until(lambda: other.evaluate(LEADS), "the other tab leads")
    site.call(deeds.send_many, to="ana", titles=["One", "Two"])
    expect_ledger(other, ["One", "Two"])
    assert leader.evaluate("ledger") == []
    leader.evaluate("document.dispatchEvent(new Event('resume'))")
    live(leader)
    expect_ledger(leader, ["One", "Two"])
    assert len(window.open_sockets) == 1


def test_offline_and_online_again(site, the_chromium):
    window = the_chromium.window(site.server, "ana")
    tabs = [live(window.tab("/")), live(window.tab("/orders/"))]
    for tab in tabs:
        tab.evaluate("addEventListener('notify:sync', (e) => (window.missed = e.detail.missed))")
    site.call(deeds.send, to="ana", title="Before")
    tabs[0].locator(f"{BELL} button.nb-btn").click()
    for tab in tabs:
        expect_ledger(tab, ["Before"])
    window.context.set_offline(True)
    for tab in tabs:
        expect(tab.locator(BELL)).to_have_attribute("state", "offline", timeout=SOON)
    expect(tabs[0].locator(".nb-state")).to_contain_text("Offline. Showing what was here at")
    site.call(deeds.send_many, to="ana", titles=["One", "Two"])
    # What is done meanwhile is kept, said, and done later.
    tabs[0].locator(".nb-item [data-act=read]").click()
    expect(tabs[0].locator(".nb-note")).to_contain_text("It will be saved when you are back")
    assert site.call(deeds.counts_of, username="ana")["unread"] == 3
    window.context.set_offline(False)
    for tab in tabs:
        live(tab, 30_000)
        expect_ledger(tab, ["Before", "One", "Two"])
        assert tab.evaluate("window.missed") == 2
    wait_until(
        lambda: site.call(deeds.counts_of, username="ana")["unread"] == 2, "the action was kept"
    )
    expect(tabs[0].locator(".nb-pill")).to_have_text("New notifications: 2")
    the_chromium.close_windows()


def test_a_line_that_dies_without_a_word_is_noticed_when_the_person_comes_back(
    site, the_chromium, gate
):
    """A lid that is closed: the socket looks open, and nothing comes through it."""
    window = the_chromium.window(site.server, "ana", base_url=gate.url)
    tabs = [live(window.tab("/")), live(window.tab("/orders/"))]
    with gate.dead():
        site.call(deeds.send_many, to="ana", titles=["One", "Two"])
        tabs[1].evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        tabs[0].evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        begun = time.monotonic()
        expect(tabs[0].locator(BELL)).to_have_attribute("state", "reconnecting", timeout=SOON)
        assert time.monotonic() - begun < 12
    for tab in tabs:
        live(tab, 40_000)
        expect_ledger(tab, ["One", "Two"])
    the_chromium.close_windows()


# --- Where no WebSocket comes through ------------------------------------------------------

WS, EVENTS, POLL = "/ws/", "/notifications/events/", "/notifications/poll/"


@pytest.mark.parametrize(
    ("refused", "way", "said"),
    [([WS], "events", "Live"), ([WS, EVENTS], "longpoll", "Live")],
    ids=["no-socket", "no-socket-no-events"],
)
def test_what_is_refused_is_gone_round_and_the_socket_comes_back(
    site, the_chromium, gate, refused, way, said
):
    gate.refused += refused
    window = the_chromium.window(site.server, "ana", base_url=gate.url)
    tabs = [window.tab("/"), window.tab("/orders/")]
    for tab in tabs:
        live(tab, 30_000)
        expect(tab.locator(BELL)).to_have_attribute("transport", way)
    site.call(deeds.send_many, to="ana", titles=["One", "Two"])
    for tab in tabs:
        expect_ledger(tab, ["One", "Two"])
    tabs[0].locator(f"{BELL} button.nb-btn").click()
    expect(tabs[0].locator(".nb-state")).to_have_text(said)
    tabs[0].locator(".nb-item [data-act=read]").first.click()
    wait_until(
        lambda: site.call(deeds.counts_of, username="ana")["unread"] == 1, "the action got through"
    )
    # One line for both, here too.
    assert len({path for path in gate.asked if path.startswith(WS)}) == 1
    gate.refused.clear()
    tabs[0].evaluate("dispatchEvent(new Event('online'))")
    for tab in tabs:
        expect(tab.locator(BELL)).to_have_attribute("transport", "socket", timeout=SOON)
        live(tab)
    site.call(deeds.send, to="ana", title="Three")
    for tab in tabs:
        expect_ledger(tab, ["One", "Two", "Three"])
    the_chromium.close_windows()


def test_a_server_that_cannot_wait_is_asked_now_and_then_and_the_panel_says_so(
    site, the_chromium, gate
):
    gate.refused += [WS, EVENTS]
    window = the_chromium.window(site.server, "ana", base_url=gate.url)
    # As under WSGI: it answers at once.
    window.context.route(
        "**/poll/?*", lambda route: route.continue_(url=route.request.url + "&wait=0")
    )
    page = window.tab("/")
    expect(page.locator(BELL)).to_have_attribute("transport", "poll", timeout=30_000)
    page.locator(f"{BELL} button.nb-btn").click()
    expect(page.locator(".nb-state")).to_have_text("Looking every 30 s")
    site.call(deeds.send, to="ana", title="One")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # somebody looks
    expect_ledger(page, ["One"])
    the_chromium.close_windows()


def test_where_nothing_comes_through_the_bell_says_so_and_comes_back(site, the_chromium, gate):
    window = the_chromium.window(site.server, "ana", base_url=gate.url)
    page = live(window.tab("/"))
    site.call(deeds.send, to="ana", title="Before")
    page.locator(f"{BELL} button.nb-btn").click()
    expect(page.locator(".nb-item")).to_have_count(1)
    gate.refused += ["/"]
    gate.cut()
    expect(page.locator(BELL)).to_have_attribute("state", "reconnecting", timeout=SOON)
    expect(page.locator(".nb-state")).to_contain_text(re.compile("Reconnecting in|Connecting"))
    expect(page.get_by_role("button", name="Retry now")).to_be_visible()
    site.call(deeds.send, to="ana", title="Meanwhile")
    gate.refused.clear()
    # Not by the pointer: the bell may come back by itself before that is there.
    page.locator("[data-nb=retry]").dispatch_event("click")
    live(page, 30_000)
    expect_ledger(page, ["Before", "Meanwhile"])
    the_chromium.close_windows()
