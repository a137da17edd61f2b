// The form of a broadcast: whom it reaches and how it looks, while it is written. What is shown is
// made by the very code that shows it to people.
import { post, put } from "./live.js";
import * as rows from "./rows.js";

const PAUSE = 300;

export function compose(form) {
  const output = form.querySelector("output");
  const preview = document.querySelector(".nb-preview");
  const shown = preview.querySelector(".nb-shown");
  const config = JSON.parse(document.getElementById("nb-config")?.textContent ?? "null");
  let timer;
  let asked = 0;

  const sides = () => {
    const to = form.elements.to.value;
    for (const field of form.querySelectorAll("[data-for]")) field.hidden = field.dataset.for !== to;
  };

  const draw = (row) => {
    preview.hidden = !row.title;
    shown.hidden = false;
    preview.querySelector(".nb-plain")?.remove();
    for (const place of shown.querySelectorAll("[data-shown]")) {
      const { shown: name } = place.dataset;
      const template = document.querySelector(`template[data-nb="${name}"]`).content;
      const blank = template.querySelector(name === "toast" ? ".nb-toast" : ".nb-item");
      place.replaceChildren(rows.fill(blank.cloneNode(true), row, config));
      // It is a picture of what people get: its buttons do nothing here.
      for (const button of place.querySelectorAll("button")) button.disabled = true;
    }
  };

  const look = async () => {
    const mine = ++asked;
    const fields = Object.fromEntries(
      [...new Set([...form.elements].map(({ name }) => name))]
        .filter((name) => name && !name.startsWith("_"))
        .map((name) => [name, new FormData(form).getAll(name)]),
    );
    try {
      const { reach, row, errors } = await post(location.href, { ...fields, _preview: ["1"] });
      if (mine !== asked) return;
      const { to } = form.elements;
      const wrong = errors[to.value === "people" ? "people" : "groups"];
      put(output, reach || (form.elements[to.value]?.value && wrong?.[0]) || form.dataset.reach);
      if (config) draw(row);
    } catch {
      // it is only a preview; sending says what is wrong
    }
  };

  form.addEventListener("input", () => {
    sides();
    clearTimeout(timer);
    timer = setTimeout(look, PAUSE);
  });
  sides();
  look();
  document.querySelector(".nb-asks")?.focus();
}
