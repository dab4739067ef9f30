//! What a recorded server did, by what its client said: each request with everything that came of it, in order.
//!
//! What is in memory is an index: of each request what it is known by, and where it and what came of it stand. Messages are read from
//! the file when they are said, so that a tape may be larger than memory.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use super::builder::MockBuilder;
use super::key::{BoundSecrets, MockedFields, RequestForm, RequestKey, client_of, hash_of};
use super::stored::{MessagePlace, StoredMessages};
use crate::envelope::Seq;
use crate::event::Timestamp;
use crate::message::{Id, Message};
use crate::tape::format::TapeError;

/// Tapes by what their clients said.
#[derive(Debug, Default)]
pub(super) struct MockScript {
    pub(super) tapes: Vec<MockedTape>,
    pub(super) exchanges: Vec<MockedExchange>,
    /// All that came of them: of each exchange one after the other.
    pub(super) events: Vec<MockedEvent>,
    /// Replies that are in memory.
    pub(super) kept: Vec<Message>,
    /// What each exchange is known by, in order.
    pub(super) keys: Vec<RequestKey>,
    /// Which exchange that is. Those of one key are in the order of the tapes, the ones that no server knew behind all others.
    pub(super) by_key: Vec<usize>,
    /// The same, those of one key in the order of their client and their tape: a mock of a million like requests finds the ones of a
    /// tape without looking at all of them.
    pub(super) by_tape: Vec<usize>,
    /// Requests that secrets were taken out of, in the order of the tapes.
    pub(super) redacted: Vec<RedactedRequest>,
    /// How sessions began, by the exchange with which they did.
    pub(super) beginnings: HashMap<usize, SessionBeginning>,
    /// A line of a tape could not be read, other than the last that a crash cut short: what stood there is not known.
    pub(super) is_damaged: bool,
}

/// One of the tapes, or one session of several on it.
#[derive(Debug)]
pub(super) struct MockedTape {
    /// Its file, without the directory.
    pub(super) name: String,
    /// Its requests, in order.
    pub(super) requests: Vec<usize>,
    /// When its session began.
    pub(super) started: Timestamp,
    /// What its client calls itself, as [`hash_of`] has it.
    pub(super) client: Option<u64>,
    /// The first tape of the same client.
    pub(super) group: usize,
    pub(super) troubles: Vec<String>,
    pub(super) messages: StoredMessages,
}

/// Something the client said, and what came of it.
#[derive(Debug)]
pub(super) struct MockedExchange {
    pub(super) tape: usize,
    pub(super) seq: Seq,
    /// A request or a notification.
    pub(super) said: MessagePlace,
    /// What it is about, as [`hash_of`] has it: its method, and the name of what that is about.
    pub(super) method: u64,
    pub(super) name: u64,
    pub(super) is_request: bool,
    pub(super) is_modern: bool,
    pub(super) is_answered: bool,
    /// The server was asked what it is, and did not know the question or never answered it.
    pub(super) was_unknown: bool,
    /// Where the first of its events stands, and how many there are.
    pub(super) events: (usize, usize),
}

/// One step of what came of it.
#[derive(Debug)]
pub(super) struct MockedEvent {
    pub(super) exchange: usize,
    /// Microseconds since the one before.
    pub(super) gap: u64,
    pub(super) act: MockedAct,
}

#[derive(Debug)]
pub(super) enum MockedAct {
    /// The server said this.
    Say(MockedMessage),
    /// The server said this, which is progress under the token of the request.
    SayProgress(MockedMessage),
    /// The client answered the server's request of this id.
    Await(Id),
    /// The client took its request back.
    AwaitCancel,
}

/// A message of the server: which of those in memory, or where it stands.
#[derive(Debug)]
pub(super) enum MockedMessage {
    Kept(usize),
    OnDisk(MessagePlace),
}

/// How a session began, as [`hash_of`] has it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SessionBeginning {
    /// The revision that the client asked for.
    pub(super) revision: Option<u64>,
    /// What the client calls itself.
    pub(super) client: Option<u64>,
}

impl SessionBeginning {
    pub(super) fn of(initialize: &Message) -> Self {
        let revision = initialize.at(&["params", "protocolVersion"]).map(hash_of);
        Self { revision, client: client_of(initialize) }
    }
}

/// A request that secrets were taken out of.
#[derive(Debug)]
pub(super) struct RedactedRequest {
    pub(super) key: RequestKey,
    /// Which it is.
    pub(super) exchange: usize,
    /// What it is compared by, where that is in memory.
    pub(super) form: Option<RequestForm>,
}

impl MockScript {
    /// Goes once through each tape.
    ///
    /// # Errors
    /// Where one cannot be read at all, is no tape, or is one of a newer format.
    pub(super) fn read<P: AsRef<Path>>(paths: &[P], fields: &MockedFields) -> Result<Self, TapeError> {
        let mut builder = MockBuilder::of(fields);
        for path in paths {
            builder.add(path.as_ref())?;
        }
        Ok(builder.finish())
    }

    /// Whether anything is on the tapes for what a client says.
    pub(super) fn has(&self, key: RequestKey) -> bool {
        !self.range(key).is_empty()
    }

    /// Whether that exchange is known by that key.
    pub(super) fn is_known_by(&self, exchange: usize, key: RequestKey) -> bool {
        let place = |at: usize| (self.exchanges[at].was_unknown, at);
        self.by_key[self.range(key)].binary_search_by_key(&place(exchange), |at| place(*at)).is_ok()
    }

    /// What is on the tapes for what a client says, in the order of the tapes; without what the recorded server did not know. One that
    /// speaks older revisions only refuses `server/discover` as a whole.
    pub(super) fn candidates(&self, key: RequestKey) -> &[usize] {
        &self.by_key[self.known_range(key)]
    }

    /// Those of one tape.
    pub(super) fn candidates_of_tape(&self, key: RequestKey, tape: usize) -> &[usize] {
        let place = |tape: usize| (self.tapes[tape].group, tape);
        self.run(key, |other| place(other).cmp(&place(tape)))
    }

    /// Those of the tapes of one client.
    pub(super) fn candidates_of_client(&self, key: RequestKey, client: u64) -> &[usize] {
        let group = self.tapes.iter().position(|tape| tape.client == Some(client));
        group.map_or(&[], |group| self.run(key, |tape| self.tapes[tape].group.cmp(&group)))
    }

    /// Those whose tape has this place in [`by_tape`](Self::by_tape).
    fn run(&self, key: RequestKey, place: impl Fn(usize) -> Ordering) -> &[usize] {
        let all = &self.by_tape[self.known_range(key)];
        let place = |at: &usize| place(self.exchanges[*at].tape);
        let rest = &all[all.partition_point(|at| place(at).is_lt())..];
        &rest[..rest.partition_point(|at| place(at).is_eq())]
    }

    fn range(&self, key: RequestKey) -> Range<usize> {
        let start = self.keys.partition_point(|known| *known < key);
        start..start + self.keys[start..].partition_point(|known| *known == key)
    }

    fn known_range(&self, key: RequestKey) -> Range<usize> {
        let Range { start, end } = self.range(key);
        start..start + self.by_key[start..end].partition_point(|at| !self.exchanges[*at].was_unknown)
    }

    /// What came of it, in order.
    pub(super) fn events(&self, exchange: usize) -> &[MockedEvent] {
        let (first, count) = self.exchanges[exchange].events;
        &self.events[first..first + count]
    }

    /// The request or notification with which an exchange began.
    ///
    /// # Errors
    /// Where the file cannot be read any more: in words.
    pub(super) fn said(&self, exchange: usize) -> Result<Message, String> {
        let exchange = &self.exchanges[exchange];
        self.tapes[exchange.tape].messages.load(&exchange.said)
    }

    /// A message that came of an exchange.
    ///
    /// # Errors
    /// Where the file cannot be read any more: in words.
    pub(super) fn load(&self, exchange: usize, message: &MockedMessage) -> Result<Message, String> {
        match message {
            MockedMessage::Kept(at) => Ok(self.kept[*at].clone()),
            MockedMessage::OnDisk(place) => self.tapes[self.exchanges[exchange].tape].messages.load(place),
        }
    }

    /// Whether any request of the tapes has a secret taken out of it.
    pub(super) fn has_secrets(&self) -> bool {
        !self.redacted.is_empty()
    }

    /// The recorded request that a live one is which has secrets in place of marks: one whose secrets are those that are known, else
    /// the first.
    pub(super) fn unredacted(
        &self,
        live: &RequestForm,
        known: &HashMap<String, String>,
        fields: &MockedFields,
    ) -> Option<(RequestKey, BoundSecrets)> {
        let secrets_in = |request: &RedactedRequest| match &request.form {
            Some(form) => form.secrets_in(live),
            None => RequestForm::without_secret_numbers(&self.said(request.exchange).ok()?, fields).secrets_in(live),
        };
        let mut found = self.redacted.iter().filter_map(|request| Some((request.key, secrets_in(request)?)));
        let first = found.next()?;
        let is_known = |(_, secrets): &(RequestKey, BoundSecrets)| {
            secrets.iter().all(|(mark, secret)| known.get(mark).is_none_or(|it| it == secret))
        };
        if is_known(&first) {
            return Some(first);
        }
        Some(found.find(is_known).unwrap_or(first))
    }

    /// Whether any of its clients spoke a revision without sessions, and whether any did not.
    pub(super) fn eras(&self) -> [bool; 2] {
        let has = |modern: bool| {
            let mut known = self.exchanges.iter().filter(|it| it.is_request && !it.was_unknown);
            known.any(|it| it.is_modern == modern)
        };
        [has(true), has(false)]
    }
}
