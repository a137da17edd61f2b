// A transport: start, stop, send, request, check. This one is a WebSocket that stays alive.

const STOP = { 4001: "signedout", 4004: "signedout", 4008: "signedout" };
STOP[4002] = STOP[4003] = STOP[4009] = "offline";

const lost = () => (navigator.onLine === false ? "offline" : "reconnecting");

export class Socket {
  #on = false;
  #ws = null;
  live = false;
  patient = false; // something else carries the frames meanwhile
  #attempts = 0;
  #misses = 0; // since the last welcome
  #bearable = 1; // of these, before something else is asked to carry the frames
  #unacked = 0;
  #window;
  #heartbeat;
  #heard;
  #timers = {};
  #waiting = new Map();
  #id = 0;

  /** Needs url, hello(), onframe(frame), onstate(state, retryAt), onfail(). */
  constructor(options) {
    Object.assign(this, options);
  }

  start() {
    if (this.#on) return;
    this.#on = true;
    this.#connect("connecting");
  }

  stop(state = "idle") {
    this.#on = false;
    this.#drop();
    this.onstate(state);
  }

  send(frame) {
    if (this.#ws?.readyState === 1) this.#ws.send(JSON.stringify(frame));
  }

  /** Resolves to the `done` of a `do`, rejects when the line cannot say. */
  request(frame) {
    return new Promise((resolve, reject) => {
      if (!this.live) return reject();
      const id = `${++this.#id}`;
      this.#waiting.set(id, [resolve, reject]);
      this.send({ ...frame, id });
      setTimeout(reject, 5000);
    });
  }

  check() {
    if (!this.#on) return;
    if (!this.#ws) this.#connect();
    else if (this.live) this.#ping();
  }

  #after(ms, name, what) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = setTimeout(what, ms);
  }

  #connect(state = lost()) {
    clearTimeout(this.#timers.retry);
    this.onstate(state);
    const ws = (this.#ws = new WebSocket(this.url, "notifications.v1"));
    ws.onopen = () => this.send({ type: "hello", ...this.hello() });
    ws.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    ws.onclose = ({ code }) => (STOP[code] ? this.stop(STOP[code]) : this.#again());
    this.#after(15_000, "watch", () => this.#again());
    this.#after(5000, "slow", () => this.onfail());
  }

  #receive(frame) {
    const { type } = frame;
    this.#heard = Date.now();
    if (type === "welcome") {
      this.live = true;
      this.#misses = 0;
      this.#bearable = 3;
      clearTimeout(this.#timers.slow);
      this.#window = frame.window;
      this.#heartbeat = frame.heartbeat * 1000;
      this.#listen();
      this.#after(30_000, "stable", () => (this.#attempts = 0));
    } else if (type === "drain")
      this.#after(Math.random() * frame.in, "retry", () => this.#again(0));
    else if (type === "done") {
      this.#waiting.get(frame.id)?.[0](frame);
      this.#waiting.delete(frame.id);
    }
    this.onframe(frame);
    if (type === "welcome") this.onstate("live");
    if (type === "items") this.#unacked++;
    if (type === "hb" || this.#unacked >= this.#window / 2) {
      this.#unacked = 0;
      this.send({ type: "ack" });
    }
  }

  // A heartbeat ten seconds late: ask. Five more: gone.
  #listen() {
    const left = this.#heard + this.#heartbeat + 10_000 - Date.now();
    if (left > 0) this.#after(left, "watch", () => this.#listen());
    else this.#ping();
  }

  // Where the browser believes itself offline, what was on its way may still come: ask on.
  #ping() {
    const asked = Date.now();
    const off = navigator.onLine === false;
    this.send({ type: "ping" });
    this.#after(off ? 1000 : 5000, "watch", () => {
      if (this.#heard < asked) this.#again();
      else if (off) this.#ping();
      else this.#listen();
    });
  }

  #drop() {
    for (const name in this.#timers) clearTimeout(this.#timers[name]);
    const ws = this.#ws;
    this.#ws = null;
    this.live = false;
    this.#unacked = 0;
    if (ws) {
      ws.onmessage = ws.onclose = null; // a dead line answers no close
      ws.onopen = () => ws.close(1000);
      if (ws.readyState) ws.onopen();
    }
    for (const [, reject] of this.#waiting.values()) reject();
    this.#waiting.clear();
  }

  #again(delay = Math.random() * Math.min(20, 0.5 * 2 ** this.#attempts++) * 1000) {
    this.#drop();
    if (++this.#misses > this.#bearable) this.onfail();
    if (this.patient) delay += 30_000;
    this.onstate(lost(), Date.now() + delay);
    this.#after(delay, "retry", () => this.#connect());
  }
}
