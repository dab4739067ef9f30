document.getElementById("name").textContent = visible(data.name);
const facts = [`${data.client} → ${data.server}`, data.upstream, data.protocol && `protocol ${data.protocol}`, new Date(data.started).toISOString(), `${data.messages.length} messages`, data.left && `${data.left} more are on the tape`, "redacted: " + data.redaction.join(", ")];
fact(facts.filter(Boolean).join(" · "));
for (const trouble of data.troubles) fact(trouble, true);
for (const m of data.messages) index(m, [subject(m), m.kind, m.noted || "", m.text].join(" "));

function list(messages) {
  const table = headed("#", "at", "", "kind", "method", "took", "message");
  table.className = "messages";
  return listed(table, messages, (m) => {
    const row = make("tr", null, { class: "row" + (m.bad ? " bad" : ""), tabindex: 0 });
    for (const cell of [m.n, time(m.at)]) row.append(make("td", cell));
    row.append(make("td", m.up ? "→" : "←", { class: m.up ? "up" : "down" }));
    for (const cell of [m.kind + (m.did ? ` (${m.did})` : ""), subject(m), time(m.took), m.text.slice(0, 160)]) row.append(make("td", cell));
    if (m.noted) row.lastChild.prepend(make("mark", m.noted), " ");
    const toggle = () => {
      if (row.nextSibling && row.nextSibling.classList.contains("body")) return row.nextSibling.remove();
      let text = m.text;
      try { text = JSON.stringify(JSON.parse(text), null, 2); } catch {}
      const body = make("tr", null, { class: "body" }), cell = make("td", null, { colspan: 7 });
      cell.append(make("pre", text)); body.append(cell); row.after(body);
    };
    row.onclick = toggle;
    row.onkeydown = (event) => { if (event.key === "Enter") toggle(); };
    return row;
  });
}

function sequence(messages) {
  messages = messages.slice(0, MOST_DRAWN);
  const height = 40 + messages.length * 22, svg = draw(900, height), left = 150, right = 750;
  for (const [x, text] of [[left, data.client], [right, data.server]]) {
    svg.put("text", { x, y: 16, "text-anchor": "middle" }, text);
    svg.put("line", { x1: x, x2: x, y1: 24, y2: height, stroke: "var(--line)" });
  }
  messages.forEach((m, at) => {
    const y = 46 + at * 22, [from, to] = m.up ? [left, right] : [right, left], color = m.bad ? "var(--bad)" : m.up ? "var(--up)" : "var(--down)";
    svg.put("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, `#${m.n} ${time(m.at)}`);
    svg.put("line", { x1: from, x2: to, y1: y, y2: y, stroke: color, "stroke-dasharray": m.re == null ? "" : "5 3" });
    svg.put("path", { d: m.up ? `M${to - 7} ${y - 4}L${to} ${y}L${to - 7} ${y + 4}` : `M${to + 7} ${y - 4}L${to} ${y}L${to + 7} ${y + 4}`, fill: "none", stroke: color });
    svg.put("text", { x: 450, y: y - 4, "text-anchor": "middle" }, (m.re == null ? subject(m) : m.kind + " " + subject(m)).slice(0, 70));
    if (m.took != null) svg.put("text", { x: right + 8, y: y + 4 }, time(m.took));
  });
  return svg;
}

function timeline(messages) {
  const replies = messages.filter((m) => m.took != null).slice(0, MOST_DRAWN), end = Math.max(1, ...replies.map((m) => m.at));
  const svg = draw(900, 30 + replies.length * 18), scale = (us) => 260 + us / end * 560;
  replies.forEach((m, at) => {
    const y = 20 + at * 18, x = scale(Math.max(0, m.at - m.took));
    svg.put("text", { x: 0, y: y + 9 }, `#${m.re} ${subject(m)}`.slice(0, 36));
    svg.put("rect", { x, y, width: Math.max(1.5, scale(m.at) - x), height: 11, fill: m.bad ? "var(--bad)" : "var(--up)" });
    svg.put("text", { x: scale(m.at) + 5, y: y + 9 }, time(m.took));
  });
  return svg;
}

const views = { list, sequence, timeline };
begin([["view", "list", "Messages"], ["view", "sequence", "Sequence"], ["view", "timeline", "Timeline"]], { view: "list" }, ({ view }) => {
  const messages = found(data.messages);
  return { nodes: [views[view](messages)], shown: messages.length, all: data.messages.length };
});
