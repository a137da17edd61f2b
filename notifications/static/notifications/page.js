// <notification-inbox>: the server's page, kept true while it is open. Loaded there only.
// It has a state of its own, with the rows the server rendered, and applies the same frames.

const UNDO = { read: "unread", unread: "read", archive: "unarchive", unarchive: "archive" };

export class NotificationInbox extends HTMLElement {
  static page; // {config, tabs, rows, Inbox}; set by start.js
  #listening;
  #new = [];
  #undo = null;
  #stale = false;
  #gone = new Map(); // row -> what holds its place

  connectedCallback() {
    const { config, tabs, Inbox } = NotificationInbox.page;
    this.view = this.getAttribute("view");
    this.strings = config.strings;
    this.fits = JSON.parse(this.getAttribute("fits") ?? "{}");
    this.form = this.querySelector("form");
    for (const name of ["pill", "note", "back", "every", "empty", "new"])
      this[name] = this.querySelector(`.nb-${name}`);
    this.inbox = new Inbox({ ...config, kept: Infinity });
    const token = this.inbox.begin();
    this.inbox.load({ items: this.#rows().map((row) => this.#read(row)), counts: config.counts }, token);
    tabs.listeners.add(this);
    const { signal } = (this.#listening = new AbortController());
    const on = (target, type, listener) => target?.addEventListener(type, listener, { signal });
    on(this.form, "submit", (event) => this.#submit(event));
    on(this.form, "change", (event) => this.#checked(event.target));
    on(this.form, "click", (event) => this.#follow(event));
    on(this.form, "auxclick", (event) => event.button === 1 && this.#follow(event));
    on(this.form, "keydown", (event) => this.#key(event));
    on(this.pill, "click", () => this.#reveal());
    on(this.back, "click", () => this.#act(...this.#undo));
    if (this.every) this.every.hidden = false;
    const help = document.querySelector(".nb-help");
    if (!help) return;
    help.hidden = false;
    NotificationInbox.page.rows.options(help, this.#bell);
  }

  get #bell() {
    return document.querySelector("notification-bell");
  }

  disconnectedCallback() {
    this.#listening.abort();
    NotificationInbox.page.tabs.listeners.delete(this);
  }

  #rows() {
    return [...this.form.querySelectorAll(".nb-row")];
  }

  #read(row) {
    const { id, stream, seq, archived } = row.dataset;
    const unread = row.classList.contains("nb-unread");
    const created = row.querySelector("time").dateTime;
    return { id: +id, stream, seq: +seq || null, archived: !!archived, unread, created };
  }

  /** A frame came, for this page's own state too. */
  framed(frame) {
    const change = this.inbox.apply(frame);
    if (change.sync && frame.mode !== "resume")
      NotificationInbox.page.tabs.sync({ ...this.inbox.cursor });
    if (this.hasAttribute("newest") && this.view !== "archived")
      this.#new.push(...change.created.filter((row) => this.#belongs(row)));
    if (change.reload && frame.type !== "welcome") this.#stale = true;
    this.#render();
  }

  /** Whether a search that this page shows would find it, and did not. */
  #belongs({ id, kind, level, title, body }) {
    const { type, level: least, q = "" } = this.fits;
    const rank = (word) => Object.keys(this.strings.levels).indexOf(word);
    const text = `${title} ${body}`.toLowerCase();
    return (
      !this.querySelector(`#nb-${id}`) &&
      (!type || kind === type) &&
      rank(level) >= rank(least) &&
      q.split(" ").every((word) => text.includes(word))
    );
  }

  stated({ state }) {
    if (state !== "signedout") return;
    this.inbox.clear();
    this.#gone.clear();
    this.#stale = true;
    this.#render();
  }

  #render() {
    const { rows } = this.inbox;
    const stays = ({ dataset }) =>
      rows.get(+dataset.id)?.archived === (this.view === "archived");
    for (const [row, gap] of this.#gone)
      if (stays(row)) {
        gap.replaceWith(row);
        this.#gone.delete(row);
      }
    for (const row of this.#rows())
      if (stays(row)) this.#mark(row, rows.get(+row.dataset.id).unread);
      else this.#remove(row);
    for (const day of this.form.querySelectorAll(".nb-day"))
      day.hidden = !day.querySelector(".nb-row");
    this.#new = this.#new.filter(({ id }) => rows.get(id) && !rows.get(id).archived);
    const waiting = this.#new.length;
    this.pill.hidden = !waiting && !this.#stale;
    this.pill.textContent = waiting
      ? this.strings.new.replace("%s", waiting)
      : this.dataset.reload;
    this.empty.hidden = waiting > 0 || this.#stale || !!this.#rows().length;
  }

  #mark(row, unread) {
    if (row.classList.contains("nb-unread") === unread) return;
    row.classList.toggle("nb-unread", unread);
    row.querySelector("[data-field=unread]").textContent = unread ? this.strings.isUnread : "";
    const button = row.querySelector("[data-act=read]");
    if (!button) return;
    const action = unread ? "read" : "unread";
    const title = row.querySelector("[data-field=title]").textContent;
    button.value = `${action}:${row.dataset.id}`;
    button.ariaLabel = this.strings.acts[action].replace("%s", title);
    button.textContent = unread ? this.dataset.read : this.dataset.unread;
  }

  // Undo puts it back where it was. The focus goes to the same control of the next row, the
  // one before, or the heading.
  #remove(row) {
    const focused = row.querySelector(":focus");
    const all = this.#rows();
    const at = all.indexOf(row);
    const beside = all[at + 1] ?? all[at - 1];
    const gap = new Comment();
    row.replaceWith(gap);
    this.#gone.set(row, gap);
    row.querySelector("input").checked = false;
    if (!focused) return;
    const heading = document.querySelector("h1");
    heading.tabIndex = -1;
    (NotificationInbox.page.rows.same(focused, beside) ?? heading).focus();
  }

  #reveal() {
    if (this.#stale) return location.reload();
    const { config, rows } = NotificationInbox.page;
    const blank = this.querySelector("template[data-nb=row]").content.firstElementChild;
    const list = this.new.querySelector("ul");
    for (const news of this.#new.splice(0)) {
      const row = blank.cloneNode(true);
      rows.fill(row, news, config);
      row.id = `nb-${news.id}`;
      row.dataset.id = news.id;
      row.querySelector("input").value = news.id;
      for (const button of row.querySelectorAll("[data-act]"))
        button.value = `${button.dataset.act}:${news.id}`;
      list.prepend(row);
    }
    this.#render();
    list.querySelector("a, input").focus();
  }

  #key(event) {
    const { key } = event;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (!key[1] && this.#bell?.option("keys") === "off") return;
    if (key === "A") this.form.querySelector(".nb-all")?.click();
    else if (key === "g") this.pill.focus();
    else if (!NotificationInbox.page.rows.walk(event, this.form, ".nb-row")) return;
    event.preventDefault();
  }

  #follow(event) {
    const link = event.target.closest("a.nb-link");
    const row = link?.closest(".nb-row");
    if (row?.classList.contains("nb-unread"))
      this.#act("read", [+row.dataset.id], true);
  }

  #checked(box) {
    const boxes = [...this.form.querySelectorAll("input[name=ids]")];
    const every = this.every?.querySelector("input");
    if (!every) return;
    if (box === every) for (const one of boxes) one.checked = every.checked;
    const on = boxes.filter((one) => one.checked).length;
    every.checked = on > 0 && on === boxes.length;
    every.indeterminate = on > 0 && on < boxes.length;
  }

  #submit(event) {
    const { name, value } = event.submitter ?? {};
    if (name !== "one" && name !== "action") return;
    const boxes = [...this.form.querySelectorAll("input[name=ids]:checked")];
    const [action, id] = value.split(":");
    // Nothing chosen: the server says so, as it does without a script.
    if (action !== "read_all" && !id && !boxes.length) return;
    event.preventDefault();
    if (action === "read_all") this.#act(action, null);
    else this.#act(action, id ? [+id] : boxes.map((box) => +box.value));
    for (const box of boxes) box.checked = false;
    this.#checked();
  }

  async #act(action, ids, leaving) {
    const { tabs } = NotificationInbox.page;
    const detail = ids ? { ids } : { upto: { ...this.inbox.cursor } };
    const undo = (ids ?? []).filter((id) => {
      const row = this.inbox.rows.get(id);
      return row && (action === "read" ? row.unread : action === "unread" ? !row.unread : true);
    });
    const end = this.inbox.act(action, detail);
    try {
      const acting = tabs.act(action, detail, leaving);
      // Marking moves nothing; what leaves the page waits until the server has it.
      if (action === "archive" || action === "unarchive") await acting;
      this.#render();
      const done = await acting;
      end();
      if (!leaving) this.#say(done ? action : "queued", undo);
    } catch {
      end(true);
      this.#say("unsaved", []);
      this.#stale = true;
      this.#render();
    }
  }

  #say(action, undo) {
    const { dataset } = this.note;
    this.note.firstElementChild.textContent = (dataset[action] ?? dataset.done).replace("%s", undo.length);
    this.#undo = UNDO[action] && undo.length && [UNDO[action], undo];
    this.back.hidden = !this.#undo;
  }
}
