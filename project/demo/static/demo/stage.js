// The page with two frames: copies the command, and carries a word from one frame to the other.

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  const { copy, copied } = button.dataset;
  const name = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(copy).textContent);
    button.textContent = copied;
    setTimeout(() => (button.textContent = name), 2000);
  });
}

// The shop's visitor is told nothing by the operators' stream. That something changed is said
// from frame to frame; what it is, the shop asks its server.
const frames = [...document.querySelectorAll("iframe")];
window.addEventListener("message", ({ origin, data }) => {
  if (data !== "status" || !frames.some((frame) => frame.dataset.host === origin)) return;
  for (const frame of frames)
    if (frame.dataset.host !== origin) frame.contentWindow.postMessage(data, frame.dataset.host);
});
