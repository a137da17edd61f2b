// <notification-bell>: the server's link becomes a button. show.js has what opens and pops up.

let bells = 0;

export class NotificationBell extends HTMLElement {
  static page;
  #panel;
  #news;
  #shown = null;
  #lost = null;
  #waiting = null; // what came while paused
  #typed = "";

  connectedCallback() {
    if (!this.showPopover) return;
    Object.assign(this, NotificationBell.page);
    this.button = this.querySelector("button.nb-btn") ?? this.#upgrade();
    this.popup = this.querySelector(".nb-pop");
    this.popup.ontoggle = ({ newState }) => this.#toggled(newState === "open");
    // Until show.js hears for itself, what is clicked waits for it.
    this.popup.onclick ??= ({ target }) => this.#open().then(() => target.closest("button")?.click());
    this.button.onpointerenter = this.button.onfocus = () => this.#open();
    this.tabs.listeners.add(this);
    document.addEventListener("keydown", this.#hotkey);
    this.stated(this.tabs);
    this.#count();
  }

  disconnectedCallback() {
    this.tabs?.listeners.delete(this);
    document.removeEventListener("keydown", this.#hotkey);
    this.#panel?.then((panel) => panel.close());
  }

  get notifications() {
    return Object.freeze(this.tabs.inbox.list());
  }

  open() {
    this.popup.showPopover({ source: this.button });
  }

  close() {
    this.popup.hidePopover();
  }

  refresh() {
    return this.tabs.load();
  }

  markAllRead() {
    return this.tabs.act("read_all", { upto: { ...this.tabs.inbox.cursor } });
  }

  /** From now on nothing new is shown; the badge goes on telling how much there is. */
  pause() {
    this.#waiting ??= [];
    this.stated(this.tabs);
  }

  resume() {
    const news = this.#waiting ?? [];
    this.#waiting = null;
    this.stated(this.tabs);
    this.#ring(news);
  }

  /** How many wait for `resume()`; null when it is not paused. */
  get waiting() {
    return this.#waiting?.length ?? null;
  }

  /** What this browser was told in the settings, else the attribute. */
  option(name) {
    return localStorage[`nb-${name}`] ?? this.getAttribute(name);
  }

  /** Dispatch `notify:type`; false when somebody prevented it. */
  fire(type, detail, cancelable = false) {
    const init = { detail, cancelable, bubbles: true, composed: true };
    return this.dispatchEvent(new CustomEvent(`notify:${type}`, init));
  }

  speak(text, role = "status") {
    if (document.ariaNotify && document.querySelector("dialog:modal")) document.ariaNotify(text);
    const region = this.querySelector(`[role=${role}]`);
    if (this.tabs.state === "signedout") text = "";
    region.textContent = region.textContent === text ? `${text}\u00a0` : text;
  }

  changed({ created, alerts = [], counts, missed }) {
    const { inbox } = this.tabs;
    for (const { alert, event } of alerts) this.fire("alert", { alert, event });
    const news = created.filter((notification) => {
      const wanted = this.fire("receive", { notification }, true);
      if (!wanted) inbox.bar(notification.id);
      return wanted;
    });
    if (counts) this.#count();
    if (missed) this.fire("sync", { missed });
    this.#panel?.then((panel) => panel.changed(news));
    this.#ring(this.#waiting ? [] : news);
    this.#waiting?.push(...news);
  }

  #ring(news) {
    if (news.length && this === document.querySelector("notification-bell"))
      this.#news ??= this.#later("News");
    this.#news?.then((it) => it.changed(news));
  }

  failed({ status }) {
    this.fire("error", { status });
  }

  stated({ state, retryAt, way }) {
    const { strings } = this.config;
    if (this.#waiting && state === "live") state = "paused";
    this.setAttribute("state", state);
    this.setAttribute("transport", way);
    this.fire("state", { state, retryIn: Math.max(0, retryAt - Date.now()) });
    this.#panel?.then((panel) => panel.render());
    // A line that flaps is not worth a word.
    if (/^(live|pau)/.test(state)) {
      clearTimeout(this.#lost);
      if (this.#lost === 0) this.speak(strings.back);
      this.#lost = null;
    } else if (state === "signedout") {
      this.speak("");
      this.speak("", "alert");
    } else if (/^(rec|off)/.test(state))
      this.#lost ??= setTimeout(() => {
        this.#lost = 0;
        this.speak(strings.lost);
      }, 5000);
  }

  #upgrade() {
    const link = this.querySelector("a.nb-btn");
    const button = document.createElement("button");
    this.append(this.querySelector("[data-nb=panel]").content.cloneNode(true));
    const popup = this.querySelector(".nb-pop");
    const title = popup.querySelector("h2");
    popup.id = `nb-pop-${++bells}`;
    title.id = `${popup.id}-title`;
    // What the site has put into the element takes the place of ours.
    for (const own of this.querySelectorAll(":scope > :not(template)[data-nb]")) {
      const { nb } = own.dataset;
      const ours = popup.querySelector(`[data-nb=${nb}]`) ?? link.querySelector("svg");
      own.classList.add(...ours.classList);
      ours.replaceWith(own);
    }
    const attributes = {
      type: "button",
      class: link.className,
      popovertarget: popup.id,
      "aria-haspopup": "dialog",
      "aria-expanded": false,
      "aria-controls": popup.id,
    };
    for (const name in attributes) button.setAttribute(name, attributes[name]);
    popup.setAttribute("aria-labelledby", title.id);
    button.append(...link.childNodes);
    const focused = link === document.activeElement;
    link.replaceWith(button);
    if (focused) button.focus();
    return button;
  }

  #hotkey = ({ key, target, isComposing }) => {
    const hotkey = this.getAttribute("hotkey");
    if (!hotkey || isComposing || target.closest?.("input, textarea, select, [contenteditable]"))
      return;
    this.#typed = `${this.#typed} ${key}`.slice(-hotkey.length);
    if (this.#typed !== hotkey || this.option("keys") === "off") return;
    this.button.focus();
    this.open();
  };

  #open() {
    return (this.#panel ??= this.#later("Panel"));
  }

  async #later(name) {
    const parts = await this.load("show");
    return new parts[name](this);
  }

  async #toggled(open) {
    this.toggleAttribute("open", open);
    this.button.ariaExpanded = open;
    this.fire(open ? "open" : "close");
    (await this.#open())[open ? "open" : "close"]();
  }

  #count() {
    const { strings } = this.config;
    const { unread, unseen } = this.tabs.inbox;
    const max = this.getAttribute("max") ?? 99;
    const text = (number) => (number > max ? `${max}+` : `${number || ""}`);
    const count = this.getAttribute("badge") === "unread" ? unread : unseen;
    const find = (name) => this.button.querySelector(name);
    find(".nb-badge").textContent = text(count);
    find(".nb-name").textContent = unread
      ? strings.unread.replace("%s", text(unread))
      : strings.title;
    this.toggleAttribute("unread", unread > 0);
    this.setAttribute("count", count);
    if (this.hasAttribute("title-badge")) {
      const name = document.title.replace(/^\(\d+\+?\) /, "");
      document.title = count ? `(${text(count)}) ${name}` : name;
    }
    if (this.hasAttribute("app-badge")) navigator.setAppBadge?.(count).catch(() => {});
    const previous = this.#shown;
    this.#shown = count;
    if (previous !== null && previous !== count) this.fire("count", { count, previous });
  }
}
