// A conversation as a tree: an edited question or a second answer is a sibling of the first.
// Pure functions over messages; nothing here changes or keeps one.

/** @typedef {import("./types.js").Message} Message */
/** @typedef {Map<string, Message>} Messages */

const inOrder = (a, b) => a.created - b.created || (a.id < b.id ? -1 : 1);

/** The messages after one, oldest first. @param {Messages} messages */
export function childrenOf(messages, id) {
  return [...messages.values()].filter((each) => each.parent === id).sort(inOrder);
}

/** A message and its alternatives, oldest first. @param {Messages} messages @param {Message} message */
export function siblingsOf(messages, message) {
  return childrenOf(messages, message.parent).filter((each) => each.role === message.role);
}

/** The branch that ends at a message, first question first. @param {Messages} messages */
export function pathTo(messages, leaf) {
  const path = [];
  const seen = new Set(); // an imported file may hold a circle
  for (let id = leaf; id && messages.has(id) && !seen.has(id); id = messages.get(id).parent) {
    seen.add(id);
    path.push(messages.get(id));
  }
  return path.reverse();
}

/** The end of the newest branch that goes through a message. @param {Messages} messages */
export function newestLeaf(messages, id) {
  const seen = new Set();
  for (let current = id; ; ) {
    seen.add(current);
    const next = childrenOf(messages, current).at(-1);
    if (!next || seen.has(next.id)) return current;
    current = next.id;
  }
}

/** The leaf to show: the given one, or the newest there is. @param {Messages} messages */
export function leafOf(messages, leaf) {
  if (leaf && messages.has(leaf)) return leaf;
  const first = childrenOf(messages, null).at(-1);
  return first ? newestLeaf(messages, first.id) : null;
}

/** A message and all that follow it. @param {Messages} messages */
export function subtree(messages, id) {
  const found = [];
  const open = [id];
  while (open.length) {
    const current = open.pop();
    if (found.some((each) => each.id === current) || !messages.has(current)) continue;
    found.push(messages.get(current));
    open.push(...childrenOf(messages, current).map((each) => each.id));
  }
  return found;
}

/** The answers that were asked for side by side with one, itself among them. @param {Messages} messages */
export function groupOf(messages, message) {
  if (!message.group) return [message];
  return siblingsOf(messages, message).filter((each) => each.group === message.group);
}
