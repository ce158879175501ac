// The order of a pipeline's steps as a board: stages from left to right, the steps of a stage side by side. Cards are
// dragged, or moved by their arrows or the arrow keys; the rows of the form follow, and are what is saved.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const board = document.querySelector("[data-board]");
  const rows = document.getElementById("steps-data");
  if (!board || !rows) return;
  const list = board.querySelector("[data-stages]");
  const words = board.dataset;
  let dragged = null;

  const field = (row, name) => row.querySelector(`[name$="-${name}"]`);
  const task = (row) => field(row, "task")?.selectedOptions[0];
  const isStep = (row) => !row.matches(".empty-form") && task(row)?.value;
  const isRemoved = (row) => field(row, "DELETE")?.checked;
  const all = () => [...rows.querySelectorAll(":scope > .form-group:not(.empty-form)")];
  const fill = (text, ...values) => values.reduce((told, value, place) => told.replace(`%${place + 1}`, value), text);

  // What stood beside a step that is removed stays in its stage, and does not join the one before.
  function stages() {
    const found = [];
    for (const row of all().filter(isStep)) {
      if (!field(row, "beside").checked || !found.length) found.push([]);
      if (!isRemoved(row)) found.at(-1).push(row);
    }
    return found.filter((stage) => stage.length);
  }

  // The rows in the order of the board; those that are no steps (yet, or any more) come last.
  function apply(order) {
    const before = rows.querySelector(":scope > .empty-form");
    const steps = order.flat();
    const rest = all().filter((row) => !steps.includes(row));
    [...steps, ...rest].forEach((row, place) => {
      rows.insertBefore(row, before);
      field(row, "position").value = place;
    });
    for (const stage of order) stage.forEach((row, place) => { field(row, "beside").checked = place > 0; });
    if (steps.length) field(steps[0], "beside").dispatchEvent(new Event("input", { bubbles: true }));
    draw();
  }

  function without(row) {
    const order = stages();
    const from = order.findIndex((stage) => stage.includes(row));
    const rest = order[from].filter((other) => other !== row);
    return { order, from, rest };
  }

  // One half of a stage: out of a shared stage into one of its own beside it, or from there into the next.
  function move(row, by) {
    const { order, from, rest } = without(row);
    if (rest.length) order.splice(from, 1, ...(by < 0 ? [[row], rest] : [rest, [row]]));
    else if (order[from + by]) {
      order[from + by].push(row);
      order.splice(from, 1);
    } else return;
    apply(order);
    tell(row);
  }

  function drop(place, isOwn) {
    const row = dragged;
    const { order, from, rest } = without(row);
    const target = order[place];
    if (!isOwn && target === order[from]) return;
    order[from] = rest;
    if (isOwn) order.splice(place, 0, [row]);
    else target.push(row);
    apply(order.filter((stage) => stage.length));
    tell(row);
  }

  function tell(row) {
    const order = stages();
    const at = order.findIndex((stage) => stage.includes(row));
    const others = order[at].filter((other) => other !== row).map((other) => task(other).text);
    board.querySelector("[data-told]").textContent = others.length
      ? fill(words.beside, task(row).text, at + 1, others.join(", "))
      : fill(words.alone, task(row).text, at + 1);
  }

  function button(text, label, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    if (label) made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  }

  function card(row, canGo) {
    const name = task(row).text;
    const made = document.createElement("li");
    made.className = "ects-board-card";
    made.draggable = true;
    made.step = row;
    made.classList.toggle("ects-board-weak", field(row, "dependence").value === "weak");
    const open = button(name, "", () => { row.scrollIntoView({ block: "center" }); row.querySelector(".select2-selection")?.focus(); });
    open.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      move(row, by);
    });
    const arrows = [-1, 1].map((by) => button(by < 0 ? "‹" : "›", fill(by < 0 ? words.earlier : words.later, name), () => move(row, by)));
    arrows.forEach((arrow, place) => { arrow.disabled = !canGo[place]; });
    made.append(arrows[0], open, arrows[1]);
    made.addEventListener("dragstart", (event) => { dragged = row; event.dataTransfer.setData("text/plain", name); });
    made.addEventListener("dragend", () => { dragged = null; draw(); });
    return made;
  }

  function target(element, place, isOwn) {
    element.addEventListener("dragover", (event) => { if (dragged) { event.preventDefault(); element.classList.add("ects-board-over"); } });
    element.addEventListener("dragleave", () => element.classList.remove("ects-board-over"));
    element.addEventListener("drop", (event) => { event.preventDefault(); if (dragged) drop(place, isOwn); });
    return element;
  }

  function gap(place) {
    const made = document.createElement("li");
    made.className = "ects-board-gap";
    made.setAttribute("aria-hidden", "true");
    return target(made, place, true);
  }

  const buttons = (made) => [...made.querySelectorAll("button")];

  // The focus stays on its step, at an arrow that can still be pressed.
  function focus(step, place) {
    const found = [...list.querySelectorAll(".ects-board-card")].find((made) => made.step === step);
    if (found) (buttons(found)[place].disabled ? buttons(found)[1] : buttons(found)[place]).focus();
  }

  // The rows' headings say where they stand on the board, not where they stood when the page was made.
  function number(order) {
    order.forEach((stage, place) => {
      for (const row of stage) row.querySelector("h3 strong").textContent = `${place + 1}. ${task(row).text}`;
    });
  }

  function draw() {
    const order = stages();
    number(order);
    const held = document.activeElement.closest(".ects-board-card");
    const place = held && buttons(held).indexOf(document.activeElement);
    board.hidden = !order.length;
    const drawn = [gap(0)];
    order.forEach((steps, at) => {
      const stage = document.createElement("li");
      stage.className = "ects-board-stage";
      stage.setAttribute("aria-label", fill(words.stage, at + 1));
      const cards = document.createElement("ul");
      const isAlone = steps.length === 1;
      cards.append(...steps.map((row) => card(row, [!isAlone || at > 0, !isAlone || at < order.length - 1])));
      stage.append(cards);
      drawn.push(target(stage, at, false), gap(at + 1));
    });
    list.replaceChildren(...drawn);
    if (held) focus(held.step, place);
  }

  const soon = () => { if (!dragged) setTimeout(draw, 0); };
  rows.addEventListener("change", soon);
  // Select2 tells jQuery alone what was chosen.
  django.jQuery(rows).on("change", "select", soon);
  new MutationObserver(soon).observe(rows, { childList: true });
  draw();
});
