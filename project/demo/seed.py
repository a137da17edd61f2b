"""The people, goods and first order that the demo opens with. Running it again adds nothing."""

from dataclasses import dataclass
from decimal import Decimal

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from notifications import inbox_of

from .models import Comment, Order, Product

GOODS = [
    ("Oak desk lamp", "Warm light, one knob, no app.", "49.00", Product.Picture.LAMP),
    ("Linen notebook", "192 pages that lie flat.", "14.50", Product.Picture.NOTEBOOK),
    ("Stoneware mug", "Holds 350 ml, and the heat.", "18.00", Product.Picture.MUG),
]


@dataclass(frozen=True)
class Login:
    username: str
    role: str | Promise
    start: str
    staff: bool = False
    password: str = "demo"


LOGINS = [
    Login("ana", _("a shopper"), start="/"),
    Login("dana", _("an operator"), start="/admin/", staff=True),
]


def seed() -> None:
    with transaction.atomic():
        people = {login.username: person(login) for login in LOGINS}
        editors, _created = Group.objects.get_or_create(name="editors")
        people["ana"].groups.add(editors)
        for name, text, price, picture in GOODS:
            Product.objects.get_or_create(
                name=name, defaults={"text": text, "price": Decimal(price), "picture": picture}
            )
        fresh = not Order.objects.exists()
        if fresh:
            first_order(people["ana"], people["dana"])
    if fresh:
        # The demo starts with a quiet bell, so that the first ring is the visitor's own.
        for user in people.values():
            inbox = inbox_of(user)
            inbox.number()
            inbox.act("read_all", upto=inbox.counts().at)


def person(login: Login):
    user, created = get_user_model().objects.get_or_create(
        username=login.username,
        defaults={
            "first_name": login.username.title(),
            "email": f"{login.username}@shop.localhost",
            "is_staff": login.staff,
            "is_superuser": login.staff,
        },
    )
    if created:
        user.set_password(login.password)
        user.save()
    return user


def first_order(buyer, operator) -> None:
    lamp = Product.objects.get(name=GOODS[0][0])
    order = Order.objects.create(buyer=buyer, items=lamp.name, total=lamp.price)
    Comment.objects.create(
        order=order, author=operator, text="It leaves us tomorrow. Tell us if the bulb hums."
    )
