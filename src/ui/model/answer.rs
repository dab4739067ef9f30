//! A result of the operator's own for a held request: a skeleton that has what its method, or its tool's schema, asks for.

use serde_json::{Value, json};

use super::listed::tool_of;
use super::message_rows::MessageRows;
use super::offers::skeleton;
use crate::envelope::Envelope;
use crate::mcp::era::is_modern_revision;
use crate::mcp::method;

/// The reply to be filled in. `protocol`: the revision of the session.
pub(crate) fn answer_skeleton(rows: &MessageRows, request: &Envelope, protocol: Option<&str>) -> String {
    let mut result = result_of(rows, request);
    if protocol.is_some_and(is_modern_revision) {
        result["resultType"] = json!("complete");
    }
    let id = request.message.id().map_or("null", |id| id.token());
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

fn result_of(rows: &MessageRows, request: &Envelope) -> Value {
    let text = json!({"type": "text", "text": ""});
    let params = || serde_json::from_str::<Value>(request.message.member("params")?).ok();
    match request.method().unwrap_or_default() {
        method::TOOLS_CALL => match tool_of(rows, request).as_ref().and_then(|tool| tool.get("outputSchema")) {
            Some(schema) => {
                let value = skeleton(schema);
                // The text is what clients without structured content read.
                json!({"content": [{"type": "text", "text": value.to_string()}], "structuredContent": value})
            }
            None => json!({"content": [text]}),
        },
        method::PROMPTS_GET => json!({"messages": [{"role": "user", "content": text}]}),
        method::RESOURCES_READ => {
            let uri = params().and_then(|params| params.get("uri").cloned()).unwrap_or_default();
            json!({"contents": [{"uri": uri, "text": ""}]})
        }
        method::SAMPLING_CREATE_MESSAGE => {
            json!({"role": "assistant", "content": text, "model": "tapline", "stopReason": "endTurn"})
        }
        method::ELICITATION_CREATE => {
            let schema = params().and_then(|params| params.get("requestedSchema").cloned());
            json!({"action": "accept", "content": schema.map_or_else(|| json!({}), |schema| skeleton(&schema))})
        }
        method::ROOTS_LIST => json!({"roots": []}),
        method::TOOLS_LIST => json!({"tools": []}),
        method::PROMPTS_LIST => json!({"prompts": []}),
        method::RESOURCES_LIST => json!({"resources": []}),
        method::RESOURCE_TEMPLATES_LIST => json!({"resourceTemplates": []}),
        method::COMPLETION_COMPLETE => json!({"completion": {"values": []}}),
        _ => json!({}),
    }
}
