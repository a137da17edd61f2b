// What the operators' pages share: rows filled from JSON, and a look at the server now and then.
// Texts are written as text, never as markup.
import { ago, SAFE } from "./rows.js";

export const lang = document.documentElement.lang || "en";

export const put = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

/** All `<time>` below: how long ago, or until when. */
export function tell(root) {
  for (const time of root.querySelectorAll("time[data-time]")) {
    const { dateTime } = time;
    if (!dateTime) continue;
    const date = new Date(dateTime);
    put(time, date > Date.now() ? then(date) : ago(date, lang));
    time.title ||= full.format(date);
  }
}

// Made once: a formatter costs more than all that it formats on a page.
const full = new Intl.DateTimeFormat(lang, { dateStyle: "full", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(lang, { timeStyle: "short" });
const later = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "short" });

export const clock = (date) => short.format(date);

/** When something will be: the time of day says it only for a day. */
const then = (date) => (date - Date.now() < 64_800_000 ? clock(date) : later.format(date));

/** Put a row's values where the template names them. */
export function fill(element, row) {
  // Most rows of a page are as they were a second ago.
  const said = JSON.stringify(row);
  if (element.said === said) return element;
  element.said = said;
  const all = (name, change) => {
    for (const node of [element, ...element.querySelectorAll(`[data-${name}]`)])
      if (node.dataset[name] !== undefined) change(node, row[node.dataset[name]] ?? "");
  };
  element.dataset.id = row.id;
  all("field", (node, text) => {
    put(node, text);
    if (node.dataset.empty !== undefined) node.hidden = !text;
  });
  all("time", (time, value) => {
    if (time.dateTime !== value) time.title = "";
    time.dateTime = value;
    if (!value) put(time, "");
  });
  all("href", (link, url) => SAFE.test(url) && (link.href = url));
  all("is", (node, value) => (node.dataset.value = value));
  for (const node of element.querySelectorAll("[data-label]"))
    node.ariaLabel = node.dataset.label.replace("%s", row.title);
  for (const box of element.querySelectorAll("[name=_selected_action]")) box.value = row.id;
  for (const button of element.querySelectorAll("[data-act]"))
    button.value = `${button.dataset.act}:${row.id}`;
  tell(element);
  return element;
}

export const get = async (url = location.href, options = {}) => {
  const answer = await fetch(url, {
    cache: "no-store",
    ...options,
    headers: { Accept: "application/json", ...options.headers },
  });
  if (answer.redirected || answer.status === 403) location.reload(); // logged out meanwhile
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(json.detail ?? answer.status), json);
  return json;
};

export const post = (url, fields) => {
  const body = new FormData();
  body.set("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
  for (const name in fields) for (const value of [fields[name]].flat()) body.append(name, value);
  return get(url, { method: "POST", body });
};

/** The line that says how up to date the page is, and the button that holds it. */
export class Line {
  paused = false;
  #word = "connecting";
  #since = new Date();

  constructor(root, onpause) {
    const line = root.querySelector(".nb-status");
    this.state = line.querySelector(".nb-live-state");
    const button = line.querySelector(".nb-pause");
    line.hidden = false;
    button.onclick = () => {
      this.paused = !this.paused;
      button.ariaPressed = this.paused;
      this.say(this.#word);
      onpause?.(this.paused);
    };
  }

  say(word) {
    if (word === "live") this.#since = new Date();
    this.#word = word;
    const shown = this.paused && word === "live" ? "paused" : word;
    put(this.state, this.state.dataset[shown].replace("%s", clock(this.#since)));
    this.state.dataset.value = shown;
  }
}

/** Look every so many seconds, unless nobody looks at the page. */
export function every(seconds, look) {
  const now = () => document.hidden || look();
  document.addEventListener("visibilitychange", now);
  setInterval(now, seconds * 1000);
  now();
}

/** Rows by id, those that stay keep their element, and with it focus and selection. */
export class Rows {
  constructor(body, blank, none = document.querySelector(".nb-none")) {
    this.body = body;
    this.blank = blank.content.firstElementChild;
    this.none = none;
    tell(body);
  }

  get shown() {
    return new Map([...this.body.rows].map((element) => [element.dataset.id, element]));
  }

  make(row) {
    return fill(this.blank.cloneNode(true), row);
  }

  /** Show these, in this order, and no others. */
  set(rows) {
    const { shown } = this;
    let next = this.body.firstElementChild;
    for (const row of rows) {
      const old = shown.get(`${row.id}`);
      shown.delete(`${row.id}`);
      const element = old ? fill(old, row) : this.make(row);
      if (element === next) next = next.nextElementSibling;
      else this.body.insertBefore(element, next);
    }
    for (const element of shown.values()) element.remove();
    if (this.none) this.none.hidden = rows.length > 0;
  }
}

/** The boxes before the rows. Django's script knows those that were there at first, and nothing of
 * a table that was empty; ours come and go. */
export function choosing(body) {
  const toggle = document.getElementById("action-toggle");
  const counter = document.querySelector(".action-counter");
  if (!toggle) return;
  const boxes = () => [...body.querySelectorAll(".action-select")];
  const count = () => {
    const cnt = boxes().length;
    const sel = boxes().filter((box) => box.checked).length;
    toggle.checked = sel > 0 && sel === cnt;
    const words = "%(sel)s of %(cnt)s selected";
    if (counter) put(counter, interpolate(ngettext(words, words, sel), { sel, cnt }, true));
  };
  const soon = () => setTimeout(count); // after Django's
  toggle.addEventListener("click", () => {
    for (const box of boxes()) box.checked = toggle.checked;
    soon();
  });
  body.addEventListener("change", soon);
  new MutationObserver(count).observe(body, { childList: true });
  soon();
}

/** How many there are, where Django says it once: beside the search, and below the table. */
export function counted({ results, rows }) {
  const say = (place, words) => {
    for (const node of document.querySelector(place)?.childNodes ?? [])
      if (node.nodeType === Node.TEXT_NODE && /\d/.test(node.data) && node.data.trim() !== words.trim())
        node.data = words;
  };
  say("#changelist-search .quiet", `${results} (`);
  say("#changelist-form .paginator", rows);
}

/** What stands above a table. */
export function totals(found) {
  for (const name in found)
    for (const node of document.querySelectorAll(`[data-total="${name}"]`))
      put(node, found[name].value);
}
