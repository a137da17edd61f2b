"""Failed logins over a threshold, as an alert.

Counted in memory, by each process for itself: an attack costs the database a few rows, and the
login nothing. What people type is not stored. An account is named only if there is one of that
name, since some type their password into that field.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_login_failed
from django.utils import translation
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from .alerts import Alarm
from .conf import conf
from .logging import reporter

ACCOUNTS = 10_000
"""Names that are counted at once; the one that was tried longest ago goes first."""
ALL = 10
"""So many times the threshold of one account is that of all together."""


class _Tries:
    """Failed logins in the window that is open, by a hash of the name; and all together."""

    def __init__(self) -> None:
        self.counts: OrderedDict[str, int] = OrderedDict()
        self.all = 0
        self.begun = time.monotonic()

    def count(self, name: str) -> tuple[int, int]:
        now = time.monotonic()
        if now > self.begun + conf.failed_logins_window:
            self.counts.clear()
            self.all, self.begun = 0, now
        self.all += 1
        self.counts[name] = count = self.counts.pop(name, 0) + 1
        while len(self.counts) > ACCOUNTS:
            self.counts.popitem(last=False)
        return count, self.all


_tries = _Tries()


def watch_logins() -> None:
    """Called at start."""
    user_login_failed.connect(_failed)


def _failed(credentials: dict[str, Any], **_: Any) -> None:
    threshold = conf.failed_logins
    if not threshold:
        return
    field = get_user_model().USERNAME_FIELD
    name = str(credentials.get(field, credentials.get("username", "")))[:200]
    given = name.casefold().encode("utf-8", "replace")
    mark = salted_hmac("notifications.logins", given).hexdigest()[:16]
    count, all_together = _tries.count(mark)
    if count % threshold == 0:
        key = f"failed-logins-{mark}"
        reporter.add(key, lambda: _of_account(key, name, threshold), threshold, later=True)
    many = threshold * ALL
    if all_together % many == 0:
        reporter.add("failed-logins", lambda: _of_all(many), many, later=True)


def _alarm(key: str, title: str, body: str = "") -> Alarm:
    """Over by itself when there was peace for two windows."""
    ttl = max(1.0, 2 * conf.failed_logins_window)
    return Alarm(key, title, body=body, level="warning", source="logins", ttl=ttl)


def _of_account(key: str, name: str, number: int) -> Alarm:
    with translation.override(conf.language):
        title = _("Failed logins to one account: %(number)s and more") % {"number": number}
        known = _known(name)
        body = _("Account: %(name)s") % {"name": known} if known else _("No such account.")
        return _alarm(key, title, body)


def _of_all(number: int) -> Alarm:
    with translation.override(conf.language):
        title = _("Failed logins to many accounts: %(number)s and more") % {"number": number}
        return _alarm("failed-logins", title)


def _known(name: str) -> str:
    """The name of the account that was meant; empty if there is none."""
    model = get_user_model()
    try:
        return str(model._default_manager.get_by_natural_key(name).get_username())
    except Exception:  # there is none, or the name is no name at all
        return ""
