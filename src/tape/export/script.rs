//! Forms that a person reads, and a shell.

use std::fmt::Write as _;
use std::sync::Arc;

use super::exchange::{exchanges, text_of};
use crate::envelope::{Direction, Envelope, SessionField, SessionId, Via, written_headers};
use crate::event::Peer;
use crate::headers;
use crate::mcp::method;
use crate::message::Kind;
use crate::tape::Tape;
use crate::text::sanitize;

/// Commands that say again what the client said, to the server of the tape or to another one.
pub(super) fn curl(tape: &Tape, name: &str) -> String {
    let url = if tape.header.upstream.starts_with("http") {
        tape.header.upstream.as_str()
    } else {
        "http://127.0.0.1:7070/mcp"
    };
    let mut script = format!(
        "#!/bin/sh\n# {}: what its client said. Usage: sh FILE [URL]\nURL=${{1:-{}}}\nSESSION=\n",
        sanitize(name),
        quoted(url)
    );
    if tape.header.via == Via::Stdio {
        script += "# The tape is of a command: `tapline run -- COMMAND` puts it behind that URL.\n";
    }
    let mut sessions = Vec::new();
    for (sent, _) in exchanges(&tape.envelopes) {
        let variable = variable(sent.session, &mut sessions);
        let subject: Vec<_> = [sent.method(), sent.name()].into_iter().flatten().collect();
        let _ = write!(script, "\n# {} {}\n", sent.seq, sanitize(&subject.join(" ")));
        let (options, body) = (options(sent), quoted(&text_of(sent)));
        let _ = match sent.method() == Some(method::INITIALIZE) {
            true => write!(
                script,
                "HEAD=$(mktemp)\ncurl -sS -D \"$HEAD\" {options} -d {body} \"$URL\"\n\
                 {variable}=$(tr -d '\\r' < \"$HEAD\" | sed -n 's/^[Mm][Cc][Pp]-[Ss]ession-[Ii]d: //p'); rm -f \"$HEAD\"\n"
            ),
            false => writeln!(
                script,
                "curl -sS {options} ${{{variable}:+-H \"{}: ${variable}\"}} -d {body} \"$URL\"",
                headers::SESSION
            ),
        };
    }
    script
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
pub(super) fn jsonl(tape: &Tape) -> String {
    let mut lines = String::new();
    for envelope in &tape.envelopes {
        let text = text_of(envelope);
        let message = match serde_json::from_str::<&serde_json::value::RawValue>(&text) {
            Ok(_) if !text.contains(['\n', '\r']) => text.trim().to_owned(),
            Ok(_) => serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default().to_string(),
            Err(_) => serde_json::Value::from(text).to_string(),
        };
        // Which of several sessions it is of.
        let session = match tape.header.session_field(envelope.session) {
            SessionField::Named => format!("\"session\":\"{}\",", envelope.session.0),
            SessionField::Omitted => String::new(),
        };
        let _ = writeln!(
            lines,
            "{{\"seq\":{},{session}\"at\":{},\"dir\":\"{}\",\"message\":{message}}}",
            envelope.seq.0,
            envelope.at,
            envelope.direction.word()
        );
    }
    lines
}

/// The tape as a Markdown transcript.
pub(super) fn markdown(tape: &Tape, name: &str) -> String {
    let peer = |peer: &Option<Arc<Peer>>| peer.as_ref().map_or_else(|| "unknown".to_owned(), |it| it.text());
    let inline = |text: &str| format!("`{}`", sanitize(text).replace('`', "'"));
    let mut text = format!("# {}\n\n", sanitize(name).replace(['<', '`'], " "));
    let _ = writeln!(
        text,
        "- client {}\n- server {} at {}",
        inline(&peer(&tape.header.peers.client)),
        inline(&peer(&tape.header.peers.server)),
        inline(&tape.header.upstream)
    );
    if let Some(protocol) = &tape.header.peers.protocol {
        let _ = writeln!(text, "- protocol {}", inline(protocol));
    }
    for envelope in &tape.envelopes {
        let arrow = if envelope.direction == Direction::ToServer { "→" } else { "←" };
        let subject: Vec<_> = [envelope.method(), envelope.name()].into_iter().flatten().collect();
        let took = envelope.reply_to.as_ref().map(|it| format!(", {} ms", it.took / 1000)).unwrap_or_default();
        let word = envelope.outcome.word().map(|word| format!(", {word}")).unwrap_or_default();
        let other = Some(envelope.session).filter(|session| *session != tape.header.session);
        let session = other.map(|session| format!(", session {}", session.short())).unwrap_or_default();
        let _ = write!(
            text,
            "\n## {} {arrow} {} {}{took}{session}{word}\n\n",
            envelope.seq,
            envelope.kind().word(),
            inline(&subject.join(" "))
        );
        text.push_str(&fenced(envelope));
    }
    text
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
