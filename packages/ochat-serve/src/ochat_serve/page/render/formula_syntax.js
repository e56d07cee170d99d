// What is a formula in a text: $x$, \(x\), $$x$$, \[x\]; and what is a price.

// No digit behind the last dollar, and (below) no space inside beside either: pandoc's rule.
const DOLLARS = /^\$((?:\\[^\n]|[^\\$\n])+)\$(?![\d$])/;
const PARENTHESES = /^\\\(((?:(?!\\[()])[^])+?)\\\)/;
const DISPLAY = /^(?:\$\$((?:\\[^]|[^\\$])+?)\$\$|\\\[((?:(?!\\[[\]])[^])+?)\\\])/;
const ENVIRONMENT = /^\\begin\{((?:equation|align|alignat|gather)\*?)\}[^]+?\\end\{\1\}/;
const BLOCK_START = /^ {0,3}(?=\$\$|\\\[|\\begin\{)/;
const BLOCK_END = /^[ \t]*[.,;:]?[ \t]*(?:\n|$)/;
const LETTER_OR_DIGIT = /[\p{L}\d]$/u;
const FORMULA_CHARACTER = /[\\^_={}]/;
const WORD = /\p{L}{3,}/u;
// Longer ones are text; the parser looks no further for an end.
const LONGEST = 10_000;

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
/** Text as it stands in markup. @param {string} text */
export const escaped = (text) => text.replace(/[&<>"']/g, (character) => ESCAPES[character]);

/** "$5 to the 10$ note": a number, words, and nothing that only a formula would have. */
const isProse = (tex) => /^\d/.test(tex) && WORD.test(tex) && !FORMULA_CHARACTER.test(tex);

/** Markup of a formula: its source, for the page to render. */
export const displayed = (tex) => `<div data-formula="display">${escaped(tex)}</div>`;

/** A formula on lines of its own. */
export const blockFormula = {
  name: "blockFormula",
  level: "block",
  start: (source) => source.match(/\n {0,3}(?:\$\$|\\\[|\\begin\{)/)?.index,
  tokenizer(source) {
    const indent = BLOCK_START.exec(source)?.[0];
    if (indent === undefined) return undefined;
    const head = source.slice(indent.length, LONGEST);
    const formula = DISPLAY.exec(head) ?? ENVIRONMENT.exec(head);
    const end = formula && BLOCK_END.exec(head.slice(formula[0].length));
    if (!end) return undefined;
    const raw = indent + formula[0] + end[0];
    const inside = formula[0].startsWith("\\begin") ? formula[0] : formula[1] ?? formula[2];
    return { type: "blockFormula", raw, tex: inside.trim() };
  },
  renderer: ({ tex }) => displayed(tex),
};

function inDollars(source, before) {
  const match = DOLLARS.exec(source);
  if (!match || /^\s|\s$/.test(match[1]) || isProse(match[1])) return null;
  const last = before.at(-1);
  return last?.type === "text" && LETTER_OR_DIGIT.test(last.raw) ? null : match; // as in US$
}

/** A formula within a line. */
export const inlineFormula = {
  name: "inlineFormula",
  level: "inline",
  start: (source) => source.match(/\$|\\[([]/)?.index,
  tokenizer(source, before) {
    const head = source.slice(0, LONGEST);
    const display = DISPLAY.exec(head);
    const match = display ?? PARENTHESES.exec(head) ?? inDollars(head, before);
    if (!match) return undefined;
    const tex = (match[1] ?? match[2]).trim();
    return { type: "inlineFormula", raw: match[0], tex, display: display !== null };
  },
  renderer: ({ tex, display }) =>
    `<span data-formula="${display ? "display" : "inline"}">${escaped(tex)}</span>`,
};
