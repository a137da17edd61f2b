"""A connection to Redis that waits in peace, for `CHANNEL_LAYERS` (docs/running.md)."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Connection


class PatientConnection(Connection):
    """The connection class of redis-py, but who waits for a message on it waits for longer.

    channels-redis gives up waiting ten times a second and begins again, which was a sixth of all
    that a server with a thousand idle sockets did (docs/performance.md). What comes is taken at
    once as before; commands, which have the `socket_timeout`, are not touched.
    """

    WAIT = 5.0
    """Seconds; below any `health_check_interval`, which is looked at between two waits."""

    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109  (redis-py's)
        **options: Any,
    ) -> Any:
        if timeout is not None:
            timeout = max(timeout, self.WAIT)
        return await super().read_response(disable_decoding, timeout, **options)
