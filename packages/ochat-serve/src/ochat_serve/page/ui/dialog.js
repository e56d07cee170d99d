// Modal dialogs on the browser's own <dialog>: it keeps the focus inside and gives it back.

import { h, iconButton } from "./dom.js";

/**
 * Show content in a dialog until it is closed.
 * @param {string} title
 * @param {(close: (result?: any) => void) => Node[]} build
 * @param {{wide?: boolean}} [options]
 * @returns {Promise<any>} What `close` was given; undefined when it was dismissed.
 */
export function openDialog(title, build, { wide = false } = {}) {
  return new Promise((resolve) => {
    let result;
    const close = (value) => {
      result = value;
      dialog.close();
    };
    const dialog = h(`dialog.dialog${wide ? ".wide" : ""}`, { "aria-label": title },
      h("header", {}, h("h2", {}, title), iconButton("close", "Close", () => close())));
    dialog.append(h("div.dialog-body", {}, ...build(close)));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    // Pressed outside, and not only let go there after marking a text.
    dialog.addEventListener("pointerdown", (event) => event.target === dialog && close());
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("[autofocus]")?.focus();
  });
}

/**
 * Ask for one line of text, or several.
 * @param {string} title
 * @param {{label: string, value?: string, action?: string, long?: boolean}} options
 * @returns {Promise<string|undefined>}
 */
export function askText(title, { label, value = "", action = "Save", long = false }) {
  return openDialog(title, (close) => {
    const field = h(long ? "textarea" : "input", { autofocus: true, dir: "auto", rows: long ? 6 : null });
    field.value = value;
    const form = h("form", { method: "dialog", onsubmit: (event) => {
      event.preventDefault();
      if (field.value.trim()) close(field.value.trim());
    } },
    h("label.field", {}, h("span", {}, label), field),
    h("div.dialog-actions", {},
      h("button.quiet", { type: "button", onclick: () => close() }, "Cancel"),
      h("button.primary", { type: "submit" }, action)));
    queueMicrotask(() => field.select());
    return [form];
  });
}
