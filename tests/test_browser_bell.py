"""The bell in a real browser: two logins, the shop and the admin, nothing reloaded.

The `chromium` fixture fails a test whose windows had an error or a violated policy on their
console.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import one_site
from tests.live import deeds
from tests.live.process import wait_until

BELL = "notification-bell"
BADGE = f"{BELL} .nb-badge"
BUTTON = f"{BELL} button.nb-btn"
PANEL = f"{BELL} .nb-pop"
SOON = 15_000  # ms; the sweep of the in-memory layer, and a slow machine

pytestmark = pytest.mark.timeout(120)


def live(page: Page) -> Page:
    """Wait until the bell is connected, and mark the page: a reload would lose the mark."""
    expect(page.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)
    page.evaluate("window.stayed = true")
    return page


def expect_badge(page: Page, text: str) -> None:
    expect(page.locator(BADGE)).to_have_text(text, timeout=SOON)
    assert page.evaluate("window.stayed") is True, "the page was reloaded"


def test_an_order_rings_both_bells_and_the_admin_form_rings_back(site, chromium):
    ana = live(chromium.window(site.server, "ana").tab("/"))
    dana = live(chromium.window(site.other_server, "dana").tab("/admin/"))
    expect(ana.locator(BADGE)).to_have_text("")
    expect(dana.locator(BADGE)).to_have_text("")

    ana.get_by_role("button", name=re.compile("Place order.*Oak desk lamp")).click()
    expect_badge(ana, "1")
    expect_badge(dana, "1")

    # dana goes to the order by way of her bell and the ordinary admin.
    [order] = site.call(deeds.orders_of, buyer="ana")
    dana.goto(f"/admin/demo/order/{order}/change/")
    live(dana)
    dana.get_by_label("Status").select_option("shipped")
    dana.get_by_role("button", name="Save", exact=True).click()
    dana.wait_for_url("**/admin/demo/order/")
    expect_badge(ana, "2")

    ana.locator(BUTTON).click()
    expect(ana.locator(PANEL)).to_be_visible()
    expect(
        ana.locator(PANEL).get_by_text(re.compile(f"Order {1000 + order}.*shipped")).first
    ).to_be_visible()
    expect(ana.locator(PANEL).get_by_text(f"Order {1000 + order} received")).to_be_visible()


def test_the_broadcast_command_reaches_the_shop_and_the_admin_and_an_outsider_too(site, chromium):
    pages = [
        live(chromium.window(site.server, "ana").tab("/")),
        live(chromium.window(site.other_server, "dana").tab("/admin/demo/order/")),
        live(chromium.window(site.server, "jz").tab("/notifications/")),
    ]
    done = site.manage("broadcast", "Maintenance at 22:00", "--everyone", "--yes")
    assert done.returncode == 0, done.stderr
    for page in pages:
        expect_badge(page, "1")
    done = site.manage("broadcast", "For operators", "--staff", "--yes")
    assert done.returncode == 0, done.stderr
    expect_badge(pages[1], "2")
    expect_badge(pages[0], "1")
    expect_badge(pages[2], "1")


@one_site
def test_a_title_is_text_and_never_markup(site, chromium):
    page = live(chromium.window(site.server, "ana").tab("/"))
    evil = '<img src=x onerror="window.owned=1"><b>bold</b>'
    site.call(deeds.send, to="ana", title=evil, body=evil, url="/orders/")
    expect_badge(page, "1")
    page.locator(BUTTON).click()
    expect(page.locator(PANEL).get_by_text(evil).first).to_be_visible()
    page.goto("/notifications/")
    expect(page.locator("main").get_by_text(evil).first).to_be_visible()
    assert page.evaluate("window.owned") is None


@one_site
def test_the_panel_opens_and_closes_by_keyboard(site, chromium):
    site.call(deeds.send, to="ana", title="Export ready", url="/orders/")
    page = live(chromium.window(site.server, "ana").tab("/"))
    button = page.locator(BUTTON)
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(button).to_have_accessible_name(re.compile("1"))
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(PANEL)).to_be_visible()
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(page.locator(PANEL).get_by_text("Export ready")).to_be_visible()
    page.keyboard.press("Tab")
    inside = "document.activeElement.closest('.nb-pop') !== null"
    assert page.evaluate(inside), "Tab did not lead into the panel"
    page.keyboard.press("Escape")
    expect(page.locator(PANEL)).to_be_hidden()
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-expanded", "false")


def test_opening_the_panel_clears_the_badge_in_every_tab_and_on_the_server(site, chromium):
    site.call(deeds.send_many, to="ana", titles=["One", "Two"])
    window = chromium.window(site.server, "ana")
    first, second = live(window.tab("/")), live(window.tab("/orders/"))
    elsewhere = live(chromium.window(site.other_server, "ana").tab("/"))
    for page in (first, second, elsewhere):
        expect_badge(page, "2")
    first.bring_to_front()
    first.locator(BUTTON).click()
    for page in (first, second, elsewhere):
        expect_badge(page, "")
    counts = site.call(deeds.counts_of, username="ana")
    assert (counts["unseen"], counts["unread"]) == (0, 2)


def test_mark_all_read_in_the_panel_reaches_the_server_and_the_other_device(site, chromium):
    site.call(deeds.send_many, to="ana", titles=["One", "Two"])
    here = live(chromium.window(site.server, "ana").tab("/"))
    there = live(chromium.window(site.other_server, "ana").tab("/"))
    for page in (here, there):
        expect(page.locator(f"{BELL}[unread]")).to_have_count(1, timeout=SOON)
    here.locator(BUTTON).click()
    expect(here.locator(".nb-item")).to_have_count(2)  # its script is here, which hears clicks
    here.locator(PANEL).get_by_role("button", name="Mark all read").click()
    for page in (here, there):
        expect(page.locator(f"{BELL}[unread]")).to_have_count(0, timeout=SOON)
    assert site.call(deeds.counts_of, username="ana")["unread"] == 0


def test_what_is_clicked_before_the_panels_script_is_there_is_done_when_it_is(site, chromium):
    site.call(deeds.send_many, to="ana", titles=["One", "Two"])
    window = chromium.window(site.server, "ana")
    held = []
    window.context.route(re.compile(r"/show\b.*js$"), lambda route: held.append(route))
    page = live(window.tab("/"))
    expect(page.locator(f"{BELL}[unread]")).to_have_count(1, timeout=SOON)
    page.locator(BUTTON).click()
    more = page.locator(PANEL).get_by_role("button", name="Keys and settings")
    page.locator(PANEL).get_by_role("button", name="Mark all read").click()
    more.click()
    assert site.call(deeds.counts_of, username="ana")["unread"] == 2
    for route in held:
        route.continue_()
    expect(page.locator(f"{BELL}[unread]")).to_have_count(0, timeout=SOON)
    expect(more).to_have_attribute("aria-expanded", "true")
    assert site.call(deeds.counts_of, username="ana")["unread"] == 0


def test_in_the_admin_what_is_critical_stays_until_it_is_acknowledged(site, chromium):
    window = chromium.window(site.server, "dana")
    admin = live(window.tab("/admin/"))
    site.call(deeds.send, to="dana", title="Merely odd", level="warning")
    site.call(deeds.send, to="dana", title="Payments are down", level="critical")
    toast = admin.locator(".nb-toast")
    expect(toast).to_have_count(2, timeout=SOON)
    expect(toast.filter(has_text="Merely odd").get_by_text("Acknowledge")).to_be_hidden()
    admin.keyboard.press("F6")
    expect(toast.filter(has_text="Payments").get_by_role("button", name="Dismiss")).to_be_focused()
    admin.evaluate(
        f"document.querySelector('{BELL}').addEventListener('notify:click', "
        "({ detail }) => (window.clicked = [detail.action, detail.notification.title]))"
    )
    toast.filter(has_text="Payments").get_by_role("button", name="Acknowledge").click()
    expect(toast.filter(has_text="Payments")).to_have_count(0)
    assert admin.evaluate("clicked") == ["acknowledge", "Payments are down"]
    wait_until(
        lambda: site.call(deeds.counts_of, username="dana")["unread"] == 1,
        "the acknowledged one is read",
    )
    admin.close()
    shop = live(window.tab("/"))
    site.call(deeds.send, to="dana", title="Down again", level="critical")
    expect(shop.locator(".nb-toast")).to_have_count(1, timeout=SOON)
    expect(shop.locator(".nb-toast").get_by_role("button")).to_have_count(1)  # Dismiss


def test_two_tabs_of_one_session_share_one_socket_and_the_second_takes_over(site, chromium):
    window = chromium.window(site.server, "ana")
    first = live(window.tab("/"))
    second = live(window.tab("/orders/"))
    assert len(window.sockets) == 1
    site.call(deeds.send, to="ana", title="For both")
    expect_badge(first, "1")
    expect_badge(second, "1")

    first.close()
    site.call(deeds.send, to="ana", title="While one tab closes")
    expect_badge(second, "2")
    assert len(window.sockets) == 2


def test_the_badge_of_a_page_is_right_though_something_came_while_it_loaded(site, chromium):
    """The page is held back between the server's answer and its first script."""
    window = chromium.window(site.server, "ana")
    page = window.context.new_page()
    came = []

    def hold(route):
        came.append(site.call(deeds.send, to="ana", title="In between"))
        route.continue_()

    page.route(re.compile(r"/start(\.\w+)?\.js"), hold)
    page.goto("/")
    live(page)
    assert len(came) == 1
    expect_badge(page, "1")
    page.locator(BUTTON).click()
    expect(page.locator(PANEL).get_by_text("In between")).to_have_count(1)


def test_after_a_logout_in_another_tab_the_bell_says_so_and_shows_nothing(site, the_chromium):
    site.call(deeds.send, to="ana", title="Only for ana")
    window = the_chromium.window(site.server, "ana")
    page, other = live(window.tab("/")), window.tab("/orders/")
    page.locator(BUTTON).click()
    expect(page.locator(PANEL).get_by_text("Only for ana")).to_be_visible()
    other.bring_to_front()
    other.get_by_role("button", name=re.compile("Log out")).click()
    expect(page.locator(BELL)).to_have_attribute("state", "signedout", timeout=SOON)
    expect(page.get_by_text("Only for ana")).to_have_count(0)
    expect(page.locator(BADGE)).to_have_text("")
    # What was on its way when the session ended is refused, and the browser notes that.
    complaints = the_chromium.close_windows()
    assert [text for text in complaints if "401" not in text] == []


@one_site
def test_an_anonymous_page_has_no_bell_and_opens_no_socket(site, chromium):
    window = chromium.window(site.server)
    page = window.tab("/")
    expect(page.get_by_role("heading", name="On the shelf")).to_be_visible()
    expect(page.locator(BELL)).to_have_count(0)
    assert window.sockets == []


@pytest.mark.parametrize(("name", "kind"), [("sqlite", "runserver"), ("postgres", "uvicorn")])
def test_the_bell_comes_back_by_itself_with_what_it_missed(
    new_site, redis, the_chromium, name, kind
):
    site = new_site(name, [kind], redis=redis if name == "postgres" else None)
    try:
        page = live(the_chromium.window(site.server, "ana").tab("/"))
        site.server.kill()
        expect(page.locator(BELL)).to_have_attribute("state", "reconnecting", timeout=SOON)
        site.call(deeds.send_many, to="ana", titles=["One", "Two"])
        site.server.start()
        site.server.wait()
        expect(page.locator(BELL)).to_have_attribute("state", "live", timeout=30_000)
        expect_badge(page, "2")
        page.locator(BUTTON).click()
        for title in ("One", "Two"):
            expect(page.locator(PANEL).get_by_text(title, exact=True)).to_be_visible()
    finally:
        # The browser itself complains of a line that could not be opened; nothing else may.
        complaints = the_chromium.close_windows()
    assert [text for text in complaints if "ERR_CONNECTION" not in text] == []


@one_site
def test_reduced_to_320_pixels_no_page_scrolls_sideways(site, chromium):
    site.call(deeds.send, to="ana", title="A title that is rather long " * 4)
    window = chromium.window(site.server, "ana", viewport={"width": 320, "height": 640})
    for path in ("/", "/orders/", "/notifications/"):
        page = live(window.tab(path))
        page.locator(BUTTON).click()
        expect(page.locator(PANEL)).to_be_visible()
        wide = "document.documentElement.scrollWidth > window.innerWidth"
        assert page.evaluate(wide) is False, path
        page.close()


@one_site
def test_an_action_that_fails_says_so_and_puts_the_row_back(site, the_chromium):
    site.call(deeds.send, to="ana", title="Export ready")
    window = the_chromium.window(site.server, "ana")
    window.context.route_web_socket("**/ws/**", lambda ws: ws.close(code=4100))
    window.context.route("**/notifications/do/", lambda route: route.fulfill(status=500, body=""))
    page = window.tab("/")
    expect(page.locator(BELL)).to_have_attribute("state", "live", timeout=30_000)
    page.evaluate("addEventListener('notify:error', (event) => (window.failed = event.detail))")
    page.locator(BUTTON).click()
    row = page.locator(".nb-item", has_text="Export ready")
    row.locator("[data-act=archive]").click()
    expect(page.locator(".nb-note")).to_have_text(re.compile("That could not be saved"))
    expect(row).to_be_visible()
    expect(row).to_have_class(re.compile("nb-unread"))
    assert page.evaluate("failed") == {"status": 500}
    assert site.call(deeds.titles_of, username="ana") == ["Export ready"]
    the_chromium.close_windows()  # the browser notes the failed request


@one_site
@pytest.mark.parametrize("tab", ["the tab with the line", "another tab"])
def test_a_key_pressed_twice_in_haste_changes_its_row_twice_and_no_more(site, chromium, tab):
    site.call(deeds.send, to="ana", title="Export ready")
    window = chromium.window(site.server, "ana")
    page = live(window.tab("/"))
    if tab == "another tab":
        page = live(window.tab("/orders/"))
    page.locator(BUTTON).click()
    row = page.locator(".nb-item", has_text="Export ready")
    row.evaluate(
        """(row) => {
          window.states = [];
          new MutationObserver(() => {
            const unread = row.classList.contains("nb-unread");
            if (states.at(-1) !== unread) states.push(unread);
          }).observe(row, { attributes: true, attributeFilter: ["class"] });
          window.heard = 0;
          const { tabs } = document.querySelector("notification-bell");
          tabs.listeners.add({ framed: ({ items }) =>
            (heard += (items ?? []).filter(({ op }) => /read/.test(op)).length) });
          // Of two requests the first is the slower one.
          const quick = fetch;
          window.fetch = async (...asked) => {
            window.fetch = quick;
            await new Promise((go) => setTimeout(go, 300));
            return quick(...asked);
          };
        }"""
    )
    row.locator("a").focus()
    page.keyboard.press("m")
    page.keyboard.press("m")
    wait_until(lambda: page.evaluate("heard") == 2, "both entries came")
    page.wait_for_timeout(200)
    page.evaluate("new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")
    # Unread, perhaps read for a moment, unread. Within one frame of the screen nothing of the first
    # is painted; a change of any other class of the row notes how it was.
    states = page.evaluate("states")
    assert states[-1:] == [True], states
    assert states.count(False) <= 1, states
    assert site.call(deeds.counts_of, username="ana")["unread"] == 1


@one_site
def test_a_refusal_of_one_action_is_not_taken_for_the_end_of_the_session(site, the_chromium):
    """403 in JSON, which only our own views answer, and over HTTP: the other tab has the line."""
    site.call(deeds.send, to="ana", title="Export ready")
    window = the_chromium.window(site.server, "ana")
    live(window.tab("/"))
    page = live(window.tab("/orders/"))
    refused = page.evaluate(
        """async () => {
          const { tabs } = document.querySelector("notification-bell");
          const refused = await tabs.act("ack_alert", { ids: [1] }).catch(({ status }) => status);
          window.after = tabs.state;
          return refused;
        }"""
    )
    assert refused == 403
    assert page.evaluate("after") == "live"
    page.locator(BUTTON).click()
    expect(page.locator(PANEL).get_by_text("Export ready")).to_be_visible()
    # Django's own 403, of a form without its token, speaks of the session.
    page.evaluate(
        """async () => {
          const { tabs } = document.querySelector("notification-bell");
          tabs.config.csrf = "";
          await tabs.act("seen", { upto: { ...tabs.inbox.cursor } }).catch(() => {});
        }"""
    )
    expect(page.locator(BELL)).to_have_attribute("state", "signedout", timeout=SOON)
    the_chromium.close_windows()  # the browser notes what was refused


@one_site
def test_methods_do_what_the_mouse_does_and_events_tell_of_it(site, chromium):
    site.call(deeds.send_many, to="ana", titles=["One", "Two"])
    site.call(deeds.counts_of, username="ana")  # numbered: the page has them
    page = live(chromium.window(site.server, "ana").tab("/"))
    page.evaluate(
        """() => {
          window.told = [];
          for (const name of ["open", "close", "count", "read", "toast"])
            addEventListener(`notify:${name}`, ({ detail }) => told.push([name, detail]));
        }"""
    )
    the_bell = "document.querySelector('notification-bell')"
    page.evaluate(f"{the_bell}.open()")
    expect(page.locator(PANEL)).to_be_visible()
    expect(page.locator(".nb-item")).to_have_count(2)
    expect_badge(page, "")
    page.evaluate(f"{the_bell}.markAllRead()")
    expect(page.locator(f"{BELL}[unread]")).to_have_count(0)
    page.evaluate(f"{the_bell}.close()")
    expect(page.locator(PANEL)).to_be_hidden()
    titles = f"{the_bell}.notifications.map((one) => one.title)"
    assert page.evaluate(titles) == ["Two", "One"]
    wait_until(lambda: page.evaluate("told.at(-1)[0]") == "close", "it is told")
    assert page.evaluate("told") == [
        ["open", None],
        ["count", {"count": 0, "previous": 2}],
        ["close", None],
    ]
    # Below its level nothing pops up, and with `critical` only that does.
    page.evaluate(f"{the_bell}.setAttribute('level', 'warning')")
    site.call(deeds.send, to="ana", title="Merely good", level="success")
    site.call(deeds.send, to="ana", title="Beware", level="warning")
    expect(page.locator(".nb-toast")).to_have_count(1, timeout=SOON)
    expect(page.locator(".nb-toast")).to_contain_text("Beware")
    page.locator(".nb-toast").hover()  # so that it stays
    page.evaluate(f"{the_bell}.setAttribute('toasts', 'critical')")
    site.call(deeds.send, to="ana", title="Broken", level="error")
    site.call(deeds.send, to="ana", title="Down", level="critical")
    expect(page.locator(".nb-toast", has_text="Down")).to_have_count(1, timeout=SOON)
    expect(page.locator(".nb-toast")).to_have_count(2)
    # badge="unread" counts what is not read, also after it was seen.
    page.evaluate(f"{the_bell}.setAttribute('badge', 'unread')")
    page.evaluate(f"{the_bell}.open()")
    expect_badge(page, "4")
