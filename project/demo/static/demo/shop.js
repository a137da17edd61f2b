// An order placed without leaving the page, so that the bell can be seen to ring.
// Without this file the same form is posted, and the page comes back.

async function place(form) {
  const answer = form.parentElement.querySelector(".answer");
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const response = await fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      headers: { Accept: "application/json" },
    });
    if (response.redirected) return location.assign(response.url); // to the login page
    if (response.status === 403) return location.reload(); // logged out meanwhile
    if (!response.ok) throw new Error(`status ${response.status}`);
    const { said, url } = await response.json();
    const link = document.createElement("a");
    link.href = url;
    link.textContent = said;
    answer.replaceChildren(link);
  } catch {
    answer.textContent = form.dataset.failed;
  } finally {
    answer.hidden = false;
    button.disabled = false;
  }
}

for (const form of document.querySelectorAll("form[data-order]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    place(form);
  });
}

// Whether one can pay is asked when the page is looked at again, and when the page around it says
// that something has changed.
const banner = document.querySelector(".banner");

async function ask() {
  const { text } = await (await fetch(banner.dataset.url, { cache: "no-store" })).json();
  banner.textContent = text;
  banner.hidden = !text;
}

if (banner) {
  document.addEventListener("visibilitychange", () => document.hidden || ask());
  window.addEventListener("message", ({ source, data }) => {
    if (source === window.parent && data === "status") ask();
  });
}
