// The body of a chat completion, from a branch and its settings.

import { samplingFields } from "../data/settings.js";

/**
 * @typedef {object} Ask
 * @property {import("../net/api.js").Model} model
 * @property {import("../data/types.js").Settings} settings
 * @property {string} [condition] Instead of the one in the settings.
 */

/** The condition that answers are asked for in; "" where the template knows none. @param {Ask} ask */
export function conditionOf({ model, settings, condition = settings.condition }) {
  const rule = model.condition;
  if (rule.allowed.length) return rule.allowed.includes(condition) ? condition : rule.default;
  return rule.default ? condition.trim() || rule.default : "";
}

/**
 * The part that decides which tokens the model reads.
 * @param {Ask} ask
 * @param {{role: string, content: string}[]} path
 */
export function promptBody(ask, path) {
  const { model, settings } = ask;
  const system = model.system_allowed && settings.system.trim()
    ? [{ role: "system", content: settings.system }] : [];
  const condition = conditionOf(ask);
  return {
    model: model.id,
    messages: [...system, ...path.map(({ role, content }) => ({ role, content }))],
    ...(condition ? { condition } : {}),
  };
}

/** The whole body. @param {Ask} ask @param {{role: string, content: string}[]} path */
export function requestBody(ask, path) {
  return { ...promptBody(ask, path), ...samplingFields(ask.settings) };
}
