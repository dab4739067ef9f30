// Published servers, recorded through `tapline stdio` and replayed: nothing has changed, so nothing may fail. See README.md.
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const { values: options } = parseArgs({
  allowPositionals: true,
  options: {
    dir: { type: "string", default: join(ROOT, "target/interop/servers") },
    tapline: { type: "string", default: join(ROOT, "target/debug/tapline") },
    only: { type: "string", default: "" },
  },
});
const DIR = resolve(options.dir);
const TAPLINE = resolve(options.tapline);
const WORK = join(DIR, "work");
/** Servers keep things in their user's home: they get one that is new every time. */
const HOME = join(DIR, "home");
const DAY = 86_400_000;
/** Longest time for one reply and for one replay, in ms. */
const PATIENCE = { reply: 30_000, replay: 180_000 };

const npm = (path) => [process.execPath, join(DIR, "npm/node_modules", path)];
const py = (name, ...args) => [join(DIR, `py-${name}/bin`, args[0] ?? name), ...args.slice(1)];
/** What is installed where, versions pinned; each Python server by itself, as they need different SDKs. */
const NPM = [
  "@modelcontextprotocol/server-everything@2026.8.31", "@modelcontextprotocol/server-memory@2026.8.31",
  "@modelcontextprotocol/server-filesystem@2026.8.31", "@modelcontextprotocol/server-sequential-thinking@2026.8.31",
  "@modelcontextprotocol/server-system-monitor@2.0.3", "@coo-quack/calc-mcp@2.1.1", "mcp-hello-world@1.1.2",
  "mcp-server-code-runner@0.1.8", "time-mcp@1.0.6", "@leanspec/mcp-linux-x64@0.3.0",
  "mcp-cron-linux-amd64@0.9.1", "@wonderwhy-er/desktop-commander@0.2.52",
];
const PYPI = {
  time: "mcp-server-time==2026.10.19", fetch: "mcp-server-fetch==2026.10.24", git: "mcp-server-git==2026.10.19",
  sample: "fastmcp-sample-server==0.4.1", sqlite: "mcp-server-sqlite==2025.4.25 mcp==1.30.0", calculator: "mcp-server-calculator==0.2.1",
  index: "code-index-mcp==2.17.1", devmcp: "devmcp-server==0.3.0", cli: "cli-mcp-server==0.2.5 mcp==1.30.0", biomcp: "biomcp-cli==0.9.3",
};
/** The command of each server, and calls beside one of every tool: arguments, or what makes them of the replies so far. */
const last = (pattern) => (replies) => (replies.join("\n").match(pattern) ?? [])[1];
const SERVERS = {
  everything: { command: npm("@modelcontextprotocol/server-everything/dist/index.js"), skip: ["toggle-simulated-logging", "gzip-file-as-resource"] },
  memory: { command: npm("@modelcontextprotocol/server-memory/dist/index.js"), env: { MEMORY_FILE_PATH: join(WORK, "memory.jsonl") },
    calls: [["create_entities", { entities: [{ name: "a", entityType: "b", observations: ["c"] }] }], ["read_graph", {}]] },
  filesystem: { command: [...npm("@modelcontextprotocol/server-filesystem/dist/index.js"), WORK],
    calls: [["get_file_info", { path: join(WORK, "file.txt") }], ["list_directory_with_sizes", { path: WORK }], ["directory_tree", { path: WORK }]] },
  thinking: { command: npm("@modelcontextprotocol/server-sequential-thinking/dist/index.js") },
  monitor: { command: npm("@modelcontextprotocol/server-system-monitor/dist/index.js"), args: ["--stdio"] },
  calc: { command: npm("@coo-quack/calc-mcp/dist/index.js") },
  hello: { command: npm("mcp-hello-world/build/stdio.js") },
  runner: { command: npm("mcp-server-code-runner/dist/cli.js"), calls: [["run-code", { code: "console.log(\"pid\", process.pid, Date.now())", languageId: "javascript" }]] },
  timenpm: { command: npm("time-mcp/dist/index.js") },
  leanspec: { command: [join(DIR, "npm/node_modules/@leanspec/mcp-linux-x64/leanspec-mcp")] },
  cron: { command: [join(DIR, "npm/node_modules/mcp-cron-linux-amd64/bin/mcp-cron")], args: ["--transport", "stdio"] },
  commander: { command: npm("@wonderwhy-er/desktop-commander/dist/index.js"), args: ["--no-onboarding"],
    // What it tells of other processes and of its own past depends on both.
    skip: ["give_feedback_to_desktop_commander", "get_prompts", "kill_process", "track_ui_event", "list_processes", "get_usage_stats", "get_recent_tool_calls"],
    calls: [
      ["start_process", { command: "sh -c 'echo started; sleep 4; echo over'", timeout_ms: 2000 }],
      ["read_process_output", (replies) => ({ pid: Number(last(/PID (\d+)/)(replies)), timeout_ms: 6000 })],
      ["start_search", { path: WORK, pattern: "file", searchType: "files" }],
      ["get_more_search_results", (replies) => ({ sessionId: last(/(search_\d+_\d+)/)(replies) })],
    ] },
  time: { command: py("time", "mcp-server-time"), calls: [
    ["get_current_time", { timezone: "Asia/Tokyo" }], ["convert_time", { source_timezone: "UTC", time: "16:30", target_timezone: "Europe/Rome" }]] },
  fetch: { command: py("fetch", "mcp-server-fetch") },
  git: { command: py("git", "mcp-server-git"), calls: [
    ["git_status", { repo_path: WORK }], ["git_add", { repo_path: WORK, files: ["file.txt"] }], ["git_commit", { repo_path: WORK, message: "one" }],
    ["git_log", { repo_path: WORK }], ["git_show", (replies) => ({ repo_path: WORK, revision: last(/hash ([0-9a-f]{40})/)(replies) })]] },
  sample: { command: py("sample", "sample-mcp-server"), args: ["--transport", "stdio"] },
  sqlite: { command: py("sqlite", "mcp-server-sqlite"), args: ["--db-path", join(WORK, "x.db")], calls: [
    ["create_table", { query: "CREATE TABLE t (a INTEGER, at TEXT)" }], ["write_query", { query: "INSERT INTO t VALUES (1, datetime('now'))" }],
    ["read_query", { query: "SELECT * FROM t" }]] },
  calculator: { command: py("calculator", "mcp-server-calculator"), calls: [["calculate", { expression: "2 + 3" }]] },
  index: { command: py("index", "code-index-mcp"), calls: [["set_project_path", { path: WORK }], ["find_files", { pattern: "*.txt" }], ["get_settings_info", {}]] },
  devmcp: { command: py("devmcp", "devmcp"), args: ["--repo-path", WORK] },
  cli: { command: py("cli", "cli-mcp-server"), env: { ALLOWED_DIR: WORK, ALLOWED_COMMANDS: "ls,date,cat", ALLOWED_FLAGS: "all" }, calls: [
    ["run_command", { command: "ls -la" }], ["run_command", { command: "date" }]] },
  biomcp: { command: py("biomcp", "biomcp"), args: ["mcp"], calls: [["biomcp", { command: "biomcp version" }]] },
};
/** What is really random, each with the path that settles it, as the report says. */
const RANDOM = {
  // `random_number` says it in a sentence.
  sample: [".result.content[*].text", ".result.structuredContent.result", ".result.structuredContent.password"],
  // A set of commands, written in the order of its hashes.
  cli: [".result.tools[*].description"],
};

function install() {
  mkdirSync(DIR, { recursive: true });
  const run = (...words) => {
    const done = spawnSync(words[0], words.slice(1), { cwd: DIR, encoding: "utf8", timeout: 600_000 });
    if (done.status !== 0) throw new Error(`${words.join(" ")}\n${done.stdout}${done.stderr}`);
  };
  if (!existsSync(join(DIR, "npm/installed"))) {
    mkdirSync(join(DIR, "npm"), { recursive: true });
    run("npm", "install", "--prefix", join(DIR, "npm"), "--ignore-scripts", "--no-audit", "--no-fund", ...NPM);
    // What a package's own script would do.
    for (const binary of ["@leanspec/mcp-linux-x64/leanspec-mcp", "mcp-cron-linux-amd64/bin/mcp-cron"]) {
      if (existsSync(join(DIR, "npm/node_modules", binary))) chmodSync(join(DIR, "npm/node_modules", binary), 0o755);
    }
    writeFileSync(join(DIR, "npm/installed"), "");
  }
  for (const [name, what] of Object.entries(PYPI).filter(([name]) => !existsSync(join(DIR, `py-${name}/installed`)))) {
    run("python3", "-m", "venv", join(DIR, `py-${name}`));
    run(join(DIR, `py-${name}/bin/pip`), "install", "--quiet", "--disable-pip-version-check", ...what.split(" "));
    writeFileSync(join(DIR, `py-${name}/installed`), "");
  }
}

/** The same files before every run; only their times are new. */
function reset() {
  for (const dir of [WORK, HOME]) rmSync(dir, { recursive: true, force: true });
  mkdirSync(HOME, { recursive: true });
  mkdirSync(join(WORK, "sub"), { recursive: true });
  writeFileSync(join(WORK, "file.txt"), "one\ntwo\n");
  writeFileSync(join(WORK, "sub/b.json"), '{"a": 1}\n');
  spawnSync("sh", ["-c", "git init -q . && git config user.name a && git config user.email a@example.com"], { cwd: WORK });
}

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

/** Speaks to a server through `tapline stdio`, which records it; returns the tape. */
async function record(name, server) {
  reset();
  const tapes = join(DIR, "tapes", name);
  rmSync(tapes, { recursive: true, force: true });
  const child = spawn(TAPLINE, ["stdio", "--tapes", tapes, "--no-control", "--", ...server.command, ...(server.args ?? [])], {
    cwd: WORK, env: { ...process.env, HOME, TMPDIR: HOME, ...server.env }, stdio: ["pipe", "pipe", "ignore"],
  });
  const over = new Promise((done) => child.on("close", done));
  child.stdin.on("error", () => {});
  const waiting = new Map();
  over.then(() => waiting.forEach((heard) => heard({}, "")));
  createInterface({ input: child.stdout }).on("line", (line) => {
    let message;
    try { message = JSON.parse(line); } catch { return; }
    if (message.method && message.id !== undefined) {
      const answer = message.method === "roots/list" ? { result: { roots: [] } } : message.method === "ping" ? { result: {} } : { error: { code: -32601, message: "no" } };
      child.stdin.write(JSON.stringify({ jsonrpc: "2.0", id: message.id, ...answer }) + "\n");
    } else if (message.id !== undefined) waiting.get(message.id)?.(message, line);
  });
  const replies = [];
  let next = 1;
  const ask = (method, params) => new Promise((done) => {
    if (child.exitCode !== null) return done({});
    const id = next++;
    const timer = setTimeout(() => done({}), PATIENCE.reply);
    waiting.set(id, (message, line) => (clearTimeout(timer), replies.push(line), done(message)));
    child.stdin.write(JSON.stringify({ jsonrpc: "2.0", id, method, params }) + "\n");
  });
  const begun = await ask("initialize", { protocolVersion: "2025-11-25", capabilities: { roots: {} }, clientInfo: { name: "servers", version: "1" } });
  child.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n');
  const has = begun.result?.capabilities ?? {};
  const tools = (await ask("tools/list", {})).result?.tools ?? [];
  if (has.resources) await ask("resources/list", {});
  if (has.prompts) await ask("prompts/list", {});
  for (const tool of tools.filter((tool) => !server.skip?.includes(tool.name)).slice(0, 40)) {
    await ask("tools/call", { name: tool.name, arguments: sample({ type: "object", ...tool.inputSchema }) });
  }
  for (const [tool, args] of server.calls ?? []) {
    await ask("tools/call", { name: tool, arguments: typeof args === "function" ? args(replies) : args });
  }
  child.stdin.end();
  setTimeout(() => child.kill("SIGTERM"), 5_000).unref();
  await over;
  const [tape] = readdirSync(tapes).filter((file) => file.endsWith(".tape.jsonl"));
  return join(tapes, tape);
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
  const child = spawn(TAPLINE, args, { cwd: WORK, env: { ...process.env, HOME, TMPDIR: HOME, ...server.env }, stdio: ["ignore", "pipe", "ignore"], timeout: PATIENCE.replay });
  let out = "";
  child.stdout.on("data", (data) => (out += data));
  await new Promise((done) => child.on("close", done));
  return JSON.parse(out);
}

install();
let failures = 0;
for (const [name, server] of Object.entries(SERVERS).filter(([name]) => options.only === "" || options.only.split(",").includes(name))) {
  try {
    const tape = await record(name, server);
    for (const [when, played] of [["at once", tape], ["a day later", dayEarlier(tape)]]) {
      const { summary, steps } = await replay(name, server, played);
      console.log(`${name.padEnd(12)} ${when.padEnd(12)} ${summary.passed} passed, ${summary.failed} failed, ${summary.skipped} skipped, ${summary.excused} excused`);
      failures += summary.failed + (summary.passed < 4);
      for (const step of steps.filter((step) => step.verdict === "fail")) {
        console.log(`    ${step.step} ${step.method} ${step.name ?? ""}: ${step.why}`);
        for (const { path, expected, got } of step.differences.slice(0, 6)) console.log(`      ${path}\n        - ${expected?.slice(0, 400)}\n        + ${got?.slice(0, 400)}`);
      }
    }
  } catch (error) {
    failures += 1;
    console.log(`${name.padEnd(12)} ${error.stack}`);
  }
}
console.log(failures === 0 ? "no false alarm" : `${failures} false alarms`);
process.exit(failures === 0 ? 0 : 1);
