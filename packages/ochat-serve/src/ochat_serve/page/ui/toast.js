// A short message at the bottom, with one thing to do about it.

import { byId, h, iconButton } from "./dom.js";

const SHOWN_MS = 8_000;
const WITH_ACTION_MS = 20_000; // long enough to get there by keyboard

/**
 * @param {string} text
 * @param {{label: string, run: () => unknown}} [action]
 */
export function toast(text, action) {
  const element = h("div.toast", {}, h("span", {}, text));
  let timer = 0;
  const close = () => {
    clearTimeout(timer);
    element.remove();
  };
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(close, action ? WITH_ACTION_MS : SHOWN_MS);
  };
  if (action) {
    element.append(h("button.link", { type: "button", onclick: () => (close(), action.run()) }, action.label));
  }
  element.append(iconButton("close", "Dismiss", close));
  // Nobody is hurried: it stays while the pointer or the focus is on it.
  for (const name of ["pointerenter", "focusin"]) element.addEventListener(name, () => clearTimeout(timer));
  for (const name of ["pointerleave", "focusout"]) element.addEventListener(name, later);
  byId("toasts").replaceChildren(element);
  later();
}
