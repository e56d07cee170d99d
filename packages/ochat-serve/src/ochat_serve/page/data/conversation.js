// New conversations, and what they are called.

import { newId, stamp } from "./ids.js";

const TITLE_CHARACTERS = 60;

/** @param {import("./types.js").Settings} settings @returns {import("./types.js").Conversation} */
export function newConversation(settings) {
  const now = Date.now();
  return {
    id: newId(),
    title: "New chat",
    named: false,
    folder: null,
    created: now,
    updated: now,
    leaf: null,
    settings: structuredClone(settings),
  };
}

/** @returns {import("./types.js").Message} */
export function newMessage(conversation, parent, role, content, more = {}) {
  return { id: newId(), conversation, parent, role, content, created: stamp(), ...more };
}

/** A title from the first question: its first line, cut at a word. @param {string} question */
export function titleFrom(question) {
  const line = question.trim().split("\n", 1)[0].replace(/\s+/g, " ").trim();
  if (!line) return "New chat";
  const characters = Array.from(line); // not UTF-16 units: no half of an emoji
  if (characters.length <= TITLE_CHARACTERS) return line;
  const cut = characters.slice(0, TITLE_CHARACTERS).join("");
  const space = cut.lastIndexOf(" ");
  return `${(space > TITLE_CHARACTERS / 2 ? cut.slice(0, space) : cut).trimEnd()} …`;
}
