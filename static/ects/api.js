// What the framework's pages leave out for a screen reader and the keyboard: a language, names of fields, scrolling.
"use strict";
document.documentElement.lang = document.currentScript.dataset.language;
document.addEventListener("DOMContentLoaded", () => {
  for (const group of document.querySelectorAll(".form-group")) {
    const name = group.querySelector("label, .control-label")?.textContent.trim();
    for (const field of group.querySelectorAll("input, select, textarea")) if (name && !field.labels.length) field.ariaLabel = name;
  }
  for (const button of document.querySelectorAll("button[title]:not([aria-label])")) if (!button.textContent.trim()) button.ariaLabel = button.title;
  for (const block of document.querySelectorAll("pre")) block.tabIndex = 0;
});
