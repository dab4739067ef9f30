//! What a rule does with a message: a decision, made as the operator would make it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;

use super::chance::{DelaySpread, SeededChance};
use super::jq::{JqFault, JqProgram};
use super::template::JsonTemplate;
use crate::envelope::{Author, Direction, Envelope, Seq, SessionId, Via};
use crate::event::{BlockError, Timestamp};
use crate::hooks::{Hook, HookCall, HookQuestion};
use crate::intercept::{BreakOff, HttpAnswer, LateRuling, LateVerdict, Verdict};
use crate::json::splice::{self, PatchStep};
use crate::mcp::meta::requested_progress;
use crate::mcp::method;
use crate::message::{Id, Kind, Message};

/// What stands behind `do`.
#[derive(Clone, Debug)]
pub(super) enum RuleAction {
    /// It goes on, and no rule after this one is asked.
    Continue,
    Hold,
    Drop,
    Log(String),
    Block(BlockError),
    Answer(AnswerBody),
    Modify(RuleChange),
    Delay(DelaySpread),
    /// At most one message for so long.
    Throttle(Duration),
    Corrupt(Corruption),
    Status(HttpAnswer),
    Disconnect(BreakOff),
    Duplicate,
    Hook(Arc<Hook>),
    /// Another upstream answers, of this name or at this URL.
    Upstream(Arc<str>),
    Aside(ServerSignal),
    /// Made-up progress, until the reply comes.
    Progress(ProgressPlan),
    /// The client hears this before the message goes on.
    Notify(String),
    /// It waits until another that the rule is for has passed it, but no longer than this.
    Reorder(Duration),
}

/// What is done to the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum ServerSignal {
    Kill,
    /// For so long, or for ever.
    Stop(Option<Duration>),
}

/// How progress is made up.
#[derive(Clone, Debug)]
pub(super) struct ProgressPlan {
    pub(super) every: Duration,
    pub(super) total: Option<u64>,
    pub(super) text: Option<String>,
}

/// What is done beside a message.
#[derive(Clone, Debug)]
pub enum AsideAct {
    Kill,
    Stop(Option<Duration>),
    Progress(MadeUpProgress),
    /// The client hears this.
    Notify(String),
    /// The reply to this request has come; it reaches the client so much later.
    ProgressEnds(Seq, Duration),
}

/// Progress of a call.
#[derive(Clone, Debug)]
pub struct MadeUpProgress {
    /// As the client spelled it.
    pub token: String,
    pub every: Duration,
    pub total: Option<u64>,
    pub text: Option<String>,
}

/// The reply that a rule gives in the place of the server.
#[derive(Clone, Debug)]
pub(super) enum AnswerBody {
    Result(JsonTemplate),
    Error(JsonTemplate),
    /// A whole message, byte for byte, but for the id.
    Text(String),
}

/// How a rule changes a message.
#[derive(Clone, Debug)]
pub(super) enum RuleChange {
    /// A JSON Merge Patch (RFC 7396).
    Merge(Value),
    /// A JSON Patch (RFC 6902).
    Patch(Vec<PatchStep>),
    /// Another tool is called.
    Tool(String),
    /// This message goes on in its place, under its id.
    Text(String),
    Jq(Arc<JqProgram>),
}

/// How a message is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Corruption {
    /// The second half of the message is cut off.
    Cut,
    NotJson,
    /// With an id that no request has.
    WrongId,
    /// A number as a string, a string as another.
    IdType,
    /// In the shape of another revision.
    OtherRevision,
}

impl Corruption {
    pub(super) const ALL: [(&'static str, Self); 5] = [
        ("cut", Self::Cut),
        ("not-json", Self::NotJson),
        ("wrong-id", Self::WrongId),
        ("id-type", Self::IdType),
        ("other-revision", Self::OtherRevision),
    ];
}

/// What came of an action.
pub(super) enum RuleEffect {
    /// The message goes on to the next rule, changed or not.
    Next,
    /// It waits, and the next rule is asked.
    Wait(Duration),
    Said(String),
    /// Something is done beside it.
    Aside(AsideAct),
    /// No other rule is asked: this upstream is.
    Redirect(Arc<str>),
    /// No other rule is asked.
    Final(Verdict),
    /// It could not be done, and the message is as it was.
    Failed(String),
    /// It could not be done, and is not to be tried again.
    Broken(String),
}

/// What an action remembers from one message to the next.
pub(super) struct ActionState {
    pub(super) chance: SeededChance,
    /// When the next message may go on.
    pub(super) free: Option<Instant>,
    pub(super) hits: u64,
    /// When it hit last, and what.
    pub(super) last: Option<(Timestamp, Seq)>,
    /// Why it could not be done, the last time that it could not.
    pub(super) broken: Option<String>,
    /// Those that wait for another to pass them, by session.
    pub(super) overtaken: HashMap<SessionId, oneshot::Sender<()>>,
}

impl RuleAction {
    /// Why what runs for it did not answer, the last time that it did not.
    pub(super) fn trouble(&self) -> Option<String> {
        match self {
            Self::Hook(hook) => hook.trouble(),
            _ => None,
        }
    }

    /// Whether it is always the last, and can be done with any message.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Continue | Self::Hold | Self::Drop | Self::Block(_) | Self::Hook(_) | Self::Reorder(_))
    }

    /// Whether it can be done with a message at all; where it cannot, the rule is not for it.
    pub(super) fn is_for(&self, envelope: &Envelope) -> bool {
        let (kind, to_server) = (envelope.kind(), envelope.direction == Direction::ToServer);
        match self {
            Self::Answer(_) => kind == Kind::Request || kind.is_reply(),
            Self::Modify(RuleChange::Tool(_)) => envelope.message.at(&["params", "name"]).is_some(),
            Self::Status(_) | Self::Disconnect(_) => to_server,
            Self::Corrupt(Corruption::WrongId | Corruption::IdType) => envelope.message.id().is_some(),
            Self::Duplicate => !to_server,
            Self::Progress(_) => to_server && kind == Kind::Request,
            // Each of the two servers has a handshake of its own.
            Self::Upstream(_) => to_server && kind == Kind::Request && envelope.method() != Some(method::INITIALIZE),
            _ => true,
        }
    }

    pub(super) fn apply(
        &self,
        envelope: &mut Envelope,
        author: Author,
        hit: u64,
        state: &Mutex<ActionState>,
    ) -> RuleEffect {
        match self {
            Self::Continue => RuleEffect::Final(Verdict::Continue),
            Self::Hold => {
                let Author::Rule(name) = author else { return RuleEffect::Next };
                RuleEffect::Final(Verdict::Pause(format!("rule {name}")))
            }
            Self::Drop => RuleEffect::Final(Verdict::Drop(author)),
            Self::Log(text) => RuleEffect::Said(text.clone()),
            Self::Block(error) => RuleEffect::Final(Verdict::Block(error.clone(), author)),
            Self::Answer(body) => RuleEffect::Final(Verdict::Answer(body.reply(envelope, hit), author)),
            Self::Modify(change) => change.carry_out(envelope, author),
            Self::Delay(spread) => RuleEffect::Wait(spread.draw(&mut state.lock().chance)),
            Self::Throttle(each) => RuleEffect::Wait(state.lock().wait_for_turn(*each)),
            Self::Corrupt(how) => how.carry_out(envelope, author),
            Self::Status(answer) => RuleEffect::Final(Verdict::Status(Box::new(answer.clone()), author)),
            Self::Disconnect(when) => disconnected(*when, envelope, author),
            Self::Duplicate if envelope.transport.via == Via::Http => {
                RuleEffect::Failed("the body of an HTTP response holds one message: only streams bear two".to_owned())
            }
            Self::Duplicate => RuleEffect::Final(Verdict::Duplicate),
            Self::Hook(hook) => asked(hook, envelope, author),
            Self::Upstream(upstream) => RuleEffect::Redirect(upstream.clone()),
            Self::Aside(ServerSignal::Kill) => RuleEffect::Aside(AsideAct::Kill),
            Self::Aside(ServerSignal::Stop(time)) => RuleEffect::Aside(AsideAct::Stop(*time)),
            Self::Progress(plan) => progress(plan, envelope),
            Self::Notify(said) => RuleEffect::Aside(AsideAct::Notify(said.clone())),
            Self::Reorder(most) => reordered(*most, envelope, author, state),
        }
    }
}

/// How a rule says where a response breaks off.
pub(super) const BREAKS: [(&str, BreakOff); 3] =
    [("before", BreakOff::Before), ("within", BreakOff::Within), ("after", BreakOff::After)];

fn disconnected(when: BreakOff, envelope: &Envelope, author: Author) -> RuleEffect {
    if envelope.transport.via == Via::Stdio && when != BreakOff::Before {
        return RuleEffect::Failed(format!("a pipe does not break off {}", word_of(when)));
    }
    RuleEffect::Final(Verdict::Disconnect(when, author))
}

fn asked(hook: &Arc<Hook>, envelope: &Envelope, author: Author) -> RuleEffect {
    let Author::Rule(name) = author else { return RuleEffect::Next };
    let call = Arc::new(HookCall::of(envelope, &name));
    RuleEffect::Final(Verdict::Ask(Arc::new(HookQuestion { hook: hook.clone(), call, rule: name.into() })))
}

fn reordered(most: Duration, envelope: &Envelope, author: Author, state: &Mutex<ActionState>) -> RuleEffect {
    let Author::Rule(name) = author else { return RuleEffect::Next };
    let waiting = state.lock().overtaken.remove(&envelope.session);
    match waiting.map(|waiting| waiting.send(())) {
        // It passes the one that waits.
        Some(Ok(())) => RuleEffect::Final(Verdict::Continue),
        _ => RuleEffect::Final(Verdict::Ask(overtaken(most, name, envelope.session, state))),
    }
}

fn progress(plan: &ProgressPlan, envelope: &Envelope) -> RuleEffect {
    let Some(token) = requested_progress(&envelope.message) else {
        return RuleEffect::Failed("it asks for no progress: it has no `progressToken`".to_owned());
    };
    let ProgressPlan { every, total, text } = plan.clone();
    RuleEffect::Aside(AsideAct::Progress(MadeUpProgress { token: token.token().to_owned(), every, total, text }))
}

fn word_of(when: BreakOff) -> &'static str {
    BREAKS.iter().find(|(_, it)| *it == when).map_or("", |(word, _)| word)
}

/// A message that waits until another has passed it.
#[derive(Debug)]
struct OvertakenMessage {
    rule: String,
    most: Duration,
    passed: Mutex<Option<oneshot::Receiver<()>>>,
}

/// So much later than the one that passed it does it go on: that one is on its way by then.
const BEHIND: Duration = Duration::from_millis(20);

fn overtaken(most: Duration, rule: String, session: SessionId, state: &Mutex<ActionState>) -> Arc<OvertakenMessage> {
    let (passes, passed) = oneshot::channel();
    state.lock().overtaken.insert(session, passes);
    Arc::new(OvertakenMessage { rule, most, passed: Mutex::new(Some(passed)) })
}

impl LateVerdict for OvertakenMessage {
    fn reason(&self) -> String {
        format!("rule {}: it waits for another to pass it", self.rule)
    }

    fn ask(self: Arc<Self>) -> oneshot::Receiver<LateRuling> {
        let (told, ruling) = oneshot::channel();
        let passed = self.passed.lock().take();
        tokio::spawn(async move {
            if let Some(passed) = passed
                && tokio::time::timeout(self.most, passed).await.is_ok()
            {
                tokio::time::sleep(BEHIND).await;
            }
            // A hand may have let it go.
            let _ = told.send(LateRuling { verdict: Verdict::Continue, line: None });
        });
        ruling
    }
}

impl ActionState {
    /// How long a message waits so that none follows the one before sooner than `each`.
    fn wait_for_turn(&mut self, each: Duration) -> Duration {
        let now = Instant::now();
        let free = self.free.map_or(now, |free| free.max(now));
        self.free = Some(free + each);
        free - now
    }
}

impl AnswerBody {
    fn reply(&self, envelope: &Envelope, hit: u64) -> Message {
        let id = envelope.message.id().map_or("null", Id::token);
        let value = envelope.message.value();
        let (key, body) = match self {
            Self::Result(body) => ("result", body),
            Self::Error(body) => ("error", body),
            Self::Text(text) => return under_its_id(text, &envelope.message),
        };
        let body = body.fill(value.as_ref(), hit);
        Message::new(format!(r#"{{"jsonrpc":"2.0","id":{id},"{key}":{body}}}"#))
    }
}

/// A message of this text, with the id of the other where both have one.
fn under_its_id(text: &str, other: &Message) -> Message {
    let message = Message::new(text.to_owned());
    match (message.id(), other.id()) {
        (Some(_), Some(id)) => message.with_id(id).unwrap_or(message),
        _ => message,
    }
}

impl RuleChange {
    fn carry_out(&self, envelope: &mut Envelope, author: Author) -> RuleEffect {
        let changed = match self {
            Self::Jq(program) => program.run(&envelope.message),
            change => change.apply(&envelope.message).map_err(JqFault::Failed),
        };
        match changed {
            Ok(changed) if changed == envelope.message => {}
            Ok(changed) => envelope.edit(changed, author),
            Err(JqFault::Failed(why)) => return RuleEffect::Failed(why),
            Err(JqFault::Unbounded(why)) => return RuleEffect::Broken(why.to_owned()),
        }
        RuleEffect::Next
    }

    pub(super) fn apply(&self, message: &Message) -> Result<Message, String> {
        let text = || std::str::from_utf8(message.raw()).map_err(|_| "it is not UTF-8".to_owned());
        match self {
            Self::Merge(patch) => splice::merge(text()?, patch).map(Message::new).ok_or("it is not JSON".to_owned()),
            Self::Patch(steps) => splice::patch(text()?, steps).map(Message::new),
            Self::Text(text) => Ok(under_its_id(text, message)),
            Self::Jq(program) => program.run(message).map_err(|fault| format!("{fault:?}")),
            Self::Tool(name) => message
                .with_value(&["params", "name"], &Value::from(name.as_str()).to_string())
                .ok_or("it calls nothing".to_owned()),
        }
    }
}

impl Corruption {
    fn carry_out(self, envelope: &mut Envelope, author: Author) -> RuleEffect {
        let Some(broken) = self.apply(&envelope.message) else {
            return RuleEffect::Failed("there is nothing in it to break so".to_owned());
        };
        envelope.edit(broken, author);
        RuleEffect::Final(Verdict::Continue)
    }

    fn apply(self, message: &Message) -> Option<Message> {
        match self {
            Self::Cut => Some(Message::new(message.raw().slice(..message.raw().len() / 2))),
            Self::NotJson => Some(Message::new("<html><body>Bad Gateway</body></html>")),
            Self::WrongId => message.with_id(&Id::from_token("\"no-such-request\"")),
            Self::IdType => {
                let token = message.id()?.token();
                let other = match token.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
                    Some(text) if text.parse::<u64>().is_ok() => text.to_owned(),
                    Some(_) => "0".to_owned(),
                    None => format!("\"{token}\""),
                };
                message.with_id(&Id::from_token(&other))
            }
            Self::OtherRevision => as_of_another_revision(message),
        }
    }
}

/// A result of 2026-07-28 as an older server gives it; anything else in a batch, which 2025-03-26 alone has.
fn as_of_another_revision(message: &Message) -> Option<Message> {
    let text = std::str::from_utf8(message.raw()).ok()?;
    if message.at(&["result", "resultType"]).is_some() {
        let without = serde_json::json!({"result": {"resultType": null, "ttlMs": null, "cacheScope": null}});
        return splice::merge(text, &without).map(Message::new);
    }
    Some(Message::new(format!("[{text}]")))
}
