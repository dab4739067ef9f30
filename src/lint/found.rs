//! What a lint looks at, and where it says what it found.

use std::cell::OnceCell;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::catalogue::LintRule;
use crate::envelope::{Direction, Envelope, Seq, SessionId, Via};
use crate::event::Finding;
use crate::message::{Members, Message, descend, read_members_with};

/// Longer texts of peers are cut where they are quoted.
const QUOTED: usize = 80;

/// One message (of a batch: each for itself), and what is known of it already.
pub(super) struct JudgedMessage<'a> {
    pub(super) envelope: &'a Envelope,
    /// As its sender sent it.
    pub(super) message: &'a Message,
    /// The revision it follows, or, of a reply, its request.
    pub(super) revision: Arc<str>,
    /// Whether that has no handshake.
    pub(super) is_modern: bool,
    /// Its members, and those of its `params` or `result`: read once, however many rules look at them.
    members: OnceCell<(Members<'a>, Option<Members<'a>>)>,
}

impl<'a> JudgedMessage<'a> {
    pub(super) fn new(envelope: &'a Envelope, message: &'a Message, revision: Arc<str>, is_modern: bool) -> Self {
        Self { envelope, message, revision, is_modern, members: OnceCell::new() }
    }

    /// Its members in order, duplicates included; none where it is no object.
    pub(super) fn members(&self) -> &Members<'a> {
        &self.read_once().0
    }

    fn read_once(&self) -> &(Members<'a>, Option<Members<'a>>) {
        self.members.get_or_init(|| read_members_with(self.message.raw(), self.holder()).unwrap_or_default())
    }

    /// The member that all else of the message is in.
    fn holder(&self) -> &'static str {
        if self.message.kind().is_reply() { "result" } else { "params" }
    }

    /// The members of its `params` or `result`; nothing where that is no object.
    pub(super) fn inner(&self) -> Option<&Members<'a>> {
        self.read_once().1.as_ref()
    }

    /// The text of the value at a path of members, as [`Message::at`].
    pub(super) fn at(&self, path: &[&str]) -> Option<&'a str> {
        match path {
            [first, member, rest @ ..] if *first == self.holder() => descend(last(self.inner()?, member)?, rest),
            [member, rest @ ..] => descend(last(self.members(), member)?, rest),
            [] => None,
        }
    }

    /// The value at a path of members, read as what it should be; `None` where it is absent or something else.
    pub(super) fn read<T: DeserializeOwned>(&self, path: &[&str]) -> Option<T> {
        serde_json::from_str(self.at(path)?).ok()
    }

    pub(super) fn seq(&self) -> Seq {
        self.envelope.seq
    }

    pub(super) fn direction(&self) -> Direction {
        self.envelope.direction
    }

    pub(super) fn is_stdio(&self) -> bool {
        self.envelope.transport.via == Via::Stdio
    }

    pub(super) fn header(&self, name: &http::HeaderName) -> Option<&[u8]> {
        self.envelope.transport.headers.as_ref()?.get(name).map(http::HeaderValue::as_bytes)
    }
}

/// The last member of this name is the one that counts.
fn last<'a>(members: &Members<'a>, name: &str) -> Option<&'a str> {
    members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
}

/// Collects the findings on one message.
pub(super) struct FindingSink {
    session: SessionId,
    found: Vec<Finding>,
}

impl FindingSink {
    pub(super) fn new(session: SessionId) -> Self {
        Self { session, found: Vec::new() }
    }

    /// Its sender did this.
    pub(super) fn report(&mut self, rule: &LintRule, judged: &JudgedMessage<'_>, text: String) {
        self.report_at(rule, (judged.seq(), judged.direction()), &judged.revision, text);
    }

    /// Reports a finding on the message of this number, against the sender in that direction.
    pub(super) fn report_at(&mut self, rule: &LintRule, at: (Seq, Direction), revision: &str, text: String) {
        let is_known =
            self.found.iter().any(|known| (known.seq, &*known.code, &known.text) == (at.0, rule.code, &text));
        if is_known {
            return;
        }
        self.found.push(Finding {
            code: rule.code.to_owned(),
            level: rule.level,
            session: self.session,
            seq: at.0,
            by: at.1,
            text,
            hint: rule.hint.to_owned(),
            section: rule.section_in(revision),
            revision: revision.to_owned(),
            clients: Vec::new(),
        });
    }

    pub(super) fn into_findings(self) -> Vec<Finding> {
        self.found
    }
}

/// A peer's text in backticks, cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("`{}..`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// A request in words: `tools/call search #12`.
pub(super) fn named(method: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{} {}", quoted(method), quoted(name)),
        None => quoted(method),
    }
}
