"""What the commands have in common: how they end, what they ask, how they count."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from tqdm import tqdm

REFUSED, BAD_ARGUMENTS, PARTLY, NOBODY, INTERRUPTED = 1, 2, 3, 4, 130

EVERY = 10.0
"""Seconds between two lines about progress where there is no terminal."""

PLURALS = {"entry": "entries", "person": "people"}

T = TypeVar("T")


class TerminalCommand(BaseCommand):
    """A command that has no colours where NO_COLOR says so."""

    def __init__(
        self,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        no_color: bool = False,
        force_color: bool = False,
    ) -> None:
        no_color = no_color or (bool(os.environ.get("NO_COLOR")) and not force_color)
        super().__init__(stdout, stderr, no_color, force_color)


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
        yield from tqdm(steps, desc=doing, unit=f" {unit}", file=_bare(stderr), leave=False)
        return
    told = time.monotonic()
    for number, step in enumerate(steps):
        if time.monotonic() > told + EVERY:
            told = time.monotonic()
            stderr.write(f"{doing}: {plural(number, unit)}", style_func=str)
        yield step


@contextmanager
def progress(
    total: int, doing: str, noun: str, stderr: OutputWrapper
) -> Iterator[Callable[[int], object]]:
    """Gives what is to be told of each step, by how much it went on; shown as `followed` does."""
    if stderr.isatty():
        with tqdm(
            desc=doing, total=total, unit="", file=_bare(stderr), bar_format=BAR, ascii=" #"
        ) as bar:
            yield bar.update
        return
    told, done = time.monotonic(), 0

    def went_on(number: int) -> None:
        nonlocal told, done
        done += number
        if time.monotonic() > told + EVERY:
            told = time.monotonic()
            stderr.write(f"{doing}: {done:,} of {plural(total, noun)}", style_func=str)

    yield went_on


BAR = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]"


def _bare(stderr: OutputWrapper) -> Any:
    """The stream behind Django's wrapper, which would end each state of the bar with a new line."""
    return getattr(stderr, "_out", stderr)
