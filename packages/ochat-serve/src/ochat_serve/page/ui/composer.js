// The message field with what belongs to it: send, stop, condition, model.

import { conditionOf } from "../chat/request.js";
import { inTab } from "../data/remember.js";
import { Completion } from "./completion.js";
import { conditionChoices } from "./conditions.js";
import { askText } from "./dialog.js";
import { byId, icon } from "./dom.js";
import { useOf } from "./prompts.js";

const OTHER = "\u0000other";
const DRAFT = "ochat-draft-";

export class Composer {
  /** @param {import("../chat/chat.js").Chat} chat @param {import("./thread.js").Thread} thread */
  constructor(chat, thread) {
    this.chat = chat;
    this.thread = thread;
    this.field = byId("input");
    this.completion = new Completion(this.field, byId("completions"), chat.library, (prompt) => this.use(prompt));
    byId("send").append(icon("send"));
    byId("stop").append(icon("stop"));
    this.#listen();
  }

  #listen() {
    const { chat, field } = this;
    byId("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    byId("stop").addEventListener("click", () => {
      chat.stop();
      field.focus();
    });
    field.addEventListener("input", () => {
      inTab.set(this.#draftName, field.value);
      this.refresh();
    });
    field.addEventListener("keydown", (event) => this.#key(event));
    byId("condition").addEventListener("change", (event) => this.#chooseCondition(event.target.value));
    byId("model-choice").addEventListener("change", (event) => chat.change({ model: event.target.value }));
    chat.addEventListener("open", () => {
      this.set(inTab.get(this.#draftName) ?? "", false);
      this.refresh();
    });
    for (const name of ["runs", "settings", "path"]) chat.addEventListener(name, () => this.refresh());
    chat.connection.addEventListener("change", () => this.refresh());
    addEventListener("resize", () => this.#grow());
  }

  #key(event) {
    if (this.completion.handles(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
      event.preventDefault();
      this.submit();
    }
    if (event.key === "ArrowUp" && !this.field.value) {
      event.preventDefault();
      this.thread.last("user")?.edit();
    }
  }

  submit() {
    const text = this.field.value;
    if (!this.ready) return;
    this.set("");
    this.thread.following = true;
    this.chat.ask(text);
  }

  /** What is written but not sent belongs to its conversation, or to the one to come. */
  get #draftName() {
    return DRAFT + (this.chat.library.conversations.has(this.chat.id) ? this.chat.id : "new");
  }

  get ready() {
    return this.chat.connection.state === "ready" && !this.chat.running.length && this.field.value.trim() !== "";
  }

  /** @param {string} text */
  set(text, focus = true) {
    this.field.value = text;
    inTab.set(this.#draftName, text);
    this.field.dispatchEvent(new Event("written"));
    this.refresh();
    if (focus) this.field.focus();
  }

  /** @param {import("../data/types.js").Prompt} prompt */
  async use(prompt) {
    const text = await useOf(prompt);
    if (text !== undefined) this.set(text);
  }

  async #chooseCondition(value) {
    let condition = value;
    if (value === OTHER) {
      const typed = await askText("Another condition", { label: "Condition, as it was used in training", action: "Use" });
      condition = typed ?? this.chat.settings.condition;
    }
    await this.chat.change({ condition });
    this.refresh();
  }

  refresh() {
    const busy = this.chat.running.length > 0;
    byId("send").disabled = !this.ready;
    byId("send").hidden = busy;
    byId("stop").hidden = !busy;
    this.#showCondition();
    this.#showModels();
    this.#grow();
  }

  #showCondition() {
    const { settings, connection, comparison } = this.chat;
    const model = connection.model(settings.model);
    const { names, free } = model ? conditionChoices(model.condition) : { names: [], free: false };
    byId("condition-label").hidden = !names.length || comparison !== null;
    if (!names.length) return;
    const current = conditionOf({ model, settings });
    fillSelect(byId("condition"), [...new Set([...names, current])].map((name) => [name, name]),
      current, free ? [OTHER, "Other …"] : null);
  }

  #showModels() {
    const { settings, connection, comparison } = this.chat;
    const choices = connection.choices();
    byId("model-label").hidden = choices.length < 2 || comparison !== null;
    fillSelect(byId("model-choice"), choices.map(({ id }) => [id, id]), connection.model(settings.model)?.id);
  }

  #grow() {
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }
}

/** Options of a select, made anew only where they changed (an open one would close). */
export function fillSelect(select, options, chosen, last = null) {
  const all = last ? [...options, last] : options;
  const key = JSON.stringify(all);
  if (select.dataset.options !== key) {
    select.replaceChildren(...all.map(([value, text]) => new Option(text, value)));
    select.dataset.options = key;
  }
  select.value = chosen ?? "";
}
