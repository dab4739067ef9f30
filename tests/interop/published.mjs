// The published servers that `servers.mjs` tries: what is installed, how each is started, what is asked of it. See README.md.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";

const ROOT = resolve(fileURLToPath(import.meta.url), "../../..");
export const { values: options } = parseArgs({
  allowPositionals: true,
  options: {
    dir: { type: "string", default: join(ROOT, "target/interop/servers") },
    tapline: { type: "string", default: join(ROOT, "target/debug/tapline") },
    only: { type: "string", default: "" },
    era: { type: "string", default: "" },
  },
});
export const DIR = resolve(options.dir);
export const TAPLINE = resolve(options.tapline);
export const WORK = join(DIR, "work");
/** Servers keep things in their user's home: they get one that is new every time. */
const HOME = join(DIR, "home");

const npm = (path) => [process.execPath, join(DIR, "npm/node_modules", path)];
const py = (name, ...args) => [join(DIR, `py-${name}/bin`, args[0] ?? name), ...args.slice(1)];
/** What is installed where, versions pinned; each Python server by itself, as they need different SDKs. */
const NPM = [
  "@modelcontextprotocol/server-everything@2026.8.31", "@modelcontextprotocol/server-memory@2026.8.31",
  "@modelcontextprotocol/server-filesystem@2026.8.31", "@modelcontextprotocol/server-sequential-thinking@2026.8.31",
  "@modelcontextprotocol/server-system-monitor@2.0.3", "@coo-quack/calc-mcp@2.1.1", "mcp-hello-world@1.1.2",
  "mcp-server-code-runner@0.1.8", "time-mcp@1.0.6", "@leanspec/mcp-linux-x64@0.3.0",
  "mcp-cron-linux-amd64@0.9.1", "@wonderwhy-er/desktop-commander@0.2.52",
  "@azure/mcp-linux-x64@2.0.5", "kubernetes-mcp-server-linux-amd64@0.0.67", "@temporal-cortex/cortex-mcp-linux-x64@0.9.1",
  "@upstash/context7-mcp@4.1.1", "effect-mcp@0.1.16", "mcp-obsidian@1.0.0",
];
const PYPI = {
  time: "mcp-server-time==2026.10.19", fetch: "mcp-server-fetch==2026.10.24", git: "mcp-server-git==2026.10.19",
  sample: "fastmcp-sample-server==0.4.1", sqlite: "mcp-server-sqlite==2025.4.25 mcp==1.30.0", calculator: "mcp-server-calculator==0.2.1",
  index: "code-index-mcp==2.17.1", devmcp: "devmcp-server==0.3.0", cli: "cli-mcp-server==0.2.5 mcp==1.30.0", biomcp: "biomcp-cli==0.9.3",
};
/** Started with the same environment whichever way. */
export const environment = (server) => ({ ...process.env, HOME, TMPDIR: HOME, ...server.env });
/** What the replies so far say of something. */
const last = (pattern) => (replies) => (replies.join("\n").match(pattern) ?? [])[1];
/**
 * The command of each server, and calls beside one of every tool: arguments, or what makes them of the replies so far. `modern`: knows
 * revision 2026-07-28, too. `deaf`: leaves a client without a reply where it asks for what is not there. `tools: false`: only `calls`,
 * as tools look for somebody far away. `live`: tools and resources whose numbers are of this moment. `race`: what the Go SDK says some time after its
 * start to whoever has already begun.
 */
export const SERVERS = {
  everything: { command: npm("@modelcontextprotocol/server-everything/dist/index.js"), skip: ["toggle-simulated-logging", "gzip-file-as-resource"] },
  memory: { command: npm("@modelcontextprotocol/server-memory/dist/index.js"), env: { MEMORY_FILE_PATH: join(WORK, "memory.jsonl") },
    calls: [["create_entities", { entities: [{ name: "a", entityType: "b", observations: ["c"] }] }], ["read_graph", {}]] },
  filesystem: { command: [...npm("@modelcontextprotocol/server-filesystem/dist/index.js"), WORK],
    calls: [["get_file_info", { path: join(WORK, "file.txt") }], ["list_directory_with_sizes", { path: WORK }], ["directory_tree", { path: WORK }]] },
  thinking: { command: npm("@modelcontextprotocol/server-sequential-thinking/dist/index.js") },
  monitor: { command: npm("@modelcontextprotocol/server-system-monitor/dist/index.js"), args: ["--stdio"], live: ["get-system-info", "poll-system-stats"] },
  calc: { command: npm("@coo-quack/calc-mcp/dist/index.js") },
  hello: { command: npm("mcp-hello-world/build/stdio.js") },
  runner: { command: npm("mcp-server-code-runner/dist/cli.js"), calls: [["run-code", { code: "console.log(\"pid\", process.pid, Date.now())", languageId: "javascript" }]] },
  timenpm: { command: npm("time-mcp/dist/index.js") },
  leanspec: { command: [join(DIR, "npm/node_modules/@leanspec/mcp-linux-x64/leanspec-mcp")] },
  cron: { command: [join(DIR, "npm/node_modules/mcp-cron-linux-amd64/bin/mcp-cron")], args: ["--transport", "stdio"], race: ["notifications/tools/list_changed"] },
  commander: { command: npm("@wonderwhy-er/desktop-commander/dist/index.js"), args: ["--no-onboarding"],
    // What it tells of other processes and of its own past depends on both.
    skip: ["give_feedback_to_desktop_commander", "get_prompts", "write_pdf", "kill_process", "track_ui_event", "list_processes", "get_usage_stats", "get_recent_tool_calls"], live: ["list_searches"],
    calls: [
      ["start_process", { command: "sh -c 'echo started; sleep 4; echo over'", timeout_ms: 2000 }],
      ["read_process_output", (replies) => ({ pid: Number(last(/PID (\d+)/)(replies)), timeout_ms: 6000 })],
      ["start_search", { path: WORK, pattern: "file", searchType: "files" }],
      ["get_more_search_results", (replies) => ({ sessionId: last(/(search_\d+_\d+)/)(replies) })],
    ] },
  time: { command: py("time", "mcp-server-time"), modern: true, calls: [
    ["get_current_time", { timezone: "Asia/Tokyo" }], ["convert_time", { source_timezone: "UTC", time: "16:30", target_timezone: "Europe/Rome" }]] },
  fetch: { command: py("fetch", "mcp-server-fetch"), modern: true },
  git: { command: py("git", "mcp-server-git"), modern: true, calls: [
    ["git_status", { repo_path: WORK }], ["git_add", { repo_path: WORK, files: ["file.txt"] }], ["git_commit", { repo_path: WORK, message: "one" }],
    ["git_log", { repo_path: WORK }], ["git_show", (replies) => ({ repo_path: WORK, revision: last(/hash ([0-9a-f]{40})/)(replies) })]] },
  sample: { command: py("sample", "sample-mcp-server"), args: ["--transport", "stdio"], modern: true, live: ["resource://server/info"] },
  sqlite: { command: py("sqlite", "mcp-server-sqlite"), args: ["--db-path", join(WORK, "x.db")], calls: [
    ["create_table", { query: "CREATE TABLE t (a INTEGER, at TEXT)" }], ["write_query", { query: "INSERT INTO t VALUES (1, datetime('now'))" }],
    ["read_query", { query: "SELECT * FROM t" }]] },
  calculator: { command: py("calculator", "mcp-server-calculator"), calls: [["calculate", { expression: "2 + 3" }]] },
  index: { command: py("index", "code-index-mcp"), calls: [["set_project_path", { path: WORK }], ["find_files", { pattern: "*.txt" }], ["get_settings_info", {}]] },
  devmcp: { command: py("devmcp", "devmcp"), args: ["--repo-path", WORK] },
  cli: { command: py("cli", "cli-mcp-server"), env: { ALLOWED_DIR: WORK, ALLOWED_COMMANDS: "ls,date,cat", ALLOWED_FLAGS: "all" }, calls: [
    ["run_command", { command: "ls -la" }], ["run_command", { command: "date" }]] },
  azure: { command: [join(DIR, "npm/node_modules/@azure/mcp-linux-x64/dist/azmcp")], args: ["server", "start"], env: { AZURE_MCP_COLLECT_TELEMETRY: "false" }, tools: false,
    calls: [["storage", { intent: "list accounts", learn: true }], ["no+<such>", {}]] },
  kubernetes: { command: [join(DIR, "npm/node_modules/kubernetes-mcp-server-linux-amd64/bin/kubernetes-mcp-server-linux-amd64")], args: ["--kubeconfig", join(WORK, "kubeconfig")], modern: true,
    race: ["notifications/tools/list_changed"] },
  cortex: { command: [join(DIR, "npm/node_modules/@temporal-cortex/cortex-mcp-linux-x64/bin/cortex-mcp")] },
  context7: { command: npm("@upstash/context7-mcp/dist/index.js"), modern: true },
  effect: { command: npm("effect-mcp/main.cjs"), deaf: true },
  obsidian: { command: npm("mcp-obsidian/dist/index.js"), args: [WORK] },
  biomcp: { command: py("biomcp", "biomcp"), args: ["mcp"], calls: [["biomcp", { command: "biomcp version" }]] },
};
/** What is really random, each with the path that settles it, as the report says. */
export const RANDOM = {
  // `random_number` says it in a sentence.
  sample: [".result.content[*].text", ".result.structuredContent.result", ".result.structuredContent.password"],
  // A set of commands, written in the order of its hashes.
  cli: [".result.tools[*].description"],
};

export function install() {
  mkdirSync(DIR, { recursive: true });
  const run = (...words) => {
    const done = spawnSync(words[0], words.slice(1), { cwd: DIR, encoding: "utf8", timeout: 600_000 });
    if (done.status !== 0) throw new Error(`${words.join(" ")}\n${done.stdout}${done.stderr}`);
  };
  if (!existsSync(join(DIR, "npm/installed"))) {
    mkdirSync(join(DIR, "npm"), { recursive: true });
    run("npm", "install", "--prefix", join(DIR, "npm"), "--ignore-scripts", "--no-audit", "--no-fund", ...NPM);
    // What a package's own script would do.
    for (const binary of ["@leanspec/mcp-linux-x64/leanspec-mcp", "mcp-cron-linux-amd64/bin/mcp-cron", "@azure/mcp-linux-x64/dist/azmcp",
      "kubernetes-mcp-server-linux-amd64/bin/kubernetes-mcp-server-linux-amd64", "@temporal-cortex/cortex-mcp-linux-x64/bin/cortex-mcp"]) {
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

/** A cluster that is not there. */
const KUBECONFIG = JSON.stringify({
  apiVersion: "v1", kind: "Config", "current-context": "none",
  clusters: [{ name: "none", cluster: { server: "http://127.0.0.1:9" } }],
  users: [{ name: "none", user: { token: "none" } }],
  contexts: [{ name: "none", context: { cluster: "none", user: "none" } }],
});

/** The same files before every run; only their times are new. */
export function reset() {
  for (const dir of [WORK, HOME]) rmSync(dir, { recursive: true, force: true });
  mkdirSync(HOME, { recursive: true });
  mkdirSync(join(WORK, "sub"), { recursive: true });
  writeFileSync(join(WORK, "file.txt"), "one\ntwo\n");
  writeFileSync(join(WORK, "sub/b.json"), '{"a": 1}\n');
  writeFileSync(join(WORK, "kubeconfig"), KUBECONFIG);
  const commit = "git commit -q --allow-empty --date=2026-01-01T00:00:00Z -m none";
  spawnSync("sh", ["-c", `git init -q . && git config user.name a && git config user.email a@example.com && ${commit}`], { cwd: WORK, env: { ...process.env, GIT_COMMITTER_DATE: "2026-01-01T00:00:00Z" } });
}

