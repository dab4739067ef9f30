#!/usr/bin/env bash
# The 401 to a large request of the TypeScript client is lost where the server is axum's.
#
# Expected: a handler of axum that answers 401 without reading the body ends the exchange with that status, whatever the size of the
# body, and a client that is still sending stops and reads it. So nginx and Go's net/http have it, which read on for a moment after such
# a response (RFC 9112 §9.6), and so Python's httpx, which reads the response although its write has failed.
#
# What happens: axum 0.8.9 on hyper 1.12.0 writes the response and closes the socket with the rest of the body unread in it, which the
# kernel turns into a reset; and `fetch` in Node reports a reset in the middle of its write as `fetch failed` without a look at the
# response that came before. So `StreamableHTTPClientTransport` of @modelcontextprotocol/sdk 1.32.2 sees the 401 of a small tool call
# and, as a rule, not that of one with a file in its arguments; tests, whose bodies are small, never notice.
#
# Why it matters: authorization begins with the 401 of a POST. Here no login begins; the user reads of a broken connection and
# looks for it in the network. A server, or a proxy, that may refuse early has to drain what the client still sends.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
cargo init --quiet --vcs none --name finding
cargo add --quiet axum@=0.8.9 --no-default-features --features http1,tokio
cargo add --quiet tokio@=1.54.1 --features rt,net,io-util
cargo add --quiet hyper@=1.12.0
cat > src/main.rs <<'RS'
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("http://{}/mcp", listener.local_addr().unwrap());
        let router = Router::new().route("/mcp", post(|| async { (StatusCode::UNAUTHORIZED, "who are you?") }));
        axum::serve(listener, router).await.unwrap();
    });
}
RS
cat > client.mjs <<'JS'
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

async function refusals(size) {
    const seen = { status401: 0, lost: 0 };
    for (let i = 0; i < 20; i++) {
        const transport = new StreamableHTTPClientTransport(new URL(process.argv[2]));
        await transport.start();
        const call = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "x", arguments: { file: "x".repeat(size) } } };
        try {
            await transport.send(call);
        } catch (error) {
            error.code === 401 ? seen.status401++ : /fetch failed/.test(String(error)) && seen.lost++;
        }
        await transport.close();
    }
    return seen;
}

const small = await refusals(1_000);
const large = await refusals(30_000_000);
console.log("of 20 calls of 1 KB, the client saw the status 401:", small.status401);
console.log("of 20 calls of 30 MB:", large.status401, "and a broken connection:", large.lost);
process.exit(small.status401 === 20 && large.lost > 0 ? 0 : 1);
JS
npm install --silent --no-audit --no-fund @modelcontextprotocol/sdk@1.32.2
cargo build --quiet
./target/debug/finding > url &
server=$!
until [ -s url ]; do sleep 0.1; done
echo "axum 0.8.9, hyper 1.12.0, @modelcontextprotocol/sdk 1.32.2, node $(node --version)"
node client.mjs "$(cat url)" || { echo "it is no longer so" >&2; exit 1; }
