// Real clients and servers of the SDKs, directly against each other and through tapline: neither may notice. See README.md.
import { spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { availableParallelism } from "node:os";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = resolve(HERE, "../..");
const NPM = ["sdk@^1.32", "client@^2.4", "server@^2.4", "node@^2.1", "server-everything", "conformance@^0.1.16"].map((name) => `@modelcontextprotocol/${name}`);
/** The next conformance suite, which knows revision 2026-07-28, too. */
const NEXT = "conformance-next@npm:@modelcontextprotocol/conformance@0.2.0-alpha.12";
const PYPI = ["mcp>=2.3,<3"];
/** Longest time for one run of a client, for a server to come up, and for the whole conformance suite, in ms. */
const PATIENCE = { run: 60_000, start: 20_000, suite: 240_000 };

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dir: { type: "string", default: join(ROOT, "target/interop") },
    tapline: { type: "string", default: join(ROOT, "target/debug/tapline") },
    // Most of a conversation is waiting.
    jobs: { type: "string", default: String(4 * availableParallelism()) },
    only: { type: "string", default: "" },
    help: { type: "boolean", default: false },
  },
});
const DIR = resolve(options.dir);
const TAPLINE = resolve(options.tapline);
const NODE = process.execPath;
const PYTHON = join(DIR, "py/bin/python");
const EVERYTHING = join(DIR, "npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js");
const there = (file) => join(DIR, "npm", file);

/** What the clients of the SDKs hand to the servers that they launch; all other processes get the same. */
const ENV = Object.fromEntries(["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"].map((name) => [name, process.env[name]]).filter(([, value]) => value));

/** The test binary, as cargo names it. */
const RMCP = testBinary();
function testBinary() {
  const built = spawnSync(process.env.CARGO ?? "cargo", ["test", "--no-run", "--test", "it", "--message-format=json"], { cwd: ROOT, encoding: "utf8", maxBuffer: 1 << 28 });
  const lines = built.stdout.split("\n").filter((line) => line.includes('"executable":"'));
  const binary = lines.map((line) => JSON.parse(line)).find(({ target }) => target.kind.includes("test") && target.name === "it");
  if (!binary) throw new Error(`the tests do not build:\n${built.stderr}`);
  return binary.executable;
}
/**
 * The Rust SDK lives in the test binary, which plays the role that it is told (tests/it/support/child.rs). Through `cat`, as it opens its
 * descriptor 3 anew: Node launches processes with sockets, which cannot be.
 */
const ROLE =
  'export TAPLINE_TEST_ROLE="$1"; shift; export TAPLINE_TEST_WORDS="$(printf "%s\\n" "$@")"; ' +
  '{ exec 3>&1 >/dev/null; exec "$0" --exact support::child::child_role_is_played --nocapture; } | cat';
const role = (name, ...words) => ["sh", "-c", ROLE, RMCP, name, ...words];

const CLIENTS = {
  "TypeScript v1": [NODE, there("client.mjs"), "v1"],
  "TypeScript v2, legacy": [NODE, there("client.mjs"), "v2-legacy"],
  "TypeScript v2, auto": [NODE, there("client.mjs"), "v2-auto"],
  "Python, auto": [PYTHON, there("client.py"), "auto"],
  "Python, legacy": [PYTHON, there("client.py"), "legacy"],
  "rmcp, legacy": role("rmcp-client", "legacy"),
  "rmcp, auto": role("rmcp-client", "auto"),
};
const speaks = (client, transport) => transport !== "sse" || !client.startsWith("rmcp");
/** By transport: a command for stdio, and for the others what gives a command and the URL's path. */
const SERVERS = {
  "TypeScript v1": {
    stdio: [NODE, EVERYTHING, "stdio"],
    http: (port) => ({ command: [NODE, EVERYTHING, "streamableHttp"], env: { PORT: String(port) }, path: "/mcp" }),
    sse: (port) => ({ command: [NODE, EVERYTHING, "sse"], env: { PORT: String(port) }, path: "/sse" }),
  },
  "TypeScript v2": {
    stdio: [NODE, there("server.mjs"), "stdio"],
    http: (port) => ({ command: [NODE, there("server.mjs"), "http", port], path: "/mcp" }),
  },
  Python: {
    stdio: [PYTHON, there("server.py"), "stdio"],
    http: (port) => ({ command: [PYTHON, there("server.py"), "http", port], path: "/mcp" }),
    sse: (port) => ({ command: [PYTHON, there("server.py"), "sse", port], path: "/sse" }),
  },
  rmcp: {
    stdio: role("rmcp"),
    http: (port) => ({ command: role("rmcp-http", port), path: "/mcp" }),
  },
  "tapline's demo": { stdio: [TAPLINE, "__demo-server"] },
};
/** Leaves no trace, and nobody who looks for a running tapline finds it. */
const ALONE = ["--no-record", "--no-control"];
/** By the server's transport: the ways through tapline, as the client's transport and what it is given. */
const stdio = (words) => ({ client: "stdio", target: (served) => [TAPLINE, "stdio", ...ALONE, ...words(served)] });
const run = (client, words) => ({ client, proxy: words });
const command = ({ command }) => ["--", ...command];
const upstream = ({ url }) => ["--upstream", url];
const WAYS = {
  stdio: {
    "tapline stdio -- command": stdio(command),
    "tapline run -- command, /mcp": run("http", command),
    "tapline run -- command, /sse": run("sse", command),
  },
  http: {
    "tapline run --upstream, /mcp": run("http", upstream),
    "tapline run --upstream, /sse": run("sse", upstream),
    "tapline stdio --upstream": stdio(upstream),
  },
  sse: {
    "tapline run --upstream, /sse": run("sse", upstream),
    "tapline run --upstream, /mcp": run("http", upstream),
    "tapline stdio --upstream": stdio(upstream),
  },
};
/** What varies by nature between two runs, and nothing else. */
const MASKS = [
  [/\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b/g, "<uuid>"], // sessions, elicitations
  [/\b[0-9a-f]{32}\b/g, "<id>"], // sessions and tasks
  [/\b\d{1,2}:\d\d:\d\d [AP]M\b/g, "<time>"],
  [/\b\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>"],
  [/"PORT\\":\s*\\"\d+/g, '"PORT\\": \\"<port>'], // of the server, in a tool that tells its environment
];

/** Where a line may differ, and why. */
const KNOWN = [
  {
    row: { client: "rmcp, legacy", server: "TypeScript v2", transport: "http", way: "tapline stdio --upstream" },
    line: "cancelled calls that the server knows of",
    why: "this client also hangs up as it cancels, which a pipe cannot say, and this server has no sessions to know it by otherwise",
  },
];

const children = new Set();
function start(command, { env = {}, stdio = ["ignore", "pipe", "pipe"] } = {}) {
  // A group of its own: whatever it starts ends with it.
  const child = spawn(command[0], command.slice(1).map(String), { stdio, env: { ...ENV, ...env }, cwd: DIR, detached: true });
  child.on("error", () => {});
  children.add(child);
  child.over = new Promise((done) => child.on("close", (code, signal) => (children.delete(child), done(code ?? signal))));
  return child;
}

async function stop(child, patience = 3_000) {
  const signal = (name) => {
    try {
      process.kill(-child.pid, name);
    } catch {
      // It is gone.
    }
  };
  signal("SIGTERM");
  if ((await Promise.race([child.over, sleep(patience, "late")])) === "late") signal("SIGKILL");
}

function freePort() {
  return new Promise((done) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

async function accepts(port, child) {
  for (const end = Date.now() + PATIENCE.start; Date.now() < end && children.has(child); await sleep(50)) {
    const open = await new Promise((done) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("connect", () => (socket.destroy(), done(true))).on("error", () => done(false));
    });
    if (open) return;
  }
  throw new Error(`no server on port ${port}`);
}

/** A server of its own for this run, where it is not the client's to launch. */
async function serve(server, transport, running) {
  if (transport === "stdio") return { command: server.stdio };
  const port = await freePort();
  const { command, env, path } = server[transport](port);
  const child = start(command, { env, stdio: ["ignore", "ignore", "ignore"] });
  running.push(child);
  await accepts(port, child);
  return { url: `http://127.0.0.1:${port}${path}` };
}

/** tapline before it; gives the address for the client. */
async function proxied(words, path, log, running, verb = ["run", ...ALONE]) {
  const child = start([TAPLINE, ...verb, "--headless", "--listen", "127.0.0.1:0", ...words]);
  running.push(child);
  const address = new Promise((done, fail) => {
    createInterface({ input: child.stderr }).on("line", (line) => {
      log.push(`tapline: ${line}`);
      const url = line.match(/http:\/\/127\.0\.0\.1:\d+/);
      if (url) done(url[0] + path);
    });
    child.over.then((code) => fail(new Error(`tapline ended: ${code}`)));
    sleep(PATIENCE.start, undefined, { ref: false }).then(() => fail(new Error("tapline gave no address")));
  });
  return await address;
}

/** One conversation; gives its transcript. */
async function converse({ client, server, transport, way }) {
  const running = [];
  const log = [];
  const lines = [];
  try {
    const served = await serve(SERVERS[server], transport, running);
    let kind = transport;
    let target = served.command ?? [served.url];
    if (way) {
      const through = typeof way === "string" ? WAYS[transport][way] : way;
      kind = through.client;
      const path = kind === "sse" ? "/sse" : "/mcp";
      target = through.target?.(served) ?? [await proxied(through.proxy(served), path, log, running, through.verb)];
    }
    const child = start([...CLIENTS[client], kind, ...target]);
    running.push(child);
    createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
    createInterface({ input: child.stderr }).on("line", (line) => log.push(`client: ${line}`));
    const code = await Promise.race([child.over, sleep(PATIENCE.run, "timeout", { ref: false })]);
    lines.push(JSON.stringify({ what: "exit", code }));
  } catch (error) {
    lines.push(JSON.stringify({ what: "not started", error: error.message }));
  }
  // The client first, then what it spoke to.
  for (const child of running.reverse()) await stop(child);
  return { lines: lines.map(masked), log };
}

function masked(line) {
  // What the proxy is reached by is not what the server is reached by.
  const local = line.replace(/http:\/\/127\.0\.0\.1:\d+/g, "<address>");
  return MASKS.reduce((line, [pattern, name]) => line.replace(pattern, name), local);
}

function difference(direct, through, known) {
  const fits = (line) => !known || JSON.parse(line).what !== known.line;
  [direct, through] = [direct.filter(fits), through.filter(fits)];
  const lost = direct.filter((line) => !through.includes(line)).map((line) => `  direct:  ${line}`);
  const new_ = through.filter((line) => !direct.includes(line)).map((line) => `  tapline: ${line}`);
  if (lost.length + new_.length > 0) return [...lost, ...new_];
  return direct.join("\n") === through.join("\n") ? [] : ["  the same lines in another order"];
}

/** All conversations, several at once; then what they came to. */
async function matrix() {
  const groups = Object.entries(SERVERS).flatMap(([server, transports]) =>
    Object.keys(transports).flatMap((transport) => Object.keys(CLIENTS).map((client) => ({ client, server, transport }))),
  );
  const named = ({ client, server, transport }) => `${client} / ${server} / ${transport}`.toLowerCase().includes(options.only.toLowerCase());
  const chosen = groups.filter((group) => speaks(group.client, group.transport) && named(group));
  for (const group of chosen) group.ways = Object.keys(WAYS[group.transport]).filter((way) => speaks(group.client, WAYS[group.transport][way].client));
  for (const group of chosen) group.said = new Map();
  const runs = chosen.flatMap((group) => [undefined, ...group.ways].map((way) => ({ group, way })));
  const began = Date.now();
  let over = 0;
  // Whoever cannot wait gets what there is.
  for (const signal of ["SIGINT", "SIGTERM"]) process.prependOnceListener(signal, () => (process.stderr.write("\n"), report(rows(chosen))));
  const queue = [...runs];
  const work = async () => {
    for (let run; (run = queue.shift()); ) {
      const said = await converse({ ...run.group, way: run.way });
      run.group.said.set(run.way, said);
      process.stderr.write(`\r${++over} of ${runs.length} conversations, ${Math.round((Date.now() - began) / 1000)} s `);
    }
  };
  await Promise.all(Array.from({ length: Number(options.jobs) }, work));
  process.stderr.write("\n");
  return report(rows(chosen));
}

/** What a server says of its own accord comes when it came, as what a client does meanwhile is part of the transcript. */
const RECORDED = ["--speed", "1"];

/** All conversations recorded; then each client again, in front of what was recorded in place of the server. */
async function mocks() {
  const groups = Object.entries(SERVERS).flatMap(([server, transports]) =>
    Object.keys(transports).flatMap((transport) => Object.keys(CLIENTS).map((client) => ({ client, server, transport }))),
  );
  const named = ({ client, server, transport }) => `${client} / ${server} / ${transport}`.toLowerCase().includes(options.only.toLowerCase());
  const queue = groups.filter((group) => speaks(group.client, group.transport) && named(group));
  const found = [];
  const work = async () => {
    for (let group; (group = queue.shift()); ) found.push(...(await mocked(group)));
  };
  await Promise.all(Array.from({ length: Number(options.jobs) }, work));
  return report(found);
}

async function mocked(group) {
  const { client, server, transport } = group;
  const dir = join(DIR, "mocked", `${client} - ${server} - ${transport}`.replace(/[^\w.-]+/g, "_"));
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const recording = ["--no-control", "--tapes", dir];
  const recorder = transport === "stdio"
    ? { client: "stdio", target: (served) => [TAPLINE, "stdio", ...recording, ...command(served)] }
    : { client: transport, verb: ["run", ...recording], proxy: upstream };
  const direct = await converse({ ...group, way: recorder });
  const tapes = readdirSync(dir).filter((name) => name.endsWith(".tape.jsonl")).sort().map((name) => join(dir, name));
  const ways = {
    "tapline mock --stdio": { client: "stdio", target: () => [TAPLINE, "mock", ...tapes, "--stdio", ...RECORDED, ...ALONE] },
    "tapline mock, /mcp": { client: "http", verb: ["mock", ...tapes, ...RECORDED, ...ALONE], proxy: () => [] },
    "tapline mock, /sse": { client: "sse", verb: ["mock", ...tapes, ...RECORDED, ...ALONE], proxy: () => [] },
  };
  const rows = [];
  for (const [way, through] of Object.entries(ways).filter(([, { client: kind }]) => speaks(client, kind))) {
    const again = await converse({ ...group, way: through });
    keep(group, way, direct, again);
    rows.push({ ...group, way, lines: direct.lines.length, differs: difference(direct.lines, again.lines) });
  }
  return rows;
}

/** One for each way through tapline that was gone, and directly, too. */
function rows(groups) {
  return groups.flatMap((group) => {
    const direct = group.said.get(undefined);
    return group.ways.filter((way) => direct && group.said.has(way)).map((way) => {
      const through = group.said.get(way);
      const known = KNOWN.find(({ row }) => Object.entries(row).every(([key, value]) => ({ ...group, way })[key] === value));
      const differs = difference(direct.lines, through.lines, known);
      if (!direct.lines.at(-2)?.includes('"closed"')) differs.push(`  the direct run itself failed: ${direct.lines.at(-1)}`);
      keep(group, way, direct, through);
      return { ...group, way, lines: direct.lines.length, differs, known };
    });
  });
}

function keep({ client, server, transport }, way, direct, through) {
  const name = `${client} - ${server} - ${transport} - ${way}`.replace(/[^\w.-]+/g, "_");
  const text = ({ lines, log }) => [...lines, "", ...log, ""].join("\n");
  writeFileSync(join(DIR, "transcripts", `${name}.direct`), text(direct));
  writeFileSync(join(DIR, "transcripts", `${name}.through`), text(through));
}

function report(rows) {
  const head = ["client", "server", "transport", "through", "verdict"];
  const cells = rows.map((row) => [row.client, row.server, row.transport, row.way, row.differs.length ? "DIFFERENT" : `same (${row.lines} lines${row.known ? ", but one that is known" : ""})`]);
  if (!rows.length) return (console.log("nothing was compared"), 1);
  const widths = head.map((_, nth) => Math.max(...[head, ...cells].map((row) => row[nth].length)));
  for (const row of [head, ...cells]) console.log(row.map((cell, nth) => cell.padEnd(widths[nth])).join("  ").trimEnd());
  const different = rows.filter(({ differs }) => differs.length);
  for (const { client, server, transport, way, differs } of different) {
    console.log(`\n${client} / ${server} / ${transport}, ${way}:\n${differs.join("\n")}`);
  }
  console.log(`\n${rows.length - different.length} of ${rows.length} the same. Transcripts: ${join(DIR, "transcripts")}`);
  return different.length ? 1 : 0;
}

const MADE_FOR_THE_SUITE = {
  stdio: [NODE, there("server-conformance.mjs"), "stdio"],
  http: (port) => ({ command: [NODE, there("server-conformance.mjs"), "http", port], path: "/mcp" }),
};
/** Verdicts that may differ, and why. */
const EXCEPTIONS = {
  "dns-rebinding-protection": "tapline checks Host and Origin before a server that may not",
};
const EXCEPTIONS_OF_A_COMMAND = {
  ...EXCEPTIONS,
  "server-sse-polling": "a command has no streams that it could end",
  "server-sse-multiple-streams": "a reply that nothing comes before is JSON, not a stream; both are right",
};

/** Those of single servers, which are not the same over HTTP and over pipes. */
const EXCEPTIONS_OF_COMMANDS = {
  "TypeScript v1": { "server-session-lifecycle": "its own HTTP server answers 400 for a session that has ended, tapline 404, as it should be" },
  "TypeScript v2": {
    "server-initialize": "its own HTTP server has no sessions for older revisions",
    "server-session-lifecycle": "its own HTTP server has no sessions for older revisions",
  },
};
/** Servers of older revisions: what they do with messages of 2026-07-28 on a pipe, where nobody refuses them, is no matter of HTTP. */
const OLDER = ["made for the suite", "TypeScript v1"];
const SUITES = {
  "0.1": there("node_modules/@modelcontextprotocol/conformance/dist/index.js"),
  "0.2": there("node_modules/conformance-next/dist/index.js"),
};

async function conformance() {
  let differ = 0;
  let count = 0;
  const compare = (what, direct, through, exceptions) => {
    for (const scenario of [...new Set([...direct.keys(), ...through.keys()])].sort()) {
      const [one, other] = [direct, through].map((verdicts) => verdicts.get(scenario) ?? "not run");
      const known = one !== "not run" && other !== "not run" && exceptions[scenario];
      const verdict = one === other ? `same: ${overall(one)}` : `${known ? `known (${known})` : "DIFFERENT"}\n  direct:  ${one}\n  tapline: ${other}`;
      differ += one === other || known ? 0 : 1;
      count++;
      console.log(`${what.padEnd(48)}  ${scenario.padEnd(30)}  ${verdict}`);
    }
  };
  const servers = { "made for the suite": MADE_FOR_THE_SUITE, ...SERVERS };
  const chosen = Object.entries(servers).filter(([name, { http }]) => http && name.toLowerCase().includes(options.only.toLowerCase()));
  for (const [version, main] of Object.entries(SUITES)) {
    for (const [name, server] of chosen) {
      const judged = (way, transport, proxy) => suite(main, `${version} ${name} ${way}`, server, transport, proxy);
      const direct = await judged("direct", "http");
      compare(`${version}: ${name}, run --upstream`, direct, await judged("through", "http", ({ url }) => ["--upstream", url]), EXCEPTIONS);
      const exceptions = { ...EXCEPTIONS_OF_A_COMMAND, ...EXCEPTIONS_OF_COMMANDS[name] };
      const newer = OLDER.includes(name) ? newerScenarios(main) : [];
      newer.forEach((scenario) => direct.delete(scenario));
      const bridged = await judged("bridged", "stdio", ({ command }) => ["--", ...command]);
      newer.forEach((scenario) => bridged.delete(scenario));
      compare(`${version}: ${name}, run -- command`, direct, bridged, exceptions);
    }
  }
  console.log(`\n${count - differ} of ${count} verdicts as expected.`);
  return differ || !count ? 1 : 0;
}

/** The scenarios of a suite that no older revision than 2026-07-28 has. */
function newerScenarios(main) {
  const { stdout } = spawnSync(NODE, ["--import", there("glob-shim.mjs"), main, "list"], { encoding: "utf8", cwd: there(".") });
  return [...stdout.matchAll(/^ {2}- (\S+) \[(.*)\]$/gm)].filter(([, , revisions]) => !revisions.includes("2025-")).map(([, name]) => name);
}

/** What became of all checks of a scenario. */
function overall(checks) {
  return ["FAILURE", "WARNING", "SUCCESS"].find((status) => checks.includes(status)) ?? checks;
}

async function suite(main, name, server, transport, proxy) {
  const running = [];
  const results = join(DIR, "conformance", name.replace(/\W+/g, "_"));
  rmSync(results, { recursive: true, force: true });
  mkdirSync(results, { recursive: true });
  try {
    const served = await serve(server, transport, running);
    const target = proxy ? await proxied(proxy(served), "/mcp", [], running) : served.url;
    const child = start([NODE, "--import", there("glob-shim.mjs"), main, "server", "--suite", "all", "--url", target, "--output-dir", results], { stdio: ["ignore", "ignore", "ignore"] });
    running.push(child);
    await Promise.race([child.over, sleep(PATIENCE.suite, undefined, { ref: false })]);
  } finally {
    for (const child of running.reverse()) await stop(child);
  }
  return verdictsOf(results);
}

function verdictsOf(results) {
  const verdicts = new Map();
  for (const entry of readdirSync(results)) {
    const scenario = entry.replace(/^server-/, "").replace(/-\d{4}-\d\d-\d\dT.*$/, "");
    const file = join(results, entry, "checks.json");
    const checks = existsSync(file) ? JSON.parse(readFileSync(file)) : [];
    verdicts.set(scenario, checks.map(({ id, status }) => `${id} ${status}`).join(", ") || "no checks");
  }
  return verdicts;
}

function install() {
  const run = (command, args, cwd) => {
    const { status, error } = spawnSync(command, args, { cwd, stdio: ["ignore", "inherit", "inherit"], timeout: 600_000 });
    if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? `status ${status}`}`);
  };
  for (const dir of ["npm", "transcripts"]) mkdirSync(join(DIR, dir), { recursive: true });
  if (!existsSync(there("node_modules/conformance-next"))) {
    writeFileSync(there("package.json"), '{"private": true}\n');
    run("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error", ...NPM, NEXT, "zod@^4"], there("."));
  }
  if (!existsSync(PYTHON)) run("python3", ["-m", "venv", "py"], DIR);
  if (spawnSync(PYTHON, ["-c", "import mcp.server.mcpserver"]).status !== 0) run(PYTHON, ["-m", "pip", "install", "--quiet", ...PYPI], DIR);
  // Where the packages are, so that they are found.
  for (const file of readdirSync(HERE)) cpSync(join(HERE, file), there(file));
}

async function main() {
  const [what = "matrix"] = positionals;
  if (options.help || !["install", "matrix", "mock", "conformance"].includes(what)) {
    console.error("usage: run [install | matrix | mock | conformance] [--only TEXT] [--jobs N] [--tapline FILE] [--dir DIR]");
    return options.help ? 0 : 2;
  }
  if (!existsSync(TAPLINE)) {
    console.error(`${TAPLINE} is not there: run \`cargo build\`, or say where with --tapline`);
    return 2;
  }
  install();
  if (what === "install") return 0;
  return { matrix, mock: mocks, conformance }[what]();
}

process.on("SIGINT", () => process.exit(130)).on("SIGTERM", () => process.exit(143));
process.on("exit", () => {
  for (const child of children) {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It is gone.
    }
  }
});
process.exit(await main());
