//! Tests that do what the client of a tape did, with an SDK, and expect the results of the tape.
//!
//! Calls of tools, reads of resources, prompts and lists are in them; what a client does by itself (`initialize` and notifications) the
//! SDK does. What else a client asked is named at the end of the test. A result that changes from run to run is said by the person who takes the test over, in `IGNORE`.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use super::messages::ExportedTape;
use crate::envelope::Envelope;
use crate::mcp::era::is_modern_revision;
use crate::mcp::method;
use crate::message::Kind;
use crate::tape::TapeOutputError;
use crate::tape::read::ReadWatch;
use crate::text::sanitize;

/// A call with what came of it.
struct TestStep {
    method: &'static str,
    params: Value,
    /// `result`, or `error` with its code.
    expected: Value,
}

/// Methods that all three SDKs have a function for.
const KNOWN: [&str; 7] = [
    method::TOOLS_LIST,
    method::TOOLS_CALL,
    method::RESOURCES_LIST,
    method::RESOURCE_TEMPLATES_LIST,
    method::RESOURCES_READ,
    method::PROMPTS_LIST,
    method::PROMPTS_GET,
];

/// What an SDK asks by itself.
const OF_SDK: [&str; 2] = [method::INITIALIZE, method::DISCOVER];

fn step(sent: &Envelope, reply: &Envelope) -> Option<TestStep> {
    let method = KNOWN.into_iter().find(|known| sent.message.method() == Some(*known))?;
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    let mut params = sent.message.member("params").and_then(value).unwrap_or_else(|| json!({}));
    let reply = &reply.message;
    let mut expected = match (reply.member("result").and_then(value), reply.member("error").and_then(value)) {
        (Some(result), _) => json!({ "result": result }),
        (None, Some(error)) => json!({ "error": { "code": error["code"] } }),
        (None, None) => return None,
    };
    let has_input = expected["result"].get("inputRequests").is_some() || params.get("inputResponses").is_some();
    for object in [Some(&mut params), expected.get_mut("result")].into_iter().flatten() {
        if let Some(members) = object.as_object_mut() {
            members.shift_remove("_meta");
        }
    }
    (!has_input).then_some(TestStep { method, params, expected })
}

/// Tells each step as JSON in a string of the language, which all three read alike: no literal of theirs has to hold it. Returns the
/// methods of what is no step, and how often each was asked.
fn each_step(
    tape: &ExportedTape,
    watch: &ReadWatch<'_>,
    mut tell: impl FnMut(&str) -> Result<(), TapeOutputError>,
) -> Result<BTreeMap<String, u64>, TapeOutputError> {
    let mut left = BTreeMap::new();
    tape.each_exchange(watch, |sent, reply, is_asked| {
        // What the client has to answer in between is in no test.
        let step = reply.filter(|_| !is_asked).and_then(|reply| step(sent, reply));
        let Some(TestStep { method, params, expected }) = step else {
            let asked = sent.message.method().filter(|it| sent.kind() == Kind::Request && !OF_SDK.contains(it));
            if let Some(method) = asked {
                *left.entry(sanitize(method).into_owned()).or_default() += 1;
            }
            return Ok(());
        };
        let step = json!({ "method": method, "params": params, "expected": expected });
        tell(&step.to_string().replace('\u{7f}', "\\u007f"))
    })?;
    Ok(left)
}

/// Writes a test with its steps, a line each, as `spell` spells them in a string of its language, in which `comment` begins a comment.
fn write_test(
    tape: &ExportedTape,
    (test, comment): (&str, &str),
    spell: impl Fn(&str) -> String,
    watch: &ReadWatch<'_>,
    out: &mut dyn Write,
) -> Result<(), TapeOutputError> {
    let (before, behind) = test.split_once("@STEPS@").expect("a test has steps");
    writeln!(out, "{before}[")?;
    let mut is_behind = false;
    let left = each_step(tape, watch, |step| {
        let comma = if std::mem::replace(&mut is_behind, true) { ",\n" } else { "" };
        Ok(write!(out, "{comma}{}", spell(step))?)
    })?;
    let end = if is_behind { "\n]" } else { "]" };
    write!(out, "{end}{behind}")?;
    if !left.is_empty() {
        let left: Vec<_> = left.iter().map(|(method, count)| format!("{method} ({count})")).collect();
        write!(out, "\n{comment} On the tape, and not in this test: {}.\n", left.join(", "))?;
    }
    Ok(())
}

/// Where the server is, in words that a test can take from its environment.
fn target(tape: &ExportedTape) -> String {
    json!(tape.header().upstream).to_string()
}

fn title(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect()
}

/// A raw string of Python: the JSON has no `'''` that is not escaped.
pub(super) fn pytest(
    tape: &ExportedTape,
    name: &str,
    watch: &ReadWatch<'_>,
    out: &mut dyn Write,
) -> Result<(), TapeOutputError> {
    let test = PYTEST.replace("@NAME@", &title(name)).replace("@TARGET@", &target(tape));
    write_test(tape, (&test, "#"), |step| step.replace("'''", "\\u0027\\u0027\\u0027"), watch, out)
}

pub(super) fn vitest(
    tape: &ExportedTape,
    name: &str,
    watch: &ReadWatch<'_>,
    out: &mut dyn Write,
) -> Result<(), TapeOutputError> {
    let [package, imports, options, ignore] = if is_modern(tape) { VITEST_MODERN } else { VITEST_LEGACY };
    let test = VITEST
        .replace("@NAME@", &title(name))
        .replace("@PACKAGE@", package)
        .replace("@IMPORTS@", imports)
        .replace("@OPTIONS@", options)
        .replace("@IGNORE@", ignore)
        .replace("@TARGET@", &target(tape));
    write_test(tape, (&test, "//"), |step| step.replace('`', "\\u0060").replace("${", "$\\u007b"), watch, out)
}

pub(super) fn rust(
    tape: &ExportedTape,
    name: &str,
    watch: &ReadWatch<'_>,
    out: &mut dyn Write,
) -> Result<(), TapeOutputError> {
    let mut longest = 0;
    each_step(tape, watch, |step| {
        longest = longest.max(step.split(|c| c != '#').map(str::len).max().unwrap_or(0));
        Ok(())
    })?;
    let [imports, serve] = if is_modern(tape) { RUST_MODERN } else { RUST_LEGACY };
    let test = RUST
        .replace("@NAME@", &title(name))
        .replace("@IMPORTS@", imports)
        .replace("@SERVE@", serve)
        .replace("@TARGET@", &target(tape))
        .replace("@HASHES@", &"#".repeat(longest + 1));
    write_test(tape, (&test, "//"), str::to_owned, watch, out)
}

/// Whether the client of the tape spoke a revision without a handshake: the SDK of the test is to speak it, too.
fn is_modern(tape: &ExportedTape) -> bool {
    tape.header().peers.protocol.as_deref().is_some_and(is_modern_revision)
}

/// The package, what is taken from it, what its client needs beside its name, and what of a result it does not hand out. Version 1 of the TypeScript SDK knows revisions with a
/// handshake only; version 2 is another package.
const VITEST_LEGACY: [&str; 4] = [
    "@modelcontextprotocol/sdk",
    r#"import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";"#,
    "",
    "",
];
const VITEST_MODERN: [&str; 4] = [
    "@modelcontextprotocol/client",
    r#"import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";"#,
    r#", { versionNegotiation: { mode: "auto" } }"#,
    // This client reads it, and keeps it from who asked.
    r"/^\.result\.resultType$/",
];
/// What is taken from rmcp, and how its client is started: unasked it begins with a handshake.
const RUST_LEGACY: [&str; 2] = [
    "use rmcp::ServiceExt as _;
use rmcp::model::{CallToolRequestParams, GetPromptRequestParams, ReadResourceRequestParams};",
    "serve(transport)",
];
const RUST_MODERN: [&str; 2] = [
    "use rmcp::model::{CallToolRequestParams, GetPromptRequestParams, ProtocolVersion, ReadResourceRequestParams};
use rmcp::{ClientLifecycleMode, ClientServiceExt as _};",
    "serve_with_lifecycle(transport, ClientLifecycleMode::Auto { preferred_versions: vec![ProtocolVersion::V_2026_07_28], legacy_version: None })",
];

const PYTEST: &str = include_str!("../../../assets/export/test_tape.py.txt");
const VITEST: &str = include_str!("../../../assets/export/tape.test.ts.txt");
const RUST: &str = include_str!("../../../assets/export/tape.rs.txt");
