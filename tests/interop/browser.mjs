// A page in a real browser speaks to a command through tapline. See README.md.
//
//   browser.mjs [--tapline FILE] [--dir DIR]
//
// The page's origin is no loopback one (`tool.example`, mapped to this machine by the browser), so that it has to be admitted. Needs a Chromium:
// `CHROMIUM` says where, else `chromium` in the PATH.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = resolve(HERE, "../..");
const { values: options } = parseArgs({
  options: { dir: { type: "string", default: join(ROOT, "target/interop") }, tapline: { type: "string", default: join(ROOT, "target/debug/tapline") } },
});
const PLACE = join(resolve(options.dir), "browser");
const PACKAGES = ["puppeteer-core@^25.16", "esbuild@^0.28", "@modelcontextprotocol/client@^2.4", "@modelcontextprotocol/server@^2.4", "zod@^4"];
const CHROMIUM = process.env.CHROMIUM ?? spawnSync("sh", ["-c", "command -v chromium || command -v google-chrome"], { encoding: "utf8" }).stdout.trim();

/** What the page does: with the Fetch API alone, and as a client of the SDK. Each gives lines of what it saw. */
const PAGE = `
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const USUAL = { "content-type": "application/json", accept: "application/json, text/event-stream" };
const say = (url, body, headers = {}) => fetch(url, { method: "POST", headers: { ...USUAL, ...headers }, body: typeof body === "string" ? body : JSON.stringify(body) });
const request = (id, method, params) => ({ jsonrpc: "2.0", id, method, params });
const _meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} };
const initialize = request(1, "initialize", { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "page", version: "1" } });
const modern = (method) => ({ "mcp-protocol-version": "2026-07-28", "mcp-method": method });
const code = async (response) => [response.status, (await response.json()).error?.code];

window.fetches = async (url) => {
  const seen = {};
  const begun = await say(url, initialize);
  const session = { "mcp-session-id": begun.headers.get("mcp-session-id"), "mcp-protocol-version": "2025-11-25" };
  seen.initialize = [begun.status, typeof session["mcp-session-id"]];
  seen.initialized = (await say(url, { jsonrpc: "2.0", method: "notifications/initialized" }, session)).status;
  seen.list = (await say(url, request(2, "tools/list", {}), session)).status;
  const stream = new AbortController();
  const listening = await fetch(url, { headers: { accept: "text/event-stream", ...session }, signal: stream.signal });
  seen.stream = [listening.status, listening.headers.get("content-type")];
  stream.abort();
  seen["no JSON"] = await code(await say(url, "{", session));
  seen["no session"] = await code(await say(url, request(3, "ping")));
  seen["another session"] = await code(await say(url, request(3, "ping"), { ...session, "mcp-session-id": "x" }));
  seen["elsewhere"] = await code(await fetch(new URL("/nowhere", url)));
  seen.end = (await fetch(url, { method: "DELETE", headers: session })).status;
  seen.discover = (await say(url, request(4, "server/discover", { _meta }), modern("server/discover"))).status;
  const named = { ...modern("tools/call"), "mcp-name": "routed", "mcp-param-region": "east" };
  seen["param header"] = await code(await say(url, request(5, "tools/call", { name: "routed", arguments: { region: "east" }, _meta }), named));
  seen.mismatch = await code(await say(url, request(6, "tools/list", { _meta }), modern("prompts/list")));
  return seen;
};

window.refused = async (url) => {
  const response = await say(url, initialize);
  return { status: response.status, challenge: response.headers.get("www-authenticate"), text: (await response.json()).error.message };
};

window.sdk = async (url, mode) => {
  const client = new Client({ name: "page", version: "1" }, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  const { tools } = await client.listTools();
  const called = await client.callTool({ name: "echo", arguments: { a: 1 } });
  await client.close();
  return { tools: tools.length > 0, called: called.content[0].text };
};
`;

const WANTED = {
  initialize: [200, "string"],
  initialized: 202,
  list: 200,
  stream: [200, "text/event-stream"],
  "no JSON": [400, -32700],
  "no session": [400, -31003],
  "another session": [404, -31003],
  elsewhere: [404, -31003],
  end: 200,
  discover: 200,
  "param header": [200, undefined],
  mismatch: [400, -32020],
};

const children = [];
function tapline(words) {
  const child = spawn(resolve(options.tapline), ["run", "--headless", "--no-record", "--no-control", "--listen", "127.0.0.1:0", ...words], { stdio: ["ignore", "ignore", "pipe"], cwd: PLACE });
  children.push(child);
  return new Promise((done, fail) => {
    createInterface({ input: child.stderr }).on("line", (line) => {
      const url = line.match(/http:\/\/127\.0\.0\.1:\d+/);
      if (url) done(`${url[0]}/mcp`);
    });
    child.on("close", (code) => fail(new Error(`tapline ended: ${code}`)));
  });
}

function install() {
  mkdirSync(PLACE, { recursive: true });
  if (!existsSync(join(PLACE, "node_modules/puppeteer-core"))) {
    writeFileSync(join(PLACE, "package.json"), '{"private": true}\n');
    const { status } = spawnSync("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error", ...PACKAGES], { cwd: PLACE, stdio: ["ignore", "inherit", "inherit"] });
    if (status !== 0) throw new Error("npm install failed");
  }
  writeFileSync(join(PLACE, "page.mjs"), PAGE);
  writeFileSync(join(PLACE, "server.mjs"), SERVER);
}

const SERVER = `
import { McpServer, fromJsonSchema } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
serveStdio(() => {
  const server = new McpServer({ name: "behind", version: "1" });
  const answer = (args) => ({ content: [{ type: "text", text: JSON.stringify(args) }] });
  server.registerTool("echo", { inputSchema: fromJsonSchema({ type: "object" }) }, answer);
  const region = { type: "object", properties: { region: { type: "string", "x-mcp-header": "Region" } } };
  server.registerTool("routed", { inputSchema: fromJsonSchema(region) }, answer);
  return server;
});
`;

async function main() {
  if (!CHROMIUM) throw new Error("no Chromium: install one, or say where it is with CHROMIUM");
  install();
  const load = createRequire(join(PLACE, "package.json"));
  const { default: puppeteer } = await import(pathToFileURL(load.resolve("puppeteer-core")));
  const bundle = load("esbuild").buildSync({ entryPoints: [join(PLACE, "page.mjs")], bundle: true, format: "esm", platform: "browser", write: false, logLevel: "error" });
  const site = createServer((request, response) => {
    const isScript = request.url === "/page.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? bundle.outputFiles[0].text : '<script type="module" src="/page.js"></script>');
  });
  await new Promise((done) => site.listen(0, "127.0.0.1", done));
  const { port } = site.address();
  const server = ["--", process.execPath, "server.mjs"];
  const admitted = ["--allow-origin", `http://tool.example:${port}`];
  const open = await tapline([...admitted, ...server]);
  const sha256 = createHash("sha256").update("secret").digest("hex");
  writeFileSync(join(PLACE, "auth.toml"), `[[auth.tokens]]\nname = "ann"\nsha256 = "${sha256}"\n`);
  const gated = await tapline([...admitted, "--config", "auth.toml", ...server]);
  const browser = await puppeteer.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"] });
  const wrong = [];
  const check = (what, seen, wanted) => {
    const same = JSON.stringify(seen) === JSON.stringify(wanted);
    console.log(`${same ? "ok   " : "WRONG"} ${what.padEnd(28)} ${JSON.stringify(seen)}`);
    if (!same) wrong.push(what);
  };
  try {
    const page = await browser.newPage();
    page.on("pageerror", (error) => wrong.push(`the page failed: ${error.message}`));
    await page.goto(`http://tool.example:${port}/`);
    const seen = await page.evaluate((url) => window.fetches(url), open);
    for (const [what, wanted] of Object.entries(WANTED)) check(`fetch: ${what}`, seen[what]?.map?.((it) => it ?? null) ?? seen[what], wanted.map?.((it) => it ?? null) ?? wanted);
    for (const mode of ["legacy", "auto"]) {
      check(`SDK client, ${mode}`, await page.evaluate((url, mode) => window.sdk(url, mode), open, mode), { tools: true, called: '{"a":1}' });
    }
    const refused = await page.evaluate((url) => window.refused(url), gated);
    check("401 can be read", [refused.status, refused.challenge?.startsWith("Bearer"), refused.text.startsWith("tapline")], [401, true, true]);
    await page.goto(`http://other.example:${port}/`);
    const other = await page.evaluate((url) => window.refused(url).catch((error) => error.name), open);
    check("a page that is not admitted", other, "TypeError");
  } finally {
    await browser.close();
    site.close();
  }
  console.log(wrong.length ? `\n${wrong.length} wrong: ${wrong.join(", ")}` : "\nall as it should be");
  return wrong.length ? 1 : 0;
}

process.on("exit", () => children.forEach((child) => child.kill("SIGTERM")));
process.exit(await main());
