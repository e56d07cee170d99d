// Talks to the server: models, token counts, streamed answers. Knows nothing of the page.

import { eventData } from "./events.js";

/** An answer that is an error; `message` is the server's sentence. */
export class ApiError extends Error {
  /** @param {string} message @param {{status?: number, code?: string|null, seconds?: number}} [facts] */
  constructor(message, { status = 0, code = null, seconds = 0 } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.seconds = seconds;
  }
}

/** The server cannot be reached, or the connection broke. */
export class ConnectionError extends Error {}

/** Addresses relative to the page: it may be served below a path by a proxy. */
const address = (path) => new URL(path, document.baseURI).href;

async function send(path, { key = "", body = null, signal = undefined } = {}) {
  /** @type {Record<string, string>} */
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  if (body) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(address(path), {
      method: body ? "POST" : "GET",
      headers,
      body: body ? JSON.stringify(body) : undefined,
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ConnectionError("The server cannot be reached.", { cause: error });
  }
  if (!response.ok) throw await failure(response);
  return response;
}

async function failure(response) {
  const facts = { status: response.status, seconds: Number(response.headers.get("retry-after")) || 0 };
  try {
    const { error } = await response.json();
    return new ApiError(error.message, { ...facts, code: error.code });
  } catch {
    // Not from our server (a proxy's page, say): the status has to do.
    return new ApiError(`The server answered with status ${response.status}.`, facts);
  }
}

/**
 * @typedef {object} Model
 * @property {string} id
 * @property {string} root
 * @property {string|null} [parent] The base model, for an adapter.
 * @property {number} max_model_len
 * @property {string} template
 * @property {{default: string, allowed: string[]}} condition
 * @property {boolean} system_allowed
 */

/** Every name that the server answers to, the preferred one first. @returns {Promise<Model[]>} */
export async function listModels(key) {
  return (await (await send("v1/models", { key })).json()).data;
}

/** Whether the server takes requests now. */
export async function isReady() {
  await send("ready");
}

/** How many tokens a request's messages are. @returns {Promise<{count: number, max_model_len: number}>} */
export async function countTokens(body, key, signal) {
  return (await send("tokenize", { key, body, signal })).json();
}

/**
 * The chunks of one streamed answer. Aborting `signal` also ends the server's work.
 * @param {object} request
 * @param {string} key
 * @param {AbortSignal} signal
 */
export async function* streamChat(request, key, signal) {
  const body = { ...request, stream: true, stream_options: { include_usage: true } };
  const response = await send("v1/chat/completions", { key, body, signal });
  try {
    for await (const data of eventData(response.body)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ApiError(chunk.error.message, { code: chunk.error.code });
      yield chunk;
    }
  } catch (error) {
    if (error instanceof TypeError) { // what browsers raise where a body breaks off
      throw new ConnectionError("The connection broke before the answer ended.", { cause: error });
    }
    throw error;
  }
  throw new ConnectionError("The connection ended before the answer did.");
}
