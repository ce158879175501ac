// Tells the server the viewer's time zone, from the page of the sign-in on.
"use strict";
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const told = document.cookie.split("; ").find((pair) => pair.startsWith("ects_zone="));
  if (!zone || (told && decodeURIComponent(told.slice(10)) === zone)) return;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `ects_zone=${encodeURIComponent(zone)}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
})();
