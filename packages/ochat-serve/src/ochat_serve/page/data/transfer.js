// Conversations out of the library into a file, and back in.

import { fromFile, toFile } from "./chatbot_ui.js";
import { newId } from "./ids.js";

/** Everything, or some conversations, as a JSON text. @param {import("./library.js").Library} library */
export async function exportLibrary(library, ids = null) {
  const chosen = library.listed().filter((each) => !ids || ids.includes(each.id));
  const chats = [];
  for (const conversation of chosen) {
    chats.push({ conversation, messages: await library.messagesOf(conversation.id) });
  }
  const used = new Set(chosen.map((each) => each.folder));
  const folders = library.listedFolders().filter((each) => !ids || used.has(each.id));
  const prompts = ids ? [] : [...library.prompts.values()];
  return JSON.stringify(toFile(chats, folders, prompts), null, 1);
}

const spoken = (messages) =>
  JSON.stringify([...messages].map(({ role, content }) => [role, content]).sort());

/**
 * Add what a file holds. A conversation that is here already with the same texts is left alone;
 * one of the same name that differs comes in as a copy: nothing is ever overwritten.
 * @param {import("./library.js").Library} library
 * @param {string} text
 */
export async function importLibrary(library, text) {
  const { chats, folders, prompts } = fromFile(text);
  const changes = folders.filter((each) => !library.folders.has(each.id))
    .map((put) => ({ store: "folders", put }));
  const known = new Set([...library.folders.keys(), ...folders.map((each) => each.id)]);
  let added = 0;
  const taken = new Set(library.conversations.keys());
  for (const { conversation, messages } of chats) {
    if (taken.has(conversation.id)) {
      const here = await library.messagesOf(conversation.id);
      if (spoken(here.values()) === spoken(messages)) continue;
      conversation.id = newId();
    }
    taken.add(conversation.id);
    if (!known.has(conversation.folder)) conversation.folder = null;
    changes.push({ store: "conversations", put: conversation });
    for (const message of messages) {
      changes.push({ store: "messages", put: { ...message, conversation: conversation.id } });
    }
    added += 1;
  }
  const fresh = prompts.filter((each) => !library.prompts.has(each.id));
  changes.push(...fresh.map((put) => ({ store: "prompts", put })));
  await library.write(changes);
  return { added, skipped: chats.length - added, prompts: fresh.length };
}
