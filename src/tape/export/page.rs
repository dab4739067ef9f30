//! One HTML file that a person attaches to a bug: the messages of a tape.

use std::io::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use super::exchange::text_of;
use super::messages::ExportedTape;
use crate::envelope::{Direction, Envelope};
use crate::event::{MessageMark, Peer};
use crate::tape::TapeOutputError;
use crate::tape::page::{self, MOST, harmless};
use crate::tape::read::ReadWatch;

/// So much of a message is in a page, in bytes.
const LONGEST: usize = 64 << 10;

pub(super) fn page(
    tape: &ExportedTape,
    name: &str,
    watch: &ReadWatch<'_>,
    out: &mut dyn Write,
) -> Result<(), TapeOutputError> {
    let header = tape.header();
    let peer = |peer: &Option<Arc<Peer>>| peer.as_ref().map_or_else(|| "unknown".to_owned(), |it| it.text());
    let data = json!({
        "name": name,
        "client": peer(&header.peers.client),
        "server": peer(&header.peers.server),
        "upstream": header.upstream,
        "protocol": header.peers.protocol,
        "started": header.started.0 / 1000,
        "redaction": header.redaction,
        "troubles": tape.troubles(),
        "left": tape.len().saturating_sub(MOST),
        "messages": [],
    });
    let [before, behind] = page::page(name, page::MESSAGES);
    let (data, end) = (data.to_string(), "]}");
    write!(out, "{before}{}", harmless(data.strip_suffix(end).expect("the messages stand last")))?;
    let mut is_behind = false;
    tape.each_message(MOST, watch, |envelope| {
        let comma = if std::mem::replace(&mut is_behind, true) { "," } else { "" };
        Ok(write!(out, "{comma}{}", harmless(&message(tape, envelope).to_string()))?)
    })?;
    Ok(write!(out, "{end}{behind}")?)
}

fn message(tape: &ExportedTape, envelope: &Envelope) -> Value {
    let mut text = text_of(envelope);
    if text.len() > LONGEST {
        let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= LONGEST).last().unwrap_or(0);
        text = format!("{}… ({} bytes)", &text[..end], text.len());
    }
    json!({
        "n": envelope.seq,
        "at": envelope.at,
        "up": envelope.direction == Direction::ToServer,
        "kind": envelope.kind().word(),
        "method": envelope.method(),
        "name": envelope.name(),
        "re": envelope.reply_to.as_ref().map(|it| it.seq),
        "took": envelope.reply_to.as_ref().map(|it| it.took),
        "bad": envelope.is_failure(),
        "did": envelope.outcome.word(),
        "noted": tape.mark(envelope.seq).map(MessageMark::words),
        "text": text,
    })
}
