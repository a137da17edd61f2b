"""Times as people type them: `11h`, `1d12h`, `2026-11-23T06:00`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.timesince import timesince, timeuntil

UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
DURATION = re.compile(r"(\d+)([wdhms])")


def parse_when(text: str) -> datetime | timedelta:
    """A span (`11h`, `1d12h`; a day has 24 hours), or an ISO date and time.

    A time without an offset is one of the site's time zone. Where its clocks go forward some
    times do not exist, and where they go back some are twice: those are refused, and want an
    offset. Raises `ValueError`.
    """
    parts = DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        try:
            spans = (timedelta(**{UNITS[unit]: int(number)}) for number, unit in parts)
            return sum(spans, timedelta())
        except OverflowError:
            raise ValueError(f"{text!r} is too far away.") from None
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(
            f"{text!r} is no time: expected something like 11h, 1d12h or 2026-11-23T06:00."
        )
    if timezone.is_naive(timezone.now()):
        return moment if timezone.is_naive(moment) else timezone.make_naive(moment)
    return _aware(moment, text) if timezone.is_naive(moment) else moment


def _aware(moment: datetime, text: str) -> datetime:
    zone = timezone.get_current_timezone()
    first, second = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first
    later = first.astimezone(UTC).astimezone(zone)
    if later.replace(tzinfo=None) != moment:
        raise ValueError(
            f"{text!r} does not exist in {zone}: the clocks go forward over it. "
            f"Did you mean {later.isoformat()}?"
        )
    raise ValueError(
        f"{text!r} is twice in {zone}: the clocks go back over it. "
        f"Say which: {first.isoformat()} or {second.isoformat()}."
    )


def moment_of(when: datetime | timedelta) -> datetime:
    """A span is from now on. Raises `ValueError`."""
    if isinstance(when, datetime):
        return when
    try:
        return timezone.now() + when
    except OverflowError:
        raise ValueError("that is too far away.") from None


def told(moment: datetime) -> str:
    """`2026-11-23 06:00 UTC (in 11 hours)`, or `(11 hours ago)`, in the site's time zone."""
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    if moment > timezone.now():
        far = f"in {timeuntil(moment + timedelta(seconds=1), depth=1)}"
    else:
        far = f"{timesince(moment, depth=1)} ago"
    return f"{local:%Y-%m-%d %H:%M %Z} ({far})".replace("\xa0", " ")
