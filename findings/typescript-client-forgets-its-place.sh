#!/usr/bin/env bash
# A TypeScript client that resumes a stream twice forgets where it was.
#
# Expected: Streamable HTTP (revision 2025-11-25, transports) lets a server end the connection of a response at any time after
# it has sent an event id; the client comes back with `Last-Event-ID` as often as it takes. As in every browser's EventSource,
# an id that was once received stays the place to go on from until a newer one comes.
#
# What happens: the client of @modelcontextprotocol/sdk 1.32.2 comes back once with the id. If that second connection ends
# without a new event, the requests after it have no `Last-Event-ID` at all: the server takes them for ordinary listening
# streams, the reply that waits under the id is never asked for again, and the call ends with the client's own time-out.
#
# Why it matters: a server (or a proxy) that polls, closing quiet connections, must send a fresh id on each of them, also where
# there is nothing to say, or its TypeScript clients lose replies without a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @modelcontextprotocol/sdk@1.32.2 >/dev/null
cat > finding.mjs <<'JS'
import http from 'node:http';
import { readFileSync } from 'node:fs';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const resumed = [];
let called = false;
const server = http.createServer((request, response) => {
  const stream = { 'content-type': 'text/event-stream', 'mcp-session-id': 'one' };
  if (request.method === 'GET') {
    if (!called) return void response.writeHead(405).end();
    resumed.push(request.headers['last-event-id'] ?? 'none');
    // Nothing new yet: the connection ends in good order.
    return void response.writeHead(200, stream).end();
  }
  let body = '';
  request.on('data', (chunk) => (body += chunk)).on('end', () => {
    const message = JSON.parse(body);
    if (message.method === 'initialize') {
      const result = { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'poll', version: '1' } };
      response.writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': 'one' });
      return void response.end(JSON.stringify({ jsonrpc: '2.0', id: message.id, result }));
    }
    if (message.id === undefined) return void response.writeHead(202).end();
    called = true;
    response.writeHead(200, stream).end('id: place-1\nretry: 50\ndata: \n\n');
  });
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const client = new Client({ name: 'finding', version: '1' });
await client.connect(new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${server.address().port}/mcp`)));
const outcome = await client.callTool({ name: 'slow' }, undefined, { timeout: 5000 }).catch((error) => error.message);
const { version } = JSON.parse(readFileSync('node_modules/@modelcontextprotocol/sdk/package.json'));
console.log(`@modelcontextprotocol/sdk ${version}`);
const [first, ...later] = resumed;
console.log(`Last-Event-ID of the first request that resumes: ${first}; of the ${later.length} after it: ${[...new Set(later)].join(', ')}`);
console.log(`the call: ${outcome}`);
process.exit(first === 'place-1' && later.length > 0 && later.every((id) => id === 'none') ? 0 : 1);
JS
node finding.mjs || { echo "it is no longer so" >&2; exit 1; }
