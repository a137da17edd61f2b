"""The recipes of docs/bell.md, from the page itself, in a site that follows all three."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.live import deeds
from tests.live.process import wait_until
from tests.live.server import ROOT

SOON = 15_000
BELL = "notification-bell"


def recipes() -> dict[str, str]:
    """The files that the page tells people to write: name -> text."""
    text = (ROOT / "docs" / "bell.md").read_text()
    blocks = re.findall(r"```(?:django|js)\n(?:{# |// )(\S+?),?[ ](.*?)\n(.*?)```", text, re.DOTALL)
    return {name: code for name, _rest, code in blocks}


def follow(folder: Path) -> dict[str, object]:
    """Write them where they belong, and say the settings that go with it."""
    files = recipes()
    assert set(files) == {
        "templates/shop/bell_slots.html",
        "templates/base.html",
        "static/shop/notifications.js",
        "templates/notifications/bell_icon.html",
    }
    tag = files.pop("templates/base.html")
    base = (ROOT / "templates" / "base.html").read_text()
    assert "{% notification_bell %}" in base
    base = base.replace("{% notification_bell %}", tag)
    script = '<script type="module" src="{% static \'shop/notifications.js\' %}"></script>'
    base = base.replace("{% notifications_head %}", "{% notifications_head %}" + script)
    base = base.replace("</body>", '<p id="chat"></p><dialog id="help">Help</dialog></body>')
    for name, code in {**files, "templates/base.html": base}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    from django.conf import settings

    [engine] = settings.TEMPLATES
    engine = engine | {"DIRS": [str(folder / "templates"), str(ROOT / "templates")]}
    return {"TEMPLATES": [engine], "STATICFILES_DIRS": [str(folder / "static")]}


def test_the_three_recipes_do_what_the_page_says(new_site, tmp_path, chromium):
    site = new_site("sqlite", settings=follow(tmp_path))
    page = chromium.window(site.server, "ana").tab("/orders/")
    expect(page.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)
    expect(page.locator(f"{BELL} button .shop-horn")).to_be_visible()
    page.locator(f"{BELL} button.nb-btn").click()
    expect(page.get_by_text("No tickets today.")).to_be_visible(timeout=SOON)  # the list has come

    site.call(deeds.send, to="ana", title="Are you there?", kind="chat")
    site.call(deeds.send, to="ana", title="How to return it", url="/help/returns/")
    ticket = page.locator(f"{BELL} .ticket")
    expect(ticket).to_have_count(1, timeout=SOON)
    expect(ticket.locator("b")).to_have_text("How to return it")
    expect(page.locator("#chat")).to_have_text("Are you there?")

    ticket.locator("a").click()
    expect(page.locator("#help")).to_have_attribute("data-url", "/help/returns/")
    assert page.url.endswith("/orders/")
    page.keyboard.press("Escape")
    page.locator(f"{BELL} button.nb-btn").click()
    ticket.get_by_role("button", name=re.compile("Archive")).click()
    expect(ticket).to_have_count(0)
    wait_until(  # it shows before the server has it
        lambda: site.call(deeds.titles_of, username="ana", view="archived") == ["How to return it"],
        "it is archived",
    )
