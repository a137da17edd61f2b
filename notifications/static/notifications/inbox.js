// One inbox as pure state, the only place that knows what an entry changes.

const KEPT = 100;

const age = (row) => (row.at ??= Date.parse(row.created)); // parsed once
const newest = (a, b) => age(b) - age(a) || b.id - a.id;

export const behind = (cursor, heads) =>
  Object.keys(heads).some((key) =>
    key === "epoch" ? cursor[key] !== heads[key] : (cursor[key] ?? 0) < heads[key],
  );

export class Inbox {
  #log; // applied while a list is on its way
  #token = 0;
  #goal; // the heads when the server said "resume"
  #missed;
  #ahead; // [stream, seq] that `base` does not count
  #offset = 0; // of the server's clock
  #barred = new Set();
  #own; // what a person did here, until it is in the log or refused

  constructor({ cursor, counts, now = Date.now, kept = KEPT }) {
    Object.assign(this, { now, kept });
    this.clear();
    this.cursor = cursor && { ...cursor };
    this.base = counts ?? this.base;
  }

  clear() {
    this.rows = new Map();
    this.alerts = new Map(); // what changed since the page was drawn, by id; for operators
    this.loaded = false;
    this.base = { unseen: 0, unread: 0 };
    this.cursor = this.#log = this.#goal = null;
    this.#ahead = [];
    this.#own = new Set();
    this.#token++;
  }

  get unseen() {
    return Math.min(this.base.unseen + this.#ahead.length, KEPT);
  }

  get unread() {
    return Math.min(this.base.unread + this.#ahead.length, KEPT);
  }

  /** As a frame, for a tab that joins late. */
  get counts() {
    return { type: "counts", at: this.cursor, unseen: this.unseen, unread: this.unread };
  }

  list() {
    const now = this.now() + this.#offset;
    return [...this.rows.values()]
      .filter((row) => !row.archived && !(Date.parse(row.expires) <= now))
      .sort(newest);
  }

  /** Returns what is new, how many of it were missed, and whether to sync or to reload. */
  apply(frame) {
    const change = {
      created: [],
      alerts: [],
      missed: 0,
      counts: false,
      sync: false,
      reload: false,
    };
    const { unseen, unread } = this;
    this[`_${frame.type}`]?.(frame, change);
    change.counts = unseen !== this.unseen || unread !== this.unread;
    return change;
  }

  _welcome({ mode, cursor, counts, server_time }, change) {
    this.#offset = Date.parse(server_time) - this.now();
    if (mode !== "reset" && this.cursor) {
      change.sync = behind(this.cursor, cursor);
      this.#goal = change.sync && cursor;
      this.#missed = 0;
    } else {
      this._reset({ cursor }, change);
      change.reload = this.loaded || !!this.#log;
    }
    this._counts(counts);
  }

  _items({ stream, prev, seq, items }, change) {
    const { cursor, base } = this;
    const held = cursor?.[stream] ?? 0;
    if (seq <= held) return;
    change.sync = !cursor || prev > held;
    if (change.sync) return;
    // A frame that begins before our position holds all that follows it.
    for (const entry of items) {
      if (entry.seq <= held) continue;
      this.#log?.push([stream, entry]);
      this.#change(stream, entry, change);
      this.#own.delete([...this.#own].find(({ op }) => op === entry.op));
      if (entry.op !== "created") continue;
      if (entry.seq > (base.at?.[stream] ?? 0)) this.#ahead.push([stream, entry.seq]);
      if (entry.seq <= (this.#goal?.[stream] ?? 0)) this.#missed++;
    }
    this.#redo();
    this.#ahead = this.#ahead.slice(-KEPT);
    const { rows, kept } = this;
    if (rows.size > kept)
      for (const { id } of [...rows.values()].sort(newest).slice(kept)) rows.delete(id);
    cursor[stream] = seq;
    if (!this.#goal || behind(cursor, this.#goal)) return;
    change.missed = this.#missed;
    this.#goal = null;
  }

  _counts({ at, unseen, unread }) {
    // Answers overtake each other.
    const held = this.base.at ?? {};
    if (held.epoch === at.epoch && Object.keys(held).some((key) => at[key] < held[key])) return;
    this.base = { at, unseen, unread };
    this.#ahead = this.#ahead.filter(([stream, seq]) => seq > (at[stream] ?? 0));
  }

  _done({ counts }) {
    if (counts) this._counts(counts);
  }

  _hb({ cursor }, change) {
    if (!cursor) return;
    change.sync = !!this.cursor && behind(this.cursor, cursor);
    change.reload = !this.cursor && !!this.#log;
    this.cursor ??= { ...cursor };
  }

  _reset({ cursor }, change) {
    this.cursor = { ...cursor };
    this.alerts = new Map();
    this.base = { ...this.base, at: null };
    this.#ahead = [];
    this.#goal = null;
    change.reload = true;
  }

  /** Keep one out of the list, also out of one that is on its way. */
  bar(id) {
    this.#barred.add(id);
    this.rows.delete(id);
  }

  /** Before asking for a list; `load` takes its answer with this token. */
  begin() {
    this.#log = [];
    return ++this.#token;
  }

  load({ items, counts }, token) {
    if (token !== this.#token) return false;
    this.rows = new Map(items.map((item) => [item.id, { ...item }]));
    this.loaded = true;
    this.cursor ??= { ...counts.at };
    this._counts(counts);
    for (const [stream, entry] of this.#log)
      if (entry.seq > (counts.at[stream] ?? 0)) this.#change(stream, entry);
    this.#redo();
    for (const id of this.#barred) this.rows.delete(id);
    this.#log = null;
    return true;
  }

  /** What a person does shows before its entry comes. Returns what is to be called when the
   * server has answered: with true to take it back. */
  act(action, detail) {
    const before = [...this.rows.values()].map((row) => [row, row.unread, row.archived]);
    const own = { op: action.replace(/archive$/, "$&d"), ...detail };
    this.#own.add(own);
    this.#change(null, own);
    return (failed) => {
      this.#own.delete(own);
      if (failed) before.forEach(([row, unread, archived]) => Object.assign(row, { unread, archived }));
      this.#redo();
    };
  }

  // An entry of what was done first must not undo what was done since.
  #redo() {
    for (const own of this.#own) this.#change(null, own);
  }

  #change(stream, entry, change) {
    const { op, seq, ids = [], upto, notification } = entry;
    const { rows } = this;
    const held = ids.filter((id) => rows.has(id)).map((id) => rows.get(id));
    const old = rows.get(notification?.id);
    const set = (field, value, which = held) => which.forEach((row) => (row[field] = value));
    if (op === "created") {
      // A list may hold it before its entry comes: then it is news all the same.
      const row = { unread: true, archived: false, ...old, ...notification, stream, seq, told: true };
      rows.set(row.id, row);
      if (!old?.told) change?.created.push(row);
    } else if (op === "alert") {
      const { alerts, kept } = this;
      alerts.delete(entry.alert.id); // the latest comes last
      alerts.set(entry.alert.id, entry.alert);
      if (alerts.size > kept) alerts.delete(alerts.keys().next().value);
      change?.alerts.push(entry);
    } else if (op === "updated") old && Object.assign(old, notification);
    else if (op === "recalled") ids.forEach((id) => rows.delete(id));
    else if (op === "read" || op === "unread") set("unread", op === "unread");
    else if (op === "archived") set("archived", true);
    else if (op === "unarchived") {
      set("archived", false);
      if (change && held.length < ids.length) change.reload = this.loaded;
    } else if (op === "read_all")
      set("unread", false, [...rows.values()].filter((row) => row.seq && row.seq <= upto[row.stream]));
  }
}
