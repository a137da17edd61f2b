"""docs/performance.md and its plots, from what is in bench/results/: `python -m bench.report`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

from .machine import RESULTS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "performance.md"
PLOTS = DOCS / "performance"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"

OURS, DAPHNE, SOCKETIO = "ours, uvicorn", "ours, daphne", "Socket.IO, Node"
TUTORIAL, TUTORIAL_DAPHNE = "tutorial, uvicorn", "tutorial, daphne"
BARE = "bare accept, uvicorn"
Figures = dict[str, Any]
Bar = tuple[str, str, float | None, Callable[[float], bool]]


def write() -> Path:
    parts = ["## Figures to reach", _bars(), *_sections()]
    page = PAGE.read_text()
    before, _begin, rest = page.partition(BEGIN)
    _old, _end, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}")
    _plot()
    return PAGE


def load(name: str) -> Any:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def middle(rounds: Iterable[Figures], field: str) -> float | None:
    values = [found[field] for found in rounds if found.get(field) is not None]
    return median(values) if values else None


class Sockets:
    """Medians of the visits, by contestant and size."""

    def __init__(self) -> None:
        kept = load("sockets") or {"results": {}, "machine": {}, "day": ""}
        self.results, self.machine, self.day = kept["results"], kept["machine"], kept["day"]

    def of(self, name: str, size: int, field: str) -> float | None:
        return middle(self.results.get(name, {}).get(str(size), ()), field)

    def ratio(
        self, field: str, over: tuple[str, int], under: tuple[str, int], other: str = ""
    ) -> float | None:
        """The median of the rounds' ratios: what is compared was measured in the same minutes."""
        pairs = zip(
            self.results.get(over[0], {}).get(str(over[1]), ()),
            self.results.get(under[0], {}).get(str(under[1]), ()),
            strict=False,
        )
        found = [a[field] / b[other or field] for a, b in pairs]
        return median(found) if found else None

    def sizes(self) -> list[int]:
        return sorted({int(size) for found in self.results.values() for size in found})


def _bars() -> str:
    s = Sockets()
    durable = (load("durable") or {"results": {}})["results"]
    polls = (load("polling") or {"results": []})["results"]
    size = 5_000 if 5_000 in s.sizes() else max(s.sizes(), default=0)
    wide = max(s.sizes(), default=0)
    late = durable.get("1000", [])
    idle = [found["polling"]["cpu"] / found["ours"]["cpu"] for found in polls]
    more = [found["polling"]["cpu"] / found["ours, more"]["cpu"] for found in polls]
    quiet = [found["polling"]["bytes"] / found["ours"]["bytes"] for found in polls]
    most = [found["per_second"] / found["bare_per_second"] for found in durable.get("most", [])]
    cost = [found["notify"] / found["bare"] for found in durable.get("cost", [])]
    missing = sum(found["lost"] + found["twice"] for found in late)
    bars: list[Bar] = [
        (
            f"broadcast at {size:,}, CPU per delivery, against Socket.IO",
            "at most 1.0x",
            s.ratio("broadcast_cpu", (OURS, size), (SOCKETIO, size)),
            lambda x: x <= 1.0,
        ),
        (
            "the same, under the tutorial on uvicorn",
            "at least 30x",
            s.ratio("broadcast_cpu", (TUTORIAL, size), (OURS, size)),
            lambda x: x >= 30,
        ),
        (
            "on daphne, under the tutorial on daphne",
            "at least 10x",
            s.ratio("broadcast_cpu", (TUTORIAL_DAPHNE, size), (DAPHNE, size)),
            lambda x: x >= 10,
        ),
        (
            f"growth of CPU per delivery, 1,000 to {wide:,} sockets",
            "at most 1.3x",
            s.ratio("broadcast_cpu", (OURS, wide), (OURS, 1_000)),
            lambda x: x <= 1.3,
        ),
        (
            f"connect storm of {size:,} with login and resume, CPU per connect, against Socket.IO",
            "at most 1.5x",
            s.ratio("resume_cpu", (OURS, size), (SOCKETIO, size), "connect_cpu"),
            lambda x: x <= 1.5,
        ),
        (
            "the same: seconds until all are live",
            "at most 5",
            s.of(OURS, size, "resume_seconds"),
            lambda x: x <= 5,
        ),
        (
            "memory per idle socket, against a bare ASGI accept",
            "at most 1.25x",
            s.ratio("memory", (OURS, size), (BARE, size)),
            lambda x: x <= 1.25,
        ),
        (
            "durable notify at 1,000/s, commit to client, p50 in ms",
            "at most 6",
            middle(late, "p50"),
            lambda x: x <= 6,
        ),
        ("the same, p99 in ms", "at most 25", middle(late, "p99"), lambda x: x <= 25),
        (
            "the same, lost or twice",
            "0",
            missing if late else None,
            lambda x: x == 0,
        ),
        (
            "most durable notifications of one publisher, share of bare INSERTs",
            "at least 0.6",
            median(most) if most else None,
            lambda x: x >= 0.6,
        ),
        (
            "`notify()` in the caller's transaction, against the two bare INSERTs",
            "at most 2x",
            median(cost) if cost else None,
            lambda x: x <= 2,
        ),
        (
            "idle: CPU under 15 s polling",
            "at least 40x",
            median(idle) if idle else None,
            lambda x: x >= 40,
        ),
        (
            "the same, of a thousand among 5,000 in one process",
            "at least 40x",
            median(more) if more else None,
            lambda x: x >= 40,
        ),
        (
            "idle: bytes under 15 s polling",
            "at least 100x",
            median(quiet) if quiet else None,
            lambda x: x >= 100,
        ),
    ]
    rows = [
        (what, wanted, number(value), "-" if value is None else "yes" if good(value) else "**no**")
        for what, wanted, value, good in bars
    ]
    return table(("scenario", "bar", "measured", "reached"), rows)


def _sections() -> list[str]:
    s = Sockets()
    parts = []
    if s.results:
        parts.append(f"## Machine\n\n{_machine(s)}")
    for size in s.sizes():
        rounds = max(len(found.get(str(size), ())) for found in s.results.values())
        parts.append(f"## {size:,} sockets\n\nMedians; rounds, by turns: {rounds}.")
        parts.append(_sockets(s, size))
    if len(s.sizes()) > 1:
        parts.append(_growth(s))
    durable = load("durable")
    if durable:
        parts.append(_durable(durable["results"]))
    polled = load("polling")
    if polled:
        parts.append(_polling(polled["results"]))
    return parts


def _machine(s: Sockets) -> str:
    known = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in s.machine.items() if value
    )
    return f"Measured on {s.day}: {known}. PostgreSQL commits to disk, as it is shipped."


FIELDS = (
    ("broadcast_cpu", "broadcast: CPU us per delivery"),
    ("broadcast_last", "last client, ms"),
    ("broadcast_bytes", "bytes"),
    ("each_cpu", "one each: CPU us"),
    ("connect_cpu", "first connect: CPU us"),
    ("resume_cpu", "back after a deploy: CPU us"),
    ("resume_seconds", "all live, s"),
    ("memory", "bytes per idle socket"),
)


def _sockets(s: Sockets, size: int) -> str:
    rows = []
    for name, found in s.results.items():
        if str(size) in found:
            rows.append((name, *(number(s.of(name, size, field)) for field, _title in FIELDS)))
    return table(("", *(title for _field, title in FIELDS)), rows)


def _growth(s: Sockets) -> str:
    rows = []
    for name, found in s.results.items():
        sizes = sorted(map(int, found))
        if len(sizes) < 2:
            continue
        slopes = []
        for field, _title in FIELDS:
            ends = s.of(name, sizes[0], field), s.of(name, sizes[-1], field)
            slopes.append(slope(sizes[0], sizes[-1], *ends))
        rows.append((name, f"{sizes[0]:,} to {sizes[-1]:,}", *slopes))
    head = ("", "sockets", *(title.partition(":")[0] for _field, title in FIELDS))
    return (
        "## Growth\n\nThe slope over the number of sockets on a log-log scale: 0 is the same for "
        "each socket whatever their number, 1 twice as dear with twice as many, below 0 cheaper. "
        "(The last client of a broadcast has slope 1 where each delivery costs the same.)\n\n"
        + table(head, rows)
    )


def slope(small: int, large: int, first: float | None, last: float | None) -> str:
    if not first or not last or first < 0 or last < 0:
        return "-"
    return f"{math.log(last / first) / math.log(large / small):+.2f}"


def _durable(results: dict[str, list[Figures]]) -> str:
    rows = [
        (
            f"{rate}/s",
            *(
                number(middle(results[rate], field))
                for field in ("reached", "p50", "p99", "max", "cpu")
            ),
            sum(found["lost"] for found in results[rate]),
            sum(found["twice"] for found in results[rate]),
        )
        for rate in ("200", "1000")
        if results.get(rate)
    ]
    parts = [
        "## Durable notifications\n\nCommit to client, each `notify()` committed for itself, to "
        "200 people with a socket each, PostgreSQL and Redis; times in ms.",
        table(
            ("asked", "reached, a second", "p50", "p99", "max", "server CPU us", "lost", "twice"),
            rows,
        ),
    ]
    most, cost = results.get("most", []), results.get("cost", [])
    if most:
        parts.append(
            f"One publisher sends and has delivered {number(middle(most, 'per_second'))} a second; "
            f"it stores {number(middle(most, 'bare_per_second'))} a second of the bare rows (a "
            "notification and its receipt, through the ORM, a transaction each)."
        )
    if cost:
        parts.append(
            f"In the caller's own transaction `notify()` takes {number(middle(cost, 'notify'))} "
            f"us, the two bare INSERTs through the ORM {number(middle(cost, 'bare'))} us."
        )
    return "\n\n".join(parts)


def _polling(rounds: list[Figures]) -> str:
    rows = []
    for name, title in (
        ("polling", "django-notifications, every 15 s"),
        ("ours", "ours, uvicorn"),
        ("ours, more", "ours, 5,000 people in one process"),
    ):
        found = [each[name] for each in rounds]
        cpu, database = middle(found, "cpu") or 0, middle(found, "database_cpu") or 0
        hourly = (middle(found, "bytes") or 0) * 3600 * 1000 / 1e6
        rows.append(
            (
                title,
                number(cpu * 3600),
                number(database * 3600),
                number(hourly),
                number((middle(found, "p50") or 0) / 1000),
                number((middle(found, "p99") or 0) / 1000),
            )
        )
    head = ("", "server CPU s", "database CPU s", "MB", "news after, p50 s", "p99 s")
    what = "A thousand people who wait for an hour, and are told something at its end."
    return f"## Polling against a socket\n\n{what}\n\n{table(head, rows)}"


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


def number(value: float | None) -> str:
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


# --- Plots -------------------------------------------------------------------------------


def _plot() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    s = Sockets()
    if not s.results:
        return
    PLOTS.mkdir(exist_ok=True)
    matplotlib.rcParams.update({"svg.hashsalt": "bench", "font.size": 9, "svg.fonttype": "none"})
    for field, title in (
        ("broadcast_cpu", "CPU of the server per delivery of a broadcast, microseconds"),
        ("broadcast_last", "Broadcast: milliseconds until the last client has it"),
    ):
        figure, axes = pyplot.subplots(figsize=(6.4, 3.6))
        for name, found in s.results.items():
            sizes = [size for size in sorted(map(int, found)) if s.of(name, size, field)]
            if sizes:
                values = [s.of(name, size, field) for size in sizes]
                axes.plot(sizes, values, marker="o", label=name, linewidth=2 if name == OURS else 1)
        axes.set(xscale="log", yscale="log", xlabel="sockets", title=title)
        axes.set_xticks(s.sizes(), [f"{size:,}" for size in s.sizes()])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
        figure.tight_layout()
        figure.savefig(PLOTS / f"{field}.svg", metadata={"Date": None})
        pyplot.close(figure)


if __name__ == "__main__":
    print(write())
