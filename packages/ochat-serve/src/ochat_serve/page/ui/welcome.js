// The empty page: what this is, what to ask, and what the conditions mean.

import { ABOUT_CONDITIONS, conditionChoices, meaningOf } from "./conditions.js";
import { byId, h } from "./dom.js";

const SUGGESTIONS = [
  ["Explain", "Why is the sky blue? Explain it to a ten-year-old."],
  ["Write", "Write a short poem about a lighthouse in winter."],
  ["Program", "Write a Python function that merges two sorted lists, with a test."],
  ["Calculate", "What is 17 times 24? Show the steps."],
];

/**
 * @param {import("../net/connection.js").Connection} connection
 * @param {(text: string) => void} suggest
 */
export function installWelcome(connection, suggest) {
  const conditions = h("div.about-conditions", { hidden: true });
  byId("welcome").append(
    h("img", { src: "page/icon.svg", alt: "", width: 52, height: 52 }),
    h("h2", {}, "What would you like to talk about?"),
    h("p.lead", {}, "What you write goes to this server and nowhere else. Conversations are kept in this browser."),
    h("div.suggestions", {}, ...SUGGESTIONS.map(([name, text]) => (
      h("button", { type: "button", onclick: () => suggest(text) }, h("strong", {}, name), h("span", {}, text))))),
    conditions,
  );
  connection.addEventListener("change", () => {
    const rule = connection.models[0]?.condition;
    const { names } = rule ? conditionChoices(rule) : { names: [] };
    conditions.hidden = names.length < 2;
    conditions.replaceChildren(
      h("h3", {}, "About the condition"),
      h("p", {}, ABOUT_CONDITIONS),
      h("dl", {}, ...names.flatMap((name) => [h("dt", {}, name), h("dd", {}, meaningOf(name))])));
  });
}
