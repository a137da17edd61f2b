"""A process of the site that is not a web server: what a cron job or a Celery worker is.

    python -m tests.live.worker                        deeds as JSON lines on stdin, one by one
    python -m tests.live.worker module:deed '{"a":1}'  one deed, then the end

A deed is a plain function of tests.live.deeds (or of any importable module); its arguments and
its answer are JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, TextIO


def perform(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        module, function = name.split(":")
        deed = getattr(importlib.import_module(module), function)
        return {"ok": True, "answer": deed(**arguments)}
    except Exception:
        return {"ok": False, "error": traceback.format_exc()}


def name_of(deed: Callable[..., Any]) -> str:
    return f"{deed.__module__}:{deed.__qualname__}"


def serve(answers: TextIO) -> None:
    from django.db import close_old_connections

    for line in sys.stdin:
        request = json.loads(line)
        close_old_connections()
        answer = perform(request["deed"], request["arguments"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main(arguments: list[str]) -> None:
    import django

    # What anybody prints goes to the log; stdout speaks JSON only.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    django.setup()
    if not arguments:
        serve(answers)
        return
    answer = perform(arguments[0], json.loads(arguments[1]))
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
