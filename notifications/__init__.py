"""Notifications for Django: in the database first, then at once in every open browser."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .alerts import Alarm, AllClear, aalert, alert, aresolve, resolve
    from .audiences import Audience, Everyone, Group, Staff, Users
    from .inbox import inbox_of
    from .notices import Notice
    from .notify import abroadcast, anotify, broadcast, notify
    from .rules import notify_on

# Imported at first use: most of it needs the app registry, and settings import this package.
_HOMES = {
    "Alarm": "alerts",
    "AllClear": "alerts",
    "Audience": "audiences",
    "Everyone": "audiences",
    "Group": "audiences",
    "Notice": "notices",
    "Staff": "audiences",
    "Users": "audiences",
    "aalert": "alerts",
    "abroadcast": "notify",
    "alert": "alerts",
    "anotify": "notify",
    "aresolve": "alerts",
    "broadcast": "notify",
    "inbox_of": "inbox",
    "notify": "notify",
    "notify_on": "rules",
    "resolve": "alerts",
}

__all__ = [
    "Alarm",
    "AllClear",
    "Audience",
    "Everyone",
    "Group",
    "Notice",
    "Staff",
    "Users",
    "aalert",
    "abroadcast",
    "alert",
    "anotify",
    "aresolve",
    "broadcast",
    "inbox_of",
    "notify",
    "notify_on",
    "resolve",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


class _Package(ModuleType):
    """Keeps `notify` the function, when the import system sets it to the module of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "notify" and isinstance(value, ModuleType):
            value = value.notify
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
