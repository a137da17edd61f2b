// What opens and what pops up: the panel and the toasts. Loaded when it is wanted first.

export class Panel {
  #rows = new Map();
  #held = new Set();
  #failed = "";
  #undo = null;
  #since = new Date();
  #seen;
  #next;
  #clock;

  constructor(bell) {
    const { tabs, config, rows, popup } = bell;
    Object.assign(this, { bell, tabs, config, rows, strings: config.strings });
    for (const part of popup.querySelectorAll("[data-nb]")) this[part.dataset.nb] = part;
    this.item = [...document.querySelectorAll("template[data-nb=item]")].at(-1).content.firstElementChild;
    popup.onkeydown = (event) => this.#key(event);
    popup.onclick = (event) => this.#click(event);
    popup.onauxclick = (event) => void (event.button === 1 && this.#click(event));
    rows.options(popup, bell);
  }

  open() {
    this.close();
    if (this.bell.waiting === null) this.#held.clear();
    this.#seen = "";
    this.#note("");
    this.#clock = setInterval(() => document.hidden || this.#tick(), 1000);
    if (this.tabs.inbox.loaded) this.render();
    else this.#fetch();
  }

  close() {
    this.#clock = clearInterval(this.#clock);
  }

  changed(news) {
    // Where nothing is shown, nothing moves.
    const moves = this.#rows.size || !this.pill.hidden;
    for (const { id } of news) if (moves && !this.#rows.has(id)) this.#held.add(id);
    cancelAnimationFrame(this.#next);
    this.#next = requestAnimationFrame(() => this.render());
  }

  render() {
    const { inbox, retryAt, way } = this.tabs;
    const state = this.bell.getAttribute("state");
    const { waiting } = this.bell;
    if (state === "live") this.#since = new Date();
    const out = state === "signedout";
    if (!this.#clock && !out) return;
    const wait = Math.ceil((retryAt - Date.now()) / 1000);
    const time = () => this.#since.toLocaleTimeString(this.config.lang, { timeStyle: "short" });
    const word =
      state === "reconnecting" && wait < 1 ? "connecting" : state === "live" && way === "poll" ? way : state;
    const value = { reconnecting: () => wait, offline: time, paused: () => waiting }[state];
    this.state.textContent = (this.state.dataset[word] ?? "").replace("%s", value);
    const all = inbox.list();
    const shown = all.filter(({ id }) => !this.#held.has(id));
    const rows = new Map(shown.map((row) => [row.id, this.#rows.get(row.id)]));
    for (const [id, item] of this.#rows)
      if (!rows.has(id)) this.#leave(item);
    let next = this.list.firstChild;
    for (const row of shown) {
      const item = this.rows.fill(rows.get(row.id) ?? this.item.cloneNode(true), row, this.config);
      item.classList.add("nb-item");
      item.dataset.id = row.id;
      rows.set(row.id, item);
      if (item === next) next = next.nextSibling;
      else this.list.insertBefore(item, next);
    }
    this.#rows = rows;
    const failed = !out && this.#failed;
    const busy = !out && !failed && !inbox.loaded;
    this.error.firstChild.textContent = failed;
    this.all.disabled = out || !inbox.unread;
    this.list.ariaBusy = busy;
    const paused = waiting !== null;
    const parts = {
      list: busy || shown.length,
      pill: !paused && all.length - shown.length,
      empty: !(busy || out || failed || all.length),
      error: failed,
      signin: out,
      retry: /^(rec|off)/.test(state),
      resume: paused && !out,
    };
    for (const part in parts) this[part].hidden = !parts[part];
    this.pill.textContent = this.strings.new.replace("%s", parts.pill);
  }

  #tick() {
    const { unseen, cursor } = this.tabs.inbox;
    const at = JSON.stringify(cursor);
    if (unseen && cursor && at !== this.#seen)
      this.tabs.act("seen", { upto: { ...cursor } }).catch(() => {});
    this.#seen = at;
    this.render();
  }

  async #fetch() {
    this.#failed = "";
    this.render();
    await this.tabs.load().catch(({ status }) => {
      this.#failed = this.error.dataset.unloaded;
      this.bell.fire("error", { status });
    });
    this.render();
  }

  async #act(action, detail, leaving) {
    if (/^read/.test(action)) this.bell.fire("read", detail);
    try {
      const done = await this.tabs.act(action, detail, leaving);
      if (!done) this.#note("queued");
      else if (action === "archive") this.#note("archived", detail.ids);
      else this.#note("");
    } catch ({ status }) {
      this.#note("unsaved");
      this.bell.fire("error", { status });
    }
    this.render();
  }

  // What became of an action, until the next.
  #note(word, undo = null) {
    const text = this.note.dataset[word] ?? "";
    const [said, back] = this.note.children;
    this.#undo = undo;
    said.textContent = text;
    this.note.hidden = !text;
    back.hidden = !undo;
    if (text) this.bell.speak(text);
  }

  #leave(item) {
    const beside = item.nextElementSibling ?? item.previousElementSibling;
    const focused = item.querySelector(":focus");
    item.remove();
    if (focused) (this.rows.same(focused, beside) ?? this.bell.popup.querySelector("h2")).focus();
  }

  #click(event) {
    const target = event.target.closest("a, button");
    const notification = this.tabs.inbox.rows.get(+target?.closest(".nb-item")?.dataset.id);
    if (notification) this.#row(notification, target.dataset.act, event);
    else if (target === this.all) this.#act("read_all", { upto: { ...this.tabs.inbox.cursor } });
    else if (target === this.retry) this.tabs.retry();
    else if (target === this.resume) this.bell.resume();
    else if (target === this.more) this.#help();
    else if (target?.parentNode === this.note) this.#back();
    else if (target?.parentNode === this.error) this.#fetch();
    else if (target === this.pill) {
      this.#held.clear();
      this.render();
      this.list.scrollTop = 0;
      this.list.querySelector("a").focus();
    }
  }

  #back() {
    const ids = this.#undo;
    this.#act("unarchive", { ids });
    this.render();
    (this.#rows.get(ids[0])?.querySelector("a") ?? this.bell.popup.querySelector("h2")).focus();
  }

  #help() {
    const { keys } = this;
    keys.hidden = !keys.hidden;
    this.more.ariaExpanded = !keys.hidden;
  }

  #row(notification, act, event) {
    const { id, unread } = notification;
    const action = act === "read" && !unread ? "unread" : act;
    if (!this.bell.fire("click", { notification, action: action ?? "open" }, true))
      event.preventDefault();
    else if (act) this.#act(action, { ids: [id] });
    else if (unread) this.#act("read", { ids: [id] }, true);
  }

  #key(event) {
    const { key } = event;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (!key[1] && this.bell.option("keys") === "off") return;
    if (key === "A") this.all.click();
    else if (key === "g") this.pill.focus();
    else if (key === "?") this.#help();
    else if (!this.rows.walk(event, this.list, ".nb-item")) return;
    event.preventDefault();
  }
}

// The row of the toast that stands for many has the id 0.
export class News {
  #held = [];
  #said = [];
  #toasts = new Map();
  #queue = [];
  #times = []; // of the last ones, for the storm rule
  #many = 0; // that one toast stands for
  #clock;
  #from;

  constructor(bell) {
    const { tabs, config, rows } = bell;
    Object.assign(this, { bell, tabs, config, rows, strings: config.strings });
    const made = bell.querySelector("[data-nb=toast]").content.firstElementChild.cloneNode(true);
    this.blank = made.firstElementChild;
    this.blank.remove();
    this.region = document.querySelector(".nb-toasts") ?? made;
    if (!this.region.isConnected) document.body.append(this.region);
    this.region.onclick = (event) => this.#click(event);
    this.region.onkeydown = ({ key, target }) => {
      if (key === "Escape") this.#remove(target.closest("article"));
    };
    this.region.addEventListener("focusin", ({ relatedTarget }) => {
      if (!this.region.contains(relatedTarget)) this.#from = relatedTarget;
    });
    document.addEventListener("keydown", (event) => event.key === "F6" && this.#jump(event));
    document.addEventListener("visibilitychange", () => {
      for (const [rows, at] of this.#held.splice(0))
        if (Date.now() - at < 60_000) this.changed(rows);
    });
  }

  changed(rows) {
    this.#queue = this.#queue.filter(this.#fresh);
    for (const [article, { row }] of this.#toasts)
      if (row.id && !this.#fresh(row)) this.#remove(article);
    if (!rows.length) return;
    if (document.hidden) this.#held.push([rows, Date.now()]);
    else if (document.hasFocus()) this.#tell(rows);
    else setTimeout(() => this.#tell(rows), this.tabs.leader ? 150 : 300);
  }

  #fresh = ({ id }) => this.tabs.inbox.rows.get(id)?.unread;

  async #tell(rows) {
    if (!(await this.tabs.claim(rows.at(-1)))) return;
    for (const [at, row] of rows.filter(this.#fresh).entries()) {
      // So that the page answers in a storm.
      if (at % 20 === 19) await new Promise((go) => setTimeout(go));
      const text = this.strings.levels[row.level] + row.title;
      if (row.level === "critical") this.bell.speak(text, "alert");
      else if (this.#said.push(text) === 1)
        setTimeout(() => {
          const [first, ...more] = this.#said.splice(0);
          this.bell.speak(more[0] ? this.strings.new.replace("%s", more.length + 1) : first);
        }, 700);
      if (this.#wanted(row)) this.#toast(row);
    }
  }

  #wanted(row) {
    const { bell } = this;
    const wants = bell.option("toasts");
    const rank = (level) => Object.keys(this.strings.levels).indexOf(level);
    const critical = row.level === "critical";
    return (
      wants !== "off" &&
      (critical || (wants !== "critical" && !bell.hasAttribute("open"))) &&
      rank(row.level) >= rank(bell.getAttribute("level") ?? "info") &&
      bell.fire("toast", { notification: row }, true)
    );
  }

  // Three at a time. More than five in ten seconds, or more than twenty waiting: one with a
  // number stands for all but the critical.
  #toast(row) {
    const now = Date.now();
    const critical = (one) => one.level === "critical";
    if (critical(row)) this.#queue.splice(this.#queue.filter(critical).length, 0, row);
    else if (this.#many) this.#many++;
    else {
      this.#times = [...this.#times.slice(-5), now];
      this.#queue.push(row);
      if (this.#queue.length > 20 || now - this.#times.at(-6) < 10_000) this.#sumUp(critical);
    }
    this.#fill();
  }

  #sumUp(critical) {
    const { length } = this.#queue;
    this.#queue = this.#queue.filter(critical);
    this.#many = length - this.#queue.length;
    for (const [article, { row }] of [...this.#toasts])
      if (!critical(row)) {
        this.#many++;
        this.#drop(article);
      }
    const created = new Date();
    this.#show({ id: 0, level: "info", title: this.#sum(), body: "", url: this.config.inbox, created });
  }

  #sum = () => this.strings.new.replace("%s", this.#many);

  #fill() {
    while (this.#toasts.size < 3 && this.#queue.length) this.#show(this.#queue.shift());
  }

  #show(row) {
    const article = this.rows.fill(this.blank.cloneNode(true), row, this.config);
    const { length } = row.title + row.body;
    const left = row.level === "critical" ? Infinity : Math.max(6000, 60 * length);
    this.#toasts.set(article, { row, left });
    const { region } = this;
    // The newest is nearest to the corner.
    if (/^top/.test(region.getAttribute("position"))) region.prepend(article);
    else region.append(article);
    region.showPopover();
    this.#clock ??= setInterval(() => this.#tick(), 1000);
  }

  #tick() {
    const paused = document.hidden || this.region.matches(":hover, :focus-within");
    for (const [article, toast] of this.#toasts) {
      if (!toast.row.id && toast.row.title !== this.#sum()) {
        toast.row.title = this.#sum();
        toast.left = 6000;
        this.rows.fill(article, toast.row, this.config);
      }
      if (!paused && (toast.left -= 1000) < 0) this.#remove(article);
    }
  }

  #drop(article) {
    if (!this.#toasts.get(article).row.id) this.#many = 0;
    const next = article.nextElementSibling ?? article.previousElementSibling;
    if (article.contains(document.activeElement))
      (next?.querySelector("button") ?? this.#from)?.focus();
    this.#toasts.delete(article);
    article.remove();
  }

  #remove(article) {
    this.#drop(article);
    this.#fill();
    if (this.#toasts.size) return;
    this.region.hidePopover();
    this.#clock = clearInterval(this.#clock);
  }

  // To the toasts, and back to where one was.
  #jump(event) {
    if (!this.#toasts.size) return;
    event.preventDefault();
    if (this.region.contains(document.activeElement)) this.#from?.focus();
    else [...this.#toasts.keys()].at(-1).querySelector("button").focus();
  }

  #click(event) {
    const target = event.target.closest("a, button");
    if (!target) return;
    const article = target.closest("article");
    const notification = this.#toasts.get(article).row;
    const { id } = notification;
    const action = target.type ? target.name : "open";
    if (target.type) this.#remove(article);
    if (!id || !action) return;
    if (!this.bell.fire("click", { notification, action }, true)) event.preventDefault();
    else this.tabs.act("read", { ids: [id] }, true).catch(() => {});
  }
}
