//! What a hook answered, as a verdict.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::call::{payload, payload_key};
use crate::envelope::Author;
use crate::event::BlockError;
use crate::intercept::Verdict;
use crate::json::diff::NumberEquality;
use crate::json::splice;
use crate::mcp::error_code::ErrorCode;
use crate::message::{Id, Message};

/// The reply of a hook.
#[derive(Deserialize)]
struct HookReply<'a> {
    #[serde(borrow)]
    result: Option<HookResult<'a>>,
    error: Option<HookError>,
}

#[derive(Deserialize)]
struct HookError {
    #[serde(default)]
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HookResult<'a> {
    modified: bool,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    valid: Option<bool>,
    messages: Vec<HookFinding>,
    #[serde(borrow)]
    answer: Option<HookAnswer<'a>>,
}

#[derive(Deserialize)]
struct HookFinding {
    #[serde(default)]
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HookAnswer<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// The id that a reply is for.
pub(super) fn id_of(line: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Answered {
        id: u64,
    }
    serde_json::from_str::<Answered>(line).ok().map(|it| it.id)
}

/// What becomes of a message by this reply.
///
/// # Errors
/// Why the reply says nothing.
pub(super) fn verdict(reply: &str, message: &Message, author: Author) -> Result<Verdict, String> {
    let reply: HookReply<'_> =
        serde_json::from_str(reply).map_err(|why| format!("its answer cannot be read: {why}"))?;
    if let Some(HookError { message }) = reply.error {
        return Err(format!("it answered with an error: {message}"));
    }
    let HookResult { modified, payload, valid, messages, answer } = reply.result.ok_or("its answer has no `result`")?;
    if let Some(answer) = answer {
        return Ok(Verdict::Answer(answer.reply(message.id())?, author));
    }
    if valid == Some(false) {
        let said: Vec<_> = messages.into_iter().map(|it| it.message).filter(|text| !text.is_empty()).collect();
        let text = if said.is_empty() { "blocked by a hook".to_owned() } else { said.join("; ") };
        let error = BlockError::JsonRpc { code: ErrorCode::Blocked.number(), message: text, data: None };
        return Ok(Verdict::Block(error, author));
    }
    match (modified, payload) {
        (true, Some(payload)) => changed(message, payload.get()).map(|message| Verdict::Modify(message, author)),
        (true, None) => Err("it says `modified`, and has no `payload`".to_owned()),
        (false, _) => Ok(Verdict::Continue),
    }
}

impl HookAnswer<'_> {
    fn reply(&self, id: Option<&Id>) -> Result<Message, String> {
        let id = id.map_or("null", Id::token);
        let (key, body) = match (self.result, self.error) {
            (Some(result), None) => ("result", result),
            (None, Some(error)) => ("error", error),
            _ => return Err("its `answer` has a `result` or an `error`".to_owned()),
        };
        Ok(Message::new(format!(r#"{{"jsonrpc":"2.0","id":{id},"{key}":{}}}"#, body.get())))
    }
}

/// The message with another payload: what is the same in both keeps its bytes.
fn changed(message: &Message, new: &str) -> Result<Message, String> {
    let key = payload_key(message);
    let Some(old) = payload(message) else {
        let step =
            splice::PatchStep::Add { path: splice::JsonPointer::read(&format!("/{key}"))?, value: new.to_owned() };
        let text = std::str::from_utf8(message.raw()).map_err(|_| "the message is not UTF-8")?;
        return splice::patch(text, &[step]).map(Message::new);
    };
    let value = splice::patch(old, &splice::differences(old, new, NumberEquality::Value))?;
    message.with_value(&[key], &value).ok_or_else(|| format!("there is no `{key}` to change"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "{\"id\": 7 ,\"method\":\"tools/call\",\"params\":{ \"name\":\"x\",\"arguments\":{\"q\":\"\\u00e9\",\"n\":1.0}}}";

    fn of(reply: &str) -> Result<Verdict, String> {
        verdict(reply, &Message::new(CALL), Author::Tapline)
    }

    #[test]
    fn reply_of_a_hook_is_a_verdict() {
        for reply in
            [r#"{"result":{}}"#, r#"{"id":1,"result":{"modified":false,"payload":{}}}"#, r#"{"result":{"valid":true}}"#]
        {
            assert!(matches!(of(reply), Ok(Verdict::Continue)), "{reply}");
        }
        let modified = of(r#"{"result":{"modified":true,"payload":{"arguments":{"n":1,"q":"é"},"name":"y"}}}"#);
        assert!(
            matches!(&modified, Ok(Verdict::Modify(it, _)) if *it.raw() == CALL.replace("\"x\"", "\"y\"")),
            "{modified:?}"
        );
        let blocked = of(r#"{"result":{"valid":false,"messages":[{"message":"no"},{"path":"x"}]}}"#);
        assert!(matches!(&blocked, Ok(Verdict::Block(BlockError::JsonRpc { message, .. }, _)) if message == "no"));
        let answered = of(r#"{"result":{"answer":{"result":{"a":1.0}}}}"#);
        let expected = r#"{"jsonrpc":"2.0","id":7,"result":{"a":1.0}}"#;
        assert!(matches!(&answered, Ok(Verdict::Answer(it, _)) if it.raw() == expected), "{answered:?}");
        for (reply, why) in [
            ("nothing", "cannot be read"),
            ("{}", "has no `result`"),
            (r#"{"error":{"code":1,"message":"broken"}}"#, "with an error: broken"),
            (r#"{"result":{"modified":true}}"#, "has no `payload`"),
            (r#"{"result":{"answer":{}}}"#, "a `result` or an `error`"),
        ] {
            assert!(of(reply).is_err_and(|said| said.contains(why)), "{reply}");
        }
    }
}
