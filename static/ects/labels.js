// Names what the theme leaves without one, for those who hear the page.
"use strict";
(() => {
  // Fields in a table have the column's heading, which is no label.
  const nameCells = () => {
    for (const cell of document.querySelectorAll("td.field-tabular[data-label]")) {
      for (const field of cell.querySelectorAll("input:not([type=hidden]), select, textarea")) {
        if (!field.labels.length && !field.hasAttribute("aria-label")) field.setAttribute("aria-label", cell.dataset.label);
      }
    }
  };
  // Select2 names its boxes by what is chosen in them alone, which is nothing in an empty one.
  const nameBoxes = () => {
    for (const select of document.querySelectorAll("select.select2-hidden-accessible")) {
      const label = document.querySelector(`label[for="${CSS.escape(select.id)}"]`);
      if (!select.nextElementSibling || !label) continue;
      for (const box of select.nextElementSibling.querySelectorAll("[role=combobox], [role=textbox], [role=searchbox]")) {
        box.removeAttribute("aria-labelledby");
        box.setAttribute("aria-label", label.textContent.replace("*", "").trim());
      }
    }
  };
  // The palette's button is a sign alone; its field says what both are for.
  const nameSearch = () => {
    const field = document.getElementById("search-input-command");
    document.getElementById("command-submit")?.setAttribute("aria-label", field.placeholder);
  };
  // The icons that say what a filter of choices is for: a name counts only where there is a role.
  const nameFilters = () => {
    document.querySelectorAll(".search-label-icon").forEach((icon) => icon.setAttribute("role", "img"));
  };
  const name = () => {
    nameSearch();
    nameFilters();
    nameCells();
    nameBoxes();
  };
  const soon = () => setTimeout(name, 0);
  document.addEventListener("DOMContentLoaded", soon);
  window.addEventListener("load", soon);
  document.addEventListener("formset:added", soon);
})();
