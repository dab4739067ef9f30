//! Tapes: recordings of sessions, one session a file.
//!
//! A tape is JSON Lines, append-only, readable while it is written. Line 1 is the [`TapeHeader`]; every further line is one
//! envelope ([`Envelope::write_json`](crate::envelope::Envelope::write_json)) or a [`Mark`]. The header is written with
//! the first message, before peers and protocol are known: what becomes known later is a mark, so that no byte on disk
//! ever changes. Unknown marks are skipped and unknown members kept: an older tapline reads a newer minor format.
//!
//! - [`record`] writes, and survives a disk that does not;
//! - [`read`] reads, and survives a file that was cut or damaged;
//! - [`compare`] says how one reply differs from another;
//! - [`play`] plays the client of a tape at a live server; [`report`] renders what came of it.

pub mod compare;
pub mod play;
pub mod read;
pub mod record;
pub mod report;
pub(crate) mod tokens;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::envelope::{REDACTED, Seq, SessionId, Via};
use crate::event::{Event, Level, LogLine, Origin, Peer, Session, Timestamp};

pub use read::{Tape, catalogue, catalogue_knowing, last_seq};

/// The format this build writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// How the name of every tape ends.
pub const SUFFIX: &str = ".tape.jsonl";

/// Line 1 of a tape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapeHeader {
    /// Version of the format; first in the line and under this name, so that any tapline knows a tape by its first bytes.
    #[serde(rename = "tapline")]
    pub format: u32,
    /// The tapline that wrote it.
    pub version: String,
    pub session: SessionId,
    /// What the upstream was called, where there were others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_name: Option<String>,
    /// The URL or the command line, secrets replaced.
    pub upstream: String,
    pub via: Via,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Peer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Peer>,
    /// What the `at` of every line counts from.
    pub started: Timestamp,
    #[serde(default = "driven_by_client")]
    pub origin: Origin,
    /// What was replaced before it was written: `headers` for secret header values and secrets in [`TapeHeader::upstream`].
    #[serde(default)]
    pub redaction: Vec<String>,
}

fn driven_by_client() -> Origin {
    Origin::Client
}

impl TapeHeader {
    /// The header of a session as it is known now.
    pub fn of(session: &Session) -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            session: session.id,
            upstream_name: session.upstream_name.clone(),
            upstream: without_secrets(&session.upstream),
            via: session.via,
            protocol: session.protocol.clone(),
            client: session.client.clone(),
            server: session.server.clone(),
            started: session.started,
            origin: session.origin,
            redaction: vec!["headers".to_owned()],
        }
    }

    /// Takes over what a later mark knows.
    pub(crate) fn learn(&mut self, peer: PeerMark) {
        self.protocol = peer.protocol.or(self.protocol.take());
        self.client = peer.client.or(self.client.take());
        self.server = peer.server.or(self.server.take());
    }
}

/// A line that is neither the header nor a message. `at` is in microseconds from the start of the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "lowercase")]
pub enum Mark {
    /// This many messages passed here and are not on the tape.
    Gap {
        at: u64,
        messages: u64,
    },
    Peer(PeerMark),
    /// Something worth knowing when the tape is read, such as a line of the server's stderr.
    Log {
        at: u64,
        source: String,
        text: String,
    },
    /// The session goes on with another server process, or under another tapline: what it said before is not known there.
    Seam {
        at: u64,
        text: String,
    },
    /// A message was sent again, because it had not arrived.
    Attempt {
        at: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<Seq>,
        text: String,
    },
    /// The session ended in good order; without it, tapline was killed or still records.
    End {
        at: u64,
        reason: String,
    },
    /// Of a newer tapline.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// Who speaks, as it became known after the header was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerMark {
    #[serde(default)]
    pub at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Peer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Peer>,
}

/// Why a tape could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// Neither `HOME` nor `XDG_DATA_HOME` says where a user's data lives.
    #[error("no home directory to keep tapes in; give one with `--tapes DIR`")]
    NoHome,
    #[error("cannot create {}", path.display())]
    CannotCreate { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    CannotWrite { path: PathBuf, source: io::Error },
    #[error("cannot read {}", path.display())]
    CannotRead { path: PathBuf, source: io::Error },
    #[error("{} is not a tape: {why}", path.display())]
    NotATape { path: PathBuf, why: String },
    #[error(
        "{} is a tape of format {format}, this tapline reads up to {FORMAT}; use tapline {version} or newer",
        path.display()
    )]
    NewerFormat { path: PathBuf, format: u32, version: String },
    /// [`Recorder::open`](record::Recorder::open) was not called, or the session is closed.
    #[error("session {} is not being recorded", .0.short())]
    NotOpen(SessionId),
}

/// Where tapes are kept unless the user says otherwise: `tapline/tapes` in the user's data directory.
///
/// # Errors
/// [`TapeError::NoHome`].
pub fn default_dir() -> Result<PathBuf, TapeError> {
    use etcetera::BaseStrategy as _;
    let base = etcetera::choose_base_strategy().map_err(|_| TapeError::NoHome)?;
    Ok(base.data_dir().join("tapline").join("tapes"))
}

/// A tape as a screen is told of it, or why it cannot be read.
pub fn opened(path: PathBuf) -> Event {
    match Tape::read(&path) {
        Ok(tape) => {
            let problems = tape.troubles();
            Event::TapeOpened { path, envelopes: tape.envelopes, problems }
        }
        Err(error) => Event::Log(LogLine::new(Level::Error, "tape", error.to_string())),
    }
}

/// The name of a session's tape: sorts by start, tells upstreams apart, is safe on every file system.
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

/// An upstream as it may be written down: no user and password or query of a URL, no value of a secret argument.
pub fn without_secrets(upstream: &str) -> String {
    let mut secret_follows = false;
    let words = upstream.split(' ').map(|word| {
        let hide = std::mem::take(&mut secret_follows) && !word.starts_with('-');
        if hide {
            return REDACTED.to_owned();
        }
        match word.split_once('=') {
            Some((name, _)) if is_secret(name) && !word.contains("://") => format!("{name}={REDACTED}"),
            _ if word.contains("://") => without_url_secrets(word),
            _ => {
                secret_follows = word.starts_with('-') && is_secret(word);
                word.to_owned()
            }
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["token", "secret", "password", "passwd", "key", "auth", "bearer", "cookie"].iter().any(|word| name.contains(word))
}

fn without_url_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("asked before");
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{REDACTED}@{host}"),
        None => authority.to_owned(),
    };
    let path = match path.split_once('?') {
        Some((path, _)) => format!("{path}?{REDACTED}"),
        None => path.to_owned(),
    };
    format!("{scheme}://{authority}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_start_and_are_safe() {
        let mut session = record::tests::session();
        session.started = Timestamp(1_795_452_901_000_000);
        session.upstream = "https://me:pw@Example.com:9000/mcp?x=1".to_owned();
        let name = file_name(&session);
        assert_eq!(name, format!("20261123T165501Z-example.com-9000-{}.tape.jsonl", session.id.short()));
    }

    #[test]
    fn slugs() {
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

    #[test]
    fn secrets_of_an_upstream_are_not_written() {
        for (upstream, expected) in [
            ("http://127.0.0.1:9000/mcp", "http://127.0.0.1:9000/mcp"),
            ("https://me:pw@host/mcp", "https://[redacted]@host/mcp"),
            ("https://host/mcp?api_key=1#f", "https://host/mcp?[redacted]"),
            ("server --token abc --verbose", "server --token [redacted] --verbose"),
            ("API_KEY=abc server --password=x dir", "API_KEY=[redacted] server --password=[redacted] dir"),
            ("server --key --fast", "server --key --fast"),
        ] {
            assert_eq!(without_secrets(upstream), expected, "{upstream}");
        }
    }

    #[test]
    fn a_mark_of_a_newer_tapline_is_unknown() {
        let mark: Mark = serde_json::from_str(r#"{"mark":"hologram","at":1,"x":[1,2]}"#).unwrap();
        assert_eq!(mark, Mark::Unknown);
    }
}
