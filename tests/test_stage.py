"""The demo on one page: both sides in frames, the buttons that make trouble, and for whom."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from playwright.sync_api import expect

from notifications import alert, alerts, inbox_of
from notifications.models import Alert, Op, Pending, State
from project.demo import stage
from project.demo.models import Comment, Order
from tests.test_demo_live import Demo

ANA, DANA, TOP = "ana.shop.localhost", "dana.shop.localhost", "shop.localhost"
SOON = 15_000


@pytest.fixture
def debug(settings):
    """As the demo runs; the test runner has switched DEBUG off."""
    settings.DEBUG = True
    settings.ALLOWED_HOSTS = [".localhost", "127.0.0.1", "testserver"]
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "project.demo.stage.Frames"]


def person(name, **more):
    user = get_user_model().objects.create_user(name, password="demo", **more)
    client = Client()
    client.force_login(user)
    return user, client


@pytest.mark.django_db
def test_without_debug_there_is_no_such_page():
    _dana, client = person("dana", is_staff=True, is_superuser=True)
    for path in ("/demo/", "/demo/enter/"):
        assert client.get(path).status_code == 404
    for path in ("/demo/gateway/", "/demo/cut/", "/demo/write/"):
        assert client.post(path, {"down": "1"}).status_code == 404
    assert not Alert.objects.exists()
    assert not Pending.objects.exists()


@pytest.mark.django_db
def test_only_the_page_of_the_demo_may_frame_the_two_hosts_and_nobody_any_other(debug):
    def frames(host, path="/"):
        page = Client().get(path, headers={"Host": f"{host}:8000"})
        policy = re.search(r"frame-ancestors ([^;]+)", page.headers["Content-Security-Policy"])
        return policy[1], page.headers.get("X-Frame-Options")

    for host in (ANA, DANA):
        assert frames(host) == ("http://shop.localhost:8000", None)
    for host in (TOP, "127.0.0.1", "eve.shop.localhost", "testserver"):
        assert frames(host) == ("'none'", "DENY")
    page = Client().get("/demo/", headers={"Host": f"{TOP}:8000"})
    assert (
        f"frame-src http://{ANA}:8000 http://{DANA}:8000" in page.headers["Content-Security-Policy"]
    )


@pytest.mark.django_db
def test_it_is_served_under_one_name_and_each_frame_has_its_own_person(debug):
    answer = Client().get("/demo/", headers={"Host": "127.0.0.1:8000"})
    assert answer.url == "http://shop.localhost:8000/demo/"
    assert Client().get("/demo/enter/", headers={"Host": TOP}).status_code == 404
    door = Client().get("/demo/enter/", headers={"Host": DANA}).content.decode()
    assert 'name="username" value="dana"' in door
    assert 'value="/admin/notifications/alert/"' in door


@pytest.mark.django_db
def test_a_shopper_breaks_no_gateway_and_nothing_is_done_by_looking(debug):
    _ana, client = person("ana")
    assert client.post("/demo/gateway/", {"down": "1"}).status_code == 403
    for path in ("/demo/gateway/", "/demo/cut/", "/demo/write/"):
        assert client.get(path).status_code == 405
    assert not Pending.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_shop_says_that_one_cannot_pay_and_who_is_on_it(debug):
    dana, client = person("dana", is_staff=True, is_superuser=True)
    assert Client().get("/status/").json() == {"text": ""}
    client.post("/demo/gateway/", {"down": "1"})
    alerts.position()
    assert Client().get("/status/").json() == {"text": "Payments do not work just now."}
    [one] = Alert.objects.all()
    alerts.acknowledge([one.pk], dana)
    assert Client().get("/status/").json()["text"].endswith("Dana is on it.")
    client.post("/demo/gateway/", {})
    alerts.position()
    assert Client().get("/status/").json() == {"text": ""}
    one.refresh_from_db()
    assert one.state == State.RESOLVED


@pytest.mark.django_db
def test_who_kills_sockets_kills_their_own(debug):
    ana, client = person("ana")
    client.post("/demo/cut/")
    [told] = Pending.objects.filter(op=Op.ACCESS)
    assert told.person_id == ana.pk


@pytest.mark.django_db
def test_what_is_written_meanwhile_is_about_ones_own_order(debug):
    person("dana", is_staff=True)
    ana, client = person("ana")
    _bo, other = person("bo")
    order = Order.objects.create(buyer=ana, items="A lamp", total=1)
    client.post("/demo/write/")
    assert Comment.objects.get().order == order
    other.post("/demo/write/")
    assert Comment.objects.count() == 2
    assert len(inbox_of(ana).unread()) == 2  # the order, and one comment


@pytest.mark.django_db
def test_the_code_that_is_shown_is_the_code_that_runs(debug):
    text = Client().get("/demo/", headers={"Host": TOP}).content.decode()
    assert "class OrderReceived(Notice):" in text
    assert "alert(GATEWAY, &quot;Payment gateway down&quot;" in text
    assert len(re.findall(r"\n", re.search(r"<code>(class.*?)</code>", text, re.S)[1])) < 40
    assert stage.alert is alert


@pytest.mark.timeout(180)
def test_the_first_sixty_seconds(tmp_path, the_chromium):
    """All that the page promises, clicked through as a visitor would."""
    demo = Demo(tmp_path)
    top = demo.url.replace("127.0.0.1", TOP)
    window = the_chromium.window(SimpleNamespace(url=top), locale="en-GB")
    try:
        page = window.tab("/demo/")
        ana = page.frame_locator("iframe[title^=Ana]")
        dana = page.frame_locator("iframe[title^=Dana]")
        for frame in (ana, dana):
            expect(frame.locator("notification-bell")).to_have_attribute(
                "state", "live", timeout=2 * SOON
            )
        expect(ana.locator(".lines")).to_have_text("Tabs: 1, sockets: 1", timeout=SOON)

        ana.get_by_role("button", name=re.compile("Place order")).first.click()
        expect(ana.locator(".delivered")).to_have_text(re.compile(r"Delivered in \d+ ms"))
        for frame in (ana, dana):
            expect(frame.locator(".nb-badge")).to_have_text("1", timeout=SOON)

        ana.get_by_role("button", name="Kill the socket").click()
        missed = ana.locator(".missed")
        expect(missed).to_have_text(re.compile("recovered|before anything"), timeout=2 * SOON)
        expect(ana.locator(".nb-badge")).to_have_text("2", timeout=SOON)

        dana.get_by_role("button", name="Payment gateway down", exact=True).click()
        banner = ana.locator(".banner")
        expect(banner).to_have_text("Payments do not work just now.", timeout=SOON)
        expect(dana.locator(".nb-strip")).to_be_visible(timeout=SOON)
        dana.get_by_role("button", name="Acknowledge: Payment gateway down").click()
        expect(banner).to_contain_text("Dana is on it.", timeout=SOON)
        expect(dana.locator(".nb-strip")).to_be_hidden(timeout=SOON)

        with window.context.expect_page() as second:
            ana.get_by_role("link", name="Open ana again").click()
        expect(second.value.locator(".lines")).to_have_text("Tabs: 2, sockets: 1", timeout=SOON)
        expect(second.value.locator(".nb-badge")).to_have_text("2", timeout=SOON)

        demo.manage("broadcast", "Hello, everybody", "--everyone", "--yes")
        for place in (ana, second.value):
            expect(place.locator(".nb-badge")).to_have_text("3", timeout=SOON)
        expect(dana.locator(".nb-badge")).to_have_text("2", timeout=SOON)
        assert not window.complaints, window.complaints
    finally:
        the_chromium.close_windows()
        demo.process.stop()
