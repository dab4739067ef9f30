//! What a tape knows of its messages beside their envelopes, for a filter: the one way to pick messages of a tape.

use std::borrow::Borrow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::read::{READ_ON, StoredTape};
use super::{Tape, TapeError};
use crate::envelope::{Envelope, Seq, SessionId};
use crate::event::{Annotation, Finding, MessageMark, Session, Timestamp};
use crate::filter::{Filter, MessageContext, MessageHistory};
use crate::lint::TapeLint;

/// A tape as the context of a filter: its session, and where it is read as a whole what stands around each message.
pub struct TapeContext<'a> {
    session: Session,
    now: Timestamp,
    whole: Option<WholeTape<'a>>,
}

struct WholeTape<'a> {
    tape: ContextTape<'a>,
    history: MessageHistory,
    /// What is wrong with each message, once it is asked for.
    found: OnceCell<HashMap<Seq, Vec<String>>>,
}

/// Where the messages are.
enum ContextTape<'a> {
    InMemory(&'a Tape),
    OnDisk(Box<StoredTape>),
}

impl TapeContext<'static> {
    /// Goes once through a tape file, of any size, for this filter, or for any. `now`: the time that ages are told from.
    ///
    /// # Errors
    /// Where it cannot be read at all, is no tape, or is one of a newer format.
    pub fn read(path: &Path, filter: Option<&Filter>, now: Timestamp) -> Result<Self, TapeError> {
        let mut history = MessageHistory::default();
        // It grows with the tape.
        let is_asked = filter.is_none_or(|filter| filter.asks_history() || filter.asks_replies());
        let keep = |envelope: Envelope, _| is_asked.then_some(envelope);
        let tape = StoredTape::read(path, READ_ON, &|_, _| true, &keep, |envelope| history.observe(&envelope))?;
        let tape = tape.expect("nothing stops it");
        let session = tape.about.session();
        let whole = WholeTape { tape: ContextTape::OnDisk(Box::new(tape)), history, found: OnceCell::new() };
        Ok(Self { session, now, whole: Some(whole) })
    }
}

impl<'a> TapeContext<'a> {
    /// Goes over the tape once. `now`: the time that ages are told from.
    pub fn of(tape: &'a Tape, now: Timestamp) -> Self {
        let mut history = MessageHistory::default();
        tape.envelopes.iter().for_each(|envelope| history.observe(envelope));
        let whole = WholeTape { tape: ContextTape::InMemory(tape), history, found: OnceCell::new() };
        Self { session: tape.session(), now, whole: Some(whole) }
    }

    /// Knows the session, and nothing beside each message: enough where a filter does not [need the whole](Self::is_needed).
    pub fn of_session(session: Session, now: Timestamp) -> Self {
        Self { session, now, whole: None }
    }

    /// The messages of a tape file that was read, once more and in the order they passed.
    pub fn messages(&self) -> impl Iterator<Item = Envelope> {
        let on_disk = self.whole.iter().filter_map(|whole| match &whole.tape {
            ContextTape::OnDisk(tape) => Some(tape),
            ContextTape::InMemory(_) => None,
        });
        on_disk.flat_map(|tape| tape.messages())
    }

    /// What is noted of a message.
    pub(crate) fn mark(&self, seq: Seq) -> Option<&MessageMark> {
        self.whole.as_ref()?.about().annotations.get(seq)
    }

    /// Whether a filter asks for what stands around a message.
    pub fn is_needed(filter: &Filter) -> bool {
        filter.asks_history() || filter.asks_replies() || filter.asks_marks() || filter.expression().contains("~lint")
    }
}

impl WholeTape<'_> {
    fn about(&self) -> &Tape {
        match &self.tape {
            ContextTape::InMemory(tape) => tape,
            ContextTape::OnDisk(tape) => &tape.about,
        }
    }

    fn judge(&self) -> HashMap<Seq, Vec<String>> {
        let mut found = HashMap::<Seq, Vec<String>>::new();
        let findings = match &self.tape {
            ContextTape::InMemory(tape) => tape.findings(),
            ContextTape::OnDisk(tape) => tape.about.findings_of(tape.messages()),
        };
        for finding in findings {
            found.entry(finding.seq).or_default().push(finding.code);
        }
        found
    }
}

impl Tape {
    /// The messages that a filter matches, in the order they passed.
    pub fn matching<'a>(&'a self, filter: &'a Filter, now: Timestamp) -> impl Iterator<Item = &'a Arc<Envelope>> {
        let context = TapeContext::of(self, now);
        self.envelopes.iter().filter(move |envelope| filter.matches_in(envelope, &context))
    }

    /// What is wrong with its messages.
    pub fn findings(&self) -> Vec<Finding> {
        self.findings_of(self.envelopes.iter().cloned())
    }

    /// What is wrong with messages that are, or were, on it.
    fn findings_of(&self, envelopes: impl Iterator<Item = impl Borrow<Envelope>>) -> Vec<Finding> {
        // Who spoke is learned on the way, as it was then.
        let session = Session { protocol: None, client: None, ..self.session() };
        let mut lint = TapeLint::new(&session, self.header.imported.as_deref(), None);
        // Where on the tape a line is damaged is not known here.
        let is_damaged = self.torn || !self.problems.is_empty();
        if is_damaged {
            lint.miss();
        }
        let (mut seams, mut gaps, mut found) = (self.seams.iter().peekable(), self.gaps.iter().peekable(), Vec::new());
        for envelope in envelopes {
            let envelope = envelope.borrow();
            let is_behind_seam = seams.next_if(|seam| seam.after < envelope.seq).is_some();
            if gaps.next_if(|gap| gap.at <= envelope.at).is_some() || is_behind_seam {
                lint.miss();
            }
            found.extend(lint.judge(envelope));
        }
        if is_damaged || gaps.peek().is_some() {
            lint.miss();
        }
        found.extend(lint.finish());
        found.sort_by_key(|finding| finding.seq);
        found
    }

    /// What people noted of its messages.
    pub fn annotations(&self) -> Vec<Annotation> {
        let session = self.header.session;
        self.annotations.all().map(|(seq, mark)| Annotation { session, seq, mark: mark.clone() }).collect()
    }

    /// The session as it is known at the end of the tape.
    pub fn session(&self) -> Session {
        self.header.session(self.end.as_deref())
    }
}

impl MessageContext for TapeContext<'_> {
    fn client(&self, _session: SessionId) -> Option<String> {
        self.session.client_text()
    }

    fn server_names(&self, _session: SessionId) -> Vec<String> {
        self.session.server_names()
    }

    fn upstream(&self, _session: SessionId) -> Option<String> {
        Some(self.session.upstream.to_string())
    }

    fn started(&self, _session: SessionId) -> Option<u64> {
        Some(self.session.started.0)
    }

    fn now(&self) -> Option<u64> {
        Some(self.now.0)
    }

    fn history(&self) -> Option<&MessageHistory> {
        self.whole.as_ref().map(|whole| &whole.history)
    }

    fn is_marked(&self, seq: Seq) -> bool {
        self.mark(seq).is_some_and(|mark| mark.is_marked)
    }

    fn comment(&self, seq: Seq) -> Option<String> {
        self.mark(seq).map(|mark| mark.comment.clone()).filter(|text| !text.is_empty())
    }

    fn lints(&self, seq: Seq) -> Vec<String> {
        let whole = self.whole.as_ref();
        whole.and_then(|it| it.found.get_or_init(|| it.judge()).get(&seq).cloned()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_those_of_each_session() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tape.jsonl");
        let [own, other] = [1, 2].map(|last| format!("00000000-0000-0000-0000-00000000000{last}"));
        let called = |seq: u64, session: &str| {
            let member = if session == own { String::new() } else { format!(r#""session":"{session}","#) };
            format!(
                "\n{{\"seq\":{seq},\"at\":{seq},\"dir\":\"c2s\",\"via\":\"stdio\",{member}\"msg\":{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}}}}"
            )
        };
        let twice = |second: &str| {
            let header = format!(
                r#"{{"tapline":1,"version":"0.1.0","session":"{own}","upstream":"x","via":"stdio","started":0,"protocol":"2025-11-25"}}"#
            );
            std::fs::write(&path, [header, called(1, &own), called(2, second)].concat()).unwrap();
            let found = Tape::read(&path).unwrap().findings();
            found.iter().filter(|finding| finding.code == "id-used-twice").count()
        };
        assert_eq!([twice(&own), twice(&other)], [1, 0]);
    }
}
