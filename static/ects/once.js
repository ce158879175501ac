// The second click of a double click does not send a form again: it would be told of the change that the first one made.
"use strict";
{
  const WITHIN = 2000; // milliseconds
  const sent = new WeakMap();
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || !event.target.querySelector("[name=seen]")) return;
    if (Date.now() - (sent.get(event.target) ?? 0) < WITHIN) event.preventDefault();
    else sent.set(event.target, Date.now());
  });
}
