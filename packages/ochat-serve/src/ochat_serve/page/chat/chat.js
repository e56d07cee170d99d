// The open conversation: its branch, asking, stopping, editing. The view listens; it never writes.

import { newConversation, newMessage, titleFrom } from "../data/conversation.js";
import { newId } from "../data/ids.js";
import { checkedSettings, defaultSettings } from "../data/settings.js";
import { groupOf, leafOf, newestLeaf, pathTo, siblingsOf, subtree } from "../data/tree.js";
import { fitted } from "./fit.js";
import { conditionOf, requestBody } from "./request.js";
import { Run } from "./run.js";

/** @typedef {import("../data/types.js").Message} Message */

const SAVE_EVERY_MS = 1_000;

/** Events: `open` another conversation, `path` its branch changed, `runs`, `settings`, `failed`. */
export class Chat extends EventTarget {
  /**
   * @param {import("../data/library.js").Library} library
   * @param {import("../net/connection.js").Connection} connection
   */
  constructor(library, connection) {
    super();
    this.library = library;
    this.connection = connection;
    /** @type {Map<string, Message>} */ this.messages = new Map();
    /** @type {Map<string, Run>} By message; of every conversation. */ this.runs = new Map();
    /** @type {Map<string, Error>} Why answers broke; not kept over a reload. */ this.errors = new Map();
    /** @type {{model: string, condition: string}[]|null} Both sides of a comparison. */
    this.comparison = null;
    this.lastSettings = defaultSettings();
    this.draft = newConversation(this.lastSettings);
    this.id = this.draft.id;
    library.addEventListener("messages", ({ detail }) => this.#reread(detail));
    library.addEventListener("change", () => this.#checkDeleted());
  }

  /** The open conversation; a draft until something is asked. */
  get conversation() {
    return this.library.conversations.get(this.id) ?? this.draft;
  }

  get settings() {
    return this.conversation.settings;
  }

  /** The shown branch. @returns {Message[]} */
  get path() {
    return pathTo(this.messages, leafOf(this.messages, this.conversation.leaf));
  }

  /** The answers of this conversation that are arriving. @returns {Run[]} */
  get running() {
    return [...this.runs.values()].filter((run) => run.message.conversation === this.id);
  }

  #tell(name, detail = null) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  async begin() {
    this.lastSettings = checkedSettings(await this.library.value("settings"));
    const open = sessionStorage.getItem("ochat-open") ?? "";
    if (this.library.conversations.has(open)) await this.open(open);
    else this.startNew();
  }

  startNew(folder = null) {
    this.draft = { ...newConversation(this.lastSettings), folder };
    this.id = this.draft.id;
    this.messages = new Map();
    sessionStorage.removeItem("ochat-open");
    this.#tell("open");
  }

  /** @param {string} id */
  async open(id) {
    const messages = await this.#read(id);
    this.id = id;
    this.messages = messages;
    sessionStorage.setItem("ochat-open", id);
    this.#tell("open");
  }

  async #read(id) {
    const messages = await this.library.messagesOf(id);
    // Answers that arrive right now are ahead of what is written.
    for (const { message } of this.runs.values()) {
      if (message.conversation === id) messages.set(message.id, message);
    }
    return messages;
  }

  async #reread(id) {
    if (id !== this.id) return;
    const messages = await this.#read(id);
    if (id !== this.id) return;
    this.messages = messages;
    this.#tell("path");
  }

  #checkDeleted() {
    if (this.id !== this.draft.id && !this.library.conversations.has(this.id)) {
      for (const run of this.running) run.stop();
      this.startNew();
    }
  }

  /** Change settings of this conversation, and of the next new one. @param {Partial<import("../data/types.js").Settings>} change */
  async change(change) {
    const settings = checkedSettings({ ...this.settings, ...change });
    this.lastSettings = structuredClone(settings);
    this.conversation.settings = settings;
    this.#tell("settings");
    await this.library.saveValue("settings", settings);
    if (this.id !== this.draft.id) {
      await this.library.save("conversations", { ...this.conversation });
    }
  }

  /** Keep messages and make them the shown branch. @param {Message[]} added */
  async #add(added, leaf) {
    for (const message of added) this.messages.set(message.id, message);
    const conversation = this.conversation;
    conversation.leaf = leaf;
    if (this.id === this.draft.id) {
      const asked = added.find((each) => each.role === "user");
      conversation.title = titleFrom(asked?.content ?? "");
      this.draft = newConversation(this.lastSettings);
      sessionStorage.setItem("ochat-open", conversation.id);
    }
    this.#tell("path");
    await this.library.saveMessages(conversation, added);
  }

  /** Ask a question at the end of the branch. @param {string} text */
  ask(text) {
    return this.#askAfter(this.path.at(-1)?.id ?? null, text);
  }

  async #askAfter(parent, text) {
    const question = newMessage(this.id, parent, "user", text);
    await this.#add([question], question.id);
    await this.answer(question.id);
  }

  /** A question in another wording: a new branch beside the old one. */
  edit(id, text) {
    const message = this.messages.get(id);
    return this.#askAfter(message.parent, text);
  }

  /** An answer in a person's words: kept beside the model's, nothing is asked. */
  async rewrite(id, text) {
    const { parent, model, condition } = this.messages.get(id);
    const message = newMessage(this.id, parent, "assistant", text, { model, condition, reason: "edited" });
    await this.#add([message], message.id);
  }

  /** Another answer to the question before an answer. */
  async regenerate(id) {
    const message = this.messages.get(id);
    if (message.reason === "broken" && !message.content) await this.remove(id);
    await this.answer(message.parent);
  }

  /** Answer a question: one answer, or both sides of the comparison. @param {string} questionId */
  async answer(questionId) {
    const sides = this.comparison ?? [{ model: this.settings.model, condition: this.settings.condition }];
    const group = sides.length > 1 ? newId() : undefined;
    const asks = sides.map(({ model, condition }) => (
      { settings: this.settings, model: this.connection.model(model), condition }));
    if (asks.some((ask) => !ask.model)) return;
    const before = pathTo(this.messages, questionId);
    const answers = asks.map((ask) => newMessage(this.id, questionId, "assistant", "", {
      model: ask.model.id,
      condition: conditionOf(ask),
      reason: "",
      ...(group ? { group } : {}),
    }));
    const runs = answers.map((message, index) => this.#prepare(message, requestBody(asks[index], before)));
    await this.#add(answers, answers[0].id);
    await Promise.all(runs.map((run) => this.#receive(run)));
  }

  /** Go on where an answer ended: the server continues a trailing assistant message. */
  async continueAnswer(id) {
    const message = this.messages.get(id);
    const ask = {
      settings: this.settings,
      model: this.connection.model(message.model ?? ""),
      condition: message.condition ?? this.settings.condition,
    };
    const run = this.#prepare(message, requestBody(ask, pathTo(this.messages, id)));
    await this.#receive(run);
  }

  /** Try a broken answer again, without the oldest turns that no longer fit. */
  async answerTrimmed(id) {
    const message = this.messages.get(id);
    const model = this.connection.model(message.model ?? "");
    const ask = { settings: this.settings, model, condition: message.condition };
    try {
      const path = await fitted(ask, pathTo(this.messages, message.parent), this.connection.key);
      message.content = "";
      await this.#receive(this.#prepare(message, requestBody(ask, path)));
    } catch (error) {
      this.errors.set(id, error);
      this.#tell("failed", error);
    }
  }

  #prepare(message, body) {
    const run = new Run(message, body, this.connection.key);
    this.errors.delete(message.id);
    this.runs.set(message.id, run);
    return run;
  }

  /** @param {Run} run */
  async #receive(run) {
    const { message } = run;
    const conversation = () => this.library.conversations.get(message.conversation);
    const save = async () => {
      if (conversation() && !run.discarded) await this.library.saveMessages(conversation(), [message]);
    };
    let saved = performance.now();
    run.addEventListener("text", () => {
      if (performance.now() - saved < SAVE_EVERY_MS) return;
      saved = performance.now();
      save();
    });
    this.#tell("runs");
    await run.start();
    this.runs.delete(message.id);
    if (run.error) {
      this.errors.set(message.id, run.error);
      this.#tell("failed", run.error);
    }
    await save();
    this.#tell("runs", run);
  }

  stop() {
    for (const run of this.running) run.stop();
  }

  /** Show another branch at a message. @param {1|-1} step */
  async turn(id, step) {
    const message = this.messages.get(id);
    const siblings = siblingsOf(this.messages, message);
    const inGroup = groupOf(this.messages, message);
    const edge = step > 0 ? inGroup.at(-1) : inGroup[0];
    const next = siblings[siblings.findIndex((each) => each.id === edge.id) + step];
    if (next) await this.show(newestLeaf(this.messages, next.id));
  }

  /** Make a message the end of the shown branch. */
  async show(leaf) {
    this.conversation.leaf = leaf;
    this.#tell("path");
    await this.library.save("conversations", { ...this.conversation });
  }

  /** Of answers side by side, go on with one. */
  async keep(id) {
    const group = groupOf(this.messages, this.messages.get(id));
    for (const message of group) delete message.group;
    this.conversation.leaf = newestLeaf(this.messages, id);
    this.#tell("path");
    await this.library.saveMessages(this.conversation, group);
  }

  /** Delete a message and all that follow; the result undoes it. */
  async remove(id) {
    const message = this.messages.get(id);
    const gone = subtree(this.messages, id);
    const { leaf } = this.conversation;
    const conversation = this.id;
    for (const each of gone) {
      this.runs.get(each.id)?.discard();
      this.messages.delete(each.id);
    }
    const beside = siblingsOf(this.messages, message).at(-1);
    this.conversation.leaf = beside ? newestLeaf(this.messages, beside.id) : message.parent;
    await this.library.write([
      { store: "conversations", put: { ...this.conversation } },
      ...gone.map(({ id: remove }) => ({ store: "messages", remove, conversation })),
    ]);
    this.#tell("path");
    return async () => {
      const found = this.library.conversations.get(conversation);
      if (!found) return;
      found.leaf = leaf;
      await this.library.saveMessages(found, gone);
      await this.#reread(conversation);
    };
  }
}
