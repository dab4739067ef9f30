//! The handshake of revisions up to 2025-11-25: `initialize`, its reply, `notifications/initialized`, and what comes too early.

use std::sync::Arc;

use super::catalogue::{BEFORE_INITIALIZE, BEFORE_INITIALIZED, NEVER_INITIALIZED, SERVER_REQUEST};
use super::found::{FindingSink, JudgedMessage, named};
use crate::envelope::{Direction, Seq};
use crate::mcp::meta::agreed_version;
use crate::mcp::method::{DISCOVER, INITIALIZE, INITIALIZED, PING};
use crate::message::Kind;

/// The revision that is taken for agreed while nothing is.
const NEWEST_WITH_HANDSHAKE: &str = "2025-11-25";

/// How far it got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum HandshakeStage {
    #[default]
    Nothing,
    /// It goes back to before the first message that is known.
    Unseen,
    Asked,
    Agreed(Seq),
    Done,
}

/// The handshake of a session.
#[derive(Debug, Default)]
pub(super) struct HandshakeLint {
    stage: HandshakeStage,
    /// Agreed on, or offered as long as nothing is.
    revision: Option<Arc<str>>,
    /// Requests of the client since the handshake was answered.
    used: u64,
    is_told: bool,
    /// A request without a handshake, as of 2026-07-28, came by.
    has_modern: bool,
}

impl HandshakeLint {
    /// The session goes on with messages that were not seen.
    pub(super) fn miss(&mut self, revision: Option<&str>) {
        self.stage = match self.stage {
            HandshakeStage::Nothing | HandshakeStage::Asked => HandshakeStage::Unseen,
            // `notifications/initialized` may have been in it.
            HandshakeStage::Agreed(_) => HandshakeStage::Done,
            known => known,
        };
        self.revision = self.revision.take().or(revision.map(Into::into));
    }

    /// What legacy messages follow.
    pub(super) fn revision(&self) -> Arc<str> {
        self.revision.clone().unwrap_or_else(|| NEWEST_WITH_HANDSHAKE.into())
    }

    /// Whether the session has agreed on a revision, in messages that were seen.
    pub(super) fn is_agreed(&self) -> bool {
        matches!(self.stage, HandshakeStage::Agreed(_) | HandshakeStage::Done)
    }

    /// Whether it begins with this message.
    pub(super) fn is_beginning(judged: &JudgedMessage<'_>) -> bool {
        judged.message.method() == Some(INITIALIZE) && judged.direction() == Direction::ToServer
    }

    /// Takes a request in.
    pub(super) fn ask(&mut self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let method = judged.message.method().unwrap_or_default();
        self.has_modern |= judged.is_modern;
        if judged.is_modern || matches!(method, PING | DISCOVER) {
            return;
        }
        if judged.direction() == Direction::ToClient {
            return self.server_asks(judged, out);
        }
        if method == INITIALIZE {
            self.stage = HandshakeStage::Asked;
            self.is_told = false;
            self.revision = judged.read::<String>(&["params", "protocolVersion"]).map(Into::into);
            return;
        }
        self.used += 1;
        // Over HTTP a request may be of a client that began elsewhere.
        let is_early = match self.stage {
            HandshakeStage::Nothing => judged.is_stdio() && !self.has_modern,
            HandshakeStage::Asked => true,
            _ => false,
        };
        if is_early && !self.is_told {
            self.is_told = true;
            let text = format!("{} came before the reply to `initialize`", named(method, judged.message.name()));
            out.report(&BEFORE_INITIALIZE, judged, text);
        }
    }

    fn server_asks(&self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let what = named(judged.message.method().unwrap_or_default(), None);
        match self.stage {
            HandshakeStage::Asked | HandshakeStage::Agreed(_) => {
                out.report(&BEFORE_INITIALIZED, judged, format!("{what} came before `notifications/initialized`"));
            }
            HandshakeStage::Nothing if self.has_modern => {
                out.report(&SERVER_REQUEST, judged, format!("{what} goes to a client that does not answer requests"));
            }
            _ => {}
        }
    }

    /// The reply to `initialize` came.
    pub(super) fn answer(&mut self, judged: &JudgedMessage<'_>) {
        if judged.message.kind() != Kind::Result {
            self.stage = HandshakeStage::Nothing;
            return;
        }
        self.used = 0;
        self.stage = HandshakeStage::Agreed(judged.seq());
        self.revision = agreed_version(judged.message).map(Into::into).or(self.revision.take());
    }

    /// Takes a notification in.
    pub(super) fn on_notification(&mut self, judged: &JudgedMessage<'_>) {
        if judged.message.method() == Some(INITIALIZED) && judged.direction() == Direction::ToServer {
            self.stage = HandshakeStage::Done;
        }
    }

    /// The session is over.
    pub(super) fn finish(&self, out: &mut FindingSink) {
        if let HandshakeStage::Agreed(seq) = self.stage
            && self.used > 0
        {
            let text = format!("it sent {} other messages after the reply to `initialize`", self.used);
            out.report_at(&NEVER_INITIALIZED, (seq, Direction::ToServer), &self.revision(), text);
        }
    }
}
