//! The tapes, and the one that is being played.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::message_list::MessageList;
use super::message_rows::{MessageRows, PutOutcome, RowState};
use super::motion::{ListCursor, Motion};
use super::play_form::PlayChoices;
use super::session_list::upstream_name;
use crate::envelope::{Seq, SessionId};
use crate::event::{
    ReplayEvent, ReplaySummary, StepReport, StepVerdict, StepWait, TapeEnd, TapeInfo, TapePart, TapeSeam, Timestamp,
    branch_order,
};
use crate::json::PathPattern;
use crate::json::path::JsonPath;
use crate::text;

/// By what the tapes are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TapeOrder {
    #[default]
    Time,
    Size,
    Messages,
    Name,
    Client,
    Server,
    Tools,
    Note,
}

impl TapeOrder {
    fn next(self) -> Self {
        match self {
            Self::Time => Self::Size,
            Self::Size => Self::Messages,
            Self::Messages => Self::Name,
            Self::Name => Self::Client,
            Self::Client => Self::Server,
            Self::Server => Self::Tools,
            Self::Tools => Self::Note,
            Self::Note => Self::Time,
        }
    }

    /// Of time and numbers the greatest come first, of names those from a.
    fn compare(self, a: &TapeInfo, b: &TapeInfo) -> Ordering {
        let client = |tape: &TapeInfo| tape.client.as_ref().map(|client| client.name.clone()).unwrap_or_default();
        match self {
            Self::Time => b.started.cmp(&a.started),
            Self::Size => b.bytes.cmp(&a.bytes),
            Self::Messages => b.messages.cmp(&a.messages),
            Self::Name => tape_title(&a.path).cmp(&tape_title(&b.path)),
            Self::Client => client(a).cmp(&client(b)),
            Self::Server => server_name(a).cmp(server_name(b)),
            Self::Tools => calls(b).cmp(&calls(a)),
            // Those with a note are what is looked for.
            Self::Note => (a.notes.is_empty(), &a.notes).cmp(&(b.notes.is_empty(), &b.notes)),
        }
    }

    fn words(self, turned: bool) -> Option<&'static str> {
        Some(match (self, turned) {
            (Self::Time, false) => return None,
            (Self::Time, true) => "oldest first",
            (Self::Size, false) => "largest first",
            (Self::Size, true) => "smallest first",
            (Self::Messages, false) => "most messages first",
            (Self::Messages, true) => "fewest messages first",
            (Self::Name, false) => "by name",
            (Self::Name, true) => "by name, from z",
            (Self::Client, false) => "by client",
            (Self::Client, true) => "by client, from z",
            (Self::Server, false) => "by server",
            (Self::Server, true) => "by server, from z",
            (Self::Tools, false) => "most calls first",
            (Self::Tools, true) => "fewest calls first",
            (Self::Note, false) => "by note",
            (Self::Note, true) => "by note, from z",
        })
    }
}

/// The cells that the widest of each column takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TapeNeeds {
    pub(crate) name: usize,
    pub(crate) client: usize,
    pub(crate) server: usize,
    pub(crate) tools: usize,
    pub(crate) note: usize,
    pub(crate) digits: usize,
}

/// A column takes no more, however long what is in it.
const WIDEST: usize = 60;

impl TapeNeeds {
    fn grow(&mut self, tape: &TapeInfo) {
        let wider = |need: &mut usize, text: &str| *need = text::width(text).min(WIDEST).max(*need);
        wider(&mut self.name, &tape_title(&tape.path));
        wider(&mut self.client, tape.client.as_ref().map_or("", |client| &client.name));
        wider(&mut self.server, server_name(tape));
        wider(&mut self.tools, &tools_words(tape, '×'));
        wider(&mut self.note, tape.notes.first().map_or("", |note| note));
        self.digits = self.digits.max(tape.messages.checked_ilog10().map_or(1, |digits| digits as usize + 1));
    }
}

pub(crate) struct TapesScreen {
    /// The tapes there are; `None` until the core answered.
    pub(crate) list: Option<Vec<TapeInfo>>,
    /// How deep each stands in the tree of branches.
    pub(crate) depths: Vec<usize>,
    /// The widest of each column.
    pub(crate) needs: TapeNeeds,
    pub(crate) place: ListCursor,
    /// The message to go to in the tape that was asked for.
    pub(crate) goal: Option<Seq>,
    pub(crate) replay: Option<ReplayRun>,
    /// A tape that is read to be played, and how many of how many bytes are.
    pub(crate) reading: Option<(PathBuf, u64, u64)>,
    pub(crate) choices: PlayChoices,
    /// A tape that is to answer clients, until it is known whether it does.
    pub(crate) to_be_served: Option<PathBuf>,
    pub(crate) order: TapeOrder,
    /// The order is turned around.
    turned: bool,
    /// Paths of replies that do not count when a tape is played from here.
    ignored: HashMap<PathBuf, Vec<String>>,
}

impl Default for TapesScreen {
    fn default() -> Self {
        let (order, place) = (TapeOrder::default(), ListCursor::default());
        let (choices, depths, needs) = (PlayChoices::default(), Vec::new(), TapeNeeds::default());
        let (turned, ignored) = (false, HashMap::new());
        let (list, goal, replay, reading, to_be_served) = (None, None, None, None, None);
        Self { list, depths, needs, place, goal, replay, reading, choices, to_be_served, order, turned, ignored }
    }
}

/// A tape opened for reading.
pub(crate) struct OpenTape {
    pub(crate) path: PathBuf,
    pub(crate) rows: MessageRows,
    pub(crate) list: MessageList,
    pub(crate) problems: Vec<String>,
    pub(crate) started: Option<Timestamp>,
    /// All of it was read.
    pub(crate) is_whole: bool,
    /// Messages behind those that are shown, for which there is no memory.
    pub(crate) later: u64,
    /// The message that it was opened for, until that was read.
    pub(crate) goal: Option<Seq>,
    /// Messages of which something was noted here.
    pub(crate) noted: HashSet<Seq>,
}

impl OpenTape {
    /// Takes in messages as they are read, as many as fit into so many bytes: of a larger tape its beginning, or what lies around the
    /// message that it was opened for. The rest is counted.
    pub(crate) fn read_on(&mut self, part: TapePart, memory: usize) {
        for envelope in part.envelopes {
            if self.rows.is_full(memory) {
                if self.goal.is_none_or(|goal| goal < envelope.seq) {
                    self.later += 1;
                    continue;
                }
                if let Some(first) = self.rows.trim(memory) {
                    self.list.trimmed(first);
                }
            }
            let (seq, answered) = (envelope.seq, envelope.reply_to.as_ref().map(|to| to.seq));
            let is_new = self.rows.put(envelope, RowState::Passed) == PutOutcome::Arrived;
            self.list.changed(&self.rows, seq, is_new);
            for request in answered.into_iter().chain(self.rows.take_given_up()) {
                self.list.answered(&self.rows, request);
            }
        }
        self.go_to_goal();
    }

    /// Takes in what is known behind its end.
    pub(crate) fn end(&mut self, end: TapeEnd) {
        let TapeEnd { session, problems, found, seams, annotations, .. } = end;
        // What was noted while it was read is newer.
        for noted in annotations {
            if !self.noted.contains(&noted.seq) {
                self.rows.annotate(noted);
            }
        }
        for TapeSeam { after, text } in seams {
            self.rows.note_seam(Some(after), session.id, text);
        }
        self.rows.learn(session);
        for finding in found {
            self.rows.find_fault(&Arc::new(finding));
        }
        (self.problems, self.is_whole) = (problems, true);
        // Who spoke is asked by some filters.
        self.list.rows_replaced(&self.rows);
    }

    pub(crate) fn go_to_goal(&mut self) {
        if let Some(position) = self.goal.and_then(|seq| self.rows.find(seq).ok()) {
            self.list.go_to(&self.rows, position);
            self.goal = None;
        }
    }
}

/// What a person asks for that plays a tape, other than a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskedPlay {
    Branch,
    /// Of this session.
    Rewind(SessionId),
}

/// The message that a replay sends next, while it waits.
pub(crate) struct ShownWait {
    step: usize,
    pub(crate) next: String,
    /// When it goes by itself.
    pub(crate) until: Option<Timestamp>,
}

impl ShownWait {
    fn of(wait: StepWait, now: Timestamp) -> Self {
        Self { step: wait.step, next: wait.next, until: wait.left.map(|left| now.plus_micros(left)) }
    }
}

/// One playing of a tape.
pub(crate) struct ReplayRun {
    pub(crate) tape: PathBuf,
    pub(crate) target: String,
    pub(crate) steps: usize,
    pub(crate) reports: Vec<StepReport>,
    pub(crate) end: Option<Result<ReplaySummary, String>>,
    pub(crate) place: ListCursor,
    /// What it is to send next, and has not.
    pub(crate) waiting: Option<ShownWait>,
    /// The cursor was moved by hand: it no longer goes with the newest step.
    pub(crate) unfollowed: bool,
    /// Requests whose replies the tape has taken over.
    accepted: HashSet<Seq>,
}

impl ReplayRun {
    pub(crate) fn runs(&self) -> bool {
        self.end.is_none()
    }

    /// Whether a step passed only as what differs was ignored then.
    pub(crate) fn passed_by_ignoring(step: &StepReport) -> bool {
        step.verdict == StepVerdict::Pass && step.excused.iter().any(|it| it.kind == IGNORED)
    }

    pub(crate) fn count(&self, verdict: StepVerdict) -> usize {
        self.reports.iter().filter(|report| report.verdict == verdict).count()
    }

    pub(crate) fn is_accepted(&self, step: &StepReport) -> bool {
        self.accepted.contains(&step.seq)
    }

    /// Whether it failed, and the tape still expects what it did.
    fn is_failed(&self, step: &StepReport) -> bool {
        step.verdict == StepVerdict::Fail && !self.is_accepted(step)
    }

    pub(crate) fn failed(&self) -> usize {
        self.reports.iter().filter(|step| self.is_failed(step)).count()
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.len()
    }

    /// Steps that were taken: of a run that was stopped, those after the last that was played are only told.
    pub(crate) fn done(&self) -> usize {
        match &self.end {
            Some(Ok(summary)) if summary.stopped => {
                let played = self.reports.iter().rposition(|report| report.verdict != StepVerdict::Skip);
                played.map_or(0, |last| last + 1)
            }
            _ => self.reports.len(),
        }
    }

    pub(crate) fn selected(&self) -> Option<&StepReport> {
        self.reports.get(self.place.cursor)
    }

    pub(crate) fn go(&mut self, motion: Motion) {
        self.place.go(motion, self.reports.len());
        self.unfollowed = self.place.cursor + 1 < self.reports.len();
    }

    /// The next step that failed, from the top again after the last; returns `false` where there is no other.
    pub(crate) fn next_fail(&mut self) -> bool {
        let len = self.reports.len();
        let after = (1..len).map(|by| (self.place.cursor + by) % len);
        let found = { after }.find(|at| self.is_failed(&self.reports[*at]));
        if let Some(position) = found {
            self.place.cursor = position;
            self.unfollowed = true;
        }
        found.is_some()
    }

    fn step(&mut self, report: StepReport) {
        self.waiting.take_if(|waiting| waiting.step <= report.step);
        self.reports.push(report);
        if !self.unfollowed {
            self.place.cursor = self.reports.len() - 1;
        }
    }
}

impl TapesScreen {
    pub(crate) fn selected(&self) -> Option<&TapeInfo> {
        self.list.as_ref()?.get(self.place.cursor)
    }

    /// By something else, or the other way around; the cursor stays on its tape.
    pub(crate) fn sort(&mut self, turn: bool) {
        self.sort_by(if turn { self.order } else { self.order.next() });
    }

    /// By this, or the other way around where they are so sorted; the cursor stays on its tape.
    pub(crate) fn sort_by(&mut self, order: TapeOrder) {
        self.turned = order == self.order && !self.turned;
        self.order = order;
        let path = self.selected().map(|tape| tape.path.clone());
        if let Some(list) = self.list.take() {
            self.put(list, path.as_deref());
        }
    }

    /// How the tapes are sorted, where that is not the newest first.
    pub(crate) fn order_words(&self) -> Option<&'static str> {
        self.order.words(self.turned)
    }

    pub(crate) fn listed(&mut self, list: Vec<TapeInfo>) {
        let path = self.selected().map(|tape| tape.path.clone());
        self.put(list, path.as_deref());
    }

    /// As a tree, in which what stands beside each other is sorted.
    fn put(&mut self, mut list: Vec<TapeInfo>, at: Option<&Path>) {
        // Of the same time, the order that they came in stays.
        list.sort_by(|a, b| if self.turned { self.order.compare(b, a) } else { self.order.compare(a, b) });
        let order = branch_order(&list.iter().map(|tape| (tape.session, tape.parent)).collect::<Vec<_>>());
        let mut list: Vec<_> = list.into_iter().map(Some).collect();
        let list: Vec<_> = order.iter().filter_map(|(place, _)| list[*place].take()).collect();
        self.depths = order.into_iter().map(|(_, depth)| depth).collect();
        self.place.cursor = list.iter().position(|tape| Some(tape.path.as_path()) == at).unwrap_or(0);
        self.needs = TapeNeeds::default();
        list.iter().for_each(|tape| self.needs.grow(tape));
        self.list = Some(list);
    }

    pub(crate) fn started(&self, path: &Path) -> Option<Timestamp> {
        self.list.as_ref()?.iter().find(|tape| tape.path == path).map(|tape| tape.started)
    }

    /// A tape is played, or read for that.
    pub(crate) fn running(&self) -> bool {
        self.reading.is_some() || self.replay.as_ref().is_some_and(ReplayRun::runs)
    }

    /// The message that the replay which runs has not let go.
    pub(crate) fn waiting(&self) -> Option<&ShownWait> {
        self.replay.as_ref().filter(|replay| replay.runs())?.waiting.as_ref()
    }

    /// The paths that do not count when this tape is played.
    pub(crate) fn ignored(&self, tape: &Path) -> &[String] {
        self.ignored.get(tape).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn ignore(&mut self, tape: PathBuf, paths: Vec<String>) {
        self.ignored.insert(tape, paths);
    }

    /// The paths that would settle the chosen step: those of its differences, else those by which it passed.
    pub(crate) fn settling_paths(&self) -> Vec<String> {
        let Some((replay, step)) = self.replay.as_ref().and_then(|replay| Some((replay, replay.selected()?))) else {
            return Vec::new();
        };
        let patterns = step.differences.iter().filter_map(|it| Some(it.path.parse::<JsonPath<'_>>().ok()?.pattern()));
        let mut paths: Vec<_> = patterns.filter(|path| !path.is_empty()).collect();
        paths.sort_unstable();
        paths.dedup();
        if step.differences.is_empty() {
            let excused = || step.excused.iter().filter(|it| it.kind == IGNORED);
            paths = self.ignored(&replay.tape).to_vec();
            paths.retain(|path| excused().any(|it| covers(path, &it.path)));
            if paths.is_empty() {
                // They count again, and may be ignored once more.
                paths = excused().filter_map(|it| Some(it.path.parse::<JsonPath<'_>>().ok()?.pattern())).collect();
                paths.dedup();
            }
        }
        paths
    }

    /// Whether all that differs in the chosen step is ignored from here on.
    pub(crate) fn is_settled(&self) -> bool {
        let (paths, tape) = (self.settling_paths(), self.replay.as_ref().map(|replay| &replay.tape));
        let ignored = tape.map_or(&[][..], |tape| self.ignored(tape));
        !paths.is_empty() && paths.iter().all(|path| ignored.contains(path))
    }

    /// Ignores what differs in the chosen step, or, where it is ignored, has it count again. Returns its tape, and what is ignored now.
    pub(crate) fn turn_ignored(&mut self) -> Option<(PathBuf, Vec<String>)> {
        let (paths, is_settled) = (self.settling_paths(), self.is_settled());
        let tape = self.replay.as_ref().map(|replay| replay.tape.clone())?;
        let ignored = self.ignored.entry(tape.clone()).or_default();
        ignored.retain(|path| !paths.contains(path));
        if !is_settled {
            ignored.extend(paths);
        }
        Some((tape, ignored.clone()))
    }

    pub(crate) fn on_event(&mut self, event: ReplayEvent, now: Timestamp) {
        if !matches!(event, ReplayEvent::Accepted { .. }) {
            self.reading = None;
        }
        match (event, &mut self.replay) {
            (ReplayEvent::Reading { tape, read, of }, _) => self.reading = Some((tape, read, of)),
            (ReplayEvent::Started { tape, target, steps }, _) => {
                let (reports, place) = (Vec::new(), ListCursor::default());
                let (end, waiting, unfollowed, accepted) = (None, None, false, HashSet::new());
                let run = ReplayRun { tape, target, steps, reports, end, place, waiting, unfollowed, accepted };
                self.replay = Some(run);
            }
            (ReplayEvent::Waiting(wait), Some(replay)) => replay.waiting = Some(ShownWait::of(wait, now)),
            (ReplayEvent::Step(report), Some(replay)) => replay.step(report),
            (ReplayEvent::Finished(summary), Some(replay)) => replay.end = Some(Ok(summary)),
            // One that did not begin takes nothing from the one before.
            (ReplayEvent::Failed { .. }, Some(replay)) if !replay.runs() => {}
            (ReplayEvent::Failed { why }, Some(replay)) => replay.end = Some(Err(why)),
            // Another may have begun while a large tape was rewritten.
            (ReplayEvent::Accepted { tape, request, .. }, Some(replay)) if tape == replay.tape => {
                replay.accepted.insert(request);
            }
            (ReplayEvent::Accepted { .. }, _) | (_, None) => {}
        }
    }
}

/// What [`Excused::kind`](crate::event::Excused::kind) is where a person had it ignored.
const IGNORED: &str = "ignored";

fn covers(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.parse::<PathPattern>(), path.parse::<JsonPath<'_>>());
    matches!((pattern, path), (Ok(pattern), Ok(path)) if pattern.covers(&path))
}

/// The server by its own name, else where it is.
pub(crate) fn server_name(tape: &TapeInfo) -> &str {
    tape.server.as_ref().map_or_else(|| upstream_name(&tape.upstream), |server| &server.name)
}

/// The tools that were called, those called most first.
pub(crate) fn tools_words(tape: &TapeInfo, times: char) -> String {
    let Some(tools) = &tape.tools else { return "being read".to_owned() };
    let words = tools.iter().map(|(tool, count)| match count {
        1 => tool.clone(),
        _ => format!("{tool} {times}{count}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn calls(tape: &TapeInfo) -> u64 {
    tape.tools.iter().flatten().map(|(_, count)| count).sum()
}

/// The file's name without what every tape's name ends with.
pub(crate) fn tape_title(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.strip_suffix(".zst").unwrap_or(&name);
    name.strip_suffix(".jsonl").unwrap_or(name).trim_end_matches(".tape").to_owned()
}
