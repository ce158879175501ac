// Tells the server the viewer's time zone, from the page of the sign-in on. As it is: a zone's name has nothing that a
// cookie may not have, and the server does not decode.
"use strict";
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || document.cookie.split("; ").includes(`ects_zone=${zone}`)) return;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `ects_zone=${zone}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
})();
