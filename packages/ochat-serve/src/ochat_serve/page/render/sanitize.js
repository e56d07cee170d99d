// From markup to nodes: only what answers need, and nothing that acts.
//
// `markdown.js` writes no other markup than this; the sanitiser is the second wall, the policy of
// the page (no inline script or style, nothing from elsewhere, trusted types) the third.

import DOMPurify from "../vendor/dompurify.js";

const DATA = ["data-formula", "data-image", "data-language", "data-task"];
const RULES = {
  ALLOWED_TAGS: [
    "a", "b", "blockquote", "br", "code", "del", "div", "em", "h3", "h4", "h5", "h6", "hr", "i",
    "ins", "kbd", "li", "mark", "ol", "p", "pre", "s", "span", "strong", "sub", "sup", "table",
    "tbody", "td", "th", "thead", "tr", "u", "ul",
  ],
  ALLOWED_ATTR: ["align", "href", "start", ...DATA],
  // Their values are no addresses.
  ADD_URI_SAFE_ATTR: ["align", "start", ...DATA],
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  KEEP_CONTENT: true,
  RETURN_DOM_FRAGMENT: true,
};

/** @param {string} html @returns {DocumentFragment} */
export const sanitize = (html) => DOMPurify.sanitize(html, RULES);

const HIGHLIGHTED = {
  ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], KEEP_CONTENT: true, RETURN_DOM_FRAGMENT: true,
};

/** What the highlighter wrote: spans with its classes. @param {string} html */
export const sanitizeHighlighted = (html) => DOMPurify.sanitize(html, HIGHLIGHTED);
