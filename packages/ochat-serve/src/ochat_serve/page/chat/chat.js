// Asking in the open conversation: questions, answers, stopping. The view listens; it never writes.

import { newMessage } from "../data/conversation.js";
import { newId } from "../data/ids.js";
import { pathTo } from "../data/tree.js";
import { fitted } from "./fit.js";
import { Opened } from "./opened.js";
import { conditionOf, requestBody } from "./request.js";
import { Run } from "./run.js";

/** @typedef {import("../data/types.js").Message} Message */

const SAVE_EVERY_MS = 1_000;

/** Events besides those of `Opened`: `runs` when an answer begins or ends, `failed`. */
export class Chat extends Opened {
  /**
   * @param {import("../data/library.js").Library} library
   * @param {import("../net/connection.js").Connection} connection
   */
  constructor(library, connection) {
    super(library);
    this.connection = connection;
    /** @type {Map<string, Error>} Why answers broke; not kept over a reload. */ this.errors = new Map();
    /** @type {{model: string, condition: string}[]|null} Both sides of a comparison. */
    this.comparison = null;
  }

  /** The answers of this conversation that are arriving. @returns {Run[]} */
  get running() {
    return [...this.runs.values()].filter((run) => run.message.conversation === this.id);
  }

  /** Ask a question at the end of the branch. @param {string} text */
  ask(text) {
    return this.#askAfter(this.answeredPath.at(-1)?.id ?? null, text);
  }

  async #askAfter(parent, text) {
    this.stop();
    const question = newMessage(this.id, parent, "user", text);
    await this.add([question], question.id);
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
    await this.add([message], message.id);
  }

  /** Another answer to the question before an answer. */
  async regenerate(id) {
    this.stop();
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
    await this.add(answers, answers[0].id);
    await Promise.all(runs.map((run) => this.#receive(run)));
  }

  /** Go on where an answer ended: the server continues a trailing assistant message. */
  async continueAnswer(id) {
    this.stop();
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
      this.tell("failed", error);
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
    this.tell("runs");
    await run.start();
    this.runs.delete(message.id);
    if (run.error) {
      this.errors.set(message.id, run.error);
      this.tell("failed", run.error);
    }
    await save();
    this.tell("runs", run);
  }

  stop() {
    for (const run of this.running) run.stop();
  }
}
