"""What a page needs to ring: {% notifications_head %}, {% notification_bell %} and a list.

Anonymous visitors get nothing from any of them. Together they read the counts once per request.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.shortcuts import resolve_url
from django.template import Context, Node, TemplateSyntaxError
from django.template.base import FilterExpression, Parser, Token, token_kwargs
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.html import json_script
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from ..inbox import Inbox, Page, inbox_of
from ..wire import ADDRESS, Counts

register = template.Library()

MODULES = ("show", "feeds", "page")
"""What the start script loads when it is wanted."""
BELL_OPTIONS = {
    "app_badge",
    "badge",
    "hotkey",
    "keys",
    "level",
    "live",
    "max",
    "placement",
    "slots",
    "title_badge",
    "toasts",
}
"""Options of the bell; each is the attribute of `<notification-bell>` of the same name, but for
`slots`: a template for what goes into the element."""
POSITIONS = ("bottom-end", "bottom-start", "top-end", "top-start")


class TagNode(Node):
    """A tag that takes flags (`lazy`) and options (`badge="unread"`), and renders a template."""

    def __init__(self, name: str, flags: set[str], options: dict[str, FilterExpression]) -> None:
        self.name = name
        self.flags = flags
        self.options = options

    def render(self, context: Context) -> str:
        request = context.get("request")
        if request is None or not getattr(request, "user", None):
            return ""
        if not request.user.is_authenticated:
            return ""
        options = {name: value.resolve(context) for name, value in self.options.items()}
        build = {"head": _head, "bell": _bell, "list": _list, "toasts": _toasts}[self.name]
        values = build(request, context, "lazy" in self.flags, options)
        values |= dict.fromkeys(self.flags, True)
        with_forms = request if self.name == "list" else None
        return render_to_string(f"notifications/{self.name}.html", values, with_forms)


def _tag(tag: str, name: str, flags: set[str], options: set[str]) -> None:
    def compile_tag(parser: Parser, token: Token) -> TagNode:
        words = token.split_contents()[1:]
        given = token_kwargs(list(words), parser)
        bare = set(words[len(given) :])
        wrong = (bare - flags) | (set(given) - options)
        if wrong:
            expected = ", ".join(sorted(flags) + [f"{option}=" for option in sorted(options)])
            raise TemplateSyntaxError(
                f"{{% {tag} %}} does not know {', '.join(sorted(wrong))!r}: expected {expected}."
            )
        return TagNode(name, bare, given)

    register.tag(tag, compile_tag)


_tag("notifications_head", "head", {"lazy"}, set())
_tag("notification_bell", "bell", {"lazy", "acknowledge"}, BELL_OPTIONS)
_tag("notification_inbox", "list", set(), {"limit", "view"})
_tag("notification_toasts", "toasts", set(), {"position"})


class CompactJSON(DjangoJSONEncoder):
    """JSON for every page: without spaces, and Arabic as two bytes a letter instead of six."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"ensure_ascii": False, "separators": (",", ":")})


def _head(request: HttpRequest, context: Context, lazy: bool, options: Any) -> dict[str, Any]:
    modules = {name: static(f"notifications/min/{name}.js") for name in MODULES}
    config: dict[str, Any] = {
        "ws": ADDRESS,
        "list": reverse("notifications:list"),
        "do": reverse("notifications:do"),
        "events": reverse("notifications:events"),
        "poll": reverse("notifications:poll"),
        "inbox": reverse("notifications:inbox"),
        "login": resolve_url(settings.LOGIN_URL),
        "csrf": get_token(request),
        "lang": get_language() or settings.LANGUAGE_CODE,
        "channel": _channel(request),
        "modules": modules,
        "strings": _strings(),
    }
    if not lazy:
        counts = _counts(request, context)
        config |= {"cursor": counts.at.as_json(), "counts": counts.as_json()}
    return {
        "config": json_script(config, "nb-config", CompactJSON),
        "start": static("notifications/min/start.js"),
    }


def _bell(request: HttpRequest, context: Context, lazy: bool, options: Any) -> dict[str, Any]:
    slots = options.pop("slots", "")
    around: dict[str, Any] = {**context.flatten()}  # type: ignore[dict-item]
    flags = {
        "title-badge": options.pop("title_badge", True),
        "app-badge": options.pop("app_badge", False),
    }
    values = {
        "attributes": options,
        "flags": [name for name, is_on in flags.items() if is_on],
        "slots": slots and render_to_string(slots, around, request),
        "inbox_url": reverse("notifications:inbox"),
        "login_url": resolve_url(settings.LOGIN_URL),
        "label": _("Notifications"),
    }
    if not lazy:
        counts = _counts(request, context)
        shown = counts.unread if options.get("badge") == "unread" else counts.unseen
        limit = int(options.get("max", 99))
        values |= {
            "count": shown,
            "badge": _number(shown, limit),
            "unread": counts.unread,
        }
        if counts.unread:
            values["label"] = _("Notifications, unread: %s") % _number(counts.unread, limit)
    return values


def _toasts(request: HttpRequest, context: Context, lazy: bool, options: Any) -> dict[str, Any]:
    position = options.get("position", POSITIONS[0])
    if position not in POSITIONS:
        expected = ", ".join(POSITIONS)
        raise TemplateSyntaxError(f"no toasts at {position!r}: expected one of {expected}.")
    return {"position": position}


def _list(request: HttpRequest, context: Context, lazy: bool, options: Any) -> dict[str, Any]:
    view = options.get("view", "all")
    page = inbox(request).page(view=view, limit=int(options.get("limit", 10)))
    return {"view": view, "newest": True, **shown(page, [{"name": "", "items": page.items}])}


def shown(page: Page, days: list[dict[str, Any]]) -> dict[str, Any]:
    """What the template of the rows needs, whoever shows them."""
    return {
        "days": days if page.items else [],
        "unread_ids": ",".join(str(item.id) for item in page.items if item.unread),
        "upto": str(page.counts.at),
    }


def inbox(request: HttpRequest) -> Inbox:
    """The inbox of who asks, made once per request: it costs the look-up of their groups."""
    mine: Inbox | None = getattr(request, "_notifications_inbox", None)
    if mine is None or mine.person_id != request.user.pk or mine.language != get_language():
        mine = inbox_of(request.user)
        request._notifications_inbox = mine  # type: ignore[attr-defined]
    return mine


def _counts(request: HttpRequest, context: Context) -> Counts:
    """The counts of this page: those its view has read, else one read for all our tags."""
    counts = context.get("notification_counts") or getattr(request, "_notifications_counts", None)
    if counts is None:
        counts = inbox(request).counts()
        request._notifications_counts = counts  # type: ignore[attr-defined]
    return counts


def _number(count: int, limit: int) -> str:
    if not count:
        return ""
    return f"{limit}+" if count > limit else str(count)


def _channel(request: HttpRequest) -> str:
    """The name by which the tabs of one session find each other; it tells nobody who it is."""
    session = getattr(request, "session", None)
    key = session and session.session_key
    if not key:
        return ""  # no session to share: each tab gets its own socket
    return salted_hmac("notifications.channel", f"{key}:{request.user.pk}").hexdigest()[:32]


def _strings() -> dict[str, Any]:
    """What the scripts say. `%s` is filled in by them; no wording depends on a number."""
    return {
        "title": _("Notifications"),
        "unread": _("Notifications, unread: %s"),
        "new": _("New notifications: %s"),
        "isUnread": _("Unread: "),
        "levels": {
            "debug": "",
            "info": "",
            "success": "",
            "warning": _("Warning: "),
            "error": _("Error: "),
            "critical": _("Critical: "),
        },
        "acts": {
            "read": _("Mark as read: %s"),
            "unread": _("Mark as unread: %s"),
            "archive": _("Archive: %s"),
        },
        "lost": _("Notifications: the connection is lost."),
        "back": _("Notifications: connected again."),
    }
