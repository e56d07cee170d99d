// An answer on the page while it arrives and after: Markdown, shown block by block.
//
// Blocks that are complete are made once. Only the last one is made again as it grows, at most once
// a frame, and less often where that is slow; a long text is taken in slices between frames.

import { h } from "../ui/dom.js";
import { loadHighlighter, codeBlock, settleCode } from "./code.js";
import { dress } from "./dress.js";
import { hasFormulas, loadKatex, settleFormulas } from "./formulas.js";
import { entriesOf, splitOf } from "./growing.js";
import { blocks, markup } from "./markdown.js";
import { replaceFrom } from "./patch.js";
import { sanitize } from "./sanitize.js";
import { presentable } from "./unfinished.js";

const WINDOW = 3_000; // characters that are parsed at once
const SLICE_MS = 20; // after which the browser gets a turn
const REST = 3; // times as long as a turn took, painting included, until the next one
const LONGEST_REST_MS = 300;
const HIDDEN_MS = 250;

const STYLE = new URL("answer.css", import.meta.url).href;
if (![...document.styleSheets].some((sheet) => sheet.href === STYLE)) {
  document.head.append(h("link", { rel: "stylesheet", href: STYLE }));
}

/** Nodes of tokens. Code is text only and needs no sanitiser; it is also what grows longest. */
function nodesOf(tokens) {
  return tokens.flatMap((token) => {
    if (token.type === "space") return [];
    const language = /^[^\s{,]*/.exec(token.lang ?? "")[0];
    if (token.type === "code" && language !== "math") return [codeBlock(token.text, language)];
    const { childNodes } = dress(sanitize(markup([token])));
    return [...childNodes].filter((node) => node instanceof Element || node.textContent.trim());
  });
}

/** Final nodes get their colours and formulas, for which libraries may have to be fetched. */
function settled(nodes) {
  return nodes.filter((node) => node instanceof HTMLElement).flatMap((node) => {
    const figures = node.matches("figure.code") ? [node] : [...node.querySelectorAll("figure.code")];
    return [...figures.map(settleCode), settleFormulas(node)];
  });
}

function cutBefore(text) {
  const near = text.lastIndexOf(" ");
  if (near > text.length / 2) return near + 1;
  return /[\uD800-\uDBFF]$/.test(text) ? text.length - 1 : text.length;
}

/**
 * Shows one answer in an element. An event `rendered` bubbles from it when more of the text became
 * visible later than in the call that brought it.
 */
export class AnswerView {
  #element;
  #text = "";
  #finished = false;
  #consumed = 0; // characters of the text whose blocks are final
  #final = 0; // children of the element that are
  /** @type {{element: Element, entries: number, prefix: string}|null} */
  #open = null; // a list or table whose first entries are final
  #links = {};
  #linksSeen = false;
  #scheduled = false;
  #notBefore = 0;
  /** @type {Promise<void>[]} */
  #settling = [];
  /** @type {(() => void)[]} */
  #waiting = []; // for the whole text to be shown

  /** @param {HTMLElement} element Empty; becomes the answer's. */
  constructor(element) {
    this.#element = element;
    element.classList.add("answer");
  }

  /** The answer's text so far. @param {string} fullText */
  update(fullText) {
    const text = fullText.replaceAll(/\r\n?/g, "\n");
    if (!text.startsWith(this.#text)) this.#restart();
    this.#text = text;
    this.#finished = false;
    if (performance.now() >= this.#notBefore) this.#turn();
    else this.#schedule();
  }

  /** The text is complete. Resolves when all of it is shown, with colours and formulas. */
  async finish() {
    this.#finished = true;
    const shown = new Promise((resolve) => {
      this.#waiting.push(() => resolve(undefined));
    });
    this.#turn();
    await shown;
    await Promise.all(this.#settling.splice(0));
  }

  #settle(nodes) {
    this.#settling.push(...settled(nodes));
  }

  #restart() {
    this.#consumed = this.#final = 0;
    this.#open = null;
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const go = () => {
      this.#scheduled = false;
      if (performance.now() < this.#notBefore) return this.#schedule();
      this.#turn();
      this.#element.dispatchEvent(new Event("rendered", { bubbles: true }));
    };
    if (document.hidden) setTimeout(go, HIDDEN_MS);
    else requestAnimationFrame(go);
  }

  #turn() {
    const started = performance.now();
    let more = true;
    while (more && performance.now() - started < SLICE_MS) more = this.#step();
    this.#rest(started);
    // What is asked for in a frame runs when it has been painted.
    setTimeout(() => this.#rest(started));
    if (more) this.#schedule();
    else if (this.#finished) this.#end();
  }

  #end() {
    this.#linkAnew();
    this.#waiting.splice(0).forEach((resolve) => resolve());
  }

  #rest(started) {
    const ended = performance.now();
    this.#notBefore = ended + (this.#finished ? 0 : Math.min(LONGEST_REST_MS, REST * (ended - started)));
  }

  /** A definition may follow the links that use it: then all is shown once more. */
  #linkAnew() {
    if (this.#linksSeen || Object.keys(this.#links).length === 0) return;
    this.#linksSeen = true;
    this.#restart();
    while (this.#step()); // at once, so that nothing of it is gone meanwhile
  }

  /** Show the next part of the text. Whether there is more. */
  #step() {
    for (let size = WINDOW; ; size *= 2) {
      const part = this.#text.slice(this.#consumed, this.#consumed + size);
      const last = this.#consumed + size >= this.#text.length;
      if (this.#show(part, last)) return !last;
    }
  }

  /** Show a part of the text, unless more of it has to be seen for that. */
  #show(part, last) {
    const growing = last && !this.#finished;
    const { text, formula } = growing ? presentable(part) : { text: part, formula: "" };
    const prefix = this.#open?.prefix ?? "";
    let tokens = this.#read(prefix + text);
    const solid = tokens.filter((token) => token.type !== "space");
    const complete = last && this.#finished;
    const grows = complete || formula ? null : solid.at(-1) ?? null;
    if (!last && solid.length === 1 && !splitOf(grows, prefix.length)) {
      if (grows.type !== "paragraph") return false;
      tokens = this.#read(part.slice(0, cutBefore(part)));
      this.#place(tokens, null, 0);
      return true;
    }
    this.#place(tokens, grows, prefix.length);
    if (formula) this.#await(formula);
    return true;
  }

  #read(source) {
    try {
      // A copy: a definition that still grows must not stay as it is now.
      return blocks(source, { ...this.#links });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      // Nested beyond what can be read: shown as it was written.
      return [{ type: "code", raw: source, text: source, lang: "" }];
    }
  }

  /** Make tokens visible; all are final but the one that grows. */
  #place(tokens, grows, before) {
    let rest = tokens;
    if (this.#open) rest = this.#continue(tokens, grows, before);
    const growing = rest.includes(grows);
    const ready = growing ? rest.slice(0, rest.indexOf(grows)) : rest;
    for (const { type, tag, href, title } of ready) {
      if (type === "def") this.#links[tag] ??= { href, title };
    }
    const made = nodesOf(ready);
    const tail = growing ? nodesOf([grows]) : [];
    replaceFrom(this.#element, this.#final, [...made, ...tail]);
    const kept = [...this.#element.childNodes].slice(this.#final);
    this.#final += made.length;
    this.#consumed += ready.reduce((sum, token) => sum + token.raw.length, 0);
    this.#settle(kept.slice(0, made.length));
    if (tail.length) this.#leaveOpen(kept.at(-1), grows);
  }

  /** Entries of the list or table that is open; returns the tokens behind it. */
  #continue(tokens, grows, before) {
    const index = tokens.findIndex((token) => token.type !== "space");
    const token = tokens[index];
    const open = this.#open;
    const [block] = token ? nodesOf([token]) : [];
    if (!block) return [];
    const entries = [...entriesOf(block).childNodes].filter((node) => node instanceof Element);
    replaceFrom(open.element, open.entries, entries);
    const split = token === grows ? splitOf(token, before) : null;
    const skipped = tokens.slice(0, index).reduce((sum, space) => sum + space.raw.length, 0);
    const done = token === grows ? split?.entries ?? 0 : entries.length;
    this.#settle([...open.element.children].slice(open.entries, open.entries + done));
    open.entries += done;
    if (split) this.#consumed += skipped + split.consumed;
    if (token === grows) return [];
    this.#consumed += skipped + token.raw.length - before;
    this.#open = null;
    return tokens.slice(index + 1);
  }

  /** The block that grows: fetch what it needs, and make its first entries final if it is long. */
  #leaveOpen(block, token) {
    if (hasFormulas(block)) loadKatex().then(() => this.#again());
    if (token.type === "code" && token.lang) loadHighlighter();
    const split = splitOf(token);
    if (!split) return;
    this.#open = { element: entriesOf(block), entries: split.entries, prefix: split.prefix };
    this.#consumed += split.consumed;
    this.#final += 1;
    this.#settle([...this.#open.element.children].slice(0, split.entries));
  }

  #again() {
    if (!this.#finished) this.#schedule();
  }

  /** A formula whose end is still to come: its source, quietly. */
  #await(formula) {
    const node = h("pre.formula-source", { dir: "ltr" }, formula.trim());
    this.#element.append(node);
  }
}
