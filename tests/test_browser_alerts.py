"""Alerts from where they arise to an operator's screen, in a real browser: a view that raises, a
line that is dead meanwhile, a storm of logged errors.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import SITES
from tests.live import deeds
from tests.live.gate import Gate
from tests.live.process import wait_until
from tests.test_browser_admin import BELL, QUEUE, SOON, button, fire, hire, live, row, tile

pytestmark = pytest.mark.timeout(180)

PLACES = 20
ERRORS = 1_500
SECONDS = 3.0


# --- Deeds -------------------------------------------------------------------------------


def storm(errors: int, seconds: float, places: int) -> None:
    """Log so many errors in so many seconds, from so many places."""
    import logging
    import time

    logger = logging.getLogger("project.storm")
    start = time.monotonic()
    for number in range(errors):
        ahead = start + seconds * number / errors - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        place = number % places
        said = f"Trouble with place {place:02}"
        logger.handle(
            logger.makeRecord(logger.name, logging.ERROR, "/shop/orders.py", place, said, (), None)
        )


def first_name(username: str) -> str:
    return str(deeds.person(username).first_name)


# --- What the page says ------------------------------------------------------------------


def rows_of(page: Page) -> dict[str, list[list[str]]]:
    """Each row by its alert: all that is said in it but how long ago something was."""
    return page.evaluate(  # type: ignore[no-any-return]
        """() => Object.fromEntries(
          [...document.querySelectorAll("#result_list tbody tr")].map((row) => [row.dataset.id,
            [row, ...row.querySelectorAll("[data-field], [data-is], [data-time], button, input")]
              .map((node) => [node.dataset.field ? node.textContent : "", node.dataset.value,
                node.dateTime, node.hidden, node.getAttribute("href"), node.value, node.ariaLabel]
                .map((one) => one ?? "").join("|"))]))"""
    )


def tiles_of(page: Page) -> list[str]:
    return page.locator(".nb-tiles b").all_text_contents()


# --- A view that raises ------------------------------------------------------------------


@pytest.mark.parametrize("name", SITES)
def test_a_view_that_raises_is_one_alert_on_an_open_page(name, new_site, chromium, request):
    redis = request.getfixturevalue("own_redis") if name == "postgres" else None
    site = new_site(name, redis=redis, settings={"ROOT_URLCONF": "tests.live.breaking"})
    site.call(hire)
    dana = live(chromium.window(site.server, "dana").tab(QUEUE))
    visitor = site.server.visitor("ana")
    for number, count in ((7, "1"), (8, "2")):
        assert visitor.get(f"/breaking/{number}/").status == 500
        found = dana.locator("#result_list tbody tr")
        expect(found).to_contain_text(f"LookupError: order {number} is gone", timeout=SOON)
        expect(found.locator(".nb-count")).to_have_text(count, timeout=SOON)
        expect(found).to_have_count(1)
    expect(found).to_contain_text("django.request")
    expect(found).to_contain_text("Firing")
    expect(tile(dana, "firing")).to_have_text("1")
    assert dana.evaluate("window.stayed") is True, "the page was reloaded"
    assert site.call(first_name, username="ana") != "half done", "the view was rolled back"
    found.get_by_role("link").click()
    expect(dana.locator(".nb-pre").first).to_contain_text("tests/live/breaking.py", timeout=SOON)


# --- A line that is dead meanwhile -------------------------------------------------------


def test_what_another_did_while_the_line_was_dead_is_there_afterwards_once(site, chromium):
    site.call(hire)
    site.call(fire, key="before")
    dana = live(chromium.window(site.server, "dana").tab(QUEUE))
    gate = Gate(site.other_server.port)
    window = chromium.window(site.other_server, "eli", base_url=gate.url)
    eli = live(window.tab(QUEUE))
    expect(row(eli, "before")).to_contain_text("Firing")
    eli.evaluate(
        """window.told = [];
        document.addEventListener("notify:alert", ({ detail: { alert, event } }) =>
          event && told.push(`${alert.key} ${event.kind} ${event.by}`.trim()))"""
    )
    with gate.dead():
        button(dana, "Acknowledge", "before").click()
        expect(row(dana, "before")).to_contain_text("Acknowledged by dana", timeout=SOON)
        site.call(fire, key="meanwhile", level="critical")
        dana.get_by_role("button", name="New alerts: 1").click()  # it waits: she is in the table
        expect(row(dana, "meanwhile")).to_contain_text("Firing", timeout=SOON)
        expect(row(eli, "before")).to_contain_text("Firing")
    expect(row(eli, "before")).to_contain_text("Acknowledged by dana", timeout=2 * SOON)
    expect(row(eli, "meanwhile")).to_contain_text("Firing", timeout=2 * SOON)
    expect(eli.locator(".nb-live-state")).to_have_text("Live", timeout=2 * SOON)
    wait_until(
        lambda: (
            sorted(eli.evaluate("window.told")) == ["before acknowledged dana", "meanwhile fired"]
        ),
        "eli's page is told of both, each once",
    )
    for key in ("before", "meanwhile"):
        expect(row(eli, key)).to_have_count(1)
    expect(tile(eli, "acknowledged")).to_have_text("1")
    wait_until(lambda: rows_of(eli) == rows_of(dana), "both pages say the same")
    button(eli, "Acknowledge", "meanwhile").click()  # and acts again
    expect(row(dana, "meanwhile")).to_contain_text("Acknowledged by eli", timeout=SOON)
    wait_until(
        lambda: eli.evaluate("window.told.slice(2)") == ["meanwhile acknowledged eli"],
        "eli's page is told of that, too, once",
    )
    assert eli.evaluate("window.stayed") is True
    window.complaints.clear()  # of a browser whose line was cut
    gate.close()


# --- A storm -----------------------------------------------------------------------------


def test_a_storm_leaves_the_page_usable_and_exact(site, chromium):
    site.call(hire)
    window = chromium.window(site.server, "dana")
    dana = live(window.tab(QUEUE))
    for key in ("calm", "still"):
        site.call(fire, key=key)
        expect(row(dana, key)).to_contain_text("Firing", timeout=SOON)
    dana.evaluate(
        """window.touched = [];
        const still = [...document.querySelectorAll("#result_list tbody tr")]
          .find((one) => one.textContent.includes("Trouble with still"));
        // How long ago something was is written anew, once it is a minute.
        const ages = ({ type, target }) => type !== "attributes" &&
          (target.closest ? target : target.parentElement).closest("time");
        new MutationObserver((changes) => touched.push(...changes
          .filter((one) => one.target !== still && !ages(one))
          .map(({ type, target, attributeName }) => `${type} ${target.outerHTML} ${attributeName}`))
        ).observe(still, { subtree: true, childList: true, attributes: true, characterData: true });
        """
    )
    looks = (
        "performance.getEntriesByType('resource').filter((one) => /_shown/.test(one.name)).length"
    )
    looked = dana.evaluate(looks)
    site.worker.begin(storm, errors=ERRORS, seconds=SECONDS, places=PLACES)
    expect(row(dana, "place")).not_to_have_count(0, timeout=SOON)
    for key in ("calm", "place 00"):
        button(dana, "Acknowledge", key).click()
        expect(dana.locator(".nb-said")).to_have_text(
            f"Acknowledged: Trouble with {key}.", timeout=SOON
        )
    site.worker.finish()

    def counted() -> int:
        if dana.locator(".nb-fresh").is_visible():
            dana.locator(".nb-fresh").click()
        counts = row(dana, "place").locator(".nb-count").all_text_contents()
        return sum(int(one.replace(",", "")) for one in counts)

    wait_until(lambda: counted() == ERRORS, f"the rows count {ERRORS}", 30)
    expect(row(dana, "place")).to_have_count(PLACES)
    counts = row(dana, "place").locator(".nb-count").all_text_contents()
    assert set(counts) == {str(ERRORS // PLACES)}
    for key in ("calm", "place 00"):
        expect(row(dana, key)).to_contain_text("Acknowledged by dana")
    expect(tile(dana, "firing")).to_have_text(str(PLACES), timeout=SOON)
    assert dana.evaluate("window.touched") == [], "a row of which there was no news"
    # Told every second, by one entry for each place; looked at four times a second at most.
    took = dana.evaluate("performance.now()") / 1000
    assert dana.evaluate(looks) - looked <= 4 * took
    assert dana.evaluate("window.stayed") is True, "the page was reloaded"

    fresh = live(window.tab(QUEUE))
    wait_until(lambda: rows_of(fresh) == rows_of(dana), "both pages say the same")
    wait_until(lambda: tiles_of(fresh) == tiles_of(dana), "both pages count the same")
    expect(dana.locator(BELL)).to_have_attribute("state", "live")
