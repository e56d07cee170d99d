// Names and times for new records.

/** A random name. (randomUUID is missing on pages that did not come by HTTPS.) */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

let last = 0;

/** The time in milliseconds, later than every earlier stamp of this tab: siblings keep their order. */
export function stamp() {
  last = Math.max(last + 1, Date.now());
  return last;
}
