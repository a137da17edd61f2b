"""System checks: what would break in production is said at start, with its remedy."""

from __future__ import annotations

from typing import Any

from channels.layers import InMemoryChannelLayer, channel_layers
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections

from .conf import conf
from .errors import ConfigurationError


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
    if configured.get("BACKEND") == "channels_redis.core.RedisChannelLayer" and _redis_is_8():
        return [
            Error(
                "redis-py 8 ends every idle socket of channels_redis.core after 5 seconds.",
                hint="Install 'redis>=7.4,<8', or use channels_redis.pubsub.",
                id="notifications.E002",
            )
        ]
    return []


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
    return found
