// Saving to and reading from files of this device.

import { fileName, toMarkdown } from "../data/markdown_export.js";
import { exportLibrary, importLibrary } from "../data/transfer.js";
import { leafOf, pathTo } from "../data/tree.js";
import { h } from "./dom.js";
import { toast } from "./toast.js";

function save(text, type, name) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000); // a slow disk may still be reading
}

/** @param {import("../data/library.js").Library} library @param {string} id */
export async function saveMarkdown(library, id) {
  const conversation = library.conversations.get(id);
  const messages = await library.messagesOf(id);
  const path = pathTo(messages, leafOf(messages, conversation.leaf));
  save(toMarkdown(conversation, path), "text/markdown", fileName(conversation.title, "md"));
}

/** All conversations, or some. @param {import("../data/library.js").Library} library */
export async function saveJson(library, ids = null) {
  const day = new Date().toISOString().slice(0, 10);
  const name = ids?.length === 1
    ? fileName(library.conversations.get(ids[0]).title, "json") : `openchat-${day}.json`;
  save(await exportLibrary(library, ids), "application/json", name);
}

/** Ask for files and add what they hold. @param {import("../data/library.js").Library} library */
export function chooseImport(library) {
  const field = h("input", { type: "file", accept: ".json,application/json", multiple: true, class: "visually-hidden", tabindex: -1, "aria-label": "Files to import" });
  field.addEventListener("change", async () => {
    for (const file of field.files) await importFile(library, file);
    field.remove();
  });
  field.addEventListener("cancel", () => field.remove());
  document.body.append(field);
  field.click();
}

async function importFile(library, file) {
  try {
    const { added, skipped, prompts } = await importLibrary(library, await file.text());
    const parts = [`${added} conversation${added === 1 ? "" : "s"} imported`];
    if (prompts) parts.push(`${prompts} prompt${prompts === 1 ? "" : "s"}`);
    if (skipped) parts.push(`${skipped} already here`);
    toast(parts.join(", "));
  } catch (error) {
    toast(`${file.name}: ${error.message}`);
  }
}
