"""`manage.py demo`, without the serving: that is in the end-to-end tests."""

from __future__ import annotations

import socket

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command

from notifications import inbox_of
from project.demo.models import Order, Product

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def debug(settings):
    settings.DEBUG = True


def test_it_brings_the_people_the_group_and_the_goods(debug):
    call_command("demo", "--seed-only")
    ana = authenticate(username="ana", password="demo")
    dana = authenticate(username="dana", password="demo")
    assert (ana.is_staff, ana.is_superuser) == (False, False)
    assert (dana.is_staff, dana.is_superuser) == (True, True)
    assert Group.objects.filter(name="editors").exists()
    assert Product.objects.exists()


def test_a_second_run_adds_nothing(debug):
    def everything():
        return {model: list(model.objects.values()) for model in (Product, Order, Group)}

    call_command("demo", "--seed-only")
    first = everything()
    call_command("demo", "--seed-only")
    assert everything() == first


def test_a_second_run_keeps_a_password_that_was_changed(debug):
    call_command("demo", "--seed-only")
    ana = authenticate(username="ana", password="demo")
    ana.set_password("better than demo")
    ana.save()
    call_command("demo", "--seed-only")
    assert authenticate(username="ana", password="better than demo")


def test_the_demo_opens_with_a_quiet_bell(debug):
    call_command("demo", "--seed-only")
    for name in ("ana", "dana"):
        inbox = inbox_of(authenticate(username=name, password="demo"))
        assert inbox.page().items, "an inbox that is empty shows little"
        counts = inbox.counts()
        assert (counts.unseen, counts.unread) == (0, 0)


def test_it_refuses_when_debug_is_off(settings):
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG off"):
        call_command("demo", "--seed-only")
    assert authenticate(username="ana", password="demo") is None


def test_a_taken_port_is_named_before_anything_is_done(debug):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CommandError, match=f"port {port} is taken"):
            call_command("demo", "--port", str(port))
    assert not Product.objects.exists()


@pytest.mark.parametrize("port", ["0", "65536", "-1", "eighty", "", "8000.5"])
def test_a_port_that_is_none_is_refused(debug, port):
    with pytest.raises(CommandError, match="is not a port"):
        call_command("demo", f"--port={port}")
