// A menu at a button: arrow keys, Home, End, Escape; closed by a click elsewhere.

import { h, icon } from "./dom.js";

const GAP = 4;

/** @typedef {{label: string, icon?: any, run?: () => unknown, danger?: boolean, checked?: boolean, disabled?: boolean}} Item */

/**
 * @param {HTMLElement} anchor
 * @param {(Item|null)[]} items null is a line between groups.
 */
export function openMenu(anchor, items) {
  const menu = h("div.menu", { role: "menu", popover: "auto" });
  for (const item of items) menu.append(item ? entry(menu, item) : h("hr", { role: "separator" }));
  document.body.append(menu);
  menu.addEventListener("keydown", (event) => move(event, menu));
  menu.addEventListener("toggle", (event) => {
    if (event.newState !== "closed") return;
    anchor.setAttribute("aria-expanded", "false");
    const inside = menu.contains(document.activeElement) || document.activeElement === document.body;
    menu.remove();
    if (inside && anchor.isConnected) anchor.focus();
  });
  anchor.setAttribute("aria-expanded", "true");
  menu.showPopover();
  place(menu, anchor);
  menu.querySelector("button:not(:disabled)")?.focus();
}

function entry(menu, item) {
  const role = item.checked === undefined ? "menuitem" : "menuitemradio";
  const button = h(`button${item.danger ? ".danger" : ""}`, {
    type: "button",
    role,
    tabindex: -1,
    disabled: item.disabled,
    "aria-checked": item.checked === undefined ? null : String(item.checked),
    onclick: () => {
      menu.hidePopover();
      item.run?.();
    },
  }, item.checked ? icon("check") : item.icon ? icon(item.icon) : h("span.icon"), h("span", { dir: "auto" }, item.label));
  return button;
}

function move(event, menu) {
  const buttons = [...menu.querySelectorAll("button:not(:disabled)")];
  const at = buttons.indexOf(document.activeElement);
  const to = {
    ArrowDown: (at + 1) % buttons.length,
    ArrowUp: (at - 1 + buttons.length) % buttons.length,
    Home: 0,
    End: buttons.length - 1,
  }[event.key];
  if (event.key === "Tab") menu.hidePopover();
  if (to === undefined) return;
  event.preventDefault();
  buttons[to].focus();
}

/** Below the anchor, or above where there is no room; inside the window in any case. */
function place(menu, anchor) {
  const at = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = at.bottom + GAP + height <= innerHeight;
  const top = below ? at.bottom + GAP : Math.max(GAP, at.top - GAP - height);
  const rtl = getComputedStyle(anchor).direction === "rtl";
  const left = rtl ? at.left : at.right - width;
  menu.style.top = `${top}px`;
  menu.style.left = `${Math.min(innerWidth - width - GAP, Math.max(GAP, left))}px`;
}
