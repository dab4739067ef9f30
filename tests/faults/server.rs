//! The server behind tapline: this program in another role, on stdio, for clients of any revision.

use std::io::{BufRead as _, Write as _};

use serde_json::{Value, json};

/// Tools: `echo` gives back its arguments, `pid` says who it is, `progress` tells five steps before its answer, `die` ends it, `deaf`
/// reads nothing any more, and the floods write so many MiB: messages, lines on stderr, one line without end.
pub(crate) fn run() {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        let Some(id) = message.get("id").filter(|_| message.get("method").is_some()) else { continue };
        let params = &message["params"];
        let result = match (message["method"].as_str().unwrap_or_default(), params["name"].as_str().unwrap_or_default())
        {
            ("initialize", _) => json!({
                "protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "faults", "version": "1"},
            }),
            ("tools/list", _) => json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}),
            ("tools/call", "die") => std::process::abort(),
            ("tools/call", "deaf") => loop {
                std::thread::park();
            },
            ("tools/call", "flood") => {
                flood(
                    &mut out,
                    r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"much"}}"#,
                    params,
                );
                text("done")
            }
            ("tools/call", "flood_stderr") => {
                flood(
                    &mut std::io::stderr().lock(),
                    "a server that has much to say, and says it again and again",
                    params,
                );
                text("done")
            }
            ("tools/call", "flood_line") => {
                let piece = vec![b'x'; 1 << 20];
                (0..mib(params)).try_for_each(|_| out.write_all(&piece)).and_then(|()| out.flush()).unwrap_or_default();
                loop {
                    std::thread::park();
                }
            }
            ("tools/call", "pid") => text(&std::process::id().to_string()),
            ("tools/call", "progress") => {
                for step in 1..=5 {
                    let token = &params["_meta"]["progressToken"];
                    let told = json!({"progressToken": token, "progress": step, "total": 5});
                    let told = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": told});
                    if writeln!(out, "{told}").is_err() {
                        return;
                    }
                }
                text("done")
            }
            ("tools/call", _) => text(&params["arguments"].to_string()),
            _ => json!({}),
        };
        let reply = json!({"jsonrpc": "2.0", "id": id, "result": result});
        if writeln!(out, "{reply}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

fn mib(params: &Value) -> usize {
    params["arguments"]["mib"].as_u64().unwrap_or(1).try_into().unwrap_or(1)
}

/// Writes a line again and again, until it is so much, or nobody takes it.
fn flood(to: &mut impl std::io::Write, line: &str, params: &Value) {
    let lines = (mib(params) << 20) / (line.len() + 1);
    (0..lines).try_for_each(|_| writeln!(to, "{line}")).unwrap_or_default();
}

fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}
