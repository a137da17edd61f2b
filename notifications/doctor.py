"""What is wrong with a site, found by trying it: `manage.py notifications_doctor`.

System checks read the settings; this asks the database, rings through the layer, opens a socket
in the project's own ASGI application and renders the project's own template. It changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

import django
from channels.layers import get_channel_layer
from channels.routing import get_default_application
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.checks import run_checks
from django.db import DatabaseError, InterfaceError, connections
from django.db.migrations.executor import MigrationExecutor
from django.template import TemplateDoesNotExist, TemplateSyntaxError, engines
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from .conf import conf
from .errors import ConfigurationError
from .models import Process
from .stream import bell
from .stream.hub import Hub
from .stream.number import log_database
from .wire import ADDRESS, SUBPROTOCOL, Close

PATIENCE = 5.0
"""Seconds for each thing that may hang."""
SCRIPT = "notifications/min/start.js"


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, whether it is well, what was found, and what to do."""

    name: str
    ok: bool
    said: str
    remedy: str = ""


def about() -> str:
    """The versions that a question to somebody else should name."""
    try:
        ours = version("django-live-notifications")
    except PackageNotFoundError:
        ours = "from a checkout"
    return f"notifications {ours}, Django {django.__version__}, channels {version('channels')}"


def examine(origin: str | None = None) -> Iterator[Finding]:
    """Everything, one after the other. Never raises for what it finds."""
    try:
        conf.load()
    except ConfigurationError as error:
        yield Finding("settings", False, str(error), "Mend NOTIFICATIONS in the settings.")
        return  # nothing below can be asked
    yield from checks()
    database = list(the_database())
    yield from database
    yield from the_layer()
    if all(finding.ok for finding in database):  # without one there is no use in knocking
        yield the_processes()
        yield from the_socket(origin)
    yield the_template()
    yield static_files()


# --- System checks -----------------------------------------------------------------------


def checks() -> Iterator[Finding]:
    """What Django's own checks say of us."""
    found = run_checks(tags=["notifications"], databases=[log_database()])
    serious = [one for one in found if not one.is_silenced()]
    if not serious:
        yield Finding("settings", True, "the system checks find nothing")
    for one in serious:
        yield Finding("settings", False, f"{one.msg} ({one.id})", one.hint or "")


# --- The database ------------------------------------------------------------------------


def the_database() -> Iterator[Finding]:
    using = log_database()
    connection = connections[using]
    began = time.perf_counter()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
            began = time.perf_counter()  # without the time to connect
            cursor.execute("SELECT 1")
            cursor.fetchone()
    except (DatabaseError, InterfaceError) as error:
        said = f"{connection.vendor} {using!r} does not answer: {_line(error)}"
        yield Finding("database", False, said, "Start it, or mend DATABASES.")
        return
    took = (time.perf_counter() - began) * 1000
    yield Finding("database", True, f"{connection.vendor} {using!r} answers in {took:.2f} ms")
    plan = MigrationExecutor(connection)
    targets = [key for key in plan.loader.graph.leaf_nodes() if key[0] == "notifications"]
    steps = [step for step, _ in plan.migration_plan(targets)]
    missing = [step.name for step in steps if step.app_label == "notifications"]
    if missing:
        said = f"not applied: {', '.join(missing)}"
        yield Finding("migrations", False, said, "Run manage.py migrate.")
    else:
        yield Finding("migrations", True, "all applied")


def the_processes() -> Finding:
    """The servers that run now, and whether they can hear each other."""
    running = Process.objects.using(log_database()).fresh().count()
    people, sockets = Process.objects.using(log_database()).online()
    said = f"{running} running, about {people} people with {sockets} sockets"
    if running > 1 and bell.layer() is None:
        return Finding(
            "processes",
            False,
            f"{said}, and no layer between them: news of another process comes by the sweep, up "
            "to a second late",
            "Set CHANNEL_LAYERS to channels_redis.pubsub.RedisPubSubChannelLayer.",
        )
    return Finding("processes", True, said)


# --- The layer ---------------------------------------------------------------------------


def the_layer() -> Iterator[Finding]:
    """Ring ourselves through the channel layer, as a hub does."""
    layer = get_channel_layer(conf.channel_layer)
    name = type(layer).__name__
    if bell.layer() is None:
        yield Finding("layer", True, f"{name if layer else 'none'}: enough for one server process")
        return

    async def ring() -> float:
        layer = get_channel_layer(conf.channel_layer)
        assert layer is not None
        channel = await layer.new_channel("notifications-doctor")
        await layer.group_add("notifications.doctor", channel)
        times = []
        try:
            for _ in range(5):
                began = time.perf_counter()
                await layer.group_send("notifications.doctor", {"type": "notifications.doctor"})
                await layer.receive(channel)
                times.append((time.perf_counter() - began) * 1000)
        finally:
            await layer.group_discard("notifications.doctor", channel)
        return sorted(times)[len(times) // 2]

    try:
        took = asyncio.run(asyncio.wait_for(ring(), PATIENCE))
    except TimeoutError:
        said = f"{name} does not answer within {PATIENCE:.0f} s"
        yield Finding("layer", False, said, "See whether Redis hangs; bells rest until it is back.")
    except Exception as error:  # whatever a layer raises
        said = f"{name}: {type(error).__name__}: {_line(error)}"
        yield Finding("layer", False, said, "Start Redis, or mend CHANNEL_LAYERS.")
    else:
        yield Finding("layer", True, f"{name} carries a bell in {took:.2f} ms")


# --- The socket --------------------------------------------------------------------------


def the_socket(origin: str | None) -> Iterator[Finding]:
    """Knock at the project's ASGI application without a login, as a page of `origin` would."""
    if not getattr(settings, "ASGI_APPLICATION", None):
        yield Finding(
            "socket",
            False,
            "ASGI_APPLICATION is not set: under WSGI there is no socket, and the bell polls",
            "Fine if you mean it; else set ASGI_APPLICATION, and serve it with uvicorn or daphne.",
        )
        return
    try:
        application = get_default_application()
    except Exception as error:  # the project's own module: it may raise anything
        yield Finding("socket", False, _line(error), "Mend the module that ASGI_APPLICATION names.")
        return
    for one in [origin] if origin else origins():
        yield asyncio.run(_knock(application, one))


def origins() -> list[str]:
    """Where pages may come from, as far as the settings name it."""
    named = [one for one in conf.trusted_origins if "*" not in one]
    hosts = [one for one in conf.allowed_hosts if not one.startswith((".", "*"))]
    scheme = "https" if conf.secure_proxy_header else "http"
    return named or [f"{scheme}://{host}" for host in hosts[:1]] or ["http://localhost"]


async def _knock(application: Callable[..., Awaitable[Any]], origin: str) -> Finding:
    parts = urlsplit(origin)
    headers = [(b"host", parts.netloc.encode()), (b"origin", origin.encode())]
    if conf.secure_proxy_header and parts.scheme == "https":
        name, value = conf.secure_proxy_header
        name = name.removeprefix("HTTP_").replace("_", "-").lower()
        headers.append((name.encode(), value.encode()))
    scope = {
        "type": "websocket",
        "path": ADDRESS,
        "raw_path": ADDRESS.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "ws",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "subprotocols": [SUBPROTOCOL],
        "headers": headers,
    }
    said: list[dict[str, Any]] = []
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    messages.put_nowait({"type": "websocket.connect"})

    async def send(message: dict[str, Any]) -> None:
        said.append(message)
        if message["type"] == "websocket.close":
            messages.put_nowait({"type": "websocket.disconnect", "code": message.get("code")})

    try:
        await asyncio.wait_for(application(scope, messages.get, send), PATIENCE)
    except TimeoutError:
        pass
    except Exception as error:
        if not said:
            return Finding(
                "socket",
                False,
                f"{ADDRESS} leads nowhere: {_line(error)}",
                "Route websocket to notifications.routing.websocket in asgi.py.",
            )
    finally:
        await _forget_the_hub()
    code = next((one.get("code") for one in said if one["type"] == "websocket.close"), None)
    if code == Close.LOGIN_REQUIRED:
        return Finding("socket", True, f"{ADDRESS} answers a page of {origin}")
    if code == Close.FORBIDDEN_ORIGIN:
        return Finding(
            "socket",
            False,
            f"a page of {origin} may not open it",
            f"Have {parts.hostname!r} in ALLOWED_HOSTS; behind a proxy that ends TLS, also "
            f"{origin!r} in CSRF_TRUSTED_ORIGINS.",
        )
    return Finding(
        "socket",
        False,
        f"{ADDRESS} is answered by something else (close code {code})",
        "Have nothing before notifications.routing.websocket_urlpatterns that takes this address, "
        "and no middleware around them.",
    )


async def _forget_the_hub() -> None:
    """Knocking woke a hub in this process, which is no server."""
    hub = Hub.running()
    if hub is None:
        return
    await hub.aclose()

    def forget() -> None:
        try:
            Process.objects.using(log_database()).filter(pk=hub.id).delete()
        except (DatabaseError, InterfaceError):
            pass  # then it was not written either
        finally:
            connections.close_all()

    await asyncio.to_thread(forget)


# --- Pages -------------------------------------------------------------------------------


def the_template() -> Finding:
    """Render what the inbox page extends, and see that it lets us in."""
    page = (
        '{% extends "notifications/base.html" %}'
        "{% block head %}[head]{% endblock %}{% block content %}[content]{% endblock %}"
    )
    request = RequestFactory().get("/", HTTP_HOST="localhost")
    request.user = AnonymousUser()
    request.session = SimpleLazyObject(dict)  # type: ignore[assignment]
    remedy = (
        "Have a base.html with the blocks title, head and content, or override "
        "notifications/base.html."
    )
    try:
        text = engines.all()[0].from_string(page).render({}, request)
    except (TemplateDoesNotExist, TemplateSyntaxError, IndexError) as error:
        return Finding("template", False, f"the inbox page: no template {_line(error)}", remedy)
    except Exception as error:  # the project's template may want what only its views give
        said = f"base.html wants more than a request: {type(error).__name__}: {_line(error)}"
        return Finding("template", False, said, remedy)
    missing = [name for name in ("head", "content") if f"[{name}]" not in text]
    if missing:
        said = f"base.html has no block {' and no block '.join(missing)}"
        return Finding("template", False, said, remedy)
    return Finding("template", True, "the inbox page finds its place in base.html")


def static_files() -> Finding:
    """The scripts of the bell, as pages of this site link to them."""
    try:
        url = staticfiles_storage.url(SCRIPT)
        there = settings.DEBUG or staticfiles_storage.exists(SCRIPT)
    except Exception as error:  # a manifest without it, or a storage that is set up wrongly
        url, there = _line(error), False
    if there:
        return Finding("static files", True, url)
    return Finding("static files", False, f"not collected: {url}", "Run manage.py collectstatic.")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
