// A client of the TypeScript SDK, v1 or v2. Writes all that its application could see as lines of JSON, for `driver.mjs` to compare.
//
//   client.mjs v1|v2-legacy|v2-auto stdio COMMAND...
//   client.mjs v1|v2-legacy|v2-auto http|sse URL
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const [make, transport, ...target] = process.argv.slice(2);
const calls = JSON.parse(readFileSync(new URL("./calls.json", import.meta.url)));
const LOG_LEVEL = { "io.modelcontextprotocol/logLevel": "debug" };

const write = (what, value) => process.stdout.write(JSON.stringify({ what, ...value }) + "\n");
/** What arrives beside the replies: how it interleaves with them is no promise of the protocol, its own order is. */
const aside = new Map();
const heard = (key, value) => aside.set(key, [...(aside.get(key) ?? []), value]);
/** What the server asks while a call is on its way. */
let asked = [];
/** Progress while a call is on its way, as the transport gave it: the client forgets what comes in one chunk with the reply. */
let progress = [];
let version;

function wire({ method, params, result }) {
  if (method === "notifications/progress") progress.push({ ...params, progressToken: typeof params.progressToken });
  version ??= result?.protocolVersion;
}

const sdk = make === "v1" ? await import("./sdk-v1.mjs") : await import("./sdk-v2.mjs");
const client = sdk.client(
  { name: "interop", version: "1.0.0" },
  { capabilities: { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } } },
  make === "v2-auto" ? "auto" : "legacy",
);
for (const [method, kind] of [["sampling/createMessage", "sampling"], ["elicitation/create", "elicitation"], ["roots/list", "roots"]]) {
  sdk.onRequest(client, method, (request) => {
    asked.push({ method, params: request.params ?? null });
    return calls.answers[kind];
  });
}
for (const method of ["message", "tools/list_changed", "prompts/list_changed", "resources/list_changed", "resources/updated", "elicitation/complete", "tasks/status"]) {
  sdk.onNotification(client, `notifications/${method}`, (notification) => {
    heard(`${method} ${notification.params?.logger ?? ""}`, notification.params ?? null);
  });
}

/** An error in the server's words: where it came with an HTTP status, v2 reports the status, and the words as its body. */
function said({ name, code = null, message, data = null }) {
  try {
    const { error } = JSON.parse(data.text);
    return { name: "ProtocolError", code: error.code, message: error.message, data: error.data ?? null };
  } catch {
    return { name, code, message, data };
  }
}

/** The outcome of something: its result, or its error as the application gets it. */
async function outcome(what, work) {
  asked = [];
  progress = [];
  try {
    const result = await work();
    write(what, { asked, progress, result: result ?? null });
    return result;
  } catch (error) {
    write(what, { asked, progress, error: said(error) });
  }
}

const call = (name, args) =>
  outcome(`tools/call ${name}`, () =>
    sdk.callTool(client, { name, arguments: args, ...(era === "modern" ? { _meta: LOG_LEVEL } : {}) }, { timeout: 15_000, onprogress() {} }),
  );

/** Waits until it is true, for a while. */
async function until(isTrue, patience = 1_500) {
  for (const end = Date.now() + patience; !(await isTrue()) && Date.now() < end; ) await sleep(20);
}

const carrier = sdk.transport(transport, target);
carrier.onmessage = wire;
await client.connect(carrier, { timeout: 15_000 });
const era = sdk.era(client);
write("connected", {
  era,
  version: client.getNegotiatedProtocolVersion?.() ?? version ?? null,
  server: client.getServerVersion(),
  capabilities: client.getServerCapabilities(),
  instructions: client.getInstructions() ?? null,
});
// A server may ask for the roots first, and learn what to offer: before anything else is asked, or it may come meanwhile.
await until(() => asked.length > 0, 700);
await sleep(100);
write("asked at the start", { asked });
if (era === "legacy") {
  await outcome("ping", () => client.ping());
  await outcome("logging/setLevel", () => client.setLoggingLevel("debug"));
}
// Whether this is heard is a race of the client's: its listening stream against what makes the server say it.
aside.delete("tools/list_changed ");

const offered = client.getServerCapabilities() ?? {};
const tools = (await outcome("tools/list", () => client.listTools()))?.tools ?? [];
if (offered.prompts) {
  const prompts = (await outcome("prompts/list", () => client.listPrompts()))?.prompts ?? [];
  for (const { name } of prompts) {
    await outcome(`prompts/get ${name}`, () => client.getPrompt({ name, arguments: calls.prompts[name] ?? {} }));
  }
}
if (offered.resources) {
  await outcome("resources/list", () => client.listResources());
  await outcome("resources/templates/list", () => client.listResourceTemplates());
  for (const uri of calls.resources[client.getServerVersion().name]) await outcome(`resources/read ${uri}`, () => client.readResource({ uri }));
}
if (offered.completions) {
  const params = { ref: { type: "ref/prompt", name: "completable-prompt" }, argument: { name: "department", value: "E" } };
  await outcome("completion/complete", () => client.complete(params));
}

for (const { name } of tools) {
  if (!calls.later[name]) await call(name, calls.arguments[name] ?? {});
}
if (make === "v1" && offered.tasks) {
  // Several messages for one call, and an id that later requests name.
  await outcome("task", async () => {
    const seen = [];
    const params = { name: "simulate-research-query", arguments: calls.arguments["simulate-research-query"] };
    for await (const { type, task, result, error } of client.experimental.tasks.callToolStream(params, undefined, { timeout: 15_000 })) {
      const state = type + (task ? ` ${task.status}` : "");
      if (seen.at(-1)?.state !== state) seen.push({ state, result, error: error?.message });
    }
    return seen;
  });
}

const [uri] = calls.resources[client.getServerVersion().name];
if (offered.resources?.subscribe && era === "legacy") await outcome("resources/subscribe", () => client.subscribeResource({ uri }));
let listening;
if (era === "modern") {
  // A server need not have anything to listen to.
  await outcome("subscriptions/listen", async () => {
    listening = await client.listen({ toolsListChanged: true, resourceSubscriptions: [uri] });
    return { honored: listening.honoredFilter };
  });
}
for (const name of calls.subscribed.filter((name) => tools.some((tool) => tool.name === name))) {
  const before = [...aside.values()].flat().length;
  await call(name, { uri });
  await until(() => [...aside.values()].flat().length > before);
}
await listening?.close();
await outcome("tools/list afterwards", async () => (await client.listTools()).tools.map(({ name }) => name));

for (const [name, args] of Object.entries(calls.cancelled).filter(([name]) => tools.some((tool) => tool.name === name))) {
  const controller = new AbortController();
  setTimeout(() => controller.abort("enough"), 400);
  await outcome(`cancelled ${name}`, () => sdk.callTool(client, { name, arguments: args }, { timeout: 15_000, signal: controller.signal }));
}
if (tools.some(({ name }) => name === "cancelled")) {
  let count;
  await until(async () => (count = (await sdk.callTool(client, { name: "cancelled", arguments: {} }, {})).content[0].text) !== "0");
  write("cancelled calls that the server knows of", { count });
}
// What is refused comes last: v1 takes an error on a resumable stream for a broken one, and a second later asks for it again.
await call("no such tool", {});
if (offered.resources) await outcome("resources/read test://missing", () => client.readResource({ uri: "test://missing" }));
await outcome("unknown method", () => sdk.request(client, "interop/unknown", { n: 1 }));

await sleep(150);
for (const key of [...aside.keys()].sort()) write("heard", { key, values: aside.get(key) });
await client.close();
write("closed");
process.exit(0);
