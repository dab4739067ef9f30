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
//! render.rs        text, JSON, JUnit, Markdown
//! ```

mod calls;
mod comparer;
pub mod definitions;
mod render;
#[cfg(test)]
mod tests;
mod timing;

use std::path::{Path, PathBuf};

use self::calls::{RecordedCall, is_list, pairs};
pub use self::comparer::TapeComparer;
pub use self::definitions::Definitions;
pub use self::render::{DiffForm, render, render_definitions};
use crate::event::{CallChange, ChangeKind, Difference, TapeComparison, TapeDiff};
use crate::json::PathPattern;
use crate::message::Message;
use crate::tape::compare::{Findings, LearnedValues, Rules, RunClocks, judge};
use crate::tape::{Tape, TapeError};

/// Says whether what was asked for is wanted no more.
type IsStopped<'a> = &'a dyn Fn() -> bool;

/// Compares two tapes; `ignore`: places in requests and replies that do not count.
pub fn diff(left: &Tape, right: &Tape, ignore: Vec<PathPattern>) -> TapeDiff {
    diff_unless(left, right, ignore, &|| false).expect("nothing stops it")
}

/// Compares two tapes for a screen; `None` where that was stopped meanwhile.
pub fn compare_files(tapes: &[PathBuf; 2], is_stopped: IsStopped<'_>) -> Option<TapeComparison> {
    let read = |path: &Path| Tape::read_unless(path, is_stopped);
    let compared = |outcome, problems| Some(TapeComparison { tapes: tapes.clone(), outcome, problems });
    let told = |error: TapeError| {
        let why = std::error::Error::source(&error).map(|why| format!(": {why}")).unwrap_or_default();
        format!("{error}{why}")
    };
    let (left, right) = match (read(&tapes[0]), read(&tapes[1])) {
        (Ok(left), Ok(right)) => (left?, right?),
        (Err(error), _) | (_, Err(error)) => return compared(Err(told(error)), Default::default()),
    };
    let diff = diff_unless(&left, &right, Vec::new(), is_stopped)?;
    compared(Ok(diff), [left.troubles(), right.troubles()])
}

fn diff_unless(left: &Tape, right: &Tape, ignore: Vec<PathPattern>, is_stopped: IsStopped<'_>) -> Option<TapeDiff> {
    let clocks = Some(RunClocks { recorded: left.header.started, live: right.header.started });
    let rules = Rules { ignore, clocks, ..Rules::default() };
    let (calls, others) = (RecordedCall::all(left, is_stopped), RecordedCall::all(right, is_stopped));
    let mut diff = TapeDiff {
        definitions: Definitions::of_calls(&calls).changes(&Definitions::of_calls(&others)),
        timings: timing::changes(&calls, &others),
        ..TapeDiff::default()
    };
    for pair in pairs(&calls, &others, is_stopped) {
        if is_stopped() {
            return None;
        }
        match pair {
            (Some(call), Some(other)) => compare_calls(call, other, &rules, &mut diff),
            (Some(call), None) => diff.calls.push(one_sided(call, ChangeKind::Removed)),
            (None, Some(other)) => diff.calls.push(one_sided(other, ChangeKind::Added)),
            (None, None) => {}
        }
    }
    (!is_stopped()).then_some(diff)
}

/// A call that only one of the tapes has, with what it asked for.
fn one_sided(call: &RecordedCall<'_>, kind: ChangeKind) -> CallChange {
    let seq = Some(call.request.seq);
    let is_left = kind == ChangeKind::Removed;
    let (left, right) = if is_left { (seq, None) } else { (None, seq) };
    let asked = match call.request.message.at(&["params", "arguments"]) {
        Some(arguments) => (".params.arguments", arguments.to_owned()),
        None => (".params", call.arguments.clone()),
    };
    let differences = Some(asked).filter(|(_, value)| !matches!(&**value, "" | "{}")).map(|(path, value)| {
        let (expected, got) = if is_left { (Some(value), None) } else { (None, Some(value)) };
        Difference { path: path.to_owned(), expected, got }
    });
    CallChange {
        kind,
        method: call.method().to_owned(),
        name: call.name().map(str::to_owned),
        left,
        right,
        differences: differences.into_iter().collect(),
    }
}

fn compare_calls(call: &RecordedCall<'_>, other: &RecordedCall<'_>, rules: &Rules, diff: &mut TapeDiff) {
    let mut found = Findings::default();
    if call.arguments != other.arguments {
        add(judge(&call.request.message, &other.request.message, rules, &LearnedValues::NOTHING), &mut found);
    }
    match (&call.reply, &other.reply) {
        // What it lists is compared by name.
        (Some(_), Some(_)) if is_list(call.method()) => {}
        (Some(reply), Some(got)) => {
            add(judge(&reply.message, &got.message, rules, &LearnedValues::NOTHING), &mut found);
        }
        (None, None) => {}
        (reply, got) => found.differences.push(Difference {
            path: ".".to_owned(),
            expected: reply.map(|it| text(&it.message)),
            got: got.map(|it| text(&it.message)),
        }),
    }
    diff.excused.extend(found.excused);
    if found.differences.is_empty() {
        diff.same += 1;
        return;
    }
    diff.calls.push(CallChange {
        kind: ChangeKind::Changed,
        left: Some(call.request.seq),
        right: Some(other.request.seq),
        differences: found.differences,
        ..one_sided(call, ChangeKind::Changed)
    });
}

fn add(more: Findings, found: &mut Findings) {
    found.differences.extend(more.differences.into_iter().filter(|it| it.path != ".id"));
    // Ids are the client's own, and need not be the same.
    found.excused.extend(more.excused.into_iter().filter(|it| it.path != ".id"));
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.raw()).into_owned()
}
