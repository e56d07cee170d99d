// Brings nodes on the page in line with new ones and leaves alone what is the same: what a person
// selected or scrolled stays so while the rest of a block grows.

import { growCode } from "./code.js";

const sameShell = (old, wanted) => old.cloneNode(false).isEqualNode(wanted.cloneNode(false));

/** Make one node like another, in place. Whether that could be done. */
function patch(old, wanted) {
  if (old.isEqualNode(wanted)) return true;
  if (old instanceof Text && wanted instanceof Text) {
    old.data = wanted.data;
    return true;
  }
  if (!(old instanceof Element && wanted instanceof Element) || !sameShell(old, wanted)) return false;
  if (old.matches("figure.code")) growCode(old, wanted.querySelector("code").textContent);
  else if (old.matches("a, [data-formula]")) return false;
  else replaceFrom(old, 0, [...wanted.childNodes]);
  return true;
}

/**
 * The children of `parent` from the index on become those nodes.
 * @param {Node} parent @param {number} from @param {Node[]} nodes
 */
export function replaceFrom(parent, from, nodes) {
  nodes.forEach((node, index) => {
    const old = parent.childNodes[from + index];
    if (!old) parent.appendChild(node);
    else if (!patch(old, node)) old.replaceWith(node);
  });
  while (parent.childNodes.length > from + nodes.length) parent.lastChild.remove();
}
