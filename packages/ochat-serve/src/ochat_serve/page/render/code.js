// A block of code: its language, a button that copies it, its colours once the highlighter is here.

import { copyText, h } from "../ui/dom.js";
import { later } from "./later.js";
import { sanitizeHighlighted } from "./sanitize.js";

const COPIED_MS = 1_500;
// What stands beyond is left plain: colouring is one piece of work, and this much of it takes long.
const LONGEST_COLOURED = 20_000;
// While it grows it is coloured anew only so far; the rest waits for its end.
const LONGEST_LIVE = 3_000;
const REMEMBERED = 60;

const NAMES = {
  bash: "Bash", c: "C", cpp: "C++", csharp: "C#", css: "CSS", html: "HTML", ini: "INI", js: "JavaScript",
  javascript: "JavaScript", json: "JSON", latex: "LaTeX", php: "PHP", py: "Python", sh: "Shell",
  sql: "SQL", toml: "TOML", ts: "TypeScript", typescript: "TypeScript", xml: "XML", yaml: "YAML",
};

let highlighter = null;
let loading = null;
/** @type {Map<string, DocumentFragment>} */
const coloured = new Map();

/** Fetch the highlighter, once. @returns {Promise<void>} */
export function loadHighlighter() {
  loading ??= import("../vendor/highlight.js").then((module) => {
    highlighter = module.default;
  });
  return loading;
}

function highlighted(language, text) {
  return sanitizeHighlighted(highlighter.highlight(text, { language, ignoreIllegals: true }).value);
}

/** Colours that are asked for again: an answer is shown anew, a block in a list is. */
function remembered(language, text) {
  const key = `${language}\n${text}`;
  const found = coloured.get(key) ?? highlighted(language, text);
  coloured.set(key, found);
  if (coloured.size > REMEMBERED) coloured.delete(coloured.keys().next().value);
  return found.cloneNode(true);
}

function colour(code, language, colours) {
  if (!highlighter || !highlighter.getLanguage(language)) return;
  const text = code.textContent;
  const end = text.length <= LONGEST_COLOURED ? text.length : text.lastIndexOf("\n", LONGEST_COLOURED) + 1;
  code.replaceChildren(colours(language, text.slice(0, end)), text.slice(end));
}

/** Colours at once, where that costs little. */
function colourLive(code, language, colours) {
  if (language && code.textContent.length <= LONGEST_LIVE) colour(code, language, colours);
}

function languageName(language) {
  return NAMES[language.toLowerCase()] ?? (language ? language[0].toUpperCase() + language.slice(1) : "Code");
}

async function copy(button, code) {
  const done = await copyText(code.textContent);
  button.textContent = done ? "Copied" : "Not copied";
  setTimeout(() => {
    button.textContent = "Copy";
  }, COPIED_MS);
}

/**
 * The element of a block of code.
 * @param {string} text
 * @param {string} language As it was written behind the fence.
 */
export function codeBlock(text, language) {
  const code = h("code", {}, text);
  const name = languageName(language.slice(0, 24));
  const label = name === "Code" ? "Code" : `${name} code`;
  const button = h("button.copy", { type: "button", "aria-live": "polite" }, "Copy");
  button.addEventListener("click", () => copy(button, code));
  const figure = h("figure.code", { dir: "ltr" },
    h("figcaption", {}, h("span", {}, name), button),
    // Reached by keyboard, as its lines may have to be scrolled.
    h("pre", { tabindex: "0", role: "group", "aria-label": label }, code));
  figure.dataset.language = language;
  colourLive(code, language, remembered);
  return figure;
}

/** The code of a block grew; only what is new is added. @param {HTMLElement} figure */
export function growCode(figure, text) {
  const code = figure.querySelector("code");
  const shown = code.textContent;
  if (shown === text) return;
  if (!text.startsWith(shown)) code.textContent = text;
  else if (code.lastChild instanceof Text) code.lastChild.appendData(text.slice(shown.length));
  else code.append(text.slice(shown.length));
  colourLive(code, figure.dataset.language, highlighted);
}

/** A block is complete: give it its colours, when the highlighter is here. @param {HTMLElement} figure */
export async function settleCode(figure) {
  const { language } = figure.dataset;
  if (!language) return;
  await loadHighlighter();
  await later(() => colour(figure.querySelector("code"), language, remembered));
}
