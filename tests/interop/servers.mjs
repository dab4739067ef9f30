// Published servers, directly and through tapline, byte by byte; then replayed: nothing has changed, so nothing may fail. See README.md.
import { spawn } from "node:child_process";
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compare } from "./bytes.mjs";
import { DIR, RANDOM, SERVERS, TAPLINE, WORK, environment, install, options, reset } from "./published.mjs";
import { Http, LEGACY, MODERN, Pipe } from "./wires.mjs";

const DAY = 86_400_000;
/** Longest time for one replay, in ms. */
const PATIENCE = 180_000;
/** How often a server is asked directly, at most, before a difference counts: what it varies by itself may be the same twice by chance. */
const DIRECT = { least: 2, most: 4 };

/** A value that a schema takes, sensible enough for a tool to do something. */
function sample(schema, name = "") {
  if (schema?.default !== undefined) return schema.default;
  if (schema?.enum) return schema.enum[0];
  if (schema?.const !== undefined) return schema.const;
  const choice = schema?.anyOf ?? schema?.oneOf;
  if (choice) return sample(choice[0], name);
  const type = Array.isArray(schema?.type) ? schema.type[0] : schema?.type;
  switch (type) {
    case "object": return Object.fromEntries((schema.required ?? []).map((key) => [key, sample(schema.properties?.[key], key)]));
    case "array": return Array.from({ length: schema.minItems ?? 1 }, () => sample(schema.items, name));
    case "number": case "integer": return Math.max(schema.minimum ?? 1, 1);
    case "boolean": return true;
    case "null": return null;
    default: return /path|file|dir/i.test(name) ? join(WORK, "file.txt") : /zone/i.test(name) ? "UTC" : /url|uri/i.test(name) ? "http://127.0.0.1:9/" : "text";
  }
}

/** All that is asked of a server, the same on every way to it. */
async function script(wire, server) {
  const has = (await wire.begin()).result?.capabilities ?? {};
  await wire.listen();
  const tools = (await wire.ask("tools/list", {})).result?.tools ?? [];
  if (has.resources) {
    const { resources = [] } = (await wire.ask("resources/list", {})).result ?? {};
    await wire.ask("resources/templates/list", {});
    for (const { uri } of resources.slice(0, 3)) await wire.ask("resources/read", { uri });
  }
  if (has.prompts) {
    const { prompts = [] } = (await wire.ask("prompts/list", {})).result ?? {};
    for (const prompt of prompts.slice(0, 2)) await wire.ask("prompts/get", { name: prompt.name, arguments: Object.fromEntries((prompt.arguments ?? []).map(({ name }) => [name, "text"])) });
  }
  if (!server.deaf) {
    // JSON writes this id in more than one way, and not every server writes it as it was.
    await wire.ask("tools/list", {}, "é+<1>/'");
    await wire.ask("no/such", {});
    await wire.ask("tools/call", { name: "no such tool", arguments: {} });
  }
  for (const tool of tools.filter(({ name }) => server.tools !== false && !server.skip?.includes(name)).slice(0, 40)) {
    await wire.ask("tools/call", { name: tool.name, arguments: sample({ type: "object", ...tool.inputSchema }) });
  }
  for (const [tool, args] of server.calls ?? []) {
    await wire.ask("tools/call", { name: tool, arguments: typeof args === "function" ? args(wire.replies) : args });
  }
  // Whatever came before has been said now.
  await wire.ask("tools/list", {});
  return await wire.end();
}

const WAYS = {
  direct: (era, words, server) => new Pipe(era, words, server),
  stdio: (era, words, server, tapes) => new Pipe(era, [TAPLINE, "stdio", "--tapes", tapes, "--no-control", "--", ...words], server),
  run: (era, words, server) => Http.start(era, words, server),
};

/** One conversation: its lines, and how it ended. */
async function converse(way, era, server, tapes) {
  reset();
  const wire = await WAYS[way](era, [...server.command, ...(server.args ?? [])], server, tapes);
  const status = await script(wire, server);
  return { lines: wire.lines, status, probed: wire.probed };
}

/** A tape as it would be if all had been a day earlier. */
function dayEarlier(tape) {
  const now = Date.now();
  const days = [0, 1].map((back) => new Date(now - back * DAY));
  const written = (date) => [
    date.toISOString().slice(0, 10),
    ...["short", "long"].map((form) => date.toLocaleDateString("en-US", { month: form, day: "2-digit", timeZone: "UTC" })),
  ];
  const weekday = (date, form) => date.toLocaleDateString("en-US", { weekday: form, timeZone: "UTC" });
  let text = readFileSync(tape, "utf8");
  const [today, before] = days.map((date) => [...written(date), weekday(date, "long"), weekday(date, "short")]);
  today.forEach((from, index) => (text = text.replaceAll(new RegExp(`\\b${from}\\b`, "g"), before[index])));
  text = text.replace(/\b\d{10}(\d{3}(\d{3}(\d{3})?)?)?\b/g, (digits) => {
    const unit = 10 ** (digits.length - 13);
    const at = Number(digits) / unit;
    return Math.abs(at - now) < DAY ? String(BigInt(digits) - BigInt(Math.round(DAY * unit))) : digits;
  });
  const moved = tape.replace(".tape.jsonl", "-earlier.tape.jsonl");
  writeFileSync(moved, text);
  return moved;
}

async function replay(name, server, tape) {
  reset();
  const ignore = (RANDOM[name] ?? []).flatMap((path) => ["--ignore", path]);
  const args = ["replay", tape, "--speed", "max", "--report", "json", ...ignore, "--", ...server.command, ...(server.args ?? [])];
  const child = spawn(TAPLINE, args, { cwd: WORK, env: environment(server), stdio: ["ignore", "pipe", "ignore"], timeout: PATIENCE });
  let out = "";
  child.stdout.on("data", (data) => (out += data));
  await new Promise((done) => child.on("close", done));
  return JSON.parse(out);
}

const shown = (text) => (text.length > 400 ? `${text.slice(0, 400)}... (${text.length} characters)` : text).replaceAll("\n", "\\n");

/** What a way can carry: HTTP has messages, without the ends of their lines; and what comes by chance without tapline, too, is left out. */
function carried(way, lines, { race = [] }) {
  const kept = lines.filter(({ kind }) => !race.includes(kind));
  if (way === "stdio") return kept;
  return kept.filter(({ kind }) => kind !== "no JSON").map(({ kind, raw }) => ({ kind, raw: raw.replace(/\r?\n$/, "") }));
}

/** Whether a client that speaks both eras goes on with `initialize`: not where it is told to log in, nor after a word of the new era. */
const isRefusal = ({ status, reply }) => status >= 400 && status < 500 && ![401, 403].includes(status) && !/"code":\s*-3202[0-2]/.test(reply);

/** What was heard through tapline against what was heard directly, twice and, where they differ, more often. */
async function compared(name, era, server, tapes) {
  const directs = [await converse("direct", era, server)];
  const through = { stdio: await converse("stdio", era, server, tapes), run: await converse("run", era, server) };
  let failures = 0;
  for (const [way, { lines, status, probed }] of Object.entries(through)) {
    const against = () => {
      const { found, excused } = compare(directs.map(({ lines }) => carried(way, lines, server)), carried(way, lines, server), { ordered: way === "stdio", live: server.live });
      // One that stays is made to go.
      const statuses = directs.map(({ status }) => status);
      if (way === "stdio" && !statuses.includes(status) && !statuses.includes("none")) found.push({ what: "exit status", direct: statuses.join(), through: String(status) });
      if (probed && probed.status !== 200 && (server.modern || !isRefusal(probed))) found.push({ what: "server/discover", direct: server.modern ? "200" : "200 or a refusal that lets clients fall back", through: `${probed.status} ${probed.reply}` });
      return { found, excused };
    };
    while (directs.length < DIRECT.least || (against().found.length > 0 && directs.length < DIRECT.most)) directs.push(await converse("direct", era, server));
    const { found, excused } = against();
    const left = directs[0].lines.length - carried(way, directs[0].lines, server).length;
    const aside = [`${excused} excused by ${directs.length} direct runs`, ...(left > 0 ? [`${left} lines left out`] : [])];
    console.log(`${name.padEnd(12)} ${era} ${way.padEnd(12)} ${lines.length} lines, ${found.length === 0 ? "the same" : `${found.length} DIFFERENT`} (${aside.join(", ")})`);
    for (const { what, direct, through } of found.slice(0, 8)) console.log(`    ${what}\n      - ${shown(direct)}\n      + ${shown(through)}`);
    failures += found.length + (directs[0].lines.length < 4);
  }
  return failures;
}

/** The tape, at once and as one of the day before. */
async function replayed(name, era, server, tapes) {
  const [file] = readdirSync(tapes).filter((file) => file.endsWith(".tape.jsonl"));
  const tape = join(tapes, file);
  let failures = 0;
  for (const [when, played] of [["at once", tape], ["a day later", dayEarlier(tape)]]) {
    const { summary, steps } = await replay(name, server, played);
    console.log(`${name.padEnd(12)} ${era} ${when.padEnd(12)} ${summary.passed} passed, ${summary.failed} failed, ${summary.skipped} skipped, ${summary.excused} excused`);
    failures += summary.failed + (summary.passed < 4);
    for (const step of steps.filter((step) => step.verdict === "fail")) {
      console.log(`    ${step.step} ${step.method} ${step.name ?? ""}: ${step.why}`);
      for (const { path, expected, got } of step.differences.slice(0, 6)) console.log(`      ${path}\n        - ${shown(expected ?? "nothing")}\n        + ${shown(got ?? "nothing")}`);
    }
  }
  return failures;
}

install();
let failures = 0;
const chosen = options.only.split(",");
for (const [name, server] of Object.entries(SERVERS).filter(([name]) => options.only === "" || chosen.includes(name))) {
  for (const era of [LEGACY, ...(server.modern ? [MODERN] : [])].filter((era) => options.era === "" || options.era === era)) {
    const tapes = join(DIR, "tapes", `${name}-${era}`);
    rmSync(tapes, { recursive: true, force: true });
    for (const part of [compared, replayed]) {
      try {
        failures += await part(name, era, server, tapes);
      } catch (error) {
        failures += 1;
        console.log(`${name.padEnd(12)} ${era} ${error.stack}`);
      }
    }
  }
}
console.log(failures === 0 ? "no difference, no false alarm" : `${failures} differences or false alarms`);
process.exit(failures === 0 ? 0 : 1);
