"""The operators' pages in a real browser: two operators and an outsider, nothing reloaded.

The `chromium` fixture fails a test whose windows had an error or a violated policy on their
console.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import one_site
from tests.live.axe import Axe
from tests.live.gate import Gate
from tests.live.process import wait_until

BELL = "notification-bell"
QUEUE = "/admin/notifications/alert/"
SOON = 15_000  # ms, on a machine with a lot to do
TRIES = 3
OURS = "main"  # the frame around it is Django's
UNDECIDED = [
    # Django's icons are background images, beside the words and not under them; of these words the
    # contrast is 4.5:1 and more, light and dark.
    ("color-contrast", ".viewlink", "due to a background image"),
    ("color-contrast", "li > .addlink", "due to a background image"),
    ("color-contrast", ".success", "due to a background image"),
    # A text that is longer than its box, and scrolls there.
    ("color-contrast", "pre", "partially overlaps other elements"),
    # For its seconds the pop-up of what was just sent lies over the page.
    ("color-contrast", "dt", "partially obscured by another element"),
]
"""What axe leaves to a person, looked at and found right: rule, element, and how axe says it."""
FASTEST = 1_000  # ms, of several tries: the promise, on a machine that has better things to do

pytestmark = pytest.mark.timeout(180)


# --- Deeds -------------------------------------------------------------------------------


def hire() -> None:
    """dana and eli are operators; eve may enter the admin, and no alert is hers."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Permission

    from notifications.models import Alert, Mute

    Alert.objects.all().delete()
    Mute.objects.all().delete()
    users = get_user_model().objects
    for name in ("eli", "eve"):
        user, _new = users.update_or_create(username=name, defaults={"is_staff": True})
        operator = Permission.objects.filter(codename__in=["view_alert", "change_alert"])
        user.user_permissions.set(operator if name == "eli" else [])


def fire(key: str, title: str = "", **more: object) -> None:
    from notifications import alert

    alert(key, title or f"Trouble with {key}", **more)


def clear(key: str) -> None:
    from notifications import resolve

    resolve(key)


def swell(key: str, count: int) -> None:
    from notifications import alerts
    from notifications.models import Alert

    alerts.position()
    Alert.objects.filter(key=key).update(count=count)


def state_of(key: str) -> tuple[str, str]:
    from notifications.models import Alert

    one = Alert.objects.get(key=key)
    return one.state, one.by


@pytest.fixture(autouse=True)
def operators(site) -> None:
    site.call(hire)


def live(page: Page, path: str = QUEUE) -> Page:
    """An operator's page that is up to date; a reload would lose the mark."""
    expect(page.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)
    if path == QUEUE:
        expect(page.locator(".nb-live-state")).to_have_text("Live", timeout=SOON)
    page.evaluate(
        """window.stayed = true; window.heard = 0;
        document.addEventListener("notify:alert", () => window.heard++);"""
    )
    return page


def live_alert(page: Page) -> Page:
    """The page of one alert, when the script of it is there: before, its forms are the server's."""
    expect(page.locator("#nb-alert-row")).to_be_visible(timeout=SOON)
    return live(page)


def send(page: Page, asked: Callable[[], None] = lambda: None) -> None:
    """Send the broadcast that is written here. Of many people the site asks first."""
    page.get_by_role("button", name="Send").click()
    asks, done = page.get_by_role("button", name="Yes, send it"), tile(page, "reached")
    expect(asks.or_(done)).to_be_visible(timeout=SOON)
    if asks.is_visible():
        asked()
        asks.click()
    expect(done).to_be_visible(timeout=SOON)


def row(page: Page, key: str):
    return page.locator("#result_list tbody tr").filter(has_text=f"Trouble with {key}")


def button(page: Page, verb: str, key: str):
    return page.get_by_role("button", name=f"{verb}: Trouble with {key}")


def tile(page: Page, name: str):
    return page.locator(f"[data-total={name}]")


# --- Two operators and an outsider -------------------------------------------------------


def test_what_one_operator_does_the_other_sees_at_once_and_nobody_else(site, chromium):
    dana = live(chromium.window(site.server, "dana").tab(QUEUE))
    eli = live(chromium.window(site.other_server, "eli").tab(QUEUE))
    index = live(chromium.window(site.server, "eli").tab("/admin/"), "/admin/")
    outsiders = [
        live(chromium.window(site.server, "eve").tab("/admin/"), "/admin/"),
        live(chromium.window(site.other_server, "jz").tab("/"), "/"),
    ]
    took: list[int] = []
    while len(took) < TRIES or (min(took) >= FASTEST and len(took) < 3 * TRIES):
        key = f"case-{len(took)}"
        site.call(fire, key=key, level="critical", source="tests")
        for page in (dana, eli):
            expect(row(page, key)).to_contain_text("Firing", timeout=SOON)
        expect(index.locator(".nb-strip")).to_contain_text("nobody has taken: 1", timeout=SOON)
        eli.evaluate(
            """key => {
              const row = [...document.querySelectorAll("#result_list tbody tr")]
                .find((one) => one.textContent.includes(`Trouble with ${key}`));
              const look = () => row.textContent.includes("Acknowledged by dana")
                && (window.sawAt ??= Date.now());
              window.sawAt = null;
              new MutationObserver(look).observe(row, {childList: true, subtree: true,
                characterData: true});
            }""",
            key,
        )
        clicked = button(dana, "Acknowledge", key).evaluate(
            "button => (button.click(), Date.now())"
        )
        expect(row(eli, key)).to_contain_text("Acknowledged by dana", timeout=SOON)
        took.append(eli.evaluate("window.sawAt") - clicked)
        expect(row(dana, key)).to_contain_text("Acknowledged by dana")
        expect(index.locator(".nb-strip")).to_be_hidden(timeout=SOON)
    assert min(took) < FASTEST, took
    expect(tile(eli, "acknowledged")).to_have_text(str(len(took)), timeout=SOON)
    expect(tile(eli, "firing")).to_have_text("0")
    for page in (dana, eli, index, *outsiders):
        assert page.evaluate("window.stayed") is True, "the page was reloaded"
    for page in outsiders:
        assert page.evaluate("window.heard") == 0
        assert page.locator(".nb-strip").count() == 0
    # She knows of her own click by its answer, which may be here before the news of it.
    wait_until(lambda: dana.evaluate("window.heard") >= 2 * len(took), "dana is told of all")


def test_of_two_who_click_at_once_one_wins_and_the_other_is_told_who(site, chromium):
    site.call(fire, key="both")
    pages = {
        name: live(chromium.window(server, name).tab(QUEUE))
        for name, server in (("dana", site.server), ("eli", site.other_server))
    }
    # Found before one of them clicks: afterwards the other's is hidden.
    buttons = [button(page, "Acknowledge", "both").element_handle() for page in pages.values()]
    at = time.time() * 1000 + 1_000
    for one in buttons:
        one.evaluate("(button, at) => void setTimeout(() => button.click(), at - Date.now())", at)
    said = {}
    for name, page in pages.items():
        note = page.locator(".nb-said")
        expect(note).to_be_visible(timeout=SOON)
        said[name] = note.text_content()
    _state, winner = site.call(state_of, key="both")
    [loser] = set(pages) - {winner}
    assert said[winner] == "Acknowledged: Trouble with both."
    assert said[loser] == f"It is acknowledged already by {winner}."
    for page in pages.values():
        expect(row(page, "both")).to_contain_text(f"Acknowledged by {winner}", timeout=SOON)


@one_site
def test_a_line_that_was_dead_meanwhile_heals(site, chromium):
    gate = Gate(site.server.port)
    window = chromium.window(site.server, "eli", base_url=gate.url)
    eli = live(window.tab(QUEUE))
    with gate.dead():
        site.call(fire, key="meanwhile")
    expect(row(eli, "meanwhile")).to_contain_text("Firing", timeout=2 * SOON)
    expect(eli.locator(".nb-live-state")).to_have_text("Live", timeout=2 * SOON)
    assert eli.evaluate("window.stayed") is True
    window.complaints.clear()  # of a browser whose line was cut
    gate.close()


# --- The page itself ---------------------------------------------------------------------


@one_site
def test_what_is_new_waits_while_somebody_reads_or_has_paused(site, chromium):
    site.call(fire, key="first")
    dana = live(chromium.window(site.server, "dana").tab(QUEUE))
    pill = dana.locator(".nb-fresh")
    row(dana, "first").get_by_role("link").focus()
    for key in ("second", "third"):
        site.call(fire, key=key)
    expect(pill).to_have_text("New alerts: 2", timeout=SOON)
    assert row(dana, "second").count() == 0
    pill.click()
    expect(row(dana, "second")).to_have_count(1)
    expect(pill).to_be_hidden()
    assert "Trouble with third" in dana.evaluate("document.activeElement.textContent")

    pause = dana.get_by_role("button", name="Pause live updates")
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "true")
    expect(dana.locator(".nb-live-state")).to_have_text("Paused")
    heard = dana.evaluate("window.heard")
    site.call(clear, key="first")
    site.call(fire, key="fourth")
    wait_until(lambda: dana.evaluate("window.heard") >= heard + 2, "both are told")
    dana.wait_for_timeout(500)
    expect(row(dana, "first")).to_contain_text("Firing")
    assert row(dana, "fourth").count() == 0
    pause.click()
    expect(row(dana, "first")).to_contain_text("Resolved", timeout=SOON)
    wait_until(lambda: row(dana, "fourth").count() or pill.is_visible(), "the fourth is told")
    if pill.is_visible():  # where the page is scrolled down to the rows
        pill.click()
    expect(row(dana, "fourth")).to_have_count(1)


SEEN = """() => {
  const area = document.querySelector("#changelist .results").getBoundingClientRect();
  const shown = (selector) => [...document.querySelectorAll(`#result_list ${selector}`)]
    .filter((one) => one.checkVisibility());
  const out = shown(":is(th, td, button, time)").filter((one) => {
    const { left, right } = one.getBoundingClientRect();
    return left < area.left - 1 || right > Math.min(area.right, innerWidth) + 1;
  });
  return {
    out: out.map((one) => one.outerHTML.slice(0, 80)),
    names: shown("thead .text").map((one) => one.textContent.trim()).filter(Boolean),
    page: document.documentElement.scrollWidth,
  };
}"""


@one_site
def test_nothing_of_a_row_is_outside_what_can_be_seen(site, chromium):
    """With the admin's sidebar open, the filter there, and a row that says as much as it can."""
    site.call(
        fire, key="long", title="Trouble with long " + 9 * "and longer ", source="shop.orders"
    )
    site.call(fire, key="many", level="critical", source="node-3.example")
    site.call(swell, key="long", count=1_234_567)
    dana = live(chromium.window(site.server, "dana").tab(QUEUE))
    row(dana, "long").get_by_role("button", name="Mute").click()
    until = row(dana, "long").locator(".nb-until")
    expect(until).to_have_text(re.compile(r"^until \d?\d:\d\d\s[AP]M$"), timeout=SOON)
    expect(row(dana, "many").locator(".nb-until")).to_be_hidden()
    names = ["Level", "Title", "State", "Count", "First seen", "Last seen"]
    for width in (1920, 1440, 1280, 1024, 768, 320):
        dana.set_viewport_size({"width": width, "height": 900})
        seen = dana.evaluate(SEEN)
        assert seen["out"] == [], width
        assert seen["page"] <= width
        assert seen["names"] == (names if width >= 1280 else [*names[:4], names[5]]), width
        expect(row(dana, "long")).to_contain_text("1,234,567")


@one_site
def test_nothing_that_is_said_moves_the_row_under_the_pointer(site, chromium):
    for key in ("first", "second"):
        site.call(fire, key=key)
    dana = live(chromium.window(site.server, "dana").tab(QUEUE))
    row(dana, "second").get_by_role("link").hover()
    before = row(dana, "second").bounding_box()["y"]
    site.call(fire, key="third")
    expect(dana.get_by_role("button", name="New alerts: 1")).to_be_visible(timeout=SOON)
    button(dana, "Acknowledge", "second").click()
    expect(dana.locator(".nb-said")).to_have_text("Acknowledged: Trouble with second.")
    expect(dana.locator(".nb-said")).to_be_in_viewport()
    expect(row(dana, "second")).to_contain_text("Acknowledged by dana", timeout=SOON)
    scrolled = "document.documentElement.scrollTop"
    assert row(dana, "second").bounding_box()["y"] == before, dana.evaluate(scrolled)


@one_site
def test_a_filtered_page_takes_in_what_matches_and_keeps_what_was_there(site, chromium):
    site.call(fire, key="mine", source="node-3")
    site.call(fire, key="too", source="node-3")
    dana = live(chromium.window(site.server, "dana").tab(f"{QUEUE}?state=firing&source=node-3"))
    site.call(fire, key="other", source="node-4")
    site.call(fire, key="more", source="node-3")
    expect(row(dana, "more")).to_have_count(1, timeout=SOON)
    assert row(dana, "other").count() == 0
    button(dana, "Resolve", "mine").click()
    expect(row(dana, "mine")).to_contain_text("Resolved by dana", timeout=SOON)
    site.call(clear, key="too")
    expect(row(dana, "too")).to_contain_text("Resolved", timeout=SOON)


@one_site
@pytest.mark.parametrize("there", [0, 1])
def test_what_came_in_meanwhile_is_counted_and_chosen_with_the_rest(site, chromium, there):
    """Django's script knows the rows that were there at first, and gives up where none was."""
    for number in range(there):
        site.call(fire, key=f"old-{number}")
    dana = live(chromium.window(site.server, "dana").tab(QUEUE))
    for number in range(2):
        site.call(fire, key=f"new-{number}")
        expect(row(dana, f"new-{number}")).to_have_count(1, timeout=SOON)
    words = f"{there + 2} alerts"
    expect(dana.locator(".paginator")).to_contain_text(words, timeout=SOON)
    expect(dana.locator("#changelist-search .quiet")).to_contain_text(f"{there + 2} results (")
    boxes, counter = dana.locator("tbody .action-select"), dana.locator(".action-counter")
    expect(counter).to_have_text(f"0 of {there + 2} selected")
    toggle = dana.locator("#action-toggle")
    toggle.check()
    expect(counter).to_have_text(f"{there + 2} of {there + 2} selected")
    boxes.first.uncheck()
    expect(counter).to_have_text(f"{there + 1} of {there + 2} selected")
    expect(toggle).not_to_be_checked()
    toggle.check()
    for box in boxes.all():
        expect(box).to_be_checked()
    dana.get_by_label("Action:").select_option(label="Acknowledge")
    dana.get_by_role("button", name="Go").click()
    expect(dana.locator(".messagelist")).to_contain_text("Acknowledged: ")
    expect(tile(dana, "acknowledged")).to_have_text(str(there + 2))


@one_site
def test_the_keyboard_is_enough(site, chromium):
    for key in ("a", "b", "c"):
        site.call(fire, key=f"key-{key}")
    dana = live(chromium.window(site.server, "dana", reduced_motion="reduce").tab(QUEUE))
    dana.keyboard.press("a")  # in no row: nothing
    row(dana, "key-c").get_by_role("link").focus()
    dana.keyboard.press("j")
    dana.keyboard.press("a")
    expect(row(dana, "key-b")).to_contain_text("Acknowledged by dana", timeout=SOON)
    # The button is gone, and the focus is in the same row all the same.
    wait_until(
        lambda: dana.evaluate("document.activeElement.closest('tr')?.textContent ?? ''").count(
            "Trouble with key-b"
        ),
        "the focus stays in its row",
    )
    dana.keyboard.press("End")
    dana.keyboard.press("m")
    expect(row(dana, "key-a")).to_contain_text("Muted by dana", timeout=SOON)
    assert dana.evaluate(
        "document.getAnimations().filter((one) => /^nb-/.test(one.animationName)).length === 0"
    )
    expect(row(dana, "key-c")).to_contain_text("Firing")


@one_site
def test_nothing_in_an_alert_runs(site, chromium):
    hostile = "<img src=x onerror=window.ran=1>"
    dana = live(chromium.window(site.server, "dana").tab(QUEUE))
    fields = {"body": hostile, "source": hostile, "labels": {"runbook": "javascript:window.ran=1"}}
    site.call(fire, key=hostile, title=f"Trouble with {hostile}", level="critical", **fields)
    expect(row(dana, hostile)).to_have_count(1, timeout=SOON)
    row(dana, hostile).get_by_role("link").click()
    page = live_alert(dana)
    page.get_by_label("Note").fill(hostile)
    page.get_by_role("button", name="Add the note").click()
    expect(page.locator(".nb-timeline")).to_contain_text(hostile, timeout=SOON)
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("window.ran ?? null") is None


@one_site
def test_the_page_of_one_alert_follows_it(site, chromium):
    site.call(fire, key="one", labels={"host": "node-3"})
    dana = live(chromium.window(site.server, "dana").tab(QUEUE))
    row(dana, "one").get_by_role("link").click()
    page = live_alert(dana)
    eli = live(chromium.window(site.server, "eli").tab(QUEUE))
    page.get_by_label("Note").fill("calling the bank")
    page.get_by_role("button", name="Acknowledge: Trouble with one").click()
    expect(page.locator(".nb-timeline")).to_contain_text("calling the bank", timeout=SOON)
    expect(row(eli, "one")).to_contain_text("calling the bank", timeout=SOON)
    button(eli, "Resolve", "one").click()
    expect(page.locator("#nb-alert-row")).to_contain_text("Resolved by eli", timeout=SOON)
    expect(page.locator(".nb-timeline tbody tr")).to_have_count(3, timeout=SOON)
    assert page.evaluate("window.stayed") is True


@one_site
def test_a_mute_by_label_is_on_every_operators_screen_and_either_ends_it(site, chromium):
    site.call(fire, key="disk", labels={"host": "node-3"})
    eli = live(chromium.window(site.server, "eli").tab(QUEUE))
    expect(eli.locator(".nb-mutes")).to_be_hidden()
    dana = live(chromium.window(site.server, "dana").tab(QUEUE))
    row(dana, "disk").get_by_role("link").click()
    page = live_alert(dana)
    page.get_by_label("Note").fill("moving it")
    page.get_by_text("Mute for longer, or by label").click()
    page.locator("[name=minutes]").select_option(label="1 week")
    page.get_by_label("host=node-3").check()
    page.get_by_role("button", name="Mute", exact=True).click()
    expect(page.locator("#nb-alert-row")).to_contain_text("Muted by dana", timeout=SOON)
    expect(eli.locator(".nb-mutes summary")).to_have_text("Mutes: 1", timeout=SOON)
    eli.locator(".nb-mutes summary").click()
    expect(eli.locator(".nb-mutes tbody tr")).to_contain_text("moving it")
    site.call(fire, key="other", labels={"host": "node-3"})
    expect(row(eli, "other")).to_contain_text(
        re.compile(r"Muted by dana .* until .*moving it"), timeout=SOON
    )
    eli.get_by_role("button", name="End this mute: host=node-3").click()
    expect(eli.locator(".nb-said")).to_have_text("Ended: host=node-3.", timeout=SOON)
    expect(eli.locator(".nb-mutes")).to_be_hidden(timeout=SOON)
    expect(row(eli, "other")).to_contain_text("Firing", timeout=SOON)
    expect(page.locator("#nb-alert-row")).to_contain_text("Firing", timeout=SOON)


@one_site
def test_trusted_types_are_broken_in_the_admin_by_django_alone(site, the_chromium):
    """Every other test here would fail of ours; this one shows that it would."""
    window = the_chromium.window(site.server, "dana")
    page = live(window.tab(QUEUE))
    page.evaluate(
        """() => {
          window.seen = [];
          addEventListener("securitypolicyviolation", ({ sourceFile }) => seen.push(sourceFile));
          django.jQuery("<p>").html("<b>Django's</b>");
        }"""
    )
    wait_until(lambda: page.evaluate("seen.length"), "Django's own is reported")
    assert {urlsplit(name).path for name in page.evaluate("seen")} == {
        "/static/admin/js/vendor/jquery/jquery.js"
    }
    assert window.complaints == []
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<b>ours</b>')")
    others = "seen.some((name) => !name.includes('/static/admin/'))"
    wait_until(lambda: page.evaluate(others), "ours is reported")
    assert page.evaluate("1") == 1  # what was said before it is here now
    [said] = the_chromium.close_windows()
    assert said.startswith("CSP: require-trusted-types-for")


@one_site
def test_the_strip_speaks_once_and_is_put_away_until_the_next(site, chromium):
    dana = live(chromium.window(site.server, "dana").tab("/admin/"), "")
    site.call(fire, key="loud", level="critical")
    strip = dana.locator(".nb-strip")
    expect(strip).to_be_visible(timeout=SOON)
    expect(dana.locator(f"{BELL} [role=alert]")).to_have_text("Critical: Trouble with loud")
    strip.get_by_role("button", name="Dismiss").click()
    expect(strip).to_be_hidden(timeout=SOON)
    dana.reload()
    live(dana, "")
    expect(strip).to_be_hidden()
    site.call(fire, key="louder", level="critical")
    expect(strip).to_contain_text("nobody has taken: 2", timeout=SOON)
    strip.get_by_role("link", name="Open").click()
    expect(dana.locator("#result_list tbody tr")).to_have_count(2)


# --- The other pages ---------------------------------------------------------------------


@one_site
def test_who_is_connected_is_shown_and_can_be_disconnected(site, chromium):
    ana = live(chromium.window(site.server, "ana").tab("/"), "")
    dana = live(
        chromium.window(site.server, "dana").tab("/admin/notifications/connection/?q=ana"), ""
    )
    found = dana.locator("#result_list tbody tr").filter(has_text=re.compile(r"^ana"))
    expect(found).to_contain_text("WebSocket", timeout=SOON)
    ana.evaluate(
        """window.states = [];
        document.addEventListener("notify:state", ({detail}) => window.states.push(detail.state))"""
    )
    for action in ("Send a test notification", "Disconnect"):
        found.get_by_role("checkbox").check()
        dana.get_by_label("Action:").select_option(label=action)
        dana.get_by_role("button", name="Go").click()
        said = "Sent to" if action.startswith("Send") else "Disconnected"
        expect(dana.locator(".messagelist")).to_contain_text(f"{said}: ana")
        expect(found).to_contain_text("WebSocket", timeout=SOON)
    expect(ana.locator(f"{BELL} .nb-badge")).to_have_text("1", timeout=SOON)
    wait_until(lambda: "reconnecting" in ana.evaluate("window.states"), "ana is disconnected")
    expect(ana.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)


@one_site
def test_a_broadcast_is_shown_as_people_see_it_while_it_is_written(site, chromium):
    ana = live(chromium.window(site.server, "ana").tab("/"), "")
    dana = live(chromium.window(site.server, "dana").tab("/admin/notifications/broadcast/add/"), "")
    reach = dana.locator("output")
    expect(reach).to_have_text(re.compile(r"^People: [\d,]+, about \d+ of them online$"))
    dana.get_by_label("People by name").check()
    dana.get_by_label("People:", exact=True).fill("anna")
    expect(reach).to_contain_text("Did you mean", timeout=SOON)
    dana.get_by_label("People:", exact=True).fill("ana")
    expect(reach).to_have_text(re.compile(r"^People: 1, about [01] of them online$"), timeout=SOON)
    dana.get_by_label("Title:").fill("<b>Maintenance</b> at 22:00")
    dana.get_by_label("Level:").select_option(label="Warning")
    preview = dana.locator(".nb-preview")
    for part in (".nb-item", ".nb-toast"):
        shown = preview.locator(f"{part}[data-level=warning]")
        expect(shown).to_contain_text("<b>Maintenance</b> at 22:00", timeout=SOON)
    dana.get_by_role("button", name="Send").click()
    expect(ana.locator(".nb-toast")).to_contain_text("<b>Maintenance</b> at 22:00", timeout=SOON)
    expect(tile(dana, "reached")).to_have_text("1")
    ana.get_by_role("button", name=re.compile("^Notifications")).click()
    expect(tile(dana, "seen")).to_have_text("1", timeout=SOON)
    dana.get_by_text("Withdraw it…").click()
    dana.get_by_role("button", name="Withdraw it from everybody").click()
    expect(ana.locator(f"{BELL} .nb-list .nb-item")).to_have_count(0, timeout=SOON)


@one_site
def test_without_a_script_everything_can_be_done(site, chromium):
    site.call(fire, key="plain", level="critical")
    dana = chromium.window(site.server, "dana", java_script_enabled=False).tab(QUEUE)
    dana.goto("/admin/")  # whose strip counts what was numbered, as by the page before
    strip = dana.locator(".nb-strip")
    expect(strip).to_contain_text("nobody has taken: 1")
    strip.get_by_role("link", name="Open").click()
    button(dana, "Acknowledge", "plain").click()
    expect(dana.locator(".messagelist")).to_contain_text("Acknowledged: Trouble with plain.")
    expect(row(dana, "plain")).to_contain_text("Acknowledged by dana")
    row(dana, "plain").get_by_role("link").click()
    dana.get_by_label("Note").fill("it was the cable")
    dana.get_by_role("button", name="Add the note").click()
    expect(dana.locator(".nb-timeline")).to_contain_text("it was the cable")
    site.call(fire, key="again", level="critical")
    dana.goto(QUEUE)
    strip.get_by_role("button", name="Dismiss").click()
    expect(strip).to_be_hidden()
    dana.goto("/admin/notifications/broadcast/add/")
    dana.get_by_label("Title:").fill("Maintenance")
    dana.get_by_role("button", name="Preview").click()
    expect(dana.locator(".nb-preview .nb-row")).to_contain_text("Maintenance")
    send(dana)
    expect(tile(dana, "reached")).not_to_have_text("0")
    dana.goto("/admin/notifications/health/")
    expect(dana.get_by_role("img", name=re.compile("Pushed to sockets"))).to_be_visible()


@one_site
def test_the_checker_finds_nothing_wrong_on_any_page_light_or_dark(site, chromium):
    for key, level in (("minor", "warning"), ("grave", "critical")):
        site.call(fire, key=key, level=level, source="tests", labels={"host": "node-3"})
    # A row that changed flashes, whenever its news comes: not while the checker looks.
    window = chromium.window(site.server, "dana", reduced_motion="reduce")
    dana = live(window.tab(QUEUE))
    axe = Axe(dana)
    wrong = {}

    def check(name: str) -> None:
        for details in dana.locator("main details").all():
            details.evaluate("one => (one.open = true)")
        for scheme, width in (("light", 1280), ("dark", 320)):
            dana.set_viewport_size({"width": width, "height": 900})
            dana.emulate_media(color_scheme=scheme)
            # Colours that are on their way are none yet: the admin's links fade.
            dana.evaluate("Promise.allSettled(document.getAnimations().map((one) => one.finished))")
            found = axe.run(OURS, ".nb-strip")
            undecided = [
                (rule, target, said)
                for rule, target, said in found["incomplete"]
                if not any(
                    rule == known and target.endswith(element) and words in said
                    for known, element, words in UNDECIDED
                )
            ]
            wrong[name, scheme] = found["violations"] + undecided
            assert dana.evaluate("document.documentElement.scrollWidth") <= width, name

    button(dana, "Acknowledge", "minor").click()
    expect(row(dana, "minor")).to_contain_text("Acknowledged by dana", timeout=SOON)
    check("queue")
    row(dana, "grave").get_by_role("link").click()
    expect(dana.locator("#nb-alert-row")).to_be_visible()
    check("alert")
    for page in ("connection/", "health/", "broadcast/", "broadcast/add/"):
        dana.goto(f"/admin/notifications/{page}")
        check(page)
    dana.get_by_label("Title:").fill("Maintenance")
    expect(dana.locator(".nb-preview .nb-toast")).to_be_visible(timeout=SOON)
    check("preview")
    send(dana, asked=lambda: check("asks"))
    check("result")
    assert not any(wrong.values()), wrong
