"""The sums of docs/scale.md are those of the measured units, and a simulation agrees with them."""

from __future__ import annotations

import pytest

from bench.scale import BROADCASTS, Sums, sum_table, unit_table, units
from bench.scale_simulation import compared, simulate
from tests.live.server import ROOT

SCALE = (ROOT / "docs" / "scale.md").read_text()


def test_the_tables_of_the_document_are_the_sums():
    assert unit_table(units()) in SCALE
    assert sum_table(units()) in SCALE


def test_a_simulation_of_everybody_agrees_with_the_sums():
    sums = Sums(units(), 60_000, 600, BROADCASTS)
    found = simulate(sums, 5)
    for name, (said, came) in compared(sums, found, 5).items():
        assert came == pytest.approx(said, rel=0.08), name


def test_a_site_that_is_told_ten_times_as_much_needs_more():
    some, more = (Sums(units(), 1_000_000, personal, BROADCASTS) for personal in (2_000, 20_000))
    assert more.load(10_000) > some.load(10_000)
    assert more.sockets_per_process <= some.sockets_per_process
    assert more.database_cores > 5 * some.personal * units()["notification"]["database"] / 1e6
