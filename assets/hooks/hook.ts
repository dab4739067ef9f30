// A hook in TypeScript: `do = { hook = { command = ["node", "hook.ts"] } }` (Node 22 or newer). A JSON-RPC request a line in, a reply a line out.
import { createInterface } from "node:readline";

for await (const line of createInterface({ input: process.stdin })) {
  const { id, params: { payload } } = JSON.parse(line);
  let result = {};
  if (payload?.name === "delete") result = { valid: false, messages: [{ message: "nothing is deleted here" }] };
  else if (payload?.arguments) result = { modified: true, payload: { ...payload, arguments: { ...payload.arguments, seen_by: "typescript" } } };
  console.log(JSON.stringify({ jsonrpc: "2.0", id, result }));
}
