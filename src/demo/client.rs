//! The demo's scripted client: it tells one story over Streamable HTTP, at human pace or flat out.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::wire::Wire;
pub use super::wire::WireError;

/// How long a request of the story may take before the client gives up on it: what SDKs have as their default.
const PATIENCE: Duration = Duration::from_secs(60);

/// One request of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StoryStep {
    method: &'static str,
    /// The params, as JSON.
    params: &'static str,
    then: AfterSending,
}

/// What the client does besides waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterSending {
    Wait,
    /// Goes on with the story while this waits: the operator may hold it for long.
    GoOn,
    /// Takes the request back after this many messages of its stream.
    CancelAfter(usize),
}

const fn step(method: &'static str, params: &'static str) -> StoryStep {
    StoryStep { method, params, then: AfterSending::Wait }
}

/// What comes before the story, at once.
const OPENING: [StoryStep; 3] = [step("tools/list", "{}"), step("resources/list", "{}"), step("prompts/list", "{}")];

/// What the demo's client does over and over once it has begun.
const STORY: [StoryStep; 13] = [
    step("tools/call", r#"{"name":"get_forecast","arguments":{"city":"Lisbon"}}"#),
    step("prompts/get", r#"{"name":"packing_list","arguments":{"city":"Lisbon"}}"#),
    step("tools/call", r#"{"name":"search_flights","arguments":{"from":"Oslo","to":"Lisbon"}}"#),
    // 2026 has no 29th of February.
    StoryStep {
        method: "tools/call",
        params: r#"{"name":"book_flight","arguments":{"date":"2026-02-29","flight":"TP204","passenger":"Ada L."}}"#,
        then: AfterSending::GoOn,
    },
    step("tools/call", r#"{"name":"index_documents","arguments":{},"_meta":{"progressToken":"index-1"}}"#),
    step("resources/list", "{}"),
    step("resources/read", r#"{"uri":"file:///trips/lisbon.md"}"#),
    step("tools/call", r#"{"name":"summarize","arguments":{"path":"/trips/lisbon.md"}}"#),
    step("tools/call", r#"{"name":"read_file","arguments":{"path":"/trips/kyoto.md"}}"#),
    step(
        "tools/call",
        r#"{"name":"book_flight","arguments":{"flight":"XX1","date":"2026-03-02","passenger":"Ada L."}}"#,
    ),
    StoryStep {
        method: "tools/call",
        params: r#"{"name":"tail_log","arguments":{"follow":true}}"#,
        then: AfterSending::CancelAfter(4),
    },
    step("tools/call", r#"{"name":"get_forecast","arguments":{"city":"Atlantis"}}"#),
    step("ping", "{}"),
];

/// A request of the script and what came back.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    pub method: &'static str,
    /// The tool, prompt or resource.
    pub name: Option<String>,
    /// The whole reply; `None` where the client took the request back.
    pub reply: Option<Value>,
    /// Messages of the server that came on the reply's stream before it.
    pub told: Vec<Value>,
}

/// Tells the story to the server at `url` again and again until `stop`. The first messages go out at once, then one
/// exchange each `pace`. Hands one line for each to `narrate`. What fails within the story is narrated, not fatal.
///
/// # Errors
/// Where not even the opening succeeds.
pub async fn run(
    url: &str,
    pace: Duration,
    stop: CancellationToken,
    mut narrate: impl FnMut(&str),
) -> Result<(), WireError> {
    let Some(opened) = stop.run_until_cancelled(open(url, &mut narrate)).await else {
        return Ok(());
    };
    let wire = opened?;
    let mut waiting: JoinSet<String> = JoinSet::new();
    let story = async {
        let mut rhythm = tokio::time::interval(pace.max(Duration::from_millis(1)));
        rhythm.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for step in STORY.iter().cycle() {
            rhythm.tick().await;
            while let Some(Ok(line)) = waiting.try_join_next() {
                narrate(&line);
            }
            match step.then {
                AfterSending::GoOn if waiting.is_empty() => {
                    let wire = wire.clone();
                    waiting.spawn(async move { describe(*step, perform(&wire, *step).await.as_ref()) });
                }
                AfterSending::GoOn => {}
                _ => narrate(&patiently(&wire, *step).await),
            }
        }
    };
    stop.run_until_cancelled(story).await;
    wire.close().await;
    Ok(())
}

/// Tells the story once, flat out, one request after the other: for tests, and to record a tape.
///
/// # Errors
/// The first exchange that fails below JSON-RPC.
pub async fn script(url: &str) -> Result<Vec<Exchange>, WireError> {
    let wire = Wire::open(url).await?;
    let mut exchanges = Vec::new();
    for step in OPENING.iter().chain(&STORY) {
        exchanges.push(perform(&wire, *step).await?);
    }
    wire.close().await;
    Ok(exchanges)
}

async fn open(url: &str, narrate: &mut impl FnMut(&str)) -> Result<Wire, WireError> {
    let wire = Wire::open(url).await?;
    narrate(&format!("initialize: {} speaks {}", wire.server(), wire.protocol()));
    for step in OPENING {
        narrate(&describe(step, perform(&wire, step).await.as_ref()));
    }
    Ok(wire)
}

/// One step, given up as an SDK would give it up: with a cancellation.
async fn patiently(wire: &Wire, step: StoryStep) -> String {
    let id = wire.next_id();
    if let Ok(done) = tokio::time::timeout(PATIENCE, perform_as(id, wire, step)).await {
        return describe(step, done.as_ref());
    }
    let reason = format!("no reply within {} s", PATIENCE.as_secs());
    // Where not even this arrives, the next step will tell.
    let _ = wire.cancel(id, &reason).await;
    format!("{}: {reason}", subject(step))
}

async fn perform(wire: &Wire, step: StoryStep) -> Result<Exchange, WireError> {
    perform_as(wire.next_id(), wire, step).await
}

async fn perform_as(id: u64, wire: &Wire, step: StoryStep) -> Result<Exchange, WireError> {
    let params: Value = serde_json::from_str(step.params).expect("the story is written in JSON");
    let name = params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str).map(str::to_owned);
    let mut messages = wire.request(id, step.method, params).await?;
    let mut told = Vec::new();
    let reply = loop {
        if step.then == AfterSending::CancelAfter(told.len()) {
            wire.cancel(id, "seen enough").await?;
            // Until the server has ended the stream, it has not heard.
            while messages.next().await?.is_some() {}
            break None;
        }
        match messages.reply().await? {
            message if message.get("method").is_none() => break Some(message),
            message => {
                answer(wire, &message).await?;
                told.push(message);
            }
        }
    };
    Ok(Exchange { method: step.method, name, reply, told })
}

/// Answers a request of the server; its notifications need no answer.
async fn answer(wire: &Wire, message: &Value) -> Result<(), WireError> {
    let Some(id) = message.get("id") else {
        return Ok(());
    };
    let reply = match message["method"].as_str() {
        Some("sampling/createMessage") => json!({"jsonrpc": "2.0", "id": id, "result": {
            "role": "assistant",
            "content": {"type": "text", "text": "Rise early, ride the tram, and keep the aquarium for the rain."},
            "model": "paper-1",
            "stopReason": "endTurn",
        }}),
        Some("ping") => json!({"jsonrpc": "2.0", "id": id, "result": {}}),
        _ => json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "Method not found"}}),
    };
    wire.post(&reply).await.map(|_| ())
}

/// One line about a step.
fn describe(step: StoryStep, done: Result<&Exchange, &WireError>) -> String {
    let outcome = match done {
        Ok(Exchange { reply: Some(reply), .. }) => outcome_of(reply),
        Ok(Exchange { reply: None, .. }) => "cancelled".to_owned(),
        Err(error) => error.to_string(),
    };
    format!("{}: {outcome}", subject(step))
}

fn outcome_of(reply: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("ok").lines().next().unwrap_or_default().to_owned();
    match (reply.get("error"), reply["result"].get("isError")) {
        (Some(error), _) => format!("error {}: {}", error["code"], text(&error["message"])),
        (None, Some(Value::Bool(true))) => format!("failed: {}", text(&reply["result"]["content"][0]["text"])),
        _ => text(&reply["result"]["content"][0]["text"]),
    }
}

fn subject(step: StoryStep) -> String {
    let params: Value = serde_json::from_str(step.params).unwrap_or_default();
    match params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str) {
        Some(name) => format!("{} {name}", step.method),
        None => step.method.to_owned(),
    }
}
