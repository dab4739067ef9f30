// Ready sets of rules against real clients, and the examples of hooks. Prints the table of assets/rules/README.md. See README.md.
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = resolve(HERE, "../..");
const { values: options } = parseArgs({
  options: {
    dir: { type: "string", default: join(ROOT, "target/interop") },
    tapline: { type: "string", default: join(ROOT, "target/debug/tapline") },
    /** The test binary, in which the Rust SDK lives; without it rmcp is left out. */
    rmcp: { type: "string", default: "" },
    only: { type: "string", default: "" },
    jobs: { type: "string", default: "4" },
    /** Longest time for one conversation, in seconds. */
    patience: { type: "string", default: "90" },
  },
});
const DIR = resolve(options.dir);
const TAPLINE = resolve(options.tapline);
const there = (file) => join(DIR, "npm", file);
const PYTHON = join(DIR, "py/bin/python");
if (!existsSync(there("node_modules")) || !existsSync(PYTHON)) {
  console.error(`the SDKs are not in ${DIR}: \`tests/interop/run\` installs them`);
  process.exit(2);
}
for (const file of ["client.mjs", "client.py", "sdk-v1.mjs", "sdk-v2.mjs", "calls.json"]) {
  if (resolve(there(file)) !== join(HERE, file)) cpSync(join(HERE, file), there(file));
}
/** The demo server's names are in `calls.json`; what it is asked, all clients ask alike. */
const ROLE =
  'export TAPLINE_TEST_ROLE="$1"; shift; export TAPLINE_TEST_WORDS="$(printf "%s\\n" "$@")"; ' +
  '{ exec 3>&1 >/dev/null; exec "$0" --exact support::child::child_role_is_played --nocapture; } | cat';
const CLIENTS = {
  "TypeScript v1": [process.execPath, there("client.mjs"), "v1"],
  "TypeScript v2": [process.execPath, there("client.mjs"), "v2-auto"],
  Python: [PYTHON, there("client.py"), "auto"],
  ...(options.rmcp && { rmcp: ["sh", "-c", ROLE, resolve(options.rmcp), "rmcp-client", "auto"] }),
};
const SETS = ["auth-expiry", "era-downgrade", "expired-session", "flaky", "hostile-tools", "list-changes", "malformed", "rate-limited", "read-only", "slow"];
const HOME = mkdtempSync(join(tmpdir(), "tapline-rules-"));
const ENV = { ...process.env, HOME };

/** Starts tapline, and gives its URL once it listens. */
function start(words) {
  const child = spawn(TAPLINE, ["run", "--headless", "--log-format", "json", "--no-record", "--no-control", "--listen", "127.0.0.1:0", ...words], {
    env: ENV,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const [hits, asked] = [{}, {}];
  const url = new Promise((found, failed) => {
    createInterface({ input: child.stderr }).on("line", (line) => {
      let event;
      try {
        event = JSON.parse(line);
      } catch {
        return;
      }
      if (event.listening) found(event.listening.url);
      for (const name of event.passed?.rules ?? []) hits[name] = (hits[name] ?? 0) + 1;
      const { dir, msg } = event.passed ?? {};
      if (dir === "c2s" && msg?.id !== undefined && msg.method) asked[msg.method] = (asked[msg.method] ?? 0) + 1;
    });
    child.on("exit", (code) => failed(new Error(`tapline has ended with ${code}`)));
  });
  return { url, hits, asked, end: () => child.kill("SIGTERM") };
}

/** What a client did with a set of rules. */
async function conversation(set, client) {
  const proxy = start([...(set ? ["--rules", set] : []), "--", TAPLINE, "__demo-server"]);
  const [program, ...words] = [...CLIENTS[client], "http", await proxy.url];
  const child = spawn(program, words, { env: ENV });
  const lines = [];
  let errors = "";
  createInterface({ input: child.stdout }).on("line", (line) => line.startsWith("{") && lines.push(JSON.parse(line)));
  child.stderr.on("data", (data) => (errors += data));
  let late = false;
  const timer = setTimeout(() => ((late = true), child.kill("SIGKILL")), Number(options.patience) * 1000);
  const code = await new Promise((ended) => child.on("close", ended));
  clearTimeout(timer);
  proxy.end();
  return { set, client, lines, late, code, errors, hits: proxy.hits, asked: proxy.asked };
}

/** One cell of the table. */
function told({ lines, late, code, errors, asked }, usual) {
  const outcomes = lines.filter(({ result, error, failed }) => result !== undefined || error || failed);
  const fails = ({ error, result, failed }) => error || failed || result?.isError;
  const known = new Set(usual.lines.filter(fails).map(({ what }) => what));
  const failed = outcomes.filter((line) => !known.has(line.what) && fails(line));
  const kinds = {};
  for (const { error, failed: why } of failed) {
    const kind = error ? (error.code ?? error.name ?? "error") : why ? why.split(/[:\[(]/)[0].trim().slice(0, 30) : "isError";
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  const missing = usual.lines.filter(({ what }) => !lines.some((line) => line.what === what)).length;
  const parts = [`${outcomes.length - failed.length} as usual`];
  const more = ["tools/list", "tools/call", "initialize"].map((method) => [method, (asked[method] ?? 0) - (usual.asked[method] ?? 0)]);
  if (failed.length) parts.push(`${failed.length} failed (${Object.entries(kinds).map(([kind, count]) => `${count} × ${kind}`).join(", ")})`);
  if (!lines.some(({ what }) => what === "connected")) parts.push("never connected");
  else if (late) parts.push(`waited for more than ${options.patience} s`);
  else if (code !== 0) parts.push(`gave up: ${errors.trim().split("\n").findLast((line) => /error|exception|panicked/i.test(line))?.replace(/^[|\s]+/, "").slice(0, 90) ?? code}`);
  else if (missing) parts.push(`${missing} never asked`);
  for (const [method, count] of more) if (count > 0) parts.push(`${count} × \`${method}\` more`);
  return parts.join("; ").replaceAll("|", "\\|");
}

/** The examples of hooks: what they change arrives, what they refuse does not. */
async function hooks() {
  const seen = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (data) => (body += data)).on("end", () => {
      const message = JSON.parse(body);
      seen.push(message);
      response.setHeader("content-type", "application/json").end(JSON.stringify({ jsonrpc: "2.0", id: message.id, result: { content: [] } }));
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const assets = join(ROOT, "assets/hooks");
  // Node before 22 does not know files of TypeScript; this one is JavaScript, too.
  const commands = {
    python: [PYTHON, join(assets, "hook.py")],
    typescript: [process.execPath, "--input-type=module", "-e", readFileSync(join(assets, "hook.ts"), "utf8")],
  };
  let failed = 0;
  for (const [name, command] of Object.entries(commands)) {
    const file = join(HOME, `${name}.toml`);
    writeFileSync(file, `[[rule]]\nname = "hook"\nwhen = "~q"\ndo = { hook = { command = ${JSON.stringify(command)}, timeout = "10s", on_failure = "block" } }\n`);
    const proxy = start(["--rules", file, "--upstream", `http://127.0.0.1:${server.address().port}/mcp`]);
    const url = await proxy.url;
    const call = async (tool) => {
      const message = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: tool, arguments: { a: 1 } } };
      const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };
      return (await fetch(url, { method: "POST", headers, body: JSON.stringify(message) })).json();
    };
    seen.length = 0;
    const [written, deleted] = [await call("write"), await call("delete")];
    proxy.end();
    const isFine = seen.length === 1 && seen[0].params.arguments.seen_by === name && written.result && deleted.error?.message === "nothing is deleted here";
    console.log(`hook in ${name}: ${isFine ? "fine" : `not fine: ${JSON.stringify({ seen, written, deleted })}`}`);
    failed += isFine ? 0 : 1;
  }
  server.close();
  return failed;
}

mkdirSync(DIR, { recursive: true });
const failed = await hooks();
const usual = Object.fromEntries(await Promise.all(Object.keys(CLIENTS).map(async (client) => [client, await conversation(null, client)])));
const sets = SETS.filter((set) => set.includes(options.only));
const queue = sets.flatMap((set) => Object.keys(CLIENTS).map((client) => ({ set, client })));
const cells = {};
let idle = 0;
await Promise.all(
  Array.from({ length: Number(options.jobs) }, async () => {
    for (let next; (next = queue.shift()); ) {
      const done = await conversation(next.set, next.client);
      cells[`${next.set} ${next.client}`] = told(done, usual[next.client]);
      if (!Object.keys(done.hits).length) {
        idle += 1;
        console.error(`no rule of ${next.set} has hit with ${next.client}`);
      }
    }
  }),
);
console.log(`\n| set | ${Object.keys(CLIENTS).join(" | ")} |\n|---${"|---".repeat(Object.keys(CLIENTS).length)}|`);
for (const set of sets) console.log(`| \`${set}\` | ${Object.keys(CLIENTS).map((client) => cells[`${set} ${client}`]).join(" | ")} |`);
process.exit(failed + idle ? 1 : 0);
