// OpenChat-UI's and Chatbot UI's file, version 4, both ways; versions 1 to 3 are read too.
// Their format is a list of turns; branches and settings ride along in a field that they ignore.

import { newId, stamp } from "./ids.js";
import { checkedSettings, defaultSettings } from "./settings.js";
import { leafOf, pathTo } from "./tree.js";

/** @typedef {import("./types.js").Conversation} Conversation */
/** @typedef {import("./types.js").Message} Message */

const FORMAT = "ochat-1";

/**
 * @param {{conversation: Conversation, messages: Map<string, Message>}[]} chats
 * @param {import("./types.js").Folder[]} folders
 * @param {import("./types.js").Prompt[]} prompts
 */
export function toFile(chats, folders, prompts) {
  return {
    version: 4,
    history: chats.map(({ conversation, messages }) => historyItem(conversation, messages)),
    folders: folders.map(({ id, name }) => ({ id, name, type: "chat" })),
    prompts: prompts.map(({ id, name, description, content }) => (
      { id, name, description, content, model: modelOf(""), folderId: null })),
  };
}

function modelOf(name) {
  return { id: name || "openchat", name: name || "OpenChat", maxLength: 24576, tokenLimit: 8192 };
}

function historyItem(conversation, messages) {
  const { id, title, folder, settings } = conversation;
  const path = pathTo(messages, leafOf(messages, conversation.leaf));
  return {
    id,
    name: title,
    messages: path.map(({ role, content }) => ({ role, content })),
    model: modelOf(settings.model),
    prompt: settings.system,
    temperature: settings.temperature,
    folderId: folder,
    ochat: { format: FORMAT, conversation, messages: [...messages.values()] },
  };
}

/** A file that is none of ours; the message is for people. */
export class TransferError extends Error {}

/**
 * Read a file of any version.
 * @param {string} text
 */
export function fromFile(text) {
  let data;
  try {
    data = JSON.parse(text);
  } catch {
    throw new TransferError("The file is not JSON. Choose an export of this page, of OpenChat-UI or of Chatbot UI.");
  }
  const history = Array.isArray(data) ? data : data?.history;
  if (!Array.isArray(history)) {
    throw new TransferError("The file has no list “history”, so it is no export of this page, of OpenChat-UI or of Chatbot UI.");
  }
  const list = (value) => (Array.isArray(value) ? value.filter((each) => each && typeof each === "object") : []);
  const folders = list(data.folders).filter((each) => (each.type ?? "chat") === "chat");
  return {
    chats: list(history).map((item, index) => readChat(item, index)),
    folders: folders.map((each) => ({
      id: idOf(each.id), name: words(each.name, "Folder"), created: stamp(), open: true })),
    prompts: list(data.prompts).filter((each) => typeof each.content === "string").map((each) => ({
      id: idOf(each.id),
      name: words(each.name, "Prompt"),
      description: words(each.description, ""),
      content: each.content,
    })),
  };
}

const words = (value, otherwise) => (typeof value === "string" && value.trim() ? value : otherwise);
// Chatbot UI's first version counted conversations from 1.
const idOf = (value) => (typeof value === "string" && value) || (Number.isFinite(value) && String(value)) || newId();

function readChat(item, index) {
  const own = item.ochat?.format === FORMAT ? item.ochat : null;
  const now = Date.now() - index; // the order of the file, newest first
  const conversation = {
    id: idOf(item.id),
    title: words(item.name, "Imported chat"),
    named: true,
    folder: typeof item.folderId === "string" || Number.isFinite(item.folderId)
      ? String(item.folderId) : null,
    created: Number.isFinite(own?.conversation?.created) ? own.conversation.created : now,
    updated: Number.isFinite(own?.conversation?.updated) ? own.conversation.updated : now,
    leaf: null,
    settings: own ? checkedSettings(own.conversation?.settings) : settingsOf(item),
  };
  const messages = own ? readTree(own, conversation) : readTurns(item, conversation);
  return { conversation, messages };
}

function settingsOf(item) {
  const temperature = Number.isFinite(item.temperature) ? item.temperature : undefined;
  return checkedSettings({ ...defaultSettings(), system: item.prompt, temperature });
}

/** A list of turns as a branch. @returns {Message[]} */
function readTurns(item, conversation) {
  let parent = null;
  const turns = (Array.isArray(item.messages) ? item.messages : []).filter(isTurn);
  return turns.map(({ role, content }) => {
    const message = {
      id: newId(), conversation: conversation.id, parent, role, content, created: stamp(),
      ...(role === "assistant" ? { reason: "stop" } : {}),
    };
    parent = conversation.leaf = message.id;
    return message;
  });
}

const isTurn = (each) =>
  (each?.role === "user" || each?.role === "assistant") && typeof each.content === "string";

/** Our own tree under new names: the same file may be read twice. @returns {Message[]} */
function readTree(own, conversation) {
  const found = (Array.isArray(own.messages) ? own.messages : []).filter(isTurn);
  const names = new Map(found.map((each) => [each.id, newId()]));
  conversation.leaf = names.get(own.conversation?.leaf) ?? null;
  return found.map((each) => ({
    id: names.get(each.id),
    conversation: conversation.id,
    parent: names.get(each.parent) ?? null,
    role: each.role,
    content: each.content,
    created: Number.isFinite(each.created) ? each.created : stamp(),
    ...(each.role === "assistant" ? answerFields(each) : {}),
  }));
}

function answerFields({ model, condition, reason, group, facts }) {
  const numbers = facts && [facts.tokens, facts.rate, facts.first].every(Number.isFinite);
  return {
    reason: words(reason, "stop"),
    ...(typeof model === "string" ? { model } : {}),
    ...(typeof condition === "string" ? { condition } : {}),
    ...(typeof group === "string" ? { group } : {}),
    ...(numbers ? { facts: { tokens: facts.tokens, rate: facts.rate, first: facts.first } } : {}),
  };
}
