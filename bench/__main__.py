"""Everything, for us and the peers by turns: `make bench` (ONLY=sockets, ROUNDS=3, QUICK=1)."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from . import callers, polling
from .contestants import USUAL, Ours, OursDaphne, SocketIO, Ws
from .machine import RESULTS, Parts, keep, parts, print_machine
from .sockets import visit

LARGE = (Ours, OursDaphne, SocketIO, Ws)
"""Those who are also tried at the largest size; a tutorial takes minutes to connect so many."""
Results = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default=",".join(SCENARIOS), help="scenarios, with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it works")
    parser.add_argument("--peers", default="usual", choices=("usual", "all"))
    parser.add_argument(
        "--who", default="", help="only contestants with one of these; words in their names"
    )
    parser.add_argument("--add", action="store_true", help="add to the rounds measured before")
    parser.add_argument("--sockets", default="1000,5000,10000", help="how many, with commas")
    options = parser.parse_args()
    print_machine()
    for name in options.only.split(","):
        SCENARIOS[name](options)
    if not options.quick:
        from . import report

        print(f"Written: {report.write()}")


def sockets(options: argparse.Namespace) -> None:
    sizes = [200] if options.quick else [int(word) for word in options.sockets.split(",")]
    contestants = list(USUAL)
    if options.peers == "all":
        from .more import MORE

        contestants += MORE
    kept = RESULTS / "sockets.json"
    before = json.loads(kept.read_text()) if options.add and kept.exists() else {}
    results: Results = before.get("results", {})
    for size in sizes:
        for number in range(options.rounds):
            for contestant in contestants:
                if size > 5_000 and contestant not in LARGE:
                    continue
                if not any(word in contestant.name for word in options.who.split(";")):
                    continue
                began = time.monotonic()
                try:
                    with parts() as at, contestant(at, size) as visited:
                        found = visit(visited, size)
                except RuntimeError as error:  # one that breaks down under it stops nobody else
                    print(f"{number + 1}. {contestant.name}, {size}: {error}"[:400], flush=True)
                    continue
                results.setdefault(contestant.name, {}).setdefault(str(size), []).append(found)
                _say(f"{number + 1}. {contestant.name}, {size}", found, began)
                _keep("sockets", results, options)


def durable(options: argparse.Namespace) -> None:
    results: Results = {"cost": [], "most": [], "200": [], "1000": []}
    seconds = 1 if options.quick else 8
    works: dict[str, Callable[[Parts], Any]] = {
        "cost": lambda at: callers.cost(at, 50 if options.quick else 2_000),
        "most": lambda at: callers.most(at, seconds),
        "200": lambda at: callers.latency(at, 200, seconds),
        "1000": lambda at: callers.latency(at, 1_000, seconds),
    }
    for number in range(options.rounds):
        for name, work in works.items():
            began = time.monotonic()
            with parts() as at:
                results[name].append(work(at))
            _say(f"{number + 1}. {name}", results[name][-1], began)
            _keep("durable", results, options)


def polled(options: argparse.Namespace) -> None:
    results: list[Any] = []
    people, seconds = (50, 16) if options.quick else (1_000, 30)
    for number in range(options.rounds):
        began = time.monotonic()
        with parts() as at:
            results.append(polling.measure(at, people, seconds))
        for name, found in results[-1].items():
            _say(f"{number + 1}. {name}, {people} people", found, began)
        _keep("polling", results, options)


SCENARIOS = {"sockets": sockets, "durable": durable, "polling": polled}


def _keep(name: str, results: Any, options: argparse.Namespace) -> None:
    if not options.quick:
        keep(name, results)


def _say(what: str, found: dict[str, Any], began: float) -> None:
    figures = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
    print(f"{what} ({time.monotonic() - began:.0f} s): {figures}", flush=True)


if __name__ == "__main__":
    main()
