// The server that the conformance suite wants to find: it names the tools, resources and prompts, and what they answer.
// TypeScript SDK v1; over HTTP with sessions and resumable streams.
//
//   server-conformance.mjs stdio
//   server-conformance.mjs http PORT
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";

const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";
const text = (text) => ({ type: "text", text });
const image = { type: "image", data: PNG, mimeType: "image/png" };
const embedded = (uri) => ({ type: "resource", resource: { uri, mimeType: "text/plain", text: "an embedded resource" } });
const form = (properties, required = []) => ({ mode: "form", message: "please", requestedSchema: { type: "object", properties, required } });

const DEFAULTS = {
  name: { type: "string", default: "John Doe" },
  age: { type: "integer", default: 30 },
  score: { type: "number", default: 95.5 },
  status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
  verified: { type: "boolean", default: true },
};
const titled = (words) => words.map((word) => ({ const: word, title: word.toUpperCase() }));
const ENUMS = {
  untitledSingle: { type: "string", enum: ["option1", "option2"] },
  titledSingle: { type: "string", oneOf: titled(["value1", "value2"]) },
  legacyEnum: { type: "string", enum: ["opt1", "opt2"], enumNames: ["One", "Two"] },
  untitledMulti: { type: "array", items: { type: "string", enum: ["option1", "option2"] } },
  titledMulti: { type: "array", items: { anyOf: titled(["value1", "value2"]) } },
};

const elicit = (params) => async (_, { ask }) => [text(`answered: ${JSON.stringify(await ask("elicitation/create", params, types.ElicitResultSchema))}`)];
const TOOLS = {
  test_simple_text: () => [text("This is a simple text response for testing.")],
  test_image_content: () => [image],
  test_audio_content: () => [{ type: "audio", data: WAV, mimeType: "audio/wav" }],
  test_embedded_resource: () => [embedded("test://embedded-resource")],
  test_multiple_content_types: () => [text("several"), image, embedded("test://mixed-content-resource")],
  test_tool_with_logging: async (_, { notify }) => {
    for (const data of ["started", "processing", "completed"]) {
      await notify("message", { level: "info", data });
      await sleep(50);
    }
    return [text("logged")];
  },
  test_tool_with_progress: async (_, { notify, progressToken }) => {
    for (const progress of [0, 50, 100]) {
      await notify("progress", { progressToken, progress, total: 100 });
      await sleep(50);
    }
    return [text(String(progressToken))];
  },
  test_error_handling: () => {
    throw new Error("This tool intentionally returns an error for testing");
  },
  // Ends the stream of the call; the client has to come back for the reply.
  test_reconnection: async (_, { close }) => {
    close();
    await sleep(100);
    return [text("reconnected")];
  },
  test_sampling: async ({ prompt }, { ask }) => {
    const params = { messages: [{ role: "user", content: text(prompt) }], maxTokens: 100 };
    const { content } = await ask("sampling/createMessage", params, types.CreateMessageResultSchema);
    return [text(`LLM response: ${content.text}`)];
  },
  test_elicitation: ({ message }, context) => elicit({ ...form({ response: { type: "string" } }, ["response"]), message })({}, context),
  test_elicitation_sep1034_defaults: elicit(form(DEFAULTS)),
  test_elicitation_sep1330_enums: elicit(form(ENUMS)),
  json_schema_2020_12_tool: () => [text("{}")],
};
const SCHEMA_2020 = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  $defs: { address: { type: "object", properties: { street: { type: "string" }, city: { type: "string" } } } },
  properties: { name: { type: "string" }, address: { $ref: "#/$defs/address" } },
  additionalProperties: false,
};

const RESOURCES = {
  "test://static-text": { mimeType: "text/plain", text: "This is the content of the static text resource." },
  "test://static-binary": { mimeType: "image/png", blob: PNG },
  "test://watched-resource": { mimeType: "text/plain", text: "watched" },
};
const argument = (name) => ({ name, description: name, required: true });
const PROMPTS = {
  test_simple_prompt: [[], () => [text("This is a simple prompt for testing.")]],
  test_prompt_with_arguments: [["arg1", "arg2"], ({ arg1, arg2 }) => [text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)]],
  test_prompt_with_embedded_resource: [["resourceUri"], ({ resourceUri }) => [embedded(resourceUri), text("see above")]],
  test_prompt_with_image: [[], () => [image, text("see above")]],
};

function serve(transport) {
  const capabilities = { tools: {}, resources: { subscribe: true }, prompts: {}, logging: {}, completions: {} };
  const server = new Server({ name: "interop-conformance", version: "1.0.0" }, { capabilities });
  const handle = (schema, answer) => server.setRequestHandler(schema, answer);
  const describe = (name) => ({ name, description: name, inputSchema: name.startsWith("json_schema") ? SCHEMA_2020 : { type: "object" } });
  handle(types.ListToolsRequestSchema, () => ({ tools: Object.keys(TOOLS).map(describe) }));
  handle(types.CallToolRequestSchema, async ({ params }, extra) => {
    const context = {
      progressToken: params._meta?.progressToken ?? 0,
      notify: (method, params) => extra.sendNotification({ method: `notifications/${method}`, params }),
      ask: (method, params, schema) => extra.sendRequest({ method, params }, schema),
      close: () => transport.closeSSEStream?.(extra.requestId),
    };
    try {
      return { content: await TOOLS[params.name](params.arguments ?? {}, context) };
    } catch (error) {
      return { content: [text(error.message)], isError: true };
    }
  });
  handle(types.ListResourcesRequestSchema, () => ({ resources: Object.entries(RESOURCES).map(([uri, { mimeType }]) => ({ uri, name: uri, description: uri, mimeType })) }));
  handle(types.ListResourceTemplatesRequestSchema, () => ({ resourceTemplates: [{ uriTemplate: "test://template/{id}/data", name: "template" }] }));
  handle(types.ReadResourceRequestSchema, ({ params: { uri } }) => {
    const id = uri.match(/^test:\/\/template\/(.*)\/data$/)?.[1];
    const content = RESOURCES[uri] ?? { mimeType: "application/json", text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) };
    return { contents: [{ uri, ...content }] };
  });
  handle(types.SubscribeRequestSchema, () => ({}));
  handle(types.UnsubscribeRequestSchema, () => ({}));
  handle(types.ListPromptsRequestSchema, () => ({ prompts: Object.entries(PROMPTS).map(([name, [names]]) => ({ name, description: name, arguments: names.map(argument) })) }));
  handle(types.GetPromptRequestSchema, ({ params }) => ({
    messages: PROMPTS[params.name][1](params.arguments ?? {}).map((content) => ({ role: "user", content })),
  }));
  handle(types.CompleteRequestSchema, () => ({ completion: { values: ["test1", "test2"], total: 2, hasMore: false } }));
  handle(types.SetLevelRequestSchema, () => ({}));
  return server.connect(transport);
}

/** The events of all streams of a session, for clients that come back. */
function eventStore() {
  const events = [];
  return {
    async storeEvent(stream, message) {
      events.push({ stream, message });
      return `${events.length - 1}`;
    },
    async replayEventsAfter(last, { send }) {
      const { stream } = events[Number(last)];
      for (const [nth, event] of events.entries()) {
        // A priming event has no message.
        if (nth > Number(last) && event.stream === stream && event.message.jsonrpc) await send(`${nth}`, event.message);
      }
      return stream;
    },
  };
}

const transports = new Map();
async function answer(request, response) {
  let transport = transports.get(request.headers["mcp-session-id"]);
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: eventStore(),
      retryInterval: 500,
      onsessioninitialized: (id) => transports.set(id, transport),
    });
    await serve(transport);
  }
  await transport.handleRequest(request, response);
}

const [kind, port] = process.argv.slice(2);
if (kind === "stdio") await serve(new StdioServerTransport());
else createServer(answer).listen(Number(port), "127.0.0.1");
