// One message on the page: its text, what can be done with it, and what it cost.

import { AnswerView } from "../render/answer.js";
import { explain } from "../net/explain.js";
import { siblingsOf } from "../data/tree.js";
import { copyText, h, icon, iconButton, soon } from "./dom.js";

/** @typedef {import("../data/types.js").Message} Message */

const ENDINGS = {
  length: "ended at the length limit",
  stopped: "stopped",
  broken: "broken off",
  edited: "written by you",
};
const COPIED_MS = 1_500;

const rounded = (rate) => rate.toLocaleString("en", { maximumSignificantDigits: 3 });

/** @param {Message} message */
export function factsOf(message) {
  const { facts, reason } = message;
  const parts = [];
  if (facts) {
    parts.push(`${facts.tokens.toLocaleString("en")} token${facts.tokens === 1 ? "" : "s"}`);
    if (facts.rate) parts.push(`${rounded(facts.rate)} tokens/s`);
    parts.push(`first after ${facts.first.toFixed(2)} s`);
  }
  if (ENDINGS[reason]) parts.push(ENDINGS[reason]);
  return parts.join(" · ");
}

/** The element of one message; `update` brings it in line with the message. */
export class MessageView {
  /**
   * @param {Message} message
   * @param {import("../chat/chat.js").Chat} chat
   * @param {import("./thread.js").Actions} actions
   * @param {boolean} later Whether `fill` brings the answer's text, when there is time.
   */
  constructor(message, chat, actions, later = false) {
    this.message = message;
    this.chat = chat;
    this.actions = actions;
    this.text = h("div.text", { dir: "auto" });
    this.answer = message.role === "assistant" ? new AnswerView(this.text) : null;
    this.later = later && this.answer !== null;
    this.tooled = ""; // what the tools were made for
    this.shown = null; // the text on the page
    this.finished = false;
    this.waiting = false;
    this.editing = false;
    this.last = false;
    this.run = null;
    this.tag = h("span.tag", { dir: "auto" });
    this.facts = h("span.facts");
    this.error = h("div.error-card", { hidden: true });
    this.tools = h("div.tools", { role: "group", "aria-label": "What to do with it" });
    const who = message.role === "user" ? "You" : "Assistant";
    this.body = h("div.body", {}, this.text, this.answer && this.error);
    this.element = h(`article.message.${message.role}`, { "aria-label": who, "data-id": message.id },
      h("header", {}, h("h2.who", {}, who), this.tag),
      this.body,
      h("footer", {}, this.tools, this.facts));
  }

  /** Show the text that was left for later. */
  fill() {
    this.later = false;
    this.#write();
  }

  /**
   * @param {Message} message The same message, perhaps read anew.
   * @param {boolean} last Whether the branch ends with it.
   */
  update(message = this.message, last = this.last) {
    this.message = message;
    this.last = last;
    const run = this.chat.runs.get(message.id) ?? null;
    if (run !== this.run) this.#follow(run);
    this.element.classList.toggle("streaming", run !== null);
    this.element.setAttribute("aria-busy", String(run !== null));
    this.tag.textContent = [message.condition, this.#modelName()].filter(Boolean).join(" · ");
    this.tag.hidden = !this.tag.textContent;
    this.#write();
    this.#showEnd(run);
    this.#showError();
    if (!this.editing) this.#showTools(run);
  }

  /** Only where several are served does the name say something. */
  #modelName() {
    return this.chat.connection.choices().length > 1 ? this.message.model ?? "" : "";
  }

  #follow(run) {
    this.run = run;
    run?.addEventListener("text", () => {
      if (this.waiting) return;
      this.waiting = true;
      soon(() => {
        this.waiting = false;
        this.#write();
      });
    });
  }

  #write() {
    const { content } = this.message;
    if (this.later && !this.run) return;
    if (this.answer) {
      if (this.shown !== content) {
        if (this.finished) this.answer = new AnswerView(this.#emptied());
        this.finished = false;
        this.answer.update(content);
      }
      if (!this.run && !this.finished) {
        this.answer.finish();
        this.finished = true;
      }
    } else {
      this.text.textContent = content;
    }
    this.shown = content;
  }

  #emptied() {
    this.text.replaceChildren();
    return this.text;
  }

  #showEnd(run) {
    const { message } = this;
    const open = message.reason === "" && !run && this.answer;
    const told = this.chat.errors.has(message.id); // in the card above
    this.facts.textContent = open ? "unfinished: cut off, or still arriving in another tab"
      : told ? "" : factsOf(message);
  }

  #showError() {
    const error = this.chat.errors.get(this.message.id);
    this.error.hidden = !error;
    if (!error) return;
    const { title, text, remedy } = explain(error);
    this.error.replaceChildren(h("strong", {}, title), h("p", { dir: "auto" }, text),
      h("div.error-actions", {}, ...this.actions.remedies(this.message, remedy)));
  }

  #showTools(run) {
    const { message, actions } = this;
    const siblings = message.group ? [] : siblingsOf(this.chat.messages, message);
    const at = siblings.findIndex((each) => each.id === message.id);
    const key = JSON.stringify([run !== null, this.last, at, siblings.length, message.group, message.content === ""]);
    if (key === this.tooled) return;
    this.tooled = key;
    const tools = [];
    if (siblings.length > 1) tools.push(...this.#branches(at, siblings.length));
    if (message.group && !run) {
      tools.push(h("button.quiet.keep", { type: "button", onclick: () => actions.keep(message) },
        icon("check"), "Go on with this one"));
    }
    if (!run) tools.push(...this.#buttons());
    // The button that was just used may be one of those replaced.
    const label = this.tools.contains(document.activeElement)
      ? document.activeElement.getAttribute("aria-label") : null;
    this.tools.replaceChildren(...tools);
    if (label) this.tools.querySelector(`[aria-label="${CSS.escape(label)}"]:not(:disabled)`)?.focus();
  }

  #branches(at, count) {
    const turn = (step) => () => this.actions.turn(this.message, step);
    return [
      iconButton("left", "Earlier version", turn(-1), { disabled: at === 0 }),
      h("span.branch", {}, `${at + 1}/${count}`),
      iconButton("right", "Later version", turn(1), { disabled: at === count - 1 }),
    ];
  }

  #buttons() {
    const { message, actions } = this;
    const copy = iconButton("copy", "Copy", async () => {
      if (!(await copyText(message.content))) return;
      copy.replaceChildren(icon("check"));
      setTimeout(() => copy.replaceChildren(icon("copy")), COPIED_MS);
    });
    const found = [copy, iconButton("edit", "Edit", () => this.edit())];
    if (message.role === "assistant") {
      if (!message.content) found.length = 0; // nothing came: nothing to copy or to edit
      found.push(iconButton("again", "Answer again", () => actions.regenerate(message)));
      if (message.group) return [copy, found.at(-1)]; // one of both is to be chosen first
      if (message.content && this.last) {
        found.push(iconButton("onward", "Continue this answer", () => actions.onward(message)));
      }
    } else if (this.last) {
      found.push(h("button.quiet", { type: "button", onclick: () => actions.answer(message) }, "Get an answer"));
    }
    found.push(iconButton("remove", "Delete from here on", () => actions.remove(message)));
    return found;
  }

  /** Write the message anew; what is saved becomes a branch of its own. */
  edit() {
    const { message } = this;
    this.editing = true;
    const field = h("textarea", { dir: "auto", "aria-label": "Message in other words", rows: 3 });
    field.value = message.content;
    const done = () => {
      editor.remove();
      this.text.hidden = false;
      this.editing = false;
      this.tooled = "";
      this.update();
      this.tools.querySelector('[aria-label="Edit"]')?.focus();
    };
    const save = () => {
      const text = field.value;
      if (!text.trim()) return;
      done();
      if (text !== message.content || message.role === "user") this.actions.edited(message, text);
    };
    const action = message.role === "user" ? "Send as a new branch" : "Save as another version";
    const editor = h("div.edit", {
      onkeydown: (event) => {
        if (event.key === "Escape") {
          event.stopPropagation();
          done();
        }
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
      },
    }, field, h("div.edit-actions", {},
      h("button.quiet", { type: "button", onclick: done }, "Cancel"),
      h("button.primary", { type: "button", onclick: save }, action)));
    this.text.hidden = true;
    this.tools.replaceChildren();
    this.body.prepend(editor);
    const grow = () => {
      field.style.height = "auto";
      field.style.height = `${Math.min(field.scrollHeight + 2, innerHeight / 2)}px`;
    };
    field.addEventListener("input", grow);
    grow();
    field.focus();
  }
}
