//! Finds content in a message: of a result, of the messages of a prompt or of sampling, of a resource.

use serde_json::Value;

use super::super::json::pretty;
use super::media::MediaBlock;
use crate::message::Message;

/// One piece of what a message says.
#[derive(Debug)]
pub(crate) enum ContentBlock {
    /// For reading: Markdown, where it is any.
    Text(String),
    /// Shown as it is: JSON, a file that is no Markdown.
    Verbatim(String),
    /// Says something of what follows: whose message, which resource.
    Note(String),
    Media(MediaBlock),
}

/// Where content stands, and whether it stands there in messages.
const PLACES: [&[&str]; 6] = [
    &["result", "content"],
    &["result", "contents"],
    &["result", "messages"],
    &["result", "instructions"],
    &["result", "structuredContent"],
    &["params", "messages"],
];

/// Whether there is any.
pub(crate) fn has_content(message: &Message) -> bool {
    PLACES.iter().any(|place| message.at(place).is_some())
}

/// All of it, in the order in which it is read.
pub(crate) fn blocks(message: &Message) -> Vec<ContentBlock> {
    let mut blocks = Vec::new();
    for place in PLACES {
        let Some(value) = message.at(place).and_then(|text| serde_json::from_str(text).ok()) else { continue };
        match place {
            ["result", "instructions"] => blocks.push(text(value)),
            ["result", "structuredContent"] => blocks.push(ContentBlock::Verbatim(indented(&value))),
            [_, "messages"] => each(value, |message| said(message, &mut blocks)),
            [_, "contents"] => each(value, |contents| resource(contents, &mut blocks)),
            _ => each(value, |content| block(content, &mut blocks)),
        }
    }
    blocks
}

/// One value, or those of an array: content of sampling is either.
fn each(value: Value, mut act: impl FnMut(Value)) {
    match value {
        Value::Array(values) => values.into_iter().for_each(act),
        value => act(value),
    }
}

/// A message of a prompt or of sampling.
fn said(mut message: Value, into: &mut Vec<ContentBlock>) {
    if let Some(role) = word(&message, "role") {
        into.push(ContentBlock::Note(format!("{role}:")));
    }
    match message.get_mut("content").map(Value::take) {
        Some(content) => each(content, |content| block(content, into)),
        None => into.push(ContentBlock::Verbatim(indented(&message))),
    }
}

fn block(mut value: Value, into: &mut Vec<ContentBlock>) {
    let kind = word(&value, "type").unwrap_or_default().to_owned();
    match kind.as_str() {
        "text" if value["text"].is_string() => into.push(text(value["text"].take())),
        "image" | "audio" if value["data"].is_string() => {
            let mime = word(&value, "mimeType").unwrap_or_default().to_owned();
            into.push(ContentBlock::Media(MediaBlock { kind, mime, data: taken(&mut value, "data") }));
        }
        "resource" if value["resource"].is_object() => resource(value["resource"].take(), into),
        "resource_link" => {
            let words = ["uri", "name", "mimeType", "description"].into_iter().filter_map(|key| word(&value, key));
            into.push(ContentBlock::Note(format!("link: {}", words.collect::<Vec<_>>().join(", "))));
        }
        _ => into.push(ContentBlock::Verbatim(indented(&value))),
    }
}

/// What a resource holds, after its name.
fn resource(mut value: Value, into: &mut Vec<ContentBlock>) {
    let mime = word(&value, "mimeType").unwrap_or_default().to_owned();
    let about = [word(&value, "uri").unwrap_or("no uri"), &mime].into_iter().filter(|word| !word.is_empty());
    let about = about.collect::<Vec<_>>().join(", ");
    match (value["text"].is_string(), value["blob"].is_string()) {
        (true, _) => {
            into.push(ContentBlock::Note(about));
            let is_read = mime.is_empty() || mime.starts_with("text/markdown") || mime.starts_with("text/plain");
            let content = value["text"].take();
            into.push(if is_read { text(content) } else { ContentBlock::Verbatim(string(content)) });
        }
        (_, true) => {
            into.push(ContentBlock::Note(about));
            let kind = mime.split('/').next().filter(|kind| matches!(*kind, "image" | "audio")).unwrap_or("blob");
            let kind = kind.to_owned();
            into.push(ContentBlock::Media(MediaBlock { kind, mime, data: taken(&mut value, "blob") }));
        }
        _ => into.push(ContentBlock::Verbatim(indented(&value))),
    }
}

/// Text that is JSON is shown as JSON.
fn text(value: Value) -> ContentBlock {
    let text = string(value);
    match text.trim_start().starts_with(['{', '[']).then(|| pretty(text.as_bytes())).flatten() {
        Some(json) => ContentBlock::Verbatim(json),
        None => ContentBlock::Text(text),
    }
}

fn word<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn taken(value: &mut Value, key: &str) -> String {
    string(value[key].take())
}

fn string(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn indented(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str) -> Vec<String> {
        blocks(&Message::new(json.to_owned())).iter().map(|block| format!("{block:?}")).collect()
    }

    #[test]
    fn content_is_found_wherever_the_protocol_has_it() {
        let call = r##"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"# hi"},{"type":"image","mimeType":"image/png","data":"AAAA"},{"type":"text","text":"{\"a\":1}"},{"type":"new","x":1}],"structuredContent":[]}}"##;
        let [text, image, json, other, structured] = &found(call)[..] else { panic!("five blocks") };
        assert_eq!(text, r##"Text("# hi")"##);
        assert!(image.starts_with("Media(") && image.contains("image/png"), "{image}");
        assert_eq!(json, r#"Verbatim("{\n  \"a\": 1\n}")"#);
        assert!(other.contains(r#"\"type\": \"new\""#), "{other}");
        assert_eq!(structured, r#"Verbatim("[]")"#);
        let prompt = r#"{"id":1,"result":{"messages":[{"role":"user","content":{"type":"text","text":"hello"}}]}}"#;
        assert_eq!(found(prompt), [r#"Note("user:")"#, r#"Text("hello")"#]);
        let read = r#"{"id":1,"result":{"contents":[{"uri":"a://b","mimeType":"audio/wav","blob":"AA=="},{"uri":"c","mimeType":"text/x-rust","text":"*a*"}]}}"#;
        assert_eq!(found(read).len(), 4);
        assert!(found(read)[3].starts_with("Verbatim"), "code is no Markdown");
        assert_eq!(found(r#"{"id":1,"result":{"instructions":"use it"}}"#), [r#"Text("use it")"#]);
    }

    #[test]
    fn content_that_is_none_is_shown_as_it_is() {
        for garbage in [
            r#"{"id":1,"result":{"content":7}}"#,
            r#"{"id":1,"result":{"content":[{"type":"text","text":7},null,[]]}}"#,
            r#"{"id":1,"result":{"contents":[{}],"messages":[4]}}"#,
            r#"{"id":1,"method":"sampling/createMessage","params":{"messages":{"content":"x"}}}"#,
        ] {
            assert!(has_content(&Message::new(garbage.to_owned())), "{garbage}");
            assert!(!found(garbage).is_empty(), "{garbage}");
        }
        assert!(!has_content(&Message::new(r#"{"id":1,"result":{}}"#.to_owned())));
    }
}
