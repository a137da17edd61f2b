// The operators' queue: what was told is on the page at once, and what is done is done once.
// The log says when to look; what is shown is what the server answers for this very address, so
// that filters, search and order hold for what is new as well.
import { choosing, counted, every, fill, get, Line, post, put, Rows, totals } from "./live.js";

const KEPT = 200; // rows
const SAID = 12_000; // ms that what became of a click stays on the screen
const AT_ONCE = 20; // rows
const FLASHES = 10; // rows; of a flood nobody follows them, and each costs every frame
const PAUSE = 250; // ms between two looks, at least
const COUNTS = 2000; // ms until a look that is for the sake of counts only
const STEPS = { j: 1, k: -1, ArrowDown: 1, ArrowUp: -1, Home: -1e9, End: 1e9 };
const ACTS = { a: "acknowledge", r: "resolve", m: "mute" };

const bell = () => document.querySelector("notification-bell");

/** Looks when the log says so, when the line is back, and now and then in any case. */
export function heard(root, line, look) {
  let busy = false;
  let again = false;
  const run = async () => {
    again = busy;
    if (busy || line.paused || document.hidden) return;
    busy = true;
    try {
      await look();
    } catch {
      line.say("lost");
    }
    setTimeout(() => {
      busy = false;
      if (again) run();
    }, PAUSE);
  };
  const state = ({ detail }) => {
    line.say({ live: "live", paused: "live", connecting: "connecting" }[detail.state] ?? "lost");
    if (detail.state === "live") run();
  };
  let later;
  document.addEventListener("notify:alert", ({ detail }) => {
    if (detail.event) run();
    else
      later ??= setTimeout(() => {
        later = null;
        run();
      }, COUNTS);
  });
  document.addEventListener("notify:state", state);
  const now = bell()?.getAttribute("state");
  if (now) state({ detail: { state: now } });
  every(+root.dataset.every, run);
  return run;
}

/** Buttons and their answers; `shown` gets the row as it is now. */
export function acting(root, url, shown) {
  const note = document.querySelector(".nb-said");
  let timer;
  return async (button, element, fields = {}) => {
    const [verb, id] = button.value.split(":");
    const buttons = [...element.querySelectorAll("[data-act]")];
    const focused = element.contains(document.activeElement);
    for (const one of buttons) one.disabled = true;
    element.ariaBusy = true;
    let answer;
    try {
      answer = await post(url, { ...fields, verb, id });
    } catch {
      answer = { said: note.dataset.failed, good: false };
    }
    element.ariaBusy = null;
    for (const one of buttons) one.disabled = false;
    if (answer.row) shown(answer.row);
    note.hidden = false;
    note.dataset.value = answer.good ? "good" : "bad";
    put(note, answer.said);
    clearTimeout(timer);
    timer = setTimeout(() => (note.hidden = true), SAID);
    if (focused)
      (element.querySelector("[data-act]:not([hidden])") ?? element.querySelector("a"))?.focus();
  };
}

export function state(element, row) {
  const changed = element.dataset.value !== row.state;
  fill(element, row);
  for (const button of element.querySelectorAll("[data-act]")) {
    const hidden = button.dataset.act !== "note" && !row.acts.includes(button.dataset.act);
    if (button.hidden !== hidden) button.hidden = hidden;
  }
  return changed;
}

const flash = (element) => {
  element.classList.remove("nb-flash");
  requestAnimationFrame(() => element.classList.add("nb-flash"));
};

export function queue(root, body, blank) {
  const table = new Rows(body, blank);
  const pill = document.querySelector(".nb-fresh");
  const form = document.getElementById("changelist-form");
  const help = root.querySelector(".nb-help");
  const held = root.querySelector(".nb-mutes");
  const mutes = new Rows(held.querySelector("tbody"), document.getElementById("nb-mute"), null);
  let fresh = []; // rows that wait behind the pill
  // What is older than the page came up from the next one, and is no news. Not to the second: of
  // two that were told at the same time one may be committed later.
  const times = [...body.querySelectorAll("[data-time=last_seen]")];
  const since = Math.max(0, ...times.map(({ dateTime }) => Date.parse(dateTime))) - 60_000;

  /** A flood comes in bit by bit, oldest first, so that the page stays usable meanwhile. */
  const enter = (number = AT_ONCE) => {
    const rows = fresh.splice(-number);
    for (const row of rows.reverse()) {
      const element = table.make(row);
      state(element, row);
      body.prepend(element);
      if (rows.length <= FLASHES) flash(element);
    }
    for (const old of [...body.rows].slice(KEPT)) old.remove();
    table.none.hidden = body.rows.length > 0;
    if (fresh.length) setTimeout(enter);
    else wait();
  };

  const wait = () => {
    pill.hidden = !fresh.length;
    put(pill, pill.dataset.new.replace("%s", fresh.length));
  };

  const show = (row, { shown } = table) => {
    const element = shown.get(`${row.id}`);
    if (element && state(element, row)) flash(element);
    return element;
  };

  const above = ({ tiles, strip, mutes: rows }) => {
    totals(tiles);
    mutes.set(rows);
    put(held.querySelector(".nb-mutes-count"), rows.length);
    const hours = root.querySelector(".nb-hours");
    put(hours.querySelector("#nb-hours"), strip.summary);
    const bars = hours.querySelectorAll("rect");
    strip.bars.forEach((bar, index) => {
      for (const name in bar)
        if (+bars[index].getAttribute(name) !== bar[name]) bars[index].setAttribute(name, bar[name]);
    });
    const cells = hours.querySelectorAll("tbody > tr > *");
    strip.rows.flat().forEach((text, index) => put(cells[index], text));
  };

  const line = new Line(root, (paused) => paused || run());
  const run = heard(root, line, async () => {
    const address = new URL(location.href);
    address.searchParams.set("_shown", [...table.shown.keys()].join());
    const found = await get(address);
    if (line.paused) return;
    // Asked before anything is written: afterwards it would cost a layout of the whole page.
    const reading = body.contains(document.activeElement) || body.matches(":hover");
    const top = body.parentElement.getBoundingClientRect().top >= 0;
    above(found.totals);
    counted(found.counted);
    const { shown } = table;
    for (const row of [...found.rows, ...found.others]) show(row, { shown });
    fresh = found.rows.filter(
      (row) => !shown.has(`${row.id}`) && Date.parse(row.last_seen) > since,
    );
    if (fresh.length && top && !reading) enter();
    else wait();
  });

  pill.onclick = () => {
    enter(fresh.length);
    body.querySelector("a")?.focus();
  };

  const act = acting(root, root.dataset.actUrl, (row) => show(row));
  const submit = async (event) => {
    const button = event.submitter;
    if (!button?.dataset.act) return;
    event.preventDefault();
    await act(button, button.closest("tr"));
    if (button.dataset.act === "end") run();
  };
  form.addEventListener("submit", submit);
  held.addEventListener("submit", submit);

  choosing(body);
  help.hidden = false;
  for (const box of help.querySelectorAll("[data-option]")) {
    const key = `nb-${box.dataset.option}`;
    box.checked = (localStorage[key] ?? (key === "nb-keys" ? "on" : "off")) === "on";
    box.onchange = () => (localStorage[key] = box.checked ? "on" : "off");
  }
  body.parentElement.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (!key[1] && localStorage["nb-keys"] === "off") return;
    const row = target.closest("tbody tr");
    if (STEPS[key] && !target.matches("select")) {
      const rows = [...body.rows];
      const at = Math.max(0, Math.min(rows.indexOf(row) + STEPS[key], rows.length - 1));
      rows[at]?.querySelector("a").focus();
    } else if (key === "g") pill.hidden || pill.focus();
    else if (row && ACTS[key]) {
      const button = row.querySelector(`[data-act=${ACTS[key]}]:not([hidden], :disabled)`);
      if (button) act(button, row);
    } else return;
    event.preventDefault();
  });
}

/** The page of one alert. */
export function alert(page, root) {
  const row = document.getElementById("nb-alert-row");
  const steps = new Rows(document.querySelector(".nb-timeline tbody"), document.getElementById("nb-row"));
  const hours = new Rows(document.querySelector(".nb-hour-table tbody"), document.getElementById("nb-hour"));
  const line = new Line(root, (paused) => paused || run());
  const run = heard(root, line, async () => {
    const found = await get();
    if (line.paused) return;
    state(row, found.row);
    steps.set(found.events);
    hours.set(found.hours);
  });
  const form = row.querySelector("form");
  const act = acting(page, page.dataset.actUrl, (now) => state(row, now));
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = Object.fromEntries([...new FormData(form)].filter(([name]) => name === "note" || name === "minutes"));
    if (!event.submitter.dataset.act) fields.labels = new FormData(form).getAll("labels");
    else delete fields.minutes;
    await act(event.submitter, row, fields);
    form.elements.note.value = "";
    run();
  });
}
