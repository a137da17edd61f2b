// Rows, the panel, toasts. Texts are written as text, never as markup.

let relative, full;
const UNITS = { day: 86_400, hour: 3600, minute: 60, second: Infinity };

const SAFE = /^(https?:\/\/|\/(?![/\\]))/i;

const ago = (date, lang) => {
  const past = (Date.now() - date) / 1000;
  if (past > 604_800) return date.toLocaleDateString(lang, { dateStyle: "medium" });
  relative ??= new Intl.RelativeTimeFormat(lang, { numeric: "auto", style: "short" });
  const unit = Object.keys(UNITS).find((name) => past >= UNITS[name]) ?? "second";
  return relative.format(-Math.floor(past / UNITS[unit]), unit);
};

export function fill(element, row, { strings, inbox, lang }) {
  const date = new Date(row.created);
  const fields = {
    unread: row.unread && strings.isUnread,
    level: strings.levels[row.level],
    title: row.title,
    body: row.body,
    actor: row.actor?.name,
  };
  const all = (selector, change) => element.querySelectorAll(selector).forEach(change);
  const put = (node, text) => {
    if (node.textContent === text) return;
    node.textContent = text;
    node.hidden = !text;
  };
  for (const name in fields)
    all(`[data-field=${name}]`, (node) => put(node, fields[name] || ""));
  all("time", (time) => {
    put(time, ago(date, lang));
    if (time.title) return;
    full ??= new Intl.DateTimeFormat(lang, { dateStyle: "full", timeStyle: "short" });
    time.dateTime = row.created;
    time.title = full.format(date);
  });
  element.dataset.level = row.level;
  element.classList.toggle("nb-unread", !!row.unread);
  if (row.lang) element.lang = row.lang;
  all(".nb-link", (link) => (link.href = SAFE.test(row.url) ? row.url : `${inbox}#nb-${row.id}`));
  all(`.nb-i-${row.level}`, (shape) => shape.parentNode.replaceChildren(shape));
  all("[data-act]", (button) => {
    const { act } = button.dataset;
    const words = strings.acts[act === "read" && !row.unread ? "unread" : act];
    button.ariaLabel = words.replace("%s", row.title);
  });
  return element;
}

const STEPS = { j: 1, k: -1, ArrowDown: 1, ArrowUp: -1, PageDown: 5, PageUp: -5, Home: -1e9, End: 1e9 };

export class Panel {
  #rows = new Map();
  #held = new Set();
  #failed = "";
  #since = new Date();
  #seen;
  #next;
  #clock;

  constructor(bell) {
    const { tabs, config, popup } = bell;
    Object.assign(this, { bell, tabs, config, strings: config.strings });
    for (const part of popup.querySelectorAll("[data-nb]")) this[part.dataset.nb] = part;
    this.item = bell.querySelector("[data-nb=item]").content.firstElementChild;
    popup.onkeydown = (event) => this.#key(event);
    popup.onclick = (event) => this.#click(event);
    popup.onauxclick = (event) => event.button === 1 && this.#click(event);
  }

  open() {
    this.close();
    this.#held.clear();
    this.#seen = "";
    this.#clock = setInterval(() => document.hidden || this.#tick(), 1000);
    if (this.tabs.inbox.loaded) this.render();
    else this.#fetch();
  }

  close() {
    this.#clock = clearInterval(this.#clock);
  }

  changed(news) {
    for (const { id } of news) this.#held.add(id);
    cancelAnimationFrame(this.#next);
    this.#next = requestAnimationFrame(() => this.render());
  }

  render() {
    const { inbox, state, retryAt } = this.tabs;
    if (state === "live") this.#since = new Date();
    const out = state === "signedout";
    if (!this.#clock && !out) return;
    const wait = Math.ceil((retryAt - Date.now()) / 1000);
    const text = this.strings[state === "reconnecting" && wait < 1 ? "connecting" : state] ?? "";
    const time = this.#since.toLocaleTimeString([], { timeStyle: "short" });
    this.state.textContent = text.replace("%s", state === "offline" ? time : wait);
    const all = inbox.list();
    const shown = all.filter(({ id }) => !this.#held.has(id));
    const rows = new Map(shown.map((row) => [row.id, this.#rows.get(row.id)]));
    for (const [id, item] of this.#rows)
      if (!rows.has(id)) this.#leave(item);
    let next = this.list.firstChild;
    for (const row of shown) {
      const item = fill(rows.get(row.id) ?? this.item.cloneNode(true), row, this.config);
      item.dataset.id = row.id;
      rows.set(row.id, item);
      if (item === next) next = next.nextSibling;
      else this.list.insertBefore(item, next);
    }
    this.#rows = rows;
    const failed = !out && this.#failed;
    const busy = !out && !failed && !inbox.loaded;
    this.error.firstChild.textContent = this.#failed;
    this.all.disabled = out || !inbox.unread;
    this.list.ariaBusy = busy;
    const parts = {
      list: busy || shown.length,
      pill: all.length - shown.length,
      empty: !(busy || out || failed || all.length),
      error: failed,
      signin: out,
      retry: /^(rec|off)/.test(state),
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

  #fetch = () => this.#try(this.tabs.load(), "unloaded");

  async #try(doing, complaint) {
    this.#failed = "";
    this.render();
    await doing.catch(({ status }) => {
      this.#failed = this.strings[complaint];
      this.bell.fire("error", { status });
    });
    this.render();
  }

  #act(action, detail, leaving) {
    if (/^read/.test(action)) this.bell.fire("read", detail);
    this.#try(this.tabs.act(action, detail, leaving), "unsaved");
  }

  #leave(item) {
    const beside = item.nextSibling ?? item.previousSibling;
    const focused = item.querySelector(":focus");
    item.remove();
    if (!focused) return;
    const { act } = focused.dataset;
    const same = beside?.querySelector(act ? `[data-act=${act}]` : "a");
    (same ?? this.bell.popup.querySelector("h2")).focus();
  }

  #click(event) {
    const target = event.target.closest("a, button");
    const notification = this.tabs.inbox.rows.get(+target?.closest(".nb-item")?.dataset.id);
    if (notification) this.#row(notification, target.dataset.act, event);
    else if (target === this.all) this.#act("read_all", { upto: { ...this.tabs.inbox.cursor } });
    else if (target === this.retry) this.tabs.retry();
    else if (target?.parentNode === this.error) this.#fetch();
    else if (target === this.pill) {
      this.#held.clear();
      this.render();
      this.list.scrollTop = 0;
      this.list.querySelector("a").focus();
    }
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
    const { key, target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (!key[1] && this.bell.getAttribute("keys") === "off") return;
    const item = target.closest(".nb-item");
    const act = { m: "read", e: "archive" }[key];
    if (STEPS[key]) {
      const links = [...this.list.querySelectorAll("a")];
      const at = links.indexOf(item?.querySelector("a")) + STEPS[key];
      links[Math.max(0, Math.min(at, links.length - 1))]?.focus();
    } else if (act) item?.querySelector(`[data-act=${act}]`).click();
    else if (key === "A") this.all.click();
    else if (key === "g") this.pill.focus();
    else if (key === "?") this.keys.hidden = !this.keys.hidden;
    else return;
    event.preventDefault();
  }
}

const SUM = 0;

export class News {
  #told = new Set();
  #held = [];
  #said = [];
  #toasts = new Map();
  #many = 0;
  #clock;
  #from;

  constructor(bell) {
    const { tabs, config } = bell;
    Object.assign(this, { bell, tabs, config, strings: config.strings });
    this.region = bell.querySelector("[data-nb=toast]").content.firstElementChild.cloneNode(true);
    this.blank = this.region.firstElementChild;
    this.blank.remove();
    document.body.append(this.region);
    this.region.onclick = ({ target }) => target.closest("a, button") && this.#click(target);
    this.region.onkeydown = ({ key, target }) =>
      key === "Escape" && this.#remove(target.closest("article"));
    this.region.addEventListener("focusin", ({ relatedTarget }) => {
      if (!this.region.contains(relatedTarget)) this.#from = relatedTarget;
    });
    const young = ({ created }) => Date.now() - Date.parse(created) < 60_000;
    document.addEventListener("visibilitychange", () =>
      this.changed(this.#held.splice(0).filter(young)),
    );
  }

  heard({ shown = [] }) {
    for (const id of shown) this.#told.add(id);
  }

  changed(rows) {
    for (const [article, { row }] of this.#toasts)
      if (row.id !== SUM && !this.#fresh(row)) this.#remove(article);
    if (document.hidden) this.#held.push(...rows);
    else if (document.hasFocus()) this.#tell(rows);
    else setTimeout(() => this.#tell(rows), this.tabs.leader ? 150 : 300);
  }

  #fresh = ({ id }) => this.tabs.inbox.rows.get(id)?.unread;

  #tell(rows) {
    const news = rows.filter((row) => !this.#told.has(row.id) && this.#fresh(row));
    const shown = news.map(({ id }) => id);
    this.heard({ shown });
    this.tabs.post({ shown });
    for (const row of news) {
      const text = this.strings.levels[row.level] + row.title;
      if (row.level === "critical") this.bell.speak(text, "alert");
      else if (this.#said.push(text) === 1)
        setTimeout(() => {
          const [first, ...more] = this.#said.splice(0);
          this.bell.speak(more[0] ? this.strings.new.replace("%s", more.length + 1) : first);
        }, 700);
      this.#toast(row);
    }
  }

  #toast(row) {
    const wants = this.bell.getAttribute("toasts");
    const rank = (level) => Object.keys(this.strings.levels).indexOf(level);
    const critical = row.level === "critical";
    if (wants === "off" || (!critical && (wants === "critical" || this.bell.hasAttribute("open"))))
      return;
    if (rank(row.level) < rank(this.bell.getAttribute("level") ?? "info")) return;
    if (!this.bell.fire("toast", { notification: row }, true)) return;
    if (critical || (!this.#many && this.#toasts.size < 3)) return this.#show(row);
    // No room for a fourth: one with a number stands for all.
    if (this.#many++) return;
    for (const [article, { row }] of this.#toasts)
      if (row.level !== "critical") {
        this.#many++;
        this.#remove(article);
      }
    this.#show({ id: SUM, level: "info", title: this.#sum(), url: this.config.inbox });
  }

  #sum = () => this.strings.new.replace("%s", this.#many);

  #show(row) {
    const article = fill(this.blank.cloneNode(true), row, this.config);
    const { length } = row.title + row.body;
    const left = row.level === "critical" ? Infinity : Math.max(6000, 60 * length);
    this.#toasts.set(article, { row, left });
    this.region.append(article);
    this.region.showPopover();
    this.#clock ??= setInterval(() => this.#tick(), 1000);
  }

  #tick() {
    const paused = document.hidden || this.region.matches(":hover, :focus-within");
    for (const [article, toast] of this.#toasts) {
      if (toast.row.id === SUM && toast.row.title !== this.#sum()) {
        toast.row.title = this.#sum();
        toast.left = 6000;
        fill(article, toast.row, this.config);
      }
      if (!paused && (toast.left -= 1000) < 0) this.#remove(article);
    }
  }

  #remove(article) {
    if (this.#toasts.get(article).row.id === SUM) this.#many = 0;
    const next = article.nextSibling ?? article.previousSibling;
    if (article.contains(document.activeElement))
      (next?.querySelector("button") ?? this.#from)?.focus();
    this.#toasts.delete(article);
    article.remove();
    if (this.#toasts.size) return;
    this.region.hidePopover();
    this.#clock = clearInterval(this.#clock);
  }

  #click(target) {
    const article = target.closest("article");
    const { id } = this.#toasts.get(article).row;
    if (target.closest("button")) this.#remove(article);
    else if (id) this.tabs.act("read", { ids: [id] }, true).catch(() => {});
  }
}
