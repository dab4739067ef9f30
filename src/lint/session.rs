//! One session as its lints see it: what was said so far, and what is wrong with the next message.

use std::sync::Arc;

use super::calls::{CallTable, UnansweredCall};
use super::carrier::CarrierState;
use super::clients::{MeasuredClient, add_effects, client_named, client_of_peer};
use super::declared::DeclaredCapabilities;
use super::form::{check_batch, check_form, check_opaque, check_status};
use super::found::{FindingSink, JudgedMessage};
use super::handshake::HandshakeLint;
use super::pages::ListPages;
use super::progress::ProgressTable;
use super::refusals::check_refusal;
use super::shapes::{check_params, check_result};
use super::tools::ToolBook;
use crate::envelope::{Direction, Envelope, Outcome, Via};
use crate::event::{Finding, Session};
use crate::headers::VERSION;
use crate::mcp::meta::{CLIENT_INFO, META};
use crate::mcp::method::{CANCELLED, DISCOVER, INITIALIZE, PROGRESS};
use crate::mcp::{era, meta};
use crate::message::{Kind, Message};

/// Larger messages are judged by their heads only, in bytes: to read the image in a result costs more than to pass it on.
const LARGEST: usize = 128 << 10;
/// The one format that does not say whether a message came by a pipe or by HTTP.
const WITHOUT_CARRIER: &str = "jsonl";
/// Lists, which all else is judged by, may be larger.
const LARGEST_LIST: usize = 1 << 20;

/// What is known of a session, and what of it the lints go by.
pub struct SessionLint {
    session: Session,
    handshake: HandshakeLint,
    calls: CallTable,
    progress: ProgressTable,
    declared: DeclaredCapabilities,
    pages: ListPages,
    carrier: CarrierState,
    tools: ToolBook,
    /// Whose behaviour is told beside what its server does.
    client: Option<&'static MeasuredClient>,
    /// The client was chosen by the configuration, whichever is connected.
    is_chosen: bool,
    import: Option<Import>,
}

/// What another program recorded is judged by what it has, never by what it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Import {
    /// It says how messages were carried.
    has_carrier: bool,
}

impl SessionLint {
    /// A session from its first message on. One that has agreed on a revision before that began elsewhere.
    pub fn new(session: &Session) -> Self {
        let mut lint = Self {
            session: session.clone(),
            handshake: HandshakeLint::default(),
            calls: CallTable::default(),
            progress: ProgressTable::default(),
            declared: DeclaredCapabilities::default(),
            pages: ListPages::default(),
            carrier: CarrierState::default(),
            tools: ToolBook::default(),
            client: session.client.as_ref().and_then(|client| client_of_peer(&client.name)),
            is_chosen: false,
            import: None,
        };
        if session.protocol.is_some() {
            lint.miss();
        }
        lint
    }

    /// As if the client of this name (one of [`client_names`](super::client_names)) were connected, whichever is.
    #[must_use]
    pub fn seen_by(self, client: Option<&str>) -> Self {
        match client.and_then(client_named) {
            None => self,
            chosen => Self { client: chosen, is_chosen: true, ..self },
        }
    }

    /// As what was made of a recording of another program, in this format: headers, messages and clients may be missing from it.
    #[must_use]
    pub fn imported(mut self, format: Option<&str>) -> Self {
        if let Some(format) = format {
            self.import = Some(Import { has_carrier: format != WITHOUT_CARRIER });
            self.carrier.know_in_part();
            self.miss();
        }
        self
    }

    /// Messages are missing from here on: what depends on those before is not judged any more.
    pub fn miss(&mut self) {
        self.calls.miss();
        self.progress.miss();
        self.tools.miss();
        self.carrier.miss();
        self.handshake.miss(self.session.protocol.as_deref());
    }

    /// Says what is wrong with a message. Messages of a session have to be told in the order in which they passed.
    pub fn judge(&mut self, envelope: &Envelope) -> Vec<Finding> {
        let mut out = FindingSink::new(envelope.session);
        let message = envelope.original.as_ref().unwrap_or(&envelope.message);
        if matches!(envelope.outcome, Outcome::Injected(_) | Outcome::Withheld) {
            self.note_ours(envelope);
            return Vec::new();
        }
        if message.kind() == Kind::Batch && message.raw().len() > LARGEST {
            self.miss();
        } else if message.kind() == Kind::Batch {
            check_batch(&self.judged(envelope, message), &mut out);
            message.elements().iter().for_each(|element| self.judge_one(envelope, element, &mut out));
        } else {
            self.judge_one(envelope, message, &mut out);
        }
        self.told(out)
    }

    fn told(&self, out: FindingSink) -> Vec<Finding> {
        let mut found = out.into_findings();
        found.iter_mut().for_each(|finding| add_effects(finding, self.client));
        found
    }

    /// The session is over, or the tape: what never came is told now.
    pub fn finish(&mut self) -> Vec<Finding> {
        let mut out = FindingSink::new(self.session.id);
        if self.import.is_some() {
            return Vec::new();
        }
        self.handshake.finish(&mut out);
        self.calls.finish(&mut out);
        self.tools.finish(&mut out);
        self.told(out)
    }

    /// Notes a message of tapline's, or an answer to one: neither is judged.
    fn note_ours(&mut self, envelope: &Envelope) {
        if let Some(to) = envelope.reply_to.as_ref().filter(|_| envelope.message.is_reply()) {
            self.calls.answered_here(envelope.direction, envelope.message.id(), Some(to.seq));
        }
    }

    fn judged<'a>(&self, envelope: &'a Envelope, message: &'a Message) -> JudgedMessage<'a> {
        let header = |name: &http::HeaderName| {
            let value = envelope.transport.headers.as_ref()?.get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let asked = self.calls.asked(envelope.direction, message.id().filter(|_| message.kind().is_reply()));
        let (revision, is_modern) = match asked {
            Some(UnansweredCall { revision, is_modern, .. }) => (revision.clone(), *is_modern),
            None if era::is_modern(message, || header(&VERSION)) => {
                let said = meta::protocol_version(message).or_else(|| header(&VERSION));
                (said.map_or_else(|| self.handshake.revision(), Arc::from), true)
            }
            None => (self.handshake.revision(), false),
        };
        JudgedMessage::new(envelope, message, revision, is_modern)
    }

    fn judge_one(&mut self, envelope: &Envelope, message: &Message, out: &mut FindingSink) {
        let judged = self.judged(envelope, message);
        if self.is_too_large(&judged) {
            return self.judge_head(&judged, out);
        }
        check_status(&judged, out);
        match message.kind() {
            Kind::Opaque | Kind::Batch if self.import.is_some_and(|it| !it.has_carrier) => return,
            Kind::Opaque | Kind::Batch => return check_opaque(&judged, out),
            Kind::Request => self.request(&judged, out),
            Kind::Notification => self.notification(&judged, out),
            Kind::Result | Kind::Error => self.reply(&judged, out),
        }
        check_form(&judged, out);
        if judged.direction() == Direction::ToServer && self.session.via == Via::Http {
            self.carrier.check_client(&judged, self.handshake.is_agreed(), out);
        }
    }

    fn is_too_large(&self, judged: &JudgedMessage<'_>) -> bool {
        let (message, size) = (judged.message, judged.message.raw().len());
        let is_list = || {
            let asked = self.calls.asked(judged.direction(), message.id().filter(|_| message.kind().is_reply()));
            asked.is_some_and(|call| call.method.ends_with("/list"))
        };
        size > LARGEST && (size > LARGEST_LIST || !is_list())
    }

    /// Judges the head alone of a message that is too large to be read whole.
    fn judge_head(&mut self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        match judged.message.kind() {
            Kind::Request => {
                self.calls.ask(judged, judged.is_stdio(), out);
                self.progress.ask(judged, false, out);
            }
            Kind::Result | Kind::Error => {
                self.calls.answer(judged, out);
            }
            Kind::Notification | Kind::Opaque | Kind::Batch => {}
        }
    }

    fn request(&mut self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        if HandshakeLint::is_beginning(judged) {
            self.calls.restart();
        }
        if judged.direction() == Direction::ToServer && (judged.is_modern || HandshakeLint::is_beginning(judged)) {
            self.declared.learn_client(judged.message);
            self.learn_client(judged.message);
        }
        // Over HTTP and without a handshake several clients may count from 1 in what is one session here.
        let is_counted = judged.is_stdio() || (self.handshake.is_agreed() && !judged.is_modern);
        // A recording may have those of several clients.
        let is_counted = is_counted && self.import.is_none();
        self.handshake.ask(judged, out);
        self.calls.ask(judged, is_counted, out);
        self.progress.ask(judged, is_counted, out);
        self.declared.check(judged, out);
        self.tools.ask(judged, out);
        check_params(judged, out);
    }

    fn learn_client(&mut self, message: &Message) {
        let name = meta::read::<String>(message, &["params", META, CLIENT_INFO, "name"])
            .or_else(|| meta::read(message, &["params", "clientInfo", "name"]));
        if let Some(name) = name.filter(|_| !self.is_chosen) {
            self.client = client_of_peer(&name);
        }
    }

    fn notification(&mut self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        self.handshake.on_notification(judged);
        self.tools.on_notification(judged);
        match judged.message.method() {
            Some(CANCELLED) => self.calls.cancel(judged, out),
            Some(PROGRESS) => self.progress.report(judged, out),
            _ => self.declared.check(judged, out),
        }
        check_params(judged, out);
    }

    fn reply(&mut self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let Some(call) = self.calls.answer(judged, out) else { return };
        self.progress.answer(&call, judged);
        let is_beginning = &*call.method == INITIALIZE && judged.direction() == Direction::ToClient;
        if judged.direction() == Direction::ToClient {
            self.carrier.check_server(judged, is_beginning, out);
            if is_beginning || &*call.method == DISCOVER {
                self.declared.learn_server(judged.message);
            }
        }
        if is_beginning {
            self.handshake.answer(judged);
        }
        self.declared.check_refusal(&call, judged, out);
        self.pages.answer(&call, judged, out);
        let is_listed = call.name.as_deref().and_then(|name| self.tools.is_listed(name));
        check_refusal(&call, &self.declared, is_listed, judged, out);
        self.tools.answer(&call, judged, out);
        check_result(&call, judged, out);
    }
}
