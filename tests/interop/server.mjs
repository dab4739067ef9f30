// A server of the TypeScript SDK v2, for both eras.
//
//   server.mjs stdio
//   server.mjs http PORT
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { toNodeHandler } from "@modelcontextprotocol/node";
import { McpServer, ProtocolError, createMcpHandler, fromJsonSchema, inputRequired, inputResponse } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { z } from "zod";

const URI = "test://letter";
const any = fromJsonSchema({ type: "object" });
let cancelled = 0;
let handler;

const text = (value) => ({ content: [{ type: "text", text: typeof value === "string" ? value : JSON.stringify(value) }] });

/** A question to the client in the middle of a call, and what it answers. */
function asking(server, name, question) {
  server.registerTool(name, { inputSchema: any }, (_, ctx) => {
    const answer = ctx.mcpReq.inputResponses?.it;
    return answer === undefined ? inputRequired({ inputRequests: { it: question }, requestState: "state é" }) : text(answer);
  });
}

function factory({ era }) {
  const server = new McpServer(
    { name: "interop-ts", version: "1.2.3" },
    { capabilities: { logging: {}, tools: { listChanged: true }, resources: { subscribe: true, listChanged: true }, prompts: {} }, instructions: `era: ${era}` },
  );
  server.registerTool("echo", { description: "é", inputSchema: any }, (args) => ({ ...text(args), structuredContent: args }));
  server.registerTool("count", { inputSchema: any }, async (_, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (let progress = 1; progress <= 3; progress++) {
      if (progressToken !== undefined) {
        await ctx.mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, total: 3, message: `step ${progress}` } });
      }
      await ctx.mcpReq.log("info", { progress }, "count");
    }
    return text("counted");
  });
  asking(server, "ask", inputRequired.createMessage({ messages: [{ role: "user", content: { type: "text", text: "well?" } }], maxTokens: 16 }));
  asking(server, "roots", inputRequired.listRoots());
  asking(server, "elicit", inputRequired.elicit({ message: "who?", requestedSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] } }));
  server.registerTool("fail", { inputSchema: any }, () => ({ ...text("it failed"), isError: true }));
  server.registerTool("refuse", { inputSchema: any }, () => {
    throw new ProtocolError(-32602, "no, é", { reason: [1, "two"] });
  });
  server.registerTool("throw", { inputSchema: any }, () => {
    throw new Error("it threw");
  });
  const routed = { type: "object", properties: { region: { type: "string", "x-mcp-header": "Region" } }, required: ["region"] };
  server.registerTool("routed", { inputSchema: fromJsonSchema(routed) }, (args) => text(args));
  server.registerTool("slow", { inputSchema: any }, async (_, ctx) => {
    ctx.mcpReq.signal.addEventListener("abort", () => cancelled++);
    await sleep(10_000, undefined, { signal: ctx.mcpReq.signal });
    return text("late");
  });
  server.registerTool("cancelled", { inputSchema: any }, () => text(String(cancelled)));
  server.registerTool("touch", { inputSchema: any }, async () => {
    if (handler) handler.notify.resourceUpdated(URI);
    else await server.server.sendResourceUpdated({ uri: URI });
    return text("touched");
  });
  server.registerTool("change", { inputSchema: any }, async () => {
    if (handler) handler.notify.toolsChanged();
    else await server.server.sendToolListChanged();
    return text("changed");
  });
  server.registerResource("letter", URI, { mimeType: "text/plain" }, (uri) => ({ contents: [{ uri: uri.href, mimeType: "text/plain", text: "dear\r\n\té" }] }));
  server.registerPrompt("grüße", { argsSchema: z.object({ name: z.string() }) }, ({ name }) => ({
    messages: [{ role: "user", content: { type: "text", text: `grüße, ${name}` } }],
  }));
  server.server.setRequestHandler("resources/subscribe", () => ({}));
  return server;
}

const [kind, port] = process.argv.slice(2);
if (kind === "stdio") {
  serveStdio(factory);
} else {
  handler = createMcpHandler(factory);
  createServer(toNodeHandler(handler)).listen(Number(port), "127.0.0.1");
}
