//! What may stand behind `do`.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use toml::de::DeValue;

use crate::envelope::{Envelope, SessionId};
use crate::event::BlockError;
use crate::hooks::{Hook, HookSpec, HookTarget, OnHookFailure};
use crate::intercept::{BreakOff, HttpAnswer};
use crate::json::splice::{JsonPointer, PatchStep};
use crate::mcp::error_code::ErrorCode;
use crate::message::members_of;
use crate::rules::action::{AnswerBody, BREAKS, Corruption, ProgressPlan, RuleAction, RuleChange, ServerSignal};
use crate::rules::chance::DelaySpread;
use crate::rules::jq::JqProgram;
use crate::rules::template::JsonTemplate;
use crate::text;

/// What may stand behind `do`.
pub(super) const ACTIONS: [&str; 21] = [
    "continue",
    "hold",
    "drop",
    "log",
    "block",
    "answer",
    "modify",
    "tool",
    "upstream",
    "delay",
    "throttle",
    "corrupt",
    "status",
    "disconnect",
    "duplicate",
    "reorder",
    "hook",
    "kill",
    "stop",
    "progress",
    "notify",
];

/// An action that is said in a word.
pub(super) fn without_argument(name: &str) -> Result<RuleAction, String> {
    Ok(match name {
        "continue" => RuleAction::Continue,
        "hold" => RuleAction::Hold,
        "drop" => RuleAction::Drop,
        "disconnect" => RuleAction::Disconnect(BreakOff::Before),
        "reorder" => RuleAction::Reorder(OVERTAKEN),
        "kill" => RuleAction::Aside(ServerSignal::Kill),
        "stop" => RuleAction::Aside(ServerSignal::Stop(None)),
        "duplicate" => RuleAction::Duplicate,
        "log" => RuleAction::Log("hit".to_owned()),
        "block" => RuleAction::Block(blocked("blocked by a rule")),
        name if ACTIONS.contains(&name) => {
            return Err(format!("`{name}` needs more, such as `{{ {} }}`", example(name)));
        }
        name => return Err(unknown("action", name, &ACTIONS)),
    })
}

/// An action with what stands behind its name.
pub(super) fn with_argument(name: &str, value: &DeValue<'_>) -> Result<RuleAction, String> {
    let needs = || format!("`{name}` needs {}", example(name));
    let text = || value.as_str().ok_or_else(needs);
    match name {
        "log" => Ok(RuleAction::Log(text()?.to_owned())),
        "tool" => Ok(RuleAction::Modify(RuleChange::Tool(text()?.to_owned()))),
        "upstream" => upstream(text()?).map(RuleAction::Upstream),
        "block" => block(value).map(RuleAction::Block),
        "answer" => answer(value).map(RuleAction::Answer),
        "modify" => change(value).map(RuleAction::Modify),
        "delay" => spread(value).map(RuleAction::Delay),
        "throttle" => rate(text()?).map(RuleAction::Throttle).ok_or_else(needs),
        "corrupt" => one_of("way to corrupt", text()?, &Corruption::ALL).map(RuleAction::Corrupt),
        "status" => status(value).map(RuleAction::Status),
        "disconnect" => one_of("place to disconnect", text()?, &BREAKS).map(RuleAction::Disconnect),
        "reorder" => text::duration(text()?).map(RuleAction::Reorder),
        "hook" => hook(value).map(RuleAction::Hook),
        "stop" => text::duration(text()?).map(|time| RuleAction::Aside(ServerSignal::Stop(Some(time)))),
        "progress" => progress(value).map(RuleAction::Progress),
        "notify" => notification(value).map(RuleAction::Notify),
        _ if ACTIONS.contains(&name) => Err(format!("`{name}` takes nothing: write `do = \"{name}\"`")),
        _ => Err(unknown("action", name, &ACTIONS)),
    }
}

fn example(action: &str) -> &'static str {
    match action {
        "log" => "log = \"text\"",
        "tool" => "tool = \"other_tool\"",
        "upstream" => "upstream = \"NAME-or-URL\"",
        "answer" => "answer = { result = { content = [] } }",
        "modify" => "modify = { merge = { params = { arguments = { limit = 5 } } } }",
        "delay" => "delay = \"2s\"",
        "throttle" => "throttle = \"10/s\"",
        "corrupt" => "corrupt = \"cut\"",
        "status" => "status = 503",
        "hook" => "hook = { command = [\"python3\", \"hook.py\"] }",
        "stop" => "stop = \"5s\"",
        "progress" => "progress = \"500ms\"",
        "notify" => "notify = \"METHOD\"",
        "reorder" => "reorder = \"1s\"",
        "disconnect" => "disconnect = \"within\"",
        _ => "block = { code = -31000, message = \"no\" }",
    }
}

/// A message waits no longer than this for another to pass it.
const OVERTAKEN: Duration = Duration::from_secs(2);
/// A hook has this much time.
const HOOK_TIME: Duration = Duration::from_secs(2);

fn one_of<T: Copy>(what: &str, word: &str, known: &[(&str, T)]) -> Result<T, String> {
    let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
    let found = known.iter().find(|(name, _)| *name == word);
    found.map(|(_, it)| *it).ok_or_else(|| unknown(what, word, &names))
}

fn progress(value: &DeValue<'_>) -> Result<ProgressPlan, String> {
    if let Some(every) = value.as_str() {
        return above_zero(every).map(|every| ProgressPlan { every, total: None, text: None });
    }
    let members = members(value, "progress", &["every", "total", "message"])?;
    let every = members.get("every").and_then(Value::as_str).ok_or("`progress` needs `every`, such as `\"500ms\"`")?;
    let total = members.get("total").map(|total| total.as_u64().ok_or("`total` is a whole number")).transpose()?;
    let text = members.get("message").map(|text| text.as_str().ok_or("`message` is a text")).transpose()?;
    Ok(ProgressPlan { every: above_zero(every)?, total, text: text.map(str::to_owned) })
}

/// A method, or a method and its params.
fn notification(value: &DeValue<'_>) -> Result<String, String> {
    const NEEDS: &str = "`notify` needs a method: `notify = \"METHOD\"`, or `{ method = \"METHOD\", params = {} }`";
    let (method, params) = match value.as_str() {
        Some(method) => (method.to_owned(), None),
        None => {
            let members = members(value, "notify", &["method", "params"])?;
            let method = members.get("method").and_then(Value::as_str).ok_or(NEEDS)?.to_owned();
            (method, members.get("params").cloned())
        }
    };
    if method.is_empty() {
        return Err(NEEDS.to_owned());
    }
    let params = params.map(|params| format!(",\"params\":{params}")).unwrap_or_default();
    Ok(format!("{{\"jsonrpc\":\"2.0\",\"method\":{}{params}}}", Value::from(method)))
}

fn above_zero(time: &str) -> Result<Duration, String> {
    let time = text::duration(time)?;
    if time.is_zero() { Err("a time above zero is needed, such as `500ms`".to_owned()) } else { Ok(time) }
}

fn hook(value: &DeValue<'_>) -> Result<Arc<Hook>, String> {
    const FAILURES: [(&str, OnHookFailure); 3] =
        [("continue", OnHookFailure::Continue), ("block", OnHookFailure::Block), ("drop", OnHookFailure::Drop)];
    let members = members(value, "hook", &["command", "url", "timeout", "on_failure", "config"])?;
    let text = |key: &str| {
        members.get(key).map(|it| it.as_str().ok_or_else(|| format!("`{key}` of a hook is a text"))).transpose()
    };
    let target = match (members.get("command"), text("url")?) {
        (Some(command), None) => HookTarget::Command(command_words(command)?),
        (None, Some(url)) => HookTarget::Url(local_url(url)?),
        _ => return Err("`hook` has a `command` or a `url`".to_owned()),
    };
    let timeout = text("timeout")?.map_or(Ok(HOOK_TIME), text::duration)?;
    if timeout.is_zero() {
        return Err("a hook needs a `timeout` above zero, such as `\"2s\"`".to_owned());
    }
    let on_failure =
        text("on_failure")?.map_or(Ok(OnHookFailure::Continue), |word| one_of("`on_failure`", word, &FAILURES))?;
    let config = members.get("config").map(Value::to_string);
    Ok(Hook::new(HookSpec { target, timeout, on_failure, config }))
}

fn command_words(command: &Value) -> Result<Vec<String>, String> {
    let words = match command {
        Value::String(line) => shell_words::split(line).ok(),
        Value::Array(words) => words.iter().map(|word| word.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    words
        .filter(|words| !words.is_empty())
        .ok_or_else(|| "`command` of a hook is a program and its arguments".to_owned())
}

/// What is told to a hook stays on this machine.
fn local_url(url: &str) -> Result<String, String> {
    let local = || "a hook is on this machine: `http://127.0.0.1:PORT/PATH`".to_owned();
    let parsed: http::Uri = url.parse().map_err(|_| local())?;
    let is_local = matches!(parsed.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
    if is_local && parsed.scheme_str() == Some("http") { Ok(url.to_owned()) } else { Err(local()) }
}

/// A name in the configuration, or a URL.
fn upstream(place: &str) -> Result<Arc<str>, String> {
    let url = place.contains("://").then(|| place.parse::<http::Uri>().ok());
    let can_be = match url {
        Some(url) => url.is_some_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()),
        None => !place.is_empty() && !place.contains(|c: char| c.is_whitespace() || c == '/'),
    };
    let why = "`upstream` is the name of an upstream in tapline.toml, or a URL such as `http://127.0.0.1:9000/mcp`";
    if can_be { Ok(place.into()) } else { Err(why.to_owned()) }
}

fn blocked(message: &str) -> BlockError {
    BlockError::JsonRpc { code: ErrorCode::Blocked.number(), message: message.to_owned(), data: None }
}

fn block(value: &DeValue<'_>) -> Result<BlockError, String> {
    if let Some(message) = value.as_str() {
        return Ok(blocked(message));
    }
    let members = members(value, "block", &["code", "message", "data", "tool_error"])?;
    if let Some(text) = members.get("tool_error") {
        let text = text.as_str().ok_or("`tool_error` is the text of a tool result with `isError`")?;
        return match members.len() {
            1 => Ok(BlockError::ToolResult { text: text.to_owned() }),
            _ => Err("`tool_error` stands alone".to_owned()),
        };
    }
    let code = members
        .get("code")
        .map_or(Ok(ErrorCode::Blocked.number()), |code| code.as_i64().ok_or("`code` is a whole number"));
    let message =
        members.get("message").map_or(Ok("blocked by a rule"), |text| text.as_str().ok_or("`message` is a text"));
    let data = members.get("data").map(Value::to_string);
    Ok(BlockError::JsonRpc { code: code?, message: message?.to_owned(), data })
}

fn answer(value: &DeValue<'_>) -> Result<AnswerBody, String> {
    let members = members(value, "answer", &["result", "error", "text"])?;
    if let Some(text) = members.get("text") {
        return whole_text(text, members.len()).map(AnswerBody::Text);
    }
    match (members.get("result"), members.get("error")) {
        (Some(result), None) => template(result).map(AnswerBody::Result),
        (None, Some(error)) => template(error).map(AnswerBody::Error),
        _ => Err("`answer` has a `result` or an `error`".to_owned()),
    }
}

/// A message as it is to be, byte for byte.
fn whole_text(text: &Value, beside: usize) -> Result<String, String> {
    let text = text.as_str().ok_or("`text` is a whole message, as a text")?;
    if beside == 1 { Ok(text.to_owned()) } else { Err("`text` stands alone".to_owned()) }
}

fn template(value: &Value) -> Result<JsonTemplate, String> {
    JsonTemplate::new(json_text(value)?)
}

fn change(value: &DeValue<'_>) -> Result<RuleChange, String> {
    let members = members(value, "modify", &["merge", "patch", "jq", "text"])?;
    if let Some(program) = members.get("jq") {
        let program = program.as_str().filter(|_| members.len() == 1).ok_or("`jq` is a program, and stands alone")?;
        return JqProgram::read(program).map(|program| RuleChange::Jq(Arc::new(program)));
    }
    if let Some(text) = members.get("text") {
        return whole_text(text, members.len()).map(RuleChange::Text);
    }
    match (members.get("merge"), members.get("patch")) {
        (Some(merge), None) => match json_text(merge)? {
            merge @ Value::Object(_) => Ok(RuleChange::Merge(merge)),
            _ => Err("`merge` is a table, or the text of a JSON object, where null takes a member away".to_owned()),
        },
        (None, Some(patch)) => patch_steps(patch).map(RuleChange::Patch),
        _ => Err("`modify` has a `merge`, a `patch`, a `jq` or a `text`".to_owned()),
    }
}

/// What TOML cannot say may stand as JSON in a text.
fn json_text(value: &Value) -> Result<Value, String> {
    match value {
        Value::String(text) => serde_json::from_str(text).map_err(|error| format!("this text is no JSON: {error}")),
        other => Ok(other.clone()),
    }
}

/// The steps of a patch; where they are a text of JSON, their values keep their spelling.
pub(in crate::rules) fn patch_steps(patch: &Value) -> Result<Vec<PatchStep>, String> {
    let Value::Array(steps) = json_text(patch)? else {
        return Err("`patch` is a list of steps as in RFC 6902".to_owned());
    };
    let spelled: Vec<&RawValue> = patch.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let spelling = |at: usize| {
        let members = members_of(spelled.get(at)?.get()).ok()?;
        members.into_iter().rfind(|(key, _)| key == "value").map(|(_, value)| value.to_owned())
    };
    steps.iter().enumerate().map(|(at, it)| step(it, spelling(at))).collect()
}

fn step(step: &Value, spelling: Option<String>) -> Result<PatchStep, String> {
    const KNOWN: [&str; 6] = ["add", "remove", "replace", "move", "copy", "test"];
    let text =
        |key: &str| step.get(key).and_then(Value::as_str).ok_or_else(|| format!("a step of `patch` needs `{key}`"));
    let value = || step.get("value").ok_or("this step of `patch` needs `value`".to_owned());
    let (op, path) = (text("op")?, JsonPointer::read(text("path")?)?);
    let from = || JsonPointer::read(text("from")?);
    Ok(match op {
        "add" => PatchStep::Add { path, value: spelling.map_or_else(|| value().map(Value::to_string), Ok)? },
        "remove" => PatchStep::Remove { path },
        "replace" => PatchStep::Replace { path, value: spelling.map_or_else(|| value().map(Value::to_string), Ok)? },
        "move" => PatchStep::Move { from: from()?, path },
        "copy" => PatchStep::Copy { from: from()?, path },
        "test" => PatchStep::Test { path, value: value()?.clone() },
        other => return Err(unknown("step of `patch`", other, &KNOWN)),
    })
}

fn spread(value: &DeValue<'_>) -> Result<DelaySpread, String> {
    if let Some(text) = value.as_str() {
        return match text.split_once("..") {
            None => Ok(DelaySpread::Fixed(text::duration(text)?)),
            Some((least, most)) => match (text::duration(least)?, text::duration(most)?) {
                (least, most) if least <= most => Ok(DelaySpread::Uniform(least, most)),
                _ => Err("the longer time stands last: `200ms..2s`".to_owned()),
            },
        };
    }
    let members = members(value, "delay", &["mean", "deviation", "tape"])?;
    if let Some(tape) = members.get("tape") {
        let tape =
            tape.as_str().filter(|_| members.len() == 1).ok_or("`tape` is the path of a tape, and stands alone")?;
        return recorded(tape).map(DelaySpread::Recorded);
    }
    let time = |key: &str| {
        let text = members.get(key).and_then(Value::as_str);
        text.ok_or_else(|| format!("`delay` needs `{key}`, such as `\"200ms\"`")).and_then(text::duration)
    };
    Ok(DelaySpread::Normal { mean: time("mean")?, deviation: time("deviation")? })
}

/// How long the replies on a tape took.
fn recorded(tape: &str) -> Result<Arc<[Duration]>, String> {
    let text = std::fs::read_to_string(tape).map_err(|why| format!("{tape}: {why}"))?;
    let session = SessionId(uuid::Uuid::nil());
    let envelopes = text.lines().filter_map(|line| Envelope::read_json(line, session).ok());
    let took = envelopes.filter_map(|(envelope, _)| envelope.reply_to.map(|to| Duration::from_micros(to.took)));
    let took: Arc<[Duration]> = took.collect();
    if took.is_empty() { Err(format!("{tape}: there is no reply on this tape")) } else { Ok(took) }
}

/// `10/s`: the time for each.
fn rate(text: &str) -> Option<Duration> {
    let (count, unit) = text.split_once('/')?;
    let count: u32 = count.trim().parse().ok().filter(|count| *count > 0)?;
    let unit = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(unit) / count)
}

fn status(value: &DeValue<'_>) -> Result<HttpAnswer, String> {
    let members = match value {
        DeValue::Integer(_) => Map::from_iter([("code".to_owned(), json(value))]),
        _ => members(value, "status", &["code", "headers", "body"])?,
    };
    let code = members.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let status = code.filter(|code| (200..600).contains(code)).ok_or("`status` needs a `code` from 200 to 599")?;
    let body = match members.get("body") {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let none = Map::new();
    let headers =
        members.get("headers").map_or(Some(&none), Value::as_object).ok_or("`headers` is a table of texts")?;
    let headers = headers.iter().map(|(name, value)| {
        let name: HeaderName = name.parse().map_err(|_| format!("`{name}` is not a header name"))?;
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Ok((name, HeaderValue::try_from(value).map_err(|_| "a header holds characters that none may hold".to_owned())?))
    });
    Ok(HttpAnswer { status, headers: headers.collect::<Result<_, String>>()?, body })
}

/// The members of a table, all of which are known.
fn members(value: &DeValue<'_>, action: &str, known: &[&str]) -> Result<Map<String, Value>, String> {
    let Value::Object(members) = json(value) else {
        return Err(format!("`{action}` is a table with {}", list(known)));
    };
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(unknown("key", key, known)),
        None => Ok(members),
    }
}

/// A TOML value as JSON.
pub(super) fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            let small = i64::from_str_radix(&digits, number.radix()).map(Value::from);
            small.unwrap_or_else(|_| serde_json::from_str(&digits).unwrap_or_default())
        }
        DeValue::Float(number) => number.as_str().replace('_', "").parse::<f64>().map(Value::from).unwrap_or_default(),
        DeValue::Boolean(it) => Value::from(*it),
        DeValue::Datetime(it) => Value::from(it.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let members = table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())));
            Value::Object(members.collect())
        }
    }
}

pub(super) fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let near = known.iter().map(|it| (strsim::osa_distance(it, word), *it)).min_by_key(|(distance, _)| *distance);
    match near.filter(|(distance, _)| *distance <= (word.chars().count() / 3).max(1)) {
        Some((_, near)) => format!("unknown {what} `{word}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{word}`; there are {}", list(known)),
    }
}

pub(super) fn list(words: &[&str]) -> String {
    format!("`{}`", words.join("`, `"))
}
