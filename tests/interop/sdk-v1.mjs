// What `client.mjs` needs of `@modelcontextprotocol/sdk`.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";

const schemas = {
  "sampling/createMessage": types.CreateMessageRequestSchema,
  "elicitation/create": types.ElicitRequestSchema,
  "roots/list": types.ListRootsRequestSchema,
  "notifications/message": types.LoggingMessageNotificationSchema,
  "notifications/tools/list_changed": types.ToolListChangedNotificationSchema,
  "notifications/prompts/list_changed": types.PromptListChangedNotificationSchema,
  "notifications/resources/list_changed": types.ResourceListChangedNotificationSchema,
  "notifications/resources/updated": types.ResourceUpdatedNotificationSchema,
  "notifications/elicitation/complete": types.ElicitationCompleteNotificationSchema,
  "notifications/tasks/status": types.TaskStatusNotificationSchema,
};

export const client = (info, options) => new Client(info, options);
export const era = () => "legacy";
export const onRequest = (client, method, handler) => client.setRequestHandler(schemas[method], handler);
export const onNotification = (client, method, handler) => client.setNotificationHandler(schemas[method], handler);
export const callTool = (client, params, options) => client.callTool(params, undefined, options);
export const request = (client, method, params) => client.request({ method, params }, z.any());

export function transport(kind, target) {
  if (kind === "stdio") return new StdioClientTransport({ command: target[0], args: target.slice(1), stderr: "inherit" });
  return kind === "sse" ? new SSEClientTransport(new URL(target[0])) : new StreamableHTTPClientTransport(new URL(target[0]));
}
