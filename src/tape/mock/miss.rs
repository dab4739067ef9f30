//! What is said of a request that is on no tape: what comes nearest, and where that differs.

use serde_json::json;

use super::key::hash_of;
use super::script::MockScript;
use crate::event::Difference;
use crate::mcp::error_code::ErrorCode;
use crate::mcp::meta::META;
use crate::message::Message;
use crate::tape::compare::{Rules, Volatile, compare, nearest};
use crate::text::excerpt;

/// Differences that are told; more tell no more.
const MOST: usize = 20;
/// The most requests of a tape that are looked at for the nearest, and bytes of it that are read: clients wait meanwhile, also others. Of
/// more than that every second is looked at, or every third, and so on.
const MOST_COMPARED: u64 = 256;
const MOST_READ: u64 = 8 << 20;
/// Characters of a value that are told.
const LONGEST: usize = 200;

/// A request that is on no tape.
pub(super) struct MissedRequest<'a> {
    script: &'a MockScript,
    why: String,
    /// The recorded request that comes nearest, and where it differs.
    nearest: Option<(usize, Vec<Difference>)>,
}

/// Method and name, for people.
pub(super) fn describe(message: &Message) -> String {
    let method = message.method().unwrap_or("no method");
    message.name().map_or_else(|| format!("`{method}`"), |name| format!("`{method}` of `{name}`"))
}

impl<'a> MissedRequest<'a> {
    /// No tape has it.
    pub(super) fn unknown(script: &'a MockScript, request: &Message) -> Self {
        let hashes = |message: &Message| (message.method().map(hash_of), message.name().map_or(0, hash_of));
        let (method, name) = hashes(request);
        let like = || {
            let all = script.exchanges.iter().enumerate();
            all.filter(|(_, other)| other.is_request && Some(other.method) == method)
        };
        let (is_known, is_named) = (like().next().is_some(), like().any(|(_, other)| other.name == name));
        let mut why = match (is_known, is_named) {
            (false, _) => "the tape has no such request",
            (true, false) => "the tape has no request of that name",
            (true, true) => "the tape has no request with these arguments",
        }
        .to_owned();
        let candidates = || like().filter(|(_, other)| !is_named || other.name == name);
        let (count, bytes) = candidates().fold((0_u64, 0), |(count, bytes), (_, other)| {
            (count + 1, bytes + (other.said.line.end - other.said.line.start))
        });
        let step = count.div_ceil(MOST_COMPARED).max(bytes.div_ceil(MOST_READ)).max(1);
        if step > 1 {
            why.push_str(&format!(", of which {} of {count} were compared", count.div_ceil(step)));
        }
        // One after the other: all of them need not fit into memory.
        let compared = candidates().step_by(usize::try_from(step).unwrap_or(usize::MAX));
        let params = compared.filter_map(|(at, _)| Some((at, params_of(&script.said(at).ok()?))));
        let nearest = nearest(params, &params_of(request)).and_then(|at| differing(script, at, request));
        Self { script, why, nearest }
    }

    /// It was asked as often as it was recorded.
    pub(super) fn used_up(script: &'a MockScript, last: usize, count: usize) -> Self {
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        let why =
            format!("the tape has it {times}, and it was asked more often; `--repeat last` gives the last reply again");
        Self { script, why, nearest: Some((last, Vec::new())) }
    }

    /// Another was next.
    pub(super) fn out_of_order(script: &'a MockScript, expected: usize, request: &Message) -> Self {
        let why = format!("the next request on the tape is {}", script.describe(expected));
        Self { script, why, nearest: differing(script, expected, request) }
    }

    /// The tape is at its end.
    pub(super) fn over(script: &'a MockScript, last: Option<usize>, count: usize) -> Self {
        let why = format!("the tape is at its end: all its {count} requests were made");
        Self { script, why, nearest: last.map(|last| (last, Vec::new())) }
    }

    /// The reply, which says that it is ours.
    pub(super) fn reply(&self, request: &Message, tells_nearest: bool) -> Message {
        let mut text = format!("tapline: {}: {}", describe(request), self.why);
        let nearest = self.nearest.as_ref().filter(|_| tells_nearest);
        let data = nearest.map(|(at, found)| {
            let exchange = &self.script.exchanges[*at];
            let tape = &self.script.tapes[exchange.tape].name;
            let told: Vec<_> = found.iter().take(MOST).map(told).collect();
            text.push_str(&format!("; nearest is {} of {tape}", exchange.seq));
            if let Some(first) = found.first() {
                text.push_str(&format!(", which differs at {}", first.path));
            }
            json!({ "tape": tape, "nearest": exchange.seq, "differences": told }).to_string()
        });
        Message::error_reply(request.id(), ErrorCode::NotOnTape.number(), &text, data.as_deref())
    }

    /// The lines for the operator: what was asked, and how that differs from the tape.
    pub(super) fn log(&self, request: &Message) -> String {
        let mut text = format!("not on the tape: {}: {}", describe(request), self.why);
        let Some((at, found)) = &self.nearest else { return text };
        let exchange = &self.script.exchanges[*at];
        text.push_str(&format!("\n  nearest: {} {}", self.script.tapes[exchange.tape].name, exchange.seq));
        for Difference { path, expected, got } in found.iter().take(MOST) {
            let value = |value: &Option<String>, other: &Option<String>| {
                value.as_deref().map_or_else(|| "nothing".to_owned(), |it| excerpt(it, other.as_deref(), LONGEST))
            };
            text.push_str(&format!("\n  {path}  - {}  + {}", value(expected, got), value(got, expected)));
        }
        if found.len() > MOST {
            text.push_str(&format!("\n  and {} more", found.len() - MOST));
        }
        text
    }
}

impl MockScript {
    /// Method and name of what an exchange began with, for people.
    pub(super) fn describe(&self, exchange: usize) -> String {
        self.said(exchange).map_or_else(|why| why, |said| describe(&said))
    }
}

fn differing(script: &MockScript, at: usize, request: &Message) -> Option<(usize, Vec<Difference>)> {
    Some((at, differences(&script.said(at).ok()?, request)))
}

fn told(Difference { path, expected, got }: &Difference) -> serde_json::Value {
    let side = |value: &Option<String>, other: &Option<String>| {
        value.as_deref().map(|it| excerpt(it, other.as_deref(), LONGEST))
    };
    json!({ "path": path, "tape": side(expected, got), "asked": side(got, expected) })
}

/// Where a request differs from one on the tape, by what counts.
fn differences(recorded: &Message, asked: &Message) -> Vec<Difference> {
    let rules = Rules { volatile: Volatile::Exact, ..Rules::default() };
    let mut found = compare(&params_of(recorded), &params_of(asked), &rules);
    if recorded.method() != asked.method() {
        let method = |message: &Message| Some(serde_json::Value::from(message.method()).to_string());
        found.insert(0, Difference { path: ".method".to_owned(), expected: method(recorded), got: method(asked) });
    }
    found
}

/// The arguments of a request, without what differs from client to client.
fn params_of(request: &Message) -> Message {
    let mut params: serde_json::Value =
        serde_json::from_str(request.member("params").unwrap_or("{}")).unwrap_or_default();
    if let Some(members) = params.as_object_mut() {
        members.shift_remove(META);
    }
    Message::new(json!({ "params": params }).to_string())
}
