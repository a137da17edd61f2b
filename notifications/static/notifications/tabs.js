// One socket for all tabs of a session. Each applies the leader's frames from its own cursor,
// so any can go on as the leader.

const KEPT = 100; // claims

export class Tabs {
  state = "idle";
  retryAt = 0;
  way = "socket"; // or events, longpoll, poll
  leader = false;
  listeners = new Set(); // with any of changed, framed, stated, failed
  #on = false;
  #channel = null;
  #socket = null;
  #feed = null; // instead of the socket, where none comes through
  #loading = false;
  #failures = 0; // of loading even that
  #lock = null;
  #release = null;
  #asked = "";
  #sending = false;
  #claims = [];
  #last; // [rows, what becomes of it]: what is done to the same again waits for it

  /** `live`: "auto"; "poll" opens no socket; "off" opens no line at all. */
  constructor({ config, inbox, Socket, load, live }) {
    Object.assign(this, { config, inbox, Socket, loadModule: load, live });
    const on = (target, names, listener) =>
      names.split(" ").forEach((name) => target.addEventListener(name, listener));
    // A cached page keeps its lock: a leader there would be deaf.
    on(window, "pagehide", () => this.stop());
    on(document, "freeze", () => this.stop());
    on(window, "pageshow online offline", () => this.check());
    on(document, "resume visibilitychange", () => document.hidden || this.check());
  }

  start() {
    if (this.live === "off") return this.#flush();
    if (this.#on || this.state === "signedout") return;
    this.#on = true;
    const name = this.config.channel;
    if (!name || !navigator.locks) {
      this.#lead();
      return;
    }
    this.#state("connecting");
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    const { signal } = (this.#lock = new AbortController());
    navigator.locks
      .request(name, { signal }, () => {
        if (signal.aborted) return;
        this.#lead();
        return new Promise((release) => (this.#release = release));
      })
      .catch(() => {});
    this.post({ hi: 1 });
  }

  stop() {
    this.#on = this.leader = false;
    this.#feed?.stop();
    this.#socket?.stop();
    this.#lock?.abort();
    this.#release?.();
    this.#channel?.close();
    this.#feed = this.#socket = this.#lock = this.#release = this.#channel = null;
  }

  check() {
    if (!this.#on) this.start();
    else if (this.leader) {
      this.#socket.check();
      this.#feed?.check();
    } else this.post({ hi: 1 });
  }

  /** A person asks, so also after a code that says stop. */
  retry() {
    if (this.leader && this.live !== "poll") this.#socket.start();
    else this.post({ retry: 1 });
    this.check();
  }

  post(message) {
    this.#channel?.postMessage(message);
  }

  /**
   * True in the one tab that is to tell of what a frame brought, by the last of it; as long as that
   * tab lives, since one that comes out of the back/forward cache heard nothing of what was told.
   */
  async claim({ stream, seq }) {
    const { channel } = this.config;
    if (!channel || !navigator.locks) return true;
    const options = { ifAvailable: true };
    return new Promise((mine) =>
      navigator.locks.request(`${channel}-${stream}-${seq}`, options, (lock) => {
        mine(!!lock);
        return lock && new Promise((end) => this.#claims.push(end) > KEPT && this.#claims.shift()());
      }),
    );
  }

  /** Ask for what follows `cursor`; every tab takes of it what it lacks. */
  sync(cursor) {
    const asked = JSON.stringify(cursor);
    if (asked === this.#asked) return;
    this.#asked = asked;
    setTimeout(() => (this.#asked = ""), 1000);
    if (this.leader) (this.#feed?.live ? this.#feed : this.#socket).send({ type: "sync", cursor });
    else this.post({ sync: cursor });
  }

  async load() {
    const token = this.inbox.begin();
    const list = await this.#fetch(this.config.list);
    if (this.inbox.load(list, token)) this.#changed();
  }

  /**
   * Does it here at once and on the server as soon as may be. Resolves to false when it waits for
   * a line; rejects when the server refuses, and then all is again as it was. `leaving`: the
   * request outlives the page.
   */
  async act(action, detail, leaving = false) {
    const end = this.inbox.act(action, detail);
    this.#changed();
    const body = { action, ...detail };
    try {
      if (this.state === "offline") throw new TypeError();
      const rows = `${detail.ids}`;
      const before = !leaving && rows === this.#last?.[0] && this.#last[1];
      const doing = before ? before.then(() => this.#do(body)) : this.#do(body, leaving);
      this.#last = [rows, doing.catch(() => {})];
      await doing;
      end();
      return true;
    } catch (error) {
      const waits = error instanceof TypeError;
      end(!waits);
      if (waits) {
        this.#waiting = [...this.#waiting, body];
        return false;
      }
      this.#changed();
      if (this.inbox.loaded) this.load().catch(() => {});
      throw error;
    }
  }

  async #do(body, leaving) {
    const done =
      this.leader &&
      !leaving &&
      (await this.#socket.request({ type: "do", ...body }).catch(() => null));
    if (done?.error) throw Object.assign(new Error(done.error.detail), { status: 400 });
    if (done) return;
    const { counts } = await this.#fetch(this.config.do, {
      method: "POST",
      keepalive: leaving,
      headers: { "Content-Type": "application/json", "X-CSRFToken": this.config.csrf },
      body: JSON.stringify(body),
    });
    this.#take({ type: "counts", ...counts });
  }

  // What was done without a line. It outlives the page, and any tab of the session may send it.
  get #waiting() {
    return JSON.parse(localStorage[`nb-${this.config.channel}`] ?? "[]");
  }

  set #waiting(list) {
    const key = `nb-${this.config.channel}`;
    if (list.length) localStorage[key] = JSON.stringify(list);
    else localStorage.removeItem(key);
  }

  async #flush() {
    if (this.#sending) return;
    this.#sending = true;
    try {
      for (let next; (next = this.#waiting[0]); this.#waiting = this.#waiting.slice(1))
        await this.#do(next).catch((error) => {
          if (error instanceof TypeError) throw error;
          this.#tell("failed", error);
          if (this.inbox.loaded) this.load().catch(() => {});
        });
    } catch {
      // no line again; it is tried at the next
    }
    this.#sending = false;
  }

  async #fetch(url, options) {
    const answer = await fetch(url, { cache: "no-store", ...options });
    const { ok, status, headers } = answer;
    // A refusal of our own is JSON: of this action, not of the person.
    if (status === 401 || (status === 403 && !/json/.test(headers.get("Content-Type"))))
      this.#state("signedout");
    if (!ok) throw Object.assign(new Error(status), { status });
    return answer.json();
  }

  #lead() {
    this.leader = true;
    const { config, inbox } = this;
    this.#socket = new this.Socket({
      url: new URL(config.ws, location.href.replace("http", "ws")),
      hello: () => ({
        cursor: inbox.cursor,
        tab: Math.random().toString(36).slice(2),
        lang: config.lang,
      }),
      onframe: (frame) => this.#take(frame),
      onstate: (state, retryAt) => this.#lined(state, retryAt),
      onfail: () => this.#fall(),
    });
    if (this.live === "poll") this.#fall();
    else this.#socket.start();
  }

  // The socket is the line; while it cannot be, the feed is.
  #lined(state, retryAt) {
    const feed = this.#feed;
    if (state === "live") {
      feed?.stop();
      this.#feed = null;
      this.#failures = 0;
      this.#socket.patient = false;
    } else if (feed?.live && state !== "signedout") return;
    else if (/^(rec|con)/.test(state) && (feed?.failures ?? this.#failures) > 1) state = "offline";
    this.#state(state, retryAt, "socket");
  }

  async #fall() {
    if (this.#feed || this.#loading || !this.leader) return;
    this.#loading = true;
    const parts = await this.loadModule("feeds").catch(() => this.#failures++);
    this.#loading = false;
    if (!parts?.Feed || !this.leader || this.#socket.live) return;
    const { config, inbox } = this;
    const feed = (this.#feed = new parts.Feed({
      urls: config,
      first: this.live === "poll" ? "longpoll" : "events",
      ask: (cursor = inbox.cursor) => {
        const { epoch, ...seqs } = cursor ?? {};
        const at = Object.entries(seqs).map(([stream, seq]) => `;${stream}=${seq}`);
        return new URLSearchParams({ lang: config.lang, cursor: cursor ? epoch + at.join("") : "" });
      },
      onframe: (frame) => this.#take(frame),
      onstate: (state, retryAt) => {
        if (this.#socket.live) return;
        this.#socket.patient = feed.live;
        if (state === "signedout") this.#socket.stop();
        this.#state(state, retryAt, feed.way);
      },
    }));
    feed.start();
  }

  #take(frame) {
    const { leader, inbox } = this;
    const change = inbox.apply(frame);
    // A follower that lacks the last frame learns it here.
    if (leader) this.post({ frame: frame.type === "hb" ? this.#here : frame });
    // On "resume" the server goes on by itself, from the leader's cursor.
    if (change.sync && !(leader && frame.mode === "resume")) this.sync(inbox.cursor);
    this.#tell("framed", frame);
    this.#tell("changed", change);
    if (change.reload) this.load().catch((error) => this.#tell("failed", error));
  }

  get #here() {
    return { type: "hb", cursor: this.inbox.cursor };
  }

  #hear({ frame, state, retryAt, way, hi, sync, retry }) {
    if (!this.leader) {
      if (frame) this.#take(frame);
      if (state) this.#state(state, retryAt, way);
    } else if (hi) {
      const { state, retryAt, way } = this;
      this.post({ state, retryAt, way, frame: this.#here });
      this.post({ frame: this.inbox.counts });
    } else if (sync) this.sync(sync);
    else if (retry) this.retry();
  }

  #state(state, retryAt = 0, way = "socket") {
    if (this.state === "signedout") return;
    Object.assign(this, { state, retryAt, way });
    const out = state === "signedout";
    if (this.leader || out) this.post({ state, retryAt, way });
    if (this.leader && state === "live") this.#flush();
    if (out) {
      this.inbox.clear();
      this.#waiting = [];
    }
    this.#tell("stated", this);
    if (!out) return;
    this.stop();
    this.#changed();
  }

  #changed() {
    this.#tell("changed", { rows: true, counts: true, created: [] });
  }

  #tell(method, detail) {
    for (const listener of this.listeners) listener[method]?.(detail);
  }
}
