"""What the commands have in common: how they end, what they ask, how they count."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from django.core.management.base import CommandError, OutputWrapper
from tqdm import tqdm

REFUSED, BAD_ARGUMENTS, NOBODY, INTERRUPTED = 1, 2, 4, 130

EVERY = 10.0
"""Seconds between two lines about progress where there is no terminal."""

PLURALS = {"entry": "entries", "person": "people"}

T = TypeVar("T")


class Error(CommandError):
    """What went wrong, in one line, and the exit code that says so."""


def plural(number: int, noun: str) -> str:
    """`1 user`, `12,480 users`, `2 entries`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {PLURALS.get(noun, noun + 's')}"


def confirm(question: str, refusal: str, denied: str, stderr: OutputWrapper) -> None:
    """Ask, on stderr; raises `Error` for any answer but yes."""
    if not sys.stdin.isatty():
        raise Error(f"{refusal} without confirmation; add --yes.", returncode=REFUSED)
    stderr.write(f"{question} [y/N] ", style_func=str, ending="")
    stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Error(denied, returncode=REFUSED)


def followed(steps: Iterable[T], doing: str, unit: str, stderr: OutputWrapper) -> Iterator[T]:
    """The same steps, with their progress on stderr: a bar on a terminal, else a line at times."""
    if stderr.isatty():
        yield from tqdm(steps, desc=doing, unit=f" {unit}", file=stderr, leave=False)
        return
    told = time.monotonic()
    for number, step in enumerate(steps):
        if time.monotonic() > told + EVERY:
            told = time.monotonic()
            stderr.write(f"{doing}: {plural(number, unit)}", style_func=str)
        yield step
