//! How one tape differs from another, call by call.
//!
//! Calls are matched by method, name and arguments, not by their place: those with equal arguments in their order, the rest of a
//! method and name with whatever is nearest. Replies are compared as a replay compares them, so that what changes from run to run
//! counts for nothing. What a server says of its tools, prompts and templates is compared by their names, whichever call said it;
//! times are compared where there are enough of them to tell.
//!
//! ```text
//! calls.rs         the calls of a tape, and which of two tapes belong together
//! comparer.rs      comparing for a screen, until it is stopped
//! definitions.rs   what a server says of its tools: changes, and baselines that pin them
//! timing.rs        slower and faster, beyond chance
//! render.rs        text, JSON, JUnit, Markdown; page.rs: one HTML file
//! ```

mod calls;
mod comparer;
pub mod definitions;
mod page;
mod render;
#[cfg(test)]
mod tests;
mod timing;

use std::path::PathBuf;

pub use self::calls::RecordedCalls;
use self::calls::{CallPair, CallReply, RecordedCall, arguments, pairs};
pub use self::comparer::TapeComparer;
pub use self::definitions::Definitions;
pub use self::render::{DiffForm, render, render_definitions};
use crate::event::{
    CallChange, ChangeKind, DefinitionChange, Difference, Excused, TapeComparison, TapeDiff, TimingChange,
};
use crate::json::PathPattern;
use crate::message::Message;
use crate::tape::TapeError;
use crate::tape::compare::{Findings, LearnedValues, Rules, RunClocks, judge};
use crate::tape::read::ReadWatch;

/// Says whether what was asked for is wanted no more.
type IsStopped<'a> = &'a dyn Fn() -> bool;

/// What is kept of what differs, in bytes; the rest may be as large as the tapes, and is found anew when it is asked for.
const KEPT: usize = if cfg!(test) { 512 } else { 32 << 20 };

/// Two tapes side by side.
pub struct DiffedTapes {
    left: RecordedCalls,
    right: RecordedCalls,
    rules: Rules,
    /// With how much of the values of each is not the same.
    pairs: Vec<(CallPair, PairOutcome)>,
    /// What came of the first of those that differ, in their order.
    kept: Vec<ComparedPair>,
    pub definitions: Vec<DefinitionChange>,
    pub timings: Vec<TimingChange>,
    /// Pairs of calls that are the same, and those that are not.
    pub same: usize,
    pub differing: usize,
    /// Values that differ and need not be the same.
    pub excused: usize,
    slower_fails: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct PairOutcome {
    differs: bool,
    has_excused: bool,
}

impl PairOutcome {
    /// Whether there is anything to tell.
    fn is_told(self) -> bool {
        self.differs || self.has_excused
    }
}

/// What came of one pair.
#[derive(Clone)]
struct ComparedPair {
    change: Option<CallChange>,
    excused: Vec<Excused>,
}

impl ComparedPair {
    const NOTHING: Self = Self { change: None, excused: Vec::new() };

    /// How much it takes in memory, about.
    fn size(&self) -> usize {
        let of =
            |values: [&Option<String>; 2]| values.iter().map(|it| it.as_ref().map_or(0, String::len)).sum::<usize>();
        let changed = self.change.iter().flat_map(|it| &it.differences);
        let changed = changed.map(|it| it.path.len() + of([&it.expected, &it.got]) + size_of_val(it)).sum::<usize>();
        let excused = self.excused.iter().map(|it| it.path.len() + of([&it.expected, &it.got]) + size_of_val(it));
        size_of_val(self) + changed + excused.sum::<usize>()
    }
}

/// Reads the calls of two tapes; `None` where that was stopped.
///
/// # Errors
/// Where one cannot be read at all, is no tape, or is one of a newer format.
fn read_both(tapes: &[PathBuf; 2], watch: &ReadWatch<'_>) -> Result<Option<[RecordedCalls; 2]>, TapeError> {
    let [left, right] = tapes.each_ref().map(|path| RecordedCalls::read(path, watch));
    let (left, right) = (left?, right?);
    Ok(left.zip(right).map(|(left, right)| [left, right]))
}

impl DiffedTapes {
    /// Compares two tapes; `ignore`: places in requests and replies that do not count. `None` where that was stopped.
    ///
    /// # Errors
    /// Where one of the files was changed meanwhile.
    pub fn compare(
        [left, right]: [RecordedCalls; 2],
        ignore: Vec<PathPattern>,
        watch: &ReadWatch<'_>,
    ) -> Result<Option<Self>, TapeError> {
        let [recorded, live] = [&left, &right].map(|calls| calls.tape.about.header.started);
        let rules = Rules { ignore, clocks: Some(RunClocks { recorded, live }), ..Rules::default() };
        let mut diff = Self {
            definitions: Definitions::of(&left)?.changes(&Definitions::of(&right)?),
            timings: timing::changes(&left, &right)?,
            pairs: Vec::new(),
            kept: Vec::new(),
            same: 0,
            differing: 0,
            excused: 0,
            slower_fails: false,
            left,
            right,
            rules,
        };
        let pairs = pairs(&diff.left, &diff.right, watch)?;
        let (length, mut room) = (pairs.len() as u64, Some(KEPT));
        for (pair, done) in pairs.into_iter().zip(0..) {
            if !watch(done, length) {
                return Ok(None);
            }
            let found = diff.compare_pair(pair)?;
            diff.add(pair, found, &mut room);
        }
        Ok(watch(length, length).then_some(diff))
    }

    /// Takes in what came of a pair; `room`: how much more may be kept.
    fn add(&mut self, pair: CallPair, found: ComparedPair, room: &mut Option<usize>) {
        let outcome = PairOutcome { differs: found.change.is_some(), has_excused: !found.excused.is_empty() };
        self.pairs.push((pair, outcome));
        self.excused += found.excused.len();
        *(if outcome.differs { &mut self.differing } else { &mut self.same }) += 1;
        if outcome.is_told() {
            *room = room.and_then(|room| room.checked_sub(found.size()));
            self.kept.extend(room.map(|_| found));
        }
    }

    /// Whether nothing differs but times.
    pub fn is_same(&self) -> bool {
        self.differing == 0 && self.definitions.is_empty()
    }

    /// Has calls that take longer, beyond chance, count as a difference.
    #[must_use]
    pub fn failing_where_slower(self) -> Self {
        Self { slower_fails: true, ..self }
    }

    /// Calls that take longer, beyond chance, where that counts.
    fn too_slow(&self) -> impl Iterator<Item = &TimingChange> {
        self.timings.iter().filter(|it| self.slower_fails && it.is_slower())
    }

    /// Whether anything differs that counts.
    pub fn differs(&self) -> bool {
        !self.is_same() || self.too_slow().next().is_some()
    }

    /// Tells each call that is not the same, in order.
    ///
    /// # Errors
    /// Where one of the files was changed meanwhile, or what is told fails.
    pub fn each_change<E: From<TapeError>>(&self, mut tell: impl FnMut(CallChange) -> Result<(), E>) -> Result<(), E> {
        self.each_found(|outcome| outcome.differs, |_, found| found.change.map_or(Ok(()), &mut tell))
    }

    /// Tells each value that differs and need not be the same, in order.
    ///
    /// # Errors
    /// Where one of the files was changed meanwhile, or what is told fails.
    pub fn each_excused<E: From<TapeError>>(&self, mut tell: impl FnMut(Excused) -> Result<(), E>) -> Result<(), E> {
        self.each_found(|outcome| outcome.has_excused, |_, found| found.excused.into_iter().try_for_each(&mut tell))
    }

    /// Tells what came of the pairs that are wanted: as it was found, or found again.
    fn each_found<E: From<TapeError>>(
        &self,
        mut is_wanted: impl FnMut(PairOutcome) -> bool,
        mut tell: impl FnMut(CallPair, ComparedPair) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut kept = self.kept.iter();
        for (pair, outcome) in &self.pairs {
            let found = if outcome.is_told() { kept.next().cloned() } else { Some(ComparedPair::NOTHING) };
            if is_wanted(*outcome) {
                tell(*pair, found.map_or_else(|| self.compare_pair(*pair), Ok)?)?;
            }
        }
        Ok(())
    }

    /// All of it, in memory.
    fn whole(self) -> Result<TapeDiff, TapeError> {
        let (mut calls, mut excused) = (Vec::new(), Vec::new());
        self.each_change(|change| {
            calls.push(change);
            Ok::<_, TapeError>(())
        })?;
        self.each_excused(|it| {
            excused.push(it);
            Ok::<_, TapeError>(())
        })?;
        let Self { same, definitions, timings, .. } = self;
        Ok(TapeDiff { same, calls, definitions, timings, excused })
    }

    fn compare_pair(&self, CallPair { left, right }: CallPair) -> Result<ComparedPair, TapeError> {
        Ok(match (left.map(|at| &self.left.calls[at as usize]), right.map(|at| &self.right.calls[at as usize])) {
            (Some(call), Some(other)) => self.compare_calls(call, other)?,
            (Some(call), None) => alone(one_sided(&self.left, call, ChangeKind::Removed)?),
            (None, Some(other)) => alone(one_sided(&self.right, other, ChangeKind::Added)?),
            (None, None) => ComparedPair::NOTHING,
        })
    }

    fn compare_calls(&self, call: &RecordedCall, other: &RecordedCall) -> Result<ComparedPair, TapeError> {
        let mut found = Findings::default();
        let judge = |expected: &Message, got: &Message| judge(expected, got, &self.rules, &LearnedValues::NOTHING);
        if call.arguments != other.arguments {
            let (request, got) = (self.left.request(call)?, self.right.request(other)?);
            add(judge(&request.message, &got.message), &mut found);
        }
        match (&call.reply, &other.reply) {
            // What it lists is compared by name.
            (Some(_), Some(_)) if call.list.is_some() => {}
            (Some(reply), Some(got)) if reply.sum == got.sum => {}
            (Some(reply), Some(got)) => {
                add(judge(&self.left.reply(reply)?, &self.right.reply(got)?), &mut found);
            }
            (None, None) => {}
            (reply, got) => found.differences.push(Difference {
                path: ".".to_owned(),
                expected: reply.as_ref().map(|it| text(&self.left, it)).transpose()?,
                got: got.as_ref().map(|it| text(&self.right, it)).transpose()?,
            }),
        }
        let Findings { differences, excused, .. } = found;
        if differences.is_empty() {
            return Ok(ComparedPair { change: None, excused });
        }
        let sides = one_sided(&self.left, call, ChangeKind::Changed)?;
        let change = CallChange { left: Some(call.seq), right: Some(other.seq), differences, ..sides };
        Ok(ComparedPair { change: Some(change), excused })
    }
}

/// Compares two tapes for a screen; `None` where that was stopped meanwhile.
pub fn compare_files(tapes: &[PathBuf; 2], is_stopped: IsStopped<'_>) -> Option<TapeComparison> {
    let told = |error: TapeError| {
        let why = std::error::Error::source(&error).map(|why| format!(": {why}")).unwrap_or_default();
        format!("{error}{why}")
    };
    let mut problems = <[Vec<String>; 2]>::default();
    let outcome = match diff_unless(tapes, is_stopped, &mut problems) {
        Ok(diff) => Ok(diff?),
        Err(error) => Err(told(error)),
    };
    Some(TapeComparison { tapes: tapes.clone(), outcome, problems })
}

fn diff_unless(
    tapes: &[PathBuf; 2],
    is_stopped: IsStopped<'_>,
    problems: &mut [Vec<String>; 2],
) -> Result<Option<TapeDiff>, TapeError> {
    let watch = |_, _| !is_stopped();
    let Some(both) = read_both(tapes, &watch)? else { return Ok(None) };
    *problems = both.each_ref().map(|calls| calls.tape.troubles());
    DiffedTapes::compare(both, Vec::new(), &watch)?.map(DiffedTapes::whole).transpose()
}

fn alone(change: CallChange) -> ComparedPair {
    ComparedPair { change: Some(change), excused: Vec::new() }
}

/// A call that only one of the tapes has, with what it asked for.
fn one_sided(calls: &RecordedCalls, call: &RecordedCall, kind: ChangeKind) -> Result<CallChange, TapeError> {
    let request = calls.request(call)?;
    let is_left = kind == ChangeKind::Removed;
    let (left, right) = if is_left { (Some(call.seq), None) } else { (None, Some(call.seq)) };
    let asked = match request.message.at(&["params", "arguments"]) {
        Some(arguments) => (".params.arguments", arguments.to_owned()),
        None => (".params", arguments(&request.message)),
    };
    let differences = Some(asked).filter(|(_, value)| !matches!(&**value, "" | "{}")).map(|(path, value)| {
        let (expected, got) = if is_left { (Some(value), None) } else { (None, Some(value)) };
        Difference { path: path.to_owned(), expected, got }
    });
    Ok(CallChange {
        kind,
        method: request.method().unwrap_or_default().to_owned(),
        name: request.name().map(str::to_owned),
        left,
        right,
        differences: differences.into_iter().collect(),
    })
}

fn add(more: Findings, found: &mut Findings) {
    found.differences.extend(more.differences.into_iter().filter(|it| it.path != ".id"));
    // Ids are the client's own, and need not be the same.
    found.excused.extend(more.excused.into_iter().filter(|it| it.path != ".id"));
}

fn text(calls: &RecordedCalls, reply: &CallReply) -> Result<String, TapeError> {
    Ok(String::from_utf8_lossy(calls.reply(reply)?.raw()).into_owned())
}
