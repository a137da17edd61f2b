"""The wheel as a user gets it: built, installed into an environment of its own, and used there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.live.process import NeverHappened, Process, free_port, until_we_die
from tests.live.server import ROOT

SITE_PACKAGES = sysconfig.get_paths()["purelib"]
BLOCK = re.compile(
    r'^(?P<indent> *)```(\w+)(?: title="([^"]+)")?\n(.*?)^(?P=indent)```$', re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A code block of a document: its language, the title on it, and what it says."""

    language: str
    title: str
    text: str


def blocks(document: Path) -> list[Block]:
    return [
        Block(language, title, textwrap.dedent(text))
        for _indent, language, title, text in BLOCK.findall(document.read_text())
    ]


def build_wheel(folder: Path) -> Path:
    """The wheel, built from a copy of the sources, so that nothing is left among them."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "notifications",
        source / "notifications",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder))
    run([sys.executable, "-m", "pip", "wheel", *options, str(source)], folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def run(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [*until_we_die(), *command], cwd=cwd, env=env, capture_output=True, text=True, timeout=180
    )
    if done.returncode:
        raise NeverHappened(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Place:
    """A folder where somebody tries the wheel.

    The wheel is really installed, by `pip install`, into a real virtual environment. What it
    depends on is not fetched again: the environment also sees the packages that are here.
    """

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = self.cwd = folder
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.env = kept | {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheel.parent),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONPATH": SITE_PACKAGES,
            "PYTHONUNBUFFERED": "1",
        }
        self._here = 0

    def shell(self, text: str) -> str:
        """Run lines of a shell, each after the other in one session, as they are typed."""
        state = self.folder / "shell-state"
        # What a session keeps between two blocks: where it is, and its environment.
        script = f"set -e\n{text}\npwd > '{state}'; env -0 >> '{state}'\n"
        said = run(["bash", "-c", script], self.cwd, self.env)
        cwd, _newline, kept = state.read_text().partition("\n")
        self.cwd = Path(cwd)
        self.env = dict(pair.split("=", 1) for pair in kept.split("\0") if pair)
        return said

    def write(self, title: str, text: str) -> None:
        """Put a block into its file; "..., at the end" adds to it."""
        name, _comma, how = title.partition(", ")
        file = self.cwd / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if how == "at the end":
            text = f"{file.read_text()}\n{text}"
        file.write_text(text)

    def manage(self, *arguments: str, **env: str) -> str:
        return run(["python", "manage.py", *arguments], self.cwd, self.env | env)

    def serve(self, *command: str) -> Serving:
        return Serving(self, *command)


class Serving:
    """A server that runs in a place."""

    def __init__(self, place: Place, *command: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = Process(
            [*command, f"127.0.0.1:{self.port}"],
            place.folder / f"server-{self.port}.log",
            env=place.env,
            cwd=place.cwd,
        )

    def __enter__(self) -> Serving:
        try:
            self.process.wait_for_port(self.port, timeout=60)
        except BaseException:
            self.process.stop()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.stop(timeout=15)
