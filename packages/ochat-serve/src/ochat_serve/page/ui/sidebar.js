// The list of conversations: folders, search, rename, move, delete.

import { newId, stamp } from "../data/ids.js";
import { announce } from "./announce.js";
import { askText } from "./dialog.js";
import { byId, debounced, h, icon, iconButton, soon } from "./dom.js";
import { openMenu } from "./menu.js";
import { toast } from "./toast.js";

const SEARCH_DELAY_MS = 120;
const DAY_MS = 86_400_000;

export class Sidebar {
  /**
   * @param {import("../chat/chat.js").Chat} chat
   * @param {{markdown: (id: string) => void, json: (ids: string[]) => void, chosen: () => void}} hooks
   */
  constructor(chat, hooks) {
    this.chat = chat;
    this.library = chat.library;
    this.hooks = hooks;
    this.list = byId("conversations");
    this.field = byId("search");
    /** @type {Set<string>|null} */ this.found = null;
    /** @type {Map<string, {key: string, element: any}>} Rows by conversation, made once. */
    this.rows = new Map();
    this.looks = ""; // of the list as it was made last
    this.waiting = false;
    const search = debounced(() => this.search(), SEARCH_DELAY_MS);
    this.field.addEventListener("input", search);
    this.list.addEventListener("keydown", (event) => this.#move(event));
    this.library.addEventListener("change", () => this.#later());
    chat.addEventListener("open", () => this.#later());
    chat.addEventListener("runs", () => this.#later());
  }

  /** At most once a frame, however much changes. */
  #later() {
    if (this.waiting) return;
    this.waiting = true;
    soon(() => {
      this.waiting = false;
      this.render();
    });
  }

  async search() {
    const query = this.field.value.trim();
    const found = query ? await this.library.search(query) : null;
    if (query !== this.field.value.trim()) return; // typed on meanwhile
    this.found = found;
    this.render();
    if (found) announce(found.size === 1 ? "1 conversation found." : `${found.size} conversations found.`);
  }

  render() {
    const shown = this.library.listed().filter((each) => !this.found || this.found.has(each.id));
    if (!this.#changed(shown)) return;
    const parts = [];
    for (const folder of this.library.listedFolders()) {
      const inside = shown.filter((each) => each.folder === folder.id);
      if (inside.length || !this.found) parts.push(this.#folder(folder, inside));
    }
    const outside = shown.filter((each) => !this.library.folders.has(each.folder ?? ""));
    for (const [name, each] of byAge(outside)) parts.push(this.#group(name, each));
    if (!shown.length) {
      parts.push(h("p.nothing", {}, this.found ? "Nothing found." : "Conversations appear here. They are kept in this browser only."));
    }
    const focused = this.list.contains(document.activeElement)
      ? document.activeElement.dataset.focus : null;
    this.list.replaceChildren(...parts);
    if (focused) this.list.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
    for (const id of this.rows.keys()) if (!this.library.conversations.has(id)) this.rows.delete(id);
  }

  /** Whether the list would look different: an answer that arrives is saved every second. */
  #changed(shown) {
    const day = new Date().toDateString(); // what was of today is of yesterday then
    const looks = JSON.stringify([day, this.chat.id, this.found !== null, this.library.listedFolders(),
      shown.map(({ id, title, folder }) => [id, title, folder, this.#busy(id)])]);
    const changed = looks !== this.looks;
    this.looks = looks;
    return changed;
  }

  #busy(id) {
    return [...this.chat.runs.values()].some((run) => run.message.conversation === id);
  }

  #group(name, conversations) {
    return h("section", { "aria-label": name }, h("h2.age", {}, name), this.#items(conversations));
  }

  #folder(folder, conversations) {
    const open = folder.open || this.found !== null;
    const toggle = h("button.folder-name", {
      type: "button",
      "aria-expanded": String(open),
      "data-focus": folder.id,
      onclick: () => this.library.save("folders", { ...folder, open: !folder.open }),
    }, icon("folder"), h("span", { dir: "auto" }, folder.name), h("span.count", {}, String(conversations.length)));
    const more = iconButton("more", `Folder ${folder.name}`, () => this.#folderMenu(more, folder),
      { "aria-haspopup": "menu", "aria-expanded": "false", "data-focus": `${folder.id} menu` });
    return h("section.folder", { "aria-label": `Folder ${folder.name}` },
      h("div.row", {}, toggle, more), open && this.#items(conversations));
  }

  #items(conversations) {
    return h("ul", {}, ...conversations.map((each) => this.#item(each)));
  }

  #item(conversation) {
    const { id, title } = conversation;
    const current = id === this.chat.id;
    const busy = this.#busy(id);
    const key = JSON.stringify([title, current, busy]);
    const known = this.rows.get(id);
    if (known?.key === key) return known.element;
    const more = iconButton("more", `More for ${title}`, () => this.#menu(more, id),
      { "aria-haspopup": "menu", "aria-expanded": "false", "data-focus": `${id} menu` });
    const element = h("li.row", {},
      h("button.conversation", {
        type: "button",
        "aria-current": current ? "true" : null,
        "data-focus": id,
        onclick: () => this.#choose(id),
      }, h("span.name", { dir: "auto" }, title), busy && h("span.busy", { role: "img", "aria-label": "answering" })),
      more);
    this.rows.set(id, { key, element });
    return element;
  }

  async #choose(id) {
    await this.chat.open(id);
    this.hooks.chosen();
  }

  #move(event) {
    const { focus } = document.activeElement?.dataset ?? {};
    if (event.key === "Delete" && this.library.conversations.has(focus)) this.remove([focus]);
    if (event.key === "F2" && this.library.conversations.has(focus)) this.rename(focus);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const buttons = [...this.list.querySelectorAll(".conversation, .folder-name")];
    const row = document.activeElement?.closest(".row");
    const at = buttons.findIndex((each) => each.closest(".row") === row);
    event.preventDefault();
    buttons[Math.min(buttons.length - 1, Math.max(0, at + step))]?.focus();
  }

  #menu(anchor, id) {
    openMenu(anchor, this.itemsFor(id));
  }

  /** What can be done with a conversation. */
  itemsFor(id) {
    const { folder } = this.library.conversations.get(id);
    return [
      { label: "Rename …", icon: "edit", run: () => this.rename(id) },
      { label: "Save as Markdown", icon: "file", run: () => this.hooks.markdown(id) },
      { label: "Export as JSON", icon: "file", run: () => this.hooks.json([id]) },
      null,
      ...this.library.listedFolders().map((each) => ({
        label: each.name, checked: each.id === folder, run: () => this.#put(id, each.id) })),
      ...(folder ? [{ label: "Out of the folder", run: () => this.#put(id, null) }] : []),
      { label: "New folder …", icon: "folder", run: () => this.#newFolder(id) },
      null,
      { label: "Delete", icon: "remove", danger: true, run: () => this.remove([id]) },
    ];
  }

  #folderMenu(anchor, folder) {
    openMenu(anchor, [
      { label: "New chat in this folder", icon: "add", run: () => {
        this.chat.startNew(folder.id);
        this.hooks.chosen();
      } },
      { label: "Rename …", icon: "edit", run: () => this.#renameFolder(folder) },
      { label: "Delete the folder", icon: "remove", danger: true, run: () => this.#removeFolder(folder) },
    ]);
  }

  async rename(id) {
    const { title } = this.library.conversations.get(id);
    const name = await askText("Rename", { label: "Title", value: title });
    const conversation = this.library.conversations.get(id);
    if (name && conversation) {
      await this.library.save("conversations", { ...conversation, title: name, named: true });
    }
  }

  #put(id, folder) {
    const conversation = this.library.conversations.get(id);
    return this.library.save("conversations", { ...conversation, folder });
  }

  async #newFolder(id) {
    const name = await askText("New folder", { label: "Name", action: "Create" });
    if (!name) return;
    const folder = { id: newId(), name, created: stamp(), open: true };
    await this.library.save("folders", folder);
    await this.#put(id, folder.id);
  }

  async #renameFolder(folder) {
    const name = await askText("Rename the folder", { label: "Name", value: folder.name });
    if (name) await this.library.save("folders", { ...folder, name });
  }

  async #removeFolder(folder) {
    const undo = await this.library.deleteFolder(folder.id);
    toast("Folder deleted; its conversations stay", { label: "Undo", run: undo });
  }

  /** @param {string[]} ids */
  async remove(ids) {
    const open = ids.includes(this.chat.id) ? this.chat.id : null;
    const undo = await this.library.deleteConversations(ids);
    announce("Deleted.");
    toast(ids.length === 1 ? "Conversation deleted" : `${ids.length} conversations deleted`, {
      label: "Undo",
      run: async () => {
        await undo();
        if (open) await this.chat.open(open);
      },
    });
  }
}

/** Conversations under the words that people have for ages. */
function byAge(conversations) {
  const today = new Date().setHours(0, 0, 0, 0);
  const limits = [["Today", today], ["Yesterday", today - DAY_MS], ["Last seven days", today - 6 * DAY_MS], ["Earlier", -Infinity]];
  const groups = new Map();
  for (const each of conversations) {
    const [name] = limits.find(([, since]) => each.updated >= since);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(each);
  }
  return groups;
}
