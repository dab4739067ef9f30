// What `tapline tape export` writes, in the hands of those it is written for. See README.md.
//
//   exports.mjs [--tapline FILE] [--dir DIR] [--only TEXT]
//
// - Tests of pytest, vitest and Rust, made from recordings of real servers, pass against these servers.
// - HAR is valid for har-validator (npm), is read by haralyzer (PyPI), and opens in the Network panel of Chromium's DevTools.
// - The page is opened in a headless Chromium: every message is there, search and drawings work, nothing is fetched. So are those of a replay and of a comparison.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = resolve(HERE, "../..");
const { values: options } = parseArgs({
  options: {
    dir: { type: "string", default: join(ROOT, "target/interop") },
    tapline: { type: "string", default: join(ROOT, "target/debug/tapline") },
    only: { type: "string", default: "" },
  },
});
const DIR = resolve(options.dir);
const TAPLINE = resolve(options.tapline);
const PLACE = join(DIR, "exports");
const NODE = process.execPath;
const PYTHON = join(DIR, "py/bin/python");
const NPM = ["vitest@^4", "@modelcontextprotocol/sdk@^1.32", "@modelcontextprotocol/client@^2.4", "zod@^4", "har-validator@^5.1.5", "puppeteer-core@^25.16"];
const PYPI = ["pytest>=8", "haralyzer>=2"];
const CHROMIUM = process.env.CHROMIUM ?? spawnSync("sh", ["-c", "command -v chromium || command -v google-chrome"], { encoding: "utf8" }).stdout.trim();

const SERVERS = {
  "TypeScript v1": [NODE, join(DIR, "npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js"), "stdio"],
  Python: [PYTHON, join(DIR, "npm/server.py"), "stdio"],
};
/** What is asked of each, and has the same answer in every run. */
const ASKED = {
  "TypeScript v1": [
    ["tools/list", {}],
    ["tools/call", { name: "echo", arguments: { message: "grüße `${x}` \'\'\' \"#" } }],
    ["tools/call", { name: "get-sum", arguments: { a: 2, b: 0.5 } }],
    ["tools/call", { name: "get-tiny-image", arguments: {} }],
    ["tools/call", { name: "get-structured-content", arguments: { location: "Chicago" } }],
    ["tools/call", { name: "echo", arguments: {} }],
    ["tools/call", { name: "no-such-tool", arguments: {} }],
    ["prompts/list", {}],
    ["prompts/get", { name: "simple-prompt" }],
    ["resources/list", {}],
    ["resources/templates/list", {}],
    ["resources/read", { uri: "demo://resource/static/document/features.md" }],
  ],
  Python: [
    ["tools/list", {}],
    ["tools/call", { name: "echo", arguments: { text: "grüße", big: 7, small: 0.5, deep: { a: [1, null] } } }],
    ["tools/call", { name: "fail", arguments: {} }],
    ["tools/call", { name: "refuse", arguments: {} }],
    ["prompts/list", {}],
    ["prompts/get", { name: "grüße", arguments: { name: "Zoë" } }],
  ],
};
/** A client without capabilities, as the tests have one. */
const RECORDER = `
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { z } from "zod";
const [asked, command, ...args] = process.argv.slice(2);
const client = new Client({ name: "recorder", version: "1.0.0" });
await client.connect(new StdioClientTransport({ command, args, stderr: "ignore" }));
for (const [method, params] of JSON.parse(asked)) await client.request({ method, params }, z.any()).catch(() => {});
await client.close();
`;

/** A client of revision 2026-07-28. */
const MODERN = `
import sys
import anyio
from mcp import Client, StdioServerParameters

async def main():
    async with Client(StdioServerParameters(command=sys.argv[1], args=sys.argv[2:]), mode="auto") as client:
        await client.list_tools()
        await client.call_tool("echo", {"text": "gr\u00fc\u00dfe", "big": 7, "small": 0.5, "deep": {"a": [1, None]}})
        await client.call_tool("fail", {})
        await client.list_prompts()

anyio.run(main)
`;

const results = [];
function check(what, why) {
  results.push({ what, why });
  console.log(`${why ? "FAIL" : "ok  "}  ${what}${why ? `\n${why}` : ""}`);
}

function run(words, more = {}) {
  const done = spawnSync(words[0], words.slice(1), { encoding: "utf8", timeout: 180_000, maxBuffer: 1 << 28, cwd: PLACE, ...more });
  return { ok: done.status === 0, said: `${done.stdout ?? ""}${done.stderr ?? ""}${done.error ?? ""}`, stdout: done.stdout };
}

function must(words, more) {
  const done = run(words, { timeout: 600_000, ...more });
  if (!done.ok) throw new Error(`${words.join(" ")}: ${done.said}`);
  return done.stdout;
}

function install() {
  must([NODE, join(HERE, "driver.mjs"), "install", "--dir", DIR, "--tapline", TAPLINE], { cwd: ROOT });
  mkdirSync(PLACE, { recursive: true });
  writeFileSync(join(PLACE, "package.json"), '{"private": true, "type": "module"}\n');
  if (!["har-validator", "@modelcontextprotocol/client", "puppeteer-core"].every((name) => existsSync(join(PLACE, "node_modules", name)))) must(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", ...NPM]);
  writeFileSync(join(PLACE, "recorder.mjs"), RECORDER);
  writeFileSync(join(PLACE, "modern.py"), MODERN);
  // Beside the packages of the matrix, which are the SDK that the test asks for.
  if (!run([PYTHON, "-c", "import pytest, haralyzer"]).ok) must([PYTHON, "-m", "pip", "install", "--quiet", ...PYPI]);
}

/** The only tape of a directory. */
const onlyTape = (dir) => join(dir, readdirSync(dir).find((name) => name.endsWith(".tape.jsonl")));

/** A session with a server, recorded; `client`: what the client is launched by. */
function record(name, server, client = [NODE, join(PLACE, "recorder.mjs"), JSON.stringify(ASKED[name])]) {
  const dir = join(PLACE, name.replace(/\W+/g, "_"));
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  must([...client, TAPLINE, "stdio", "--no-control", "--no-database", "--tapes", dir, "--", ...server]);
  return { dir, tape: onlyTape(dir) };
}

function exported(tape, format, out) {
  must([TAPLINE, "tape", "export", tape, "--format", format, "--out", out]);
  return out;
}

function generatedTests(name, server) {
  const { dir, tape } = record(name, server);
  const env = { ...process.env, TAPE_SERVER: server.join(" ") };
  editedTest(name, ranTests(name, tape, dir, env), env);
}

/** Runs what is made of a tape in each language; gives the test in Python. */
function ranTests(name, tape, dir, env) {
  const verdict = ({ ok, said }) => (ok ? undefined : said.slice(-4000));
  const python = exported(tape, "pytest", join(dir, "test_tape.py"));
  check(`${name}: pytest`, verdict(run([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", python], { env })));
  const typescript = exported(tape, "vitest", join(dir, "tape.test.ts"));
  // vitest finds no file below a link.
  check(`${name}: vitest`, verdict(run([NODE, join(PLACE, "node_modules/vitest/vitest.mjs"), "run", realpathSync(typescript)], { env })));
  const rust = exported(tape, "rust", join(dir, "tape.rs"));
  check(`${name}: Rust`, verdict(rustTest(rust, dir, env)));
  return python;
}

/** A test that cannot fail shows nothing. */
function editedTest(name, python, env) {
  const edited = join(dirname(python), "test_edited.py");
  writeFileSync(edited, readFileSync(python, "utf8").replace(/"text":"/, "$&not "));
  check(`${name}: pytest finds another text`, run([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", edited], { env }).ok ? "it passes" : undefined);
}

/** The test of a tape of revision 2026-07-28. */
function modernTest(name, server) {
  const { dir, tape } = record(name, server, [PYTHON, join(PLACE, "modern.py")]);
  check(`${name}: recorded in that revision`, readFileSync(tape, "utf8").includes('"protocol":"2026-07-28"') ? undefined : tape);
  const env = { ...process.env, TAPE_SERVER: server.join(" ") };
  editedTest(name, ranTests(name, tape, dir, env), env);
}

/** With the libraries that the tests of tapline are built with. */
let libraries;
function rustTest(file, dir, env) {
  libraries ??= must([process.env.CARGO ?? "cargo", "test", "--no-run", "--offline", "--test", "it", "--message-format=json"], { cwd: ROOT })
    .split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line)).filter(({ reason }) => reason === "compiler-artifact");
  // Of a library there may be several: those of build scripts and macros have other features.
  const built = (name) => libraries.filter(({ target }) => target.name === name && target.kind.includes("lib")).flatMap(({ filenames }) => filenames.filter((name) => name.endsWith(".rlib")));
  const binary = join(dir, "tape-test");
  let last = { ok: false, said: "no library was built" };
  for (const rmcp of built("rmcp"))
    for (const json of built("serde_json"))
      for (const serde of built("serde"))
        for (const tokio of built("tokio")) {
          const externs = Object.entries({ rmcp, serde_json: json, serde, tokio }).flatMap(([name, file]) => ["--extern", `${name}=${file}`]);
          last = run(["rustc", "--test", "--edition", "2024", file, "-o", binary, "-L", `dependency=${dirname(rmcp)}`, ...externs]);
          if (last.ok) return run([binary], { env });
        }
  return last;
}

const HARALYZER = `
import json, sys
from haralyzer import HarParser
har = HarParser(json.load(open(sys.argv[1])))
entries = har.har_data["entries"]
parsed = HarParser.match_request_type(entries[0], "POST")
print(len(entries), parsed)
`;

async function archives(tapes) {
  const validator = createRequire(join(PLACE, "package.json"))("har-validator");
  for (const [name, tape] of tapes) {
    const file = exported(tape, "har", join(PLACE, `${name}.har`));
    const har = JSON.parse(readFileSync(file, "utf8"));
    await validator.har(har).then(
      () => check(`${name}: HAR, by har-validator`),
      (error) => check(`${name}: HAR, by har-validator`, JSON.stringify(error.errors, null, 1)),
    );
    const { said } = run([PYTHON, "-c", HARALYZER, file]);
    check(`${name}: HAR, by haralyzer`, said.trim() === `${har.log.entries.length} True` ? undefined : said);
    // What is read back is what was said.
    const back = join(PLACE, `${name}-back.tape.jsonl`);
    rmSync(back, { force: true });
    const imported = run([TAPLINE, "tape", "import", file, "--out", back]);
    const said2 = (tape) => readFileSync(tape, "utf8").split("\n").filter((line) => line.startsWith('{"seq"')).map((line) => JSON.parse(line)).filter(({ dir, kind }) => dir === "c2s" && kind === "request").map(({ msg }) => JSON.stringify(msg));
    check(`${name}: HAR, read back`, imported.ok && said2(back).join("\n") === said2(tape).join("\n") ? undefined : `${imported.said}\n${said2(tape).length} and ${existsSync(back) && said2(back).length} requests`);
  }
}

/** Opens a page: what is wrong with it is added to `wrong`, what it fetches among it. */
async function opened(browser, file) {
  const page = await browser.newPage(), wrong = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error}`)).on("console", (line) => line.type() === "error" && wrong.push(`console: ${line.text()}`));
  page.on("request", (request) => request.url().startsWith("file:") || wrong.push(`it fetches ${request.url()}`));
  await page.goto(pathToFileURL(file).href);
  return [page, wrong];
}

/** A replay of the demo in which one step fails, with its tape and its page. */
function changedDemo() {
  const demo = join(ROOT, "tapes/demo.tape.jsonl"), recorded = join(PLACE, "changed"), file = join(PLACE, "replay.html");
  for (const old of [recorded, file]) rmSync(old, { recursive: true, force: true });
  const played = run([TAPLINE, "replay", demo, "--speed", "max", "--report", "html", "--out", file, "--record", recorded, "--", TAPLINE, "__demo-server", "--changed"]);
  const tape = existsSync(recorded) && readdirSync(recorded).find((name) => name.endsWith(".tape.jsonl"));
  return { demo, file, said: played.said, tape: tape && join(recorded, tape) };
}

/** The page of a replay in which one step fails: that it shows, then all, what is searched for, and times. */
async function replayPage(browser, { file, said }) {
  if (!existsSync(file)) return check("page of a replay in Chromium", said);
  const [page, wrong] = await opened(browser, file);
  const rows = () => page.$$eval("main tr[class]", (rows) => rows.length);
  const shown = [await rows()];
  if (!(await page.$eval("main pre", (it) => it.textContent)).includes('.sky\n- "sun"\n+ "fog"')) wrong.push("what differs is not shown");
  await page.click("button[data-only=all]");
  shown.push(await rows());
  await page.type("#search", "get_forecast");
  shown.push(await rows());
  if (!(shown[0] === 1 && shown[1] > shown[2] && shown[2] > 1)) wrong.push(`rows: ${shown}`);
  await page.click("button[data-view=times]");
  if (!(await page.$("main svg rect"))) wrong.push("no drawing of times");
  check("page of a replay in Chromium", wrong.join("\n") || undefined);
  await page.close();
}

/** The page of a comparison in which one call differs: that it shows, then all, what is searched for, and both drawings. */
async function diffPage(browser, { demo, tape, said }) {
  const file = join(PLACE, "diff.html");
  rmSync(file, { force: true });
  if (tape) run([TAPLINE, "tape", "diff", demo, tape, "--format", "html", "--out", file]);
  if (!existsSync(file)) return check("page of a comparison in Chromium", said);
  const [page, wrong] = await opened(browser, file);
  const rows = () => page.$$eval("main tr.item", (rows) => rows.length);
  const shown = [await rows()];
  if (!(await page.$eval("main pre", (it) => it.textContent)).includes('.sky\n- "sun"\n+ "fog"')) wrong.push("what differs is not shown");
  await page.click("button[data-only=all]");
  shown.push(await rows());
  await page.type("#search", "get_forecast");
  shown.push(await rows());
  await page.type("#search", " fog");
  shown.push(await rows());
  if (!(shown[0] < shown[1] && shown[1] > shown[2] && shown[2] > shown[3] && shown[3] === 1)) wrong.push(`rows: ${shown}`);
  for (const [view, drawn] of [["sequence", "line"], ["timeline", "rect"]]) {
    await page.click(`button[data-view=${view}]`);
    if ((await page.$$(`main svg ${drawn}`)).length < 1) wrong.push(`no drawing in ${view}`);
  }
  check("page of a comparison in Chromium", wrong.join("\n") || undefined);
  await page.close();
}

/** A tape as HAR in the Network panel: DevTools are a page of the browser's own, which is asked to load the file as its button does. */
async function inDevTools(browser, name, file) {
  const { host } = new URL(browser.wsEndpoint()), text = readFileSync(file, "utf8");
  const inspected = await (await fetch(`http://${host}/json/new?about:blank`, { method: "PUT" })).json();
  const page = await browser.newPage(), wrong = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error}`));
  await page.goto(`http://${host}/devtools/inspector.html?ws=${host}/devtools/page/${inspected.id}&panel=network`);
  await page.waitForSelector(".root-view");
  const loaded = await page.evaluate(async (text) => {
    const part = (path) => import(`${location.origin}/devtools/${path}`);
    const [{ NetworkPanel }, { ViewManager }, { NetworkLog }] = await Promise.all(["panels/network/network.js", "ui/legacy/legacy.js", "models/logs/logs.js"].map(part));
    await ViewManager.ViewManager.instance().showView("network");
    await NetworkPanel.NetworkPanel.instance().networkLogView.onLoadFromFile(new File([text], "tape.har"));
    const of = async (request) => [request.requestMethod, request.url(), request.statusCode, (await request.requestContentData()).text ?? "", await request.requestFormData()];
    return Promise.all(NetworkLog.NetworkLog.instance().requests().map(of));
  }, text);
  const wanted = JSON.parse(text).log.entries.map(({ request, response }) => [request.method, request.url, response.status, response.content.text ?? "", request.postData?.text ?? null]);
  if (JSON.stringify(loaded) !== JSON.stringify(wanted)) wrong.push(`${JSON.stringify(loaded, null, 1)}\nin place of\n${JSON.stringify(wanted, null, 1)}`);
  check(`${name}: HAR, in Chromium's DevTools`, wrong.join("\n") || undefined);
  await page.close();
}

/** A page of many messages: the first two thousand at first, and the others when they are asked for. */
async function longPage(browser) {
  const tape = join(PLACE, "long.tape.jsonl"), [head] = readFileSync(join(ROOT, "tapes/demo.tape.jsonl"), "utf8").split("\n");
  const lines = Array.from({ length: 2500 }, (_, at) => `{"seq":${at + 1},"at":${at},"dir":"c2s","via":"stdio","msg":{"jsonrpc":"2.0","method":"n/${at}"}}\n`);
  writeFileSync(tape, `${head}\n${lines.join("")}`);
  const [page, wrong] = await opened(browser, exported(tape, "html", join(PLACE, "long.html")));
  const rows = () => page.$$eval("tr.row", (rows) => rows.length), shown = [await rows()];
  await page.click("main button");
  shown.push(await rows());
  await page.type("#search", "n/2499");
  shown.push(await rows());
  if (`${shown}` !== "2000,2500,1") wrong.push(`rows: ${shown}`);
  check("page of many messages in Chromium", wrong.join("\n") || undefined);
  await page.close();
}

async function pages(tapes) {
  if (!CHROMIUM) throw new Error("no Chromium: install one, or say where it is with CHROMIUM");
  const load = createRequire(join(PLACE, "package.json"));
  const { default: puppeteer } = await import(pathToFileURL(load.resolve("puppeteer-core")));
  const browser = await puppeteer.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--remote-allow-origins=*"] });
  for (const [name, tape] of tapes) {
    const file = exported(tape, "html", join(PLACE, `${name}.html`));
    const [page, wrong] = await opened(browser, file);
    const messages = readFileSync(tape, "utf8").split("\n").filter((line) => line.startsWith('{"seq"')).length;
    const rows = () => page.$$eval("tr.row", (rows) => rows.length);
    if ((await rows()) !== messages) wrong.push(`${await rows()} rows for ${messages} messages`);
    await page.click("tr.row");
    if (!(await page.$eval("pre", (it) => it.textContent).catch(() => ""))?.includes("jsonrpc")) wrong.push("a row that is chosen shows no message");
    await page.type("#search", "tools/list");
    const found = await rows();
    if (!(found > 0 && found < messages)) wrong.push(`search leaves ${found} of ${messages}`);
    for (const view of ["sequence", "timeline"]) {
      await page.click(`button[data-view=${view}]`);
      if (!(await page.$("main svg"))) wrong.push(`no drawing in ${view}`);
    }
    check(`${name}: page in Chromium`, wrong.join("\n") || undefined);
    await page.close();
    await inDevTools(browser, name, exported(tape, "har", join(PLACE, `${name}.har`)));
  }
  await longPage(browser);
  const changed = changedDemo();
  await replayPage(browser, changed);
  await diffPage(browser, changed);
  await browser.close();
}

async function main() {
  install();
  const chosen = (name) => name.toLowerCase().includes(options.only.toLowerCase());
  for (const [name, server] of Object.entries(SERVERS)) if (chosen(name)) generatedTests(name, server);
  if (chosen("2026-07-28")) modernTest("2026-07-28", SERVERS.Python);
  const shelf = join(ROOT, "tapes");
  const tapes = readdirSync(shelf).filter((name) => name.endsWith(".tape.jsonl") && chosen(name)).map((name) => [name.replace(".tape.jsonl", ""), join(shelf, name)]);
  await archives(tapes);
  await pages(tapes);
  const bad = results.filter(({ why }) => why).length;
  console.log(`\n${results.length - bad} of ${results.length} hold.`);
  return bad || !results.length ? 1 : 0;
}

process.exit(await main());
