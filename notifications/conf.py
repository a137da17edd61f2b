"""The one reader of settings.

A project may set a dict `NOTIFICATIONS`; every key of it is a field of `Conf`, in upper case.
Unknown keys and values of the wrong type are refused at start, with a hint.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from .errors import ConfigurationError, did_you_mean


@dataclass(frozen=True)
class Conf:
    """Every setting, with its default. Times are in seconds unless the name says otherwise."""

    channel_layer: str = "default"
    """Alias of the channel layer that carries bells."""
    heartbeat: float = 25.0
    """Between two heartbeats to one socket; two without an answer close it (4103)."""
    hello_timeout: float = 10.0
    """For the first frame of a socket to come (4104)."""
    window: int = 256
    """`items` frames that a socket may have unacknowledged before it is merely behind."""
    frame_bytes: int = 32_768
    """The largest frame or request body taken from a client."""
    frames_per_second: float = 20.0
    """Frames that a socket may send in the long run (4100)."""
    frames_burst: int = 100
    """Frames that it may send at once, when it was quiet before."""
    read_limit: int = 200
    """Entries of one stream in one reading, and so in one `items` frame, at most."""
    ids_limit: int = 1_000
    """Notifications named in one action at most."""
    sockets_per_person: int = 50
    """Sockets of one person in one process (4009)."""
    sockets_per_process: int = 20_000
    """Sockets in one process (4100)."""
    session_check: float = 30.0
    """Between two looks at whether a socket's session still stands, when no bell says so."""
    drain: float = 10.0
    """Within which all sockets are sent elsewhere when the server is told to stop (4102)."""
    feed_lifetime: float = 300.0
    """After which an event stream over HTTP ends, to be opened again."""
    feed_frames: int = 1_000
    """Frames after which it ends: opening it again acknowledges them."""
    poll_wait: float = 25.0
    """How long a poll waits for news under ASGI."""
    lifetime: float = 3_600.0
    """Age at which a socket is asked to come back (4106), less up to a fifth at random."""
    collect: float = 0.004
    """Between two readings at least: bells that come meanwhile are gathered."""
    sweep: float = 5.0
    """Between two sweeps while the layer is healthy."""
    sweep_unhealthy: float = 1.0
    """Between two sweeps with the in-memory layer, or while the layer is unhealthy."""
    bell_timeout: float = 0.25
    """For one message to the channel layer."""
    presence: float = 5.0
    """Between two rows about who is connected to a process."""
    hub_threads: int = 3
    """Database threads of the hub, beside the one that reads what is pushed live."""
    metrics_token: str = ""
    """Who shows it (`Authorization: Bearer ...`) may see the metrics from elsewhere."""
    keep_days: int = 30
    """Days for which the log is kept; a client that was away for longer loads its inbox anew."""
    keep_entries: int = 1_000
    """Entries kept of one stream at most."""
    keep_ended_days: int = 0
    """Days after which what has expired, or was withdrawn, is deleted for good; 0: never."""
    list_at_once: int = 5_000
    """People of a list who are told in the caller's transaction; a longer list is only written
    down in it, and told in parts by whichever process is free."""
    keep_alert_days: int = 0
    """Days after which an alert that was resolved is deleted, with its trail; 0: never."""
    alert_repeat: float = 900.0
    """After which a critical alert that nobody has acknowledged is repeated; 0: never."""
    alert_silence: float = 0.0
    """After which an alert without a `ttl` is over, when its source has fallen silent; 0: never."""
    alertmanager_token: str = ""
    """Who shows it (`Authorization: Bearer ...`) may post alerts; empty: nobody."""
    failed_logins: int = 20
    """Failed logins to one account that make an alert, in `failed_logins_window`; 0: none do."""
    failed_logins_window: float = 300.0
    """Seconds in which failed logins are counted, by each process."""
    confirm_above: int = 100
    """Recipients from which `manage.py broadcast` asks before it sends."""

    @classmethod
    def load(cls, given: Any) -> Conf:
        """The settings in `given`; raises `ConfigurationError` for what it cannot take."""
        if not isinstance(given, dict):
            raise ConfigurationError(f"NOTIFICATIONS must be a dict, not {given!r}.")
        known = {field.name.upper(): field for field in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in given.items():
            if key not in known:
                raise ConfigurationError(
                    f"NOTIFICATIONS[{key!r}] is not a setting.{did_you_mean(str(key), known)}"
                )
            values[known[key].name] = cls._checked(key, value, known[key].default)
        return cls(**values)

    @staticmethod
    def _checked(key: str, value: Any, default: Any) -> Any:
        if isinstance(default, str):
            good = isinstance(value, str)
        else:
            types = (int, float) if isinstance(default, float) else (int,)
            good = isinstance(value, types) and not isinstance(value, bool) and value >= 0
        if not good:
            expected = "a string" if isinstance(default, str) else "a number that is not negative"
            raise ConfigurationError(f"NOTIFICATIONS[{key!r}] must be {expected}, not {value!r}.")
        return value


class _Current:
    """Attribute access to the settings in force, read once and again when tests change them."""

    @cached_property
    def _conf(self) -> Conf:
        return self.load()

    @staticmethod
    def load() -> Conf:
        """What the project has set; raises `ConfigurationError`."""
        return Conf.load(getattr(settings, "NOTIFICATIONS", {}))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conf, name)

    def forget(self, *, setting: str, **_: Any) -> None:
        if setting == "NOTIFICATIONS":
            self.__dict__.pop("_conf", None)

    # What the app needs to know of Django's own settings.

    @property
    def user_model(self) -> str:
        return settings.AUTH_USER_MODEL

    @property
    def language(self) -> str:
        """The language in which what is stored is rendered."""
        return settings.LANGUAGE_CODE

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(code for code, _ in settings.LANGUAGES)

    @property
    def session_cookie(self) -> str:
        return settings.SESSION_COOKIE_NAME

    @property
    def session_engine(self) -> ModuleType:
        return import_module(settings.SESSION_ENGINE)

    @property
    def authentication_backends(self) -> list[str]:
        return list(settings.AUTHENTICATION_BACKENDS)

    @property
    def secret_key(self) -> str:
        return settings.SECRET_KEY

    @property
    def trusted_origins(self) -> list[str]:
        return list(settings.CSRF_TRUSTED_ORIGINS)

    @property
    def secure_proxy_header(self) -> tuple[str, str] | None:
        return settings.SECURE_PROXY_SSL_HEADER

    @property
    def allowed_hosts(self) -> list[str]:
        hosts = list(settings.ALLOWED_HOSTS)
        if settings.DEBUG and not hosts:  # as django.http.HttpRequest.get_host() does
            return [".localhost", "127.0.0.1", "[::1]"]
        return hosts


conf = _Current()
setting_changed.connect(conf.forget)
