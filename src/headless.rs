//! The screen for where there is none: one line a message on a stream, usually stderr.

use std::collections::HashSet;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::cli::LogFormat;
use crate::envelope::{Direction, Envelope, SessionId};
use crate::event::{Event, FeedReader, Level, Origin};
use crate::message::Id;
use crate::text::{harmless_json, sanitize};

/// The time between two writes while much passes: a line a write would be most of what a call costs.
const MOMENT: Duration = Duration::from_millis(5);

/// Bytes of lines that are written at once.
const MOST_GATHERED: usize = 64 << 10;

/// Writes events until the core stops or `out` is closed. A single one is written at once, and the next waited for; where
/// several come together, or soon after each other, those that follow are written together.
pub fn run(reader: &FeedReader, format: LogFormat, mut out: impl Write) {
    let (mut shadows, mut lines) = (HashSet::new(), Vec::new());
    let mut written = Instant::now();
    while let Ok(first) = reader.events.recv() {
        let (mut stopping, mut events) = (false, 0);
        for event in std::iter::once(first).chain(reader.events.try_iter()) {
            events += 1;
            stopping = matches!(event, Event::Stopping);
            if stopping {
                break;
            }
            // An event that has no form as a line is left out: it is shown nowhere else either.
            let _ = write_event(&event, reader.take_dropped(), format, &mut shadows, &mut lines);
            if lines.len() > MOST_GATHERED {
                break;
            }
        }
        // A reader that has gone (`| head`) is no reason to stop forwarding.
        if out.write_all(&lines).and_then(|()| out.flush()).is_err() || stopping {
            return;
        }
        lines.clear();
        let since = std::mem::replace(&mut written, Instant::now()).elapsed();
        if events > 1 || since < MOMENT {
            std::thread::sleep(MOMENT);
        }
    }
}

fn write_event(
    event: &Event,
    dropped: u64,
    format: LogFormat,
    shadows: &mut HashSet<SessionId>,
    lines: &mut Vec<u8>,
) -> io::Result<()> {
    match format {
        LogFormat::Text if is_of_shadow(event, shadows) => write_dropped(dropped, lines),
        LogFormat::Text => write_text(event, dropped, lines),
        LogFormat::Json => write_json(event, dropped, lines),
    }
}

/// Whether a message passed in the session of a shadow: a line tells where it differs, and that is enough to read.
fn is_of_shadow(event: &Event, shadows: &mut HashSet<SessionId>) -> bool {
    match event {
        Event::SessionOpened(session) if session.origin == Origin::Shadow => {
            shadows.insert(session.id);
            false
        }
        Event::Passed(envelope) => shadows.contains(&envelope.session),
        Event::SessionClosed { session, .. } => {
            shadows.remove(session);
            false
        }
        _ => false,
    }
}

fn write_json(event: &Event, dropped: u64, out: &mut impl Write) -> io::Result<()> {
    if matches!(event, Event::ResyncStarted | Event::ResyncDone) {
        return Ok(());
    }
    let line = serde_json::to_string(event)?;
    out.write_all(harmless_json(&line).as_bytes())?;
    if dropped > 0 {
        write!(out, "\n{{\"dropped\":{dropped}}}")?;
    }
    out.write_all(b"\n")
}

fn write_text(event: &Event, dropped: u64, out: &mut impl Write) -> io::Result<()> {
    write_dropped(dropped, out)?;
    let Some(line) = text(event) else { return Ok(()) };
    out.write_all(sanitize(&line).as_bytes())?;
    out.write_all(b"\n")
}

fn write_dropped(dropped: u64, out: &mut impl Write) -> io::Result<()> {
    if dropped > 0 {
        writeln!(out, "  ... {dropped} lines left out: this terminal is slower than the traffic")?;
    }
    Ok(())
}

fn text(event: &Event) -> Option<String> {
    match event {
        Event::SessionOpened(session) => {
            let name = session.upstream_name.as_ref().map_or_else(String::new, |name| format!("{name}, "));
            let origin = match session.origin {
                Origin::Shadow => " (shadow)",
                Origin::Rule => " (asked by a rule)",
                Origin::Client | Origin::Replay => "",
            };
            Some(format!("session {} opened: {name}{}{origin}", session.id.short(), session.upstream))
        }
        Event::SessionClosed { session, reason } => Some(format!("session {} closed: {reason}", session.short())),
        Event::Passed(envelope) => Some(message_line(envelope)),
        Event::Held(held) => Some(format!("held {}: {}", message_line(&held.envelope), held.reason)),
        Event::Gap { session, messages } => {
            Some(format!("session {}: {messages} messages passed unrecorded", session.short()))
        }
        Event::Ending(progress) => Some(progress.to_string()),
        Event::Log(line) if line.level > Level::Debug => {
            let about = line.seq.map_or_else(String::new, |seq| format!("{seq} "));
            Some(format!("{:5} {}: {about}{}", line.level.word(), line.source, line.text))
        }
        _ => None,
    }
}

/// Put together by hand: the machinery of formatting would be most of what a message's line costs.
fn message_line(envelope: &Envelope) -> String {
    let mut line = String::with_capacity(128);
    let mut digits = itoa::Buffer::new();
    envelope.session.push_short(&mut line);
    let seq = digits.format(envelope.seq.0);
    push_blanks(&mut line, 6_usize.saturating_sub(seq.len()).max(1));
    line.push('#');
    line.push_str(seq);
    line.push_str(match envelope.direction {
        Direction::ToServer => " > ",
        Direction::ToClient => " < ",
    });
    let kind = envelope.kind().word();
    line.push_str(kind);
    push_blanks(&mut line, 12_usize.saturating_sub(kind.len()));
    let words = [envelope.message.id().map(Id::display), envelope.method(), envelope.name()];
    for word in words.into_iter().flatten() {
        line.push(' ');
        line.push_str(word);
    }
    line.push(' ');
    line.push_str(digits.format(envelope.message.raw().len()));
    line.push('B');
    if let Some(reply_to) = &envelope.reply_to {
        let tenths = reply_to.took.saturating_add(50) / 100;
        line.push(' ');
        line.push_str(digits.format(tenths / 10));
        line.push('.');
        line.push_str(digits.format(tenths % 10));
        line.push_str("ms");
    }
    if let Some(outcome) = envelope.outcome.word() {
        line.push_str(" [");
        line.push_str(outcome);
        line.push(']');
    }
    line
}

fn push_blanks(line: &mut String, count: usize) {
    line.extend(std::iter::repeat_n(' ', count));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Envelope, Seq, Via};
    use crate::message::Message;

    #[test]
    fn line_of_a_message_has_its_columns() {
        let session = SessionId::random();
        let call = Message::new(r#"{"jsonrpc":"2.0","id":"a b","method":"tools/call","params":{"name":"echo"}}"#);
        let line = message_line(&Envelope::forwarded(Seq(12), session, Direction::ToServer, Via::Http, call));
        assert_eq!(line, format!("{}    #12 > request      a b tools/call echo 75B", session.short()));
        let reply = Message::new(r#"{"jsonrpc":"2.0","id":"a b","result":{}}"#);
        let reply = Envelope::forwarded(Seq(1_234_567), session, Direction::ToClient, Via::Http, reply);
        let line = message_line(&reply);
        assert_eq!(
            line,
            format!("{} #1234567 < result       a b 40B", session.short()),
            "a long number takes its room"
        );
    }
}
