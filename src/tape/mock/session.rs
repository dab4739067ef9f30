//! One client of a mock: what it says, what it is told, and when. Nothing here waits or writes.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::fallback::ForwardedSession;
use super::key::{RequestForm, RequestKey, client_of, is_modern};
use super::live::{LiveIds, as_live};
use super::miss::MissedRequest;
use super::mutate::{GivenReply, MutationPlan, mutated};
use super::script::{MockedAct, MockedMessage, SessionBeginning};
use super::{LiveValues, MockOrder, MockRepeats, TapeMock};
use crate::mcp::error_code::ErrorCode;
use crate::mcp::error_code::protocol::METHOD_NOT_FOUND;
use crate::mcp::meta::{self, LOG_LEVEL, META, SUBSCRIPTION_ID, declares_logging};
use crate::mcp::method;
use crate::message::{Id, Kind, Message};
use crate::tape::redact::with_secrets;

/// What is to be done for a client.
#[derive(Debug, PartialEq)]
pub(super) enum MockEffect {
    Say(Message),
    /// For the operator.
    Log(String),
    /// The real server is to be asked this.
    Forward(Message),
    /// The real server is to be told this, where it was asked anything.
    Tell(Message),
}

/// A client of a mock: what it was told, and what it still waits for.
pub(super) struct MockSession<'a> {
    mock: &'a TapeMock,
    /// The tape that this conversation follows first, as its beginning chose it.
    home: Option<usize>,
    /// The same for each client that says its name in every request: several may share a connection.
    homes: HashMap<u64, usize>,
    /// How often it asked for each, by the first exchange that is like it, and by who asked where several may.
    asked: HashMap<(Option<u64>, usize), usize>,
    /// Requests of the tape that it has made so far; see [`MockOrder::Strict`].
    position: usize,
    playing: Vec<OngoingExchange>,
    /// Exchanges that have begun.
    begun: BTreeSet<usize>,
    /// How this client began, where it did not begin by itself.
    initialize: Option<Message>,
    ids: LiveIds,
    /// What the client says where the tape has marks of secrets, in JSON text.
    secrets: HashMap<String, String>,
    /// Results that were given so far.
    results: u64,
    /// What the client called and has no reply to yet; only where replies are changed.
    called: HashMap<Id, CalledMethod>,
    /// Whether the server has said that it sends log messages.
    logs: bool,
}

/// A call without a reply yet.
#[derive(Default)]
struct CalledMethod {
    method: String,
    /// Whether its client takes log messages: since 2026-07-28 each request says so.
    takes_logs: bool,
}

/// A recorded exchange that goes on now.
struct OngoingExchange {
    exchange: usize,
    next: usize,
    /// When the next event is due; `None` while the client's answer is waited for.
    due: Option<Instant>,
    /// What the live request goes by.
    id: Option<Id>,
    token: Option<Id>,
    /// The live request, where replies may repeat what it says.
    said: Option<Message>,
    /// This client had it before.
    is_again: bool,
}

impl<'a> MockSession<'a> {
    pub(super) fn new(mock: &'a TapeMock) -> Self {
        let (home, homes, asked, playing, begun, initialize) = Default::default();
        let (ids, secrets, called) = Default::default();
        Self {
            mock,
            home,
            homes,
            asked,
            position: 0,
            playing,
            begun,
            initialize,
            ids,
            secrets,
            results: 0,
            called,
            logs: false,
        }
    }

    /// When something is to be said next, whatever the client does.
    pub(super) fn due(&self) -> Option<Instant> {
        self.playing.iter().filter_map(|playing| playing.due).min()
    }

    /// Takes in what the client said, and plays what is due.
    pub(super) fn hear(&mut self, message: &Message, now: Instant, effects: &mut Vec<MockEffect>) {
        match message.kind() {
            Kind::Request => {
                self.remember_call(message);
                self.request(message, now, effects);
            }
            Kind::Notification => self.notification(message, now, effects),
            Kind::Result | Kind::Error => self.answer(message, now, effects),
            Kind::Batch => message.elements().iter().for_each(|element| self.hear(element, now, effects)),
            Kind::Opaque => effects.push(MockEffect::Log(format!(
                "the client said what is no JSON-RPC: {}",
                message.head().flaw.as_deref().unwrap_or("opaque")
            ))),
        }
        self.play(now, effects);
    }

    /// Says what is due.
    pub(super) fn play(&mut self, now: Instant, effects: &mut Vec<MockEffect>) {
        let before = effects.len();
        self.play_all(now, effects);
        if !self.secrets.is_empty() {
            effects[before..].iter_mut().for_each(|effect| self.unredact(effect));
        }
        let plan = *self.mock.mutations.lock();
        if let Some(plan) = plan {
            let said = effects.split_off(before);
            said.into_iter().for_each(|effect| self.mutate(effect, plan, effects));
        }
    }

    /// Puts what the client said where the tape has the mark of it: a server repeats what it is told.
    fn unredact(&self, effect: &mut MockEffect) {
        let MockEffect::Say(message) = effect else { return };
        let text = std::str::from_utf8(message.raw()).ok();
        let now = text.and_then(|text| with_secrets(text, |mark| self.secrets.get(mark).map(String::as_str)));
        if let Some(now) = now {
            *message = Message::new(now);
        }
    }

    fn remember_call(&mut self, request: &Message) {
        if let (Some(id), Some(method), Some(_)) = (request.id(), request.method(), *self.mock.mutations.lock()) {
            let takes_logs = !is_modern(request) || request.at(&["params", META, LOG_LEVEL]).is_some();
            self.called.insert(id.clone(), CalledMethod { method: method.to_owned(), takes_logs });
        }
    }

    /// Says something else in place of a result, where the plan says so.
    fn mutate(&mut self, effect: MockEffect, plan: MutationPlan, effects: &mut Vec<MockEffect>) {
        match effect {
            MockEffect::Say(message) if message.kind() == Kind::Result => {
                self.results += 1;
                let called = message.id().and_then(|id| self.called.remove(id)).unwrap_or_default();
                let CalledMethod { method, takes_logs } = called;
                let reply = GivenReply { message: &message, method: &method, may_log: self.logs && takes_logs };
                let (messages, change) = mutated(reply, plan, self.results);
                self.logs |= [method::INITIALIZE, method::DISCOVER].contains(&&*method) && declares_logging(&message);
                self.mock.note_mutation(self.results, change.as_ref());
                effects.extend(change.map(|change| MockEffect::Log(change.text)));
                effects.extend(messages.into_iter().map(MockEffect::Say));
            }
            effect => effects.push(effect),
        }
    }

    fn play_all(&mut self, now: Instant, effects: &mut Vec<MockEffect>) {
        let mut at = 0;
        while at < self.playing.len() {
            if self.mock.advance(&mut self.playing[at], &mut self.ids, now, effects) {
                at += 1;
            } else {
                self.playing.remove(at);
            }
        }
    }

    fn request(&mut self, request: &Message, now: Instant, effects: &mut Vec<MockEffect>) {
        let request = &self.ids.recorded(request);
        let key = self.key(request);
        if request.method() == Some(method::INITIALIZE) {
            self.initialize = Some(request.clone());
        }
        match self.choose(request, key) {
            Ok(exchange) => self.begin(exchange, request, now, effects),
            Err(miss) => self.missed(request, key, &miss, effects),
        }
    }

    /// What a request is known by on the tapes; its secrets are kept, for what is told of them.
    fn key(&mut self, request: &Message) -> RequestKey {
        let key = RequestKey::of(request, &self.mock.options.fields);
        if !self.mock.script.has_secrets() || self.mock.script.has(key) {
            return key;
        }
        let fields = &self.mock.options.fields;
        let form = RequestForm::without_secret_numbers(request, fields);
        let Some((recorded, secrets)) = self.mock.script.unredacted(&form, &self.secrets, fields) else { return key };
        self.secrets.extend(secrets);
        recorded
    }

    fn missed(&mut self, request: &Message, key: RequestKey, miss: &MissedRequest<'_>, effects: &mut Vec<MockEffect>) {
        let id = request.id();
        if request.method() == Some(method::PING) {
            // Every peer must answer it, and it says nothing of the server.
            let id = id.map_or("null", Id::token);
            return effects
                .push(MockEffect::Say(Message::new(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#))));
        }
        if let Some(text) = self.unknown_revision(request) {
            return effects.push(MockEffect::Say(Message::error_reply(id, METHOD_NOT_FOUND, &text, None)));
        }
        effects.push(MockEffect::Log(miss.log(request)));
        if let Some(fallback) = &self.mock.fallback {
            self.mock.shared.forwarded.fetch_add(1, Ordering::Relaxed);
            let known = fallback.learned(key, id);
            return effects.push(known.map_or_else(|| MockEffect::Forward(request.clone()), MockEffect::Say));
        }
        self.mock.shared.missed.fetch_add(1, Ordering::Relaxed);
        effects.push(MockEffect::Say(miss.reply(request, self.mock.options.tells_nearest)));
    }

    /// Asks the real server, with which a session begins where there is none. Returns what the client is told where that cannot be.
    pub(super) async fn forward(&self, request: &Message, session: &mut Option<ForwardedSession>) -> Option<Message> {
        let fallback = self.mock.fallback.as_ref()?;
        if session.is_none() {
            let begins = self.initialize.as_ref().filter(|_| !is_modern(request));
            match ForwardedSession::open(fallback, begins).await {
                Ok(opened) => *session = Some(opened),
                Err(why) => {
                    let text = format!("tapline: the real server cannot be asked: {why}");
                    let code = ErrorCode::UpstreamFailed.number();
                    return Some(Message::error_reply(request.id(), code, &text, None));
                }
            }
        }
        let key = RequestKey::of(request, &self.mock.options.fields);
        session.iter_mut().for_each(|session| session.ask(request, key));
        None
    }

    /// What a server says that does not know how this client begins.
    fn unknown_revision(&self, request: &Message) -> Option<String> {
        let [has_modern, has_legacy] = self.mock.script.eras();
        let has = match request.method()? {
            method::DISCOVER | method::INITIALIZE if !has_modern && !has_legacy => {
                "has no session: its server refused all that was asked; give the tape of the session as well"
            }
            method::DISCOVER if !has_modern => "speaks revisions before 2026-07-28 only",
            method::INITIALIZE if !has_legacy => "speaks revision 2026-07-28 or later only",
            _ => return None,
        };
        Some(format!("Method not found (tapline: the tape {has})"))
    }

    /// The recorded exchange that this request gets.
    fn choose(&mut self, request: &Message, key: RequestKey) -> Result<usize, MissedRequest<'a>> {
        let mock = self.mock;
        if mock.options.order == MockOrder::Strict {
            return self.in_order(request, key);
        }
        let known = mock.script.candidates(key);
        let Some(first) = known.first().copied() else { return Err(MissedRequest::unknown(&mock.script, request)) };
        let begins = matches!(request.method(), Some(method::INITIALIZE));
        let candidates: Cow<'_, [usize]> =
            if begins { self.beginnings(request, known).into() } else { self.at_home(request, key).into() };
        let nth = match (begins, mock.options.order) {
            (true, _) => mock.shared.begin(&candidates),
            (false, MockOrder::Any) => next(&mut mock.shared.asked.lock(), first),
            (false, _) => next(&mut self.asked, (sharing_client(request), candidates[0])),
        };
        let last = candidates.len() - 1;
        let nth = match mock.options.repeats {
            MockRepeats::Next if nth > last => {
                return Err(MissedRequest::used_up(&mock.script, candidates[last], candidates.len()));
            }
            MockRepeats::Next | MockRepeats::Last => nth.min(last),
            MockRepeats::Loop => nth % candidates.len(),
        };
        let chosen = candidates[nth];
        let tape = mock.script.exchanges[chosen].tape;
        match sharing_client(request) {
            Some(client) => drop(self.homes.entry(client).or_insert(tape)),
            None if begins || self.home.is_none() => self.home = Some(tape),
            None => {}
        }
        Ok(chosen)
    }

    /// Those of a client of that name, where there are any, and of them those in the revision that it asks for.
    fn beginnings(&self, request: &Message, all: &[usize]) -> Vec<usize> {
        let asked = SessionBeginning::of(request);
        let recorded = |at: usize| self.mock.script.beginnings.get(&at);
        let of_name =
            preferred(all, |at| asked.client.is_some() && recorded(at).is_some_and(|it| it.client == asked.client));
        preferred(&of_name, |at| recorded(at).is_some_and(|it| it.revision == asked.revision))
    }

    /// Those of the tape that the conversation follows, where there are any; before it follows one, those of a client of that name. All
    /// others are no worse.
    fn at_home(&self, request: &Message, key: RequestKey) -> &'a [usize] {
        let script = &self.mock.script;
        let home = sharing_client(request).map_or(self.home, |client| self.homes.get(&client).copied());
        let found = match (home, client_of(request)) {
            (Some(home), _) => script.candidates_of_tape(key, home),
            (None, Some(client)) => script.candidates_of_client(key, client),
            (None, None) => &[],
        };
        if found.is_empty() { script.candidates(key) } else { found }
    }

    /// The tape that is gone through in its order: one that was recorded of a client of that name, where there is one.
    fn begin_in_order(&self, request: &Message) -> usize {
        let script = &self.mock.script;
        let first: Vec<_> = script.tapes.iter().filter_map(|tape| tape.requests.first().copied()).collect();
        let client = client_of(request);
        let of_name =
            preferred(&first, |at| client.is_some() && script.tapes[script.exchanges[at].tape].client == client);
        if of_name.is_empty() { 0 } else { script.exchanges[of_name[self.mock.shared.begin(&of_name)]].tape }
    }

    /// The next of its tape, if that is it.
    fn in_order(&mut self, request: &Message, key: RequestKey) -> Result<usize, MissedRequest<'a>> {
        let mock = self.mock;
        let home = self.home.unwrap_or_else(|| self.begin_in_order(request));
        self.home = Some(home);
        let requests = mock.script.tapes.get(home).map_or(&[][..], |tape| &tape.requests);
        let position = match mock.options.repeats {
            MockRepeats::Loop if !requests.is_empty() => self.position % requests.len(),
            _ => self.position,
        };
        let Some(expected) = requests.get(position).copied() else {
            return Err(MissedRequest::over(&mock.script, requests.last().copied(), requests.len()));
        };
        if !mock.script.is_known_by(expected, key) {
            if request.method() == Some(method::PING) {
                return Err(MissedRequest::unknown(&mock.script, request));
            }
            return Err(MissedRequest::out_of_order(&mock.script, expected, request));
        }
        self.position += 1;
        Ok(expected)
    }

    fn begin(&mut self, exchange: usize, request: &Message, now: Instant, effects: &mut Vec<MockEffect>) {
        let mock = self.mock;
        mock.shared.answered.fetch_add(1, Ordering::Relaxed);
        mock.shared.played.lock()[exchange] = true;
        let recorded = &mock.script.exchanges[exchange];
        let mut events = mock.script.events(exchange).iter();
        let was_taken_back = events.any(|event| matches!(event.act, MockedAct::AwaitCancel));
        if !recorded.is_answered && !was_taken_back {
            effects.push(MockEffect::Log(format!(
                "{} was never answered on the tape ({} {}), nor is it now",
                mock.script.describe(exchange),
                mock.script.tapes[recorded.tape].name,
                recorded.seq
            )));
        }
        self.start(exchange, request, now);
    }

    fn start(&mut self, exchange: usize, said: &Message, now: Instant) {
        let mut playing = OngoingExchange {
            exchange,
            next: 0,
            due: None,
            id: said.id().cloned(),
            token: meta::requested_progress(said),
            said: self.mock.is_live().then(|| said.clone()),
            is_again: !self.begun.insert(exchange),
        };
        self.mock.schedule(&mut playing, now);
        self.playing.push(playing);
    }

    fn notification(&mut self, notification: &Message, now: Instant, effects: &mut Vec<MockEffect>) {
        if let Some(id) = meta::cancelled_id(notification) {
            effects.push(MockEffect::Tell(notification.clone()));
            return self.take_back(&id, now);
        }
        let key = RequestKey::of(notification, &self.mock.options.fields);
        let candidates = self.at_home(notification, key);
        let Some(first) = candidates.first() else { return };
        let nth = next(&mut self.asked, (sharing_client(notification), *first));
        if let Some(exchange) = candidates.get(nth) {
            self.start(*exchange, notification, now);
        }
    }

    /// The client takes a request back: what the recorded server said to that follows, and nothing else.
    fn take_back(&mut self, id: &Id, now: Instant) {
        let mock = self.mock;
        self.playing.retain_mut(|playing| {
            if playing.id.as_ref().is_none_or(|own| !id.may_mean(own)) {
                return true;
            }
            let events = mock.script.events(playing.exchange);
            let rest = events.iter().skip(playing.next);
            let after = rest.take_while(|event| !matches!(event.act, MockedAct::AwaitCancel)).count();
            playing.next += after + 1;
            mock.schedule(playing, now);
            playing.next < events.len()
        });
    }

    /// The client answers a request of the server's.
    fn answer(&mut self, answer: &Message, now: Instant, effects: &mut Vec<MockEffect>) {
        let Some(id) = answer.id() else { return };
        let mock = self.mock;
        let waits =
            |playing: &&mut OngoingExchange| matches!(mock.awaited(playing), Some(awaited) if id.may_mean(awaited));
        match self.playing.iter_mut().find(waits) {
            Some(playing) => {
                playing.next += 1;
                mock.schedule(playing, now);
            }
            None if mock.fallback.is_some() => effects.push(MockEffect::Tell(answer.clone())),
            None => {
                effects.push(MockEffect::Log(format!("the client answered what was not asked: id {}", id.display())));
            }
        }
    }
}

/// The client, where each of its requests says which it is.
fn sharing_client(request: &Message) -> Option<u64> {
    client_of(request).filter(|_| is_modern(request))
}

/// Those for which that holds, where there are any; else all.
fn preferred(all: &[usize], is_preferred: impl Fn(usize) -> bool) -> Vec<usize> {
    let found: Vec<_> = all.iter().copied().filter(|at| is_preferred(*at)).collect();
    if found.is_empty() { all.to_vec() } else { found }
}

fn says_list_changed(notification: &str) -> bool {
    [method::TOOLS_LIST_CHANGED, method::PROMPTS_LIST_CHANGED, method::RESOURCES_LIST_CHANGED].contains(&notification)
}

/// How often something was asked before, by what it is known by.
fn next<K: Eq + Hash>(asked: &mut HashMap<K, usize>, first: K) -> usize {
    let count = asked.entry(first).or_default();
    *count += 1;
    *count - 1
}

impl TapeMock {
    /// The answer that an exchange cannot go on without.
    fn awaited(&self, playing: &OngoingExchange) -> Option<&Id> {
        match &self.script.events(playing.exchange).get(playing.next)?.act {
            MockedAct::Await(id) => Some(id),
            MockedAct::Say(_) | MockedAct::SayProgress(_) | MockedAct::AwaitCancel => None,
        }
    }

    /// Sets when the next event is due.
    fn schedule(&self, playing: &mut OngoingExchange, now: Instant) {
        let event = self.script.events(playing.exchange).get(playing.next);
        playing.due = match event.map(|event| &event.act) {
            Some(MockedAct::Await(_) | MockedAct::AwaitCancel) => None,
            Some(MockedAct::Say(_) | MockedAct::SayProgress(_)) => event.map(|event| now + self.scaled(event.gap)),
            // It is over: the next look shows it.
            None => Some(now),
        };
    }

    /// Says what is due of an exchange. `false` where it is over.
    fn advance(
        &self,
        playing: &mut OngoingExchange,
        ids: &mut LiveIds,
        now: Instant,
        effects: &mut Vec<MockEffect>,
    ) -> bool {
        let events = self.script.events(playing.exchange);
        while let Some(event) = events.get(playing.next) {
            let Some(due) = playing.due.filter(|due| *due <= now) else { return true };
            if let MockedAct::Say(stored) | MockedAct::SayProgress(stored) = &event.act {
                let is_own_progress = matches!(event.act, MockedAct::SayProgress(_));
                match self.spoken(playing, stored, is_own_progress, ids) {
                    Ok(message) => effects.extend(message.map(MockEffect::Say)),
                    Err(why) => {
                        let is_last = playing.next + 1 == events.len();
                        effects.extend(playing.failed(&why).filter(|_| is_last).map(MockEffect::Say));
                        effects.push(MockEffect::Log(why));
                    }
                }
            }
            playing.next += 1;
            self.schedule(playing, due);
        }
        false
    }

    /// What the client is told in place of a message of the tape; nothing where it did not ask for that.
    fn spoken(
        &self,
        playing: &OngoingExchange,
        stored: &MockedMessage,
        is_own_progress: bool,
        ids: &mut LiveIds,
    ) -> Result<Option<Message>, String> {
        let message = self.script.load(playing.exchange, stored)?;
        // A client that lists again because the list changed would be told so again, and never be done.
        if playing.is_again && message.method().is_some_and(says_list_changed) {
            return Ok(None);
        }
        let Some(message) = playing.in_live_terms(&message, is_own_progress) else { return Ok(None) };
        match &playing.said {
            Some(said) => self.as_live(&message, playing.exchange, said, ids).map(Some),
            None => Ok(Some(message)),
        }
    }

    /// Whether anything is not as it was recorded.
    fn is_live(&self) -> bool {
        self.options.live != LiveValues::default()
    }

    fn as_live(
        &self,
        message: &Message,
        exchange: usize,
        said: &Message,
        ids: &mut LiveIds,
    ) -> Result<Message, String> {
        let recorded = self.script.said(exchange)?;
        let started = self.script.tapes[self.script.exchanges[exchange].tape].started;
        Ok(as_live(message, self.options.live, started, (&recorded, said), ids))
    }
}

impl OngoingExchange {
    /// What its client is told whose reply cannot be read.
    fn failed(&self, why: &str) -> Option<Message> {
        let text = format!("tapline: {why}");
        Some(Message::error_reply(Some(self.id.as_ref()?), ErrorCode::UpstreamFailed.number(), &text, None))
    }

    /// A recorded message under the ids and tokens of the live request; `None` where the live client did not ask for it.
    fn in_live_terms(&self, message: &Message, is_own_progress: bool) -> Option<Message> {
        match message.kind() {
            Kind::Result | Kind::Error => {
                let id = self.id.as_ref()?;
                let reply = message.with_id(id)?;
                let subscription = reply.with_value(&["result", META, SUBSCRIPTION_ID], id.token());
                Some(subscription.unwrap_or(reply))
            }
            Kind::Notification if is_own_progress => {
                message.with_value(&["params", "progressToken"], self.token.as_ref()?.token())
            }
            _ => {
                let id = self.id.as_ref().filter(|_| meta::subscription_id(message).is_some());
                let named = id.and_then(|id| message.with_value(&["params", META, SUBSCRIPTION_ID], id.token()));
                Some(named.unwrap_or_else(|| message.clone()))
            }
        }
    }
}
