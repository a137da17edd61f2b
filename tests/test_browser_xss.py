"""Stored scripts through every field: shown as the text that they are, and nothing runs.

The policy of the site would stop most of them, and that would be told on the console, which the
`chromium` fixture reads: so a test that passes never needed the policy.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.live import deeds

SOON = 15_000
BELL = "notification-bell"

# Each sets window.ran if anything of it is taken for markup or script.
PAYLOADS = [
    "<script>window.ran=1</script>",
    "<img src=x onerror=window.ran=1>",
    "<svg/onload=window.ran=1>",
    "\"><img src=x onerror='window.ran=1'>",
    "'-window.ran=1-'",
    "</script><script>window.ran=1</script>",
    "</textarea></title></style><iframe srcdoc='<script>parent.ran=1</script>'>",
    "<!--<script>--><script>window.ran=1</script>",
    "{{constructor.constructor('window.ran=1')()}}${window.ran=1}",
    "<math><mtext></p><style><!--</style><img title='--&gt;&lt;img src=x onerror=window.ran=1'>",
    "\u2028;window.ran=1//\u2029",
    "<a href=javascript:window.ran=1 id=nb-config class=nb-btn>click</a>",
    "<template id=nb-row><b>forged</b></template>",
    "&lt;img src=x onerror=window.ran=1&gt;",
    "\u202e<bdo dir=rtl>nar</bdo>",
]
FOREIGN = "[onerror], [onload], iframe, math, img[src=x], a[href^='javascript:'], bdo"


@pytest.fixture
def told(site) -> list[str]:
    """ana has every payload in every field of her inbox; dana, the operator, in hers too."""
    for number, payload in enumerate(PAYLOADS):
        hostile = {
            "title": f"T{number} {payload}"[:200],
            "body": f"B{number} {payload}",
            "url": f"/notifications/?x={number}&y=%22onmouseover=window.ran=1'",
            "kind": payload[:90],
            "data": {payload: payload, "__proto__": {"ran": 1}},
            "level": "critical" if number % 2 else "info",
        }
        site.call(deeds.send, to=["ana", "dana"], **hostile)
    return [f"T{number} {payload}" for number, payload in enumerate(PAYLOADS)]


def watched(page: Page) -> Page:
    page.on("dialog", lambda dialog: (page.evaluate("window.ran = 'dialog'"), dialog.dismiss()))
    return page


def visible_words(text: str) -> str:
    """The text as a browser lays it out."""
    return " ".join(text.split())


def nothing_ran(page: Page) -> None:
    page.wait_for_timeout(200)  # an onerror comes after the image that is not there
    assert page.evaluate("window.ran ?? null") is None
    assert page.evaluate("({}).ran ?? null") is None, "a prototype was changed"
    assert page.locator(FOREIGN).count() == 0
    assert page.locator("#nb-config").count() <= 1
    for frame in page.frames[1:]:
        raise AssertionError(f"a frame came in: {frame.url}")


def test_nothing_stored_runs_in_the_bell_the_inbox_or_the_admin(site, chromium, told):
    window = chromium.window(site.server, "ana")
    page = watched(window.tab("/"))
    expect(page.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)
    page.locator(f"{BELL} button.nb-btn").click()
    panel = page.locator(f"{BELL} .nb-pop")
    expect(panel).to_be_visible()
    for text in (told[-1], told[0], told[1]):
        expect(panel.get_by_text(visible_words(text)).first).to_be_attached(timeout=SOON)
    nothing_ran(page)

    inbox = watched(window.tab("/notifications/"))
    for text in (told[-1], told[0], told[1]):
        expect(inbox.get_by_text(visible_words(text)).first).to_be_attached(timeout=SOON)
    for link in inbox.get_by_role("link").all()[:40]:
        assert not (link.get_attribute("href") or "").startswith(("javascript:", "data:"))
    nothing_ran(inbox)

    dana = chromium.window(site.other_server, "dana")
    admin = watched(dana.tab("/admin/"))
    expect(admin.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)
    admin.locator(f"{BELL} button.nb-btn").click()
    expect(
        admin.locator(f"{BELL} .nb-pop").get_by_text(visible_words(told[0])).first
    ).to_be_attached(timeout=SOON)
    nothing_ran(admin)


def test_nothing_that_arrives_live_runs_in_the_toast_the_bell_or_the_inbox(site, chromium):
    site.call(deeds.send, to="ana", title="Before them")
    window = chromium.window(site.server, "ana")
    page, inbox = watched(window.tab("/")), watched(window.tab("/notifications/"))
    expect(page.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)
    page.locator(f"{BELL} button.nb-btn").click()
    # Only a list that was fetched, and is not empty, holds back what is new: what came before
    # the answer is in it.
    panel = page.locator(f"{BELL} .nb-pop")
    expect(panel.get_by_text("Before them")).to_be_visible(timeout=SOON)
    expect(panel.locator("[data-nb=list]")).to_have_attribute("aria-busy", "false", timeout=SOON)
    for number, payload in enumerate(PAYLOADS):
        what = {"body": payload, "kind": payload[:90], "data": {"x": payload}}
        site.call(deeds.send, to="ana", title=f"L{number} {payload}"[:200], **what)
        site.call(deeds.announce, title=f"A{number} {payload}"[:200], **what)
    last = visible_words(f"A{number} {payload}")
    for tab in (page, inbox):
        tab.bring_to_front()
        # The list does not move under the pointer.
        held = tab.get_by_role("button", name=f"New notifications: {2 * len(PAYLOADS)}")
        held.click(timeout=SOON)
        expect(tab.get_by_text(last).first).to_be_attached(timeout=SOON)
        nothing_ran(tab)


def test_nothing_in_a_name_of_a_person_or_in_what_they_wrote_runs(site, chromium):
    """Through the model rules: a buyer whose name, and whose comment, are scripts."""
    for number, payload in enumerate(PAYLOADS[:6]):
        site.call(comment_by_a_hostile_buyer, number=number, payload=payload)
    dana = chromium.window(site.server, "dana")
    for path in ("/admin/", "/notifications/", "/admin/demo/order/", "/admin/demo/comment/"):
        page = watched(dana.tab(path))
        if path == "/notifications/":
            expect(page.get_by_text(PAYLOADS[1]).first).to_be_attached(timeout=SOON)
        nothing_ran(page)
    bell = watched(dana.tab("/admin/"))
    expect(bell.locator(BELL)).to_have_attribute("state", "live", timeout=SOON)
    bell.locator(f"{BELL} button.nb-btn").click()
    expect(bell.get_by_text(PAYLOADS[1]).first).to_be_attached(timeout=SOON)
    nothing_ran(bell)


def test_an_address_that_is_a_script_is_never_stored(site):
    for url in (
        "javascript:window.ran=1",
        "JaVaScRiPt:window.ran=1",
        " javascript:window.ran=1",
        "\tjavascript:window.ran=1",
        "java\nscript:window.ran=1",
        "data:text/html,<script>window.ran=1</script>",
        "vbscript:x",
        "//evil.example/x",
        "/\\evil.example/x",
        "https:evil.example",
        "\x01javascript:window.ran=1",
    ):
        assert site.call(refused_url, url=url) == "unsafe_url", url


# Deeds


def comment_by_a_hostile_buyer(number: int, payload: str) -> None:
    from django.contrib.auth import get_user_model

    from project.demo.models import Comment, Order

    buyer = get_user_model().objects.create(username=f"{payload} {number}.{id(payload)}"[:150])
    order = Order.objects.create(buyer=buyer, items=payload[:100])
    Comment.objects.create(order=order, author=deeds.person("dana"), text=payload)
    Comment.objects.create(order=order, author=buyer, text=payload)


def refused_url(url: str) -> str:
    from notifications import notify
    from notifications.errors import BadNotification

    try:
        notify(deeds.person("ana"), "Click me", url=url)
    except BadNotification as error:
        return error.code
    return "stored"
