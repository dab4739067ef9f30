//! HTTP Archive 1.2. A tape of pipes has no requests of HTTP: they are written as they would be over HTTP.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde_json::{Value, json};

use super::exchange::{exchanges, text_of};
use super::messages::ExportedTape;
use crate::envelope::{Envelope, Seq, Via, written_headers};
use crate::event::Timestamp;
use crate::message::Kind;
use crate::tape::TapeOutputError;
use crate::tape::json_items::JsonItems;
use crate::tape::read::ReadWatch;

/// Where a command would be, if it were somewhere.
const NOWHERE: &str = "http://stdio.invalid/mcp";
/// The member of an entry that says which of several sessions it is of; the format leaves names with `_` to whoever writes.
pub(in crate::tape) const SESSION: &str = "_session";
const JSON: &str = "application/json";
const STREAM: &str = "text/event-stream";

pub(super) fn har(tape: &ExportedTape, watch: &ReadWatch<'_>, out: &mut dyn Write) -> Result<(), TapeOutputError> {
    let header = tape.header();
    let (url, are_several) = (url(&header.upstream), tape.sessions().len() > 1);
    begin(out)?;
    let mut entries = JsonItems::begin(out, INDENT)?;
    tape.each_exchange(watch, |sent, reply, _| {
        let mut entry = entry(header.started.plus_micros(sent.at), url, sent, reply, are_several);
        for mark in [Some(sent), reply].into_iter().flatten().filter_map(|it| tape.mark(it.seq)) {
            entry["comment"] = format!("{}; {}", entry["comment"].as_str().unwrap_or_default(), mark.words()).into();
        }
        Ok(entries.item(&format!("{entry:#}"))?)
    })?;
    entries.end()?;
    Ok(out.write_all(END)?)
}

/// The archive of these messages of one upstream, each with the time when it came.
pub fn archive(timed: &[(Arc<Envelope>, Timestamp)], upstream: &str) -> String {
    let envelopes: Vec<_> = timed.iter().map(|(envelope, _)| envelope.clone()).collect();
    let times: HashMap<Seq, Timestamp> = timed.iter().map(|(envelope, time)| (envelope.seq, *time)).collect();
    let time = |envelope: &Envelope| times.get(&envelope.seq).copied().unwrap_or_default();
    let are_several = envelopes.windows(2).any(|two| two[0].session != two[1].session);
    let mut text = Vec::new();
    let written = begin(&mut text).and_then(|()| {
        let mut entries = JsonItems::begin(&mut text, INDENT)?;
        for (sent, reply) in exchanges(&envelopes) {
            let entry = entry(time(sent), url(upstream), sent, reply.map(|it| &**it), are_several);
            entries.item(&format!("{entry:#}"))?;
        }
        entries.end()
    });
    written.expect("a vector takes everything");
    text.extend(END);
    String::from_utf8(text).expect("JSON is text")
}

/// How far the line of the entries is indented.
const INDENT: usize = 4;
const END: &[u8] = b"\n  }\n}\n";

/// Writes all up to the entries.
fn begin(out: &mut dyn Write) -> io::Result<()> {
    let head = json!({ "log": {
        "version": "1.2",
        "creator": { "name": "tapline", "version": env!("CARGO_PKG_VERSION") },
        "pages": [],
        "entries": null,
    }});
    let head = format!("{head:#}");
    out.write_all(head.split_once("null").expect("it has no other").0.as_bytes())
}

fn url(upstream: &str) -> &str {
    if upstream.starts_with("http") { upstream } else { NOWHERE }
}

fn entry(at: Timestamp, url: &str, sent: &Envelope, reply: Option<&Envelope>, names_session: bool) -> Value {
    let at = i64::try_from(at.0).ok().and_then(|it| jiff::Timestamp::from_microsecond(it).ok()).unwrap_or_default();
    let took = reply.and_then(|it| it.reply_to.as_ref()).map_or(0.0, |it| it.took as f64 / 1000.0);
    let body = text_of(sent);
    let mut headers = headers(sent);
    if headers.is_empty() {
        headers = vec![json!({ "name": "content-type", "value": JSON })];
    }
    let comment = [sent.method(), sent.name()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let mut entry = json!({
        "startedDateTime": at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        "time": took,
        "request": {
            "method": "POST",
            "url": url,
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": headers,
            "queryString": [],
            "postData": { "mimeType": JSON, "text": body, "params": [] },
            "headersSize": -1,
            "bodySize": body.len(),
        },
        "response": response(sent, reply),
        "cache": {},
        "timings": { "send": 0, "wait": took, "receive": 0 },
        "comment": comment,
        "_tapline": { "seq": sent.seq, "reply": reply.map(|it| it.seq), "via": sent.transport.via.word() },
    });
    if names_session {
        entry[SESSION] = json!(sent.session);
    }
    entry
}

fn response(sent: &Envelope, reply: Option<&Envelope>) -> Value {
    // One that wants no reply is accepted; one that has none was never answered, which HAR writes as status 0.
    let nothing = if sent.kind() == Kind::Request { 0 } else { 202 };
    let status = reply.map_or(nothing, |it| it.transport.status.unwrap_or(200));
    let (kind, text) = match reply {
        Some(reply) if reply.transport.via == Via::Sse => (STREAM, format!("data: {}\n\n", text_of(reply))),
        Some(reply) => (JSON, text_of(reply)),
        None => ("x-unknown", String::new()),
    };
    json!({
        "status": status,
        "statusText": http::StatusCode::from_u16(status).ok().and_then(|it| it.canonical_reason()).unwrap_or_default(),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": reply.map(headers).unwrap_or_default(),
        "content": { "size": text.len(), "mimeType": kind, "text": text },
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": text.len(),
    })
}

fn headers(envelope: &Envelope) -> Vec<Value> {
    let headers = envelope.transport.headers.as_deref().map(written_headers).unwrap_or_default();
    headers.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}
