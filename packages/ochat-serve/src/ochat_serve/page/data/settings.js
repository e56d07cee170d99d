// How answers are asked for: the defaults, and what of them goes into a request.

/** @typedef {import("./types.js").Settings} Settings */

/** @returns {Settings} */
export function defaultSettings() {
  return {
    model: "",
    condition: "",
    system: "",
    temperature: 0.7,
    top_p: 1,
    max_tokens: null,
    presence_penalty: 0,
    frequency_penalty: 0,
    stop: [],
    seed: null,
  };
}

const LIMITS = {
  temperature: [0, 2],
  top_p: [0.01, 1],
  presence_penalty: [-2, 2],
  frequency_penalty: [-2, 2],
};

/**
 * Settings from anywhere (an older page, a file): what is missing or wrong becomes the default.
 * @param {unknown} found
 * @returns {Settings}
 */
export function checkedSettings(found) {
  const settings = defaultSettings();
  const given = found && typeof found === "object" ? found : {};
  for (const name of ["model", "condition", "system"]) {
    if (typeof given[name] === "string") settings[name] = given[name];
  }
  for (const [name, [low, high]] of Object.entries(LIMITS)) {
    if (Number.isFinite(given[name])) settings[name] = Math.min(high, Math.max(low, given[name]));
  }
  if (Number.isInteger(given.max_tokens) && given.max_tokens > 0) {
    settings.max_tokens = given.max_tokens;
  }
  if (Number.isSafeInteger(given.seed)) settings.seed = given.seed;
  if (Array.isArray(given.stop)) {
    settings.stop = given.stop.filter((each) => typeof each === "string" && each).slice(0, 16);
  }
  return settings;
}

/**
 * The sampling fields of a request. What stands at its neutral value is left out: an engine that
 * cannot do penalties refuses the field.
 * @param {Settings} settings
 */
export function samplingFields(settings) {
  const fields = { temperature: settings.temperature };
  if (settings.top_p !== 1) fields.top_p = settings.top_p;
  if (settings.max_tokens) fields.max_tokens = settings.max_tokens;
  if (settings.presence_penalty) fields.presence_penalty = settings.presence_penalty;
  if (settings.frequency_penalty) fields.frequency_penalty = settings.frequency_penalty;
  if (settings.stop.length) fields.stop = settings.stop;
  if (settings.seed !== null) fields.seed = settings.seed;
  return fields;
}
