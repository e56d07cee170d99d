// Everything the browser keeps: conversations, folders, prompts, presets; in step with other tabs.
// Lists are held in memory; the messages of a conversation are read when it is opened.

import { stamp } from "./ids.js";

/** @typedef {import("./types.js").Conversation} Conversation */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./database.js").Change} Change */

const LISTS = ["conversations", "folders", "presets", "prompts"];

/**
 * Events: `change` when a list changed, here or in another tab; `messages` (detail: the
 * conversation's id) when another tab changed messages; `unsaved` when the browser refused.
 */
export class Library extends EventTarget {
  /** @param {Awaited<ReturnType<import("./database.js").openDatabase>>} database */
  constructor(database, channel = new BroadcastChannel("ochat")) {
    super();
    this.database = database;
    this.channel = channel;
    /** @type {Map<string, Conversation>} */ this.conversations = new Map();
    /** @type {Map<string, import("./types.js").Folder>} */ this.folders = new Map();
    /** @type {Map<string, import("./types.js").Preset>} */ this.presets = new Map();
    /** @type {Map<string, import("./types.js").Prompt>} */ this.prompts = new Map();
    /** @type {Map<string, string>|null} */ this.texts = null; // of every conversation, for search
    channel.onmessage = ({ data }) => this.#follow(data);
  }

  async load() {
    for (const name of LISTS) {
      const records = await this.database.all(name);
      this[name] = new Map(records.map((record) => [record.id, record]));
    }
    return this;
  }

  /** Take over what another tab wrote. @param {Change[]} changes */
  #follow(changes) {
    const conversations = new Set();
    for (const change of changes) {
      if (change.store === "messages") conversations.add(change.conversation);
      else this.#remember(change);
      // Its shown branch may be another one now.
      if (change.store === "conversations" && change.put) conversations.add(change.put.id);
    }
    this.texts = null;
    this.dispatchEvent(new Event("change"));
    for (const id of conversations) {
      this.dispatchEvent(new CustomEvent("messages", { detail: id }));
    }
  }

  /** @param {Change} change */
  #remember({ store, put, remove }) {
    if (!LISTS.includes(store)) return;
    if (put) this[store].set(put.id, put);
    else this[store].delete(remove);
  }

  /**
   * Write records, here and for the other tabs.
   * @param {Change[]} changes
   */
  async write(changes) {
    for (const change of changes) this.#remember(change);
    if (changes.some((change) => LISTS.includes(change.store))) {
      this.dispatchEvent(new Event("change"));
    }
    this.texts = null;
    try {
      await this.database.write(changes);
    } catch (error) {
      this.dispatchEvent(new CustomEvent("unsaved", { detail: error }));
      return;
    }
    this.channel.postMessage(changes.map((change) =>
      change.store === "messages"
        ? { store: "messages", conversation: change.put?.conversation ?? change.conversation }
        : change));
  }

  /** @param {string} store @param {{id: string}} record */
  save(store, record) {
    return this.write([{ store, put: record }]);
  }

  /** @param {Conversation} conversation @param {Message[]} messages */
  saveMessages(conversation, messages) {
    conversation.updated = Date.now();
    return this.write([
      { store: "conversations", put: { ...conversation } },
      ...messages.map((put) => ({ store: "messages", put: { ...put } })),
    ]);
  }

  /** @returns {Promise<Map<string, Message>>} */
  async messagesOf(conversation) {
    const found = await this.database.of("messages", conversation);
    return new Map(found.map((message) => [message.id, message]));
  }

  /**
   * Delete conversations with their messages; the result undoes it.
   * @param {string[]} ids
   */
  async deleteConversations(ids) {
    const kept = [];
    for (const id of ids) {
      const conversation = this.conversations.get(id);
      if (!conversation) continue;
      kept.push({ store: "conversations", put: conversation });
      for (const put of (await this.messagesOf(id)).values()) kept.push({ store: "messages", put });
    }
    await this.write(kept.map(({ store, put }) => (
      { store, remove: put.id, conversation: put.conversation })));
    return () => this.write(kept);
  }

  /** Delete a folder; its conversations stay, outside. The result undoes it. */
  async deleteFolder(id) {
    const folder = this.folders.get(id);
    const inside = [...this.conversations.values()].filter((each) => each.folder === id);
    const put = (folderId) => inside.map((each) => (
      { store: "conversations", put: { ...each, folder: folderId } }));
    await this.write([{ store: "folders", remove: id }, ...put(null)]);
    return () => this.write([{ store: "folders", put: folder }, ...put(id)]);
  }

  /** Newest first. */
  listed() {
    return [...this.conversations.values()].sort((a, b) => b.updated - a.updated);
  }

  listedFolders() {
    return [...this.folders.values()].sort((a, b) => a.name.localeCompare(b.name));
  }

  /**
   * The conversations whose title or texts hold all words of a query.
   * @param {string} query
   * @returns {Promise<Set<string>>}
   */
  async search(query) {
    const words = query.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const texts = this.texts ?? await this.#gatherTexts();
    const found = this.listed().filter((conversation) => {
      const text = `${conversation.title.toLocaleLowerCase()}\n${texts.get(conversation.id) ?? ""}`;
      return words.every((word) => text.includes(word));
    });
    return new Set(found.map((each) => each.id));
  }

  async #gatherTexts() {
    const parts = new Map();
    for (const { conversation, content } of await this.database.all("messages")) {
      if (!parts.has(conversation)) parts.set(conversation, []);
      parts.get(conversation).push(content.toLocaleLowerCase());
    }
    this.texts = new Map([...parts].map(([id, each]) => [id, each.join("\n")]));
    return this.texts;
  }

  /** A value that is no list: the settings of the next new conversation, say. */
  async value(id, otherwise = null) {
    return (await this.database.get("values", id))?.value ?? otherwise;
  }

  saveValue(id, value) {
    return this.write([{ store: "values", put: { id, value, stamp: stamp() } }]);
  }
}
