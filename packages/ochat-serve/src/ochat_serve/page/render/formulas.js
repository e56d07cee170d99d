// Formulas, set by KaTeX once it is here; until then, and where it refuses, their source stands.

import { later } from "./later.js";

const REMEMBERED = 400;
const WIDE = 60; // characters of source beyond which a formula may not fit in a line
const OPTIONS = {
  throwOnError: true,
  trust: false, // no addresses, images, classes or styles from a formula
  strict: "ignore",
  maxSize: 20,
  maxExpand: 300,
  output: "htmlAndMathml",
};

let render = null;
let loading = null;
/** @type {Map<string, Node>} */
const set = new Map();

/** Fetch KaTeX with its style, once. @returns {Promise<void>} */
export function loadKatex() {
  loading ??= import("../vendor/katex.js").then((module) => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("../vendor/katex.css", import.meta.url).href;
    document.head.append(style);
    render = module.render;
  });
  return loading;
}

function setFormula(tex, display) {
  const key = `${display ? "d" : "i"}${tex}`;
  let found = set.get(key);
  if (!found) {
    found = document.createElement("span");
    try {
      render(tex, found, { ...OPTIONS, displayMode: display });
    } catch (error) {
      // Not (yet) a formula: its source says more than an error would.
      found = document.createElement("code");
      found.textContent = tex;
      found.title = error.message;
    }
    set.set(key, found);
    if (set.size > REMEMBERED) set.delete(set.keys().next().value);
  }
  return found.cloneNode(true);
}

/** Make a formula of an element that holds its source. @param {HTMLElement} element */
export function showFormula(element) {
  const { formula } = element.dataset;
  if (!render || element.dataset.set) return;
  const tex = element.textContent;
  const display = formula === "display";
  element.className = display ? "formula display" : tex.length > WIDE ? "formula wide" : "formula";
  element.dir = "ltr";
  if (tex.length > WIDE) element.tabIndex = 0; // it may have to be scrolled
  element.dataset.set = "yes";
  element.replaceChildren(setFormula(tex, display));
}

const WAITING = "[data-formula]:not([data-set])";

/** Whether a node holds formulas that are not set. @param {Element} node */
export const hasFormulas = (node) => node.matches(WAITING) || node.querySelector(WAITING) !== null;

/** Set what was written before KaTeX was here. @param {HTMLElement} node */
export async function settleFormulas(node) {
  if (!hasFormulas(node)) return;
  await loadKatex();
  const found = node.matches(WAITING) ? [node] : [...node.querySelectorAll(WAITING)];
  await Promise.all(found.map((element) => later(() => showFormula(element))));
}
