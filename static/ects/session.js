// Who was signed out meanwhile and asks for a dialog gets the sign-in, which leads back to this page: not an empty
// dialog, nor silence. What a form looks up while it is filled in stays as it was: what was typed is not thrown away.
"use strict";
document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { xhr, target, elt } = event.detail;
  if (!xhr.responseURL || !new URL(xhr.responseURL).pathname.endsWith("/login/")) return;
  event.preventDefault();
  if ([target, elt].some((element) => element?.closest("[id^='modal']"))) window.location.reload();
});
