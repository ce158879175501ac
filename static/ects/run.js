// Follows a run that is going: by a stream of events, and by polling the same cursor when there is no place for that.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const page = document.getElementById("run");
  if (!page) return;
  const output = new ects.Console(page);
  if (page.dataset.ended) return;

  const POLL_EVERY = 2000;
  const DRAW_EVERY = 3000;
  const decoders = new Map();
  const positions = new Map();
  let cursor = Number(page.dataset.cursor);
  let source = null;
  let over = false;
  let drawn = "";
  let work = Promise.resolve();

  function address(kind) {
    return `${page.dataset[kind]}?cursor=${cursor}`;
  }

  function write(index, offset, bytes) {
    // What the page came with ended here or before: only a jump between two pieces that we saw is a cut.
    const position = positions.get(index);
    if (!decoders.has(index)) decoders.set(index, new TextDecoder());
    let text = "";
    if (position !== undefined && offset > position) {
      text += decoders.get(index).decode();
      text += `\n${page.dataset.dropped.replace("%s", offset - position)}\n`;
    }
    text += decoders.get(index).decode(bytes, { stream: true });
    positions.set(index, offset + bytes.length);
    output.write(index, text);
  }

  // The server draws all but the output: the head, the steps in time, and the steps that have begun.
  async function draw() {
    const reply = await fetch(page.dataset.parts);
    // Signed out meanwhile: the page, loaded anew, asks for the password and comes back.
    if (reply.redirected) window.location.reload();
    if (!reply.ok || reply.redirected) return;
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    for (const name of ["head", "steps"]) {
      const old = page.querySelector(`[data-part="${name}"]`);
      // Whoever is asked whether to kill it decides in peace, but not when there is nothing more to kill.
      const isAsked = old.querySelector(":popover-open") && fresh.querySelector("[data-live]:not([hidden])");
      if (!isAsked) old.replaceWith(fresh.querySelector(`[data-part="${name}"]`));
    }
    for (const section of fresh.querySelectorAll("[data-step]")) {
      const old = page.querySelector(`[data-step="${section.dataset.step}"]`);
      if (!old) page.querySelector("[data-steps]").append(section);
      else for (const part of ["[data-step-state]", "[data-step-facts]", "[data-step-reason]", "[data-silent]"]) renew(old, section, part);
    }
    page.querySelector("[data-no-step]")?.remove();
    page.querySelector("[data-tools]").hidden = !page.querySelector("[data-step]");
    output.adopt();
  }

  // What the page still has: of a step that has written meanwhile no word says that it was silent.
  function renew(old, fresh, selector) {
    old.querySelector(selector)?.replaceWith(...fresh.querySelectorAll(selector));
  }

  async function show(told) {
    const state = JSON.stringify([told.state, told.reason, told.steps]);
    if (state !== drawn) await draw().then(() => (drawn = state), () => {});
    if (told.steps.some((step) => !page.querySelector(`[data-step="${step.index}"]`))) {
      // It could not be drawn: the whole page is, so that nothing of its output is missed.
      over = true;
      window.location.reload();
      return;
    }
    cursor = told.cursor;
    for (const [index, offset, data] of told.pieces) {
      write(index, offset, Uint8Array.from(atob(data), (character) => character.charCodeAt(0)));
    }
    if (told.ended && !told.more) end();
  }

  // One after the other: the pieces of a step come after the step.
  function take(told) {
    work = work.then(() => show(told));
    return work;
  }

  function end() {
    over = true;
    page.querySelector("[data-live]").hidden = true;
    if (source) source.close();
  }

  async function poll() {
    if (over) return;
    let pause = POLL_EVERY;
    try {
      const reply = await fetch(address("poll"), { headers: { Accept: "application/json" } });
      if (reply.ok) {
        const told = await reply.json();
        await take(told);
        if (told.more) pause = 0;
      } else if (reply.status === 404 || reply.status === 403) {
        end();
      }
    } catch {
      pause = POLL_EVERY * 2;
    }
    if (!over) setTimeout(poll, pause + Math.random() * pause * 0.2);
  }

  function follow() {
    source = new EventSource(address("stream"));
    source.onmessage = (event) => take(JSON.parse(event.data));
    source.addEventListener("end", () => (work = work.then(end)));
    source.onerror = () => {
      // A stream that has come to its time is taken up again by the browser, from its last id. One that was refused
      // is closed for good.
      if (source.readyState === EventSource.CLOSED && !over) work.then(poll);
    };
  }

  // The bars of what is running grow.
  function grow() {
    if (over) return;
    if (!document.hidden) work = work.then(draw).catch(() => {});
    work.then(() => setTimeout(grow, DRAW_EVERY));
  }

  if (!location.hash) output.setFollow(true);
  setTimeout(grow, DRAW_EVERY);
  follow();
});
