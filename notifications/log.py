"""Structured log lines: `close person=41 code=4008 reason=logged_out`.

They name people by id only. Titles, bodies, cookies, session keys and what clients wrote are
never in them.
"""

from __future__ import annotations

import json
import logging
import re

logger = logging.getLogger("notifications")

PLAIN = re.compile(r"[\w.:+-]+", re.ASCII)


def log(event: str, **fields: object) -> None:
    """One line of key=value; what is no plain word is quoted as in JSON, so a line stays one."""
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s", " ".join([event, *(f"{k}={_word(v)}" for k, v in fields.items())]))


def _word(value: object) -> str:
    text = str(value)
    return text if PLAIN.fullmatch(text) else json.dumps(text)
