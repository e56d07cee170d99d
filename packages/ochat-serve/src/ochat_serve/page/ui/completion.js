// Prompts offered while a message begins with a slash: a listbox at the message field.

import { h } from "./dom.js";
import { matching } from "./prompts.js";

const MOST = 8;

export class Completion {
  /**
   * @param {HTMLTextAreaElement} field
   * @param {HTMLElement} box
   * @param {import("../data/library.js").Library} library
   * @param {(prompt: import("../data/types.js").Prompt) => void} choose
   */
  constructor(field, box, library, choose) {
    Object.assign(this, { field, box, library, choose });
    this.prompts = [];
    this.at = 0;
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", box.id);
    field.addEventListener("input", () => this.update());
    field.addEventListener("blur", () => this.close());
    // Before the field loses the focus to the press.
    box.addEventListener("pointerdown", (event) => event.preventDefault());
  }

  get open() {
    return !this.box.hidden;
  }

  update() {
    const match = /^\/([^\n]*)$/.exec(this.field.value);
    this.prompts = match ? matching([...this.library.prompts.values()], match[1]).slice(0, MOST) : [];
    this.at = 0;
    this.#show();
  }

  close() {
    this.prompts = [];
    this.#show();
  }

  #show() {
    this.box.hidden = !this.prompts.length;
    this.box.replaceChildren(...this.prompts.map((prompt, index) => h("div.option", {
      role: "option",
      id: `completion-${index}`,
      "aria-selected": String(index === this.at),
      onclick: () => this.#take(index),
    }, h("strong", { dir: "auto" }, prompt.name), h("span", { dir: "auto" }, prompt.description || prompt.content.slice(0, 100)))));
    if (this.open) this.field.setAttribute("aria-activedescendant", `completion-${this.at}`);
    else this.field.removeAttribute("aria-activedescendant");
  }

  #take(index) {
    const prompt = this.prompts[index];
    this.close();
    this.choose(prompt);
  }

  /** Whether a key was meant for the list. @param {KeyboardEvent} event */
  handles(event) {
    if (!this.open) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      this.at = (this.at + step + this.prompts.length) % this.prompts.length;
      this.#show();
    } else if (event.key === "Enter" || event.key === "Tab") this.#take(this.at);
    else if (event.key === "Escape") this.close();
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }
}
