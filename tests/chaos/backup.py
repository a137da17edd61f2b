"""A backup of the town's database, and putting it back."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tests.live.process import find_program, until_we_die

if TYPE_CHECKING:
    from tests.chaos.town import Town


def make(town: Town) -> Path:
    """While everybody is writing."""
    copy = town.folder / "backup"
    if town.kind == "sqlite":
        copy.unlink(missing_ok=True)
        with closing(sqlite3.connect(_file(town))) as source, closing(sqlite3.connect(copy)) as to:
            source.backup(to)
    else:
        _run("pg_dump", "--format=custom", f"--file={copy}", town.site.database_url)
    return copy


def put_back(town: Town, copy: Path) -> None:
    """In the place of the database, of which nothing is left."""
    if town.kind == "sqlite":
        file = _file(town)
        for name in (f"{file}-wal", f"{file}-shm"):
            Path(name).unlink(missing_ok=True)
        shutil.copy(copy, file)
        return
    name = town.site.database_url.rpartition("/")[2]
    cluster = town.tools.cluster
    cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")
    cluster.execute(f"CREATE DATABASE {name}")
    _run("pg_restore", f"--dbname={town.site.database_url}", str(copy))


def _file(town: Town) -> str:
    return town.site.database_url.removeprefix("sqlite:///")


def _run(program: str, *arguments: str) -> None:
    found = find_program(program, "/usr/lib/postgresql/*/bin")
    subprocess.run(
        [*until_we_die(), found, *arguments], check=True, capture_output=True, timeout=120
    )
