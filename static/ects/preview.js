"use strict";
// Select2 tells jQuery alone what was chosen; htmx listens to the browser's events.
document.addEventListener("DOMContentLoaded", function () {
  django.jQuery("#id_calendars").on("change", function () {
    htmx.trigger(this, "chosen");
  });
});
