// What the theme lets only the mouse press is reached and pressed with the keyboard too, and has a name; what opens
// takes the focus, Escape closes it and gives the focus back.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const PRESSED = '[x-on\\:click]:not(button, input, a[href]), label:has(> .hidden > input.delete), label[for$="-DELETE"]';
  const WAITING = 'a[href], button, input:not([type="hidden"]), select, textarea, [tabindex="0"]';
  const OPENS = "#changelist-filter, #nav-sidebar, #modal-content, .ects-opens";
  const names = document.getElementById("ects-names")?.dataset ?? {};
  const KEYED = 3000;
  const dialog = document.getElementById("modal-content");
  let opener = null;
  let keyed = -KEYED;

  const isSeen = (element) => element.getClientRects().length > 0;
  // Until htmx knows what it has just put there, a form in it would be sent to the page that is looked at.
  const isReady = (place) => isSeen(place) && !place.querySelector(".htmx-added");
  const first = (place) => [...place.querySelectorAll(WAITING)].find(isSeen);

  // An icon is a word in a font of its own: it is no name for who hears it.
  const ICON = ".material-symbols-outlined";
  const squeezed = (text) => text.replace(/\s+/g, "");
  function name(icon) {
    const pressed = icon.closest('a, button, [role="button"]');
    const icons = pressed && (pressed === icon ? [icon] : [...pressed.querySelectorAll(ICON)]);
    if (icons && squeezed(pressed.textContent) === squeezed(icons.map((one) => one.textContent).join("")) && !pressed.hasAttribute("aria-label")) {
      const told = pressed.title || names[icons[0].textContent.trim()];
      if (!told) return;
      pressed.setAttribute("aria-label", told);
    }
    if (pressed !== icon) icon.setAttribute("aria-hidden", "true");
  }

  function prepare(place) {
    for (const element of place.querySelectorAll(PRESSED)) {
      if (element.hasAttribute("tabindex") || element.id === "changelist-filter-close") continue;
      element.tabIndex = 0;
      element.setAttribute("role", "button");
    }
    place.querySelectorAll(`${ICON}:not([aria-hidden])`).forEach(name);
  }

  function press(event) {
    const element = event.target;
    if (event.key !== "Enter" && event.key !== " ") return;
    keyed = performance.now();
    if (!element.matches?.('[role="button"]') || element.matches("a[href], button")) return;
    event.preventDefault();
    element.click();
  }

  function enter(place) {
    opener = document.activeElement;
    first(place)?.focus();
  }

  function leave() {
    if (opener && isSeen(opener)) opener.focus();
    opener = null;
  }

  // Alpine shows and hides by the style: what a key has just opened over the page is entered; a dialog, whatever did.
  const wasSeen = new WeakMap();
  function follow() {
    for (const place of document.querySelectorAll(OPENS)) {
      const seen = isReady(place) && getComputedStyle(place).position !== "static";
      const isAsked = place.id === "modal-content" || performance.now() - keyed < KEYED;
      if (seen && isAsked && wasSeen.get(place) === false && !place.contains(document.activeElement)) enter(place);
      if (!seen && wasSeen.get(place) && place === dialog) leave();
      wasSeen.set(place, seen);
    }
  }

  function close(event) {
    if (event.key !== "Escape") return;
    // The theme closes what stands open at a press beside it.
    document.body.click();
    // A dialog keeps the focus until it is hidden.
    if (!dialog || !isSeen(dialog)) leave();
  }

  // The focus stays within a dialog.
  document.addEventListener("focusin", (event) => {
    if (dialog && isSeen(dialog) && !dialog.contains(event.target)) first(dialog)?.focus();
  });
  document.addEventListener("keydown", press);
  document.addEventListener("keydown", close);
  dialog?.setAttribute("role", "dialog");
  dialog?.setAttribute("aria-modal", "true");
  document.getElementById("content")?.setAttribute("tabindex", "-1");
  prepare(document);
  follow();
  new MutationObserver((changes) => {
    // Each place once: output that comes in thousands of lines is one of them.
    const hasElements = (change) => [...change.addedNodes].some((node) => node.nodeType === 1);
    new Set(changes.filter(hasElements).map((change) => change.target)).forEach(prepare);
    follow();
  }).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["style", "class"] });
});
