// Fills the schedule's field from presets and choices; asks where a pipeline would run while its bindings change.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const field = document.getElementById("id_schedule");
  const builder = document.querySelector("[data-builder]");
  if (field && builder) {
    const part = (name) => builder.querySelector(`[data-part="${name}"]`);

    const write = (text) => {
      field.value = text;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    };

    const built = () => {
      const [hour, minute] = part("time").value.split(":").map(Number);
      const number = Number(part("number").value);
      const at = `${minute} ${hour}`;
      const days = [...builder.querySelectorAll('[data-part="day"]:checked')].map((box) => box.value).join(",");
      // A step that does not divide the hour or the day evenly would stumble at its end: an interval does not.
      const even = (whole, letter, cron) => (whole % number === 0 ? cron : `@every ${number}${letter}`);
      switch (part("kind").value) {
        case "seconds": return even(60, "s", `*/${number} * * * * *`);
        case "minutes": return even(60, "m", `*/${number} * * * *`);
        case "hours": return even(24, "h", `0 */${number} * * *`);
        case "daily": return `${at} * * *`;
        case "weekly": return days && `${at} * * ${days}`;
        case "monthly": return `${at} ${part("date").value} * *`;
        default: return "";
      }
    };

    builder.addEventListener("click", (event) => {
      if (event.target.dataset.schedule) write(event.target.dataset.schedule);
    });
    builder.addEventListener("input", () => {
      const kind = part("kind").value;
      for (const element of builder.querySelectorAll("[data-for]")) {
        element.hidden = !element.dataset.for.split(" ").includes(kind);
      }
      const complete = part("number").checkValidity() && part("time").value;
      const text = complete ? built() : "";
      if (text) write(text);
    });
  }

  const places = document.getElementById("places");
  const form = places && places.closest("form");
  if (!form) return;
  const concerns = /^(node_labels|placement|bindings-\d+-(node|DELETE))$/;
  let waiting = null;
  const ask = () => {
    const given = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (concerns.test(name) && value) given.append(name, value);
    const url = form.querySelector("[data-places]").dataset.places;
    htmx.ajax("GET", `${url}?${given}`, { target: "#places", swap: "outerHTML" });
  };
  const later = (event) => {
    if (!concerns.test(event.target.name || "")) return;
    clearTimeout(waiting);
    waiting = setTimeout(ask, 300);
  };
  form.addEventListener("input", later);
  form.addEventListener("change", later);
  // Select2 tells jQuery alone what was chosen.
  django.jQuery(form).on("change", "select", later);
});
