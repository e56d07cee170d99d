// One answer as it arrives: text, numbers, and how it ended.

import { countTokens, streamChat } from "../net/api.js";

/** Events: `text` when the answer grew, `end` when it is over; `error` says why it broke. */
export class Run extends EventTarget {
  /**
   * @param {import("../data/types.js").Message} message Grows with the answer.
   * @param {object} body
   * @param {string} key
   */
  constructor(message, body, key) {
    super();
    this.message = message;
    this.body = body;
    this.key = key;
    /** @type {Error|null} */
    this.error = null;
    this.discarded = false; // its message was deleted: nothing of it is kept
    this.controller = new AbortController();
  }

  stop() {
    this.controller.abort();
  }

  discard() {
    this.discarded = true;
    this.stop();
  }

  /** Tokens of what arrived after `before`; 0 where nobody can tell. */
  async #counted(before) {
    const prompt = this.message.content.slice(before.length);
    if (!prompt || this.discarded) return 0;
    try {
      const body = { model: this.body.model, prompt, add_special_tokens: false };
      return (await countTokens(body, this.key)).count;
    } catch {
      return 0; // the server is gone: an answer without its numbers
    }
  }

  async start() {
    const started = performance.now();
    const times = { started, first: 0, last: 0 };
    const { message } = this;
    const before = { text: message.content, tokens: message.facts?.tokens ?? 0 };
    message.reason = "";
    let usage = null;
    let reason = "";
    try {
      for await (const chunk of streamChat(this.body, this.key, this.controller.signal)) {
        const [choice] = chunk.choices;
        usage = chunk.usage ?? usage;
        reason = choice?.finish_reason ?? reason;
        const text = choice?.delta.content ?? "";
        if (!text) continue;
        times.first ||= performance.now();
        message.content += text;
        this.dispatchEvent(new Event("text"));
      }
      message.reason = reason || "stop";
    } catch (error) {
      message.reason = error.name === "AbortError" ? "stopped" : "broken";
      if (error.name !== "AbortError") this.error = error;
    }
    times.last = performance.now();
    const tokens = usage?.completion_tokens ?? await this.#counted(before.text);
    if (tokens && times.first) {
      message.facts = facts(tokens, times);
      if (before.text) message.facts.tokens += before.tokens;
    }
    this.dispatchEvent(new Event("end"));
  }
}

/** @returns {import("../data/types.js").Facts} */
function facts(tokens, { started, first, last }) {
  const seconds = (last - first) / 1000;
  // The first token is waited for; only those after it tell the speed.
  const rate = tokens > 1 && seconds > 0 ? (tokens - 1) / seconds : 0;
  return { tokens, rate, first: (first - started) / 1000 };
}
