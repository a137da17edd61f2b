"""Writes docs/licences.md: what is installed, in which version, and under which licence.

python docs/make_licences.py             from the environment that runs it
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = {"requirements.txt": "The site", "requirements-dev.txt": "For the tests and documents only"}
CLASSIFIER = "License :: OSI Approved :: "


def needed(names: set[str]) -> set[str]:
    """These packages and whatever they need in turn, as far as it is installed."""
    found: set[str] = set()
    todo = set(names)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        todo |= {canonical(one) for one in requires if "extra ==" not in one}
        todo |= {canonical(one) for one in requires if EXTRAS.search(one)}
    return found


EXTRAS = re.compile(r"extra == ['\"](?:binary|pool|hiredis|tls)['\"]")


def canonical(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def named(file: str) -> set[str]:
    lines = (ROOT / file).read_text().splitlines()
    return {canonical(line) for line in lines if line and line[0] not in "#-"}


def licence(name: str) -> str:
    """As the package itself says: its expression, else its classifiers, else its first line."""
    about = metadata.metadata(name)
    if about.get("License-Expression"):
        return str(about["License-Expression"])
    classified = [
        one.removeprefix(CLASSIFIER).removeprefix("License :: ")
        for one in about.get_all("Classifier") or []
        if one.startswith("License :: ") and one != "License :: OSI Approved"
    ]
    line = (about.get("License") or "").strip().splitlines()
    return " / ".join(classified) or (line[0][:60] if line else in_its_file(name))


def in_its_file(name: str) -> str:
    """The first line of the licence that lies in the package."""
    for file in metadata.files(name) or []:
        if file.name.upper().startswith("LICENSE") and ".dist-info" in str(file):
            lines = Path(str(file.locate())).read_text().strip().splitlines()
            return lines[0].strip()[:60] if lines else "not said"
    return "not said"


def main() -> None:
    site = needed(named("requirements.txt"))
    parts = [
        "# Licences",
        "<!-- Made by docs/make_licences.py (`make audit`). -->",
        "This project is under the BSD-3-Clause licence. What it is installed with, directly or "
        "by way of something else, and under which licence, as each package says itself:",
    ]
    for file, title in FILES.items():
        names = needed(named(file)) - (site if file != "requirements.txt" else set())
        rows = [f"| {name} | {licence(name)} |" for name in sorted(names)]
        parts += [f"## {title}", "\n".join(["| package | licence |", "|---|---|", *rows])]
    parts.append(
        "The scripts and styles that browsers get are this project's own. From Debian the tests "
        "use Chromium, PostgreSQL, Redis, nginx and Node; none of them is shipped."
    )
    (ROOT / "docs" / "licences.md").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
