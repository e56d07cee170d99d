// Prometheus' text as numbers, and what is read out of counters and histograms.

const SAMPLE = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const PREFIX = "ochat_serve_";

/** @typedef {{labels: Record<string, string>, value: number}} Sample */

/** The samples of each metric, by its name without the prefix. @returns {Map<string, Sample[]>} */
export function parse(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const match = SAMPLE.exec(line);
    if (!match) continue;
    const name = match[1].replace(PREFIX, "");
    const pairs = [...(match[2] ?? "").matchAll(LABEL)];
    const labels = Object.fromEntries(pairs.map(([, key, value]) => [key, value.replace(/\\(.)/g, "$1")]));
    const value = match[3] === "+Inf" ? Infinity : Number(match[3]);
    if (!found.has(name)) found.set(name, []);
    found.get(name).push({ labels, value });
  }
  return found;
}

/** The sum of a metric's samples, of those that `where` accepts. */
export function sum(metrics, name, where = (_labels) => true) {
  return (metrics.get(name) ?? []).filter(({ labels }) => where(labels))
    .reduce((total, { value }) => total + value, 0);
}

/** How many durations fell into each range: upper bounds in seconds, and counts. */
export function histogram(metrics, name) {
  const buckets = metrics.get(`${name}_bucket`) ?? [];
  const bounds = buckets.map(({ labels }) => (labels.le === "+Inf" ? Infinity : Number(labels.le)));
  const counts = buckets.map(({ value }, index) => value - (buckets[index - 1]?.value ?? 0));
  return { bounds, counts };
}

/** The later of two states of a histogram without what was there before. */
export function since(later, earlier) {
  return { ...later, counts: later.counts.map((count, index) => count - (earlier?.counts[index] ?? 0)) };
}

/**
 * The duration below which a share of all lies; within a range it is taken as evenly spread.
 * @returns {number|null} Seconds; Infinity where it is above the last bound; null without any.
 */
export function quantile({ bounds, counts }, share) {
  const total = counts.reduce((all, count) => all + count, 0);
  if (total === 0) return null;
  let below = 0;
  for (const [index, count] of counts.entries()) {
    if (count > 0 && below + count >= share * total) {
      const low = bounds[index - 1] ?? 0;
      return bounds[index] === Infinity ? Infinity : low + (bounds[index] - low) * ((share * total - below) / count);
    }
    below += count;
  }
  return null;
}
