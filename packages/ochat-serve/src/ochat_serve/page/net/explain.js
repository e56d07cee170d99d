// What an error means to a person, and what can be done about it.

import { ApiError, ConnectionError } from "./api.js";

/**
 * @typedef {object} Explanation
 * @property {string} title
 * @property {string} text
 * @property {"key"|"retry"|"trim"|"settings"|"none"} remedy What the page offers.
 */

const BY_CODE = {
  invalid_api_key: ["The key was not accepted", "key",
    "Enter the API key that the server's operator gave you."],
  context_length_exceeded: ["The conversation no longer fits", "trim",
    "Leave out its oldest turns, edit an earlier message, or start a new chat."],
  model_not_found: ["This model is not served any more", "settings",
    "Choose another one in the settings."],
  unsupported_parameter: ["A setting is not supported here", "settings",
    "Set it back in the settings and try again."],
  rate_limit_exceeded: ["Too many requests for this key", "retry", ""],
  server_overloaded: ["The server is busy", "retry", ""],
  request_too_large: ["The conversation is too large to send", "trim",
    "Leave out its oldest turns, or start a new chat."],
};

/** @param {Error} error @returns {Explanation} */
export function explain(error) {
  if (error instanceof ConnectionError) {
    return {
      title: "The connection to the server was lost",
      text: "Check that the server runs and that this device is online. What had arrived is kept.",
      remedy: "retry",
    };
  }
  if (!(error instanceof ApiError)) {
    return { title: "The page failed", text: `${error.message} Reload the page; conversations are kept.`, remedy: "retry" };
  }
  const known = BY_CODE[error.code] ?? (error.status === 401 ? BY_CODE.invalid_api_key : null);
  if (known) {
    const [title, remedy, advice] = known;
    const wait = error.seconds ? `Try again in ${error.seconds} s.` : "";
    return { title, text: [error.message, advice || wait].filter(Boolean).join(" "), remedy };
  }
  if (error.status >= 500 || error.status === 0) {
    return { title: "The server failed", text: `${error.message} Try again; if it stays so, tell the operator.`, remedy: "retry" };
  }
  return { title: "The server refused the request", text: `${error.message} Check the settings.`, remedy: "settings" };
}
