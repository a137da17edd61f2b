"""The catalogues of the app: complete, compiled, and with the same placeholders as the English."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation
from django.utils.translation.template import templatize

import notifications
from notifications import notify

APP = Path(notifications.__file__).parent
FOLDER = APP / "locale"
LANGUAGES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
PLACEHOLDER = re.compile(r"%%?(?:\(\w+\))?s")


MARKS = {"gettext", "gettext_lazy"}


def po_of(language: str) -> str:
    return (FOLDER / language / "LC_MESSAGES" / "django.po").read_text()


def texts(language: str) -> dict[str, str]:
    po = po_of(language)
    pairs = re.findall(r'^msgid ((?:".*"\n)+)msgstr ((?:".*"\n?)+)', po, re.MULTILINE)

    def joined(lines: str) -> str:
        return "".join(ast.literal_eval(line) for line in lines.splitlines())

    return {joined(english): joined(other) for english, other in pairs if joined(english)}


def in_code(source: str) -> set[str]:
    """What is marked for translation in Python, by whatever name the mark was imported."""
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
        for alias in node.names
        if alias.name in MARKS
    }
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
        if isinstance(node.args[0], ast.Constant)
    }


def in_template(source: str) -> set[str]:
    """The same in a template, of which Django makes what xgettext reads."""
    made = re.findall(r"gettext\(u?('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\)", templatize(source))
    return {ast.literal_eval(one) for one in made}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_catalogue_has_every_text_of_the_app_and_no_other(language):
    code = [in_code(path.read_text()) for path in APP.rglob("*.py")]
    pages = [in_template(path.read_text()) for path in APP.glob("templates/**/*.*")]
    marked = set().union(*code, *pages)
    assert len(marked) > 100
    assert set(texts(language)) == marked, "run `make messages`"
    assert "fuzzy" not in po_of(language)


def test_there_are_german_and_arabic():
    assert LANGUAGES == ["ar", "de"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated_and_keeps_its_placeholders(language):
    assert len(texts(language)) > 100
    for english, other in texts(language).items():
        assert other, f"not translated: {english!r}"
        assert sorted(PLACEHOLDER.findall(other)) == sorted(PLACEHOLDER.findall(english)), english
        assert english[-1:] != " " or other[-1:] == " ", english


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language):
    with (FOLDER / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for english, other in texts(language).items():
        assert compiled.gettext(english) == other, "run `make messages`"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("language", "direction", "words"),
    [
        ("de", "ltr", ["Benachrichtigungen", "Als gelesen markieren: Export ready", "Heute"]),
        ("ar", "rtl", ["الإشعارات", "تعليم كمقروء: Export ready", "اليوم"]),
    ],
)
def test_a_page_is_in_the_language_of_its_reader(language, direction, words, noon):
    ana = User.objects.create_user("ana")
    notify(ana, "Export ready")
    client = Client(headers={"accept-language": language})
    client.force_login(ana)
    with translation.override("en"):  # what a request switches on stays on, for the tests behind it
        html = client.get("/notifications/").content.decode()
    assert f'dir="{direction}"' in html
    for word in words:
        assert word in html
    assert "Mark as read" not in html
