// Follows a run that is going: by a stream of events, and by polling the same cursor when there is no place for that.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const page = document.getElementById("run");
  if (!page || page.dataset.ended) return;

  const POLL_EVERY = 2000;
  const NEAR_THE_END = 40;
  const live = page.querySelector("[data-live]");
  const decoders = new Map();
  const positions = new Map();
  let cursor = Number(page.dataset.cursor);
  let source = null;
  let over = false;

  function address(kind) {
    return `${page.dataset[kind]}?cursor=${cursor}`;
  }

  function badge(element, state, label) {
    element.className = `ects-state ects-state-${state}`;
    element.textContent = label;
  }

  function explain(element, reason) {
    element.textContent = reason;
    element.hidden = !reason;
  }

  function write(index, offset, bytes) {
    const output = page.querySelector(`[data-step="${index}"] [data-step-output]`);
    if (!output) return;
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
    const atEnd = output.scrollHeight - output.scrollTop - output.clientHeight < NEAR_THE_END;
    output.hidden = false;
    output.append(text);
    if (atEnd) output.scrollTop = output.scrollHeight;
  }

  function show(told) {
    const isNew = told.steps.some((step) => !page.querySelector(`[data-step="${step.index}"]`));
    if (isNew) {
      // A step has begun that the page does not know: the server draws it.
      over = true;
      if (source) source.close();
      window.location.reload();
      return;
    }
    cursor = told.cursor;
    badge(page.querySelector("[data-run-state]"), told.state, told.label);
    explain(page.querySelector("[data-run-reason]"), told.reason);
    for (const step of told.steps) {
      const section = page.querySelector(`[data-step="${step.index}"]`);
      badge(section.querySelector("[data-step-state]"), step.state, step.label);
      explain(section.querySelector("[data-step-reason]"), step.reason);
    }
    for (const [index, offset, data] of told.pieces) {
      write(index, offset, Uint8Array.from(atob(data), (character) => character.charCodeAt(0)));
    }
    if (told.ended && !told.more) end();
  }

  function end() {
    over = true;
    live.hidden = true;
    if (source) source.close();
  }

  async function poll() {
    if (over) return;
    let pause = POLL_EVERY;
    try {
      const reply = await fetch(address("poll"), { headers: { Accept: "application/json" } });
      if (reply.ok) {
        const told = await reply.json();
        show(told);
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
    source.onmessage = (event) => show(JSON.parse(event.data));
    source.addEventListener("end", end);
    source.onerror = () => {
      // A stream that has come to its time is taken up again by the browser, from its last id. One that was refused
      // is closed for good.
      if (source.readyState === EventSource.CLOSED && !over) poll();
    };
  }

  live.hidden = false;
  for (const output of page.querySelectorAll("[data-step-output]")) output.scrollTop = output.scrollHeight;
  follow();
});
