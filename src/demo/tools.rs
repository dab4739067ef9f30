//! What the demo server can do: a small travel desk. All of it is fixed text.

use serde_json::{Value, json};

use super::call::{RpcError, ToolCall};
use super::options::Scenario;

/// The files that the server has, as path and content.
const FILES: [(&str, &str); 3] = [
    ("/trips/lisbon.md", "# Lisbon\n\n- tram 28 before nine\n- the aquarium on a rainy day\n- pastéis, warm\n"),
    ("/trips/oslo.md", "# Oslo\n\n- the opera roof at sunset\n- ferry to Bygdøy\n"),
    ("/trips/kyoto.md", "# Kyoto\n\n- 伏見稲荷 at dawn, 千本鳥居 without the crowd\n- nothing on Mondays\n"),
];

const FLIGHT: &str = "TP204";

/// The days on which the flight goes.
const FLIGHT_DAYS: [&str; 3] = ["2026-03-02", "2026-03-04", "2026-03-06"];

const LOG: [(&str, &str); 4] = [
    ("info", "desk open"),
    ("debug", "cache warm, 3 cities"),
    ("warning", "ticket printer low on paper"),
    ("error", "printer offline, retrying"),
];

type ToolOutcome = Result<Value, RpcError>;

/// Whether the reply comes on a stream, because other messages come before it.
pub(super) fn streams(message: &Value) -> bool {
    let tool = message["params"]["name"].as_str().unwrap_or_default();
    message["method"] == "tools/call" && ["index_documents", "summarize", "tail_log"].contains(&tool)
}

pub(super) fn list() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({"tools": [
        {
            "name": "get_forecast",
            "description": "The weather of the next days in a city",
            "inputSchema": object(json!({"city": text("Lisbon, Oslo or Kyoto")}), &["city"]),
            "outputSchema": object(
                json!({"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "object"}}}),
                &["city", "days"],
            ),
            "annotations": {"readOnlyHint": true},
        },
        {
            "name": "search_flights",
            "description": "Flights from one city to another",
            "inputSchema": object(json!({"from": text("city"), "to": text("city")}), &["from", "to"]),
            "annotations": {"readOnlyHint": true},
        },
        {
            "name": "book_flight",
            "description": "Books a seat",
            "inputSchema": object(
                json!({"flight": text("flight number"), "date": text("YYYY-MM-DD"), "passenger": text("name")}),
                &["flight", "date", "passenger"],
            ),
            "annotations": {"destructiveHint": true},
        },
        {
            "name": "read_file",
            "description": "A file of the desk",
            "inputSchema": object(json!({"path": text("such as /trips/lisbon.md")}), &["path"]),
            "annotations": {"readOnlyHint": true},
        },
        {
            "name": "index_documents",
            "description": "Reads all files into the search index, and tells its progress",
            "inputSchema": object(json!({}), &[]),
        },
        {
            "name": "summarize",
            "description": "Has the client's model summarize a file",
            "inputSchema": object(json!({"path": text("such as /trips/oslo.md")}), &["path"]),
        },
        {
            "name": "tail_log",
            "description": "Sends the desk's log; with follow, until cancelled",
            "inputSchema": object(json!({"follow": {"type": "boolean"}}), &[]),
        },
    ]})
}

#[expect(clippy::needless_pass_by_value, reason = "the macro takes it by reference, the callers hand over literals")]
fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

pub(super) async fn call(call: &ToolCall, params: &Value) -> ToolOutcome {
    let arguments = &params["arguments"];
    match params["name"].as_str().unwrap_or_default() {
        "get_forecast" => get_forecast(call, arguments),
        "search_flights" => search_flights(arguments),
        "book_flight" => book_flight(arguments),
        "read_file" => Ok(read_file(argument(arguments, "path")?)),
        "index_documents" => Ok(index_documents(call).await),
        "summarize" => summarize(call, arguments).await,
        "tail_log" => Ok(tail_log(call, arguments).await),
        unknown => Err(RpcError::new(RpcError::INVALID_PARAMS, format!("Unknown tool: {unknown}"))),
    }
}

fn argument<'a>(arguments: &'a Value, name: &str) -> Result<&'a str, RpcError> {
    arguments[name]
        .as_str()
        .ok_or_else(|| RpcError::new(RpcError::INVALID_PARAMS, format!("Invalid arguments: `{name}` must be a string")))
}

fn result(text: impl Into<String>) -> Value {
    json!({"content": [{"type": "text", "text": text.into()}]})
}

/// A tool that failed says so in its result, so that the model can read it (tools, "error handling").
fn failure(text: impl Into<String>) -> Value {
    json!({"content": [{"type": "text", "text": text.into()}], "isError": true})
}

fn get_forecast(call: &ToolCall, arguments: &Value) -> ToolOutcome {
    let city = argument(arguments, "city")?;
    let degrees = match city {
        "Lisbon" => [19, 21, 18],
        "Oslo" => [-3, 0, 2],
        "Kyoto" => [11, 12, 9],
        _ => return Ok(failure(format!("no station in {city}; there is one in Lisbon, Oslo and Kyoto"))),
    };
    let first = if call.client.options.scenario == Scenario::Changed { "fog" } else { "sun" };
    let days = [("today", first), ("tomorrow", "clouds"), ("after", "rain")];
    let days: Vec<Value> =
        days.iter().zip(degrees).map(|((day, sky), high)| json!({"day": day, "sky": sky, "high": high})).collect();
    let forecast = json!({"city": city, "days": days});
    let mut outcome = result(forecast.to_string());
    outcome["structuredContent"] = forecast;
    Ok(outcome)
}

fn search_flights(arguments: &Value) -> ToolOutcome {
    let (from, to) = (argument(arguments, "from")?, argument(arguments, "to")?);
    let flights = json!([
        {"flight": FLIGHT, "from": from, "to": to, "departs": "07:45", "days": FLIGHT_DAYS, "price": {"EUR": 129.00}},
        {"flight": "DY1832", "from": from, "to": to, "departs": "16:20", "days": ["2026-03-03"], "price": {"EUR": 89.50}},
    ]);
    Ok(result(flights.to_string()))
}

/// A wrong flight is a wrong parameter; a wrong day is something a model can mend, and a visitor of the demo too.
fn book_flight(arguments: &Value) -> ToolOutcome {
    let (flight, date) = (argument(arguments, "flight")?, argument(arguments, "date")?);
    let passenger = argument(arguments, "passenger")?;
    if flight != FLIGHT {
        return Err(RpcError::new(RpcError::INVALID_PARAMS, format!("Invalid arguments: no flight {flight}")));
    }
    if !FLIGHT_DAYS.contains(&date) {
        return Ok(failure(format!(
            "{flight} does not fly on {date}. It flies on {}. \
             (In the demo: edit the date while the call is held, and see what comes back.)",
            FLIGHT_DAYS.join(", ")
        )));
    }
    let mut booked = result(format!(
        "Booked: {flight} on {date} for {passenger}, seat 12A. Well done: the client asked for a day that does not \
         exist, and you mended its call on the way."
    ));
    booked["structuredContent"] = json!({"flight": flight, "date": date, "seat": "12A"});
    Ok(booked)
}

fn read_file(path: &str) -> Value {
    match content_of(path) {
        Some(content) => result(content),
        None => failure(format!("no such file: {path}")),
    }
}

fn content_of(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == path).map(|(_, content)| *content)
}

async fn index_documents(call: &ToolCall) -> Value {
    for (done, (path, _)) in FILES.iter().enumerate() {
        if let Some(token) = &call.progress_token {
            let params = json!({
                "progressToken": token,
                "progress": done + 1,
                "total": FILES.len(),
                "message": format!("indexing {path}"),
            });
            call.notify("notifications/progress", params).await;
        }
    }
    call.client.notify("notifications/resources/list_changed");
    result(format!("{} documents indexed", FILES.len()))
}

/// The server has no model: it asks for the client's (sampling, revisions up to 2025-11-25).
async fn summarize(call: &ToolCall, arguments: &Value) -> ToolOutcome {
    let path = argument(arguments, "path")?;
    let Some(content) = content_of(path) else {
        return Ok(failure(format!("no such file: {path}")));
    };
    if !call.client_samples() {
        return Ok(failure("this client has no model to ask: it does not offer sampling"));
    }
    let question = json!({
        "messages": [{"role": "user", "content": {"type": "text", "text": format!("One sentence, please:\n\n{content}")}}],
        "systemPrompt": "You are a travel agent in a hurry.",
        "maxTokens": 60,
    });
    let sampled = call.ask("sampling/createMessage", question).await?;
    Ok(result(sampled["content"]["text"].as_str().unwrap_or("(the model said nothing)")))
}

async fn tail_log(call: &ToolCall, arguments: &Value) -> Value {
    for (level, line) in LOG {
        let params = json!({"level": level, "logger": "desk", "data": line});
        call.notify("notifications/message", params).await;
    }
    if arguments["follow"] == true {
        // Nothing more is ever logged; the client ends it.
        call.client.is_gone.cancelled().await;
    }
    result(format!("{} lines", LOG.len()))
}

fn uri(path: &str) -> String {
    format!("file://{path}")
}

pub(super) fn list_resources() -> Value {
    let resources = FILES.iter().map(|(path, _)| {
        let name = path.rsplit('/').next().unwrap_or(path);
        json!({"uri": uri(path), "name": name, "mimeType": "text/markdown"})
    });
    json!({"resources": resources.collect::<Vec<_>>()})
}

pub(super) fn read_resource(params: &Value) -> ToolOutcome {
    let wanted = argument(params, "uri")?;
    let found = FILES.iter().find(|(path, _)| uri(path) == wanted);
    let (_, content) =
        found.ok_or_else(|| RpcError::new(RpcError::RESOURCE_NOT_FOUND, format!("Resource not found: {wanted}")))?;
    Ok(json!({"contents": [{"uri": wanted, "mimeType": "text/markdown", "text": content}]}))
}

pub(super) fn list_prompts() -> Value {
    json!({"prompts": [{
        "name": "packing_list",
        "description": "What to take along",
        "arguments": [{"name": "city", "description": "where to", "required": true}],
    }]})
}

pub(super) fn get_prompt(params: &Value) -> ToolOutcome {
    if params["name"] != "packing_list" {
        return Err(RpcError::new(RpcError::INVALID_PARAMS, format!("Unknown prompt: {}", params["name"])));
    }
    let city = argument(&params["arguments"], "city")?;
    let text = format!("Write a packing list for three days in {city}. Ask for the forecast first.");
    Ok(json!({
        "description": "What to take along",
        "messages": [{"role": "user", "content": {"type": "text", "text": text}}],
    }))
}
