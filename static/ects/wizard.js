// The wizard works without this: it says that a test is going on, and follows the set-up without loading the page anew.
"use strict";

for (const form of document.querySelectorAll("form[data-busy]")) {
  form.addEventListener("submit", (event) => {
    if (form.getAttribute("aria-busy") === "true") {
      event.preventDefault();
      return;
    }
    form.setAttribute("aria-busy", "true");
    if (event.submitter) event.submitter.textContent = form.dataset.busy;
  });
}

// Back by the browser's button: the page is as it was left.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});

const stages = document.getElementById("stages");

async function follow() {
  const end = stages.querySelector("[data-end]");
  if (end) {
    // Whoever asks now waits until the console answers.
    if (end.dataset.target) window.location.replace(end.dataset.target);
    return;
  }
  await new Promise((resume) => setTimeout(resume, 700));
  try {
    const reply = await fetch(stages.dataset.part, { headers: { "X-Requested-With": "fetch" } });
    if (reply.redirected || !reply.ok) {
      window.location.replace("/setup/");
      return;
    }
    const text = await reply.text();
    if (text !== follow.last) stages.innerHTML = text;
    follow.last = text;
  } catch {
    // The connection was cut; the next try tells.
  }
  follow();
}

if (stages) follow();
