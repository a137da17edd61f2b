"""`make chaos`: every scenario in each town it is for, and a table at the end."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos import report
from tests.chaos.mutations import MUTATIONS
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.chaos.town import Result, Tools, Town

LONG, SHORT = 10_000, 200


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=LONG, help="notifications per scenario")
    parser.add_argument("--short", action="store_true", help=f"{SHORT} notifications each")
    parser.add_argument("--only", action="append", default=[], help="a part of a scenario's name")
    parser.add_argument("--on", choices=["postgres", "sqlite"])
    parser.add_argument("--break", dest="mutation", choices=["", *MUTATIONS, "its own"], default="")
    parser.add_argument("--slack", type=float, default=1.0, help="multiplies the times allowed")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all the logs")
    options = parser.parse_args()
    if options.short:
        options.size = SHORT
    for end in (signal.SIGINT, signal.SIGTERM):  # also in the background: with the table so far
        signal.signal(end, signal.default_int_handler)
    cores = os.cpu_count()
    say(
        f"seed {options.seed}; {options.size:,} notifications each; {platform.machine()}, "
        f"{cores} cores, Python {platform.python_version()}"
    )
    folder = Path(tempfile.mkdtemp(prefix="notifications-chaos-"))
    tools = Tools(folder)
    results: list[Result] = []
    try:
        for kind in ("postgres", "sqlite"):
            if options.on in (None, kind):
                chosen = [
                    scenario
                    for scenario in SCENARIOS
                    if kind in scenario.on
                    and (not options.only or any(part in scenario.name for part in options.only))
                ]
                play_all(chosen, kind, tools, options, results)
    except KeyboardInterrupt:
        say("interrupted")
    finally:
        tools.stop()
        if options.keep:
            say(f"logs: {folder}")
        else:
            import shutil

            shutil.rmtree(folder, ignore_errors=True)
    say(report.table(results))
    wanted = not options.mutation  # what is broken on purpose must be found out
    return 0 if results and all(result.good is wanted for result in results) else 1


def play_all(
    chosen: list[type[Scenario]],
    kind: str,
    tools: Tools,
    options: argparse.Namespace,
    results: list[Result],
) -> None:
    shared: Town | None = None
    for scenario in chosen:
        mutations = [options.mutation]
        if options.mutation == "its own":
            mutations = list(scenario.broken_by)
        for mutation in mutations:
            began = time.monotonic()
            own = bool(scenario.town) or bool(mutation)
            play = scenario()
            town = shared
            if mutation:
                play.patience = 4.0
                town = Town(kind, tools, **scenario.broken_town(mutation))
            elif own or town is None:
                seats = play.callers(kind, options.size)
                town = Town(kind, tools, callers=seats, **scenario.town)
                if not own:
                    shared = town
            try:
                result = town.play(play, options.size, options.seed, options.slack)
            finally:
                if own:
                    town.stop()
            results.append(result)
            verdict = "ok" if result.good else "FAILED"
            broken = f", broken: {mutation}" if mutation else ""
            say(f"{scenario.name} ({kind}{broken}): {verdict} in {time.monotonic() - began:.0f} s")
            for note in result.notes:
                say(f"  {note}")
            if not result.good:
                say("\n".join(result.why().splitlines()[: 3 if mutation else None]))
    if shared is not None:
        shared.stop()


if __name__ == "__main__":
    sys.exit(main())
