"""The example shop: who sees what, and who hears of it."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.urls import reverse

from notifications import inbox_of
from notifications.models import Notification
from notifications.testing import Outbox, assert_not_notified, assert_notified
from project.demo.models import Comment, Order, Product
from project.demo.notices import NewComment, OrderMoved

pytestmark = pytest.mark.django_db


def person(name, **more):
    return get_user_model().objects.create_user(name, **more)


@pytest.fixture
def ana():
    return person("ana")


@pytest.fixture
def bo():
    """A second shopper, who has no part in ana's orders unless a test gives him one."""
    return person("bo")


@pytest.fixture
def jz():
    """An outsider: no order, no comment, no staff."""
    return person("jz")


@pytest.fixture
def dana():
    return person("dana", is_staff=True, is_superuser=True)


@pytest.fixture
def lamp():
    return Product.objects.create(name="Oak desk lamp", price="49.00", picture="lamp")


def titles(user):
    """What is in a person's inbox, oldest first."""
    return [item.title for item in reversed(inbox_of(user).page().items)]


# --- Who hears of it ---------------------------------------------------------------------


def test_an_order_tells_its_buyer_and_the_staff_and_nobody_else(ana, jz, dana):
    order = Order.objects.create(buyer=ana)
    assert titles(ana) == [f"Order {order.number} received"]
    assert titles(dana) == ["New order from ana"]
    assert titles(jz) == []


def test_the_news_leads_to_the_order(ana, dana):
    order = Order.objects.create(buyer=ana)
    urls = {item.url for user in (ana, dana) for item in inbox_of(user).page().items}
    assert urls == {order.get_absolute_url()}


def test_a_new_status_tells_the_buyer_only(ana, jz, dana):
    order = Order.objects.create(buyer=ana)
    order.status = Order.Status.SHIPPED
    order.save()
    assert_notified(ana, OrderMoved, order=order, status="shipped")
    for other in (dana, jz):
        assert_not_notified(other, OrderMoved)


def test_a_save_that_changes_no_status_tells_nobody(ana, dana):
    order = Order.objects.create(buyer=ana)
    since = Outbox()
    order.items = "Two lamps"
    order.save()
    assert not list(since)


def test_each_status_keeps_the_words_it_had_when_it_was_news(ana):
    order = Order.objects.create(buyer=ana)
    for status in (Order.Status.PAID, Order.Status.SHIPPED):
        order.status = status
        order.save()
    n = order.number
    assert titles(ana)[1:] == [f"Order {n} is now: paid", f"Order {n} is now: shipped"]


def test_a_comment_tells_the_others_on_the_order_and_not_its_author(ana, jz, dana):
    order = Order.objects.create(buyer=ana)
    for author, other in ((dana, ana), (ana, dana)):
        since = Outbox()
        comment = Comment.objects.create(order=order, author=author, text="Hello.")
        since.assert_notified(other, NewComment, comment=comment)
        since.assert_not_notified(author)
        since.assert_not_notified(jz)


def test_a_comment_that_concerns_nobody_else_stores_nothing(ana):
    order = Order.objects.create(buyer=ana)
    since = Outbox()
    Comment.objects.create(order=order, author=ana, text="Hello?")
    assert not list(since)


@pytest.mark.django_db(transaction=True)
def test_an_order_that_is_rolled_back_leaves_nothing(ana, dana):
    class NoStock(Exception):
        pass

    def order_what_is_gone():
        with transaction.atomic():
            Order.objects.create(buyer=ana)
            raise NoStock

    with pytest.raises(NoStock):
        order_what_is_gone()
    assert titles(ana) == titles(dana) == []
    assert not Notification.objects.exists()


# --- Who sees what -----------------------------------------------------------------------


def test_an_outsider_does_not_find_the_order(client, ana, jz):
    order = Order.objects.create(buyer=ana)
    client.force_login(jz)
    assert client.get(order.get_absolute_url()).status_code == 404
    assert client.post(order.get_absolute_url(), {"text": "Let me in"}).status_code == 404
    assert not Comment.objects.exists()


def test_an_order_that_is_not_there_and_one_of_another_look_the_same(client, jz):
    client.force_login(jz)
    assert client.get(reverse("order", args=[1])).status_code == 404
    assert client.get(reverse("order", args=[10**30])).status_code == 404


def test_the_buyer_and_the_staff_see_the_order(client, ana, dana):
    order = Order.objects.create(buyer=ana, items="Oak desk lamp")
    for user in (ana, dana):
        client.force_login(user)
        page = client.get(order.get_absolute_url())
        assert f"Order {order.number}" in page.content.decode()


def test_my_orders_are_mine(client, ana, bo):
    mine, his = Order.objects.create(buyer=ana), Order.objects.create(buyer=bo)
    client.force_login(ana)
    page = client.get(reverse("orders")).content.decode()
    assert mine.get_absolute_url() in page
    assert his.get_absolute_url() not in page


def test_an_anonymous_visitor_sees_the_shelf_and_is_asked_to_log_in_for_more(client, ana, lamp):
    order = Order.objects.create(buyer=ana)
    assert lamp.name in client.get("/").content.decode()
    for path in (reverse("orders"), order.get_absolute_url()):
        assert client.get(path).url == f"/accounts/login/?next={path}"
    answer = client.post(reverse("place-order"), {"product": lamp.pk})
    assert answer.url == "/accounts/login/?next=/"
    assert Order.objects.count() == 1


# --- What people do ----------------------------------------------------------------------


def test_placing_an_order_comes_back_to_the_shop_and_says_its_number(client, ana, lamp):
    client.force_login(ana)
    page = client.post(reverse("place-order"), {"product": lamp.pk}, follow=True)
    order = Order.objects.get()
    assert (order.buyer, order.items, order.total) == (ana, lamp.name, 49)
    assert f"number {order.number}." in page.content.decode()


def test_a_script_that_places_an_order_is_answered_in_json(client, ana, lamp):
    client.force_login(ana)
    answer = client.post(
        reverse("place-order"), {"product": lamp.pk}, headers={"accept": "application/json"}
    )
    assert answer.status_code == 201
    assert answer.json()["url"] == Order.objects.get().get_absolute_url()


@pytest.mark.parametrize("product", ["", "no", "0", "9" * 30, "²", None])
def test_a_product_that_does_not_exist_cannot_be_ordered(client, ana, lamp, product):
    client.force_login(ana)
    form = {} if product is None else {"product": product}
    assert client.post(reverse("place-order"), form).status_code == 400
    assert not Order.objects.exists()


def test_a_get_places_no_order(client, ana, lamp):
    client.force_login(ana)
    assert client.get(reverse("place-order"), {"product": lamp.pk}).status_code == 405
    assert not Order.objects.exists()


def test_a_comment_is_written_on_the_order_page(client, ana):
    order = Order.objects.create(buyer=ana)
    client.force_login(ana)
    answer = client.post(order.get_absolute_url(), {"text": "<b>Bold</b>"})
    comment = Comment.objects.get()
    assert (comment.author, comment.order) == (ana, order)
    assert answer.url == comment.get_absolute_url()
    assert "&lt;b&gt;Bold&lt;/b&gt;" in client.get(order.get_absolute_url()).content.decode()


def test_an_empty_comment_is_refused_where_it_was_written(client, ana):
    order = Order.objects.create(buyer=ana)
    client.force_login(ana)
    answer = client.post(order.get_absolute_url(), {"text": "  "})
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert not Comment.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_operator_moves_an_order_in_the_ordinary_admin(client, ana, dana):
    order = Order.objects.create(buyer=ana, items="Oak desk lamp")
    client.force_login(dana)
    answer = client.post(
        reverse("admin:demo_order_change", args=[order.pk]),
        {"buyer": ana.pk, "items": order.items, "total": "0", "status": "shipped"},
    )
    assert answer.status_code == 302
    assert f"Order {order.number} is now: shipped" in titles(ana)


# --- What the pages are made of ----------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/orders/", "/accounts/login/"])
def test_the_policy_allows_nothing_inline_and_nothing_foreign(client, ana, path):
    if path != "/accounts/login/":
        client.force_login(ana)
    answer = client.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    page = answer.content.decode()
    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page


@pytest.mark.django_db
def test_the_policy_of_the_admin_differs_in_trusted_types_alone_and_tells_of_them(client, dana):
    client.force_login(dana)
    shop, admin = client.get("/orders/"), client.get("/admin/")
    types = "require-trusted-types-for 'script'"
    enforced = {
        answer: set(answer.headers["Content-Security-Policy"].split("; "))
        for answer in (shop, admin)
    }
    assert enforced[shop] - enforced[admin] == {types}
    assert enforced[admin] <= enforced[shop]
    assert admin.headers["Content-Security-Policy-Report-Only"] == types


def test_the_logins_are_shown_only_while_debug_is_on(client, settings):
    assert "Log in as" not in client.get("/").content.decode()
    settings.DEBUG = True
    assert "Log in as ana" in client.get("/").content.decode()


def test_logging_out_takes_a_post(client, ana):
    client.force_login(ana)
    assert client.get("/accounts/logout/").status_code == 405
    assert client.post("/accounts/logout/").url == "/"
