// A row, wherever it is shown, and the keys in a list of them. Texts are written as text, never as
// markup.

let relative, full;
const UNITS = { day: 86_400, hour: 3600, minute: 60, second: Infinity };

export const SAFE = /^(https?:\/\/|\/(?![/\\]))/i;

export const ago = (date, lang) => {
  const past = (Date.now() - date) / 1000;
  if (past > 604_800) return date.toLocaleDateString(lang, { dateStyle: "medium" });
  relative ??= new Intl.RelativeTimeFormat(lang, { numeric: "auto", style: "short" });
  const unit = Object.keys(UNITS).find((name) => past >= UNITS[name]) ?? "second";
  return relative.format(-Math.floor(past / UNITS[unit]), unit);
};

export function fill(element, row, { strings, inbox, lang: reader }) {
  const date = new Date(row.created);
  const past = ago(date, reader);
  // Most of a long list is as it was a second ago.
  const said = [past, row.unread, row.title, row.body, row.url].join();
  if (element.said === said) return element;
  element.said = said;
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
    put(time, past);
    if (time.title) return;
    full ??= new Intl.DateTimeFormat(reader, { dateStyle: "full", timeStyle: "short" });
    time.dateTime = row.created;
    time.title = full.format(date);
  });
  element.dataset.level = row.level;
  element.classList.toggle("nb-unread", !!row.unread);
  const lang = row.lang || row.data?.lang;
  if (lang) element.lang = lang;
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
const ACTS = { m: "read", e: "archive" };

/** Keys in a list whose rows are `selector`: true when this was one of them. */
export function walk({ key, target }, list, selector) {
  const row = target.closest(selector);
  if (STEPS[key]) {
    const rows = [...list.querySelectorAll(selector)];
    const at = Math.max(0, Math.min(rows.indexOf(row) + STEPS[key], rows.length - 1));
    (rows[at]?.querySelector("a") ?? rows[at]?.querySelector("input"))?.focus();
  } else if (row && ACTS[key]) row.querySelector(`[data-act$=${ACTS[key]}]`)?.click();
  else return false;
  return true;
}

/** The same control of a row that takes another's place, if there is one. */
export const same = (focused, row) => {
  const { act } = focused.dataset;
  return row?.querySelector(act ? `[data-act=${act}]` : "input, a");
};

/** Boxes with which people say what this browser does. */
export function options(element, bell) {
  for (const box of element.querySelectorAll("[data-option]")) {
    const { option } = box.dataset;
    box.checked = bell?.option(option) !== "off";
    box.onchange = () => (localStorage[`nb-${option}`] = box.checked ? "on" : "off");
  }
}
