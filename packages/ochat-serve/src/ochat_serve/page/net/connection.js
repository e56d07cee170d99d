// Whether the server can be reached, what it serves, and the key that it wants.
// While it is away it is asked again, ever less often; `retry` asks at once.

import { inBrowser, inTab } from "../data/remember.js";
import { ApiError, isReady, listModels } from "./api.js";

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;
const KEY = "ochat-key";

/** Event `change`: the state, the models or the key changed. */
export class Connection extends EventTarget {
  constructor() {
    super();
    /** @type {"connecting"|"ready"|"key"|"away"} */
    this.state = "connecting";
    /** @type {import("./api.js").Model[]} */
    this.models = [];
    this.error = null;
    this.key = inTab.get(KEY) ?? inBrowser.get(KEY) ?? "";
    this.wait = FIRST_WAIT_MS;
    this.timer = 0;
    addEventListener("online", () => this.state === "away" && this.retry());
  }

  get keyRemembered() {
    return inBrowser.get(KEY) !== null;
  }

  /** Use a key, kept in this tab only or in this browser. */
  async useKey(key, remember) {
    this.key = key;
    inTab.set(KEY, remember ? "" : key);
    inBrowser.set(KEY, remember ? key : "");
    await this.retry();
  }

  /** Ask the server now. */
  async retry() {
    clearTimeout(this.timer);
    try {
      await isReady();
      this.models = await listModels(this.key);
      this.#become("ready");
      this.wait = FIRST_WAIT_MS;
    } catch (error) {
      const wrongKey = error instanceof ApiError && error.status === 401;
      this.#become(wrongKey ? "key" : "away", error);
      if (!wrongKey) this.#askLater();
    }
  }

  /** An answer failed: find out whether the server is still there. */
  noticed(error) {
    if (error instanceof ApiError && error.status === 401) this.#become("key", error);
    else if (!(error instanceof ApiError) || error.status === 503) return this.retry();
    return Promise.resolve();
  }

  #askLater() {
    this.timer = setTimeout(() => this.retry(), this.wait);
    this.wait = Math.min(LONGEST_WAIT_MS, this.wait * 2);
  }

  #become(state, error = null) {
    // Asked again in vain: nothing new to show.
    if (state === "away" && this.state === "away") return;
    this.state = state;
    this.error = error;
    this.dispatchEvent(new Event("change"));
  }

  /** The model of a name, or the preferred one where it is not served (any more). */
  model(name) {
    return this.models.find((each) => each.id === name) ?? this.models[0] ?? null;
  }

  /** One name for the model itself and one for every adapter: what there is to choose. */
  choices() {
    return this.models.filter((each, index) => index === 0 || each.parent);
  }
}
