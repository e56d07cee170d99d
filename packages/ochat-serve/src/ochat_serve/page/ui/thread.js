// The shown branch as a column of messages; answers asked for side by side stand side by side.

import { groupOf } from "../data/tree.js";
import { announce } from "./announce.js";
import { byId, h, icon } from "./dom.js";
import { MessageView } from "./message.js";
import { toast } from "./toast.js";

/**
 * @typedef {object} Actions What a message can ask for.
 * @property {(message: any) => void} regenerate
 * @property {(message: any) => void} answer
 * @property {(message: any) => void} onward
 * @property {(message: any) => void} keep
 * @property {(message: any) => void} remove
 * @property {(message: any, step: 1|-1) => void} turn
 * @property {(message: any, text: string) => void} edited
 * @property {(message: any, remedy: string) => Node[]} remedies
 */

const AT_END_PX = 4;
const NEAR_END_PX = 80;
const SHOWN_AT_ONCE = 8;
const SLICE_MS = 12;
const PAUSE_MS = 8; // between slices, for whoever reads or types
const SPOKEN_CHARACTERS = 300;

export class Thread {
  /**
   * @param {import("../chat/chat.js").Chat} chat
   * @param {{settings: () => void, key: () => void}} open
   */
  constructor(chat, open) {
    this.chat = chat;
    this.open = open;
    this.region = byId("thread");
    this.list = byId("messages");
    /** @type {Map<string, MessageView>} */ this.views = new Map();
    /** @type {MessageView[]} */ this.unfilled = [];
    this.filling = false;
    this.following = true;
    this.top = 0; // where the reader was
    this.actions = this.#actions();
    byId("to-end").append(icon("down"));
    byId("to-end").addEventListener("click", () => this.toEnd());
    this.region.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#keepUp()).observe(this.list);
    chat.addEventListener("open", () => this.#opened());
    chat.addEventListener("path", () => this.render());
    chat.addEventListener("runs", ({ detail }) => this.#changed(detail));
    chat.connection.addEventListener("change", () => this.render());
  }

  #actions() {
    const { chat } = this;
    return {
      regenerate: (message) => this.#ask(() => chat.regenerate(message.id)),
      answer: (message) => this.#ask(() => chat.answer(message.id)),
      onward: (message) => this.#ask(() => chat.continueAnswer(message.id)),
      keep: (message) => chat.keep(message.id),
      turn: (message, step) => chat.turn(message.id, step),
      edited: (message, text) => (message.role === "user"
        ? this.#ask(() => chat.edit(message.id, text)) : chat.rewrite(message.id, text)),
      remove: async (message) => {
        const undo = await chat.remove(message.id);
        announce("Deleted.");
        toast("Deleted from here on", { label: "Undo", run: undo });
      },
      remedies: (message, remedy) => this.#remedies(message, remedy),
    };
  }

  /** A person asked for text to come: show where it comes. */
  #ask(begin) {
    if (this.chat.connection.state !== "ready") {
      toast("The server cannot be reached or wants a key; nothing was asked.");
      return this.chat.connection.retry();
    }
    this.following = true;
    return begin();
  }

  #remedies(message, remedy) {
    const button = (label, run, kind = "quiet") =>
      h(`button.${kind}`, { type: "button", onclick: run }, label);
    const again = button("Try again", () => this.#ask(() => (
      message.content ? this.chat.continueAnswer(message.id) : this.chat.regenerate(message.id))));
    if (remedy === "trim") {
      return [
        button("Leave out the oldest turns", () => this.#ask(() => this.chat.answerTrimmed(message.id))),
        button("New chat", () => this.chat.startNew()),
      ];
    }
    if (remedy === "key") return [button("Enter the key", this.open.key), again];
    if (remedy === "settings") return [button("Open the settings", this.open.settings), again];
    return [again];
  }

  #opened() {
    this.following = true;
    this.views.clear();
    this.unfilled = [];
    this.list.replaceChildren();
    this.render();
    this.toEnd();
  }

  #changed(run) {
    this.render();
    if (!run || run.message.conversation !== this.chat.id || run.discarded) return;
    const { content, reason } = run.message;
    if (run.error) announce("The answer broke off.");
    else if (reason === "stopped") announce("Stopped.");
    else announce(content.length <= SPOKEN_CHARACTERS ? `Answer: ${content}` : "The answer is complete.");
  }

  /** Bring the column in line with the branch; what is unchanged stays as it is. */
  render() {
    const path = this.chat.path;
    byId("welcome").hidden = path.length > 0;
    const rows = path.map((message, index) => this.#row(message, index - path.length));
    this.#fillLater();
    const kept = new Set(rows);
    for (const child of [...this.list.children]) if (!kept.has(child)) child.remove();
    this.list.classList.toggle("wide", rows.some((row) => row.classList.contains("pair")));
    rows.forEach((row, index) => {
      if (this.list.children[index] !== row) this.list.insertBefore(row, this.list.children[index] ?? null);
    });
    this.#keepUp();
  }

  /** @param {number} fromEnd -1 is the last one. */
  #row(message, fromEnd) {
    const group = groupOf(this.chat.messages, message);
    if (group.length < 2) return this.#view(message, fromEnd).element;
    const views = group.map((each) => this.#view(each, fromEnd).element);
    const standing = views[0].parentElement;
    if (standing?.classList.contains("pair") && views.every((view) => view.parentElement === standing)) {
      return standing;
    }
    return h("div.pair", { role: "group", "aria-label": "Answers side by side" }, ...views);
  }

  #view(message, fromEnd) {
    let view = this.views.get(message.id);
    if (!view) {
      const later = fromEnd < -SHOWN_AT_ONCE;
      view = new MessageView(message, this.chat, this.actions, later);
      this.views.set(message.id, view);
      if (later) this.unfilled.push(view);
    }
    view.update(message, fromEnd === -1);
    return view;
  }

  /** The texts of a long conversation further up, newest first, while nothing else is to be done. */
  #fillLater() {
    if (this.filling || !this.unfilled.length) return;
    this.filling = true;
    setTimeout(() => {
      this.filling = false;
      const started = performance.now();
      while (this.unfilled.length && performance.now() - started < SLICE_MS) this.unfilled.pop().fill();
      this.#fillLater();
    }, PAUSE_MS);
  }

  // Following the answer as it grows, unless the reader went elsewhere.

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.region;
    const left = scrollHeight - scrollTop - clientHeight;
    // Only a reader goes up; text that grows meanwhile does not mean that somebody left the end.
    if (left < AT_END_PX) this.following = true;
    else if (scrollTop < this.top) this.following = false;
    this.top = scrollTop;
    byId("to-end").hidden = this.following || left < NEAR_END_PX || !this.list.children.length;
  }

  #keepUp() {
    if (this.following) this.region.scrollTop = this.region.scrollHeight;
  }

  toEnd() {
    this.following = true;
    this.#keepUp();
    byId("to-end").hidden = true;
  }

  /** The view of the last question or answer of a role. @param {"user"|"assistant"} role */
  last(role) {
    const message = this.chat.path.findLast((each) => each.role === role);
    return message ? this.views.get(message.id) : null;
  }
}
