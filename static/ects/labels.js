// Select2 names its boxes by what is chosen in them alone, which is nothing in an empty one: the field's label is added.
"use strict";
(() => {
  const name = () => {
    for (const select of document.querySelectorAll("select.select2-hidden-accessible")) {
      const label = document.querySelector(`label[for="${CSS.escape(select.id)}"]`);
      if (!select.nextElementSibling || !label) continue;
      for (const box of select.nextElementSibling.querySelectorAll("[role=combobox], [role=textbox], [role=searchbox]")) {
        box.removeAttribute("aria-labelledby");
        box.setAttribute("aria-label", label.textContent.replace("*", "").trim());
      }
    }
  };
  const soon = () => setTimeout(name, 0);
  document.addEventListener("DOMContentLoaded", soon);
  window.addEventListener("load", soon);
  document.addEventListener("formset:added", soon);
})();
