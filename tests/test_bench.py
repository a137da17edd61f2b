"""The benches are honest: what they count has come, and the load generator sees what is wrong."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import bench
from bench import sockets
from bench.contestants import Ours
from bench.machine import cpu_seconds, machine, parts

ALONE = {"bench.__main__"}
"""What runs when it is imported."""


def test_every_bench_can_be_imported():
    names = [found.name for found in pkgutil.iter_modules(bench.__path__, "bench.")]
    assert "bench.load" in names
    for name in names:
        if name not in ALONE:
            importlib.import_module(name)


def test_the_machine_is_told():
    told = machine()
    assert told["cores"] > 0
    assert told["Django"]


@pytest.mark.timeout(240)
def test_a_small_visit_counts_every_delivery_once():
    with parts(durable=False) as at, Ours(at, 20) as ours:
        opened = ours.load.open(20)
        assert (opened["live"], opened["failed"]) == (20, 0)
        before = cpu_seconds(ours.process.pid)
        told = sockets.broadcast(ours, 20, messages=4)
        assert (told["broadcast_missing"], told["broadcast_wrong"]) == (0, 0)
        assert told["broadcast_cpu"] * 80 / 1e6 <= cpu_seconds(ours.process.pid) - before
        told = sockets.each(ours, 10)
        assert (told["each_missing"], told["each_wrong"]) == (0, 0)
        ours.load.close()
        ours.tell_all()  # while nobody is there
        ours.load.reset()
        ours.load.open(20)
        back = ours.load.wait(20, 30)
        assert (back["marks"], back["gaps"], back["twice"], back["resets"]) == (20, 0, 0, 0)
