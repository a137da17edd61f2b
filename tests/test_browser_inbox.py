"""The inbox page in a real browser: whole without JavaScript, and alive with it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.conftest import one_site
from tests.live import deeds
from tests.live.process import wait_until

SOON = 15_000
pytestmark = pytest.mark.timeout(120)


def row(page, title):
    return page.locator("main .nb-row", has=page.get_by_text(title, exact=True))


def test_the_whole_inbox_works_without_javascript(site, chromium):
    site.call(deeds.send_many, to="ana", titles=["One", "Two", "Three"])
    site.call(deeds.send, to="ana", title="With a page", url="/orders/")
    page = chromium.window(site.server, "ana", java_script_enabled=False).tab("/")

    # The bell is a link, with the number in its name.
    page.get_by_role("link", name=re.compile("^Notifications")).click()
    page.wait_for_url("**/notifications/")
    expect(page.get_by_role("link", name=re.compile("Notifications.*4"))).to_be_visible()
    expect(page.locator("main .nb-row")).to_have_count(4)

    # One by its own button, and back by Undo.
    row(page, "One").get_by_role("button", name=re.compile("^Mark as read")).click()
    expect(page.get_by_text("Marked as read: 1.")).to_be_visible()
    assert site.call(deeds.titles_of, username="ana", view="unread") == [
        "With a page", "Three", "Two"
    ]  # fmt: skip
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Marked as unread: 1.")).to_be_visible()
    assert len(site.call(deeds.titles_of, username="ana", view="unread")) == 4

    # Several at once by their boxes.
    row(page, "One").get_by_role("checkbox").check()
    row(page, "Two").get_by_role("checkbox").check()
    bar = page.get_by_role("group", name="With the selected")
    bar.get_by_role("button", name="Archive").click()
    expect(page.locator("main .nb-row")).to_have_count(2)
    page.get_by_role("link", name="Archived").click()
    expect(page.locator("main .nb-row")).to_have_count(2)
    row(page, "Two").get_by_role("button", name=re.compile("Move to the inbox")).click()
    expect(page.locator("main .nb-row")).to_have_count(1)

    # Nothing chosen is said, not done.
    page.get_by_role("link", name="All", exact=True).click()
    bar = page.get_by_role("group", name="With the selected")
    bar.get_by_role("button", name="Archive").click()
    expect(page.get_by_text("Nothing was selected.")).to_be_visible()

    # Open and mark read leads to the page, and the number goes down.
    row(page, "With a page").get_by_role("button", name=re.compile("Open and mark read")).click()
    page.wait_for_url("**/orders/")
    expect(page.get_by_role("link", name=re.compile("Notifications.*2"))).to_be_visible()

    # All that was on the page, but not what came since.
    page.goto("/notifications/?view=unread")
    expect(page.locator("main .nb-row")).to_have_count(2)
    site.call(deeds.send, to="ana", title="Since then")
    page.get_by_role("button", name="Mark all read").click()
    expect(page.locator("main .nb-row")).to_have_count(1)
    expect(row(page, "Since then")).to_be_visible()


def test_a_new_notification_comes_into_the_open_inbox_page(site, chromium):
    site.call(deeds.send_many, to="ana", titles=["Old"])
    page = chromium.window(site.server, "ana").tab("/notifications/")
    expect(page.locator("notification-bell")).to_have_attribute("state", "live", timeout=SOON)
    page.evaluate("window.stayed = true")
    site.call(deeds.send, to="ana", title="New")
    # It may wait behind a button, so that nothing moves under the pointer.
    pill = page.locator("main .nb-pill")
    expect(pill.or_(row(page, "New")).first).to_be_visible(timeout=SOON)
    if pill.is_visible():
        pill.click()
    expect(row(page, "New")).to_be_visible()
    expect(row(page, "New")).to_have_count(1)
    expect(row(page, "Old")).to_be_visible()
    assert page.evaluate("window.stayed") is True


@one_site
def test_what_comes_while_the_script_of_the_page_is_on_its_way_shows_there_too(site, chromium):
    page = chromium.window(site.server, "ana").context.new_page()
    waiting = []
    page.route(re.compile(r"/page\b.*js$"), lambda route: waiting.append(route))
    page.goto("/notifications/")
    wait_until(lambda: page.wait_for_timeout(50) or waiting, "the page asks for its script")
    site.call(deeds.send, to="ana", title="New")
    page.wait_for_timeout(2_500)  # a server finds it within a second, had it a line to tell it on
    [script] = waiting
    script.continue_()
    pill = page.get_by_role("button", name="New notifications: 1")
    expect(pill).to_be_visible(timeout=SOON)


@one_site
def test_neither_what_is_new_nor_what_is_said_moves_a_row(site, chromium):
    site.call(deeds.send_many, to="ana", titles=[f"N{n}" for n in range(12)])
    site.call(deeds.counts_of, username="ana")  # numbered: no news to the page
    page = chromium.window(site.server, "ana").tab("/notifications/")
    expect(page.locator("notification-bell")).to_have_attribute("state", "live", timeout=SOON)
    before = row(page, "N9").bounding_box()
    site.call(deeds.send, to="ana", title="New")
    expect(page.locator("main .nb-pill")).to_be_visible(timeout=SOON)
    assert row(page, "N9").bounding_box() == before
    row(page, "N9").get_by_role("button", name=re.compile("^Mark as read")).click()
    said = page.locator("main .nb-note")
    expect(said).to_have_text(re.compile("^Marked as read: 1"))
    assert row(page, "N9").bounding_box() == before
    # Scrolled down to the last row, it is still in sight, with its Undo.
    row(page, "N0").get_by_role("button", name=re.compile("^Archive")).click()
    expect(said).to_have_text(re.compile("^Archived: 1"))
    expect(said.get_by_role("button", name="Undo")).to_be_in_viewport()


def test_an_action_in_the_inbox_page_shows_on_the_other_device_without_a_reload(site, chromium):
    site.call(deeds.send_many, to="ana", titles=["One", "Two"])
    here = chromium.window(site.server, "ana").tab("/notifications/")
    there = chromium.window(site.other_server, "ana").tab("/notifications/")
    for page in (here, there):
        expect(page.locator("notification-bell")).to_have_attribute("state", "live", timeout=SOON)
        page.evaluate("window.stayed = true")
    row(here, "One").get_by_role("button", name=re.compile("^Mark as read")).click()
    for page in (here, there):
        expect(row(page, "One")).not_to_have_class(re.compile("nb-unread"), timeout=SOON)
        expect(row(page, "Two")).to_have_class(re.compile("nb-unread"))
    row(there, "Two").get_by_role("button", name=re.compile("^Archive")).click()
    expect(row(here, "Two")).to_have_count(0, timeout=SOON)
    assert here.evaluate("window.stayed") is True
    assert there.evaluate("window.stayed") is True
    assert site.call(deeds.titles_of, username="ana") == ["One"]


def test_a_recalled_notification_leaves_the_open_page_and_the_open_panel(site, chromium):
    id = site.call(deeds.announce, title="Wrong")
    inbox = chromium.window(site.server, "ana").tab("/notifications/")
    shop = chromium.window(site.server, "bo").tab("/")
    for page in (inbox, shop):
        expect(page.locator("notification-bell")).to_have_attribute("state", "live", timeout=SOON)
    shop.locator("notification-bell button.nb-btn").click()
    panel = shop.locator("notification-bell .nb-pop")
    expect(panel.get_by_text("Wrong", exact=True)).to_be_visible()
    site.call(deeds.recall, id=id)
    expect(row(inbox, "Wrong")).to_have_count(0, timeout=SOON)
    expect(panel.get_by_text("Wrong", exact=True)).to_have_count(0, timeout=SOON)


@one_site
def test_a_person_in_arabic_reads_from_right_to_left(site, chromium):
    site.call(deeds.send, to="ana", title="Export ready")
    window = chromium.window(site.server, "ana", locale="ar")
    page = window.tab("/notifications/")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    expect(row(page, "Export ready")).to_be_visible()
    expect(page.locator("notification-bell")).to_have_attribute("state", "live", timeout=SOON)
