//! What the HTTP headers of a message say beside it: revision, session, and what repeats the body.

use http::header::ACCEPT;

use super::catalogue::{
    ACCEPT_HEADER, LintRule, MIRROR_HEADER_MISSING, MIRROR_HEADER_OTHER, SESSION_ID_FORM, SESSION_ID_MISSING,
    SESSION_ID_OTHER, SESSION_ID_UNASKED, VERSION_HEADER_MISSING, VERSION_HEADER_OTHER,
};
use super::found::{FindingSink, JudgedMessage, quoted};
use crate::envelope::{Direction, Via};
use crate::headers::{METHOD, NAME, SESSION, VERSION, contradict};
use crate::mcp::method::{INITIALIZE, PROMPTS_GET, RESOURCES_READ, TOOLS_CALL};
use crate::message::Kind;

/// As nearly all clients write it.
const USUAL_ACCEPT: &[u8] = b"application/json, text/event-stream";
/// The first revision with the header of the revision.
const FIRST_WITH_VERSION: &str = "2025-06-18";

/// What a session's server gave.
#[derive(Debug, Default)]
pub(super) struct CarrierState {
    session: Option<Vec<u8>>,
    /// Not every header that was sent is known: none is missed.
    is_partial: bool,
}

impl CarrierState {
    /// Not every header that was sent is known.
    pub(super) fn know_in_part(&mut self) {
        self.is_partial = true;
    }

    /// Messages are missing: the server may have given another id in one.
    pub(super) fn miss(&mut self) {
        self.session = None;
    }

    /// Looks at a client's message; `agreed`: whether its session has agreed on a revision.
    pub(super) fn check_client(&self, judged: &JudgedMessage<'_>, agreed: bool, out: &mut FindingSink) {
        if judged.envelope.transport.headers.is_none() || judged.envelope.transport.via != Via::Http {
            return;
        }
        if !self.is_partial {
            check_accept(judged, out);
        }
        if judged.is_modern {
            return self.check_modern(judged, out);
        }
        if !agreed || judged.message.method() == Some(INITIALIZE) {
            return;
        }
        if &*judged.revision >= FIRST_WITH_VERSION {
            self.check_version(judged, out);
        }
        self.check_session(judged, out);
    }

    fn check_version(&self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let revision = &judged.revision;
        match judged.header(&VERSION) {
            None if self.is_partial => {}
            None => out.report(&VERSION_HEADER_MISSING, judged, format!("the session has agreed on {revision}")),
            Some(said) if said != revision.as_bytes() => {
                let text = format!("it says {}, and {revision} is agreed", quoted(&String::from_utf8_lossy(said)));
                out.report(&VERSION_HEADER_OTHER, judged, text);
            }
            Some(_) => {}
        }
    }

    /// Revision 2026-07-28, transports: the headers say what the body says.
    fn check_modern(&self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let missing = |rule: &'static LintRule, name: &str, out: &mut FindingSink| {
            if !self.is_partial {
                out.report(rule, judged, format!("there is no `{name}`"));
            }
        };
        match judged.header(&VERSION) {
            None => missing(&VERSION_HEADER_MISSING, VERSION.as_str(), out),
            Some(said) if said != judged.revision.as_bytes() => {
                let said = quoted(&String::from_utf8_lossy(said));
                out.report(&VERSION_HEADER_OTHER, judged, format!("it says {said}, the body `{}`", judged.revision));
            }
            Some(_) => {}
        }
        let (message, headers) = (judged.message, judged.envelope.transport.headers.as_ref());
        if headers.is_some_and(|headers| contradict(headers, message)) {
            let text = "`Mcp-Method` or `Mcp-Name` is not what the body says".to_owned();
            return out.report(&MIRROR_HEADER_OTHER, judged, text);
        }
        if message.kind() != Kind::Request {
            return;
        }
        if judged.header(&METHOD).is_none() {
            missing(&MIRROR_HEADER_MISSING, METHOD.as_str(), out);
        }
        let is_named = matches!(message.method(), Some(TOOLS_CALL | PROMPTS_GET | RESOURCES_READ));
        if is_named && message.name().is_some() && judged.header(&NAME).is_none() {
            missing(&MIRROR_HEADER_MISSING, NAME.as_str(), out);
        }
    }

    fn check_session(&self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let Some(given) = &self.session else { return };
        match judged.header(&SESSION) {
            None => out.report(&SESSION_ID_MISSING, judged, "the server gave a session id".to_owned()),
            Some(id) if id != given => {
                out.report(&SESSION_ID_OTHER, judged, "the server gave another session id".to_owned());
            }
            Some(_) => {}
        }
    }

    /// Looks at a server's message; `is_beginning`: it is the reply to `initialize`.
    pub(super) fn check_server(&mut self, judged: &JudgedMessage<'_>, is_beginning: bool, out: &mut FindingSink) {
        let Some(id) = judged.header(&SESSION) else {
            if is_beginning {
                self.session = None;
            }
            return;
        };
        if !id.iter().all(|byte| (0x21..=0x7e).contains(byte)) {
            out.report(&SESSION_ID_FORM, judged, "the session id has other characters".to_owned());
        }
        let is_other = self.session.as_ref().is_some_and(|known| known != id);
        if is_other && !is_beginning && !judged.is_modern {
            out.report(&SESSION_ID_UNASKED, judged, "the session has another id already".to_owned());
        }
        if is_beginning {
            self.session = Some(id.to_vec());
        }
    }
}

/// A POST has to take either form of an answer. What is no message of a client's own is none of that.
fn check_accept(judged: &JudgedMessage<'_>, out: &mut FindingSink) {
    let accept = judged.header(&ACCEPT).unwrap_or_default();
    if accept == USUAL_ACCEPT {
        return;
    }
    let accept = String::from_utf8_lossy(accept).to_ascii_lowercase();
    let lists = |kind: &str| accept.split(',').any(|it| it.split(';').next().is_some_and(|it| it.trim() == kind));
    if judged.direction() == Direction::ToServer && !(lists("application/json") && lists("text/event-stream")) {
        let text = if accept.is_empty() { "there is none".to_owned() } else { format!("it says {}", quoted(&accept)) };
        out.report(&ACCEPT_HEADER, judged, text);
    }
}
