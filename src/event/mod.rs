//! The two closed enums between the core and its readers: [`Event`] out, [`Command`] in.
//!
//! The screen, the headless log, the tape recorder and the tests all read the one and write the other.

mod annotation;
mod block;
mod branch;
mod ending;
pub mod figures;
mod lint;
mod points;
mod replay;
mod rules;
mod serving;
mod shadow;
mod speed;
mod standing;
mod tape_diff;
mod tape_form;
mod tape_part;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use crate::envelope::{Envelope, Seq, SessionId, Via};
use crate::message::{Id, Message};
pub use annotation::{AnnotateRequest, Annotation, MessageMark};
pub use block::BlockError;
pub use branch::{BranchedSession, ForkRequest, RewindRequest, TapeParent, branch_order};
use figures::Figures;
pub use lint::{Finding, LintLevel};
pub use points::{Breakpoint, BreakpointCommand, BreakpointPolicy, BreakpointStatus, HoldDeadline};
pub use replay::{
    Difference, Excused, ReplayEvent, ReplayRequest, ReplaySummary, StepReport, StepVerdict, StepWait, Volatile,
};
pub use rules::{RuleCommand, RuleStatus};
pub use serving::{MockOrder, MockRepeats, ServeRequest, ServedTape};
pub use shadow::{Comparison, Divergence, ShadowCounts, ShadowEvent, ShadowVerdict};
pub use speed::Speed;
pub use standing::{CallStanding, ChildStanding, ExamineRequest, ProcessStanding, ProcessState, StreamStanding};
pub use tape_diff::{CallChange, ChangeKind, DefinitionChange, TapeComparison, TapeDiff, TimingChange};
pub use tape_form::TapeForm;
pub use tape_part::{ReadAhead, TapePart};

pub use ending::{EndStep, Progress};

/// Microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The present time of day, by the system's clock.
    pub fn now() -> Self {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
    }

    /// Returns the moment this many microseconds later.
    pub fn plus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

/// Everything the core tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The front door is open.
    Listening {
        url: String,
        upstream: String,
    },
    SessionOpened(Arc<Session>),
    /// The whole session again, after something became known of it.
    SessionChanged(Arc<Session>),
    SessionClosed {
        session: SessionId,
        reason: String,
    },
    /// A message waits for the operator.
    Held(Arc<Held>),
    /// A message waits no longer; what became of it follows as `Passed`.
    Settled {
        ticket: Ticket,
    },
    /// A message passed (or was stopped); after this it never changes.
    Passed(Arc<Envelope>),
    /// The hold settings, after each change.
    Holding(Holding),
    /// Answer to [`Command::ListTapes`], newest first.
    Tapes(Vec<TapeInfo>),
    /// The beginning of a tape: the answer to [`Command::OpenTape`]. [`Event::TapeRead`] follows.
    TapeOpened {
        path: PathBuf,
        /// The session that was recorded, as far as it is known by then.
        session: Arc<Session>,
        part: TapePart,
    },
    /// More of a tape that was opened.
    TapeRead {
        path: PathBuf,
        part: TapePart,
        /// That this was all.
        end: Option<Box<TapeEnd>>,
    },
    /// Answer to [`Command::CompareTapes`], unless that was stopped.
    Compared(Arc<TapeComparison>),
    Replay(ReplayEvent),
    /// Answer to [`Command::Examine`], while the session is there.
    Examined(Arc<CallStanding>),
    /// Answer to [`Command::Fork`], unless it failed: that a replay says.
    Branched(BranchedSession),
    Log(LogLine),
    /// This many messages of a session were neither recorded nor shown, because the journal could not keep up.
    Gap {
        session: SessionId,
        messages: u64,
    },
    /// Beginning and end of the answer to [`Command::Resync`]: forget what you have, what follows is all there is.
    ResyncStarted,
    ResyncDone,
    /// The core stops; no further event follows.
    Stopping,
    /// The core is about to stop, and waits.
    Ending(Progress),
    /// A shadow server answered as the server did, or did not.
    Shadow(ShadowEvent),
    /// Something is wrong with a message that passed.
    Found(Arc<Finding>),
    /// Something was noted of a message, or is no more.
    Annotated(Arc<Annotation>),
    /// Everything that is counted, at most once a second, and only after a change.
    Figures(Arc<Figures>),
}

impl Event {
    /// How many bytes of messages are in it.
    fn bytes(&self) -> usize {
        match self {
            Self::Passed(envelope) => envelope.message.raw().len(),
            _ => 0,
        }
    }

    /// Whether it only updates figures: the next one replaces it.
    pub fn is_figures(&self) -> bool {
        matches!(self, Self::Figures(_))
    }
}

/// Everything the core can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Ends the hold of a message with a decision.
    Settle {
        ticket: Ticket,
        decision: Decision,
        then: Then,
    },
    /// Forwards everything that is held.
    ForwardAll,
    SetHolding(Holding),
    /// Sends a request of the operator's in a session, under a random id; its reply is shown, not delivered.
    Send {
        session: SessionId,
        message: Message,
    },
    /// Tells the client of a session something in the name of its server.
    Speak {
        session: SessionId,
        message: Message,
    },
    /// Gives up a request of the operator's own, by the id that it went out with: its server is told as its revision has it.
    Cancel {
        session: SessionId,
        id: Id,
    },
    /// Tells the client of a held request, every few seconds for as long as it is held, that it goes on: progress in its server's name.
    KeepPatient(Ticket),
    /// Looks into a call that has no reply yet.
    Examine(ExamineRequest),
    CloseSession(SessionId),
    ListTapes,
    OpenTape(PathBuf),
    /// Says how the second tape differs from the first. Ends a comparison before, which is all that `None` does.
    CompareTapes(Option<[PathBuf; 2]>),
    /// Does something to the file of a tape; [`Event::Tapes`] follows.
    TendTape {
        tape: PathBuf,
        edit: TapeEdit,
    },
    /// Notes something of messages, on their tapes as well; [`Event::Annotated`] tells of those that are shown live.
    Annotate(AnnotateRequest),
    /// Plays a tape as the client against the running upstream.
    Replay(ReplayRequest),
    /// Has the replay of a tape ignore these paths from the next reply on, and no others.
    IgnoreInReplay {
        tape: PathBuf,
        paths: Vec<String>,
    },
    /// Has a tape take over what its server answered to this request when it was last played.
    AcceptReply {
        tape: PathBuf,
        request: Seq,
    },
    /// Sends the message now that a replay waits to send.
    StepReplay,
    StopReplay,
    /// Has a tape answer clients, at an address that [`Figures::served`] tells.
    Serve(ServeRequest),
    StopServing(PathBuf),
    /// Plays a tape to a message against the running upstream, and leaves the session open.
    Fork(ForkRequest),
    /// Tells everything again, for a screen that lost events or came late.
    Resync,
    Quit {
        held: OnQuit,
    },
    /// Has all messages of a session wait.
    Pause(SessionId),
    /// Lets a paused session go on.
    Resume(SessionId),
    /// Restarts the server of a session, while its client stays.
    Restart(SessionId),
    /// Takes a session back to a message behind its client: a fresh process of its server is told what was said until then.
    Rewind(RewindRequest),
    /// Makes, changes and saves rules; [`Figures::rules`] has them as they are.
    Rules(RuleCommand),
    /// The same with a rule of one of several taplines: that which [`RuleStatus::tapline`] names.
    RulesOf {
        tapline: String,
        command: RuleCommand,
    },
    /// Makes and changes breakpoints; [`Figures::breakpoints`] has them as they are.
    Breakpoints(BreakpointCommand),
}

impl Command {
    /// As one tapline understands it: whose rules are meant is known only where several are watched.
    #[must_use]
    pub fn for_one(self) -> Self {
        match self {
            Self::RulesOf { command, .. } => Self::Rules(command),
            command => command,
        }
    }
}

/// Our notion of a session: one client talking to one upstream for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    /// What the upstream is called, where there may be others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_name: Option<String>,
    /// Where it goes: the URL or the command line.
    pub upstream: Arc<str>,
    /// How the client came in.
    pub via: Via,
    pub started: Timestamp,
    pub state: SessionState,
    pub origin: Origin,
    /// The client, as `clientInfo` of `initialize` or of a modern request's `_meta` says.
    pub client: Option<Arc<Peer>>,
    /// The server, as its `serverInfo` says.
    pub server: Option<Arc<Peer>>,
    /// Protocol revision as observed.
    pub protocol: Option<String>,
    /// The file it is recorded to.
    pub tape: Option<Arc<Path>>,
}

impl Session {
    /// The client's name and version, as far as it has said.
    pub fn client_text(&self) -> Option<String> {
        self.client.as_deref().map(Peer::text)
    }

    /// What the server is called: by itself, with its version, and where it is configured.
    pub fn server_names(&self) -> Vec<String> {
        self.server.as_deref().map(Peer::text).into_iter().chain(self.upstream_name.clone()).collect()
    }
}

/// Where a session is between its first message and its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    New,
    Initializing,
    Active,
    /// All messages of the session are held until the operator resumes it.
    Paused,
    /// The server of the session is gone, and is being restarted.
    Failed {
        why: String,
    },
    /// No new message is taken; what is on its way ends.
    Closing {
        reason: String,
    },
    Closed {
        reason: String,
    },
}

impl SessionState {
    /// The lower-case word of a state, whatever its reason.
    pub fn word(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Initializing => "initializing",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Failed { .. } => "failed",
            Self::Closing { .. } => "closing",
            Self::Closed { .. } => "closed",
        }
    }
}

/// Who drives a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Client,
    Replay,
    /// tapline itself, which asks a second server what a client asks the first.
    Shadow,
    /// tapline itself, which asks another upstream what a rule sends there.
    Rule,
}

/// Name and version that a client or server gives of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub name: String,
    #[serde(default)]
    pub version: String,
}

impl Peer {
    /// Returns name and version in one text.
    pub fn text(&self) -> String {
        format!("{} {}", self.name, self.version).trim_end().to_owned()
    }
}

/// Names one held message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub u64);

/// A message that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Held {
    pub ticket: Ticket,
    /// The message as it came, under the number it will pass with.
    pub envelope: Envelope,
    /// Why: the filter or rule that held it.
    pub reason: String,
    pub since: Timestamp,
    #[serde(default)]
    pub deadline: Option<HoldDeadline>,
    /// A program decides on it, nobody knows when.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_asked: bool,
}

impl Held {
    /// In so many microseconds nobody has read that something is held.
    pub const MOMENT: u64 = 1_000_000;

    /// Whether a person can do something about it by now. What goes on by itself in a moment, as a rule that plays a slow network or a
    /// program has it, is gone before anybody has read that it is held.
    pub fn awaits_person(&self, now: Timestamp) -> bool {
        match self.deadline {
            Some(deadline) => deadline.after > Self::MOMENT,
            None => !self.is_asked || now.0.saturating_sub(self.since.0) >= Self::MOMENT,
        }
    }
}

/// What ends a hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Decision {
    Forward,
    Edit(Message),
    /// A request is answered with the error, a reply is replaced by it, a notification goes nowhere.
    Block(BlockError),
    /// Nothing is sent on and nothing answered.
    Drop,
}

/// What else a decision asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    #[default]
    Nothing,
    /// Hold the very next message of this session, whatever the filter.
    HoldNext,
    /// Hold the reply to this request.
    HoldReply,
}

/// Which messages are held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    pub on: bool,
    /// A filter expression ([`crate::filter`]).
    pub filter: String,
}

/// What happens to held messages on quit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnQuit {
    #[default]
    Forward,
    /// Requests are answered with an error that says tapline ended.
    Fail,
}

/// A tape in the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TapeInfo {
    pub path: PathBuf,
    /// The session that was recorded; `None` where the tape cannot be read.
    #[serde(default)]
    pub session: Option<SessionId>,
    /// The session that this one branched off, and where.
    #[serde(default)]
    pub parent: Option<TapeParent>,
    pub upstream: String,
    pub client: Option<Arc<Peer>>,
    /// The server by its own name.
    #[serde(default)]
    pub server: Option<Arc<Peer>>,
    pub protocol: Option<String>,
    pub started: Timestamp,
    pub messages: u64,
    pub bytes: u64,
    /// The tools that were called, those called most first, each with how often; `None` until the tape was read.
    #[serde(default)]
    pub tools: Option<Vec<(String, u64)>>,
    /// What people wrote to it, the latest first.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Torn last line, gaps, lines that could not be read.
    pub problems: Vec<String>,
}

/// What is known of a tape that was read to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TapeEnd {
    /// The session that was recorded.
    pub session: Arc<Session>,
    /// How many messages were read.
    pub messages: u64,
    pub problems: Vec<String>,
    /// What is wrong with its messages; nothing of a tape with very many.
    #[serde(default)]
    pub found: Vec<Finding>,
    #[serde(default)]
    pub seams: Vec<TapeSeam>,
    /// What people noted of its messages.
    #[serde(default)]
    pub annotations: Vec<Annotation>,
}

/// How the reason begins why a session ended whose server had ended, or was lost.
pub const SERVER_GONE: &str = "its server is gone";
/// The same where the server had to leave, as nobody is there any more.
pub const CLIENT_LEFT: &str = "its client has left";

/// A place on a tape from which on the session went on otherwise: with another server process, or under another tapline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapeSeam {
    /// The last message before it.
    pub after: Seq,
    pub text: String,
}

/// What is done to the file of a tape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TapeEdit {
    /// Gives it this name, a word without directory and ending.
    Rename(String),
    /// Writes this onto it.
    Note(String),
    Delete,
}

/// Something that tapline has to say to its operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub at: Timestamp,
    pub level: Level,
    /// Which part speaks: `proxy`, `server` (its stderr), `tape`, `hold`, `replay`, `screen`, `shadow`.
    pub source: String,
    pub session: Option<SessionId>,
    /// The message it is about; of a seam the last one that passed before.
    pub seq: Option<Seq>,
    pub text: String,
    /// Set where the tape of the session is to say it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landmark: Option<Landmark>,
}

/// What happened beside the messages of a session, and belongs on its tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Landmark {
    /// The session goes on with another server process, or under another tapline.
    Seam,
    /// A fresh process is about to be told again what an earlier one was told.
    Rewind,
    /// A message was sent again, because it had not arrived.
    Attempt,
    /// A client hung up before the reply: in revision 2026-07-28 that is how a request is cancelled.
    HangUp,
    /// What a mock did otherwise than its tape has it, as it says itself.
    Mock,
}

impl LogLine {
    /// A line about no session in particular; `source` is the part of tapline that says it.
    pub fn new(level: Level, source: &str, text: impl Into<String>) -> Self {
        let (at, source) = (Timestamp::now(), source.to_owned());
        Self { at, level, source, session: None, seq: None, text: text.into(), landmark: None }
    }

    /// Marks the line as one that belongs on the tape of the session as well.
    pub fn as_landmark(mut self, landmark: Landmark) -> Self {
        self.landmark = Some(landmark);
        self
    }

    /// Returns this line as one about a session.
    pub fn of(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// Returns this line as one about a message.
    pub fn about(mut self, seq: Seq) -> Self {
        self.seq = Some(seq);
        self
    }
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// Returns the word for the level in lower case, as it is printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// The way of events to one reader. Bounded: a reader that cannot keep up loses events, is told how many, and asks
/// for [`Command::Resync`]; the writer never waits.
///
/// The room is counted, not reserved: most readers keep up, and a channel that is bounded by itself would take all of it at once
/// (megabytes for a screen).
#[derive(Clone)]
pub struct Feed {
    sender: crossbeam_channel::Sender<Event>,
    capacity: usize,
    dropped: Arc<AtomicU64>,
    weight: Option<Arc<FeedWeight>>,
}

/// How many bytes of messages wait for a reader, where that is bounded, too.
struct FeedWeight {
    waiting: AtomicUsize,
    most: usize,
}

/// The reader's end of a [`Feed`].
pub struct FeedReader {
    pub events: crossbeam_channel::Receiver<Event>,
    dropped: Arc<AtomicU64>,
    weight: Option<Arc<FeedWeight>>,
}

impl Feed {
    /// A feed that holds up to `capacity` unread events.
    pub fn bounded(capacity: usize) -> (Self, FeedReader) {
        let (sender, events) = crossbeam_channel::unbounded();
        let dropped = Arc::new(AtomicU64::new(0));
        let feed = Self { sender, capacity, dropped: dropped.clone(), weight: None };
        (feed, FeedReader { events, dropped, weight: None })
    }

    /// A feed that holds up to `capacity` unread events, with messages of up to `most` bytes in them; the reader says which it is
    /// done with, by [`FeedReader::settle`]. One larger message has room where nothing waits.
    pub fn bounded_in_bytes(capacity: usize, most: usize) -> (Self, FeedReader) {
        let (feed, reader) = Self::bounded(capacity);
        let weight = Some(Arc::new(FeedWeight { waiting: AtomicUsize::new(0), most }));
        (Self { weight: weight.clone(), ..feed }, FeedReader { weight, ..reader })
    }

    /// `false` when the reader is gone: noticed where there is room.
    pub fn publish(&self, event: Event) -> bool {
        let weight = self.weight.as_deref().map(|weight| (weight, event.bytes()));
        if self.sender.len() < self.capacity && weight.is_none_or(|(weight, bytes)| weight.has_room(bytes)) {
            if let Some((weight, bytes)) = weight {
                weight.waiting.fetch_add(bytes, Ordering::Relaxed);
            }
            return self.sender.send(event).is_ok();
        }
        self.dropped.fetch_add(1, Ordering::Relaxed);
        true
    }
}

impl FeedWeight {
    fn has_room(&self, bytes: usize) -> bool {
        let waiting = self.waiting.load(Ordering::Relaxed);
        waiting == 0 || waiting + bytes <= self.most
    }
}

impl FeedReader {
    /// An event that was taken is done with: there is room for others.
    pub fn settle(&self, event: &Event) {
        if let Some(weight) = &self.weight {
            weight.waiting.fetch_sub(event.bytes(), Ordering::Relaxed);
        }
    }

    /// How many events were lost since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}
