document.getElementById("name").textContent = visible(`${data.left} and ${data.right}`);
fact(data.summary);
if (data.more) fact(`${data.more} more are not on this page`);
for (const trouble of data.troubles) fact(trouble, true);
const CLASSES = { changed: "bad", removed: "bad", added: "good", slower: "bad", faster: "good", same: "dim" };
const label = (it) => it.subject || [it.what, subject(it)].filter(Boolean).join(" ");
for (const it of data.items) index(it, [it.kind, label(it), it.left == null ? "" : "#" + it.left, it.right == null ? "" : "#" + it.right, JSON.stringify([it.differences, it.excused])].join(" "));

function list(items) {
  const table = headed("", data.left, data.right, "what", "took", "was", "");
  return listed(table, items, (it) => {
    const row = make("tr", null, { class: "item " + CLASSES[it.kind] });
    for (const cell of [it.kind, it.left == null ? "" : "#" + it.left, it.right == null ? "" : "#" + it.right, label(it), time(it.took), time(it.was)]) row.append(make("td", cell));
    const last = make("td", it.note || ""), more = details(it);
    if (more) last.append(more);
    row.append(last);
    return row;
  });
}

/** The calls of either tape in their order, a line between those that belong together. */
function sequence(items) {
  const calls = items.filter((it) => it.left != null || it.right != null).slice(0, MOST_DRAWN);
  const places = (side) => new Map(calls.map((it) => it[side]).filter((seq) => seq != null).sort((a, b) => a - b).map((seq, at) => [seq, 46 + at * 22]));
  const [left, right] = [places("left"), places("right")];
  const svg = draw(900, 50 + Math.max(left.size, right.size) * 22), color = (it) => it.kind === "same" ? "var(--was)" : it.kind === "added" ? "var(--good)" : "var(--bad)";
  svg.put("text", { x: 330, y: 16, "text-anchor": "end" }, data.left);
  svg.put("text", { x: 570, y: 16 }, data.right);
  for (const it of calls) {
    const [from, to] = [left.get(it.left), right.get(it.right)];
    if (from != null) svg.put("text", { x: 330, y: from + 4, "text-anchor": "end" }, `${label(it).slice(0, 36)} #${it.left}`);
    if (to != null) svg.put("text", { x: 570, y: to + 4 }, `#${it.right} ${label(it).slice(0, 36)}`);
    if (from != null && to != null) svg.put("line", { x1: 340, x2: 560, y1: from, y2: to, stroke: color(it) });
    else svg.put("circle", { cx: from == null ? 560 : 340, cy: from ?? to, r: 4, fill: color(it) });
  }
  return svg;
}

function timeline(items) {
  const timed = items.filter((it) => it.took != null || it.was != null);
  return bars(timed.map((it) => ({ label: `${it.left == null ? "" : "#" + it.left + " "}${label(it)}`, took: it.took, was: it.was, color: it.took > it.was ? "var(--up)" : "var(--good)" })));
}

const views = { list, sequence, timeline }, drawn = [["view", "list", "List"], ["view", "sequence", "Sequence"], ["view", "timeline", "Timeline"]];
const buttons = [["only", "all", "All"], ["only", "differing", "Differing"], ...(data.items.some((it) => it.took != null || it.was != null) ? drawn : [])];
begin(buttons, { only: data.items.some((it) => it.kind !== "same") ? "differing" : "all", view: "list" }, ({ only, view }) => {
  const left = found(data.items.filter((it) => only === "all" || it.kind !== "same"));
  return { nodes: [views[view](left)], shown: left.length, all: data.items.length };
});
