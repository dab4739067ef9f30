//! RuleBook as they stand in TOML; all that is wrong with a file is said at once, each where it stands.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::action::{AnswerBody, Corruption, RuleAction, RuleChange};
use super::chance::DelaySpread;
use super::document::RuleDocument;
use super::set::{Rule, RuleFlags, RuleLimits};
use super::template::JsonTemplate;
use crate::event::BlockError;
use crate::filter::{Filter, SavedFilters};
use crate::intercept::HttpAnswer;
use crate::json::splice::{JsonPointer, PatchStep};
use crate::mcp::error_code::ErrorCode;
use crate::message::members_of;
use crate::text;

/// Something that is wrong with a file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    /// The place in the file, as a range of bytes.
    pub span: Range<usize>,
    pub why: String,
}

/// The rules of one file.
#[derive(Default)]
pub struct RuleDraft {
    pub(super) rules: Vec<Rule>,
    /// What the file says it is for.
    pub about: String,
}

const FILE_KEYS: [&str; 3] = ["about", "seed", "rule"];
const RULE_KEYS: [&str; 14] = [
    "name",
    "about",
    "on",
    "tags",
    "when",
    "do",
    "probability",
    "times",
    "after",
    "every",
    "set",
    "clear",
    "when_set",
    "when_clear",
];
/// What may stand behind `do`.
const ACTIONS: [&str; 14] = [
    "continue",
    "hold",
    "drop",
    "log",
    "block",
    "answer",
    "modify",
    "tool",
    "delay",
    "throttle",
    "corrupt",
    "status",
    "disconnect",
    "duplicate",
];

/// Reads the rules of a file.
///
/// # Errors
/// Everything that is wrong with it, in order.
pub fn read(text: &str, saved: &SavedFilters) -> Result<RuleDraft, Vec<RuleFault>> {
    read_among(text, saved, Beside::Nothing)
}

/// What else may stand in a file with rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    Nothing,
    /// All that tapline.toml has.
    Settings,
}

/// Reads the rules of a file in which other things may stand.
pub(super) fn read_among(text: &str, saved: &SavedFilters, beside: Beside) -> Result<RuleDraft, Vec<RuleFault>> {
    let (table, broken) = DeTable::parse_recoverable(text);
    let mut reader = RuleReader { faults: Vec::new(), saved, seed: 0, names: HashSet::new() };
    for error in broken {
        reader.fault(error.span().unwrap_or(0..0), error.message().to_owned());
    }
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    let mut draft = reader.file(table.get_ref(), beside);
    reader.faults.sort_by_key(|fault| fault.span.start);
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    let written = RuleDocument::parse(text).map(|doc| doc.rules()).unwrap_or_default();
    draft.rules.iter_mut().zip(written).for_each(|(rule, written)| rule.origin.written = written);
    Ok(draft)
}

struct RuleReader<'s> {
    faults: Vec<RuleFault>,
    saved: &'s SavedFilters,
    seed: u64,
    names: HashSet<String>,
}

type Given<'a> = Spanned<DeValue<'a>>;

impl RuleReader<'_> {
    fn fault(&mut self, span: Range<usize>, why: impl Into<String>) {
        self.faults.push(RuleFault { span, why: why.into() });
    }

    /// The value, or that it is wrong.
    fn keep<T>(&mut self, span: Range<usize>, read: Result<T, String>) -> Option<T> {
        read.map_err(|why| self.fault(span, why)).ok()
    }

    fn file(&mut self, table: &DeTable<'_>, beside: Beside) -> RuleDraft {
        let mut about = String::new();
        if beside == Beside::Nothing {
            self.known_keys(table, &FILE_KEYS);
            self.seed = self.number(table, "seed").unwrap_or(0);
            about = self.text(table, "about").unwrap_or_default();
        }
        let mut rules = Vec::new();
        if let Some(given) = table.get("rule") {
            let Some(all) = given.get_ref().as_array() else {
                self.fault(given.span(), "rules are written as `[[rule]]`");
                return RuleDraft::default();
            };
            for given in all {
                match given.get_ref().as_table() {
                    Some(rule) => rules.extend(self.rule(rule, &given.span())),
                    None => self.fault(given.span(), "a rule is a table"),
                }
            }
        }
        RuleDraft { rules, about }
    }

    fn rule(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<Rule> {
        self.known_keys(table, &RULE_KEYS);
        self.text(table, "about");
        let name = self.name(table, span);
        let when = self.when(table, span);
        let action = match table.get("do") {
            Some(given) => self.action(given),
            None => {
                self.fault(span.clone(), format!("a rule needs `do`: one of {}", list(&ACTIONS)));
                None
            }
        };
        let limits = RuleLimits {
            after: self.number(table, "after").unwrap_or(0),
            every: self.number_from_one(table, "every").unwrap_or(1),
            times: self.number_from_one(table, "times"),
            probability: self.probability(table),
        };
        let flags = RuleFlags {
            set: self.text(table, "set").map(Into::into),
            clear: self.text(table, "clear").map(Into::into),
            when_set: self.text(table, "when_set").map(Into::into),
            when_clear: self.text(table, "when_clear").map(Into::into),
        };
        let (is_on, tags) = (self.is_on(table), self.tags(table));
        let mut rule = Rule::new(name?, when?, action?, limits, flags, self.seed);
        (rule.origin.is_on, rule.origin.tags) = (is_on, tags);
        Some(rule)
    }

    fn name(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<Arc<str>> {
        let Some(given) = table.get("name") else {
            self.fault(span.clone(), "a rule needs a `name`");
            return None;
        };
        let name = self.text(table, "name")?;
        if !self.names.insert(name.clone()) {
            self.fault(given.span(), format!("another rule is called `{name}`"));
        }
        Some(name.into())
    }

    fn when(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<Filter> {
        let Some(given) = table.get("when") else {
            self.fault(span.clone(), "a rule needs `when`, a filter such as `~q ~tool search`");
            return None;
        };
        let read = Filter::parse_with(&self.text(table, "when")?, self.saved);
        self.keep(given.span(), read.map_err(|error| format!("`when`: {error}")))
    }

    fn action(&mut self, given: &Given<'_>) -> Option<RuleAction> {
        let span = given.span();
        let (name, argument) = match given.get_ref() {
            DeValue::String(name) => (name.to_string(), None),
            DeValue::Table(table) if table.len() == 1 => {
                let (key, value) = table.iter().next()?;
                (key.get_ref().to_string(), Some(value))
            }
            _ => {
                let why =
                    "`do` is a word such as `\"hold\"`, or one action with what it needs, such as `{ delay = \"2s\" }`";
                self.fault(span, why);
                return None;
            }
        };
        let argument_span = argument.map_or(span.clone(), Spanned::span);
        let read = match argument {
            Some(value) => with_argument(&name, value.get_ref()),
            None => without_argument(&name),
        };
        self.keep(argument_span, read)
    }

    fn known_keys(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for (key, _) in table {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                self.fault(key.span(), unknown("key", name, known));
            }
        }
    }

    fn text(&mut self, table: &DeTable<'_>, key: &str) -> Option<String> {
        let given = table.get(key)?;
        let read = given.get_ref().as_str().filter(|text| !text.is_empty());
        self.keep(given.span(), read.map(str::to_owned).ok_or_else(|| format!("`{key}` is a text")))
    }

    fn is_on(&mut self, table: &DeTable<'_>) -> bool {
        let Some(given) = table.get("on") else { return true };
        let read = given.get_ref().as_bool().ok_or_else(|| "`on` is `true` or `false`".to_owned());
        self.keep(given.span(), read).unwrap_or(true)
    }

    fn tags(&mut self, table: &DeTable<'_>) -> Vec<String> {
        let Some(given) = table.get("tags") else { return Vec::new() };
        let read: Option<Vec<String>> = given.get_ref().as_array().and_then(|tags| {
            tags.iter().map(|tag| tag.get_ref().as_str().filter(|tag| !tag.is_empty()).map(str::to_owned)).collect()
        });
        self.keep(given.span(), read.ok_or_else(|| "`tags` is a list of texts".to_owned())).unwrap_or_default()
    }

    fn number(&mut self, table: &DeTable<'_>, key: &str) -> Option<u64> {
        let given = table.get(key)?;
        let read = json(given.get_ref()).as_u64();
        self.keep(given.span(), read.ok_or_else(|| format!("`{key}` is a whole number from 0")))
    }

    fn number_from_one(&mut self, table: &DeTable<'_>, key: &str) -> Option<u64> {
        match self.number(table, key)? {
            0 => {
                let span = table.get(key)?.span();
                self.fault(span, format!("`{key}` is a whole number from 1"));
                None
            }
            number => Some(number),
        }
    }

    fn probability(&mut self, table: &DeTable<'_>) -> f64 {
        let Some(given) = table.get("probability") else { return 1.0 };
        let read = json(given.get_ref()).as_f64().filter(|it| (0.0..=1.0).contains(it));
        let read = read.ok_or_else(|| "`probability` is a number from 0 to 1, such as `0.1`".to_owned());
        self.keep(given.span(), read).unwrap_or(1.0)
    }
}

/// An action that is said in a word.
fn without_argument(name: &str) -> Result<RuleAction, String> {
    Ok(match name {
        "continue" => RuleAction::Continue,
        "hold" => RuleAction::Hold,
        "drop" => RuleAction::Drop,
        "disconnect" => RuleAction::Disconnect,
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
fn with_argument(name: &str, value: &DeValue<'_>) -> Result<RuleAction, String> {
    let needs = || format!("`{name}` needs {}", example(name));
    let text = || value.as_str().ok_or_else(needs);
    match name {
        "log" => Ok(RuleAction::Log(text()?.to_owned())),
        "tool" => Ok(RuleAction::Modify(RuleChange::Tool(text()?.to_owned()))),
        "block" => block(value).map(RuleAction::Block),
        "answer" => answer(value).map(RuleAction::Answer),
        "modify" => change(value).map(RuleAction::Modify),
        "delay" => spread(value).map(RuleAction::Delay),
        "throttle" => rate(text()?).map(RuleAction::Throttle).ok_or_else(needs),
        "corrupt" => {
            let how = text()?;
            let known = Corruption::ALL.map(|(name, _)| name);
            let found = Corruption::ALL.into_iter().find(|(name, _)| *name == how);
            found.map(|(_, how)| RuleAction::Corrupt(how)).ok_or_else(|| unknown("way to corrupt", how, &known))
        }
        "status" => status(value).map(RuleAction::Status),
        _ if ACTIONS.contains(&name) => Err(format!("`{name}` takes nothing: write `do = \"{name}\"`")),
        _ => Err(unknown("action", name, &ACTIONS)),
    }
}

fn example(action: &str) -> &'static str {
    match action {
        "log" => "log = \"text\"",
        "tool" => "tool = \"other_tool\"",
        "answer" => "answer = { result = { content = [] } }",
        "modify" => "modify = { merge = { params = { arguments = { limit = 5 } } } }",
        "delay" => "delay = \"2s\"",
        "throttle" => "throttle = \"10/s\"",
        "corrupt" => "corrupt = \"cut\"",
        "status" => "status = 503",
        _ => "block = { code = -31000, message = \"no\" }",
    }
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
    let members = members(value, "modify", &["merge", "patch", "text"])?;
    if let Some(text) = members.get("text") {
        return whole_text(text, members.len()).map(RuleChange::Text);
    }
    match (members.get("merge"), members.get("patch")) {
        (Some(merge), None) => match json_text(merge)? {
            merge @ Value::Object(_) => Ok(RuleChange::Merge(merge)),
            _ => Err("`merge` is a table, or the text of a JSON object, where null takes a member away".to_owned()),
        },
        (None, Some(patch)) => patch_steps(patch).map(RuleChange::Patch),
        _ => Err("`modify` has a `merge` or a `patch`".to_owned()),
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
pub(super) fn patch_steps(patch: &Value) -> Result<Vec<PatchStep>, String> {
    let Value::Array(steps) = json_text(patch)? else {
        return Err("`patch` is a list of steps as in RFC 6902".to_owned());
    };
    let spelled: Vec<&RawValue> = patch.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let spelling = |at: usize| {
        let members = members_of(spelled.get(at)?.get()).ok()?;
        members.into_iter().rfind(|(key, _)| key == "value").map(|(_, value)| value.get().to_owned())
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
    let members = members(value, "delay", &["mean", "deviation"])?;
    let time = |key: &str| {
        let text = members.get(key).and_then(Value::as_str);
        text.ok_or_else(|| format!("`delay` needs `{key}`, such as `\"200ms\"`")).and_then(text::duration)
    };
    Ok(DelaySpread::Normal { mean: time("mean")?, deviation: time("deviation")? })
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
fn json(value: &DeValue<'_>) -> Value {
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

fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let near = known.iter().map(|it| (strsim::osa_distance(it, word), *it)).min_by_key(|(distance, _)| *distance);
    match near.filter(|(distance, _)| *distance <= (word.chars().count() / 3).max(1)) {
        Some((_, near)) => format!("unknown {what} `{word}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{word}`; there are {}", list(known)),
    }
}

fn list(words: &[&str]) -> String {
    format!("`{}`", words.join("`, `"))
}
