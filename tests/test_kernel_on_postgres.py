"""The kernel's tests once more, in a process whose database is PostgreSQL (see conftest.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from tests.live.process import until_we_die
from tests.live.server import ROOT

KERNEL = ROOT / "tests" / "kernel"


@pytest.mark.timeout(1_200)
@pytest.mark.skipif(
    os.environ.get("DATABASE_URL", "").startswith("postgres"), reason="they run on it already"
)
def test_every_kernel_test_passes_on_postgres_too(postgres, tmp_path, subtests):
    report = tmp_path / "report.xml"
    done = subprocess.run(
        [
            *until_we_die(),
            *(sys.executable, "-m", "pytest", str(KERNEL), "-q", "-p", "no:cacheprovider"),
            f"--junitxml={report}",
        ],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": postgres.url(postgres.create_database())},
        capture_output=True,
        text=True,
        timeout=1_150,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    cases = list(ElementTree.parse(report).iter("testcase"))
    for case in cases:
        with subtests.test(f"{case.get('classname')}::{case.get('name')}"):
            for outcome in ("failure", "error"):
                found = case.find(outcome)
                assert found is None, found.text
    assert cases, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
