//! What a line of a tape may be, and why a tape cannot be written or read.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::envelope::{Seq, SessionField, SessionId, Via};
use crate::event::{MessageMark, Origin, Peer, Session, SessionState, TapeParent, Timestamp};
use crate::secret::Label;

/// How every line of a message begins; marks and the header begin otherwise.
pub(crate) const MESSAGE: &[u8] = br#"{"seq":"#;

/// How our own marks begin.
pub(crate) const MARK: &[u8] = br#"{"mark":"#;

/// The format this build writes, and the newest it reads.
pub const FORMAT: u32 = 1;

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
    #[serde(flatten)]
    pub peers: TapePeers,
    /// What the `at` of every line counts from.
    pub started: Timestamp,
    #[serde(default = "driven_by_client")]
    pub origin: Origin,
    /// What was replaced before it was written: `headers` for secret header values and secrets in [`TapeHeader::upstream`], `bodies`
    /// for those in messages, and what else was asked for.
    #[serde(default)]
    pub redaction: Vec<String>,
    /// Whether secrets in messages were kept on purpose.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unredacted: bool,
    /// The session that this one branched off, and where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TapeParent>,
    /// Which format of another program it was made of: what that does not have is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<String>,
}

fn driven_by_client() -> Origin {
    Origin::Client
}

impl TapeHeader {
    /// Returns the header of a session as it is known now.
    pub fn of(session: &Session) -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            session: session.id,
            upstream_name: session.upstream_name.clone(),
            upstream: Label::of_text(&session.upstream).to_string(),
            via: session.via,
            peers: TapePeers::of(session),
            started: session.started,
            origin: session.origin,
            redaction: vec!["headers".to_owned()],
            unredacted: false,
            parent: None,
            imported: None,
        }
    }
}

impl TapeHeader {
    /// Whether a message of a session names that in its line.
    pub(crate) fn session_field(&self, session: SessionId) -> SessionField {
        if session == self.session { SessionField::Omitted } else { SessionField::Named }
    }

    /// Whether secrets in messages were replaced.
    pub fn has_redacted_bodies(&self) -> bool {
        self.redaction.iter().any(|it| it == "bodies")
    }

    /// Returns the session that was recorded; `end`: why it ended, where that is known.
    pub fn session(&self, end: Option<&str>) -> Session {
        let TapePeers { protocol, client, server } = self.peers.clone();
        Session {
            id: self.session,
            upstream_name: self.upstream_name.clone(),
            upstream: self.upstream.as_str().into(),
            via: self.via,
            started: self.started,
            state: SessionState::Closed { reason: end.unwrap_or("recorded").to_owned() },
            origin: self.origin,
            client,
            server,
            protocol,
            tape: None,
        }
    }
}

/// Who speaks in a session and in which revision; `None` for what is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapePeers {
    /// The revision of the protocol, such as `2025-11-25`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Arc<Peer>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Arc<Peer>>,
}

impl TapePeers {
    /// Returns what is known of a session now.
    pub fn of(session: &Session) -> Self {
        let Session { protocol, client, server, .. } = session.clone();
        Self { protocol, client, server }
    }

    /// Takes over what a later mark knows.
    pub(crate) fn learn(&mut self, later: Self) {
        self.protocol = later.protocol.or(self.protocol.take());
        self.client = later.client.or(self.client.take());
        self.server = later.server.or(self.server.take());
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
        /// The last message that passed before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Seq>,
        text: String,
    },
    /// From here on stands what a fresh process of the server is told again of the session, up to the message where it goes on: a
    /// whole session by itself. What stands before is no part any more of what the server knows.
    Rewind {
        at: u64,
        /// The last message that passed before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Seq>,
        text: String,
    },
    /// A message was sent again, because it had not arrived.
    Attempt {
        at: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<Seq>,
        text: String,
    },
    /// The client hung up before this request was answered: in revision 2026-07-28 that is how a request is cancelled.
    HangUp {
        at: u64,
        seq: Seq,
    },
    /// The session ended in good order; without it, tapline was killed or still records.
    End {
        at: u64,
        reason: String,
        /// Which one, where the tape has several and it is not that of the header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
    },
    /// What a person wrote to the tape.
    Note {
        at: u64,
        text: String,
    },
    /// What a person noted of a message.
    Annotation(AnnotationMark),
    /// What the lines before this one were when the tape was closed: see `care::seal`.
    Seal(TapeSeal),
    /// Who vouches for the seal before it: see `care::signature`.
    Signature(SealSignature),
    /// A mark that only a newer tapline knows.
    #[serde(other, skip_serializing)]
    Unknown,
}

impl Mark {
    /// When it was made, in microseconds from the start of the session; `None` for those that are no part of it.
    pub(crate) fn at(&self) -> Option<u64> {
        match self {
            Self::Gap { at, .. }
            | Self::Log { at, .. }
            | Self::Seam { at, .. }
            | Self::Rewind { at, .. }
            | Self::Attempt { at, .. }
            | Self::HangUp { at, .. }
            | Self::End { at, .. } => Some(*at),
            Self::Peer(peer) => Some(peer.at),
            Self::Note { .. } | Self::Annotation(_) | Self::Seal(_) | Self::Signature(_) | Self::Unknown => None,
        }
    }
}

/// Who speaks, as it became known after the header was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerMark {
    /// Microseconds from the start of the session.
    #[serde(default)]
    pub at: u64,
    #[serde(flatten)]
    pub peers: TapePeers,
}

/// What is noted of a message from a moment on: the latest one counts, wherever it stands, and one that says nothing takes back
/// what was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnotationMark {
    /// Microseconds from the start of the session.
    pub at: u64,
    pub seq: Seq,
    #[serde(flatten)]
    pub mark: MessageMark,
}

/// What people noted of the messages of a tape, as they left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapeAnnotations(BTreeMap<Seq, AnnotationMark>);

impl TapeAnnotations {
    /// Takes in one more, in the order in which they stand on the tape.
    pub(crate) fn put(&mut self, new: AnnotationMark) {
        if self.0.get(&new.seq).is_none_or(|known| known.at <= new.at) {
            self.0.insert(new.seq, new);
        }
    }

    /// What is noted of a message.
    pub(crate) fn get(&self, seq: Seq) -> Option<&MessageMark> {
        self.0.get(&seq).map(|it| &it.mark).filter(|mark| !mark.is_empty())
    }

    /// When something was noted of a message last, or taken back.
    pub(crate) fn noted_at(&self, seq: Seq) -> Option<u64> {
        self.0.get(&seq).map(|it| it.at)
    }

    /// The messages of which something is noted, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Seq, &MessageMark)> {
        self.0.iter().map(|(seq, it)| (*seq, &it.mark)).filter(|(_, mark)| !mark.is_empty())
    }
}

/// The sums of all lines before a seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapeSeal {
    pub lines: u64,
    /// SHA-256 of all bytes before, in hexadecimal digits.
    pub sha256: String,
    /// How many lines have one short sum.
    pub block: u64,
    /// The short sums, of three bytes each, in base64: they tell which line was changed.
    pub sums: String,
}

/// An Ed25519 signature over a seal; both in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealSignature {
    /// The public key.
    pub key: String,
    pub signature: String,
}

/// Why a tape could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// Neither `HOME` nor `XDG_DATA_HOME` says where a user's data lives.
    #[error("no home directory to keep tapes in; give one with `--tapes DIR`")]
    NoHome,
    /// Nothing is there. Commands that look for a tape by a part of its name say the same.
    #[error("there is no tape {}; `tapline tape ls` lists those that are kept", path.display())]
    Missing { path: PathBuf },
    // The cause is part of the text: most of those who show it show no more than that.
    #[error("cannot create {}: {error}", path.display())]
    CannotCreate { path: PathBuf, error: io::Error },
    #[error("cannot write {}: {error}", path.display())]
    CannotWrite { path: PathBuf, error: io::Error },
    /// Of whoever writes a tape under a name that a person gives.
    #[error("{} is there already, and is not written over; take another name, or remove it first", path.display())]
    Exists { path: PathBuf },
    #[error("cannot read {}: {error}", path.display())]
    CannotRead { path: PathBuf, error: io::Error },
    /// A packed tape that was cut or damaged is not made to look whole.
    #[error(
        "{} is not changed: {problem}; `tapline tape pack --undo` writes what is whole to another file",
        path.display()
    )]
    Broken { path: PathBuf, problem: String },
    #[error("{} is not a tape: {why}", path.display())]
    NotATape { path: PathBuf, why: String },
    #[error(
        "{} is a tape of format {format}, this tapline reads up to {FORMAT}; use tapline {version} or newer",
        path.display()
    )]
    NewerFormat { path: PathBuf, format: u32, version: String },
    /// `Recorder::open` was not called, or the session is closed.
    #[error("session {} is not being recorded", .0.short())]
    NotOpen(SessionId),
}

/// Why what is made of a tape could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TapeOutputError {
    #[error(transparent)]
    Tape(#[from] TapeError),
    #[error(transparent)]
    Out(#[from] io::Error),
}

impl TapeError {
    /// Why a tape could not be opened, or not be read on.
    pub fn unread(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        if error.kind() == io::ErrorKind::NotFound { Self::Missing { path } } else { Self::CannotRead { path, error } }
    }

    /// Why a tape could not be written.
    pub fn unwritten(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        if error.kind() == io::ErrorKind::AlreadyExists {
            Self::Exists { path }
        } else {
            Self::CannotWrite { path, error }
        }
    }

    /// Why not even the first line of a tape can be read.
    pub(super) fn unread_at_all(path: &Path, error: io::Error) -> Self {
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                "it is packed, and cut before its first line ends: nothing of it can be read"
            }
            io::ErrorKind::InvalidData => {
                "it is packed, and damaged before its first line ends: nothing of it can be read"
            }
            _ => return Self::unread(path, error),
        };
        Self::CannotRead { path: path.to_owned(), error: io::Error::new(error.kind(), why) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_of_a_newer_tapline_is_unknown() {
        let mark: Mark = serde_json::from_str(r#"{"mark":"hologram","at":1,"x":[1,2]}"#).unwrap();
        assert_eq!(mark, Mark::Unknown);
    }
}
