// The operators' pages in the Django admin: what is on this page is kept up to date.
import { compose } from "./compose.js";
import { choosing, counted, every, get, Line, put, Rows, tell, totals } from "./live.js";
import { alert, queue } from "./queue.js";

const root = document.getElementById("nb-live");
const blank = document.getElementById("nb-row");
const body = document.querySelector(".nb-live-table tbody");

/** A page that is looked at every few seconds. */
function looked(show) {
  const line = new Line(root);
  every(+root.dataset.every, async () => {
    if (line.paused) return;
    try {
      const found = await get();
      if (!line.paused) show(found);
      line.say("live");
    } catch {
      line.say("lost");
    }
  });
}

function connections() {
  const table = new Rows(body, blank);
  choosing(body);
  looked((found) => {
    totals(found.totals);
    counted(found.counted);
    table.set(found.rows);
  });
}

function delivery() {
  const table = new Rows(body, blank);
  looked(({ charts, processes }) => {
    table.set(processes);
    for (const name in charts) {
      const figure = document.querySelector(`[data-chart="${name}"]`);
      const { paths, top, summary, rows } = charts[name];
      put(figure.querySelector(".nb-top"), top);
      put(figure.querySelector(".nb-sum"), summary);
      put(figure.querySelector(".nb-from"), rows.at(-1)[0]);
      paths.forEach((path, index) =>
        figure.querySelector(`.nb-path-${index + 1}`).setAttribute("d", path),
      );
      const cells = figure.querySelectorAll("tbody > tr > *");
      rows.flat().forEach((text, index) => put(cells[index], text));
    }
  });
}

/** What became of a broadcast. */
function figures() {
  looked((found) => {
    totals(found.totals);
    put(document.querySelector(".nb-standing"), found.state);
  });
}

const form = document.getElementById("nb-compose");
const page = document.querySelector("[data-alert]");
if (form) compose(form);
else if (page) alert(page, root);
else if (root?.dataset.actUrl) queue(root, body, blank);
else if (document.querySelector(".nb-charts")) delivery();
else if (root?.matches(".nb-figures")) figures();
else if (root) connections();

tell(document);
setInterval(() => document.hidden || tell(document), 5000);
