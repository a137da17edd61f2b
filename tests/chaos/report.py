"""The table of a run."""

from __future__ import annotations

from collections.abc import Iterable

from tests.chaos.town import Result

HEAD = (
    "scenario",
    "on",
    "committed",
    "applied",
    "deliveries",
    "lost",
    "twice",
    "out of order",
    "never said",
    "badge wrong",
    "worst latency",
    "promised",
    "",
)


def row(result: Result) -> tuple[str, ...]:
    found = result.verdict
    name = result.scenario.name
    return (
        f"{name}, with: {result.broken}" if result.broken else name,
        result.kind,
        f"{found.committed:,}",
        f"{found.applied:,}",
        f"{found.deliveries:,}",
        str(found.lost),
        str(found.twice),
        str(found.disorder),
        str(found.phantoms),
        str(found.wrong),
        f"{found.worst:.2f} s",
        f"{result.within:g} s",
        "ok" if result.good else "FAILED",
    )


def table(results: Iterable[Result]) -> str:
    rows = [HEAD, *(row(result) for result in results)]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEAD))]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
