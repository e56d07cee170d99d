// The last minutes as they were seen: what counters gained, how much was going on.

import { histogram, parse, since, sum } from "./metrics.js";

export const KEPT_SECONDS = 300;
// Tokens are counted when an answer ends: over less time their rate would only jump.
const RATE_SECONDS = 20;

/** What is remembered of one look at the server. */
function look(told, at) {
  const metrics = parse(told.metrics);
  return {
    at,
    uptime: told.uptime_seconds,
    answering: told.answering,
    waiting: told.waiting,
    tokens: sum(metrics, "tokens_total", ({ kind }) => kind === "completion"),
    prompt: sum(metrics, "tokens_total", ({ kind }) => kind === "prompt"),
    requests: sum(metrics, "requests_total"),
    failed: sum(metrics, "requests_total", ({ status }) => Number(status) >= 400),
    metrics,
  };
}

export class History {
  constructor() {
    /** @type {ReturnType<typeof look>[]} */
    this.looks = [];
  }

  /** @param {any} told What the server says of itself. @param {number} at Seconds. */
  add(told, at) {
    const now = look(told, at);
    // A server that was started anew counts from zero.
    if (this.looks.length && now.uptime < this.last.uptime) this.looks = [];
    this.looks.push(now);
    while (this.looks[0].at < at - KEPT_SECONDS) this.looks.shift();
  }

  get last() {
    return this.looks[this.looks.length - 1];
  }

  /** How long the looks reach back, in seconds. */
  get span() {
    return this.last.at - this.looks[0].at;
  }

  /** What a counter gained a second, at each look. @returns {[number, number][]} */
  rates(name) {
    let first = 0;
    return this.looks.map((look, index) => {
      while (look.at - this.looks[first].at > RATE_SECONDS) first += 1;
      const from = this.looks[first === index ? Math.max(0, index - 1) : first];
      const seconds = look.at - from.at;
      return [look.at, seconds > 0 ? (look[name] - from[name]) / seconds : 0];
    });
  }

  /** A value at each look. @returns {[number, number][]} */
  values(name) {
    return this.looks.map((look) => [look.at, look[name]]);
  }

  /** What a counter gained while it was watched. */
  gained(name) {
    return this.last[name] - this.looks[0][name];
  }

  /** A histogram since the start, and of the time that is remembered. */
  histograms(name) {
    const all = histogram(this.last.metrics, name);
    return { all, recent: since(all, histogram(this.looks[0].metrics, name)) };
  }
}
