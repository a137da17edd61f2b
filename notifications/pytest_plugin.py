"""The test kit as fixtures, which pytest finds itself: `outbox`, `live_client`, `time_travel`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing import LiveClient, Outbox

# The kit is imported by the fixtures: pytest loads plugins before Django is set up.


@pytest.fixture
def outbox(db: None) -> Outbox:
    """What was sent since the test began: `outbox.assert_notified(ana, OrderShipped)`."""
    from .testing import Outbox

    return Outbox()


@pytest.fixture
def live_client(transactional_db: None) -> Iterator[Callable[..., LiveClient]]:
    """Connect somebody until the end of the test: `live_client(ana).assert_heard("Hello")`."""
    from .testing import live_client

    with ExitStack() as clients:

        def connect(user: Any, **options: Any) -> LiveClient:
            return clients.enter_context(live_client(user, **options))

        yield connect


@pytest.fixture
def time_travel() -> Iterator[Callable[..., None]]:
    """Jump ahead, `time_travel(hours=3)`, or to a moment; the test's end brings you back."""
    from .testing import time_travel

    with ExitStack() as jumps:

        def travel(to: datetime | None = None, **ahead: float) -> None:
            jumps.enter_context(time_travel(to, **ahead))

        yield travel
