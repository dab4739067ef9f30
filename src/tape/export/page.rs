//! One HTML file that a person attaches to a bug: nothing is fetched, and nothing that a peer said is markup or code.

use serde_json::{Value, json};
use std::sync::Arc;

use super::exchange::text_of;
use crate::envelope::{Direction, Envelope};
use crate::event::Peer;
use crate::tape::Tape;
use crate::text::escape_markup;

/// So many messages are in a page; a browser is slow with more.
const MOST: usize = 20_000;
/// So much of a message is in a page, in bytes.
const LONGEST: usize = 64 << 10;

const PAGE: &str = include_str!("../../../assets/export/page.html");

pub(super) fn page(tape: &Tape, name: &str) -> String {
    let peer = |peer: &Option<Arc<Peer>>| peer.as_ref().map_or_else(|| "unknown".to_owned(), |it| it.text());
    let data = json!({
        "name": name,
        "client": peer(&tape.header.peers.client),
        "server": peer(&tape.header.peers.server),
        "upstream": tape.header.upstream,
        "protocol": tape.header.peers.protocol,
        "started": tape.header.started.0 / 1000,
        "redaction": tape.header.redaction,
        "troubles": tape.troubles(),
        "left": tape.envelopes.len().saturating_sub(MOST),
        "messages": tape.envelopes.iter().take(MOST).map(|it| message(it)).collect::<Vec<_>>(),
    });
    // Neither `</script>` nor `<!--` can stand in it.
    let data = data.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    PAGE.replacen("@TITLE@", &escape_markup(name), 1).replacen("@DATA@", &data, 1)
}

fn message(envelope: &Envelope) -> Value {
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
        "text": text,
    })
}
