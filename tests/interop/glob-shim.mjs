// For `node --import`: gives `@modelcontextprotocol/conformance` an `fs.globSync` on Node 20, which has none. It imports the
// name for a command that is not used here, and would not start without it. Newer Nodes need no shim.
import * as fs from "node:fs";
import { register } from "node:module";

const FS = `data:text/javascript,export * from "node:fs"; export const globSync = () => { throw new Error("needs Node 22"); };`;
const HOOK = `export const resolve = (specifier, context, next) =>
  specifier === "fs" && /\\/conformance(-next)?\\/dist\\//.test(context.parentURL)
    ? { url: ${JSON.stringify(FS)}, format: "module", shortCircuit: true }
    : next(specifier, context);`;

if (!("globSync" in fs)) register(`data:text/javascript,${encodeURIComponent(HOOK)}`);
