"""How long a push takes, from `notify()` to the number on the screen, in a real page.

It begins with the time that the notification bears, which it was given before it was written: so
the commit is in it. It ends with the first frame of the screen after the badge has changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

from tests.live.process import wait_until

WATCH = """
window.delays = []; // milliseconds, one for each notification
addEventListener("DOMContentLoaded", () => {
  const born = [];
  addEventListener("notify:receive", ({ detail: { notification } }) =>
    born.push(Date.parse(notification.created)));
  const badge = document.querySelector("notification-bell .nb-badge");
  if (badge) new MutationObserver(() => {
    const these = born.splice(0);
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel(); // what follows the frame
      port1.onmessage = () => {
        const now = performance.timeOrigin + performance.now();
        delays.push(...these.map((at) => now - at));
      };
      port2.postMessage(0);
    });
  }).observe(badge, { childList: true, characterData: true, subtree: true });
});
"""


def watch(context: BrowserContext) -> None:
    """Before the page is opened."""
    context.add_init_script(WATCH)


def delays(page: Page, push: Callable[[], Any], number: int, every: float = 0.05) -> list[float]:
    """Push so often, one by one, and tell how long each took; the badge is empty before."""
    page.evaluate("delays.length = 0")
    for _ in range(number):
        push()
        time.sleep(every)
    wait_until(lambda: page.evaluate("delays.length") >= number, "all are on the badge", 60)
    found = page.evaluate("delays")
    assert len(found) == number
    page.evaluate(
        """async () => {
          const { tabs } = document.querySelector("notification-bell");
          await tabs.act("seen", { upto: { ...tabs.inbox.cursor } });
        }"""
    )
    expect(page.locator("notification-bell .nb-badge")).to_have_text("", timeout=15_000)
    return found


def p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]
