// The open conversation: which one, its messages and settings, and the branch that is shown.
// Asking for answers is `chat`'s business.

import { newConversation, titleFrom } from "../data/conversation.js";
import { inTab } from "../data/remember.js";
import { checkedSettings, defaultSettings } from "../data/settings.js";
import { groupOf, leafOf, newestLeaf, pathTo, siblingsOf, subtree } from "../data/tree.js";

/** @typedef {import("../data/types.js").Message} Message */

/** Events: `open` another conversation, `path` its branch changed, `settings`. */
export class Opened extends EventTarget {
  /** @param {import("../data/library.js").Library} library */
  constructor(library) {
    super();
    this.library = library;
    /** @type {Map<string, Message>} */ this.messages = new Map();
    /** @type {Map<string, import("./run.js").Run>} By message; of every conversation. */
    this.runs = new Map();
    this.lastSettings = defaultSettings();
    this.draft = newConversation(this.lastSettings);
    this.id = this.draft.id;
    /** @type {string|null} Being read just now. */ this.opening = null;
    library.addEventListener("messages", ({ detail }) => this.reread(detail));
    library.addEventListener("change", () => this.#checkDeleted());
  }

  /** The open conversation; a draft until something is asked. */
  get conversation() {
    return this.library.conversations.get(this.id) ?? this.draft;
  }

  get settings() {
    return this.conversation.settings;
  }

  /** The shown branch. @returns {Message[]} */
  get path() {
    return pathTo(this.messages, leafOf(this.messages, this.conversation.leaf));
  }

  /**
   * The branch up to its last answer: what the next question follows. A question that got no
   * answer stays beside it as a branch; two questions in a row are no conversation.
   * @returns {Message[]}
   */
  get answeredPath() {
    const path = this.path;
    return path.slice(0, path.findLastIndex((each) => each.role === "assistant" && each.content) + 1);
  }

  tell(name, detail = null) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  async begin() {
    this.lastSettings = checkedSettings(await this.library.value("settings"));
    const open = inTab.get("ochat-open") ?? "";
    if (this.library.conversations.has(open)) await this.open(open);
    else this.startNew();
  }

  startNew(folder = null) {
    this.opening = null;
    this.draft = { ...newConversation(this.lastSettings), folder };
    this.id = this.draft.id;
    this.messages = new Map();
    inTab.set("ochat-open", "");
    this.tell("open");
  }

  /** @param {string} id */
  async open(id) {
    this.opening = id;
    const messages = await this.read(id);
    if (this.opening !== id) return; // another one was chosen meanwhile
    this.id = id;
    this.messages = messages;
    this.conversation.settings = checkedSettings(this.settings); // an older page may have kept less
    inTab.set("ochat-open", id);
    this.tell("open");
  }

  async read(id) {
    const messages = await this.library.messagesOf(id);
    // Answers that arrive right now are ahead of what is written.
    for (const { message } of this.runs.values()) {
      if (message.conversation === id) messages.set(message.id, message);
    }
    return messages;
  }

  async reread(id) {
    if (id !== this.id) return;
    const messages = await this.read(id);
    if (id !== this.id) return;
    this.messages = messages;
    this.tell("path");
  }

  #checkDeleted() {
    if (this.id !== this.draft.id && !this.library.conversations.has(this.id)) {
      for (const run of this.runs.values()) if (run.message.conversation === this.id) run.stop();
      this.startNew();
    }
  }

  /** Change settings of this conversation, and of the next new one. @param {Partial<import("../data/types.js").Settings>} change */
  async change(change) {
    const settings = checkedSettings({ ...this.settings, ...change });
    this.lastSettings = structuredClone(settings);
    this.conversation.settings = settings;
    this.tell("settings");
    await this.library.saveValue("settings", settings);
    if (this.id !== this.draft.id) {
      await this.library.save("conversations", { ...this.conversation });
    }
  }

  /** Keep messages and make them the shown branch. @param {Message[]} added */
  async add(added, leaf) {
    for (const message of added) this.messages.set(message.id, message);
    const conversation = this.conversation;
    conversation.leaf = leaf;
    if (this.id === this.draft.id) {
      const asked = added.find((each) => each.role === "user");
      conversation.title = titleFrom(asked?.content ?? "");
      this.draft = newConversation(this.lastSettings);
      inTab.set("ochat-open", conversation.id);
    }
    const kept = this.library.saveMessages(conversation, added);
    this.tell("path");
    await kept;
  }

  /** Show another branch at a message. @param {1|-1} step */
  async turn(id, step) {
    const message = this.messages.get(id);
    const siblings = siblingsOf(this.messages, message);
    const inGroup = groupOf(this.messages, message);
    const edge = step > 0 ? inGroup.at(-1) : inGroup[0];
    const next = siblings[siblings.findIndex((each) => each.id === edge.id) + step];
    if (next) await this.show(newestLeaf(this.messages, next.id));
  }

  /** Make a message the end of the shown branch. */
  async show(leaf) {
    this.conversation.leaf = leaf;
    this.tell("path");
    await this.library.save("conversations", { ...this.conversation });
  }

  /** Of answers side by side, go on with one. */
  async keep(id) {
    const group = groupOf(this.messages, this.messages.get(id));
    for (const message of group) delete message.group;
    this.conversation.leaf = newestLeaf(this.messages, id);
    this.tell("path");
    await this.library.saveMessages(this.conversation, group);
  }

  /** Delete a message and all that follow; the result undoes it. */
  async remove(id) {
    const message = this.messages.get(id);
    const gone = subtree(this.messages, id);
    const { leaf } = this.conversation;
    const conversation = this.id;
    for (const each of gone) {
      this.runs.get(each.id)?.discard();
      this.messages.delete(each.id);
    }
    const beside = siblingsOf(this.messages, message).at(-1);
    this.conversation.leaf = beside ? newestLeaf(this.messages, beside.id) : message.parent;
    await this.library.write([
      { store: "conversations", put: { ...this.conversation } },
      ...gone.map(({ id: remove }) => ({ store: "messages", remove, conversation })),
    ]);
    this.tell("path");
    return async () => {
      const found = this.library.conversations.get(conversation);
      if (!found) return;
      found.leaf = leaf;
      await this.library.saveMessages(found, gone);
      await this.reread(conversation);
    };
  }
}
