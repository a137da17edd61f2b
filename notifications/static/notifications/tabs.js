// One socket for all tabs of a session. Each applies the leader's frames from its own cursor,
// so any can go on as the leader.

export class Tabs {
  state = "idle";
  retryAt = 0;
  leader = false;
  listeners = new Set(); // with any of changed, framed, stated, failed, heard
  #on = false;
  #channel = null;
  #socket = null;
  #lock = null;
  #release = null;
  #asked = "";

  constructor({ config, inbox, Socket }) {
    Object.assign(this, { config, inbox, Socket });
    const on = (target, names, listener) =>
      names.split(" ").forEach((name) => target.addEventListener(name, listener));
    // A cached page keeps its lock: a leader there would be deaf.
    on(window, "pagehide", () => this.stop());
    on(document, "freeze", () => this.stop());
    on(window, "pageshow online offline", () => this.check());
    on(document, "resume visibilitychange", () => document.hidden || this.check());
  }

  start() {
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
    this.#socket?.stop();
    this.#lock?.abort();
    this.#release?.();
    this.#channel?.close();
    this.#socket = this.#lock = this.#release = this.#channel = null;
  }

  check() {
    if (!this.#on) this.start();
    else if (this.leader) this.#socket.check();
    else this.post({ hi: 1 });
  }

  /** A person asks, so also after a code that says stop. */
  retry() {
    if (this.leader) this.#socket.start();
    else this.post({ retry: 1 });
    this.check();
  }

  post(message) {
    this.#channel?.postMessage(message);
  }

  /** Ask for what follows `cursor`; every tab takes of it what it lacks. */
  sync(cursor) {
    const asked = JSON.stringify(cursor);
    if (asked === this.#asked) return;
    this.#asked = asked;
    setTimeout(() => (this.#asked = ""), 1000);
    if (this.leader) this.#socket.send({ type: "sync", cursor });
    else this.post({ sync: cursor });
  }

  async load() {
    const token = this.inbox.begin();
    const list = await this.#fetch(this.config.list);
    if (this.inbox.load(list, token)) this.#changed();
  }

  /** `leaving`: the request outlives the page. */
  async act(action, detail, leaving = false) {
    this.inbox.act(action, detail);
    this.#changed();
    const body = { action, ...detail };
    try {
      const done =
        this.leader &&
        !leaving &&
        (await this.#socket.request({ type: "do", ...body }).catch(() => null));
      if (done?.error) throw new Error(done.error.detail);
      if (done) return;
      const { counts } = await this.#fetch(this.config.do, {
        method: "POST",
        keepalive: leaving,
        headers: { "Content-Type": "application/json", "X-CSRFToken": this.config.csrf },
        body: JSON.stringify(body),
      });
      this.#take({ type: "counts", ...counts });
    } catch (error) {
      if (this.inbox.loaded) this.load().catch(() => {});
      throw error;
    }
  }

  async #fetch(url, options) {
    const answer = await fetch(url, { cache: "no-store", ...options });
    const { ok, status } = answer;
    if (status === 401 || status === 403) this.#state("signedout");
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
      onstate: (state, retryAt) => this.#state(state, retryAt),
    });
    this.#socket.start();
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

  #hear({ frame, state, retryAt, hi, sync, retry, ...rest }) {
    if (!this.leader) {
      if (frame) this.#take(frame);
      if (state) this.#state(state, retryAt);
    } else if (hi) {
      this.post({ state: this.state, retryAt: this.retryAt, frame: this.#here });
      this.post({ frame: this.inbox.counts });
    } else if (sync) this.sync(sync);
    else if (retry) this.retry();
    this.#tell("heard", rest);
  }

  #state(state, retryAt = 0) {
    if (this.state === "signedout") return;
    Object.assign(this, { state, retryAt });
    const out = state === "signedout";
    if (this.leader || out) this.post({ state, retryAt });
    if (out) this.inbox.clear();
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
