// Text with terminal sequences (ECMA-48) into lines of plain pieces with colours. It makes no markup: who shows the
// pieces sets them as text.
"use strict";
window.ects = window.ects || {};
ects.Ansi = class {
  // What a sequence can be, from the escape on. A cut one at the end of a piece waits for the next.
  static SEQUENCE = /\x1b(?:\[([0-9:;<=>?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-Z\\^-~])/y;
  static CUT = /\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]{0,4096}\x1b?|[ -/]*)$/;
  static FLAGS = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "struck" };
  static ENDS = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"], 29: ["struck"] };

  constructor() {
    this.rest = "";
    this.reset();
  }

  reset() {
    this.flags = new Set();
    this.front = this.back = null;
  }

  // Calls back: text(string, look), end() of a line, again() when the line is written over.
  feed(given, { text, end, again }) {
    let input = this.rest + given;
    const cut = ects.Ansi.CUT.exec(input);
    this.rest = cut ? cut[0] : "";
    if (cut) input = input.slice(0, cut.index);
    if (input.endsWith("\r")) {
      this.rest = "\r" + this.rest;
      input = input.slice(0, -1);
    }
    const plain = /[^\x00-\x08\x0a-\x1f\x7f]+/y;
    for (let at = 0; at < input.length; ) {
      plain.lastIndex = at;
      const found = plain.exec(input);
      if (found) {
        text(found[0], this.look());
        at = plain.lastIndex;
      } else if (input[at] === "\x1b") {
        at = this.escape(input, at);
      } else {
        if (input[at] === "\n") end();
        else if (input[at] === "\r" && input[at + 1] !== "\n") again();
        at += 1;
      }
    }
  }

  escape(input, at) {
    const sequence = ects.Ansi.SEQUENCE;
    sequence.lastIndex = at;
    const found = sequence.exec(input);
    if (!found) return at + 1;
    if (found[2] === "m") this.select(found[1].split(/[;:]/).map(Number));
    return sequence.lastIndex;
  }

  select(codes) {
    const { FLAGS, ENDS } = ects.Ansi;
    while (codes.length) {
      const code = codes.shift();
      if (code === 0) this.reset();
      else if (FLAGS[code]) this.flags.add(FLAGS[code]);
      else if (ENDS[code]) ENDS[code].forEach((flag) => this.flags.delete(flag));
      else if (code === 38) this.front = this.extended(codes);
      else if (code === 48) this.back = this.extended(codes);
      else if (code === 39) this.front = null;
      else if (code === 49) this.back = null;
      else if (code >= 30 && code <= 37) this.front = code - 30;
      else if (code >= 90 && code <= 97) this.front = code - 82;
      else if (code >= 40 && code <= 47) this.back = code - 40;
      else if (code >= 100 && code <= 107) this.back = code - 92;
    }
  }

  // A number below 16 is a colour of the style sheet; anything else is given as rgb().
  extended(codes) {
    const kind = codes.shift();
    if (kind === 2) return this.rgb(...codes.splice(0, 3));
    if (kind !== 5) return null;
    const number = codes.shift();
    if (!(number >= 16)) return number >= 0 ? number : null;
    if (number >= 232) return this.rgb(...Array(3).fill(8 + (number - 232) * 10));
    const level = (value) => (value ? 55 + value * 40 : 0);
    const cube = number - 16;
    return this.rgb(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
  }

  rgb(...parts) {
    return `rgb(${parts.map((part) => Math.min(Math.max(part | 0, 0), 255)).join(" ")})`;
  }

  // Null for plain text.
  look() {
    if (!this.flags.size && this.front === null && this.back === null) return null;
    return { flags: [...this.flags], front: this.front, back: this.back };
  }
};
