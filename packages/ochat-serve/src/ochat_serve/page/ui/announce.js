// What happened, for people who do not see it: one polite live region.

import { byId } from "./dom.js";

/** @param {string} text */
export function announce(text) {
  const region = byId("announcer");
  // The same sentence twice is no change to a screen reader.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}
