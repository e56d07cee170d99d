// What the conditions of OpenChat's templates mean, in a sentence each.

const MEANINGS = {
  GPT4: "Like the best part of the training data, which GPT-4 wrote. What you nearly always want.",
  GPT3: "Like the part that GPT-3.5 wrote: plainer and with more mistakes. Good to compare with.",
  "GPT4 Correct": "General talk and code, like the checked answers of GPT-4. What you nearly always want.",
  "Math Correct": "Mathematics, worked out step by step, like the checked solutions in the training data.",
  Code: "Programming, like the code answers in the training data.",
};

export const ABOUT_CONDITIONS =
  "OpenChat models learned from answers of mixed quality, each marked with where it came from. "
  + "The condition asks for answers like those of one source.";

/** @param {string} name */
export function meaningOf(name) {
  return MEANINGS[name] ?? "As the people who trained this model used the word.";
}

/**
 * What may be chosen: the template's list, or its default and what else is known to be trained.
 * @param {{default: string, allowed: string[]}} rule
 */
export function conditionChoices(rule) {
  if (rule.allowed.length) return { names: rule.allowed, free: false };
  if (!rule.default) return { names: [], free: false };
  return { names: [...new Set([rule.default, "Math Correct"])], free: true };
}
