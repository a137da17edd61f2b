"""Who sees little, hears the page, or has only a keyboard: every rule that a machine can check.

axe-core looks at every state, in light and dark, from left to right and from right to left, in the
site and in the admin. What it cannot see is below it, one test a rule or a few.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import one_site
from tests.live import deeds
from tests.live.axe import Axe
from tests.live.process import wait_until

BELL = "notification-bell"
BUTTON = f"{BELL} button.nb-btn"
PANEL = f"{BELL} .nb-pop"
SOON = 15_000

pytestmark = [pytest.mark.timeout(180), one_site]

UNDECIDED = [
    # It never decides this where there is aria-haspopup; below, a test looks the id up.
    ("aria-valid-attr-value", ".nb-btn", "Unable to determine if aria-controls referenced ID"),
    # The words of the offline state take two lines; their colours are those of the other states.
    ("color-contrast", ".nb-state", "because it partially overlaps other elements"),
]
"""What axe leaves to a person, looked at and found right: rule, element, and how axe says it."""


class Looker:
    """Looks at a page in light and in dark, and keeps what is wrong."""

    def __init__(self, page: Page, *parts: str) -> None:
        self.page, self.parts, self.wrong = page, parts, []
        self.axe = Axe(page)
        self.states: set[str] = set()

    def look(self, state: str) -> None:
        self.states.add(state)
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            there = [part for part in self.parts if self.page.locator(part).count()]
            found = self.axe.run(*there)
            undecided = [
                [rule, target, said]
                for rule, target, said in found["incomplete"]
                if not any((rule, target) == known[:2] and known[2] in said for known in UNDECIDED)
            ]
            self.wrong += [(state, scheme, *one) for one in found["violations"] + undecided]


@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize("where", ["site", "admin"])
def test_axe_finds_nothing_in_any_state(site, the_chromium, where, language):
    # Of the admin's pages only our part is ours to mend.
    path, parts = {"site": ("/orders/", ()), "admin": ("/admin/", (BELL, ".nb-toasts"))}[where]
    window = the_chromium.window(site.server, "dana", locale=language, reduced_motion="reduce")
    page = window.tab(path)
    expect(page.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)
    looker = Looker(page, *parts)
    looker.look("closed")
    page.locator(BUTTON).click()
    expect(page.locator(".nb-empty")).to_be_visible()
    looker.look("empty")
    page.keyboard.press("Escape")
    fill_inbox(site)
    expect(page.locator(".nb-badge")).to_have_text("4", timeout=SOON)  # or one waits in the panel
    expect(page.locator(".nb-toast")).to_have_count(3, timeout=SOON)
    looker.look("toast")
    page.locator(BUTTON).click()
    expect(page.locator(".nb-item")).to_have_count(4)
    page.locator("[data-nb=more]").click()
    looker.look("open")
    page.locator(".nb-item [data-act=archive]").last.click()
    expect(page.locator(".nb-note")).to_be_visible()
    window.context.set_offline(True)
    expect(page.locator(BELL)).to_have_attribute("state", "offline", timeout=SOON)
    looker.look("offline")
    window.context.set_offline(False)
    page.route("**/notifications/list/", lambda route: route.abort())
    page.reload()
    page.locator(BUTTON).click()
    expect(page.locator(".nb-error")).to_be_visible(timeout=SOON)
    looker.look("error")
    assert looker.states == {"closed", "open", "empty", "error", "offline", "toast"}
    if where == "site":
        for view in ("", "?view=archived", "?q=nowhere", "?level=loud"):
            page.goto(f"/notifications/{view}")
            for details in page.locator("details").all():
                details.evaluate("(details) => (details.open = true)")
            looker.look(f"inbox {view}")
    the_chromium.close_windows()
    assert not looker.wrong, "\n".join(map(str, looker.wrong))


def fill_inbox(site) -> None:
    site.call(deeds.send, to="dana", title="Export ready", url="/orders/", level="success")
    site.call(deeds.send, to="dana", title="Disk is nearly full", body="On db1.", level="warning")
    site.call(deeds.send, to="dana", title="نفدت البضاعة", data={"lang": "ar"}, level="error")
    site.call(deeds.send, to="dana", title="Payments are down", level="critical")
    # Numbered, so that a page that is opened next has them, and hears no news of them.
    assert site.call(deeds.counts_of, username="dana")["unread"] >= 4


# --- What a checker cannot see -------------------------------------------------------------


@pytest.fixture
def shop(site, chromium):
    """dana at the shop, with the bell live."""

    def shop(path: str = "/orders/", **options) -> Page:
        page = chromium.window(site.server, "dana", **options).tab(path)
        expect(page.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)
        return page

    return shop


def expect_focus(page: Page, name: str) -> None:
    """The focus is on what has this label, or this text."""
    focus = "document.activeElement.ariaLabel || document.activeElement.innerText"
    wait_until(lambda: page.evaluate(focus) == name, f"the focus is on {name!r}")


def stop_the_clock(page: Page) -> None:
    """A clock that was installed goes on by itself, as long as a busy machine takes."""
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)


def region(page: Page, role: str):
    return page.locator(f"{BELL} > [role={role}]")


WATCH_REGIONS = """
window.said = { status: [], alert: [] };
for (const role in said) {
  const region = document.querySelector(`notification-bell > [role=${role}]`);
  new MutationObserver(() => region.textContent && said[role].push(region.textContent))
    .observe(region, { childList: true, characterData: true, subtree: true });
}
"""


def test_the_bell_is_a_button_with_the_number_in_its_name_and_two_silent_regions(site, shop):
    """A1, A2, A3, A4, A5, A9, A12, A13, A33."""
    fill_inbox(site)
    page = shop()
    bell = page.get_by_role("button", name="Notifications, unread: 4", exact=True)
    expect(bell).to_have_attribute("aria-haspopup", "dialog")
    expect(bell).to_have_attribute("aria-expanded", "false")
    expect(page.locator(f"[id='{bell.get_attribute('aria-controls')}']")).to_have_count(1)
    expect(page.locator(".nb-badge")).to_have_attribute("aria-hidden", "true")
    for role in ("status", "alert"):
        expect(page.locator(f"{BELL} [role={role}]")).to_have_count(1)
        expect(region(page, role)).to_have_text("")
    bell.click()
    expect(bell).to_have_attribute("aria-expanded", "true")
    panel = page.get_by_role("dialog", name="Notifications", exact=True)
    rows = panel.get_by_role("list").get_by_role("listitem")
    expect(rows).to_have_count(4)
    expect(page.locator(f"{BELL} :is([role^=menu], [role=feed], [role=log])")).to_have_count(0)
    for name in ("Unread: Critical: Payments are down", "Unread: Warning: Disk is nearly full"):
        expect(panel.get_by_role("link", name=re.compile(f"^{name}"))).to_have_count(1)
    expect(panel.locator(".nb-item[lang=ar]")).to_have_count(1)
    weight = "(row) => getComputedStyle(row.querySelector('.nb-title')).fontWeight"
    assert rows.first.evaluate(weight) == "650"
    rows.first.get_by_role("button", name="Mark as read: Payments are down").click()
    expect(
        panel.get_by_role("link", name=re.compile("^Critical: Payments are down"))
    ).to_be_visible()
    assert rows.first.evaluate(weight) == "400"


def test_a_burst_is_announced_once_and_only_what_is_critical_interrupts(site, shop):
    """A3, A4, A17."""
    page = shop()
    page.evaluate(WATCH_REGIONS)
    site.call(deeds.send_many, to="dana", titles=[f"N{n}" for n in range(20)], in_one=True)
    expect(region(page, "status")).to_have_text("New notifications: 20", timeout=SOON)
    page.locator(".nb-toast").hover()  # so that it stays
    site.call(deeds.send, to="dana", title="Payments are down", level="critical")
    expect(region(page, "alert")).to_have_text("Critical: Payments are down", timeout=SOON)
    expect(page.locator(".nb-toast")).to_have_count(2)
    assert page.evaluate("said") == {
        "status": ["New notifications: 20"],
        "alert": ["Critical: Payments are down"],
    }
    toasts = page.get_by_role("region", name="New notifications", exact=True)
    expect(toasts).to_be_visible()
    assert toasts.locator("[role], [aria-live]").count() == 0


def test_inside_a_modal_dialog_it_is_said_to_the_browser_itself(site, shop):
    """A6."""
    page = shop()
    page.evaluate(
        """() => {
          window.notified = [];
          document.ariaNotify = (text) => notified.push(text);
          const dialog = document.body.appendChild(document.createElement("dialog"));
          dialog.append("Pay now?");
          dialog.showModal();
        }"""
    )
    site.call(deeds.send, to="dana", title="Export ready")
    expect(page.locator(".nb-toast")).to_have_count(1, timeout=SOON)
    wait_until(lambda: page.evaluate("notified.length"), "it is said")
    assert page.evaluate("notified") == ["Export ready"]


def test_the_keyboard_script(site, shop):
    """A7, A8, A14, A15, A28, and every key of the panel."""
    site.call(deeds.send_many, to="dana", titles=[f"N{n}" for n in range(8)])
    page = shop()
    press = page.keyboard.press
    unread = "document.querySelector('notification-bell').tabs.inbox.unread"
    page.locator("body").focus()
    for key in ("m", "e", "j", "Shift+A"):
        press(key)  # outside the panel they are the page's own
    assert page.evaluate(unread) == 8
    page.locator(BUTTON).focus()
    press("Enter")
    expect(page.locator(".nb-item")).to_have_count(8)
    expect(page.locator(BUTTON)).to_be_focused()
    press("Tab")
    expect_focus(page, "Mark all read")
    press("Shift+Tab")
    expect(page.locator(BUTTON)).to_be_focused()
    press("Tab")
    press("Tab")

    def at(title: str) -> None:
        link = page.locator(".nb-item", has_text=title).locator("a")
        expect(link).to_be_focused()

    at("N7")
    for key, title in (
        *(("j", "N6"), ("ArrowDown", "N5"), ("k", "N6"), ("ArrowUp", "N7"), ("ArrowUp", "N7")),
        *(("End", "N0"), ("Home", "N7"), ("PageDown", "N2"), ("PageUp", "N7")),
    ):
        press(key)
        at(title)
    press("m")
    expect(page.locator(".nb-item.nb-unread")).to_have_count(7)
    press("m")
    expect(page.locator(".nb-item.nb-unread")).to_have_count(8)
    press("Tab")
    expect_focus(page, "Archive: N7")
    press("Tab")
    expect_focus(page, "Mark as read: N7")
    press("e")
    expect(page.locator(".nb-item")).to_have_count(7)
    expect_focus(page, "Mark as read: N6")  # the same control of the next row
    press("End")
    at("N0")
    press("e")
    at("N1")
    note = page.locator(".nb-note")
    expect(note).to_be_visible()
    press("Shift+A")
    expect(page.locator(".nb-item.nb-unread")).to_have_count(0)
    expect(note).to_be_hidden()  # answered: from here on the list keeps its height
    press("?")
    expect(page.locator("[data-nb=keys]")).to_be_visible()
    press("?")
    expect(page.locator("[data-nb=keys]")).to_be_hidden()
    scrolled = "document.querySelector('.nb-list').scrollTop"
    last = page.locator(".nb-item").last
    before = page.evaluate(scrolled), last.bounding_box()
    site.call(deeds.send_many, to="dana", titles=["New 1", "New 2"])
    expect(page.locator(".nb-pill")).to_have_text("New notifications: 2", timeout=SOON)
    assert (page.evaluate(scrolled), last.bounding_box()) == before  # A16
    at("N1")
    press("g")
    expect(page.locator(".nb-pill")).to_be_focused()
    press("Enter")
    at("New 2")
    press("Escape")
    expect(page.locator(PANEL)).to_be_hidden()
    expect(page.locator(BUTTON)).to_be_focused()


def test_zoomed_to_four_hundred_percent_every_row_can_be_scrolled_to(site, shop):
    """A26: 1280 by 1024 pixels then hold 320 by 256."""
    site.call(deeds.send_many, to="dana", titles=[f"N{n}" for n in range(8)])
    page = shop(viewport={"width": 320, "height": 256})
    page.locator(BUTTON).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".nb-item")).to_have_count(8)
    for row in (page.locator(".nb-item").last, page.locator(".nb-item").first):
        row.locator("a").focus()
        box = row.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 256
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_archiving_the_last_row_leaves_the_focus_in_the_panel_and_undo_brings_it_back(site, shop):
    """A15."""
    site.call(deeds.send_many, to="dana", titles=["Only"])
    page = shop()
    page.locator(BUTTON).click()
    page.locator(".nb-item a").focus()
    page.keyboard.press("e")
    expect(page.locator(".nb-empty")).to_be_visible()
    expect_focus(page, "Notifications")
    # The entry of what was done may come after its answer; undone before, the row leaves again.
    mine = {"username": "dana"}
    wait_until(lambda: not site.call(deeds.rows_of, **mine)["pending"], "it has a number")
    reached = "document.querySelector('notification-bell').tabs.inbox.cursor.user"
    head = site.call(deeds.rows_of, **mine)["head"]
    wait_until(lambda: page.evaluate(reached) >= head, "the entry is here")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".nb-item a")).to_be_focused()


def test_keys_can_be_turned_off_and_a_hotkey_on(site, shop):
    """A28."""
    site.call(deeds.send_many, to="dana", titles=["One"])
    page = shop()
    page.evaluate("document.querySelector('notification-bell').setAttribute('hotkey', 'g n')")
    page.keyboard.press("g")
    page.keyboard.press("n")
    expect(page.locator(PANEL)).to_be_visible()
    expect(page.locator(".nb-item")).to_have_count(1)  # its script is here, which hears clicks
    page.locator("[data-nb=more]").click()
    page.get_by_label("Use these keys").uncheck()
    page.locator(".nb-item a").focus()
    page.keyboard.press("m")
    page.keyboard.press("e")
    expect(page.locator(".nb-item.nb-unread")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("n")
    expect(page.locator(PANEL)).to_be_hidden()


def test_a_toast_waits_for_who_reads_it_and_never_takes_the_focus(site, shop, chromium):
    """A18, A19, A20, with a clock of our own."""
    window = chromium.window(site.server, "dana")
    page = window.context.new_page()
    page.clock.install()
    page.goto("/orders/")
    expect(page.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)
    stop_the_clock(page)
    toast = page.locator(".nb-toast")
    home = page.get_by_role("link", name="Corner shop")
    home.focus()
    site.call(deeds.send, to="dana", title="Export ready")
    page.clock.run_for(1000)
    expect(toast).to_have_count(1, timeout=SOON)
    expect(home).to_be_focused()
    toast.hover()
    page.clock.run_for(20_000)
    expect(toast).to_have_count(1)
    page.mouse.move(0, 0)
    page.clock.run_for(4000)
    expect(toast).to_have_count(1)
    page.clock.run_for(4000)
    expect(toast).to_have_count(0)
    site.call(deeds.send, to="dana", title="Payments are down", level="critical")
    site.call(deeds.send, to="dana", title="Long", body="x" * 400)
    page.clock.run_for(1000)
    expect(toast).to_have_count(2, timeout=SOON)
    page.clock.run_for(22_000)  # 60 ms a character
    expect(toast).to_have_count(2)
    page.keyboard.press("F6")
    expect_focus(page, "Dismiss")
    page.clock.run_for(30_000)
    expect(toast).to_have_count(2)  # it has the focus
    page.keyboard.press("F6")
    expect(home).to_be_focused()
    page.keyboard.press("F6")
    page.keyboard.press("Escape")
    expect(toast).to_have_count(1)
    expect_focus(page, "Dismiss")  # that of the other one
    page.keyboard.press("Enter")
    expect(toast).to_have_count(0)
    expect(home).to_be_focused()
    site.call(deeds.send, to="dana", title="Still critical", level="critical")
    page.clock.run_for(1000)
    expect(toast).to_have_count(1, timeout=SOON)
    page.clock.run_for(120_000)
    expect(toast).to_have_count(1)


def test_times_grow_old_without_a_word_and_flapping_is_not_announced(site, shop, the_chromium):
    """A30, A31."""
    page = the_chromium.window(site.server, "dana").context.new_page()
    page.clock.install()
    flap: list = []
    page.route_web_socket(re.compile("/ws/"), lambda ws: flap.append((ws, ws.connect_to_server())))
    page.goto("/orders/")
    expect(page.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)
    site.call(deeds.send, to="dana", title="Export ready")
    page.clock.run_for(2000)
    expect(page.locator(".nb-badge")).to_have_text("1", timeout=SOON)
    expect(region(page, "status")).to_have_text("Export ready")
    page.evaluate(WATCH_REGIONS)
    page.locator(BUTTON).click()
    time = page.locator(".nb-item time")
    expect(time).to_have_text("now")
    page.clock.set_system_time(page.evaluate("Date.now()") / 1000 + 61)
    page.clock.run_for(1100)
    expect(time).to_have_text("1 min. ago")
    assert time.get_attribute("datetime")
    assert time.get_attribute("title")
    assert page.evaluate("said.status") == []
    stop_the_clock(page)  # so that it comes back when we say so, and within five seconds
    for _ in range(3):
        flap[-1][0].close(code=4101)
        expect(page.locator(BELL)).to_have_attribute("state", "reconnecting")
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)
    assert page.evaluate("said.status") == []
    the_chromium.close_windows()


def test_sizes_focus_and_motion(site, shop):
    """A21, A22, A25, A14 on a touch screen."""
    fill_inbox(site)
    page = shop(has_touch=True, is_mobile=True, reduced_motion="reduce")
    box = page.locator(BUTTON).bounding_box()
    assert (box["width"], box["height"]) == (44, 44)
    page.locator(BUTTON).tap()
    expect(page.locator(".nb-item")).to_have_count(4)
    page.locator("[data-nb=more]").click()
    for control in page.locator(f"{PANEL} :is(a, button, label):visible").all():
        box = control.bounding_box()
        assert min(box["width"], box["height"]) >= 24, control.evaluate("(it) => it.outerHTML")
    opacity = "(button) => getComputedStyle(button).opacity"
    assert page.locator(".nb-item [data-act=archive]").first.evaluate(opacity) == "1"
    page.keyboard.press("Escape")
    site.call(deeds.send, to="dana", title="One more")
    expect(page.locator(".nb-toast")).to_have_count(1, timeout=SOON)
    assert page.evaluate("document.getAnimations().length") == 0
    page.locator(BUTTON).focus()
    page.keyboard.press("Enter")
    for _ in range(4):
        outline = "getComputedStyle(document.activeElement).outline"
        assert re.search("solid 2px", page.evaluate(outline)), page.evaluate(outline)
        page.keyboard.press("Tab")


def test_the_panel_opens_towards_the_start_of_the_line(site, shop):
    """A27."""
    fill_inbox(site)
    for language, placement in (("en", ""), ("ar", ""), ("en", "start"), ("ar", "start")):
        page = shop(locale=language, viewport={"width": 1200, "height": 800})
        bell = page.locator(BELL)
        if placement:
            bell.evaluate("(bell) => bell.setAttribute('placement', 'start')")
            # It stands where there is room on that side.
            bell.evaluate("(bell) => document.querySelector('.bar').prepend(bell)")
            expect(bell).to_have_attribute("state", "live", timeout=SOON)
        page.locator(BUTTON).click()
        button, panel = page.locator(BUTTON).bounding_box(), page.locator(PANEL).bounding_box()
        at_right = (language == "en") != bool(placement)
        ends = [box["x"] + box["width"] if at_right else box["x"] for box in (button, panel)]
        assert abs(ends[0] - ends[1]) <= 1, (language, placement, button, panel)
        page.close()


def test_in_forced_colours_unread_and_levels_still_show(site, shop):
    """A12, A24; the pictures of it in docs/screenshots.md were looked at."""
    fill_inbox(site)
    page = shop(forced_colors="active")
    page.locator(BUTTON).click()
    page.locator(".nb-item [data-act=read]").first.click()
    border = "(row) => getComputedStyle(row).borderInlineStartColor"
    read, unread = (
        page.locator(f".nb-item{which}").first for which in (":not(.nb-unread)", ".nb-unread")
    )
    assert read.evaluate(border) != unread.evaluate(border)
    assert page.locator(".nb-badge").evaluate("(it) => getComputedStyle(it).borderStyle") == "solid"


def test_the_title_keeps_the_name_of_the_page(site, shop):
    """A35."""
    page = shop()
    name = page.title()
    site.call(deeds.send, to="dana", title="Export ready")
    expect(page).to_have_title(f"(1) {name}", timeout=SOON)
    page.locator(BUTTON).click()
    expect(page).to_have_title(name, timeout=SOON)


def test_while_it_is_paused_nothing_is_added(site, shop):
    """A29."""
    site.call(deeds.send, to="dana", title="Before")
    site.call(deeds.counts_of, username="dana")  # numbered: no news to the page
    page = shop()
    page.locator(BUTTON).click()
    expect(page.locator(".nb-item")).to_have_count(1)
    page.evaluate("document.querySelector('notification-bell').pause()")
    site.call(deeds.send_many, to="dana", titles=["One", "Two"])
    expect(page.locator(".nb-state")).to_have_text("Paused. Waiting: 2.", timeout=SOON)
    expect(page.locator(".nb-item")).to_have_count(1)
    expect(page.locator(".nb-toast")).to_have_count(0)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".nb-pill")).to_have_text("New notifications: 2")
