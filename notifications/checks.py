"""System checks: what would break in production is said at start, with its remedy."""

from __future__ import annotations

from typing import Any

from channels.layers import InMemoryChannelLayer, channel_layers
from django.apps import apps
from django.contrib.staticfiles import finders
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.db import DatabaseError, connections
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.urls import NoReverseMatch, reverse

from .conf import conf
from .errors import ConfigurationError
from .hq import is_in_the_way
from .stream.number import log_database


@register("notifications")
def check_settings(**_: Any) -> list[CheckMessage]:
    """NOTIFICATIONS holds nothing but the settings there are."""
    try:
        conf.load()
    except ConfigurationError as error:
        return [Error(str(error), id="notifications.E001")]
    return []


@register("notifications")
def check_layer(**_: Any) -> list[CheckMessage]:
    """The channel layer carries bells to every process, and its Redis client stays alive."""
    if check_settings():
        return []  # that is said once, and without it the layer is not known
    configured = channel_layers.configs.get(conf.channel_layer)
    if configured is None:
        return [
            Warning(
                f"There is no channel layer {conf.channel_layer!r}: other processes hear "
                "nothing, and news arrives by the sweep, up to a second late.",
                hint="Set CHANNEL_LAYERS, or NOTIFICATIONS['CHANNEL_LAYER'].",
                id="notifications.W001",
            )
        ]
    if configured.get("BACKEND") in CORE and _redis_is_8():
        return [
            Error(
                "redis-py 8 ends every idle socket of channels_redis.core after 5 seconds.",
                hint="Install 'redis>=7.4,<8', or use channels_redis.pubsub.",
                id="notifications.E002",
            )
        ]
    if configured.get("BACKEND") in CORE and capacity_of(configured) < CAPACITY:
        return [
            Warning(
                f"The core layer drops what exceeds its capacity of {capacity_of(configured)}; "
                "bells of a storm get lost, and their news comes by the sweep.",
                hint=f"Set 'capacity' to {CAPACITY} or more, or use channels_redis.pubsub.",
                id="notifications.W004",
            )
        ]
    return []


CORE = {"channels_redis.core.RedisChannelLayer", "channels_redis.RedisChannelLayer"}
CAPACITY = 1_000
"""Messages that a core layer should hold for one process."""


def capacity_of(configured: dict[str, Any]) -> int:
    """The capacity in CHANNEL_LAYERS, or else that of the layer by itself."""
    return int(configured.get("CONFIG", {}).get("capacity", 100))


def _redis_is_8() -> bool:
    import redis

    return int(redis.__version__.split(".")[0]) >= 8


@register("notifications", Tags.security, deploy=True)
def check_layer_in_production(**_: Any) -> list[CheckMessage]:
    """An in-memory layer reaches one process only."""
    if check_settings():
        return []
    configured = channel_layers.configs.get(conf.channel_layer, {})
    name = f"{InMemoryChannelLayer.__module__}.{InMemoryChannelLayer.__qualname__}"
    if configured.get("BACKEND") != name:
        return []
    return [
        Warning(
            "The in-memory channel layer reaches one process only; with several, news arrives "
            "by the sweep, up to a second late.",
            hint="Set CHANNEL_LAYERS to channels_redis.pubsub.RedisPubSubChannelLayer.",
            id="notifications.W002",
        )
    ]


@register("notifications", Tags.database)
def check_sqlite(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """SQLite waits for its one writer, instead of failing at once."""
    found: list[CheckMessage] = []
    for alias in databases or []:
        connection = connections[alias]
        if connection.vendor != "sqlite":
            continue
        options = connection.settings_dict.get("OPTIONS", {})
        if str(options.get("transaction_mode", "")).upper() != "IMMEDIATE":
            found.append(
                Warning(
                    f"Transactions on the SQLite database {alias!r} begin DEFERRED: two writers "
                    "at once fail with 'database is locked' whatever the timeout says.",
                    hint="Set OPTIONS['transaction_mode'] = 'IMMEDIATE', and journal_mode=WAL.",
                    id="notifications.W003",
                )
            )
        if journal_of(alias) not in ("wal", "memory", None):
            found.append(
                Warning(
                    f"The SQLite database {alias!r} has no WAL: whoever reads waits for whoever "
                    "writes, and the other way round.",
                    hint="Set OPTIONS['init_command'] = 'PRAGMA journal_mode=WAL;'.",
                    id="notifications.W005",
                )
            )
    return found


@register("notifications", Tags.database)
def check_table(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """The table that is ours is not that of the package with our name."""
    using = log_database()
    if using not in (databases or []) or not is_in_the_way(using):
        return []
    return [
        Error(
            "The table notifications_notification is that of django-notifications-hq.",
            hint="Run manage.py notifications_import_hq, which takes it over.",
            id="notifications.E003",
        )
    ]


def journal_of(alias: str) -> str | None:
    """The journal of a SQLite database as it is, or None if it cannot be asked."""
    try:
        with connections[alias].cursor() as cursor:
            return str(cursor.execute("PRAGMA journal_mode").fetchone()[0]).lower()
    except DatabaseError:
        return None


@register("notifications")
def check_runserver(**_: Any) -> list[CheckMessage]:
    """`runserver` is the one that speaks WebSocket."""
    names = [config.name for config in apps.get_app_configs()]
    others = {"django.contrib.staticfiles", "whitenoise.runserver_nostatic"}
    if "daphne" not in names or not others.intersection(names[: names.index("daphne")]):
        return []
    return [
        Warning(
            "daphne comes after an app that has a runserver too, so runserver speaks no WebSocket.",
            hint="Put 'daphne' first in INSTALLED_APPS.",
            id="notifications.W006",
        )
    ]


@register("notifications")
def check_urls(**_: Any) -> list[CheckMessage]:
    """The inbox has an address."""
    try:
        reverse("notifications:inbox")
    except NoReverseMatch:
        return [
            Warning(
                "The inbox has no address, and pages with a bell raise NoReverseMatch.",
                hint='Add path("notifications/", include("notifications.urls")) to the URLs.',
                id="notifications.W007",
            )
        ]
    return []


@register("notifications")
def check_templates(**_: Any) -> list[CheckMessage]:
    """The tags find out who asks."""
    found = [engine for engine in engines.all() if isinstance(engine, DjangoTemplates)]
    wanted = "django.template.context_processors.request"
    if any(wanted in engine.engine.context_processors for engine in found):
        return []
    return [
        Warning(
            "No template engine knows the request, so the bell shows nothing.",
            hint=f"Add {wanted!r} to the context processors in TEMPLATES.",
            id="notifications.W008",
        )
    ]


@register("notifications", Tags.templates)
def check_admin(**_: Any) -> list[CheckMessage]:
    """The bell is in the header of the admin."""
    admin = "django.contrib.admin"
    names = [config.name for config in apps.get_app_configs()]
    if admin not in names or names.index("notifications") < names.index(admin):
        return []
    return [
        Info(
            f"'notifications' comes after {admin!r}, so the admin has no bell in its header.",
            hint="Put 'notifications' before it in INSTALLED_APPS.",
            id="notifications.I001",
        )
    ]


SCRIPT = "notifications/min/start.js"


@register("notifications", Tags.staticfiles)
def check_static_files(**_: Any) -> list[CheckMessage]:
    """The scripts of the bell are found."""
    if apps.is_installed("django.contrib.staticfiles") and finders.find(SCRIPT):
        return []
    return [
        Warning(
            "The bell's scripts are not found by django.contrib.staticfiles.",
            hint="Add 'django.contrib.staticfiles' to INSTALLED_APPS, and AppDirectoriesFinder "
            "to STATICFILES_FINDERS.",
            id="notifications.W009",
        )
    ]
