//! The screen for where there is none: one line a message on a stream, usually stderr.

use std::collections::HashSet;
use std::io::{self, Write};

use crate::cli::LogFormat;
use crate::envelope::{Direction, Envelope, SessionId};
use crate::event::{Event, FeedReader, Level, Origin};
use crate::text::sanitize;

/// Writes events until the core stops or nobody reads any more.
pub fn run(reader: &FeedReader, format: LogFormat, mut out: impl Write) {
    let mut shadows = HashSet::new();
    while let Ok(event) = reader.events.recv() {
        if matches!(event, Event::Stopping) {
            return;
        }
        let dropped = reader.take_dropped();
        let written = match format {
            LogFormat::Text if is_of_shadow(&event, &mut shadows) => write_dropped(dropped, &mut out),
            LogFormat::Text => write_text(&event, dropped, &mut out),
            LogFormat::Json => write_json(&event, dropped, &mut out),
        };
        // A reader that has gone (`| head`) is no reason to stop forwarding.
        if written.and_then(|()| out.flush()).is_err() {
            return;
        }
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
    let mut line = serde_json::to_vec(event)?;
    if dropped > 0 {
        line.extend_from_slice(format!("\n{{\"dropped\":{dropped}}}").as_bytes());
    }
    line.push(b'\n');
    out.write_all(&line)
}

fn write_text(event: &Event, dropped: u64, out: &mut impl Write) -> io::Result<()> {
    write_dropped(dropped, out)?;
    match text(event) {
        Some(line) => writeln!(out, "{}", sanitize(&line)),
        None => Ok(()),
    }
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
            let shadow = if session.origin == Origin::Shadow { " (shadow)" } else { "" };
            Some(format!("session {} opened: {name}{}{shadow}", session.id.short(), session.upstream))
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

fn message_line(envelope: &Envelope) -> String {
    let arrow = match envelope.direction {
        Direction::ToServer => '>',
        Direction::ToClient => '<',
    };
    let mut line =
        format!("{} {:>6} {arrow} {:12}", envelope.session.short(), envelope.seq.to_string(), envelope.kind().word());
    let id = envelope.message.id().map(|id| id.display().to_owned());
    let words = [id.as_deref(), envelope.method(), envelope.name()];
    for word in words.into_iter().flatten() {
        line.push(' ');
        line.push_str(word);
    }
    line.push_str(&format!(" {}B", envelope.message.raw().len()));
    if let Some(reply_to) = &envelope.reply_to {
        line.push_str(&format!(" {:.1}ms", reply_to.took as f64 / 1000.0));
    }
    if let Some(outcome) = envelope.outcome.word() {
        line.push_str(&format!(" [{outcome}]"));
    }
    line
}
