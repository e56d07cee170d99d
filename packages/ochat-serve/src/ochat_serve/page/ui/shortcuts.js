// Keys that work everywhere on the page, and the list of them.

import { openDialog } from "./dialog.js";
import { h } from "./dom.js";

/**
 * @typedef {{keys: string, does: string, when?: (event: KeyboardEvent) => boolean, run?: () => unknown}} Shortcut
 */

/** The same physical key on every keyboard layout (macOS writes signs with Alt). */
const alt = (code) => (event) => event.altKey && !event.ctrlKey && !event.metaKey && event.code === code;
const writing = (target) => target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]");

/** @param {Record<string, () => unknown>} actions */
export function installShortcuts(actions) {
  /** @type {Shortcut[]} */
  const shortcuts = [
    { keys: "Enter", does: "Send the message" },
    { keys: "Shift Enter", does: "A new line" },
    { keys: "/", does: "At the start of a message: insert a prompt" },
    { keys: "↑", does: "In an empty message field: edit the last question" },
    { keys: "Esc", does: "Stop the answer, or close what is open", when: (e) => e.key === "Escape", run: actions.escape },
    { keys: "Alt N", does: "New chat", when: alt("KeyN"), run: actions.newChat },
    { keys: "Alt R", does: "Answer again", when: alt("KeyR"), run: actions.again },
    { keys: "Alt C", does: "Copy the last answer", when: alt("KeyC"), run: actions.copy },
    { keys: "Alt M", does: "To the message field", when: alt("KeyM"), run: actions.field },
    { keys: "Alt L", does: "Show or hide the list of conversations", when: alt("KeyL"), run: actions.list },
    { keys: "Alt S", does: "Show or hide the settings", when: alt("KeyS"), run: actions.settings },
    { keys: "Alt P", does: "Prompts", when: alt("KeyP"), run: actions.prompts },
    { keys: "Ctrl K", does: "Search the conversations",
      when: (e) => (e.ctrlKey || e.metaKey) && !e.shiftKey && !e.altKey && e.code === "KeyK", run: actions.search },
    { keys: "F2", does: "In the list: rename a conversation" },
    { keys: "Delete", does: "In the list: delete a conversation (it can be undone)" },
    { keys: "?", does: "Outside of fields: this list",
      when: (e) => e.key === "?" && !writing(e.target), run: () => showShortcuts(shortcuts) },
  ];
  addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented || document.querySelector("dialog[open], :popover-open")) return;
    const found = shortcuts.find((each) => each.when?.(event));
    if (!found || found.run() === false) return;
    event.preventDefault();
  });
  return () => showShortcuts(shortcuts);
}

function showShortcuts(shortcuts) {
  openDialog("Keyboard shortcuts", () => [h("table.shortcuts", {}, h("tbody", {},
    ...shortcuts.map(({ keys, does }) => h("tr", {},
      h("th", { scope: "row" }, ...keys.split(" ").map((key) => h("kbd", {}, key))), h("td", {}, does)))))]);
}
