// The page: makes its parts and connects them. What each does stands in its own module.

import { Chat } from "./chat/chat.js";
import { openDatabase } from "./data/database.js";
import { Library } from "./data/library.js";
import { Connection } from "./net/connection.js";
import { installBanner } from "./ui/banner.js";
import { installCompare } from "./ui/compare.js";
import { Composer } from "./ui/composer.js";
import { byId, copyText, icon } from "./ui/dom.js";
import { chooseImport, saveJson, saveMarkdown } from "./ui/files.js";
import { openMenu } from "./ui/menu.js";
import { installMeter } from "./ui/meter.js";
import { Panes } from "./ui/panes.js";
import { openPrompts } from "./ui/prompts.js";
import { SettingsPanel } from "./ui/settings_panel.js";
import { installShortcuts } from "./ui/shortcuts.js";
import { Sidebar } from "./ui/sidebar.js";
import { Thread } from "./ui/thread.js";
import { toast } from "./ui/toast.js";
import { installWelcome } from "./ui/welcome.js";

const connection = new Connection();
const library = new Library(await openDatabase());
await library.load();
const chat = new Chat(library, connection);
const panes = new Panes();
const thread = new Thread(chat, {
  settings: () => panes.showSettings(true),
  key: () => {
    panes.showSettings(true);
    byId("settings-key").focus();
  },
});
const composer = new Composer(chat, thread);
const sidebar = new Sidebar(chat, {
  markdown: (id) => saveMarkdown(library, id),
  json: (ids) => saveJson(library, ids),
  chosen: () => {
    panes.closeOver();
    composer.field.focus();
  },
});
new SettingsPanel(chat, () => panes.showSettings(false));
installBanner(connection);
installWelcome(connection, (text) => composer.set(text));
installMeter(chat, composer.field);
installCompare(chat, composer);

function newChat() {
  chat.startNew();
  panes.closeOver();
  composer.field.focus();
}

const prompts = () => openPrompts(library, (prompt) => composer.use(prompt));
const showShortcuts = installShortcuts({
  newChat,
  prompts,
  escape: () => {
    if (panes.closeOver()) return true;
    if (!chat.running.length) return false;
    chat.stop();
    composer.field.focus();
    return true;
  },
  again: () => {
    const view = thread.last("assistant");
    if (!view || chat.running.length) return false;
    return thread.actions.regenerate(view.message);
  },
  copy: async () => {
    const view = thread.last("assistant");
    if (view && await copyText(view.message.content)) toast("Answer copied");
  },
  field: () => composer.field.focus(),
  list: () => panes.showList(!panes.listShown),
  settings: () => panes.showSettings(byId("settings").hidden),
  search: () => {
    panes.showList(true, false);
    sidebar.field.focus();
    sidebar.field.select();
  },
});

byId("new-chat").prepend(icon("add"));
byId("new-chat").addEventListener("click", newChat);
byId("open-prompts").addEventListener("click", prompts);
byId("open-data").addEventListener("click", () => openMenu(byId("open-data"), [
  { label: "Import …", icon: "add", run: () => chooseImport(library) },
  { label: "Export everything", icon: "file", run: () => saveJson(library) },
  null,
  { label: "Delete all conversations", icon: "remove", danger: true, disabled: !library.conversations.size,
    run: () => sidebar.remove([...library.conversations.keys()]) },
]));
byId("chat-menu").append(icon("more"));
byId("chat-menu").addEventListener("click", () => openMenu(byId("chat-menu"), [
  ...(library.conversations.has(chat.id) ? sidebar.itemsFor(chat.id) : [{ label: "New chat", icon: "add", run: newChat }]),
  null,
  { label: "Keyboard shortcuts", run: showShortcuts },
]));

function showTitle() {
  const { title } = chat.conversation;
  byId("title").textContent = title;
  document.title = library.conversations.has(chat.id) ? `${title} – OpenChat` : "OpenChat";
}

function showModel() {
  const { state } = connection;
  const names = { connecting: "connecting …", key: "key needed", away: "not connected" };
  byId("model").dataset.state = state;
  byId("model").textContent = names[state] ?? connection.model(chat.settings.model)?.id ?? "";
}

chat.addEventListener("open", showTitle);
library.addEventListener("change", showTitle);
for (const name of ["open", "settings"]) chat.addEventListener(name, showModel);
connection.addEventListener("change", showModel);
library.addEventListener("unsaved", ({ detail }) => (
  toast(`The browser could not keep this (${detail?.name ?? "error"}): export what matters, and free some space.`)));
chat.addEventListener("failed", ({ detail }) => connection.noticed(detail));

await chat.begin();
sidebar.render();
connection.retry();
if (!library.database.durable) toast("This browser keeps nothing: conversations are gone when the tab closes.");
performance.mark("ready");
document.documentElement.dataset.ready = "true";
