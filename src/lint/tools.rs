//! The tools of a server, as it advertised them: their schemas, what is called by them and answered, and what they cost.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::calls::UnansweredCall;
use super::catalogue::{
    COST_DESCRIPTION, COST_TOOL_LIST, COST_UNUSED_TOOLS, ELICITATION_ANSWER, LintRule, SCHEMA_BROKEN, SCHEMA_PATTERN,
    SCHEMA_RECURSIVE, SCHEMA_REMOTE, TOOL_ARGUMENTS, TOOL_INPUT_SCHEMA, TOOL_NAME_TWICE, TOOL_NOT_LISTED, TOOL_RESULT,
    TOOL_RESULT_MISSING,
};
use super::found::{FindingSink, JudgedMessage, quoted};
use super::schema::{CompiledSchema, foreign_pattern};
use crate::envelope::{Direction, Seq};
use crate::event::figures::tokens_of;
use crate::mcp::method::{ELICITATION_CREATE, TOOLS_CALL, TOOLS_LIST, TOOLS_LIST_CHANGED};
use crate::message::{Kind, read_members};

/// A list of more is worth a note.
const MANY_TOKENS: u64 = 10_000;
/// A description of more bytes is, too.
const LONG_DESCRIPTION: usize = 2_000;
/// Questions of which the schema is remembered.
const MOST_QUESTIONS: usize = 1_000;

/// A tool as it was listed.
#[derive(Debug)]
struct KnownTool {
    input: Option<Arc<CompiledSchema>>,
    output: Option<Arc<CompiledSchema>>,
    bytes: usize,
}

/// The tools of a session's server, and the questions that it asked.
#[derive(Debug, Default)]
pub(super) struct ToolBook {
    tools: HashMap<Box<str>, KnownTool>,
    called: BTreeSet<Box<str>>,
    /// The last page came, and nothing has changed since.
    is_complete: bool,
    has_gaps: bool,
    /// Where the list was, and the revision that it followed.
    listed: Option<(Seq, Arc<str>)>,
    /// What questions ask for: by the number of the request, or, where they stand in a result, by their key.
    questions: HashMap<Box<str>, Arc<CompiledSchema>>,
}

impl ToolBook {
    /// Messages are missing: another list, or calls, may have been among them.
    pub(super) fn miss(&mut self) {
        self.is_complete = false;
        self.has_gaps = true;
    }

    /// Whether the server has listed this tool; `None` where that is not known.
    pub(super) fn is_listed(&self, name: &str) -> Option<bool> {
        self.is_complete.then(|| self.tools.contains_key(name))
    }

    /// Takes a request in.
    pub(super) fn ask(&mut self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        match (judged.message.method(), judged.direction()) {
            (Some(TOOLS_CALL), Direction::ToServer) => {
                self.call(judged, out);
                self.check_input_responses(judged, out);
            }
            (Some(ELICITATION_CREATE), Direction::ToClient) => {
                let schema = judged.at(&["params", "requestedSchema"]);
                self.note_question(&judged.seq().to_string(), schema, judged, out);
            }
            (Some(_), Direction::ToServer) => self.check_input_responses(judged, out),
            _ => {}
        }
    }

    /// Takes a notification in.
    pub(super) fn on_notification(&mut self, judged: &JudgedMessage<'_>) {
        if judged.message.method() == Some(TOOLS_LIST_CHANGED) {
            self.is_complete = false;
        }
    }

    fn call(&mut self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let Some(name) = judged.message.name() else { return };
        if self.is_listed(name) == Some(false) {
            out.report(&TOOL_NOT_LISTED, judged, format!("{} is not in the server's list", quoted(name)));
        }
        if !self.called.contains(name) {
            self.called.insert(name.into());
        }
        let arguments = judged.at(&["params", "arguments"]).unwrap_or("{}");
        let schema = self.tools.get(name).and_then(|tool| tool.input.as_ref());
        if let Some(schema) = schema
            && let Ok(arguments) = serde_json::from_str(arguments)
            && let Some(why) = schema.misfit(&arguments)
        {
            out.report(&TOOL_ARGUMENTS, judged, format!("{}: {why}", quoted(name)));
        }
    }

    /// Takes a reply in.
    pub(super) fn answer(&mut self, call: &UnansweredCall, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        if judged.message.kind() != Kind::Result {
            return;
        }
        match (&*call.method, judged.direction()) {
            (TOOLS_LIST, Direction::ToClient) => self.list(call, judged, out),
            (TOOLS_CALL, Direction::ToClient) => self.check_result(call, judged, out),
            (ELICITATION_CREATE, Direction::ToServer) => {
                if let Some(schema) = self.questions.remove(call.seq.to_string().as_str()) {
                    check_answer(judged.at(&["result"]), &schema, judged, out);
                }
            }
            _ => {}
        }
        if judged.direction() == Direction::ToClient && judged.is_modern {
            self.note_input_requests(judged, out);
        }
    }

    fn check_result(&self, call: &UnansweredCall, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let tool = call.name.as_deref().and_then(|name| self.tools.get(name));
        let Some(schema) = tool.and_then(|tool| tool.output.as_ref()) else { return };
        let name = quoted(call.name.as_deref().unwrap_or_default());
        let is_final = ["task", "inputRequests"].iter().all(|member| judged.at(&["result", member]).is_none());
        if judged.message.is_failed_result() || !is_final {
            return;
        }
        match judged.at(&["result", "structuredContent"]) {
            None => out.report(&TOOL_RESULT_MISSING, judged, format!("{name} has an `outputSchema`")),
            Some(content) => {
                let content: Option<Value> = serde_json::from_str(content).ok();
                if let Some(why) = content.and_then(|content| schema.misfit(&content)) {
                    out.report(&TOOL_RESULT, judged, format!("{name}: {why}"));
                }
            }
        }
    }

    /// A page of the list.
    fn list(&mut self, call: &UnansweredCall, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let Some(tools) = judged.at(&["result", "tools"]) else { return };
        let Ok(tools) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(tools) else { return };
        if call.cursor.is_none() {
            self.tools.clear();
        }
        for tool in tools {
            self.learn(tool.get(), judged, out);
        }
        self.listed = Some((judged.seq(), judged.revision.clone()));
        let next = judged.at(&["result", "nextCursor"]);
        self.is_complete = next.is_none_or(|next| next == "null");
        let tokens = tokens_of(self.bytes());
        if self.is_complete && tokens > MANY_TOKENS {
            let text = format!("{} tools are about {tokens} tokens of every conversation", self.tools.len());
            out.report(&COST_TOOL_LIST, judged, text);
        }
    }

    fn bytes(&self) -> u64 {
        self.tools.values().map(|tool| tool.bytes as u64).sum()
    }

    fn learn(&mut self, text: &str, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let members = read_members(text.as_bytes()).unwrap_or_default();
        let member = |key: &str| members.iter().rev().find(|(known, _)| known == key).map(|(_, value)| *value);
        let string = |key: &str| member(key).and_then(|text| serde_json::from_str::<String>(text).ok());
        let Some(name) = string("name") else { return };
        let description = string("description").as_deref().map_or(0, str::len);
        if description > LONG_DESCRIPTION {
            let tokens = tokens_of(description as u64);
            out.report(&COST_DESCRIPTION, judged, format!("that of {} is about {tokens} tokens", quoted(&name)));
        }
        let input = self.schema(&name, "inputSchema", member("inputSchema"), judged, out);
        if input.is_none() {
            out.report(&TOOL_INPUT_SCHEMA, judged, format!("{} has none that is an object", quoted(&name)));
        } else if !is_of_object(member("inputSchema")) {
            out.report(&TOOL_INPUT_SCHEMA, judged, format!("that of {} does not say `type: object`", quoted(&name)));
        }
        let output = self.schema(&name, "outputSchema", member("outputSchema"), judged, out);
        let known = KnownTool { input, output, bytes: text.len() };
        if self.tools.insert(name.as_str().into(), known).is_some() {
            out.report(&TOOL_NAME_TWICE, judged, format!("{} is listed twice", quoted(&name)));
        }
    }

    fn schema(
        &self,
        tool: &str,
        which: &str,
        text: Option<&str>,
        judged: &JudgedMessage<'_>,
        out: &mut FindingSink,
    ) -> Option<Arc<CompiledSchema>> {
        let text = text.filter(|text| text.starts_with('{'))?;
        let schema = CompiledSchema::of(text, &judged.revision);
        report_schema(&schema, &format!("`{which}` of {}", quoted(tool)), judged, out);
        let parsed = || serde_json::from_str::<Value>(text).ok();
        if which == "outputSchema"
            && let Some(pattern) = parsed().as_ref().and_then(foreign_pattern)
        {
            let text = format!("`{which}` of {} has the pattern {}", quoted(tool), quoted(&pattern));
            out.report(&SCHEMA_PATTERN, judged, text);
        }
        Some(schema)
    }

    fn note_question(&mut self, key: &str, schema: Option<&str>, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let Some(text) = schema else { return };
        let schema = CompiledSchema::of(text, &judged.revision);
        report_schema(&schema, "`requestedSchema`", judged, out);
        if self.questions.len() >= MOST_QUESTIONS {
            self.questions.clear();
        }
        self.questions.insert(key.into(), schema);
    }

    /// Questions inside a result (2026-07-28, multi round-trip requests).
    fn note_input_requests(&mut self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let requests: Option<HashMap<String, Value>> = judged.read(&["result", "inputRequests"]);
        for (key, request) in requests.into_iter().flatten() {
            if request["method"] == ELICITATION_CREATE {
                let schema = request["params"].get("requestedSchema").map(Value::to_string);
                self.note_question(&key, schema.as_deref(), judged, out);
            }
        }
    }

    /// Their answers, in the request that is sent again.
    fn check_input_responses(&mut self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        if !judged.is_modern {
            return;
        }
        let answers: Option<HashMap<String, Value>> = judged.read(&["params", "inputResponses"]);
        for (key, answer) in answers.into_iter().flatten() {
            if let Some(schema) = self.questions.remove(key.as_str()) {
                check_answer(Some(&answer.to_string()), &schema, judged, out);
            }
        }
    }

    /// The session is over.
    pub(super) fn finish(&self, out: &mut FindingSink) {
        let unused: Vec<_> = self.tools.iter().filter(|(name, _)| !self.called.contains(*name)).collect();
        let Some((seq, revision)) =
            self.listed.as_ref().filter(|_| !self.has_gaps && !self.called.is_empty() && !unused.is_empty())
        else {
            return;
        };
        let tokens = tokens_of(unused.iter().map(|(_, tool)| tool.bytes as u64).sum());
        let text = format!("{} of {} tools were not called: about {tokens} tokens", unused.len(), self.tools.len());
        out.report_at(&COST_UNUSED_TOOLS, (*seq, Direction::ToClient), revision, text);
    }
}

fn is_of_object(schema: Option<&str>) -> bool {
    let schema: Option<Value> = schema.and_then(|text| serde_json::from_str(text).ok());
    schema.is_some_and(|schema| schema["type"] == "object")
}

fn report_schema(schema: &CompiledSchema, which: &str, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
    let (rule, text): (&LintRule, _) = match schema {
        CompiledSchema::Ready(_) => return,
        CompiledSchema::Broken(why) => (&SCHEMA_BROKEN, format!("{which}: {why}")),
        CompiledSchema::Remote(reference) => (&SCHEMA_REMOTE, format!("{which} refers to {}", quoted(reference))),
        CompiledSchema::Recursive => (&SCHEMA_RECURSIVE, format!("{which} refers to itself")),
    };
    out.report(rule, judged, text);
}

/// Only who accepts gives an answer.
fn check_answer(result: Option<&str>, schema: &CompiledSchema, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
    let result: Value = result.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    if result["action"] != "accept" {
        return;
    }
    let content = result.get("content").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    if let Some(why) = schema.misfit(&content) {
        out.report(&ELICITATION_ANSWER, judged, why);
    }
}
