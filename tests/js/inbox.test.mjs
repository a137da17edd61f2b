// What one inbox knows after the frames it was given.
import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./load.mjs";

const { Inbox, behind } = await load("inbox");

const NOON = Date.parse("2026-11-22T12:00:00Z");
const at = (user = 0, everyone = 0, epoch = "k3") => ({ epoch, user, everyone });
const counts = (position, unseen = 0, unread = unseen) => ({ at: position, unseen, unread });
const created = (seq, id = seq, more = {}) => ({
  op: "created",
  seq,
  notification: {
    id,
    kind: "",
    level: "info",
    title: `Title ${id}`,
    body: "",
    url: "",
    created: new Date(NOON + id * 1000).toISOString(),
    expires: null,
    ...more,
  },
});
const items = (prev, seq, list, stream = "user") => ({ type: "items", stream, prev, seq, items: list });
const welcome = (mode, cursor, number = counts(cursor)) => ({
  type: "welcome",
  mode,
  cursor,
  counts: number,
  heartbeat: 25,
  window: 64,
  server_time: new Date(NOON).toISOString(),
});
const row = (id, more = {}) => ({
  ...created(id).notification,
  stream: "user",
  seq: id,
  unread: true,
  archived: false,
  ...more,
});
const ids = (inbox) => inbox.list().map(({ id }) => id);
const unread = (inbox) => inbox.list().filter((one) => one.unread).map(({ id }) => id);

function anInbox(options = {}) {
  return new Inbox({ cursor: at(), counts: counts(at()), now: () => NOON, ...options });
}

function aLoaded(rows, position) {
  const inbox = anInbox({ cursor: position, counts: counts(position, rows.length) });
  inbox.load({ items: rows, counts: counts(position, rows.length) }, inbox.begin());
  return inbox;
}

test("a frame that follows our position is applied and moves it", () => {
  const inbox = anInbox();
  const change = inbox.apply(items(0, 2, [created(1), created(2)]));
  assert.deepEqual(change.created.map(({ id }) => id), [1, 2]);
  assert.equal(change.counts, true);
  assert.deepEqual(inbox.cursor, at(2));
  assert.deepEqual(ids(inbox), [2, 1]);
});

test("the same frame twice is applied once", () => {
  const inbox = anInbox();
  inbox.apply(items(0, 1, [created(1)]));
  const change = inbox.apply(items(0, 1, [created(1)]));
  assert.deepEqual(change.created, []);
  assert.equal(change.sync, false);
  assert.equal(inbox.unseen, 1);
});

test("the same notification under two numbers is one row and new once", () => {
  const inbox = anInbox();
  inbox.apply(items(0, 1, [created(1, 7)]));
  const change = inbox.apply(items(1, 2, [created(2, 7, { title: "Again" })]));
  assert.deepEqual(change.created, []);
  assert.deepEqual(inbox.list().map(({ title }) => title), ["Again"]);
});

test("a gap changes nothing and asks to sync", () => {
  const inbox = anInbox();
  const change = inbox.apply(items(3, 4, [created(4)]));
  assert.equal(change.sync, true);
  assert.deepEqual(change.created, []);
  assert.deepEqual(inbox.cursor, at());
  assert.equal(inbox.unseen, 0);
});

test("the answer to a sync closes the gap", () => {
  const inbox = anInbox();
  inbox.apply(items(3, 4, [created(4)]));
  inbox.apply(items(0, 4, [created(1), created(2), created(4)]));
  assert.deepEqual(inbox.cursor, at(4));
  assert.deepEqual(ids(inbox), [4, 2, 1]);
});

test("of a frame that begins before our position only the rest is applied", () => {
  const inbox = anInbox({ cursor: at(2), counts: counts(at(2), 2) });
  const change = inbox.apply(items(0, 3, [created(1), created(2), created(3)]));
  assert.deepEqual(change.created.map(({ id }) => id), [3]);
  assert.equal(change.sync, false);
  assert.equal(inbox.unseen, 3);
});

test("a tombstone moves the position though it holds nothing", () => {
  const inbox = anInbox();
  inbox.apply(items(0, 5, []));
  assert.deepEqual(inbox.cursor, at(5));
  assert.deepEqual(inbox.apply(items(5, 8, [created(8)])).created.length, 1);
  assert.deepEqual(inbox.cursor, at(8));
});

test("streams are counted apart", () => {
  const inbox = anInbox();
  inbox.apply(items(0, 1, [created(1, 10)]));
  const change = inbox.apply(items(0, 1, [created(1, 11)], "everyone"));
  assert.equal(change.created.length, 1);
  assert.deepEqual(inbox.cursor, at(1, 1));
});

test("a stream that the cursor does not name begins at 0", () => {
  const inbox = anInbox();
  const change = inbox.apply(items(0, 1, [created(1)], "group.5"));
  assert.equal(change.created.length, 1);
  assert.equal(inbox.cursor["group.5"], 1);
});

test("without a cursor an items frame asks to sync", () => {
  const inbox = anInbox({ cursor: null, counts: null });
  assert.equal(inbox.apply(items(0, 1, [created(1)])).sync, true);
});

test("a fresh welcome gives a position and counts, and needs no list", () => {
  const inbox = anInbox({ cursor: null, counts: null });
  const change = inbox.apply(welcome("fresh", at(4), counts(at(4), 2, 3)));
  assert.deepEqual(inbox.cursor, at(4));
  assert.deepEqual([inbox.unseen, inbox.unread], [2, 3]);
  assert.equal(change.counts, true);
  assert.equal(change.reload, false);
});

test("a fresh welcome while a list is on its way asks for the list again", () => {
  const inbox = anInbox({ cursor: null, counts: null });
  const token = inbox.begin();
  assert.equal(inbox.apply(welcome("fresh", at(4))).reload, true);
  inbox.load({ items: [row(1)], counts: counts(at(3)) }, inbox.begin());
  assert.equal(inbox.load({ items: [], counts: counts(at(1)) }, token), false);
  assert.deepEqual(ids(inbox), [1]);
});

test("a resumed inbox keeps its own position and says how many it had missed", () => {
  const inbox = anInbox({ cursor: at(1), counts: counts(at(1), 1) });
  assert.equal(inbox.apply(welcome("resume", at(3, 1), counts(at(3, 1), 4))).missed, 0);
  assert.deepEqual(inbox.cursor, at(1));
  assert.equal(inbox.apply(items(0, 1, [created(1, 30)], "everyone")).missed, 0);
  const change = inbox.apply(items(1, 3, [created(2), created(3)]));
  assert.equal(change.missed, 3);
  assert.equal(inbox.unseen, 4, "the counts of the welcome held them already");
  assert.equal(inbox.apply(items(3, 4, [created(4)])).missed, 0);
  assert.equal(inbox.unseen, 5);
});

test("what comes after the welcome is not counted as missed", () => {
  const inbox = anInbox();
  inbox.apply(welcome("resume", at(1), counts(at(1), 1)));
  assert.equal(inbox.apply(items(0, 2, [created(1), created(2)])).missed, 1);
});

test("a welcome that finds us up to date asks for nothing", () => {
  const inbox = anInbox();
  const change = inbox.apply(welcome("resume", at()));
  assert.deepEqual([change.sync, change.reload, change.missed], [false, false, 0]);
});

test("a welcome for another tab's socket sends a tab that is behind to sync", () => {
  const inbox = anInbox({ cursor: at(1) });
  assert.equal(inbox.apply(welcome("resume", at(2))).sync, true);
});

test("a reset replaces the whole position and asks for the list", () => {
  const inbox = aLoaded([row(1)], at(9, 9));
  const change = inbox.apply({ type: "reset", cursor: { epoch: "k4", user: 2 }, why: "epoch" });
  assert.equal(change.reload, true);
  assert.deepEqual(inbox.cursor, { epoch: "k4", user: 2 });
  inbox.load({ items: [row(2)], counts: counts({ epoch: "k4", user: 2 }, 1) }, inbox.begin());
  assert.deepEqual(ids(inbox), [2]);
  assert.equal(inbox.unseen, 1);
});

test("after a reset counts at lower positions are taken", () => {
  const inbox = aLoaded([row(1)], at(9));
  inbox.apply({ type: "reset", cursor: at(2), why: "ahead" });
  inbox.apply({ type: "counts", ...counts(at(2), 5) });
  assert.equal(inbox.unseen, 5);
});

test("a reset welcome of an inbox that shows a list asks for the list", () => {
  assert.equal(aLoaded([row(1)], at(9)).apply(welcome("reset", at(3))).reload, true);
  const change = anInbox().apply(welcome("reset", at(3), counts(at(3), 3)));
  assert.equal(change.reload, false, "nobody looks at a list");
});

test("counts at our position replace what we counted", () => {
  const inbox = anInbox();
  inbox.apply(items(0, 2, [created(1), created(2)]));
  inbox.apply({ type: "counts", ...counts(at(2), 1, 2) });
  assert.deepEqual([inbox.unseen, inbox.unread], [1, 2]);
});

test("counts from before an item leave that item counted", () => {
  const inbox = anInbox();
  inbox.apply(items(0, 2, [created(1), created(2)]));
  inbox.apply({ type: "counts", ...counts(at(1), 1) });
  assert.equal(inbox.unseen, 2);
});

test("an item that the counts held already adds nothing", () => {
  const inbox = anInbox();
  inbox.apply({ type: "counts", ...counts(at(2), 2) });
  const change = inbox.apply(items(0, 2, [created(1), created(2)]));
  assert.equal(inbox.unseen, 2);
  assert.equal(change.counts, false);
  assert.equal(change.created.length, 2);
});

test("an answer that was overtaken does not take the counts back", () => {
  const inbox = anInbox();
  inbox.apply({ type: "counts", ...counts(at(5), 1) });
  inbox.apply({ type: "counts", ...counts(at(4), 9) });
  assert.equal(inbox.unseen, 1);
});

test("counts of another stream's position are compared stream by stream", () => {
  const inbox = anInbox();
  inbox.apply({ type: "counts", ...counts(at(5, 5), 1) });
  inbox.apply({ type: "counts", ...counts({ epoch: "k3", user: 6 }, 2) });
  assert.equal(inbox.unseen, 2, "an audience was left");
});

test("a done brings counts, and a refused one brings none", () => {
  const inbox = anInbox();
  inbox.apply({ type: "done", id: "1", ok: true, counts: counts(at(), 3) });
  assert.equal(inbox.unseen, 3);
  inbox.apply({ type: "done", id: "2", ok: false, error: { code: "not_yours", detail: "" } });
  assert.equal(inbox.unseen, 3);
});

test("numbers stop at 100, however many came", () => {
  const inbox = anInbox();
  inbox.apply(items(0, 300, Array.from({ length: 300 }, (_, i) => created(i + 1))));
  assert.equal(inbox.unseen, 100);
  assert.equal(inbox.list().length, 100);
  assert.deepEqual(ids(inbox).slice(0, 2), [300, 299]);
  inbox.apply({ type: "counts", ...counts(at(300), 0, 100) });
  assert.deepEqual([inbox.unseen, inbox.unread], [0, 100]);
});

test("read, unread, archived and unarchived change their rows", () => {
  const inbox = aLoaded([row(1), row(2), row(3)], at(3));
  inbox.apply(items(3, 4, [{ op: "read", seq: 4, ids: [1, 2] }]));
  assert.deepEqual(unread(inbox), [3]);
  inbox.apply(items(4, 5, [{ op: "unread", seq: 5, ids: [1] }]));
  assert.deepEqual(unread(inbox), [3, 1]);
  inbox.apply(items(5, 6, [{ op: "archived", seq: 6, ids: [3] }]));
  assert.deepEqual(ids(inbox), [2, 1]);
  const change = inbox.apply(items(6, 7, [{ op: "unarchived", seq: 7, ids: [3] }]));
  assert.deepEqual(ids(inbox), [3, 2, 1]);
  assert.equal(change.reload, false);
});

test("what is unarchived and not here is fetched", () => {
  const inbox = aLoaded([row(1)], at(3));
  assert.equal(inbox.apply(items(3, 4, [{ op: "unarchived", seq: 4, ids: [99] }])).reload, true);
});

test("an operation on rows that are not here is no error", () => {
  const inbox = anInbox();
  for (const op of ["read", "unread", "archived", "unarchived", "recalled", "seen"]) {
    const seq = inbox.cursor.user + 1;
    inbox.apply(items(seq - 1, seq, [{ op, seq, ids: [99] }]));
  }
  assert.deepEqual(inbox.cursor, at(6));
});

test("an operation of a later version is passed over", () => {
  const inbox = anInbox();
  inbox.apply(items(0, 2, [{ op: "pinned", seq: 1, ids: [1] }, created(2)]));
  assert.deepEqual(ids(inbox), [2]);
});

test("a frame of a later version is passed over", () => {
  assert.deepEqual(anInbox().apply({ type: "weather" }).created, []);
});

test("read_all leaves unread what came after the positions it names", () => {
  const rows = [row(1), row(2), row(3), row(7, { stream: "everyone", seq: 1 })];
  const inbox = aLoaded(rows, at(3, 1));
  inbox.apply(items(3, 4, [{ op: "read_all", seq: 4, upto: { user: 2, everyone: 0 } }]));
  assert.deepEqual(unread(inbox), [7, 3]);
});

test("read_all leaves unread what has no number yet, and streams it does not name", () => {
  const inbox = aLoaded([row(1), row(2, { seq: null }), row(3, { stream: "staff" })], at(3));
  inbox.apply(items(3, 4, [{ op: "read_all", seq: 4, upto: { user: 9 } }]));
  assert.deepEqual(unread(inbox), [3, 2]);
});

test("a seen entry changes no row", () => {
  const inbox = aLoaded([row(1)], at(1));
  inbox.apply(items(1, 2, [{ op: "seen", seq: 2, upto: { user: 1 } }]));
  assert.deepEqual(unread(inbox), [1]);
});

test("what is recalled is gone", () => {
  const inbox = aLoaded([row(1), row(2)], at(2));
  inbox.apply(items(2, 3, [{ op: "recalled", seq: 3, ids: [2] }]));
  assert.deepEqual(ids(inbox), [1]);
});

test("an update changes the row that is here, and makes none", () => {
  const inbox = aLoaded([row(1, { unread: false })], at(1));
  inbox.apply(items(1, 2, [{ op: "updated", seq: 2, notification: { id: 1, title: "New" } }]));
  inbox.apply(items(2, 3, [{ op: "updated", seq: 3, notification: { id: 9, title: "No" } }]));
  assert.deepEqual(inbox.list().map(({ title }) => title), ["New"]);
  assert.deepEqual(unread(inbox), []);
});

test("rows come newest first, and of one moment the higher id first", () => {
  const same = new Date(NOON).toISOString();
  const inbox = aLoaded(
    [row(1), row(5, { created: same }), row(6, { created: same }), row(3)],
    at(6),
  );
  assert.deepEqual(ids(inbox), [3, 1, 6, 5]);
});

test("the oldest row goes when there are more than 100, whatever order they come in", () => {
  const inbox = anInbox();
  const late = created(101, 1000, { created: new Date(NOON - 1000).toISOString() });
  inbox.apply(items(0, 100, Array.from({ length: 100 }, (_, i) => created(i + 1))));
  inbox.apply(items(100, 101, [late]));
  assert.equal(inbox.list().length, 100);
  assert.equal(inbox.rows.has(1000), false);
});

test("what has expired by the server's clock is hidden", () => {
  const inbox = anInbox({ now: () => NOON - 3_600_000 }); // our clock is an hour slow
  inbox.apply(welcome("resume", at()));
  const soon = new Date(NOON + 60_000).toISOString();
  const past = new Date(NOON - 60_000).toISOString();
  inbox.apply(items(0, 2, [created(1, 1, { expires: soon }), created(2, 2, { expires: past })]));
  assert.deepEqual(ids(inbox), [1]);
});

test("a heartbeat that is ahead of us asks to sync, a bare one does not", () => {
  const inbox = anInbox({ cursor: at(2) });
  assert.equal(inbox.apply({ type: "hb" }).sync, false);
  assert.equal(inbox.apply({ type: "hb", cursor: at(2) }).sync, false);
  assert.equal(inbox.apply({ type: "hb", cursor: at(1) }).sync, false);
  assert.equal(inbox.apply({ type: "hb", cursor: at(3) }).sync, true);
  assert.equal(inbox.apply({ type: "hb", cursor: at(2, 0, "k9") }).sync, true);
});

test("a tab without a position takes the leader's", () => {
  const inbox = anInbox({ cursor: null, counts: null });
  const change = inbox.apply({ type: "hb", cursor: at(3) });
  assert.deepEqual(inbox.cursor, at(3));
  assert.deepEqual([change.sync, change.reload], [false, false]);
});

test("what happens while a list is on its way happens to that list too", () => {
  const inbox = anInbox({ cursor: at(2), counts: counts(at(2), 2) });
  const token = inbox.begin();
  inbox.apply(items(2, 5, [{ op: "read", seq: 3, ids: [1] }, { op: "archived", seq: 4, ids: [2] }, created(5)]));
  inbox.load({ items: [row(1), row(2)], counts: counts(at(2), 2) }, token);
  assert.deepEqual(ids(inbox), [5, 1]);
  assert.deepEqual(unread(inbox), [5]);
  assert.equal(inbox.unseen, 3);
});

test("what the list holds already is not done to it again", () => {
  const inbox = anInbox({ cursor: at(2), counts: counts(at(2), 2) });
  const token = inbox.begin();
  inbox.apply(items(2, 3, [{ op: "read", seq: 3, ids: [1] }]));
  // The server read the list after "read" (3) and "unread" (4); the second is still on its way.
  inbox.load({ items: [row(1)], counts: counts(at(4), 2) }, token);
  assert.deepEqual(unread(inbox), [1]);
  inbox.apply(items(3, 4, [{ op: "unread", seq: 4, ids: [1] }]));
  assert.deepEqual(unread(inbox), [1]);
});

test("an item of the list that comes as an entry too is news once, one row, and counts", () => {
  const inbox = anInbox();
  inbox.load({ items: [row(1)], counts: counts(at(), 0) }, inbox.begin());
  const change = inbox.apply(items(0, 1, [created(1)]));
  assert.deepEqual(change.created.map(({ id }) => id), [1]);
  assert.deepEqual(ids(inbox), [1]);
  assert.equal(inbox.unseen, 1);
  assert.deepEqual(inbox.apply(items(1, 2, [created(2, 1)])).created, []);
});

test("a pending row of the list gets its number from its entry and stays read if it was", () => {
  const inbox = anInbox();
  inbox.load({ items: [row(1, { seq: null, unread: false })], counts: counts(at()) }, inbox.begin());
  inbox.apply(items(0, 1, [created(1)]));
  assert.equal(inbox.rows.get(1).seq, 1);
  assert.equal(inbox.rows.get(1).unread, false);
});

test("a list that was asked for before another is not taken", () => {
  const inbox = anInbox();
  const first = inbox.begin();
  const second = inbox.begin();
  assert.equal(inbox.load({ items: [row(2)], counts: counts(at(2)) }, second), true);
  assert.equal(inbox.load({ items: [row(1)], counts: counts(at(1)) }, first), false);
  assert.deepEqual(ids(inbox), [2]);
});

test("without a cursor the list's position is taken", () => {
  const inbox = anInbox({ cursor: null, counts: null });
  inbox.load({ items: [], counts: counts(at(4), 1) }, inbox.begin());
  assert.deepEqual(inbox.cursor, at(4));
  assert.equal(inbox.unseen, 1);
});

test("what a person does shows at once, and its entry changes nothing more", () => {
  const inbox = aLoaded([row(1), row(2), row(3)], at(3));
  inbox.act("read", { ids: [1] })();
  inbox.act("archive", { ids: [2] })();
  assert.deepEqual(ids(inbox), [3, 1]);
  assert.deepEqual(unread(inbox), [3]);
  inbox.act("unarchive", { ids: [2] })();
  inbox.act("unread", { ids: [1] })();
  assert.deepEqual(unread(inbox), [3, 2, 1]);
  inbox.act("read_all", { upto: at(2) })();
  assert.deepEqual(unread(inbox), [3]);
  inbox.act("seen", { upto: at(2) })();
  inbox.apply(items(3, 4, [{ op: "read_all", seq: 4, upto: at(2) }]));
  assert.deepEqual(unread(inbox), [3]);
  assert.equal(inbox.unseen, 3, "counts are the server's");
});

test("the entry of what was done first does not undo what was done since", () => {
  const inbox = aLoaded([row(1), row(2)], at(2));
  const first = inbox.act("read", { ids: [1] });
  const second = inbox.act("unread", { ids: [1] });
  inbox.apply(items(2, 3, [{ op: "read", seq: 3, ids: [1] }]));
  assert.deepEqual(unread(inbox), [2, 1]);
  first();
  inbox.apply(items(3, 4, [{ op: "unread", seq: 4, ids: [1] }]));
  second();
  assert.deepEqual(unread(inbox), [2, 1]);
});

test("what was refused is taken back, and what was done since is not", () => {
  const inbox = aLoaded([row(1), row(2), row(3)], at(3));
  const first = inbox.act("read", { ids: [1] });
  const second = inbox.act("read", { ids: [2] });
  first(true);
  assert.deepEqual(unread(inbox), [3, 1]);
  second();
  assert.deepEqual(unread(inbox), [3, 1]);
});

test("what another device does after it is the last word, though the answer is not there yet", () => {
  const inbox = aLoaded([row(1)], at(1));
  const end = inbox.act("read", { ids: [1] });
  inbox.apply(items(1, 3, [{ op: "read", seq: 2, ids: [1] }, { op: "unread", seq: 3, ids: [1] }]));
  assert.deepEqual(unread(inbox), [1]);
  end();
  assert.deepEqual(unread(inbox), [1]);
});

test("a list that was asked for before an action does not take it back", () => {
  const inbox = aLoaded([row(1)], at(1));
  const token = inbox.begin();
  const end = inbox.act("read", { ids: [1] });
  inbox.load({ items: [row(1)], counts: counts(at(1), 1) }, token);
  assert.deepEqual(unread(inbox), []);
  end();
});

test("the counts for a late tab include what we counted ourselves", () => {
  const leader = anInbox();
  leader.apply(items(0, 2, [created(1), created(2)]));
  const late = anInbox();
  late.apply(leader.counts);
  late.apply(items(0, 2, [created(1), created(2)]));
  assert.equal(late.unseen, 2);
});

test("signing out forgets everything, also a list on its way", () => {
  const inbox = aLoaded([row(1)], at(1));
  const token = inbox.begin();
  inbox.clear();
  assert.deepEqual([inbox.list(), inbox.unseen, inbox.cursor, inbox.loaded], [[], 0, null, false]);
  assert.equal(inbox.load({ items: [row(1)], counts: counts(at(1), 1) }, token), false);
  assert.deepEqual(inbox.list(), []);
});

test("the page's cursor is not changed under it", () => {
  const config = { cursor: at(), counts: counts(at()) };
  const inbox = new Inbox(config);
  inbox.apply(items(0, 1, [created(1)]));
  assert.deepEqual(config.cursor, at());
});

test("behind compares every stream and the epoch", () => {
  assert.equal(behind(at(1, 1), at(1, 1)), false);
  assert.equal(behind(at(2, 1), at(1, 1)), false);
  assert.equal(behind(at(2, 0), at(1, 1)), true);
  assert.equal(behind(at(1), { ...at(1), staff: 1 }), true);
  assert.equal(behind(at(1), { ...at(1), staff: 0 }), false);
  assert.equal(behind(at(9), at(1, 0, "k9")), true);
});

test("tabs that join late, and frames in any splitting, end in the same state", () => {
  const entries = [
    created(1),
    created(2),
    { op: "read", seq: 3, ids: [1] },
    created(4),
    { op: "archived", seq: 5, ids: [2] },
    { op: "read_all", seq: 6, upto: at(4) },
    created(7),
    { op: "unread", seq: 8, ids: [4] },
  ];
  let seed = 7;
  const random = (below) => (seed = (seed * 16807) % 2147483647) % below;
  const cut = (from, to) => items(from, to, entries.filter(({ seq }) => seq > from && seq <= to));
  for (let round = 0; round < 300; round++) {
    const inbox = anInbox();
    for (let step = 0; inbox.cursor.user < 8; step++) {
      const from = random(9);
      const to = from + 1 + random(8 - Math.min(from, 7));
      const held = inbox.cursor.user;
      const change = inbox.apply(cut(from, Math.min(to, 8)));
      assert.equal(change.sync, from > held && Math.min(to, 8) > held);
      assert.ok(step < 10_000);
    }
    assert.deepEqual(ids(inbox), [7, 4, 1]);
    assert.deepEqual(unread(inbox), [7, 4]);
    assert.equal(inbox.unseen, 4);
  }
});

const alert = (seq, id, state) => ({
  op: "alert",
  seq,
  alert: { id, key: `key-${id}`, state },
  event: { kind: state, by: "dana" },
});
const alerts = (inbox) => [...inbox.alerts.values()].map(({ id, state }) => [id, state]);

test("an alert is state by its id, the latest last, and counts nothing", () => {
  const inbox = anInbox({ cursor: { ...at(), alerts: 0 } });
  const list = [alert(1, 7, "firing"), alert(2, 8, "firing"), alert(3, 7, "acknowledged")];
  const change = inbox.apply(items(0, 3, list, "alerts"));
  assert.deepEqual(alerts(inbox), [[8, "firing"], [7, "acknowledged"]]);
  assert.deepEqual(change.alerts, list);
  assert.deepEqual([inbox.unseen, inbox.unread, change.counts], [0, 0, false]);
  assert.deepEqual(inbox.list(), []);
  const again = inbox.apply(items(0, 3, list, "alerts"));
  assert.deepEqual(again.alerts, []);
});

test("a reset forgets the alerts, and a storm of keys keeps the newest hundred", () => {
  const inbox = anInbox({ cursor: { ...at(), alerts: 0 } });
  const storm = Array.from({ length: 150 }, (_, index) => alert(index + 1, index, "firing"));
  inbox.apply(items(0, 150, storm, "alerts"));
  assert.equal(inbox.alerts.size, 100);
  assert.ok(inbox.alerts.has(149) && !inbox.alerts.has(49));
  inbox.apply({ type: "reset", cursor: at(), why: "audience" });
  assert.equal(inbox.alerts.size, 0);
});
