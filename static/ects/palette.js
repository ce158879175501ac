// Enter in the command palette opens the first of what was found: the theme wants an arrow before it.
"use strict";
document.addEventListener(
  "keydown",
  (event) => {
    const input = event.target;
    if (event.key !== "Enter" || event.isComposing || input.id !== "search-input-command" || !input.value) return;
    const results = document.getElementById("command-results-list");
    if (results?.querySelector("li.active")) return;
    if (results?.dataset.of === input.value) input.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown" }));
    else event.stopImmediatePropagation();
  },
  true,
);

// The theme focuses the field 20 ms after it asked for the palette, which the browser may not have shown by then:
// a hidden field takes no focus, and what is typed would be lost.
document.addEventListener("DOMContentLoaded", () => {
  const input = document.getElementById("search-input-command");
  const palette = input?.closest("[x-show]");
  if (!palette) return;
  const focus = () => palette.style.display === "none" || input.focus();
  new MutationObserver(focus).observe(palette, { attributes: true, attributeFilter: ["style"] });
});
