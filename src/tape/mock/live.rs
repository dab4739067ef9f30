//! Values of a recorded reply that are to be those of the live session: what it repeats of the request, times, and ids.
//!
//! Only where that is asked for (`--live`): else the bytes are those of the tape.

use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::Timestamp as Instant;
use regex::{Captures, Regex};
use serde_json::Value;

use crate::event::Timestamp;
use crate::message::Message;

/// What is made to be of the live session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveValues {
    /// Written times near the recorded ones, moved as the clock did.
    pub times: bool,
    /// UUIDs that the server made up: others, the same for the whole session.
    pub ids: bool,
    /// Texts of the request's arguments that the reply repeats.
    pub echo: bool,
}

/// A time as RFC 3339 writes it.
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)";
    Regex::new(pattern).expect("the pattern is a constant")
});
static UUID: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b";
    Regex::new(pattern).expect("the pattern is a constant")
});

/// How far from the recording a time may lie that is moved, in microseconds: two days.
const NEAR: i128 = 2 * 86_400_000_000;
/// Shorter texts stand in a reply by chance.
const SHORTEST: usize = 3;

/// The ids of one session: as recorded, and as they are now.
#[derive(Debug, Default)]
pub(super) struct LiveIds {
    to_live: HashMap<String, String>,
    to_recorded: HashMap<String, String>,
}

impl LiveIds {
    /// A message of the client in the words of the tape.
    pub(super) fn recorded(&self, message: &Message) -> Message {
        let known = &self.to_recorded;
        if known.is_empty() {
            return message.clone();
        }
        replace(message, &UUID, |id| known.get(id).cloned())
    }

    fn live(&mut self, id: &str) -> String {
        if let Some(known) = self.to_live.get(id) {
            return known.clone();
        }
        let live = uuid::Uuid::new_v4().to_string();
        self.to_live.insert(id.to_owned(), live.clone());
        self.to_recorded.insert(live.clone(), id.to_owned());
        live
    }
}

/// A recorded message of the server as it would be now. `started`: when the recording began; `recorded` and `asked`: the request.
pub(super) fn as_live(
    message: &Message,
    live: LiveValues,
    started: Timestamp,
    (recorded, asked): (&Message, &Message),
    ids: &mut LiveIds,
) -> Message {
    let mut message = message.clone();
    if live.echo {
        for (was, is) in echoes(recorded, asked) {
            message = replace_text(&message, &was, &is);
        }
    }
    if live.times {
        let moved = i128::from(Timestamp::now().0) - i128::from(started.0);
        message = replace(&message, &TIME, |time| move_time(time, started, moved));
    }
    if live.ids {
        let said = String::from_utf8_lossy(recorded.raw()).into_owned();
        // What the client said first is the client's.
        message = replace(&message, &UUID, |id| (!said.contains(id)).then(|| ids.live(id)));
    }
    message
}

fn replace(message: &Message, pattern: &Regex, mut with: impl FnMut(&str) -> Option<String>) -> Message {
    let Ok(text) = std::str::from_utf8(message.raw()) else { return message.clone() };
    let new = pattern.replace_all(text, |found: &Captures<'_>| with(&found[0]).unwrap_or_else(|| found[0].to_owned()));
    if new == text { message.clone() } else { Message::new(new.into_owned()) }
}

fn replace_text(message: &Message, was: &str, is: &str) -> Message {
    match std::str::from_utf8(message.raw()) {
        Ok(text) if text.contains(was) => Message::new(text.replace(was, is)),
        _ => message.clone(),
    }
}

/// A written time moved by so many microseconds, where it lies near the recording: with as many digits, and in the same zone.
fn move_time(text: &str, started: Timestamp, moved: i128) -> Option<String> {
    let time: Instant = text.parse().ok()?;
    let micros = i128::from(time.as_microsecond());
    if (micros - i128::from(started.0)).abs() > NEAR {
        return None;
    }
    let digits = text.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
    let zone = &text[text.rfind(['Z', '+', '-']).filter(|at| *at > 10)?..];
    let seconds = match zone.strip_prefix(['+', '-']) {
        Some(offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let seconds = (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?) * 60;
            if zone.starts_with('-') { -seconds } else { seconds }
        }
        None => 0,
    };
    let there = Instant::from_microsecond(i64::try_from(micros + moved).ok()? + seconds * 1_000_000).ok()?;
    let written = format!("{there:.9}");
    let (whole, fraction) = written.trim_end_matches('Z').split_once('.')?;
    let fraction = if digits == 0 { String::new() } else { format!(".{}", &fraction[..digits]) };
    Some(format!("{whole}{fraction}{zone}"))
}

/// Texts of the arguments that differ: as they stand in JSON, recorded and live; the longest first, so that none is cut by another.
fn echoes(recorded: &Message, asked: &Message) -> Vec<(String, String)> {
    let params = |message: &Message| message.member("params").and_then(|it| serde_json::from_str::<Value>(it).ok());
    let mut found = Vec::new();
    if let (Some(recorded), Some(asked)) = (params(recorded), params(asked)) {
        collect(&recorded, &asked, &mut found);
    }
    found.sort_by_key(|(was, _)| std::cmp::Reverse(was.len()));
    found
}

fn collect(recorded: &Value, asked: &Value, found: &mut Vec<(String, String)>) {
    match (recorded, asked) {
        (Value::Object(recorded), Value::Object(asked)) => {
            for (key, value) in recorded.iter().filter(|(key, _)| *key != crate::mcp::meta::META) {
                asked.get(key).into_iter().for_each(|other| collect(value, other, found));
            }
        }
        (Value::Array(recorded), Value::Array(asked)) => {
            recorded.iter().zip(asked).for_each(|(one, other)| collect(one, other, found));
        }
        (Value::String(was), Value::String(is)) if was != is && was.len() >= SHORTEST => {
            let inner = |text: &str| {
                let quoted = Value::from(text).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            };
            found.push((inner(was), inner(is)));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_with_its_digits_and_its_zone() {
        let started = Timestamp(1_795_452_901_000_000); // 2026-11-23T16:55:01Z
        let hour = 3_600_000_000;
        for (was, is) in [
            ("2026-11-23T16:55:01Z", Some("2026-11-23T17:55:01Z")),
            ("2026-11-23T16:55:01.250Z", Some("2026-11-23T17:55:01.250Z")),
            ("2026-11-23T18:55:01+02:00", Some("2026-11-23T19:55:01+02:00")),
            ("2026-11-23T11:25:01.5-05:30", Some("2026-11-23T12:25:01.5-05:30")),
            ("2020-01-01T00:00:00Z", None),
        ] {
            assert_eq!(move_time(was, started, hour).as_deref(), is, "{was}");
        }
    }

    #[test]
    fn live_values_are_echoes_and_ids_that_come_back() {
        let id = "6fa459ea-ee8a-3ca4-894e-db77e160355e";
        let recorded = Message::new(r#"{"id":1,"method":"m","params":{"text":"Lisbon"}}"#);
        let asked = Message::new(r#"{"id":1,"method":"m","params":{"text":"Ro\"me"}}"#);
        let reply = Message::new(format!(r#"{{"id":1,"result":{{"a":"to Lisbon","b":"{id}","c":"{id}"}}}}"#));
        let live = LiveValues { times: true, ids: true, echo: true };
        let mut ids = LiveIds::default();
        let said = as_live(&reply, live, Timestamp(0), (&recorded, &asked), &mut ids).value().unwrap();
        assert_eq!(said["result"]["a"], "to Ro\"me");
        assert_eq!(said["result"]["b"], said["result"]["c"]);
        assert_ne!(said["result"]["b"], id);
        let back = Message::new(format!(r#"{{"x":{}}}"#, said["result"]["b"]));
        assert_eq!(ids.recorded(&back), Message::new(format!(r#"{{"x":"{id}"}}"#)));
    }
}
