"""The WebSocket `/ws/notifications/`: who is there, and what they say."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from sys import intern
from typing import Any
from urllib.parse import urlsplit

from django.db import DatabaseError, InterfaceError
from django.http.cookie import parse_cookie
from django.http.request import split_domain_port, validate_host

from . import alerts, wire
from .audiences import authenticate, ended_sessions
from .conf import conf
from .errors import BadRequest
from .inbox import Inbox
from .log import log
from .notices import render
from .stream.hub import Above, Hub
from .stream.number import number
from .stream.read import Subscription
from .stream.socket import GONE, Socket
from .wire import Close, Counts

logger = logging.getLogger("notifications")

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Refused(Exception):
    """The socket is closed with a code."""

    def __init__(self, code: Close) -> None:
        self.code = code


class NotificationConsumer:
    """The ASGI application for browsers' sockets. One for all of them: it keeps nothing of any.

    It reads a socket in a plain loop, where Channels would hop into a thread for every message
    to look after database connections: here nothing but the hub's threads has any. What is
    pushed goes from the hub straight to the server's `send`.

    Most sockets wait for most of their time. What they say first is heard in coroutines of its
    own, so that only the loop stays in memory.
    """

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        hub = the_hub()
        socket = await self._admitted(hub, scope, send)
        del scope  # a router's copy, perhaps, and as large as a socket
        if socket is None:
            return
        code = None
        try:
            code = await self._welcomed(hub, socket, receive)
            while code is None:
                message = await receive()
                if message["type"] == "websocket.receive":
                    await self._obey(hub, socket, message)
                else:
                    code = _code_of(message)
                del message  # it may be long until the next one
        except OSError:
            code = GONE
        except Exception as error:
            await self._give_up(hub, socket, error)
        finally:
            hub.detach(socket, code)

    async def _admitted(self, hub: Hub, scope: dict[str, Any], send: Send) -> Socket | None:
        """The socket of somebody who may come in; who may not is told why."""
        offered = wire.SUBPROTOCOL in scope.get("subprotocols", [])
        # Refusals too are accepted first: browsers hide the code of a refused handshake.
        await send(
            {
                "type": "websocket.accept",
                "subprotocol": wire.SUBPROTOCOL if offered else None,
            }
        )
        try:
            socket = await self._authenticated(hub, scope, send)
        except Refused as refused:
            hub.stats[f"closed_{int(refused.code)}"] += 1
            log("refuse", code=int(refused.code), reason=refused.code.name.lower())
            await send({"type": "websocket.close", "code": int(refused.code)})
            return None
        socket.version = wire.SUBPROTOCOL if offered else ""
        return socket

    async def _authenticated(self, hub: Hub, scope: dict[str, Any], send: Send) -> Socket:
        """The socket of somebody who may come in; raises `Refused`."""
        key = session_key(scope)
        if not same_origin(scope):
            raise Refused(Close.FORBIDDEN_ORIGIN)
        if key is None:
            raise Refused(Close.LOGIN_REQUIRED)
        try:
            subscription = await hub.authenticate(key)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("login: %s", str(error).strip())
            raise Refused(Close.SERVER_ERROR) from error
        if isinstance(subscription, Close):
            raise Refused(subscription)
        socket = Socket(subscription, send, key)
        refusal = hub.admit(socket)
        if refusal is not None:
            raise Refused(refusal)
        return socket

    async def _welcomed(self, hub: Hub, socket: Socket, receive: Receive) -> int | None:
        """Hear the `hello` and answer it; the close code if the client went away instead."""
        hello = await self._hello(receive)
        if isinstance(hello, int):
            return hello
        if hello.lang in conf.languages:
            socket.language = intern(hello.lang)  # one text for all, not one of each frame's
        await hub.attach(socket)  # before reading: what comes in between is seen
        await hub.look_again(socket)
        if socket.closed is None:
            await hub.greet(socket, hello.cursor)
        return None

    async def _hello(self, receive: Receive) -> wire.Hello | int:
        """The first frame, or the close code if the client went away."""
        try:
            async with asyncio.timeout(conf.hello_timeout):
                message = await receive()
        except TimeoutError:
            raise Refused(Close.NO_HELLO) from None
        if message["type"] != "websocket.receive":
            return _code_of(message)
        frame = wire.decode(message.get("text"))
        if not isinstance(frame, wire.Hello):
            raise Refused(Close.BAD_FRAME)
        return frame

    async def _obey(self, hub: Hub, socket: Socket, message: dict[str, Any]) -> None:
        if socket.closed is not None:
            return
        if not socket.heard():
            raise Refused(Close.OVER_CAPACITY)
        frame = wire.decode(message.get("text"))
        await socket.drained()
        match frame:
            case wire.Ack(cursor):
                hub.acked(socket, cursor)
            case wire.Ping():
                socket.write(wire.PONG)
            case wire.Sync(cursor):
                await hub.sync(socket, cursor)
            case wire.Do():
                socket.write(await self._do(hub, socket, frame))
            case wire.Hello():
                raise Refused(Close.BAD_FRAME)

    async def _give_up(self, hub: Hub, socket: Socket, error: Exception) -> None:
        """Close it with what says why, and see that it is sent."""
        hub.close(socket, _close_for(error, socket))
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(1):
                await socket.drained()

    async def _do(self, hub: Hub, socket: Socket, frame: wire.Do) -> str:
        """Do what the reader asks, and answer `done`."""
        try:
            counts = await hub.run(act, socket.subscription, frame)
        except BadRequest as error:
            return wire.done(frame.id, error=(error.code, str(error)))
        except (DatabaseError, InterfaceError) as error:
            logger.warning("%s: %s", frame.action, str(error).strip())
            return wire.done(
                frame.id, error=("unavailable", "that did not work just now; try again.")
            )
        return wire.done(frame.id, counts)


def _close_for(error: Exception, socket: Socket) -> Close:
    """The code for what went wrong, which is logged."""
    match error:
        case Refused():
            return error.code
        case BadRequest():
            log("bad_frame", person=socket.person_id, error=error.code)
            return Close.BAD_FRAME
        case DatabaseError() | InterfaceError():
            logger.warning("socket: %s", str(error).strip())
        case _:
            logger.error("a socket failed", exc_info=error)
    return Close.SERVER_ERROR


def _code_of(disconnect: dict[str, Any]) -> int:
    """What a client closed with; servers say nothing, or 1005, when it gave no code."""
    code = disconnect.get("code")
    return code if isinstance(code, int) else GONE


async def nowhere(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Any other address: closed, where Channels would raise for every scanner that comes by."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": int(Close.BAD_FRAME)})


def the_hub() -> Hub:
    """The hub of the running event loop."""
    return Hub.here(Above(render, authenticate, ended_sessions, alerts.look_at_the_clock))


def act(subscription: Subscription, frame: wire.Do) -> Counts:
    """Do an action, give its entry a number, and count. In a thread."""
    inbox = Inbox(subscription)
    alerts.obey(inbox, frame)
    number([subscription.own])
    return inbox.counts()


# --- Who is there ------------------------------------------------------------------------


def header(scope: dict[str, Any], name: bytes) -> str | None:
    """The header's value, if it came exactly once."""
    values = [value for key, value in scope.get("headers", []) if key.lower() == name]
    if len(values) != 1:
        return None
    return values[0].decode("latin-1")


def same_origin(scope: dict[str, Any]) -> bool:
    """Whether the page that opened the socket is ours: as Django's CSRF check, and never raises.

    The Origin must come, and be the scheme and host of this request, or one of
    CSRF_TRUSTED_ORIGINS.
    """
    origin, host = header(scope, b"origin"), header(scope, b"host")
    if origin is None or host is None:
        return False
    try:
        parts = urlsplit(origin)
        if f"{parts.scheme}://{parts.netloc}" != origin or parts.port == 0:
            return False
        domain, _port = split_domain_port(host)
    except ValueError:
        return False
    if not domain or not validate_host(domain, conf.allowed_hosts):
        return False
    secure = scope.get("scheme") in ("wss", "https") or _behind_tls(scope)
    scheme = "https" if secure else "http"
    if (parts.scheme, parts.netloc) == (scheme, host):
        return True
    return any(_trusts(trusted, parts.scheme, parts.netloc) for trusted in conf.trusted_origins)


def _behind_tls(scope: dict[str, Any]) -> bool:
    """Whether the proxy says that it took the request over TLS (SECURE_PROXY_SSL_HEADER)."""
    if conf.secure_proxy_header is None:
        return False
    name, value = conf.secure_proxy_header
    wanted = name.removeprefix("HTTP_").replace("_", "-").lower().encode()
    came = header(scope, wanted)
    return came is not None and came.split(",")[0].strip() == value


def _trusts(trusted: str, scheme: str, netloc: str) -> bool:
    parts = urlsplit(trusted)
    if parts.scheme != scheme:
        return False
    if parts.netloc.startswith("*."):
        return netloc.endswith(parts.netloc[1:])
    return parts.netloc == netloc


def session_key(scope: dict[str, Any]) -> str | None:
    """The session key from the cookies. Some servers split the header; the first one wins."""
    for key, value in scope.get("headers", []):
        if key.lower() == b"cookie":
            found = parse_cookie(value.decode("latin-1")).get(conf.session_cookie)
            if found is not None:
                return found if found.isascii() and found.isprintable() else None
    return None
