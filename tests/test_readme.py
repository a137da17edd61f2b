"""What the README and the documents say is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# Around the README's code: what a project has anyway, and afterwards, what must have come of it.
BEFORE = """
from datetime import timedelta
from django.contrib.auth import get_user_model
from django.utils.translation import gettext as _
from project.demo.models import Order
user = get_user_model().objects.get(username="ana")
"""
AFTER = """
from notifications import inbox_of
order = Order.objects.first()
order.status = "shipped"
order.save()
print("\\n".join(item.title for item in inbox_of(user).page().items[:4]))
"""


def test_the_code_in_the_readme_does_what_it_says(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    env = os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path}/readme.sqlite3", "REDIS_URL": ""}

    def manage(*arguments):
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=env, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    manage("demo", "--seed-only")
    said = manage("shell", "--no-imports", "--command", BEFORE + code + AFTER)
    assert set(said.splitlines()) == {
        "Order 1001 is on its way",
        "Order 1001 is now: shipped",  # the demo shop's own rule
        "Maintenance at 22:00",
        "Export ready",
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_every_dependency_is_explained():
    explained = (ROOT / "docs" / "dependencies.md").read_text().lower()
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if line and line[0] not in "#-":
                package = re.split(r"[\[<>=]", line)[0].lower()
                assert re.search(rf"\b{package}\b", explained), f"{package} is not explained"


def test_every_variable_of_the_environment_is_documented():
    documented = (ROOT / "docs" / "running.md").read_text()
    settings = (ROOT / "project" / "settings.py").read_text()
    for variable in re.findall(r'env\.\w+\(\s*"(\w+)"', settings):
        assert f"| `{variable}` |" in documented
