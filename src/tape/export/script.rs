//! Forms that a person reads, and a shell.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;

use super::exchange::text_of;
use super::messages::ExportedTape;
use crate::envelope::{Direction, Envelope, SessionField, SessionId, Via, written_headers};
use crate::event::Peer;
use crate::headers;
use crate::mcp::method;
use crate::message::Kind;
use crate::tape::TapeOutputError;
use crate::tape::read::ReadWatch;
use crate::text::sanitize;

/// Each reply on a line of its own.
const CURL: &str = r"curl -sS -w '\n'";
/// What an argument may have of bytes: 128 KiB on Linux.
const LONGEST_ARGUMENT: usize = 100_000;

/// Commands that say again what the client said, to the server of the tape or to another one.
pub(super) fn curl(
    tape: &ExportedTape,
    name: &str,
    watch: &ReadWatch<'_>,
    out: &mut dyn Write,
) -> Result<(), TapeOutputError> {
    let header = tape.header();
    let url = if header.upstream.starts_with("http") { header.upstream.as_str() } else { "http://127.0.0.1:7070/mcp" };
    let (name, url) = (sanitize(name), quoted(url));
    write!(out, "#!/bin/sh\n# {name}: what its client said. Usage: sh FILE [URL]\nURL=${{1:-{url}}}\nSESSION=\n")?;
    if header.via == Via::Stdio {
        writeln!(out, "# The tape is of a command: `tapline run -- COMMAND` puts it behind that URL.")?;
    }
    let mut sessions = Vec::new();
    tape.each_sent(watch, |sent| {
        let variable = variable(sent.session, &mut sessions);
        let subject: Vec<_> = [sent.method(), sent.name()].into_iter().flatten().collect();
        write!(out, "\n# {} {}\n", sent.seq, sanitize(&subject.join(" ")))?;
        let (options, (body, behind)) = (options(sent), body(&text_of(sent)));
        Ok(match sent.method() == Some(method::INITIALIZE) {
            true => write!(
                out,
                "HEAD=$(mktemp)\n{CURL} -D \"$HEAD\" {options} \"$URL\" {body}\n{behind}\
                 {variable}=$(tr -d '\\r' < \"$HEAD\" | sed -n 's/^[Mm][Cc][Pp]-[Ss]ession-[Ii]d: //p'); rm -f \"$HEAD\"\n"
            ),
            false => write!(
                out,
                "{CURL} {options} ${{{variable}:+-H \"{}: ${variable}\"}} \"$URL\" {body}\n{behind}",
                headers::SESSION
            ),
        }?)
    })
}

/// What curl is told of a body, and what stands behind the command for it.
fn body(text: &str) -> (String, String) {
    if text.len() > LONGEST_ARGUMENT {
        return ("--data-binary @- <<'END_OF_BODY'".to_owned(), format!("{text}\nEND_OF_BODY\n"));
    }
    (format!("--data-raw {}", quoted(text)), String::new())
}

/// Where the shell keeps the id of a session.
fn variable(session: SessionId, known: &mut Vec<SessionId>) -> String {
    let nth = known.iter().position(|it| *it == session).unwrap_or_else(|| {
        known.push(session);
        known.len() - 1
    });
    if nth == 0 { "SESSION".to_owned() } else { format!("SESSION{}", nth + 1) }
}

/// The headers of a message, as options of curl.
fn options(sent: &Envelope) -> String {
    let mut options =
        String::from("-H 'accept: application/json, text/event-stream' -H 'content-type: application/json'");
    let kept = sent.transport.headers.as_deref().map(written_headers).unwrap_or_default();
    for (name, value) in kept.iter().filter(|(name, value)| {
        !matches!(**name, "accept" | "content-type" | "user-agent")
            && **name != headers::SESSION
            && !value.contains("[redacted")
    }) {
        let _ = write!(options, " -H {}", quoted(&format!("{name}: {value}")));
    }
    options
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The messages alone, a line each, as they passed.
pub(super) fn jsonl(tape: &ExportedTape, watch: &ReadWatch<'_>, out: &mut dyn Write) -> Result<(), TapeOutputError> {
    tape.each_message(usize::MAX, watch, |envelope| {
        let text = text_of(envelope);
        let message = match serde_json::from_str::<&serde_json::value::RawValue>(&text) {
            Ok(_) if !text.contains(['\n', '\r']) => text.trim().to_owned(),
            Ok(_) => serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default().to_string(),
            Err(_) => serde_json::Value::from(text).to_string(),
        };
        // Which of several sessions it is of.
        let session = match tape.header().session_field(envelope.session) {
            SessionField::Named => format!("\"session\":\"{}\",", envelope.session.0),
            SessionField::Omitted => String::new(),
        };
        let (seq, at, direction) = (envelope.seq.0, envelope.at, envelope.direction.word());
        Ok(writeln!(out, "{{\"seq\":{seq},{session}\"at\":{at},\"dir\":\"{direction}\",\"message\":{message}}}")?)
    })
}

/// The tape as a Markdown transcript.
pub(super) fn markdown(
    tape: &ExportedTape,
    name: &str,
    watch: &ReadWatch<'_>,
    out: &mut dyn Write,
) -> Result<(), TapeOutputError> {
    let header = tape.header();
    let peer = |peer: &Option<Arc<Peer>>| peer.as_ref().map_or_else(|| "unknown".to_owned(), |it| it.text());
    let inline = |text: &str| format!("`{}`", sanitize(text).replace('`', "'"));
    write!(out, "# {}\n\n", sanitize(name).replace(['<', '`'], " "))?;
    writeln!(
        out,
        "- client {}\n- server {} at {}",
        inline(&peer(&header.peers.client)),
        inline(&peer(&header.peers.server)),
        inline(&header.upstream)
    )?;
    if let Some(protocol) = &header.peers.protocol {
        writeln!(out, "- protocol {}", inline(protocol))?;
    }
    tape.each_message(usize::MAX, watch, |envelope| {
        let arrow = if envelope.direction == Direction::ToServer { "→" } else { "←" };
        let subject: Vec<_> = [envelope.method(), envelope.name()].into_iter().flatten().collect();
        let took = envelope.reply_to.as_ref().map(|it| format!(", {} ms", it.took / 1000)).unwrap_or_default();
        let word = envelope.outcome.word().map(|word| format!(", {word}")).unwrap_or_default();
        let other = Some(envelope.session).filter(|session| *session != header.session);
        let session = other.map(|session| format!(", session {}", session.short())).unwrap_or_default();
        let noted = tape.mark(envelope.seq).map(|mark| format!("{}\n\n", inline(&mark.words()))).unwrap_or_default();
        let (seq, kind, subject) = (envelope.seq, envelope.kind().word(), inline(&subject.join(" ")));
        write!(out, "\n## {seq} {arrow} {kind} {subject}{took}{session}{word}\n\n{noted}{}", fenced(envelope))?;
        Ok(())
    })
}

/// A message as a block of Markdown.
fn fenced(envelope: &Envelope) -> String {
    let body = text_of(envelope);
    let body = match envelope.kind() {
        Kind::Opaque => body,
        _ => serde_json::from_str::<serde_json::Value>(&body).map_or(body, |it| format!("{it:#}")),
    };
    let fence = "`".repeat(body.split(|c| c != '`').map(str::len).max().unwrap_or(0).max(2) + 1);
    format!("{fence}json\n{}\n{fence}\n", crate::text::sanitize_lines(&body))
}
