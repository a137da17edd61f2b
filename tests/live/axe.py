"""The accessibility checker, put into a page past any Content-Security-Policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.sync_api import Page

SOURCE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
ASK = """
(async () => {
  const found = await axe.run(%s, { resultTypes: ["violations", "incomplete"], preload: false });
  const told = (list) => list.flatMap(({ id, nodes }) =>
    nodes.map(({ target, any, all, none }) =>
      [id, target.join(" "), [...any, ...all, ...none].map((one) => one.message).join("; ")]));
  return { violations: told(found.violations), incomplete: told(found.incomplete) };
})()
"""


class Axe:
    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)

    def _evaluate(self, expression: str) -> Any:
        answer = self._session.send(
            "Runtime.evaluate",
            {"expression": expression, "awaitPromise": True, "returnByValue": True},
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def run(self, *selectors: str) -> dict[str, list[list[str]]]:
        """What is wrong, and what only a person can tell: of the page, or of parts of it."""
        if self._evaluate("typeof axe") == "undefined":
            self._evaluate(SOURCE + "; 0")
        parts = [[selector] for selector in selectors]
        context = f"{{include: {json.dumps(parts)}}}" if parts else "document"
        found: dict[str, list[list[str]]] = self._evaluate(ASK % context)
        return found
