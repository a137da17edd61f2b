"""Drain: on SIGTERM, let clients go one by one before the server stops.

Both servers end every socket in the same instant when they are told to stop: uvicorn closes
them with 1012, daphne cuts them. So the signal is held back until the hub has said goodbye,
and then handed to the server's own handler. A second SIGTERM goes through at once, and so does
Ctrl-C.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING

from ..conf import conf

if TYPE_CHECKING:
    from .hub import Hub

logger = logging.getLogger("notifications")


def drain_on_sigterm(hub: Hub) -> None:
    """Hold back SIGTERM until `hub` is drained. Only a main thread may: elsewhere, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        return
    servers = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        if callable(servers):
            servers(number, frame)
        else:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

    async def drain(number: int, frame: FrameType | None) -> None:
        logger.info("draining sockets=%s seconds=%s", len(hub.sockets), conf.drain)
        try:
            await hub.drain(conf.drain)
        finally:
            stop(number, frame)

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        if hub.draining or not hub.sockets or hub.loop.is_closed():
            stop(number, frame)
            return
        hub.draining = True
        hub.loop.call_soon_threadsafe(lambda: tasks.add(hub.loop.create_task(drain(number, frame))))

    tasks: set[asyncio.Task[None]] = set()
    signal.signal(signal.SIGTERM, on_sigterm)
