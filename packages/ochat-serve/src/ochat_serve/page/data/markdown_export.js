// A branch of a conversation as a Markdown document.

/**
 * @param {import("./types.js").Conversation} conversation
 * @param {import("./types.js").Message[]} path
 */
export function toMarkdown(conversation, path) {
  const parts = [`# ${conversation.title}\n`];
  if (conversation.settings.system) {
    const quoted = conversation.settings.system.split("\n").map((line) => `> ${line}`).join("\n");
    parts.push(`## System\n\n${quoted}\n`);
  }
  for (const message of path) {
    const of = [message.model, message.condition].filter(Boolean).join(", ");
    const name = message.role === "user" ? "You" : `Assistant${of ? ` (${of})` : ""}`;
    parts.push(`## ${name}\n\n${message.content.trim()}\n`);
  }
  return parts.join("\n");
}

/** A name for the file: the title without what file systems refuse. */
export function fileName(title, extension) {
  const safe = title.replace(/[\\/:*?"<>|\p{Cc}]+/gu, " ").replace(/\s+/g, " ").trim().slice(0, 80);
  return `${safe || "conversation"}.${extension}`;
}
