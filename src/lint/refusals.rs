//! The codes of refusals: of a method, a tool, a resource or a prompt that is not there.

use serde_json::Value;

use super::calls::UnansweredCall;
use super::catalogue::{LintRule, WRONG_CODE_METHOD, WRONG_CODE_PROMPT, WRONG_CODE_RESOURCE, WRONG_CODE_TOOL};
use super::declared::DeclaredCapabilities;
use super::found::{FindingSink, JudgedMessage, quoted};
use crate::mcp::error_code::protocol::{INVALID_PARAMS, METHOD_NOT_FOUND, RESOURCE_NOT_FOUND};
use crate::mcp::method::{PROMPTS_GET, RESOURCES_READ, TOOLS_CALL};
use crate::message::Kind;

/// Looks at a reply; `is_listed`: whether the tool that was called is in the server's list, where that is known.
pub(super) fn check_refusal(
    call: &UnansweredCall,
    declared: &DeclaredCapabilities,
    is_listed: Option<bool>,
    judged: &JudgedMessage<'_>,
    out: &mut FindingSink,
) {
    match judged.message.kind() {
        Kind::Error => check_error(call, declared, is_listed, judged, out),
        Kind::Result if &*call.method == TOOLS_CALL && judged.message.is_failed_result() => {
            let text = first_text(judged);
            if is_listed != Some(true) && is_unknown_tool(&text, is_listed) {
                let name = quoted(call.name.as_deref().unwrap_or_default());
                let text = format!("{name} is not there, and that is told as a result with `isError`");
                out.report(&WRONG_CODE_TOOL, judged, text);
            }
        }
        _ => {}
    }
}

fn check_error(
    call: &UnansweredCall,
    declared: &DeclaredCapabilities,
    is_listed: Option<bool>,
    judged: &JudgedMessage<'_>,
    out: &mut FindingSink,
) {
    let Some(code) = judged.at(&["error", "code"]).and_then(|code| code.parse::<i64>().ok()) else { return };
    let text: String = judged.read(&["error", "message"]).unwrap_or_default();
    let mut wrong = |rule: &LintRule, right: &[i64], is_it: bool| {
        if is_it && !right.contains(&code) {
            let text = format!("{} was refused with {code}, {}", quoted(&call.method), quoted(&text));
            out.report(rule, judged, text);
        }
    };
    if declared.lacks(judged.direction().reverse(), &call.method, &call.revision) == Some(true) {
        return wrong(&WRONG_CODE_METHOD, &[METHOD_NOT_FOUND], true);
    }
    match &*call.method {
        TOOLS_CALL => {
            let is_it = is_listed != Some(true) && is_unknown_tool(&text, is_listed);
            wrong(&WRONG_CODE_TOOL, &[INVALID_PARAMS], is_it);
        }
        RESOURCES_READ => {
            let right = if call.is_modern { INVALID_PARAMS } else { RESOURCE_NOT_FOUND };
            wrong(&WRONG_CODE_RESOURCE, &[right], is_not_there(&text));
        }
        PROMPTS_GET => wrong(&WRONG_CODE_PROMPT, &[INVALID_PARAMS], is_not_there(&text)),
        _ => wrong(&WRONG_CODE_METHOD, &[METHOD_NOT_FOUND], is_unknown_method(&text)),
    }
}

fn is_not_there(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["not found", "unknown", "does not exist", "no such"].iter().any(|words| text.contains(words))
}

fn is_unknown_method(text: &str) -> bool {
    text.to_ascii_lowercase().contains("method") && is_not_there(text)
}

/// A tool may say the same of something else that it looked for: that counts only of one that is not in the list.
fn is_unknown_tool(text: &str, is_listed: Option<bool>) -> bool {
    is_not_there(text) && (is_listed == Some(false) || text.to_ascii_lowercase().starts_with("unknown tool"))
}

fn first_text(judged: &JudgedMessage<'_>) -> String {
    let content: Option<Value> = judged.read(&["result", "content"]);
    let text = content.as_ref().and_then(|content| content.get(0)?.get("text")?.as_str());
    text.unwrap_or_default().to_owned()
}
