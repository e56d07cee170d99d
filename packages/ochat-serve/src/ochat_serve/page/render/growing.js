// Lists and tables that grow long: their first entries become final while the last still change, so
// that an answer which is one long list costs no more than one of many paragraphs.

const ENTRIES_KEPT_OPEN = 2;
const WORTH_SPLITTING = 12;

/**
 * How a token that grows may be split: how many entries are final, how much of the source they are,
 * and what has to stand before the rest for it to be read in the same way.
 * @param {any} token
 * @param {number} before How much of the token's source is such a `prefix` already.
 * @returns {{entries: number, consumed: number, prefix: string}|null}
 */
export function splitOf(token, before = 0) {
  const rows = token.type === "list" ? token.items : token.type === "table" ? token.rows : [];
  const entries = rows.length - ENTRIES_KEPT_OPEN;
  if (rows.length < WORTH_SPLITTING) return null;
  if (token.type === "list") {
    const first = rows.slice(0, entries).map((item) => item.raw).join("");
    return token.raw.startsWith(first) ? { entries, consumed: first.length, prefix: "" } : null;
  }
  const lines = token.raw.split("\n");
  const length = (count) => lines.slice(0, count).join("\n").length + 1;
  if (lines.length < rows.length + 2) return null;
  return { entries, consumed: length(entries + 2) - before, prefix: token.raw.slice(0, length(2)) };
}

/** The element whose children are the entries. @param {Element} block */
export const entriesOf = (block) => block.querySelector(":scope > table > tbody") ?? block;
