// Keeps the dashboard fresh while somebody looks at it: the parts that are marked data-fresh are taken anew, by their
// ids, from the page that each names.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const EVERY = 15000;
  const parts = () => [...document.querySelectorAll("[data-fresh]")];
  if (!parts().length) return;
  let last = Date.now();
  // On a narrow screen the newest hours come first into sight.
  document.querySelectorAll(".ects-wide").forEach((wide) => { wide.scrollLeft = wide.scrollWidth; });

  function replace(old, fresh) {
    // Nobody's place is taken away: who is in it with the keyboard keeps it as it is until the next time.
    if (!fresh || old.querySelector(":focus-visible")) return;
    const scrolled = [...old.querySelectorAll(".ects-wide")].map((wide) => wide.scrollLeft);
    old.replaceWith(fresh);
    fresh.querySelectorAll(".ects-wide").forEach((wide, place) => { wide.scrollLeft = scrolled[place] ?? 0; });
  }

  async function renew(address) {
    const reply = await fetch(address, { redirect: "error" });
    if (!reply.ok) throw new Error(reply.statusText);
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    parts().filter((part) => part.dataset.fresh === address).forEach((part) => replace(part, page.getElementById(part.id)));
  }

  async function renewAll(addresses) {
    last = Date.now();
    const done = await Promise.allSettled([...new Set(addresses)].map(renew));
    const stale = document.querySelector("[data-stale]");
    if (stale) stale.hidden = done.every((one) => one.status === "fulfilled");
  }

  function look() {
    if (document.visibilityState === "visible" && Date.now() - last >= EVERY) renewAll(parts().map((part) => part.dataset.fresh));
  }

  renewAll(parts().filter((part) => "waits" in part.dataset).map((part) => part.dataset.fresh));
  setInterval(look, 1000);
  document.addEventListener("visibilitychange", look);
});
