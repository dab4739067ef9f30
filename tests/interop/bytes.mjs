// What a server wrote in one run, held byte by byte against what it wrote in others. See README.md.

/** First whole JSON strings and what stands between them, then, inside a string, its words. */
const PARTS = [/("(?:[^"\\]|\\.)*")/, /([\w.:+/-]+)/];

/**
 * Where a text differs from all the runs that were direct, but for what differs among these. `excused` hears of that: the whole of a
 * string, or of a line, only where it has not even the same number of parts twice.
 */
function differences(directs, through, excused, level = 0) {
  const same = directs.every((direct) => direct === directs[0]);
  if (same && through === directs[0]) return [];
  if (same && level > 0) return [{ direct: directs[0], through }];
  if (level === PARTS.length) return excused(directs), [];
  const [first, ...others] = directs.map((direct) => direct.split(PARTS[level]));
  if (others.some(({ length }) => length !== first.length)) return excused(directs), [];
  const parts = through.split(PARTS[level]);
  if (parts.length !== first.length) return [{ direct: directs[0], through }];
  return first.flatMap((part, nth) => differences([part, ...others.map((other) => other[nth])], parts[nth], excused, level + 1));
}

/** The lines of a run by what they are, each in its order. */
function byKind(lines) {
  const kinds = new Map();
  for (const { kind, raw } of lines) kinds.set(kind, [...(kinds.get(kind) ?? []), raw]);
  return kinds;
}

/**
 * A run against direct ones. `ordered`: on one stream the order of all lines counts, over HTTP only the order of those of a kind. `live`:
 * kinds of which all numbers may differ, however often they were the same. Gives what differs, and how much was excused as differing
 * among the direct runs.
 */
export function compare(directs, through, { ordered, live = [] }) {
  const found = [];
  const excuses = [];
  const order = (lines) => lines.map(({ kind }) => kind).join("\n");
  const orders = directs.map(order);
  if (ordered && !orders.includes(order(through))) {
    if (orders.every((one) => one === orders[0])) found.push({ what: "order or number of lines", direct: orders[0], through: order(through) });
    else excuses.push(orders);
  }
  const moving = ({ kind }) => live.some((name) => kind.endsWith(name));
  const figures = (line) => (moving(line) ? { ...line, raw: line.raw.replace(/\d+(\.\d+)?/g, "0") } : line);
  excuses.push(...through.filter(moving));
  const [kinds, ...others] = directs.map((lines) => byKind(lines.map(figures)));
  const theirs = byKind(through.map(figures));
  for (const kind of new Set([...kinds.keys(), ...theirs.keys()])) {
    const numbers = [kinds, ...others].map((lines) => lines.get(kind)?.length ?? 0);
    const lines = theirs.get(kind) ?? [];
    if (numbers.some((number) => number !== numbers[0])) {
      excuses.push(numbers);
      continue;
    }
    if (lines.length !== numbers[0]) found.push({ what: `${kind}: ${lines.length} in place of ${numbers[0]}`, direct: (kinds.get(kind) ?? []).join(""), through: lines.join("") });
    lines.slice(0, numbers[0]).forEach((line, nth) => {
      const all = [kinds, ...others].map((lines) => lines.get(kind)[nth]);
      for (const { direct, through } of differences(all, line, (values) => excuses.push(values))) found.push({ what: kind, direct, through });
    });
  }
  return { found, excused: excuses.length };
}
