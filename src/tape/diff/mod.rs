//! How one tape differs from another, call by call.
//!
//! Calls are matched by method, name and arguments, not by their place: those with equal arguments in their order, the rest of a
//! method and name with whatever is nearest. Replies are compared as a replay compares them, so that what changes from run to run
//! counts for nothing. What a server says of its tools, prompts and templates is compared by their names, whichever call said it;
//! times are compared where there are enough of them to tell.
//!
//! ```text
//! calls.rs         the calls of a tape, and which of two tapes belong together
//! definitions.rs   what a server says of its tools: changes, and baselines that pin them
//! timing.rs        slower and faster, beyond chance
//! render.rs        text, JSON, JUnit, Markdown
//! ```

mod calls;
pub mod definitions;
mod render;
#[cfg(test)]
mod tests;
mod timing;

use serde::Serialize;

use self::calls::{RecordedCall, is_list, pairs};
pub use self::definitions::{DefinitionChange, Definitions};
pub use self::render::{DiffForm, render, render_definitions};
pub use self::timing::TimingChange;
use crate::envelope::Seq;
use crate::event::{Difference, Excused};
use crate::json::PathPattern;
use crate::message::Message;
use crate::tape::Tape;
use crate::tape::compare::{Findings, LearnedValues, Rules, RunClocks, judge};

/// What is new in the second tape, gone, or otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Added,
    Removed,
    Changed,
}

/// A call that is not the same on both tapes.
#[derive(Clone, Debug, Serialize)]
pub struct CallChange {
    pub kind: ChangeKind,
    pub method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Number of the request on the first tape, and on the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<Seq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<Seq>,
    /// By path: `.params` of the request, `.result` and `.error` of the reply.
    pub differences: Vec<Difference>,
}

/// All that differs between two tapes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TapeDiff {
    /// Calls that are the same on both.
    pub same: usize,
    pub calls: Vec<CallChange>,
    pub definitions: Vec<DefinitionChange>,
    pub timings: Vec<TimingChange>,
    /// What differs and need not be the same.
    pub excused: Vec<Excused>,
}

impl TapeDiff {
    /// Whether nothing differs but times.
    pub fn is_same(&self) -> bool {
        self.calls.is_empty() && self.definitions.is_empty()
    }

    /// Whether calls of some kind take longer, beyond chance.
    pub fn is_slower(&self) -> bool {
        self.timings.iter().any(TimingChange::is_slower)
    }
}

/// Compares two tapes; `ignore`: places in requests and replies that do not count.
pub fn diff(left: &Tape, right: &Tape, ignore: Vec<PathPattern>) -> TapeDiff {
    let clocks = Some(RunClocks { recorded: left.header.started, live: right.header.started });
    let rules = Rules { ignore, clocks, ..Rules::default() };
    let (calls, others) = (RecordedCall::all(left), RecordedCall::all(right));
    let mut diff = TapeDiff {
        definitions: Definitions::of(left).changes(&Definitions::of(right)),
        timings: timing::changes(&calls, &others),
        ..TapeDiff::default()
    };
    for pair in pairs(&calls, &others) {
        match pair {
            (Some(call), Some(other)) => compare_calls(call, other, &rules, &mut diff),
            (Some(call), None) => diff.calls.push(one_sided(call, ChangeKind::Removed)),
            (None, Some(other)) => diff.calls.push(one_sided(other, ChangeKind::Added)),
            (None, None) => {}
        }
    }
    diff
}

fn one_sided(call: &RecordedCall<'_>, kind: ChangeKind) -> CallChange {
    let seq = Some(call.request.seq);
    let (left, right) = if kind == ChangeKind::Removed { (seq, None) } else { (None, seq) };
    CallChange {
        kind,
        method: call.method().to_owned(),
        name: call.name().map(str::to_owned),
        left,
        right,
        differences: Vec::new(),
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
