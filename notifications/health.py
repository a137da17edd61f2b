"""How this process is: `healthz` for whoever would restart it, `readyz` for whoever sends it work.

`healthz` asks nobody else: no database, no Redis. If it does not answer, the event loop hangs.

`readyz` is 503 while the process drains and while the database does not answer. A layer that is
degraded is told in the body, and is no reason to send nobody: the sweep delivers all the same,
within 2 seconds, and what ails Redis ails every process at once.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .stream import bell
from .stream.hub import Hub
from .stream.number import log_database

PATIENCE = 2.0
"""Seconds that the database has to answer."""

# One thread for all probes: a database that hangs must not take a thread for each of them.
_thread = ThreadPoolExecutor(1, "notifications-ready")
_asking: asyncio.Future[bool] | None = None


@transaction.non_atomic_requests
@never_cache
@require_safe
async def healthz(request: HttpRequest) -> JsonResponse:
    """This process lives, and how late its event loop comes to what is due."""
    return JsonResponse({"alive": True, "loop_lag_ms": await lag()})


@transaction.non_atomic_requests
@never_cache
@require_safe
async def readyz(request: HttpRequest) -> JsonResponse:
    """Whether this process should be sent more people."""
    hub = Hub.running()
    draining = hub is not None and hub.draining
    database = not draining and await database_answers()
    ready = database and not draining
    return JsonResponse(
        {
            "ready": ready,
            "draining": draining,
            "database": "not asked" if draining else "ok" if database else "unavailable",
            "layer": layer_state(hub),
        },
        status=200 if ready else 503,
    )


async def lag() -> float:
    """Milliseconds that the event loop takes to come round, or took lately if that was more."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(0)
    hub = Hub.running()
    seconds = max(loop.time() - began, hub.lag.last if hub else 0.0)
    return round(seconds * 1000, 1)


def layer_state(hub: Hub | None) -> str:
    """`local` where there is no layer to other processes, and no need for one."""
    if bell.layer() is None:
        return "local"
    if hub is None:
        return "idle"
    return "ok" if hub.healthy else "degraded"


async def database_answers() -> bool:
    """Whether the database answers in time. Asked once at a time, whoever else wants to know."""
    global _asking
    loop = asyncio.get_running_loop()
    if _asking is None or _asking.done() or _asking.get_loop() is not loop:
        _asking = loop.run_in_executor(_thread, _ask)
    try:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(_asking)
    except TimeoutError:
        return False


def _ask() -> bool:
    using = log_database()
    try:
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT 1")
            return cursor.fetchone() == (1,)
    except (DatabaseError, InterfaceError):
        return False
    finally:
        connections.close_all()
