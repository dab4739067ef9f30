//! Where tapes are kept, and what they are called.

use std::path::{Path, PathBuf};

use super::format::TapeError;
use crate::event::Session;

/// How the name of every tape ends.
pub const SUFFIX: &str = ".tape.jsonl";

/// What a packed one has behind it.
pub const PACKED: &str = ".zst";

/// Returns where tapes are kept unless the user says otherwise: `tapline/tapes` in the user's data directory.
///
/// # Errors
/// [`TapeError::NoHome`].
pub fn default_dir() -> Result<PathBuf, TapeError> {
    use etcetera::BaseStrategy as _;
    let base = etcetera::choose_base_strategy().map_err(|_| TapeError::NoHome)?;
    Ok(base.data_dir().join("tapline").join("tapes"))
}

/// Returns the name of a session's tape: sorts by start, tells upstreams apart, is safe on every file system.
pub fn file_name(session: &Session) -> String {
    let start = i64::try_from(session.started.0)
        .ok()
        .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%Y%m%dT%H%M%SZ");
    format!("{start}-{}-{}{SUFFIX}", slug(&session.upstream), session.id.short())
}

/// Longest slug, in bytes.
const SLUG: usize = 32;

/// Host and port of a URL, or the program and the first plain argument of a command, in `[a-z0-9._-]`.
fn slug(upstream: &str) -> String {
    let words = match upstream.split_once("://") {
        Some((_, rest)) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            authority.rsplit('@').next().unwrap_or_default().to_owned()
        }
        None => command_words(upstream),
    };
    let mut slug = String::new();
    for c in words.to_ascii_lowercase().chars() {
        let safe = if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        // No leading dot (hidden, or `..`), no run of dashes.
        if !(slug.is_empty() && matches!(safe, '.' | '-') || safe == '-' && slug.ends_with('-')) && slug.len() < SLUG {
            slug.push(safe);
        }
    }
    let slug = slug.trim_end_matches(['-', '.']);
    if slug.is_empty() { "upstream".to_owned() } else { slug.to_owned() }
}

fn command_words(command: &str) -> String {
    let plain = command.split_whitespace().filter(|word| !word.starts_with('-') && !word.contains('='));
    let names = plain.filter_map(|word| Path::new(word).file_name()?.to_str());
    names.take(2).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;
    use crate::tape::record;

    #[test]
    fn file_name_sorts_by_start_and_is_safe() {
        let mut session = record::tests::session();
        session.started = Timestamp(1_795_452_901_000_000);
        session.upstream = "https://me:pw@Example.com:9000/mcp?x=1".into();
        let name = file_name(&session);
        assert_eq!(name, format!("20261123T165501Z-example.com-9000-{}.tape.jsonl", session.id.short()));
    }

    #[test]
    fn slug_is_safe_and_short() {
        for (upstream, expected) in [
            ("http://127.0.0.1:9000/mcp", "127.0.0.1-9000"),
            ("http://[::1]:80", "1-80"),
            ("npx -y @modelcontextprotocol/server-filesystem /tmp", "npx-server-filesystem"),
            ("/usr/bin/python3 server.py --port 1", "python3-server.py"),
            ("../../..", "upstream"),
            ("-", "upstream"),
            ("ëß", "upstream"),
            ("a-very-long-program-name-that-never-seems-to-end", "a-very-long-program-name-that-ne"),
        ] {
            assert_eq!(slug(upstream), expected, "{upstream}");
        }
    }
}
