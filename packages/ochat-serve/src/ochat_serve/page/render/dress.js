// From the sanitiser's nodes to the page's: safe links, code blocks, tables that scroll, directions.

import { h } from "../ui/dom.js";
import { codeBlock } from "./code.js";
import { showFormula } from "./formulas.js";

const DIRECTED = "p, h3, h4, h5, h6, ul, ol, blockquote, table";

function hostOf(address) {
  const url = URL.parse ? URL.parse(address) : new URL(address);
  return url?.host || address;
}

/** A text that looks like an address, but is not the one that the link leads to. */
function misleads(text, address) {
  const shown = /(?:https?:\/\/)?((?:[\w-]+\.)+[a-z]{2,})/i.exec(text)?.[1].toLowerCase();
  if (!shown) return false;
  const host = hostOf(address).toLowerCase();
  return host !== shown && host !== `www.${shown}` && `www.${host}` !== shown;
}

function link(anchor) {
  const address = anchor.getAttribute("href");
  const image = anchor.dataset.image;
  delete anchor.dataset.image;
  if (!address) { // an address that the sanitiser refused: only its words stay
    anchor.replaceWith(...(image ? [`[image: ${anchor.textContent || "not shown"}]`] : anchor.childNodes));
    return;
  }
  anchor.target = "_blank";
  anchor.rel = "noopener noreferrer";
  anchor.title = address;
  if (!anchor.textContent.trim()) anchor.textContent = image ? "" : address;
  const isWeb = /^https?:/i.test(address);
  if (image) anchor.textContent = `Image${anchor.textContent ? `: ${anchor.textContent}` : ""} (${hostOf(address)})`;
  else if (isWeb && misleads(anchor.textContent, address)) anchor.append(` (${hostOf(address)})`);
}

function task(mark) {
  const done = mark.dataset.task === "done";
  const box = h("input", { type: "checkbox", disabled: true, checked: done, "aria-label": done ? "Done" : "To do" });
  mark.closest("li")?.classList.add("task");
  mark.replaceWith(box);
}

/** Line ends between entries: their children are counted. */
function tighten(element) {
  for (const node of [...element.childNodes]) {
    if (node instanceof Text && !node.data.trim()) node.remove();
  }
}

function table(element) {
  for (const cell of element.querySelectorAll("[align]")) {
    cell.className = `to-${cell.getAttribute("align")}`;
    cell.removeAttribute("align");
  }
  const scroller = h("div.table", { tabindex: "0", role: "group", "aria-label": "Table" });
  element.replaceWith(scroller);
  scroller.append(element);
}

/** @param {DocumentFragment} fragment Changed in place. @returns {DocumentFragment} */
export function dress(fragment) {
  const each = (selector, action) => fragment.querySelectorAll(selector).forEach(action);
  each(DIRECTED, (element) => {
    element.dir = "auto";
  });
  each("ul, ol, table, thead, tbody, tr", tighten);
  each("pre", (pre) => pre.replaceWith(codeBlock(pre.textContent, pre.dataset.language ?? "")));
  each("[data-formula]", showFormula);
  each("[data-task]", task);
  each("table", table);
  each("a", link);
  return fragment;
}
