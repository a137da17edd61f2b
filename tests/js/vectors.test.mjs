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

const alerts = JSON.parse(await readFile(new URL("alerts.json", import.meta.url), "utf8"));

test("alerts end every step as the server stored them, whatever comes twice", () => {
  const inbox = new Inbox({ cursor: { epoch: "k", user: 0, alerts: 0 }, counts: null });
  for (const [number, { frames, stored, alerts: seq }] of alerts.entries()) {
    for (const frame of [...frames, ...frames]) inbox.apply(frame);
    const held = [...inbox.alerts.values()].sort((a, b) => a.id - b.id);
    assert.deepEqual(held, stored, `step ${number}`);
    assert.equal(inbox.cursor.alerts, seq);
    assert.deepEqual([inbox.unseen, inbox.unread], [0, 0]);
  }
});
