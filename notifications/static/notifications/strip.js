// The strip of critical alerts on every page of the admin: up to date, said once, put away at will.

const strip = document.querySelector(".nb-strip");
const form = strip.querySelector("form");
let timer;

const show = ({ count, text }) => {
  strip.hidden = !count;
  strip.querySelector(".nb-strip-text").textContent = text;
};

const ask = async (options) => {
  const headers = { Accept: "application/json" };
  const answer = await fetch(strip.dataset.url, { cache: "no-store", headers, ...options });
  if (answer.ok && !answer.redirected) show(await answer.json());
};

const soon = () => {
  timer ??= setTimeout(() => {
    timer = null;
    ask().catch(() => {});
  }, 200);
};

function beep() {
  const sound = new AudioContext();
  const tone = sound.createOscillator();
  tone.frequency.value = 880;
  tone.connect(sound.destination);
  tone.start();
  tone.stop(sound.currentTime + 0.15);
  tone.onended = () => sound.close();
}

document.addEventListener("notify:alert", ({ target, detail: { alert, event } }) => {
  if (alert.level !== "critical") return;
  soon();
  if (alert.state !== "firing" || !/^(fired|reopened|raised|repeated)$/.test(event?.kind)) return;
  target.speak?.(strip.dataset.critical + alert.title, "alert");
  if (localStorage["nb-beep"] === "on") beep();
});
document.addEventListener("notify:state", ({ detail }) => detail.state === "live" && soon());

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask({ method: "POST", body: new FormData(form) }).catch(() => form.submit());
});
