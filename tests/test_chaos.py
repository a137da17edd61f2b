"""Nothing lost, nothing twice, in order, whatever is done to the site: `make chaos` in short.

Each scenario runs here with a few hundred notifications. And each way to break the app on
purpose must be seen by the judge, else all of this proves nothing: that is marked `chaos`, and
runs in `make chaos-short` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.chaos.mutations import MUTATIONS, changed
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.chaos.town import Tools, Town
from tests.conftest import started
from tests.live.process import find_program
from tests.live.server import ROOT

SIZE = 120
SLACK = 5.0
"""The times promised are for a machine that does nothing else; this one may run anything."""
SEED = 1

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tools]:
    for name, folder in (("nginx", "/usr/sbin"), ("redis-server", "/usr/bin")):
        started(lambda name=name, folder=folder: find_program(name, folder))
    tools = Tools(tmp_path_factory.mktemp("chaos"))
    started(lambda: tools.cluster)
    yield tools
    tools.stop()


@pytest.fixture(scope="module")
def shared(tools: Tools) -> Iterator[Callable[[str], Town]]:
    """The town that all scenarios share that ask for nothing of their own."""
    towns: dict[str, Town] = {}

    def find(kind: str) -> Town:
        if kind not in towns:
            towns[kind] = Town(kind, tools)
        return towns[kind]

    yield find
    for town in towns.values():
        town.stop()


@pytest.fixture
def new_town(tools: Tools) -> Iterator[Callable[..., Town]]:
    towns: list[Town] = []

    def start(kind: str, **options: object) -> Town:
        towns.append(Town(kind, tools, **options))
        return towns[-1]

    yield start
    for town in towns:
        town.stop()


CASES = [(kind, scenario) for kind in ("postgres", "sqlite") for scenario in SCENARIOS]
CASES = [(kind, scenario) for kind, scenario in CASES if kind in (scenario.short_on or scenario.on)]


@pytest.mark.parametrize(
    ("kind", "scenario"), CASES, ids=[f"{scenario.name} on {kind}" for kind, scenario in CASES]
)
def test_nothing_is_lost_or_comes_twice_or_out_of_order(
    kind: str, scenario: type[Scenario], shared, new_town
):
    town = new_town(kind, **scenario.town) if scenario.town else shared(kind)
    result = town.play(scenario(), SIZE, SEED, SLACK)
    assert result.good, f"{result.why()}\n{town.logs()}"


BROKEN = [
    ("id cursor", "commit order", "postgres"),
    ("own stream first", "commit order", "sqlite"),
    ("no bell, no sweep", "every bell lost", "postgres"),
    ("no sweep", "callers killed", "sqlite"),
    ("published after commit", "callers killed", "sqlite"),
    ("bell before commit", "commit order", "postgres"),
    ("bell waited for", "Redis hung", "postgres"),
    ("no dedup", "twenty tabs", "sqlite"),
    ("no resume", "server killed", "sqlite"),
    ("cursor unchecked", "odd cursors", "sqlite"),
    ("no heartbeat", "half-open lines", "sqlite"),
    ("sync acknowledges nothing", "never acks", "sqlite"),
    ("no window", "never reads", "sqlite"),
    ("no drain", "rolling deploy", "postgres"),
    ("hub dies with the database", "database restarted", "postgres"),
]


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("mutation", "name", "kind"), BROKEN, ids=[mutation for mutation, _name, _kind in BROKEN]
)
def test_an_app_that_is_broken_on_purpose_is_found_out(
    mutation: str, name: str, kind: str, new_town
):
    (scenario,) = (one for one in SCENARIOS if one.name == name)
    town = new_town(kind, **scenario.broken_town(mutation))
    play = scenario()
    play.patience = 4.0
    result = town.play(play, SIZE, SEED, slack=1.5)
    assert not result.good


def test_every_mutation_is_tried_by_some_scenario_and_every_scenario_has_one():
    tried = {mutation for scenario in SCENARIOS for mutation in scenario.broken_by}
    assert all(scenario.broken_by for scenario in SCENARIOS)
    assert tried <= MUTATIONS.keys()
    assert {mutation for mutation, _name, _kind in BROKEN} == MUTATIONS.keys() - {"no bell"}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_still_finds_the_lines_that_it_breaks(name: str):
    for module in {change.module for change in MUTATIONS[name]}:
        source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()
        compile(changed(source, module, MUTATIONS[name]), module, "exec")


def test_the_document_names_every_scenario_and_every_mutation():
    told = (ROOT / "docs" / "reliability.md").read_text()
    assert all(f"**{scenario.name}**" in told for scenario in SCENARIOS)
    assert all(mutation in told for mutation in MUTATIONS)
