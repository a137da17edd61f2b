"""Errors, each named for the condition it reports.

Three families. `ConfigurationError`: the project is set up wrongly; found at start.
`BadNotification`: a caller asked for something that cannot be sent; nothing was stored.
`BadRequest`: a client sent something that cannot be done; nothing was changed.

Every `NotificationError` has a `code`, a stable word for machines (the `error.code` of a
`done` frame), and a text for people that says what was expected and what came.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from django.core.exceptions import ImproperlyConfigured


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' Did you mean "editors"?' for the known word closest to `word`, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f' Did you mean "{close[0]}"?' if close else ""


class ConfigurationError(ImproperlyConfigured):
    """The project's settings or kinds are wrong; the text names the remedy."""


class NotificationError(Exception):
    """The base of every error that a caller or a client can cause."""

    code = "error"


class BadNotification(NotificationError, ValueError):
    """A notification that cannot be sent as it was asked for."""

    code = "bad_notification"


class UnknownLevel(BadNotification):
    code = "unknown_level"

    def __init__(self, level: object, known: Iterable[str]) -> None:
        known = list(known)
        super().__init__(
            f"unknown level {level!r}: expected one of {', '.join(known)}."
            + did_you_mean(str(level), known)
        )


class EmptyTitle(BadNotification):
    code = "empty_title"

    def __init__(self) -> None:
        super().__init__("a notification needs a title that is not empty.")


class FieldTooLong(BadNotification):
    code = "field_too_long"

    def __init__(self, field: str, length: int, limit: int) -> None:
        super().__init__(f"{field} is {length} characters long; at most {limit} are allowed.")


class BadField(BadNotification):
    """A field holds a value of the wrong type or form."""

    code = "bad_field"

    def __init__(self, field: str, expected: str, came: object) -> None:
        super().__init__(f"{field} must be {expected}, not {came!r}.")


class UnsafeURL(BadNotification):
    code = "unsafe_url"

    def __init__(self, url: str) -> None:
        super().__init__(
            f"unsafe url {url!r}: expected a path that starts with a single '/', "
            "or an absolute http:// or https:// address."
        )


class UnknownRecipient(BadNotification):
    code = "unknown_recipient"

    def __init__(self, came: object) -> None:
        super().__init__(
            f"unknown recipient {came!r}: expected a saved user, a list or queryset of users, "
            "or an audience such as Everyone() or Group('editors')."
        )


class UnknownName(UnknownRecipient):
    """A name that nobody has."""

    def __init__(self, noun: str, name: str, known: Iterable[str]) -> None:
        BadNotification.__init__(self, f'no {noun} named "{name}".{did_you_mean(name, known)}')


class UnknownUser(UnknownName):
    code = "unknown_user"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__("user", name, known)


class UnknownGroup(UnknownName):
    code = "unknown_group"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__("group", name, known)


class BadRequest(NotificationError, ValueError):
    """A client's frame, form or address that cannot be obeyed."""

    code = "bad_request"


class BadFrame(BadRequest):
    code = "bad_frame"


class BadCursor(BadRequest):
    code = "bad_cursor"

    def __init__(self, came: object) -> None:
        super().__init__(
            f"bad cursor {str(came)[:80]!r}: expected epoch;user=N;stream=N... "
            "or the same as a JSON object."
        )


class UnknownAction(BadRequest):
    code = "unknown_action"

    def __init__(self, action: object, known: Iterable[str]) -> None:
        known = list(known)
        super().__init__(
            f"unknown action {str(action)[:80]!r}: expected one of {', '.join(known)}."
            + did_you_mean(str(action)[:80], known)
        )


class UnknownView(BadRequest):
    code = "unknown_view"

    def __init__(self, view: object, known: Iterable[str]) -> None:
        super().__init__(f"unknown view {str(view)[:80]!r}: expected one of {', '.join(known)}.")


class Forbidden(BadRequest):
    """An action for which the person lacks a permission."""

    code = "forbidden"

    def __init__(self, permission: str) -> None:
        super().__init__(f"you need the permission {permission} for that.")


class UnknownAlert(BadRequest):
    code = "unknown_alert"

    def __init__(self, ids: Iterable[int]) -> None:
        listed = ", ".join(map(str, list(ids)[:10]))
        super().__init__(f"no such alert: {listed}.")


class AlreadyDone(BadRequest):
    """Somebody was faster: the alert is not in the state that the action begins with."""

    code = "already"

    def __init__(self, state: str, by: str) -> None:
        self.state, self.by = str(state), by
        who = f" by {by}" if by else ""
        super().__init__(f"it is {self.state} already{who}.")


class NotYours(BadRequest):
    """An action on a notification that is not in the reader's inbox, or does not exist."""

    code = "not_yours"

    def __init__(self, ids: Iterable[int]) -> None:
        listed = ", ".join(map(str, list(ids)[:10]))
        super().__init__(f"no such notification in your inbox: {listed}.")
