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
