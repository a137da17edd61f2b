"""Writes docs/reference/: the API, settings, commands, metrics and codes, from the code itself.

python docs/make_reference.py            write the pages
python docs/make_reference.py --check    say which are out of date, and end with 1
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import fields
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
COMMANDS = ROOT / "notifications" / "management" / "commands"
MADE = "<!-- Made by docs/make_reference.py (`make docs`) from the code: change that. -->"


def prepare() -> None:
    sys.path.insert(0, str(ROOT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
    os.environ["COLUMNS"] = "100"
    import django

    django.setup()


# --- Pieces ------------------------------------------------------------------------------


def docstring(thing: Any) -> str:
    """The docstring as Markdown: its indented examples are code."""
    text = inspect.getdoc(thing) or ""
    out, example = [], False
    for line in text.splitlines():
        if line.startswith("    ") and not example:
            out.append("```text")
            example = True
        elif line.strip() and not line.startswith("    ") and example:
            while not out[-1].strip():
                out.pop()
            out += ["```", ""]
            example = False
        out.append(line[4:] if example else line)
    return "\n".join([*out, "```"] if example else out)


def signature(name: str, thing: Any) -> str:
    """`name(parameters)`, broken where it is long, without `self`."""
    found = inspect.signature(thing)
    parameters = [one for one in found.parameters.values() if one.name not in ("self", "cls")]
    text = plain(str(found.replace(parameters=parameters)))
    line = f"{name}{text}"
    if len(line) <= 88:
        return line
    _inside, _arrow, result = text.rpartition(" -> ")
    parts = [plain(str(one)) for one in parameters]
    for index, one in enumerate(parameters):
        if one.kind is inspect.Parameter.KEYWORD_ONLY:
            parts.insert(index, "*")
            break
    return f"{name}(\n    " + ",\n    ".join(parts) + f",\n) -> {result}"


def short(name: str, thing: Any) -> str:
    """`name(parameters)` in one line: without annotations, and with simple defaults only."""
    empty = inspect.Parameter.empty
    found = []
    for one in inspect.signature(thing).parameters.values():
        simple = one.default is empty or isinstance(one.default, str | int | float | None)
        if one.name not in ("self", "cls"):
            found.append(one.replace(annotation=empty, default=one.default if simple else ...))
    text = str(inspect.Signature(found)).replace("Ellipsis", "...")
    return f"{name}{text}"


def plain(text: str) -> str:
    """Annotations without the quotes around them, and without the modules of their names."""
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)
    return re.sub(r"(?:[a-z_]+\.)+(?=[A-Za-z])", "", text)


def entry(name: str, thing: Callable[..., Any]) -> str:
    return f"### `{name.partition('(')[0]}`\n\n```text\n{signature(name, thing)}\n```\n\n" + (
        f"{docstring(thing)}\n"
    )


def methods(cls: type, names: Iterable[str]) -> str:
    rows = []
    for name in names:
        method = inspect.getattr_static(cls, name)
        about = " ".join((inspect.getdoc(method) or "").split())
        shown = name if isinstance(method, property) else short(name, getattr(cls, name))
        rows.append(f"| `{shown}` | {cell(about)} |")
    return "\n".join(["| | |", "|---|---|", *rows]) + "\n"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", MADE, *(part.strip() for part in parts)]) + "\n"


def attribute_docs(cls: type) -> dict[str, str]:
    """The strings below the attributes of a class."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    found = {}
    for before, after in pairwise(tree.body):  # type: ignore[attr-defined]
        if (
            isinstance(before, ast.AnnAssign)
            and isinstance(before.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[before.target.id] = " ".join(str(after.value.value).split())
    return found


# --- Pages -------------------------------------------------------------------------------


def api() -> str:
    import notifications
    from notifications import audiences, errors, hq, inbox, notices, signals, testing

    functions = [
        name
        for name in ("notify", "broadcast", "notify_on", "alert", "resolve", "inbox_of")
        if name in notifications.__all__
    ]
    twins = sorted({f"a{name}" for name in functions} & set(notifications.__all__))
    recall = "`Notification.recall()` withdraws what was sent; `arecall()` is its async twin."
    shared = ("Everyone", "Staff", "Group", "Users")
    kinds = (
        "recipients",
        "title",
        "body",
        "url",
        "actor",
        "target",
        "data",
        "key",
        "expires",
        "at",
    )
    acts = ("counts", "unread", "page", "act", "mark_read", "mark_unread", "mark_seen")
    kit = ("assert_notified", "assert_not_notified", "time_travel", "live_client")
    client = ("assert_heard", "assert_not_heard", "titles", "unread", "unseen", "do", "settle")
    words = [name for name in vars(signals) if name in about_signals()]
    return page(
        "API",
        "What `from notifications import ...` gives. Async callers use the twins: "
        + ", ".join(f"`{name}`" for name in twins)
        + ".",
        "## Telling",
        *(entry(name, getattr(notifications, name)) for name in functions),
        recall,
        "## Audiences",
        docstring(audiences.Audience),
        "\n".join(
            ["| | |", "|---|---|"]
            + [
                f"| `{short(name, getattr(audiences, name))}` | "
                f"{cell(' '.join((inspect.getdoc(getattr(audiences, name)) or '').split()))} |"
                for name in shared
            ]
        ),
        "## Notice",
        docstring(notices.Notice),
        methods(notices.Notice, kinds),
        "## Inbox",
        docstring(inbox.Inbox),
        methods(inbox.Inbox, (*acts, "archive", "unarchive", "url_of", "kinds", "number")),
        "## Signals",
        docstring(signals),
        "\n".join(
            ["| | |", "|---|---|"]
            + [f"| `{one}` | {cell(about_signals()[one])} |" for one in words]
        ),
        "## Errors",
        docstring(errors),
        error_table(errors),
        "## Test kit",
        "In `notifications.testing`; [how to use it](../guides/testing.md).",
        *(entry(name, getattr(testing, name)) for name in kit),
        "### `LiveClient`",
        docstring(testing.LiveClient),
        methods(testing.LiveClient, (*client, "wait_until")),
        "## Coming from django-notifications",
        "In `notifications.hq`; [the whole move](../from-django-notifications.md).",
        entry("notify.send", hq.notify.send),
    )


def about_signals() -> dict[str, str]:
    """The strings below the signals."""
    body = ast.parse((ROOT / "notifications" / "signals.py").read_text()).body
    return {
        before.targets[0].id: " ".join(str(after.value.value).split())  # type: ignore[attr-defined]
        for before, after in pairwise(body)
        if isinstance(before, ast.Assign) and isinstance(after, ast.Expr)
    }


def error_table(errors: Any) -> str:
    rows = []
    for cls in vars(errors).values():
        if inspect.isclass(cls) and cls.__module__ == errors.__name__:
            family = cls.__mro__[1].__name__
            about = " ".join((cls.__doc__ or "").split())
            rows.append(f"| `{cls.__name__}` | `{getattr(cls, 'code', '')}` | {family} | {about} |")
    rows = [row.replace("``", "") for row in rows]
    return "\n".join(["| error | `code` | is a | |", "|---|---|---|---|", *rows])


def settings() -> str:
    from notifications.conf import Conf

    about = attribute_docs(Conf)
    rows = [
        f"| `{field.name.upper()}` | `{field.default!r}` | {cell(about[field.name])} |"
        for field in fields(Conf)
    ]
    return page(
        "Settings",
        "Keys of the dict `NOTIFICATIONS` in your settings. All have a default, so that the dict "
        "may be missing. Times are in seconds unless the name says otherwise. An unknown key or "
        "a value of the wrong type is an error at start.",
        '```python title="settings.py"\nNOTIFICATIONS = {"SWEEP": 2.0, "KEEP_DAYS": 14}\n```',
        "\n".join(["| key | default | |", "|---|---|---|", *rows]),
        "The environment of the site in this repository is in [Deploy](../running.md).",
    )


def commands() -> str:
    from django.core.management import load_command_class

    parts = []
    for file in sorted(COMMANDS.glob("[!_]*.py")):
        command = load_command_class("notifications", file.stem)
        parser = command.create_parser("manage.py", file.stem)
        ours = [
            action
            for action in parser._actions
            if action.dest not in BUILT_IN and action.help != "==SUPPRESS=="
        ]
        rows = [
            f"| `{', '.join(one.option_strings) or one.dest}`"
            f"{f' {one.metavar}' if one.metavar and one.option_strings else ''} | "
            f"{cell(' '.join(((one.help or '') % vars_of(one)).split()))} |"
            for one in ours
        ]
        parts.append(f"## `{file.stem}`\n\n{' '.join(str(command.help).split())}")
        if rows:
            parts.append("\n".join(["| option | |", "|---|---|", *rows]))
    return page(
        "Commands",
        "Run as `python manage.py NAME`. All take `--help`, and those that change something say "
        "what they did; with `--json` where a program reads it.",
        "Exit codes: 0 done, 1 refused or something is wrong, 2 wrong arguments, 4 nobody to "
        "tell, 130 interrupted.",
        *parts,
    )


BUILT_IN = {
    *("help", "version", "verbosity", "settings", "pythonpath", "traceback"),
    *("no_color", "force_color", "skip_checks"),
}


def vars_of(action: Any) -> dict[str, Any]:
    return {"default": action.default, "prog": "manage.py"}


def metrics() -> str:
    import asyncio

    from notifications.consumers import the_hub
    from notifications.metrics import Figures

    async def families() -> list[Any]:
        hub = the_hub()
        try:
            hub.stats["closed_4102"] = 1
            return list(Figures(hub).collect())
        finally:
            await hub.aclose()

    rows = []
    for family in asyncio.run(families()):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = sorted(
            {label for sample in family.samples for label in sample.labels if label != "le"}
        )
        shown = f"{name}{{{', '.join(labels)}}}" if labels else name
        rows.append(f"| `{shown}` | {family.type} | {cell(family.documentation)} |")
    return page(
        "Metrics",
        "What `/metrics` tells of one process, in the text format of Prometheus. Who may see it, "
        "and which of these to make an alarm of, is in [Deploy](../running.md#is-it-well).",
        "\n".join(["| metric | type | |", "|---|---|---|", *rows]),
    )


def codes() -> str:
    from notifications.wire import CLOSE_TEXTS, Close

    rows = [
        f"| {int(code)} | `{code.name.lower()}` | {CLOSE_TEXTS[code]} | "
        f"{'stops' if code < 4100 else 'comes back'} |"
        for code in sorted(Close, key=int)
    ]
    assert issubclass(Close, Enum)
    return page(
        "Close codes",
        "With which the server ends a WebSocket. After those below 4100 the client stops; after "
        "the others it comes back, each time after a random time of up to min(20, 0.5 · 2ⁿ) "
        "seconds. A refusal is accepted first and closed then, since browsers hide the code of a "
        "refused handshake. Over HTTP they are 401, 403, 429 and 503.",
        "\n".join(["| code | name | what it says | the client |", "|---|---|---|---|", *rows]),
    )


PAGES = {
    "api": api,
    "settings": settings,
    "commands": commands,
    "metrics": metrics,
    "close-codes": codes,
}


def main() -> None:
    prepare()
    FOLDER.mkdir(exist_ok=True)
    stale = []
    for name, make in PAGES.items():
        file = FOLDER / f"{name}.md"
        text = make()
        if not file.exists() or file.read_text() != text:
            stale.append(str(file.relative_to(ROOT)))
            if "--check" not in sys.argv:
                file.write_text(text)
    if "--check" in sys.argv and stale:
        sys.exit(f"out of date: {', '.join(stale)}. Run `make docs`.")


if __name__ == "__main__":
    main()
