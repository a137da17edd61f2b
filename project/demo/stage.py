"""The demo on one page: the shop and the admin side by side, and buttons that make trouble.

Each frame has a host name of its own, and so a session of its own. Where DEBUG is off none of
this exists.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required, permission_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from notifications import alert, resolve
from notifications.audiences import disconnect
from notifications.models import Alert, State

from . import notices
from .models import Comment, Order
from .seed import LOGINS

HOST = "shop.localhost"
PEOPLE = {f"{login.username}.{HOST}": login for login in LOGINS}
GATEWAY = "payments-down"


def demo_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(view)
    def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not settings.DEBUG:
            raise Http404
        return view(request, **kwargs)

    return wrapped


def host_of(request: HttpRequest) -> str:
    return request.get_host().partition(":")[0]


def address(request: HttpRequest, host: str, path: str = "") -> str:
    """Where somebody's frame is, on the port of this page."""
    port = request.get_host().partition(":")[2]
    return f"{request.scheme}://{host}{port and ':'}{port}{path}"


class Frames:
    """Middleware: lets the demo's own page, and nobody else, put the two hosts into frames."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if settings.DEBUG and host_of(request) in PEOPLE:
            response.xframe_options_exempt = True  # type: ignore[attr-defined]
            replaced = getattr(response, "_csp_replace", None) or {}
            allowed = {"frame-ancestors": [address(request, HOST)]}
            response._csp_replace = {**replaced, **allowed}  # type: ignore[attr-defined]
        return response


@demo_only
@require_safe
def stage(request: HttpRequest) -> HttpResponse:
    """The page with the two frames."""
    if host_of(request) != HOST:
        return redirect(address(request, HOST, reverse("stage")))
    enter = reverse("enter")
    frames = [
        {"login": login, "host": address(request, host), "url": address(request, host, enter)}
        for host, login in PEOPLE.items()
    ]
    code = [notices.OrderReceived, notices.order_placed, gateway]
    context = {"frames": frames, "code": "\n\n".join(map(inspect.getsource, code))}
    response = render(request, "demo/stage.html", context)
    response._csp_update = {"frame-src": [frame["host"] for frame in frames]}  # type: ignore[attr-defined]
    return response


@demo_only
@require_safe
def enter(request: HttpRequest) -> HttpResponse:
    """The door of a frame: a form that logs its person in. Its script presses the button."""
    login = PEOPLE.get(host_of(request))
    if login is None:
        raise Http404
    start = reverse("admin:notifications_alert_changelist") if login.staff else login.start
    if request.user.is_authenticated:
        return redirect(start)
    return render(request, "demo/enter.html", {"login": login, "start": start})


@demo_only
@require_POST
@permission_required("notifications.change_alert", raise_exception=True)
def gateway(request: HttpRequest) -> HttpResponse:
    if request.POST.get("down"):
        alert(GATEWAY, "Payment gateway down", level="critical", source="payments")
    else:
        resolve(GATEWAY, "The gateway answers again")
    return redirect("admin:notifications_alert_changelist")


@require_safe
def status(request: HttpRequest) -> HttpResponse:
    """Whether one can pay, for the banner of the shop."""
    response = JsonResponse({"text": payments()})
    add_never_cache_headers(response)
    return response


def payments() -> str:
    """The banner of the shop; empty while one can pay."""
    found = Alert.objects.filter(key=GATEWAY).exclude(state=State.RESOLVED).first()
    if found is None:
        return ""
    if found.state == State.FIRING:
        return _("Payments do not work just now.")
    return _("Payments do not work just now. %s is on it.") % found.by.title()


@demo_only
@require_POST
@login_required
def cut(request: HttpRequest) -> HttpResponse:
    """End the sockets of who asks, in every tab and every server process."""
    disconnect([request.user])
    return redirect("shop")


@demo_only
@require_POST
@login_required
def write(request: HttpRequest) -> HttpResponse:
    """An operator writes about the newest order of who asks: something to miss, while the line
    is cut."""
    order = request.user.orders.order_by("-pk").first() or Order.objects.create(
        buyer=request.user, items="—", total=0
    )
    operator = get_user_model().objects.exclude(pk=request.user.pk).filter(is_staff=True).first()
    text = _("Written while your line was cut.")
    Comment.objects.create(order=order, author=operator or request.user, text=text)
    return redirect("shop")
