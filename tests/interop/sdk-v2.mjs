// What `client.mjs` needs of `@modelcontextprotocol/client`.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { z } from "zod";

export const client = (info, options, mode) => new Client(info, { ...options, versionNegotiation: { mode } });
export const era = (client) => client.getProtocolEra();
export const onRequest = (client, method, handler) => client.setRequestHandler(method, handler);
export const onNotification = (client, method, handler) => client.setNotificationHandler(method, handler);
export const callTool = (client, params, options) => client.callTool(params, options);
export const request = (client, method, params) => client.request({ method, params }, z.any());

export function transport(kind, target) {
  if (kind === "stdio") return new StdioClientTransport({ command: target[0], args: target.slice(1), stderr: "inherit" });
  return kind === "sse" ? new SSEClientTransport(new URL(target[0])) : new StreamableHTTPClientTransport(new URL(target[0]));
}
