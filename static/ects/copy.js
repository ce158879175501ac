// A button with data-copy puts the text of the element of that id on the clipboard.
"use strict";
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = button.dataset.copied;
  } catch {
    // Without TLS a browser has no clipboard for pages: the text is marked, to be copied by hand.
    getSelection().selectAllChildren(source);
  }
});
