// What the demo tells about itself, measured here: how fast, over how many lines, and what was
// missed. The bell does its work without any of it.

const lab = document.querySelector(".lab");
const part = (name) => lab.querySelector(`.${name}`);
const missed = part("missed");

const say = (name, word, ...values) => {
  const node = part(name);
  let text = node.dataset[word];
  for (const [index, value] of values.entries())
    text = text.replace(values[1] === undefined ? "%s" : `%${index + 1}`, value);
  node.textContent = text;
  node.hidden = false;
};

// From when it was stored to when the next picture shows it.
document.addEventListener("notify:receive", ({ detail: { notification } }) => {
  requestAnimationFrame(() =>
    say("delivered", "told", Math.max(0, Date.now() - Date.parse(notification.created))),
  );
});

// Every tab of a session waits for one lock, and who holds it holds the socket.
async function lines() {
  const { channel } = JSON.parse(document.getElementById("nb-config").textContent);
  const { held, pending } = await navigator.locks.query();
  const count = (list) => list.filter(({ name }) => name === channel).length;
  say("lines", "told", count(held) + count(pending), count(held));
}
if (navigator.locks) {
  lines();
  setInterval(() => document.hidden || lines(), 1000);
}

const state = (wanted) =>
  new Promise((resolve) => {
    const hear = ({ detail }) => {
      if ((detail.state === "live") !== wanted) return;
      document.removeEventListener("notify:state", hear);
      resolve();
    };
    document.addEventListener("notify:state", hear);
  });

const form = lab.querySelector("form[data-cut]");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new FormData(form);
  const post = (url) => fetch(url, { method: "POST", body, redirect: "manual" });
  let recovered = 0;
  const sync = ({ detail }) => (recovered = detail.missed);
  document.addEventListener("notify:sync", sync);
  const cut = state(false);
  await post(form.action);
  await cut;
  say("missed", "cut");
  const back = state(true);
  await Promise.all([post(form.dataset.write), back]);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  document.removeEventListener("notify:sync", sync);
  if (recovered) say("missed", "told", recovered);
  else say("missed", "none");
});
