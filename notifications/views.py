"""The pages and the JSON of one's own inbox. Each parses, makes one call, and answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import wraps
from itertools import groupby
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_GET, require_POST

from . import alerts
from .conf import conf
from .errors import (
    AlreadyDone,
    BadFrame,
    BadRequest,
    Forbidden,
    NotificationError,
    NotYours,
    UnknownAlert,
)
from .inbox import Item, Page
from .listing import ALL, ARCHIVED, EVERYTHING, UNREAD, Search
from .models import Level
from .notices import name_of_kind
from .templatetags.notifications import inbox, shown
from .wire import Cursor, do_of, ids_of, loads

View = Callable[[HttpRequest], HttpResponse]

STATUS = {NotYours: 404, UnknownAlert: 404, Forbidden: 403, AlreadyDone: 409}
UNDO = {"read": "unread", "unread": "read", "archive": "unarchive", "unarchive": "archive"}


def _own(view: View) -> View:
    """A view of one's own inbox: never cached, and outside any transaction of the request.

    The domain opens its own transactions; numbering waits for none.
    """

    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        response = view(request)
        add_never_cache_headers(response)
        return response

    return transaction.non_atomic_requests(csrf_protect(wrapped))


# --- Pages -----------------------------------------------------------------------------


@_own
@require_GET
def inbox_page(request: HttpRequest) -> HttpResponse:
    """The inbox as a page that needs no script.

    `?view=all|unread|archived`, `&type=&level=&q=&from=&to=` to look for something, and
    `&before=`, `&after=`, `&size=` for its pages.
    """
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    mine = inbox(request)
    mine.number()
    try:
        asked = Asked.of(request.GET)
        page = mine.page(
            asked.view, asked.before, asked.size, after=asked.after, search=asked.search
        )
    except NotificationError:
        said = _("This page cannot be shown: its address is wrong.")
        context = {"view": ALL, "tabs": _tabs(Asked()), "error": said}
        return render(request, "notifications/inbox.html", context, status=400)
    return render(request, "notifications/inbox.html", _inbox_context(asked, page, mine.kinds()))


SIZES = (25, 50, 100)


@dataclass(frozen=True)
class Asked:
    """What the address of an inbox page asks for."""

    view: str = ALL
    search: Search = EVERYTHING
    size: int = SIZES[0]
    before: str | None = None
    after: str | None = None

    @classmethod
    def of(cls, query: QueryDict) -> Asked:
        """Raises `BadRequest` errors."""
        given = {name: query.get(name, "").strip() for name in ("type", "level", "q", "size")}
        search = Search(
            text=given["q"][:200],
            kind=given["type"],
            level=given["level"],
            since=_date_of(query.get("from")),
            until=_date_of(query.get("to")),
        )
        size = given["size"]
        return cls(
            query.get("view", ALL),
            search,
            int(size) if size in map(str, SIZES) else SIZES[0],
            query.get("before"),
            query.get("after"),
        )

    def url(self, **changes: Any) -> str:
        """The address of this page, or of one that differs in something."""
        asked = replace(self, **{"before": None, "after": None} | changes)
        looks = asked.search
        named: dict[str, Any] = {
            "view": "" if asked.view == ALL else asked.view,
            "type": looks.kind,
            "level": looks.level,
            "q": looks.text,
            "from": looks.since or "",
            "to": looks.until or "",
            "size": "" if asked.size == SIZES[0] else asked.size,
            "before": asked.before,
            "after": asked.after,
        }
        query = urlencode({name: value for name, value in named.items() if value})
        return reverse("notifications:inbox") + (query and f"?{query}")


def _date_of(text: str | None) -> date | None:
    """A day as a date field sends it; raises `BadRequest`."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.max
    if not 1900 < day.year < 9000:
        raise BadRequest(f"bad date {text[:40]!r}: expected YYYY-MM-DD.")
    return day


def _inbox_context(asked: Asked, page: Page, kinds: list[str]) -> dict[str, Any]:
    looks = asked.search
    here = page.after is None
    live = here and not looks.until
    # What the page itself can tell of something new: whether it belongs here.
    fits = {"type": looks.kind, "level": looks.level, "q": looks.text.lower()}
    return {
        "view": asked.view,
        "tabs": _tabs(asked),
        **shown(page, _days(page.items)),
        "notification_counts": page.counts,
        "newest": live,
        "fits": json.dumps({name: value for name, value in fits.items() if value}) if looks else "",
        "search": looks,
        "size": asked.size,
        "sizes": SIZES,
        "kinds": [(kind, name_of_kind(kind)) for kind in sorted({*kinds, looks.kind} - {""})],
        "levels": [(level.word, level.label) for level in Level],
        "all_url": asked.url(search=EVERYTHING),
        "newest_url": "" if here else asked.url(),
        "newer_url": page.after and asked.url(after=page.after),
        "older_url": page.before and asked.url(before=page.before),
        "is_whole": here and not page.before,
    }


def _tabs(asked: Asked) -> list[dict[str, Any]]:
    labels = {ALL: _("All"), UNREAD: _("Unread"), ARCHIVED: _("Archived")}
    return [
        {"label": label, "url": asked.url(view=view), "current": view == asked.view}
        for view, label in labels.items()
    ]


def _days(items: list[Item]) -> list[dict[str, Any]]:
    """The items by day, in the reader's time zone."""
    return [
        {"name": _day_name(day), "items": list(group)}
        for day, group in groupby(items, lambda item: _day_of(item.created))
    ]


def _day_of(moment: datetime) -> date:
    return (timezone.localtime(moment) if timezone.is_aware(moment) else moment).date()


def _day_name(day: date) -> str:
    today = _day_of(timezone.now())
    if day == today:
        return _("Today")
    if day == today - timedelta(days=1):
        return _("Yesterday")
    return date_format(day)


@dataclass(frozen=True)
class Wish:
    """What a form of the inbox page asks for."""

    action: str
    ids: list[int] | None = None
    upto: Cursor | None = None
    undo: list[int] | None = None
    """Of `ids`, those that Undo would bring back."""
    opens: bool = False

    @classmethod
    def of(cls, form: Any) -> Wish:
        """Read the button that was pressed; raises `BadRequest` errors."""
        if "open" in form:
            return cls("read", _ids([form["open"]]), opens=True)
        if "undo" in form:
            action, _colon, ids = form["undo"].partition(":")
            return cls(action, _ids(ids.split(",")))
        action = form.get("action", "")
        if action == "read_all":
            return cls(action, upto=Cursor.parse(form.get("upto", "")))
        if "one" in form:
            action, _colon, one = form["one"].partition(":")
            ids = _ids([one])
        else:
            ids = _ids(form.getlist("ids"))
        unread = set(form.get("unread", "").split(","))
        undo = {
            "read": [id for id in ids if str(id) in unread],
            "unread": [id for id in ids if str(id) not in unread],
        }.get(action, ids)
        return cls(action, ids, undo=undo)


def _ids(texts: list[str]) -> list[int]:
    if not all(text.isascii() and text.isdigit() and len(text) < 20 for text in texts):
        raise BadFrame("ids must be positive whole numbers.")
    return ids_of([int(text) for text in texts])


@_own
@require_POST
def act(request: HttpRequest) -> HttpResponse:
    """The plain forms: do it, say so with an Undo, and go back to where the person was."""
    if not request.user.is_authenticated:
        return redirect_to_login(reverse("notifications:inbox"))
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts=None):
        back = reverse("notifications:inbox")
    try:
        wish = Wish.of(request.POST)
        if wish.ids == []:
            messages.warning(request, _("Nothing was selected."), fail_silently=True)
            return _see_other(back)
        changed = inbox(request).act(wish.action, wish.ids, wish.upto)
    except NotificationError as error:
        messages.error(request, _said(error), fail_silently=True)
        return _see_other(back)
    if wish.opens and wish.ids:
        return _see_other(inbox(request).url_of(wish.ids[0]) or back)
    messages.success(request, _done(wish, changed), fail_silently=True)
    return _see_other(back)


def _done(wish: Wish, changed: int) -> str:
    said = {
        "read": _("Marked as read: %s."),
        "unread": _("Marked as unread: %s."),
        "archive": _("Archived: %s."),
        "unarchive": _("Moved to the inbox: %s."),
        "read_all": _("Marked as read: %s."),
        "seen": _("Done."),
    }[wish.action].replace("%s", "99+" if wish.upto and changed > 99 else str(changed))
    if not wish.undo or not changed:
        return said
    ids = ",".join(map(str, wish.undo))
    return format_html(
        '{} <button type="submit" form="nb-undo" name="undo" value="{}:{}">{}</button>',
        said,
        UNDO[wish.action],
        ids,
        _("Undo"),
    )


def _see_other(url: str) -> HttpResponseRedirect:
    response = HttpResponseRedirect(url)
    response.status_code = 303
    return response


def _said(error: NotificationError) -> str:
    """An error in words for the person in front of the page; `str(error)` is for programs."""
    if isinstance(error, NotYours):
        return _("That notification is no longer in your inbox. Nothing was changed.")
    return _("That could not be done. Nothing was changed.")


# --- JSON ------------------------------------------------------------------------------


def _json(view: View) -> View:
    """Answer in JSON, also to the anonymous and in error."""

    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        if not request.user.is_authenticated:
            return _refused("login_required", "log in first.", 401)
        try:
            return view(request)
        except NotificationError as error:
            status = STATUS.get(type(error), 400)
            return _refused(error.code, str(error), status)

    return wrapped


def _refused(code: str, detail: str, status: int) -> JsonResponse:
    body = {"ok": False, "error": {"code": code, "detail": detail}}
    return JsonResponse(body, status=status)


@_own
@require_GET
@_json
def inbox_list(request: HttpRequest) -> HttpResponse:
    """One page of the inbox, asked for as `inbox_page` is."""
    asked = Asked.of(request.GET)
    mine = inbox(request)
    mine.number()
    page = mine.page(asked.view, asked.before, asked.size, after=asked.after, search=asked.search)
    return JsonResponse(
        {
            "items": [item.as_json() for item in page.items],
            "before": page.before,
            "after": page.after,
            "counts": page.counts.as_json(),
        }
    )


@_own
@require_POST
@_json
def do(request: HttpRequest) -> HttpResponse:
    """The `do` of the wire protocol over HTTP; the body is the same JSON."""
    body = request.read(conf.frame_bytes + 1)  # not all of it: it need not say how long it is
    if len(body) > conf.frame_bytes:
        return _refused("too_large", f"at most {conf.frame_bytes} bytes.", 413)
    wish = do_of(loads(body))
    mine = inbox(request)
    alerts.obey(mine, wish)
    mine.number()
    return JsonResponse({"ok": True, "counts": mine.counts().as_json()})
