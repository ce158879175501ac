"use strict";
// Select2 tells jQuery alone what was chosen; htmx listens to the browser's events.
django.jQuery(function ($) {
  $("#id_calendars").on("change", function () {
    htmx.trigger(this, "chosen");
  });
});
