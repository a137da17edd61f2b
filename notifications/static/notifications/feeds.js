// A transport for networks that let no WebSocket through: an event stream, else a long poll, else
// a poll. The same frames over HTTP; asking again with the cursor is the acknowledgement.

const EVERY = 30_000; // between two polls where the server cannot wait
const DEAF = 40_000; // more than a heartbeat, and more than a long poll waits

export class Feed {
  live = false;
  failures = 0;
  #on = true;
  #stream = null;
  #abort = null;
  #proven = false; // the stream in hand has said something
  #timer;

  /**
   * Needs urls {events, poll}, ask(cursor) for the query, onframe(frame), onstate(state, retryAt),
   * and the `first` way to try: "events" or "longpoll".
   */
  constructor(options) {
    Object.assign(this, options);
    this.way = this.first; // then longpoll, poll
  }

  start(cursor) {
    if (!this.#on) return;
    this.#close();
    const query = this.ask(cursor);
    if (this.way === "events") this.#listen(query);
    else this.#poll(query);
  }

  stop() {
    this.#on = this.live = false;
    this.#close();
  }

  send({ type, cursor }) {
    if (type === "sync") this.start(cursor);
  }

  check() {
    if (!this.live || this.way === "poll") this.start();
  }

  #close() {
    clearTimeout(this.#timer);
    this.#stream?.close();
    this.#abort?.abort();
    this.#stream = this.#abort = null;
  }

  #after(ms, what) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(what, ms);
  }

  #listen(query) {
    this.#proven = false;
    const stream = (this.#stream = new EventSource(`${this.urls.events}?${query}`));
    const lost = () => {
      if (!this.#proven) return this.#worse();
      this.#close(); // it has ended, as streams do
      this.#after(Math.random() * 1000, () => this.start());
    };
    stream.onerror = lost;
    stream.onmessage = ({ data }) => {
      this.#proven = true;
      this.#after(DEAF, lost);
      this.#came([JSON.parse(data)]);
    };
    stream.addEventListener("close", ({ data }) => {
      if (/^400[148]$/.test(data)) this.#out();
      else if (this.#proven) this.#failed();
      else this.#worse();
    });
    this.#after(5000, lost); // a proxy that keeps it all to itself
  }

  // A poll tells more than a stream that fails: whether there is a server, and what it says.
  #worse() {
    this.way = "longpoll";
    this.start();
  }

  async #poll(query) {
    const abort = (this.#abort = new AbortController());
    this.#after(DEAF, () => abort.abort());
    const began = Date.now();
    if (!this.live) query.set("wait", 0);
    try {
      const { signal } = abort;
      const answer = await fetch(`${this.urls.poll}?${query}`, { cache: "no-store", signal });
      const { status } = answer;
      if (status === 401 || status === 403) return this.#out();
      if (!answer.ok) throw status;
      const { frames } = await answer.json();
      if (abort !== this.#abort) return;
      const idle = this.live && frames[0].mode === "resume" && !frames[1];
      this.way = idle && Date.now() - began < 2000 ? "poll" : "longpoll";
      this.#after(this.way === "poll" ? EVERY : 200, () => this.start());
      this.#came(frames);
    } catch {
      if (abort === this.#abort) this.#failed();
    }
  }

  #came(frames) {
    this.failures = 0;
    for (const frame of frames) {
      this.onframe(frame);
      if (frame.type === "drain") this.#after(Math.random() * frame.in, () => this.start());
    }
    if (this.#on && (!this.live || this.way === "poll")) {
      this.live = true;
      this.onstate("live");
    }
  }

  #failed() {
    this.#close();
    this.live = false;
    this.way = this.first;
    const delay = Math.min(EVERY, 1000 * 2 ** ++this.failures) * (0.5 + Math.random() / 2);
    this.onstate(this.failures > 1 ? "offline" : "reconnecting", Date.now() + delay);
    this.#after(delay, () => this.start());
  }

  #out() {
    this.stop();
    this.onstate("signedout");
  }
}
