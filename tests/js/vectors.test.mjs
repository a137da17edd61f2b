// The histories that tests/kernel/test_model.py recorded from the kernel, step by step.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { load } from "./load.mjs";

const { Inbox } = await load("inbox");
const histories = JSON.parse(await readFile(new URL("vectors.json", import.meta.url), "utf8"));

for (const { seed, start, steps } of histories)
  test(`history ${seed} ends every step as the server stored it`, () => {
    let now = start;
    let token;
    const inbox = new Inbox({ cursor: null, now: () => now });
    let compared = 0;
    for (const [number, step] of steps.entries()) {
      now = step.now;
      for (const [what, content] of step.events) {
        if (what === "begin") token = inbox.begin();
        else if (what === "load") assert.equal(inbox.load(content, token), true);
        else inbox.apply(content);
      }
      if (!step.shown) continue;
      compared++;
      const where = `step ${number}`;
      const shown = inbox.list().map(({ id, title, unread }) => [id, title, unread]);
      assert.deepEqual(shown, step.shown, where);
      assert.deepEqual([inbox.unseen, inbox.unread], step.counts, where);
      assert.deepEqual(inbox.cursor, step.cursor, where);
    }
    assert.ok(compared > 0);
  });
