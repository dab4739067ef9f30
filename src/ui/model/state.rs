//! Everything on the screen, as plain data: no drawing, no I/O.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::change::{Change, Effect};
use super::compare_screen::CompareScreen;
use super::motion::ListCursor;
use super::resync::Resync;
use crate::envelope::{Envelope, SessionId};
use crate::event::{Command, Held, OnQuit, Progress, Ticket, Timestamp};
use crate::message::Kind;

use super::detail::{Detail, MessageNotes};
use super::editor::Editor;
use super::event_log::EventLog;
use super::hold_queue::HoldQueue;
use super::message_list::MessageList;
use super::message_rows::{MessageRow, MessageRows, RowState};
use super::metrics_screen::MetricsScreen;
use super::observed::ObservedState;
use super::offers::SeenOffers;
use super::own_call::OwnCall;
use super::popup::Popup;
use super::prompt::Prompt;
use super::rules_screen::RulesScreen;
use super::search::Search;
use super::tapes_screen::{AskedPlay, OpenTape, TapesScreen};
use super::undo::UndoSteps;
use crate::ui::graphics::Graphics;
use crate::ui::host::Exit;
use crate::ui::settings::Settings;

/// What fills the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ScreenKind {
    #[default]
    Messages,
    Queue,
    Tapes,
    /// Two tapes side by side.
    Compare,
    Metrics,
    Events,
    Lint,
    Rules,
}

/// Which part of it has the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pane {
    Sessions,
    #[default]
    List,
    Detail,
}

/// A line that stays for a moment.
pub(crate) struct ScreenNotice {
    pub(crate) text: String,
    pub(crate) grave: bool,
    until: Timestamp,
}

/// For so long the clock runs, on every screen, for a message that a program is asked about: after a moment it waits for a person, which
/// the second tick after it came is sure to see.
const ASKED_WATCHED: u64 = 2 * Held::MOMENT;

/// How the window is used; set from its size before each drawing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Viewport {
    pub(crate) width: u16,
    pub(crate) height: u16,
    /// Sessions have a pane of their own.
    pub(crate) wide: bool,
    /// Only one pane fits at a time.
    pub(crate) single: bool,
    /// The bar of screens has a line of its own.
    pub(crate) bar: bool,
    /// Too small for anything but the status line: there keys decide on nothing that could not be seen.
    pub(crate) tiny: bool,
}

/// A border that the mouse can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PaneBorder {
    /// Between the sessions and what is right of them.
    Sessions,
    /// Between the list and the detail.
    Detail,
}

/// Where the operator moved borders to, for as long as the screen runs.
#[derive(Default)]
pub(crate) struct MovedBorders {
    /// Columns of the sessions.
    pub(crate) sessions: Option<u16>,
    /// Of each screen, in a wide window and in a narrow one: so many lines or columns of so many are the list's.
    lists: Vec<((ScreenKind, bool), (u16, u16))>,
    /// The one that the mouse holds.
    pub(crate) dragged: Option<PaneBorder>,
}

impl MovedBorders {
    pub(crate) fn list(&self, screen: ScreenKind, wide: bool) -> Option<(u16, u16)> {
        self.lists.iter().find(|(place, _)| *place == (screen, wide)).map(|(_, share)| *share)
    }

    pub(crate) fn move_list(&mut self, screen: ScreenKind, wide: bool, share: (u16, u16)) {
        self.lists.retain(|(place, _)| *place != (screen, wide));
        self.lists.push(((screen, wide), share));
    }
}

/// A command that reads a message, while it runs.
pub(crate) struct RunningPipe {
    pub(crate) command: String,
    since: Timestamp,
    /// It was told to stop.
    pub(crate) is_stopping: bool,
}

/// How far quitting has come.
#[derive(Default)]
pub(crate) struct Quitting {
    /// ctrl c was pressed once.
    pub(crate) interrupted: bool,
    /// Why the screen ends, once the core has been told to.
    pub(crate) leaving: Option<Exit>,
    /// What the core waits for before it ends.
    pub(crate) ending: Option<Progress>,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) settings: Settings,
    pub(crate) now: Timestamp,
    pub(crate) viewport: Viewport,
    pub(crate) screen: ScreenKind,
    pub(crate) pane: Pane,
    pub(crate) zoomed: bool,
    pub(crate) borders: MovedBorders,
    pub(crate) observed: ObservedState,
    pub(crate) resync: Resync,
    /// The list of the live messages.
    pub(super) live: MessageList,
    /// A tape that is read in place of the live messages.
    pub(crate) tape: Option<OpenTape>,
    /// Cursor of the sessions pane; 0 is all of them.
    pub(crate) session_cursor: ListCursor,
    pub(crate) queue: HoldQueue,
    pub(crate) tapes: TapesScreen,
    pub(crate) compare: CompareScreen,
    /// What was asked for here that plays a tape, and is being done.
    pub(crate) asked: Option<AskedPlay>,
    pub(crate) metrics: MetricsScreen,
    pub(crate) log: EventLog,
    /// Cursor of the lint screen.
    pub(crate) lint: ListCursor,
    pub(crate) rules_screen: RulesScreen,
    pub(crate) detail: Detail,
    pub(crate) editor: Option<Editor>,
    pub(crate) popup: Option<Popup>,
    pub(crate) prompt: Option<Prompt>,
    pub(crate) search: Option<Search>,
    /// What the operator has seen of the offers of each session.
    pub(crate) offers_seen: HashMap<SessionId, SeenOffers>,
    /// Held messages for whose clients it has rung.
    pub(super) rung: Vec<Ticket>,
    /// What can be taken back.
    pub(crate) undo: UndoSteps,
    /// The message that another is to be compared with.
    pub(crate) compared: Option<Arc<Envelope>>,
    /// The command that a message was handed to last.
    pub(crate) piped: String,
    /// The one that runs.
    pub(crate) piping: Option<RunningPipe>,
    /// A tape that is being written in another form, and since when.
    pub(crate) exporting: Option<(String, Timestamp)>,
    /// Pictures are described.
    pub(crate) pictures_off: bool,
    /// The terminal has the mouse.
    pub(crate) mouse_off: bool,
    /// Names that filters were given here.
    pub(crate) saved: Vec<String>,
    /// Filters that were kept, newest last.
    pub(crate) filters: Vec<String>,
    pub(crate) notice: Option<ScreenNotice>,
    pub(crate) quitting: Quitting,
    effects: Vec<Effect>,
    dirty: bool,
}

impl Model {
    pub(crate) fn new(mut settings: Settings, now: Timestamp) -> Self {
        let (mut filters, mut saved) = (Vec::new(), Vec::new());
        for line in std::mem::take(&mut settings.remembered) {
            match line.strip_prefix('@').and_then(|line| line.split_once(' ')) {
                // What the file of settings says under this name, it means.
                Some((name, text)) if settings.filters.get(name).is_none() => {
                    if settings.filters.put(name, text).is_ok() {
                        saved.push(name.to_owned());
                    }
                }
                Some(_) => {}
                None => filters.push(line),
            }
        }
        Self { settings, now, filters, saved, dirty: true, ..Self::default() }
    }

    /// Keeps what was typed as a filter for the next run as well.
    pub(crate) fn remember_filters(&mut self) {
        const MOST: usize = 200;
        let first = self.filters.len().saturating_sub(MOST);
        self.filters.drain(..first);
        let saved = self.saved.iter().filter_map(|name| Some(format!("@{name} {}", self.settings.filters.get(name)?)));
        let lines = saved.chain(self.filters.iter().cloned()).collect();
        self.effect(Effect::Remember(lines));
    }

    /// Notes that the screen no longer shows what the model says. Figures are seen on their own screen only.
    pub(crate) fn mark_dirty(&mut self, change: &Change) {
        self.dirty |= matches!(self.screen, ScreenKind::Metrics | ScreenKind::Rules | ScreenKind::Tapes)
            || !matches!(change, Change::Event(event) if event.is_figures());
    }

    /// What is to be done outside, in the order in which it came up.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Moves the clock of the screen to `now`; returns what is to be done because of it.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Vec<Effect> {
        let before = std::mem::replace(&mut self.now, now);
        let rate = self.observed.stats.rate();
        self.observed.stats.tick(now, 0);
        self.dirty |= self.observed.stats.rate() != rate || self.aged(before);
        if self.notice.as_ref().is_some_and(|notice| notice.until <= now) {
            self.notice = None;
            self.dirty = true;
        }
        self.dirty |= self.call_for_undecided(before);
        self.retry_resync();
        self.ring();
        std::mem::take(&mut self.effects)
    }

    /// Goes on with what takes long, for a moment.
    pub(crate) fn work_on(&mut self) {
        self.dirty |= self.scan_on();
        self.dirty |= self.search_waits() && self.search_on(Duration::from_millis(4));
    }

    /// Whether the tape that is open is not read to its end yet.
    pub(crate) fn is_reading_tape(&self) -> bool {
        self.tape.as_ref().is_some_and(|tape| !tape.is_whole)
    }

    /// When time has to pass again; `None`: nothing here depends on it.
    pub(crate) fn next_tick(&mut self) -> Option<Duration> {
        let (rows, list) = self.messages();
        let scan = list.scanned(rows).map(|_| Duration::ZERO).or(self.search_waits().then_some(Duration::ZERO));
        let rest = self.editor.as_mut().and_then(|editor| editor.check_when_idle(&mut self.dirty));
        let clock = self.observed.stats.rate().is_some() || self.notice.is_some() || self.resync.waits();
        let clock = clock || self.counts_down();
        // All that grows older is told in step with the first of it, just after that turned a second older.
        let phase = self.ages().next().map(|since| since + 1000).or(clock.then_some(0));
        let second = phase.map(|phase| Duration::from_micros(1_000_000 - self.now.0.saturating_sub(phase) % 1_000_000));
        [scan, rest, second].into_iter().flatten().min()
    }

    /// Since when the things on the screen grow older: held messages, and requests without a reply.
    fn ages(&self) -> impl Iterator<Item = u64> {
        let figures = self.metrics.figures.as_ref().filter(|_| self.screen == ScreenKind::Metrics);
        let oldest = figures.and_then(|figures| figures.oldest).map(|oldest| oldest.0);
        let shown = matches!(self.screen, ScreenKind::Messages | ScreenKind::Queue) && self.editor.is_none();
        let (rows, list) = (&self.observed.rows, &self.live);
        let seen = (list.top..list.top + list.height).filter_map(|position| list.row(rows, position));
        let open = seen.filter_map(|row| self.open_age(&row)).map(|age| self.now.0.saturating_sub(age));
        // Of what a program decides on, that it has not is to be said on every screen.
        let calls = |held: &Held| held.is_asked && self.now.0.saturating_sub(held.since.0) < ASKED_WATCHED;
        let own = self.own_call().filter(|call| call.waits()).map(|call| call.since.0);
        let rings = self.settings.bell;
        let held = self.observed.held.values().filter(move |held| shown || rings || calls(held));
        let held = held.map(|held| held.since.0);
        let piped = self.piping.as_ref().map(|pipe| pipe.since.0);
        let written = self.exporting.as_ref().map(|(_, since)| since.0);
        open.filter(move |_| shown).chain(held).chain(oldest).chain(own).chain(piped).chain(written)
    }

    /// Whether an age reads otherwise than before.
    fn aged(&self, before: Timestamp) -> bool {
        let words = |now: Timestamp, since| age(now.0.saturating_sub(since));
        self.ages().any(|since| words(before, since) != words(self.now, since))
            || self.clocks_ran(before)
            || self.counts_down()
    }

    /// Whether it is shown how long a message of a replay still waits.
    fn counts_down(&self) -> bool {
        self.screen == ScreenKind::Tapes && self.tapes.waiting().is_some_and(|waiting| waiting.until.is_some())
    }

    /// Whether a client's patience reads otherwise than before.
    fn clocks_ran(&self, before: Timestamp) -> bool {
        let second = |now: Timestamp, since: Timestamp| now.0.saturating_sub(since.0) / 1_000_000;
        let shown = matches!(self.screen, ScreenKind::Messages | ScreenKind::Queue) && self.editor.is_none();
        shown && self.observed.held.values().any(|held| second(before, held.since) != second(self.now, held.since))
    }

    /// The call that went out from the editor.
    pub(crate) fn own_call(&self) -> Option<&OwnCall> {
        self.editor.as_ref()?.call.as_deref()
    }

    fn scan_on(&mut self) -> bool {
        let budget = Duration::from_millis(4);
        match &mut self.tape {
            Some(tape) => tape.list.scan(&tape.rows, budget),
            None => self.live.scan(&self.observed.rows, budget),
        }
    }

    pub(crate) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    pub(crate) fn send(&mut self, command: Command) {
        self.effects.push(Effect::Command(command));
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Quits; again: without waiting for anything. The screen stays until the core is down, unless that runs on.
    pub(crate) fn quit(&mut self, held: OnQuit, exit: Exit) {
        self.send(Command::Quit { held });
        if self.settings.attached {
            return self.effect(Effect::Exit(exit));
        }
        self.popup = None;
        self.quitting.leaving.get_or_insert(exit);
    }

    /// Hands these bytes to a command.
    pub(crate) fn pipe(&mut self, command: String, input: Vec<u8>) {
        self.piping = Some(RunningPipe { command: command.clone(), since: self.now, is_stopping: false });
        self.effect(Effect::Pipe { command, input });
    }

    /// For how long the command runs that reads a message, with what that is.
    pub(crate) fn piped_for(&self) -> Option<(&RunningPipe, String)> {
        self.piping.as_ref().map(|pipe| (pipe, age(self.now.0.saturating_sub(pipe.since.0))))
    }

    pub(crate) fn notify(&mut self, text: impl Into<String>) {
        self.notice = Some(ScreenNotice { text: text.into(), grave: false, until: self.now.plus_micros(4_000_000) });
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.notice = Some(ScreenNotice { text: text.into(), grave: true, until: self.now.plus_micros(6_000_000) });
    }

    /// What the message list is of: the live messages, or the open tape.
    pub(crate) fn messages(&self) -> (&MessageRows, &MessageList) {
        match &self.tape {
            Some(tape) => (&tape.rows, &tape.list),
            None => (&self.observed.rows, &self.live),
        }
    }

    pub(crate) fn messages_mut(&mut self) -> (&MessageRows, &mut MessageList) {
        match &mut self.tape {
            Some(tape) => (&tape.rows, &mut tape.list),
            None => (&self.observed.rows, &mut self.live),
        }
    }

    pub(crate) fn rows_mut(&mut self) -> (&mut MessageRows, &mut MessageList) {
        match &mut self.tape {
            Some(tape) => (&mut tape.rows, &mut tape.list),
            None => (&mut self.observed.rows, &mut self.live),
        }
    }

    pub(crate) fn list(&self) -> &MessageList {
        self.messages().1
    }

    /// Messages that came since the list no longer follows the newest.
    pub(crate) fn live_unseen(&self) -> usize {
        self.live.unseen
    }

    /// The list of the live messages, whatever is on the screen.
    pub(crate) fn live_mut(&mut self) -> (&MessageRows, &mut MessageList) {
        (&self.observed.rows, &mut self.live)
    }

    /// When a message came, by the clock of this machine.
    pub(crate) fn time_of(&self, envelope: &Envelope) -> Option<Timestamp> {
        let started = match &self.tape {
            Some(tape) if self.screen == ScreenKind::Messages => tape.started?,
            _ => self.observed.sessions.get(envelope.session)?.session.started,
        };
        Some(started.plus_micros(envelope.at))
    }

    /// Whether the window has the list in it, and not one other pane alone.
    pub(crate) fn list_is_seen(&self) -> bool {
        self.pane == Pane::List || !self.zoomed && !self.viewport.single
    }

    /// How long a request waits for its reply, in microseconds. What it was held for before it went on is nobody's latency, here as in
    /// the figure that its reply brings.
    pub(crate) fn open_age(&self, row: &MessageRow) -> Option<u64> {
        let envelope = &row.envelope;
        let open =
            envelope.kind() == Kind::Request && row.reply.is_none() && envelope.was_sent() && self.tape.is_none();
        let open = open && !matches!(row.state, RowState::GivenUp(_));
        let session = self.observed.sessions.get(envelope.session).filter(|session| session.closed().is_none())?;
        open.then(|| self.now.0.saturating_sub(session.session.started.0 + sent_at(envelope)))
    }

    /// The operator looks at the newest messages of this session.
    pub(super) fn watches(&self, session: SessionId) -> bool {
        self.screen == ScreenKind::Messages
            && self.tape.is_none()
            && self.live.follows()
            && self.live.only.is_none_or(|only| only == session)
    }

    /// What the operator's own editor gave back.
    pub(crate) fn edited_outside(&mut self, edited: Result<String, String>) {
        self.dirty = true;
        match (edited, &mut self.editor) {
            (Ok(text), Some(editor)) => editor.replace(&text),
            (Err(why), _) => self.warn(format!("nothing was changed: {why}")),
            (Ok(_), None) => {}
        }
    }

    /// How pictures are shown, where they are.
    pub(crate) fn graphics(&self) -> Option<Graphics> {
        self.settings.graphics.filter(|_| !self.pictures_off)
    }

    /// Shows the selected message in the detail.
    pub(crate) fn show_detail(&mut self) {
        let pair = self.selected_pair().map(|row| row.envelope);
        let envelope = self.selected().map(|row| row.envelope);
        let shadow = envelope.as_ref().and_then(|it| self.messages().0.divergence(it.seq).cloned());
        let draft = envelope.as_ref().and_then(|it| self.queue.drafts.get(&it.seq).cloned());
        let found = envelope.as_ref().map(|it| self.messages().0.findings(it.seq).to_vec()).unwrap_or_default();
        self.detail.show(envelope, pair, MessageNotes { shadow, draft, found });
    }
}

/// When a message went on, or came where it is still held: in microseconds since its session began.
pub(crate) fn sent_at(envelope: &Envelope) -> u64 {
    envelope.at + envelope.held.unwrap_or(0)
}

/// `6s`, `2m`, `1h`: for things that still go on.
pub(crate) fn age(micros: u64) -> String {
    match micros / 1_000_000 {
        seconds @ 0..100 => format!("{seconds}s"),
        seconds @ 100..6000 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3600),
    }
}
