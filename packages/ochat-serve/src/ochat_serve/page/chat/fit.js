// A branch without its oldest turns, so that the model has room to answer.

import { countTokens } from "../net/api.js";
import { promptBody } from "./request.js";

const ROOM = 0.25; // of the context, for the answer, where no length is set

/**
 * The longest end of a branch that begins with a question and leaves room for an answer; at least
 * the last question.
 * @param {import("./request.js").Ask} ask
 * @param {import("../data/types.js").Message[]} path
 * @param {string} key
 */
export async function fitted(ask, path, key) {
  const context = ask.model.max_model_len;
  const room = ask.settings.max_tokens ?? Math.ceil(context * ROOM);
  const starts = path.flatMap((each, index) => (each.role === "user" ? [index] : []));
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const { count } = await countTokens(promptBody(ask, path.slice(starts[middle])), key);
    if (count + room <= context) high = middle;
    else low = middle + 1;
  }
  return path.slice(starts[low] ?? 0);
}
