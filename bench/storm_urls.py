"""The site, and an address that makes it log errors by itself: for bench/alert_storm.py."""

from __future__ import annotations

import logging
import threading
import time

from django.contrib.staticfiles.views import serve
from django.http import HttpRequest, JsonResponse
from django.urls import path

from notifications.logging import stats
from project.urls import urlpatterns as site

logger = logging.getLogger("storm")


def fail(number: int) -> None:
    raise LookupError(f"order {number} is gone")


def storm(errors: int, seconds: float, places: int) -> None:
    """So many errors in so many seconds, with tracebacks, from so many places."""
    start = time.monotonic()
    for number in range(errors):
        ahead = start + seconds * number / errors - time.monotonic()
        if ahead > 0.005:
            time.sleep(ahead)
        if places == 1:
            try:
                fail(number)
            except LookupError:
                logger.exception("could not ship order %s", number)
        else:
            line = number % places
            record = logger.makeRecord(
                logger.name, logging.ERROR, "/shop/orders.py", line, "failed", (), None
            )
            logger.handle(record)


def begin(request: HttpRequest) -> JsonResponse:
    given = request.GET
    arguments = (int(given["errors"]), float(given["seconds"]), int(given["places"]))
    threading.Thread(target=storm, args=arguments).start()
    return JsonResponse({})


def heard(request: HttpRequest) -> JsonResponse:
    return JsonResponse(dict(stats))


urlpatterns = [
    *site,
    path("storm/", begin),
    path("storm/heard/", heard),
    path("static/<path:path>", serve, {"insecure": True}),
]
