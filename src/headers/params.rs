//! `Mcp-Param-*`: arguments that a tool wants repeated in headers (revision 2026-07-28, transports: custom headers from tool
//! parameters). Which those are only the tool's schema says, as it passes by in a list of tools.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::{decoded_text, header_text};
use crate::mcp::method;
use crate::message::{KnownWord, Message};

const PREFIX: &str = "mcp-param-";
/// What marks a property in a schema; a list of tools without it is not read at all.
const MARK: &str = "x-mcp-header";

/// The tools of one server that want headers.
#[derive(Debug, Default)]
pub struct ParamHeaders {
    /// Nothing before there is one: most servers have none, and sessions come by the thousand.
    #[expect(clippy::box_collection, reason = "an empty map is six times the size of a pointer")]
    tools: Option<Box<HashMap<String, Vec<Wanted>>>>,
}

/// One argument that goes into a header.
#[derive(Debug)]
struct Wanted {
    /// Names of properties from `arguments` on.
    path: Vec<String>,
    header: HeaderName,
}

impl ParamHeaders {
    /// Looks for schemas in a reply of the server.
    pub fn learn(&mut self, reply: &Message) {
        // A list without it may take back what one before it said.
        if !reply.has_word(KnownWord::Tools) || self.tools.is_none() && !reply.has_word(KnownWord::McpHeader) {
            return;
        }
        let Some(reply) = reply.value() else { return };
        for tool in reply.pointer("/result/tools").and_then(Value::as_array).into_iter().flatten() {
            let (Some(name), Some(schema)) = (tool.get("name").and_then(Value::as_str), tool.get("inputSchema")) else {
                continue;
            };
            let mut wanted = Vec::new();
            collect(schema, &mut Vec::new(), &mut wanted);
            self.tools.get_or_insert_default().insert(name.to_owned(), wanted);
        }
    }

    /// Puts the headers that a call's arguments ask for in place of those that are there. Those of a tool whose schema was
    /// never seen are left as they are.
    pub fn apply(&self, message: &Message, headers: &mut HeaderMap) {
        if message.method() != Some(method::TOOLS_CALL) {
            return;
        }
        let Some(wanted) = self.wanted(message) else { return };
        let there: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
        for name in there {
            headers.remove(name);
        }
        let params: Option<Value> = message.member("params").and_then(|params| serde_json::from_str(params).ok());
        let Some(arguments) = params.as_ref().and_then(|params| params.get("arguments")) else { return };
        for Wanted { path, header } in wanted {
            let value = path.iter().try_fold(arguments, |value, key| value.get(key)).and_then(text_of);
            headers.extend(value.map(|value| (header.clone(), value)));
        }
    }
}

impl ParamHeaders {
    /// Whether the headers of a call repeat its arguments as its tool wants them. A header for an argument that is not there, or that
    /// the tool does not ask for, does no harm.
    ///
    /// # Errors
    /// Which does not, in words.
    pub fn check(&self, message: &Message, headers: &HeaderMap) -> Result<(), String> {
        if message.method() != Some(method::TOOLS_CALL) {
            return Ok(());
        }
        let Some(wanted) = self.wanted(message) else { return Ok(()) };
        let arguments: Option<Value> =
            message.at(&["params", "arguments"]).and_then(|it| serde_json::from_str(it).ok());
        let Some(arguments) = arguments else { return Ok(()) };
        for Wanted { path, header } in wanted {
            let Some(value) = path.iter().try_fold(&arguments, |value, key| value.get(key)) else { continue };
            if text_of(value).is_none() {
                continue;
            }
            let mut given = headers.get_all(header).iter();
            let (Some(first), None) = (given.next(), given.next()) else {
                return Err(format!("`{header}` is missing, or stands there twice"));
            };
            if !first.to_str().is_ok_and(|text| says(text.trim(), value)) {
                return Err(format!("`{header}` is not what `{}` of the arguments says", path.join(".")));
            }
        }
        Ok(())
    }

    /// What the tool of a call wants, where its schema was seen.
    fn wanted(&self, call: &Message) -> Option<&[Wanted]> {
        self.tools.as_ref()?.get(call.name()?).map(Vec::as_slice)
    }
}

/// Whether a header says what an argument says; numbers by value.
fn says(header: &str, value: &Value) -> bool {
    let Some(decoded) = decoded_text(header) else { return false };
    match value {
        Value::String(text) => decoded == *text,
        Value::Number(number) => {
            decoded == number.to_string()
                || serde_json::from_str::<serde_json::Number>(&decoded).is_ok_and(|it| it.as_f64() == number.as_f64())
        }
        other => decoded == other.to_string(),
    }
}

fn collect(schema: &Value, path: &mut Vec<String>, wanted: &mut Vec<Wanted>) {
    for (key, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        path.push(key.clone());
        let header = property.get(MARK).and_then(Value::as_str);
        if let Some(header) = header.and_then(|name| format!("{PREFIX}{name}").parse().ok()) {
            wanted.push(Wanted { path: path.clone(), header });
        }
        collect(property, path, wanted);
        path.pop();
    }
}

/// Strings as they are or encoded, integers in decimal, booleans as words; an absent or null argument has no header.
fn text_of(value: &Value) -> Option<HeaderValue> {
    match value {
        Value::String(text) => Some(header_text(text)),
        Value::Number(_) | Value::Bool(_) => HeaderValue::from_str(&value.to_string()).ok(),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[
        {"name":"deploy","inputSchema":{"type":"object","properties":{
            "region":{"type":"string","x-mcp-header":"Region"},
            "dry":{"type":"boolean","x-mcp-header":"Dry"},
            "size":{"type":"object","properties":{"count":{"type":"integer","x-mcp-header":"Count"}}},
            "note":{"type":"string"}}}},
        {"name":"plain","inputSchema":{"type":"object","properties":{"x":{"type":"string"}}}}]}}"#;

    fn headers(call: &str, there: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        let mut params = ParamHeaders::default();
        params.learn(&Message::new(TOOLS));
        let mut headers: HeaderMap = there
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        params.apply(&Message::new(call.to_owned()), &mut headers);
        let mut found: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        found.sort();
        found
    }

    fn call(tool: &str, arguments: &str) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
        )
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn param_headers_repeat_the_arguments_that_a_schema_marks() {
        let call = call("deploy", r#"{"region":"sørlandet","dry":true,"size":{"count":3},"note":"n"}"#);
        let expected =
            [("mcp-param-count", "3"), ("mcp-param-dry", "true"), ("mcp-param-region", "=?base64?c8O4cmxhbmRldA==?=")];
        assert_eq!(headers(&call, &[]), pairs(&expected));
    }

    #[test]
    fn param_headers_follow_an_edit_and_go_with_their_argument() {
        let call = call("deploy", r#"{"region":"east","dry":null}"#);
        let there = [("mcp-param-region", "west"), ("mcp-param-dry", "true"), ("x-other", "1")];
        assert_eq!(headers(&call, &there), pairs(&[("mcp-param-region", "east"), ("x-other", "1")]));
    }

    #[test]
    fn param_headers_of_unknown_tools_are_left_alone() {
        let there = [("mcp-param-region", "west")];
        assert_eq!(headers(&call("unseen", "{}"), &there), pairs(&there));
        assert_eq!(headers(r#"{"id":1,"method":"ping"}"#, &there), pairs(&there));
    }
}
