// One client, written by hand, on a pipe and over HTTP: keeps what it hears as the bytes that came. See README.md.
import { spawn } from "node:child_process";
import { Agent, request as httpRequest } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { TAPLINE, WORK, environment } from "./published.mjs";

export const LEGACY = "2025-11-25";
export const MODERN = "2026-07-28";
/** Longest time for one reply, for that to a probe, for an address, and for an end, in ms. Some servers stay where their stdin ends. */
const PATIENCE = { reply: 30_000, probe: 10_000, start: 20_000, end: 5_000 };
const ME = { name: "servers", version: "1" };
const CAPABILITIES = { roots: {} };
const ENVELOPE = {
  "io.modelcontextprotocol/protocolVersion": MODERN,
  "io.modelcontextprotocol/clientInfo": ME,
  "io.modelcontextprotocol/clientCapabilities": CAPABILITIES,
};
/** Bytes as a string, one character each, and as what they say. */
const bytes = (buffer) => buffer.toString("latin1");
const text = (raw) => Buffer.from(raw, "latin1").toString("utf8");

/** What both wires have in common: whom a line is for. */
class Conversation {
  lines = [];
  replies = [];
  garbage = "no JSON";
  #waiting = new Map();
  #asked = new Map();
  #next = 1;

  constructor(era) {
    this.era = era;
  }

  /** A line as it came, with its end where it has one. */
  heard(raw) {
    let message;
    try { message = JSON.parse(text(raw)); } catch { return this.lines.push({ kind: this.garbage, raw }); }
    this.lines.push({ kind: message?.method ?? `reply to ${message?.id} ${this.#asked.get(String(message?.id)) ?? "that nobody asked"}`, raw });
    if (message?.method && message.id !== undefined) this.#answer(message);
    else this.#done(String(message?.id), message);
  }

  #done(id, message) {
    const done = this.#waiting.get(id);
    this.#waiting.delete(id);
    done?.(message);
  }

  #answer({ id, method }) {
    const answer = method === "roots/list" ? { result: { roots: [] } } : method === "ping" ? { result: {} } : { error: { code: -32601, message: "no" } };
    this.send({ jsonrpc: "2.0", id, ...answer });
  }

  /** Nothing more will be heard. */
  over() {
    for (const id of this.#waiting.keys()) this.#done(id, {});
  }

  /** The reply, or `{}` where none came. */
  ask(method, params, id = this.#next++) {
    if (this.ended) return Promise.resolve({});
    this.#asked.set(String(id), `${method} ${params.name ?? params.uri ?? ""}`.trimEnd());
    if (this.era === MODERN) params = { ...params, _meta: ENVELOPE };
    return new Promise((done) => {
      const timer = setTimeout(() => done({}), PATIENCE.reply);
      this.#waiting.set(String(id), (message) => (clearTimeout(timer), this.replies.push(JSON.stringify(message)), done(message)));
      this.send({ jsonrpc: "2.0", id, method, params });
    });
  }

  begin() {
    if (this.era === MODERN) return this.ask("server/discover", {});
    return this.ask("initialize", { protocolVersion: LEGACY, capabilities: CAPABILITIES, clientInfo: ME });
  }

  async listen() {
    if (this.era === LEGACY) this.send({ jsonrpc: "2.0", method: "notifications/initialized" });
  }
}

function launch(words, server, stdio) {
  // A group of its own: whatever it starts ends with it.
  const child = spawn(words[0], words.slice(1), { cwd: WORK, env: environment(server), stdio, detached: true });
  child.over = new Promise((done) => child.on("close", (code, signal) => done(code ?? signal)));
  return child;
}

async function stop(child) {
  const signal = (name) => { try { process.kill(-child.pid, name); } catch { /* It is gone. */ } };
  signal("SIGTERM");
  if ((await Promise.race([child.over, sleep(PATIENCE.end, "late", { ref: false })])) === "late") signal("SIGKILL");
  return child.over;
}

/** The server itself, or what stands before it, as a child. */
export class Pipe extends Conversation {
  #child;
  #rest = "";

  constructor(era, words, server) {
    super(era);
    this.#child = launch(words, server, ["pipe", "pipe", "ignore"]);
    this.#child.stdin.on("error", () => {});
    this.#child.stdout.on("data", (chunk) => this.#read(bytes(chunk)));
    this.#child.over.then(() => (this.ended = true, this.over()));
  }

  #read(chunk) {
    const lines = (this.#rest + chunk).split(/(?<=\n)/);
    this.#rest = lines.at(-1).endsWith("\n") ? "" : lines.pop();
    lines.forEach((line) => this.heard(line));
  }

  send(message) {
    this.#child.stdin.write(JSON.stringify(message) + "\n");
  }

  /** How it ended, by itself after its stdin did. */
  async end() {
    this.#child.stdin.end();
    const status = await Promise.race([this.#child.over, sleep(PATIENCE.end, "none", { ref: false })]);
    await stop(this.#child);
    if (this.#rest) this.heard(this.#rest);
    return status;
  }
}

/** tapline in front of the server, over Streamable HTTP. Lines have no ends there. */
export class Http extends Conversation {
  #child;
  #address;
  #session;
  #agent = new Agent({ keepAlive: true });
  #open = new Set();
  // Nothing but messages may come here.
  garbage = "no message";

  static async start(era, words, server) {
    const wire = new Http(era);
    wire.#child = launch([TAPLINE, "run", "--headless", "--no-record", "--no-control", "--listen", "127.0.0.1:0", "--", ...words], server, ["ignore", "ignore", "pipe"]);
    wire.#address = await new Promise((done, fail) => {
      createInterface({ input: wire.#child.stderr }).on("line", (line) => {
        const url = line.match(/http:\/\/127\.0\.0\.1:\d+/);
        if (url) done(`${url[0]}/mcp`);
      });
      wire.#child.over.then((code) => fail(new Error(`tapline ended: ${code}`)));
      sleep(PATIENCE.start, undefined, { ref: false }).then(() => fail(new Error("tapline gave no address")));
    });
    return wire;
  }

  #headers(message) {
    const modern = this.era === MODERN && { "mcp-method": message?.method, ...(message?.params?.name && { "mcp-name": message.params.name }), ...(message?.params?.uri && { "mcp-name": message.params.uri }) };
    const agreed = (this.#session || this.era === MODERN) && { "mcp-protocol-version": this.version ?? this.era };
    return { accept: "application/json, text/event-stream", ...agreed, ...(this.#session && { "mcp-session-id": this.#session }), ...modern };
  }

  /** Gives the head of the answer as soon as it is there; `over` is when all of it was heard. */
  #exchange(method, headers, body, heard = (raw) => this.heard(raw)) {
    return new Promise((done, fail) => {
      const out = httpRequest(this.#address, { method, headers, agent: this.#agent }, (answer) => {
        this.#session ??= answer.headers["mcp-session-id"];
        const events = answer.headers["content-type"]?.startsWith("text/event-stream");
        let rest = "";
        answer.on("data", (chunk) => {
          rest += bytes(chunk);
          if (!events) return;
          const frames = rest.split(/\r?\n\r?\n/);
          rest = frames.pop();
          for (const frame of frames) {
            const data = frame.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).replace(/^ /, ""));
            if (data.length > 0 && data.join("") !== "") heard(data.join("\n"));
          }
        });
        const over = new Promise((closed) => answer.on("close", () => (events || rest === "" || heard(rest), this.#open.delete(over), closed())));
        this.#open.add(over);
        done({ status: answer.statusCode, over });
      });
      out.on("error", fail).end(body);
    });
  }

  send(message) {
    const body = JSON.stringify(message);
    const headers = { ...this.#headers(message), "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const sent = this.#exchange("POST", headers, body);
    sent.catch((error) => this.heard(`the exchange failed: ${error.message}`));
    return sent;
  }

  /** Clients that speak both eras ask first, and begin as ever after a 4xx: not after another status, and not after ten seconds. */
  async probe() {
    const message = { jsonrpc: "2.0", id: 0, method: "server/discover", params: { _meta: ENVELOPE } };
    const body = JSON.stringify(message);
    const headers = { accept: "application/json, text/event-stream", "content-type": "application/json", "content-length": Buffer.byteLength(body), "mcp-protocol-version": MODERN, "mcp-method": message.method };
    const replies = [];
    const asked = this.#exchange("POST", headers, body, (raw) => replies.push(raw)).then(async ({ status, over }) => (await over, status));
    const status = await Promise.race([asked, sleep(PATIENCE.probe, "late", { ref: false })]);
    return { status, reply: replies.join("\n") };
  }

  async begin() {
    if (this.era === LEGACY) this.probed = await this.probe();
    const begun = await super.begin();
    this.version = begun.result?.protocolVersion;
    if (this.era === LEGACY) await this.#exchange("GET", { ...this.#headers(), accept: "text/event-stream" });
    return begun;
  }

  async listen() {
    if (this.era === LEGACY) await (await this.send({ jsonrpc: "2.0", method: "notifications/initialized" })).over;
  }

  async end() {
    if (this.era === LEGACY) await this.#exchange("DELETE", this.#headers());
    await Promise.race([Promise.all(this.#open), sleep(PATIENCE.end, undefined, { ref: false })]);
    this.#agent.destroy();
    await stop(this.#child);
  }
}
