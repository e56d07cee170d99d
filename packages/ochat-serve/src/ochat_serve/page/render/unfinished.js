// The end of a text that still grows, so that it does not flicker: what may yet become a list, a
// heading or a table is held back for a moment, and what was opened is closed.

// Only marks of a line's beginning, which may mean anything yet.
const ONLY_MARKS = /(?:^|\n)[\s\-*_=+#>|`~:.\d)$\\[(]{1,12}$/;
const OPEN_LINK = /!?\[([^\]\n]*)\]\([^)\s]*$/;
const DISPLAY_MARK = /\$\$|\\\[|\\\]/g;
const FENCE = /^ *(`{3,}|~{3,})/;

/** Whether a line is inside a fenced block that is not closed yet. */
function inFence(source) {
  let open = null;
  for (const line of source.split("\n")) {
    const fence = FENCE.exec(line)?.[1];
    if (!fence) continue;
    if (open === null) open = fence;
    else if (fence[0] === open[0] && fence.length >= open.length) open = null;
  }
  return open !== null;
}

/** Where a formula on lines of its own begins that has no end yet; -1 where there is none. */
function openDisplay(source) {
  let open = null;
  for (const { 0: mark, index } of source.matchAll(DISPLAY_MARK)) {
    if (open === null && mark !== "\\]") open = { mark, index };
    else if (open && mark === (open.mark === "$$" ? "$$" : "\\]")) open = null;
  }
  if (open === null) return -1;
  return open.index === 0 || source[open.index - 1] === "\n" ? open.index : -1;
}

function closed(paragraph) {
  const text = paragraph.replace(/(`+)[^`]+\1(?!`)/g, "");
  const tick = /(`+)[^`]+$/.exec(text);
  if (tick) return paragraph.trimEnd() + tick[1];
  const stars = (text.match(/\*\*/g) ?? []).length;
  if (stars % 2 === 0) return paragraph;
  return /\*\*\s*$/.test(paragraph) ? paragraph.replace(/\*\*\s*$/, "") : `${paragraph.trimEnd()}**`;
}

/**
 * What of a growing text is shown now.
 * @param {string} source
 * @returns {{text: string, formula: string}} Markdown, and behind it a formula without its end.
 */
export function presentable(source) {
  if (inFence(source)) return { text: source.replace(/\n *[`~]{1,}$/, ""), formula: "" };
  const display = openDisplay(source);
  if (display >= 0) return { text: source.slice(0, display), formula: source.slice(display + 2) };
  const held = source.replace(ONLY_MARKS, "");
  const start = held.lastIndexOf("\n\n") + 1;
  return { text: held.slice(0, start) + closed(held.slice(start).replace(OPEN_LINK, "$1")), formula: "" };
}
