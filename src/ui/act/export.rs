//! A message in the forms that other programs take: as a `curl` line, as Markdown, as a line of JSON.

use crate::envelope::{Direction, Envelope};
use crate::secret::is_secret;
use crate::ui::json::pretty;

/// Returns a `curl` line that sends the message as its client did, to where clients come in. Secrets are left for the environment.
pub(super) fn curl(envelope: &Envelope, url: &str) -> String {
    let mut line = format!("curl -sS {}", quoted(url));
    let header = |text: &str| format!(" \\\n  -H {}", quoted(text));
    line += &header("content-type: application/json");
    line += &header("accept: application/json, text/event-stream");
    for (name, value) in envelope.transport.headers.iter().flat_map(|headers| headers.iter()) {
        let name = name.as_str();
        if name.starts_with("mcp-") {
            line += &header(&format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        } else if is_secret(name) {
            // In double quotes the shell puts the variable in its place.
            line += &format!(" \\\n  -H \"{name}: $TOKEN\"");
        }
    }
    line += &format!(" \\\n  --data-binary {}\n", quoted(&String::from_utf8_lossy(envelope.message.raw())));
    line
}

/// Returns a text quoted for a shell, whatever it contains.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns the message for an issue or a chat: what it is, and its JSON indented.
pub(super) fn markdown(envelope: &Envelope) -> String {
    let raw = envelope.message.raw();
    let text = pretty(raw).unwrap_or_else(|| String::from_utf8_lossy(raw).into_owned());
    let whose = if envelope.direction == Direction::ToServer { "client to server" } else { "server to client" };
    let words = [envelope.method(), envelope.name()];
    let about: Vec<_> = words.into_iter().flatten().map(|word| format!(" `{word}`")).collect();
    // Longer than any fence in the text.
    let fence = "`".repeat(text.split(|c| c != '`').map(str::len).max().unwrap_or(0).max(2) + 1);
    format!("**{}** {whose},{}\n\n{fence}json\n{text}\n{fence}\n", envelope.seq, about.concat())
}

/// Returns the message as a line of a tape: with headers, times and what became of it.
pub(super) fn json_line(envelope: &Envelope) -> String {
    serde_json::to_string(envelope).map(|line| line + "\n").unwrap_or_default()
}
