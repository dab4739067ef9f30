const tapes = data.tapes || [data];
const { passed, failed, skipped, took } = data.summary;
document.title = document.getElementById("name").textContent = `${passed} passed, ${failed} failed, ${skipped} skipped in ${time(took)}`;
for (const tape of tapes) {
  const of = tape.tape ? tape.tape + ": " : "";
  if (tape.error) fact(`${of}not played: ${tape.error}`, true);
  for (const warning of tape.warnings || []) fact(of + warning, true);
  for (const step of tape.steps) index(step, subject(step) + " " + JSON.stringify(step));
}
const CLASSES = { pass: "pass", fail: "fail bad", skip: "skip dim" };

function steps(all) {
  const table = headed("step", "on tape", "verdict", "method", "took", "was", "");
  return listed(table, all, (step) => {
    const row = make("tr", null, { class: CLASSES[step.verdict] });
    for (const cell of [step.step, step.seq, step.verdict, subject(step), time(step.took), time(step.recorded)]) row.append(make("td", cell));
    const hint = (step.ignore || []).map((path) => `--ignore '${path}'`).join(" ");
    const last = make("td", step.why || ""), more = details(step, ...(hint ? ["if this changes from run to run: " + hint] : []));
    if (more) last.append(more);
    row.append(last);
    return row;
  });
}

function times(all) {
  const timed = all.filter((step) => step.took != null);
  return bars(timed.map((step) => ({ label: `${step.step} ${subject(step)}`, took: step.took, was: step.recorded, color: step.verdict === "fail" ? "var(--bad)" : "var(--good)" })));
}

const views = { steps, times };
begin([["only", "all", "All"], ["only", "fail", "Failed"], ["view", "steps", "Steps"], ["view", "times", "Times"]], { only: failed ? "fail" : "all", view: "steps" }, ({ only, view }) => {
  const left = tapes.map((tape) => [tape, found(tape.steps.filter((step) => only === "all" || step.verdict === only))]);
  const number = (of) => of.reduce((sum, steps) => sum + steps.length, 0);
  const nodes = left.flatMap(([tape, steps]) => [...(tape.tape ? [make("h2", tape.tape)] : []), views[view](steps)]);
  return { nodes, shown: number(left.map(([, steps]) => steps)), all: number(tapes.map((it) => it.steps)) };
});
