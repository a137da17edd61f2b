"""The documents: the site builds without a warning, and every block of code is tried.

How each kind of block is tried, so that nobody takes it for more:

- Python of the pages in `RUN` is run, in order, on a real database, and what it told is compared.
- Python with a title is a file: those of the quick start are used by tests/test_package.py, all
  others are compiled, and NOTIFICATIONS in them is read as the settings are.
- Python of other pages is compiled.
- Shell: every `manage.py` line is parsed by the command itself, and every `make` is a target.
- nginx and uvicorn in running.md are run by tests/test_production.py.
- JSON, YAML and INI are parsed, templates compiled, scripts checked by node; the properties that
  styles name are there.
"""

from __future__ import annotations

import ast
import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from datetime import timedelta

import pytest
import yaml
from django.contrib.auth.models import Group, User
from django.core.management import get_commands, load_command_class
from django.db.models.signals import post_save, pre_save
from django.template import engines

from notifications import notices
from notifications.conf import Conf
from notifications.testing import Outbox
from project.demo.models import Order
from tests.live.server import ROOT
from tests.package import Block, blocks

DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md"))]
FOUND = [(page, number, block) for page in PAGES for number, block in enumerate(blocks(page))]

# What the Python of these pages tells, in order.
RUN = {
    "guides/kinds.md": ["Order 1001 is packed", "Export ready"],
    "guides/rules.md": ["Order 1001 is on its way"],
    "guides/audiences.md": [
        *("For one", "For two", "For a queryset", "For all who have an account"),
        *("For a Django group", "For either", "For all but one", "By the names they log in with"),
    ],
    "from-django-notifications.md": ["bo closed Order 1001"],
}


def named(value):
    page, number, block = value
    return f"{page.relative_to(ROOT)}-{number}-{block.language}"


def of(*languages):
    found = [one for one in FOUND if one[2].language in languages]
    assert found, f"no block is {languages}"
    return pytest.mark.parametrize("found", found, ids=named)


def test_every_block_is_of_a_kind_that_is_tried():
    tried = {"python", "sh", "nginx", "json", "ini", "yaml", "django", "html", "css", "js", "text"}
    assert {block.language for _, _, block in FOUND} <= tried
    for page in PAGES:
        fences = re.findall(r"^ *```(.*)$", page.read_text(), re.MULTILINE)
        assert all(fences[::2]), f"{page} has a block without a language"


@of("python")
def test_python_is_python(found):
    page, _number, block = found
    tree = compile(
        block.text, str(page), "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    )
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and "NOTIFICATIONS" in ast.dump(statement.targets[0]):
            Conf.load(ast.literal_eval(statement.value))


@pytest.fixture
def world(transactional_db):
    """People and an order; afterwards no rule and no kind of a page is left."""
    receivers = list(pre_save.receivers), list(post_save.receivers)
    kinds = dict(notices._registry)
    ana, bo, jz = (User.objects.create_user(name) for name in ("ana", "bo", "jz"))
    User.objects.create_user("dana", is_staff=True)
    editors = Group.objects.create(name="editors")
    bo.groups.add(editors)
    order = Order.objects.create(pk=1, buyer=ana)
    yield {
        "ana": ana,
        "bo": bo,
        "jz": jz,
        "order": order,
        "timedelta": timedelta,
        "__name__": "docs",
    }
    pre_save.receivers, post_save.receivers = receivers
    for signal in (pre_save, post_save):
        signal.sender_receivers_cache.clear()
    notices._registry.clear()
    notices._registry.update(kinds)


@pytest.mark.parametrize("name", RUN)
@pytest.mark.django_db(transaction=True)
def test_the_python_of_a_guide_does_what_it_says(name, world):
    outbox = Outbox()
    for block in blocks(DOCS / name):
        if block.language == "python" and not block.title:
            exec(compile(block.text, name, "exec", dont_inherit=True), world)
    if name == "guides/rules.md":
        world["order"].status = "delivered"  # what the rule there says nothing about
        world["order"].save()
        outbox_titles = [one.title for one in outbox if one.kind == "order_sent"]
    else:
        outbox_titles = [one.title for one in outbox]
    assert outbox_titles == RUN[name]


@pytest.mark.django_db(transaction=True)
def test_the_rule_of_its_guide_speaks_when_an_order_is_sent(world):
    first, _second = (one for one in blocks(DOCS / "guides/rules.md") if one.language == "python")
    exec(compile(first.text, "rules.md", "exec", dont_inherit=True), world)
    outbox = Outbox()
    world["order"].status = "shipped"
    world["order"].save()
    outbox.assert_notified(world["ana"], "order_sent", title="Order 1001 is on its way")


MANAGE = re.compile(r"(?:\.venv/bin/)?python manage\.py (.+)")


def lines_of(block: Block):
    text = re.sub(r"\\\n\s*", " ", block.text)
    return [line.strip() for line in text.splitlines() if line.strip()]


@of("sh")
def test_commands_exist_and_take_what_they_are_given(found):
    makefile = (ROOT / "Makefile").read_text()
    for line in lines_of(found[2]):
        line = re.sub(r"\s+#.*$", "", line)
        manage = MANAGE.search(line)
        if manage:
            words = shlex.split(re.sub(r"[<>|].*$", "", manage.group(1)))
            if words[0] in ("shell", "startapp", "test", "runserver"):
                continue
            command = load_command_class(get_commands()[words[0]], words[0])
            parser = command.create_parser("manage.py", words[0])
            parser.called_from_command_line = False
            parser.parse_args(words[1:])
        elif line.startswith("make "):
            target = line.split()[1]
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), line


@of("json")
def test_json_is_json(found):
    json.loads(found[2].text)


def test_yaml_is_yaml():
    for _page, _number, block in of_maybe("yaml"):
        assert yaml.safe_load(block.text)


@of("ini")
def test_units_are_units(found):
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read_string(found[2].text)
    assert parser.sections()


@of("html", "django")
def test_templates_are_templates(found):
    text = re.sub(r"\{% extends [^%]+%\}", "", found[2].text)
    engines["django"].from_string("{% load notifications i18n static %}" + text)


def of_maybe(*languages):
    return [one for one in FOUND if one[2].language in languages]


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_scripts_are_scripts(tmp_path):
    for number, (_page, _number, block) in enumerate(of_maybe("js")):
        file = tmp_path / f"{number}.mjs"
        file.write_text(block.text)
        done = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_styles_name_properties_that_there_are():
    styles = (ROOT / "notifications/static/notifications/bell.css").read_text()
    for _page, _number, block in of_maybe("css"):
        for name in set(re.findall(r"--nb-[\w-]+", block.text)):
            assert name in styles, name


# --- The site ---


def test_the_reference_is_that_of_the_code():
    done = subprocess.run(
        [sys.executable, "docs/make_reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site, built strictly: a link or an anchor that leads nowhere is a failure."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_builds_without_a_warning_and_has_every_page(built):
    for page in DOCS.rglob("*.md"):
        assert (built / page.relative_to(DOCS).with_suffix(".html")).exists(), page


def test_the_site_loads_nothing_from_elsewhere(built):
    for page in built.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text()
        )
        assert [one for one in loaded if "canonical" not in one] == [], page


@pytest.mark.parametrize(
    ("question", "page"),
    [
        ("How do I notify", "quickstart.md"),
        ("add a kind", "guides/kinds.md"),
        ("how it looks", "bell.md"),
        ("what happens when Redis dies", "concepts.md"),
        ("test my own code", "guides/testing.md"),
    ],
)
def test_a_newcomer_finds_the_page_from_the_index(question, page):
    index = (DOCS / "index.md").read_text().lower()
    line = next(line for line in index.splitlines() if question.lower() in line)
    assert f"({page}" in line


def test_the_pictures_are_all_shown_and_small():
    page = (DOCS / "screenshots.md").read_text()
    pictures = list((DOCS / "screenshots").iterdir())
    assert {f"screenshots/{path.name}" for path in pictures} == set(
        re.findall(r"\]\((screenshots/.+?)\)", page)
    )
    assert sum(path.stat().st_size for path in pictures) < 2_000_000
