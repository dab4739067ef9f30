//! The composition root: builds the core, carries out commands, and takes everything down in order. Knows all modules.

mod annotations;
mod aside;
mod figures;
pub(crate) mod fork;
mod front;
mod linting;
mod other_upstreams;
mod own_calls;
mod points;
pub(crate) mod replays;
mod rewind;
mod rules;
mod serving;
mod shutdown;
mod tapes;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::annotations::ClosedTapes;
use self::aside::KeptPatient;
use self::front::{FrontError, FrontRules};
use self::other_upstreams::OtherUpstreams;
use self::own_calls::OwnCalls;
use self::points::PointKeeper;
use self::replays::LatestReplay;
use self::rules::RuleFollower;
use self::serving::ServedTapes;
use crate::auth::{self, Auth, AuthError};
use crate::clock::Clock;
use crate::control::registry::{Registry, RegistryEntry};
use crate::control::server::{self as control, ControlError};
use crate::envelope::SessionId;
use crate::event::{Command, Decision, Event, Holding, Level, LogLine, OnQuit, RuleCommand, Then, Ticket, Timestamp};
use crate::filter::{FilterError, SavedFilters};
use crate::intercept::breakpoints::Breakpoints;
use crate::intercept::gate::Gate;
use crate::intercept::{Chain, Interceptor};
use crate::journal::{Journal, JournalThread};
use crate::limits::{self, LimitError, Limits};
use crate::lint;
use crate::message::Message;
use crate::metrics::Meter;
use crate::otlp;
use crate::proxy::front::access::Admission;
use crate::proxy::front::routes::{MountError, MountSpec, Mounts};
use crate::proxy::session::policy::SessionPolicy;
use crate::proxy::{Proxy, Stop, error};
use crate::rules::{RuleBook, RuleFiles};
use crate::shadow::{self, Shadow};
use crate::store::{self, Owner, Store, StoreThread};
use crate::tape::diff::TapeComparer;
use crate::tape::record::Recorder;
use crate::tape::redact::RedactRules;
use crate::upstream::retry::Retry;
use crate::upstream::target::Target;
use crate::upstream::watch::WatchError;

use self::linting::LiveLint;
pub use points::BreakpointSettings;
pub use shutdown::GRACE;

/// Stands for the URL of a core that is launched by its client.
pub const STDIO: &str = "stdio";

/// Everything a core is built from.
pub struct Settings {
    /// Where HTTP clients connect; nowhere if `None`.
    pub listen: Option<SocketAddr>,
    /// What it stands in front of.
    pub upstreams: Vec<MountSpec>,
    /// Where sessions are recorded; nowhere if `None`.
    pub tapes: Option<PathBuf>,
    /// What is taken out of messages before they are recorded; nothing if `None`.
    pub redact: Option<RedactRules>,
    /// Where tapes are looked for.
    pub tape_library: Option<PathBuf>,
    pub hold: Option<String>,
    /// Where messages stop, and how.
    pub breakpoints: BreakpointSettings,
    /// What `@NAME` means in a filter.
    pub filters: SavedFilters,
    /// What decides without a person; nothing where there are no files.
    pub rules: RuleFiles,
    pub allow_hosts: Vec<String>,
    pub allow_origins: Vec<String>,
    /// The largest body of a request, in bytes.
    pub max_body: usize,
    /// Time between two comments on an open stream of which something is held; none if `None`.
    pub keep_alive: Option<Duration>,
    /// Whether a command gets also what breaks the rules of the HTTP transport.
    pub lenient: bool,
    /// When a message that got no answer is sent again.
    pub retry: Retry,
    /// How long calls may take to end when tapline does.
    pub grace: Duration,
    /// How it can be watched and commanded from elsewhere; not at all if `None`.
    pub control: Option<control::Settings>,
    /// Where spans go; nowhere if `None`.
    pub otlp: Option<otlp::Settings>,
    /// A second server that is asked the same and compared; none if `None`.
    pub shadow: Option<shadow::Settings>,
    /// What is judged of what passes, and how; nothing if `None`.
    pub lint: Option<lint::Section>,
    /// Whom the HTTP front door lets in.
    pub auth: auth::Section,
    /// How often they may ask.
    pub limits: Vec<limits::Section>,
    /// What time it is for limits and for keys that grow old.
    pub clock: Clock,
    /// How sessions are kept.
    pub sessions: store::Settings,
}

impl Settings {
    /// A proxy in front of one upstream, on a free loopback port, that records nothing.
    pub fn new(target: Target) -> Self {
        Self::serving(vec![MountSpec::sole(target)])
    }

    /// A proxy in front of these upstreams, on a free loopback port, that records nothing.
    pub fn serving(upstreams: Vec<MountSpec>) -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            upstreams,
            tapes: None,
            redact: Some(RedactRules::default()),
            tape_library: None,
            hold: None,
            breakpoints: BreakpointSettings::default(),
            filters: SavedFilters::default(),
            rules: RuleFiles::default(),
            allow_hosts: Vec::new(),
            allow_origins: Vec::new(),
            max_body: 64 << 20,
            keep_alive: None,
            lenient: false,
            retry: Retry::none(),
            grace: GRACE,
            control: None,
            otlp: None,
            shadow: None,
            lint: None,
            auth: auth::Section::default(),
            limits: Vec::new(),
            clock: Clock::default(),
            sessions: store::Settings::default(),
        }
    }
}

/// Why a core did not start.
#[derive(Debug, thiserror::Error)]
pub enum CoreStartError {
    #[error(transparent)]
    Front(#[from] FrontError),
    #[error("{0}")]
    Rules(String),
    #[error("breakpoint {0}")]
    Breakpoints(String),
    #[error("`--hold`")]
    Hold(#[from] FilterError),
    #[error(transparent)]
    Mounts(#[from] MountError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("`--otlp`: {0}")]
    Otlp(String),
    #[error(transparent)]
    Shadow(#[from] shadow::ShadowStartError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Limits(#[from] LimitError),
    #[error(transparent)]
    Watch(#[from] WatchError),
}

/// A running core: the proxy, its journal, its control address and its front doors, until it is shut down.
pub struct Core {
    url: String,
    mounts: Arc<Mounts>,
    journal: Journal,
    journal_thread: JournalThread,
    store_thread: Option<StoreThread>,
    operator: Operator,
    grace: Duration,
    figures: FigureTask,
    control: Option<control::ControlAddress>,
    export: Option<otlp::Export>,
    shadow: Option<Shadow>,
    limits: Option<Arc<Limits>>,
    server: Option<JoinHandle<()>>,
    /// With what runs on connections of clients, for as long as the core is there.
    _front: Arc<FrontRules>,
    stop_accepting: CancellationToken,
    stop: Stop,
}

/// The task that publishes the figures.
struct FigureTask {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl FigureTask {
    fn start(meter: Arc<Meter>, journal: Journal) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(figures::publish(meter, journal, stop.clone())), stop }
    }
}

/// The task that carries out commands, and what it says of the end.
struct Operator {
    commands: mpsc::UnboundedSender<Command>,
    /// Cancelled by [`Command::Quit`].
    quit: CancellationToken,
    /// Set by the next one.
    hurry: CancellationToken,
    /// What rules ask in the place of clients' servers.
    others: Arc<OtherUpstreams>,
    /// How it was asked to end, once it is to.
    asked: oneshot::Receiver<OnQuit>,
    task: JoinHandle<()>,
}

/// What the operator decides with, beside the gate.
struct Hands {
    breakpoints: Breakpoints,
    rules: mpsc::UnboundedSender<RuleCommand>,
    others: Arc<OtherUpstreams>,
    points: PointKeeper,
    served: ServedTapes,
    front: Arc<FrontRules>,
    address: Option<SocketAddr>,
}

impl Hands {
    fn new(
        rules: RuleFollower,
        (breakpoints, kept_in): (Breakpoints, Option<PathBuf>),
        meter: &Arc<Meter>,
        mounts: &Arc<Mounts>,
        (served, front, address): (ServedTapes, Arc<FrontRules>, Option<SocketAddr>),
    ) -> Result<Self, CoreStartError> {
        let journal = mounts.proxy().journal();
        rules.book().act_with(aside::actor(mounts));
        let others = OtherUpstreams::asked_by(rules.book(), mounts);
        let rules = rules.follow(meter.clone(), journal.clone())?;
        let points = PointKeeper::new(breakpoints.clone(), kept_in, meter.clone(), journal.clone());
        Ok(Self { breakpoints, rules, others, points, served, front, address })
    }
}

impl Operator {
    /// Carries out commands from now on; `library`: where tapes are looked for.
    fn start(mounts: Arc<Mounts>, hands: Hands, library: Option<PathBuf>) -> Self {
        let (commands, received) = mpsc::unbounded_channel();
        let (quit, hurry) = <(CancellationToken, CancellationToken)>::default();
        let (answer, asked) = oneshot::channel();
        let (listing, replay, comparer) = <(CancellationToken, CancellationToken, TapeComparer)>::default();
        let Hands { breakpoints, rules, others, points, served, front, address } = hands;
        let (quitting, hurrying) = (quit.clone(), hurry.clone());
        let executor = Executor {
            mounts,
            breakpoints,
            rules,
            points,
            library,
            listing,
            replay,
            latest: LatestReplay::default(),
            playing: None,
            comparer,
            served,
            front,
            address,
            closed_tapes: ClosedTapes::default(),
            annotating: Vec::new(),
            own_calls: OwnCalls::default(),
            kept_patient: KeptPatient::default(),
            rewinding: Arc::default(),
            quit: quitting,
            hurry: hurrying,
        };
        Self { commands, quit, hurry, others, asked, task: tokio::spawn(executor.run(received, answer)) }
    }
}

impl Core {
    /// Opens the front door. When this returns, requests are answered.
    ///
    /// # Errors
    /// Where the address cannot be listened on, the hold filter cannot be parsed, or no token could be valid.
    pub async fn start(settings: Settings) -> Result<Self, CoreStartError> {
        let (breakpoints, notes) = holding(settings.hold, settings.filters)?;
        let auth = Auth::new(settings.auth, settings.clock.clone())?;
        let limits = Limits::new(settings.limits, auth.is_some(), settings.clock)?.map(Arc::new);
        let admission = Admission { auth, limits: limits.clone(), lenient: settings.lenient };
        let names = (settings.allow_hosts, settings.allow_origins);
        let front = FrontRules::new(admission, names, settings.max_body, settings.keep_alive);
        let door = front.listen_where(settings.listen).await?;
        let recorder = settings.tapes.clone().map(|dir| Recorder::new(dir).redacting(settings.redact));
        let (journal, journal_thread) = Journal::start(recorder);
        let export = open_export(settings.otlp, &journal)?;
        let judging = settings.lint.and_then(|section| start_lint(section, &journal));
        let started = Timestamp::now();
        let (store, store_thread) = settings.sessions.database.map(|path| open_store(path, started, &journal)).unzip();
        let store::Settings { max, idle, .. } = settings.sessions;
        let policy = SessionPolicy { store, tapes: settings.tapes, max, idle };
        let (stop, stop_accepting) = <(Stop, CancellationToken)>::default();
        let rules = RuleFollower::open(settings.rules, &journal)?;
        let (gate, chain) = decisions(&breakpoints, &settings.breakpoints, rules.book(), &journal)?;
        let proxy = Proxy::with_policy(chain, gate, journal.clone(), stop.clone(), settings.retry, policy);
        let mounts = Mounts::new(proxy, settings.upstreams)?;
        let url = door.as_ref().map_or_else(|| STDIO.to_owned(), |door| mounts.url(door.address));
        announce(&mounts, &breakpoints, notes, &url)?;
        let shadow = settings.shadow.map(|settings| Shadow::start(settings, &mounts)).transpose()?;
        let served = ServedTapes::default();
        let meter = figures::meter(&mounts, rules.book(), &breakpoints, judging, &served);
        let (points, address) = ((breakpoints.clone(), settings.breakpoints.file), door.as_ref().map(|it| it.address));
        let hands = Hands::new(rules, points, &meter, &mounts, (served, front.clone(), address))?;
        let operator = Operator::start(mounts.clone(), hands, settings.tape_library);
        let stage = control::ControlledTapline {
            meter: meter.clone(),
            journal: journal.clone(),
            commands: operator.commands.clone(),
            breakpoints,
            front: url.clone(),
            upstream: mounts.label(),
            started,
        };
        let control = open_control(settings.control, stage).await?;
        let server = door.map(|door| front.open(mounts.clone(), door, stop_accepting.clone()));
        maintain_sessions(&mounts);
        Ok(Self {
            figures: FigureTask::start(meter, journal.clone()),
            url,
            mounts,
            journal,
            journal_thread,
            store_thread,
            operator,
            grace: settings.grace,
            control,
            export,
            shadow,
            limits,
            server,
            _front: front,
            stop_accepting,
            stop,
        })
    }

    /// Where clients connect, with `<name>` in it where there is no default; [`STDIO`] where one has launched us.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its events can be read.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The servers it stands in front of, by name.
    pub fn mounts(&self) -> &Arc<Mounts> {
        &self.mounts
    }

    /// The way in for commands; unbounded, as a person types into it.
    pub fn commands(&self) -> mpsc::UnboundedSender<Command> {
        self.operator.commands.clone()
    }

    /// Where it can be watched and commanded from elsewhere.
    pub fn control(&self) -> Option<&RegistryEntry> {
        self.control.as_ref().map(control::ControlAddress::entry)
    }

    /// The second server that is compared with the first.
    pub fn shadow(&self) -> Option<&Shadow> {
        self.shadow.as_ref()
    }

    /// What counts requests, where it is configured.
    pub fn limits(&self) -> Option<&Arc<Limits>> {
        self.limits.as_ref()
    }

    /// Returns once a screen or the control address has sent [`Command::Quit`].
    pub async fn quit(&self) {
        self.operator.quit.cancelled().await;
    }

    /// Cuts short whatever [`Core::shut_down`] waits for.
    pub fn hurry(&self) -> CancellationToken {
        self.operator.hurry.clone()
    }
}

/// Begins to tell spans, where they are wanted.
fn open_export(settings: Option<otlp::Settings>, journal: &Journal) -> Result<Option<otlp::Export>, CoreStartError> {
    settings.map(|otlp| otlp::Export::start(otlp, journal)).transpose().map_err(CoreStartError::Otlp)
}

/// Judges what passes. Without it everything else goes on.
fn start_lint(section: lint::Section, journal: &Journal) -> Option<LiveLint> {
    let started = LiveLint::start(section, journal);
    started.inspect_err(|why| journal.log(LogLine::new(Level::Warn, "lint", format!("no thread for it: {why}")))).ok()
}

/// Opens the database of sessions; what goes wrong with it is told by the journal.
fn open_store(path: PathBuf, started: Timestamp, journal: &Journal) -> (Store, StoreThread) {
    let journal = journal.clone();
    let log = move |level, text| journal.publish(Event::Log(LogLine::new(level, "store", text)));
    let living = || {
        let taplines = Registry::of_user().list().into_iter();
        taplines.map(|it| Owner { process: it.pid, started: it.started }).collect()
    };
    let owner = Owner { process: std::process::id(), started };
    Store::start(path, owner, Box::new(living), Box::new(log))
}

/// The breakpoints, set where messages are held from the start, and what of that cannot be known.
fn holding(filter: Option<String>, saved: SavedFilters) -> Result<(Breakpoints, Vec<String>), FilterError> {
    let breakpoints = Breakpoints::with(saved);
    let notes = filter.map(|filter| breakpoints.set(Holding { on: true, filter })).transpose()?;
    Ok((breakpoints, notes.unwrap_or_default()))
}

/// What decides on each message, in order: pauses first, then the operator, then rules.
///
/// # Errors
/// Where one of the breakpoints cannot be set.
fn decisions(
    breakpoints: &Breakpoints,
    set: &BreakpointSettings,
    rules: &RuleBook,
    journal: &Journal,
) -> Result<(Gate, Chain), CoreStartError> {
    points::set_all(breakpoints, set, journal)?;
    let gate = Gate::default();
    let interceptors: Vec<Box<dyn Interceptor>> =
        vec![Box::new(gate.clone()), Box::new(breakpoints.clone()), Box::new(rules.clone())];
    Ok((gate, Chain::new(interceptors)))
}

/// Says where clients come in and what is held; then children may start.
fn announce(mounts: &Mounts, breakpoints: &Breakpoints, notes: Vec<String>, url: &str) -> Result<(), CoreStartError> {
    let journal = mounts.proxy().journal();
    journal.publish(Event::Listening { url: url.to_owned(), upstream: mounts.label() });
    journal.publish(Event::Holding(breakpoints.holding()));
    notes.into_iter().for_each(|note| journal.log(LogLine::new(Level::Warn, "hold", note)));
    Ok(prepare_children(mounts)?)
}

/// Has upstreams that are commands start spares and watch files, as their settings say.
fn prepare_children(mounts: &Mounts) -> Result<(), WatchError> {
    for mount in mounts.iter() {
        mount.table().log_transport();
        mount.table().supervise_children()?;
    }
    Ok(())
}

/// Has idle sessions closed and the others saved, for as long as the core runs.
fn maintain_sessions(mounts: &Mounts) {
    for mount in mounts.iter() {
        tokio::spawn(mount.table().clone().maintain());
    }
}

async fn open_control(
    settings: Option<control::Settings>,
    tapline: control::ControlledTapline,
) -> Result<Option<control::ControlAddress>, ControlError> {
    match settings {
        Some(settings) => control::open(settings, tapline).await,
        None => Ok(None),
    }
}

fn release(on_quit: OnQuit) -> Decision {
    match on_quit {
        OnQuit::Forward => Decision::Forward,
        OnQuit::Fail => Decision::Block(error::ended_while_held()),
    }
}

/// Carries out commands, one after the other; what takes time gets a task of its own.
struct Executor {
    mounts: Arc<Mounts>,
    breakpoints: Breakpoints,
    rules: mpsc::UnboundedSender<RuleCommand>,
    points: PointKeeper,
    library: Option<PathBuf>,
    listing: CancellationToken,
    replay: CancellationToken,
    latest: LatestReplay,
    /// What is played of a tape, until it has told its end.
    playing: Option<JoinHandle<()>>,
    comparer: TapeComparer,
    served: ServedTapes,
    front: Arc<FrontRules>,
    /// Where clients connect; `None` where one has launched us.
    address: Option<SocketAddr>,
    closed_tapes: ClosedTapes,
    /// What is being written to them.
    annotating: Vec<JoinHandle<()>>,
    own_calls: OwnCalls,
    kept_patient: KeptPatient,
    rewinding: Arc<AtomicBool>,
    quit: CancellationToken,
    hurry: CancellationToken,
}

impl Executor {
    /// Carries out commands until it is to end, and says how. After that it knows one word only: again.
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>, asked: oneshot::Sender<OnQuit>) {
        let held = self.until_quit(&mut commands).await;
        self.listing.cancel();
        self.replay.cancel();
        self.comparer.stop();
        self.served.stop_accepting();
        for written in std::mem::take(&mut self.annotating) {
            // However it ended.
            let _ = written.await;
        }
        self.quit.cancel();
        // A signal has ended it, and the first word is still to come.
        let mut first = held.is_none();
        // The receiver may be gone already.
        let _ = asked.send(held.unwrap_or_default());
        while let Some(command) = commands.recv().await {
            if matches!(command, Command::Quit { .. }) && !std::mem::take(&mut first) {
                self.hurry.cancel();
            }
        }
    }

    async fn until_quit(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> Option<OnQuit> {
        loop {
            let command = tokio::select! {
                // What was asked before the end was, also how it is to end, comes first.
                biased;
                command = commands.recv() => command?,
                () = self.quit.cancelled() => return None,
            };
            match command {
                Command::Quit { held } => return Some(held),
                command => self.carry_out(command),
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        let proxy = self.mounts.proxy();
        match command {
            Command::Settle { ticket, decision, then } => self.settle(ticket, decision, then),
            Command::ForwardAll => {
                proxy.gate().forward_all();
            }
            Command::SetHolding(holding) => match self.breakpoints.set(holding) {
                Ok(notes) => {
                    proxy.journal().publish(Event::Holding(self.breakpoints.holding()));
                    notes.into_iter().for_each(|note| self.warn("hold", note));
                }
                Err(error) => self.warn("hold", format!("the hold filter stays as it was: {error}")),
            },
            Command::KeepPatient(ticket) => self.kept_patient.keep(&self.mounts, ticket),
            Command::Send { .. } | Command::Speak { .. } | Command::Cancel { .. } | Command::Examine(_) => {
                self.carry_out_with_calls(command);
            }
            Command::CloseSession(session) => self.close(session),
            Command::Restart(session) => self.mounts.restart(session, "a restart by the operator"),
            Command::ListTapes
            | Command::OpenTape(_)
            | Command::CompareTapes(_)
            | Command::TendTape { .. }
            | Command::Annotate(_)
            | Command::Replay(_)
            | Command::StepReplay
            | Command::IgnoreInReplay { .. }
            | Command::AcceptReply { .. }
            | Command::Serve(_)
            | Command::StopServing(_)
            | Command::Fork(_)
            | Command::Rewind(_) => self.carry_out_with_tapes(command),
            Command::StopReplay => self.replay.cancel(),
            Command::Resync => proxy.journal().resync(),
            Command::Pause(session) => self.pause(session),
            Command::Resume(session) => self.resume(session),
            // The follower of rules ends with the runtime only.
            Command::Rules(command) | Command::RulesOf { command, .. } => drop(self.rules.send(command)),
            Command::Breakpoints(command) => self.points.carry_out(command),
            Command::Quit { .. } => {}
        }
    }

    fn close(&self, session: SessionId) {
        let mounts = self.mounts.clone();
        tokio::spawn(async move { mounts.close(session, "closed by the operator").await });
    }

    fn pause(&self, session: SessionId) {
        let paused = self.mounts.find(session).is_some_and(|connection| connection.pause());
        if !paused {
            self.warn("hold", "that session cannot be paused now".to_owned());
        }
    }

    fn resume(&self, session: SessionId) {
        if let Some(connection) = self.mounts.find(session) {
            connection.resume();
        }
    }

    fn settle(&self, ticket: Ticket, decision: Decision, then: Then) {
        let gate = self.mounts.proxy().gate();
        // Armed before the message is let go: what answers it may be there in no time.
        if let Some(held) = gate.held().into_iter().find(|held| held.ticket == ticket) {
            match then {
                Then::Nothing => {}
                Then::HoldNext => self.breakpoints.hold_next(held.envelope.session),
                Then::HoldReply => self.breakpoints.hold_reply(held.envelope.seq),
            }
        }
        if gate.settle(ticket, decision).is_none() {
            self.warn("hold", "too late: the message is not held any more".to_owned());
        }
    }

    fn speak(&self, session: SessionId, message: Message) {
        if let Err(why) = self.mounts.speak(session, message) {
            self.warn("proxy", format!("the client was told nothing: {why}"));
        }
    }

    fn warn(&self, source: &str, text: String) {
        self.mounts.proxy().log(LogLine::new(Level::Warn, source, text));
    }
}
