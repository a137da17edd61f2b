// The demo's two buttons above the queue, and a word to the page around it that alerts changed.

const form = document.querySelector("[data-gateway]");
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const { submitter } = event;
  fetch(form.action, { method: "POST", body: new FormData(form, submitter), redirect: "manual" });
});

document.addEventListener("notify:alert", () => {
  if (window.top === window) return;
  const around = location.origin.replace(/\/\/[^.]+\.(?=shop\.)/, "//");
  window.parent.postMessage("status", around);
});
