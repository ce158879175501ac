// The output of steps as numbered lines with colours: find, follow, wrap, and links to a line.
"use strict";
window.ects = window.ects || {};
ects.Output = class {
  // Lines are put into blocks, which the browser lays out only when they are near the view.
  static BLOCK = 200;
  static NEAR_THE_END = 40;

  constructor(element, step, words) {
    this.element = element;
    this.step = step;
    this.words = words;
    this.parser = new ects.Ansi();
    this.lines = [];
    this.line = null;
    this.fresh = document.createDocumentFragment();
    const text = element.textContent;
    element.textContent = "";
    element.hidden = true;
    element.classList.add("ects-numbered");
    this.write(text);
  }

  write(text) {
    const atEnd = this.isAtEnd();
    this.parser.feed(text, {
      text: (string, look) => this.put(string, look),
      end: () => {
        this.current().append("\n");
        this.line = null;
        this.isOver = false;
      },
      again: () => (this.isOver = true),
    });
    // New blocks come to the page at once: what watches the page would be called for each line.
    this.element.append(this.fresh);
    if (this.lines.length) this.reveal();
    return atEnd;
  }

  reveal() {
    this.element.hidden = false;
    this.element.closest("[data-step]").querySelector("[data-silent]")?.remove();
  }

  put(string, look) {
    const line = this.current();
    // A carriage return: what comes is written over what stands there, as progress is.
    if (this.isOver) line.textContent = "";
    this.isOver = false;
    if (!look) return line.append(string);
    const piece = document.createElement("span");
    piece.textContent = string;
    piece.className = look.flags.map((flag) => `ects-ansi-${flag}`).join(" ");
    this.colour(piece, "color", "front", look.front);
    this.colour(piece, "backgroundColor", "back", look.back);
    line.append(piece);
  }

  colour(piece, property, name, value) {
    if (typeof value === "number") piece.classList.add(`ects-ansi-${name}-${value}`);
    else if (value) piece.style[property] = value;
  }

  current() {
    if (!this.line) {
      const number = this.lines.length + 1;
      const row = document.createElement("div");
      row.className = "ects-log-line";
      row.id = `step-${this.step}-L${number}`;
      const anchor = document.createElement("a");
      anchor.href = `#${row.id}`;
      anchor.dataset.number = number;
      anchor.ariaLabel = this.words.line.replace("%s", number);
      anchor.tabIndex = -1;
      this.line = document.createElement("span");
      row.append(anchor, this.line);
      if (this.lines.length % ects.Output.BLOCK === 0) {
        this.block?.classList.add("ects-log-full");
        this.block = document.createElement("div");
        this.fresh.append(this.block);
      }
      this.block.append(row);
      this.lines.push(row);
    }
    return this.line;
  }

  isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight < ects.Output.NEAR_THE_END;
  }

  toEnd() {
    this.element.scrollTop = this.element.scrollHeight;
  }
};

ects.Console = class {
  static MOST_FOUND = 5000;

  constructor(page) {
    this.page = page;
    this.outputs = new Map();
    this.found = [];
    this.place = -1;
    this.isFollowing = false;
    this.adopt();
    this.listen();
    this.setWrap(localStorage.getItem("ects-wrap") !== "no");
    this.aim();
  }

  // Takes in the steps that are on the page and not known yet.
  adopt() {
    for (const section of this.page.querySelectorAll("[data-step]")) {
      const step = Number(section.dataset.step);
      if (this.outputs.has(step)) continue;
      const element = section.querySelector("[data-step-output]");
      this.outputs.set(step, new ects.Output(element, step, this.page.dataset));
      element.addEventListener("wheel", (event) => event.deltaY < 0 && this.setFollow(false), { passive: true });
      element.addEventListener("keydown", (event) => /^(PageUp|Home|ArrowUp)$/.test(event.key) && this.setFollow(false));
    }
  }

  write(step, text) {
    const output = this.outputs.get(step);
    if (output && (output.write(text) || this.isFollowing) && this.isFollowing) output.toEnd();
  }

  listen() {
    const find = this.page.querySelector("[data-find]");
    let waiting = 0;
    find.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.find(find.value), 150);
    });
    find.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.go(event.shiftKey ? -1 : 1);
    });
    this.page.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (button.dataset.findGo) this.go(Number(button.dataset.findGo));
      else if ("follow" in button.dataset) this.setFollow(!this.isFollowing);
      else if ("wrap" in button.dataset) this.setWrap(button.ariaPressed !== "true");
    });
    window.addEventListener("hashchange", () => this.aim());
  }

  setFollow(isOn) {
    this.isFollowing = isOn;
    this.page.querySelector("[data-follow]").ariaPressed = String(isOn);
    if (isOn) for (const output of this.outputs.values()) output.toEnd();
  }

  setWrap(isOn) {
    localStorage.setItem("ects-wrap", isOn ? "yes" : "no");
    this.page.querySelector("[data-wrap]").ariaPressed = String(isOn);
    this.page.classList.toggle("ects-unwrapped", !isOn);
  }

  // #step-0 and #step-0-L12; #L12 is of the first step.
  aim() {
    const found = /^#(?:step-(\d+)-)?L(\d+)$/.exec(location.hash);
    const [step, line] = found ? [Number(found[1] ?? 0), Number(found[2])] : [];
    // By its id: an address may end in what is no selector.
    const section = found ? this.page.querySelector(`[data-step="${step}"]`) : document.getElementById(location.hash.slice(1));
    if (section && "step" in section.dataset) section.open = true;
    this.page.querySelector(".ects-aimed")?.classList.remove("ects-aimed");
    if (!found) return;
    this.setFollow(false);
    const row = this.outputs.get(step)?.lines[line - 1];
    row?.classList.add("ects-aimed");
    row?.scrollIntoView({ block: "center" });
  }

  find(text) {
    const wanted = text.toLowerCase();
    this.found = [];
    this.place = -1;
    if (wanted) {
      for (const output of this.outputs.values()) {
        for (const row of output.lines) {
          if (this.found.length >= ects.Console.MOST_FOUND) break;
          if (row.lastChild.textContent.toLowerCase().includes(wanted)) this.found.push(...this.ranges(row.lastChild, wanted));
        }
      }
    }
    this.paint("ects-found", this.found);
    this.paint("ects-found-here", []);
    const count = this.page.querySelector("[data-count]");
    count.textContent = wanted && !this.found.length ? this.page.dataset.nothing : "";
    if (this.found.length) this.go(1);
  }

  // Where it stands in a line, which may be in several pieces.
  ranges(line, wanted) {
    const nodes = [];
    const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
    for (let at = 0; walker.nextNode(); at += walker.currentNode.length) nodes.push([at, walker.currentNode]);
    const text = line.textContent.toLowerCase();
    const spot = (place) => nodes.findLast(([begin]) => begin <= place);
    const found = [];
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
      const [first, last] = [spot(at), spot(at + wanted.length - 1)];
      const range = document.createRange();
      range.setStart(first[1], Math.min(at - first[0], first[1].length));
      range.setEnd(last[1], Math.min(at + wanted.length - last[0], last[1].length));
      found.push(range);
    }
    return found;
  }

  go(by) {
    if (!this.found.length) return;
    this.setFollow(false);
    this.place = (this.place + by + this.found.length) % this.found.length;
    const range = this.found[this.place];
    const row = range.startContainer.parentElement.closest(".ects-log-line");
    row.closest("details").open = true;
    row.scrollIntoView({ block: "nearest" });
    this.paint("ects-found-here", [range]);
    const isCut = this.found.length >= ects.Console.MOST_FOUND;
    const words = this.page.dataset.found.replace("%1", this.place + 1).replace("%2", this.found.length + (isCut ? "+" : ""));
    this.page.querySelector("[data-count]").textContent = words;
  }

  // Browsers without the API of highlights still count and go there.
  paint(name, ranges) {
    if (CSS.highlights) CSS.highlights.set(name, new Highlight(...ranges));
  }
};
