//! A comparison as one HTML file: what differs and what does not, side by side, in order and in time.

use std::io::Write;

use serde_json::{Value, json};

use super::calls::CallPair;
use super::{ComparedPair, DiffedTapes, PairOutcome, RecordedCall, RecordedCalls};
use crate::event::{DefinitionChange, Difference, TimingChange};
use crate::tape::page::{DIFF, MOST, harmless, page};
use crate::tape::{TapeError, TapeOutputError};
use crate::text::excerpt;

/// Longest value that is shown, in characters.
const LONGEST: usize = 4_000;

/// Items in a page that is being written, no more than so many.
struct PageItems<'o> {
    out: &'o mut dyn Write,
    written: usize,
}

impl PageItems<'_> {
    fn item(&mut self, item: &Value) -> Result<(), TapeOutputError> {
        let comma = if self.written == 0 { "" } else { "," };
        self.written += 1;
        Ok(write!(self.out, "{comma}{}", harmless(&item.to_string()))?)
    }

    fn each(&mut self, items: impl Iterator<Item = Value>) -> Result<(), TapeOutputError> {
        items.take(MOST.saturating_sub(self.written)).try_for_each(|it| self.item(&it))
    }
}

/// `calls`: of two tapes; a baseline has none.
pub(super) fn write(
    [left, right]: [&str; 2],
    summary: &str,
    definitions: &[DefinitionChange],
    calls: Option<&DiffedTapes>,
    out: &mut dyn Write,
) -> Result<(), TapeOutputError> {
    let [before, behind] = page(&format!("{left} and {right}"), DIFF);
    let timings = calls.map_or(&[][..], |calls| &calls.timings);
    let chosen = calls.map(|calls| calls.on_page(MOST.saturating_sub(definitions.len() + timings.len())));
    let pairs = calls.map_or(0, |calls| calls.pairs.len());
    let data = json!({
        "left": left,
        "right": right,
        "summary": summary,
        "more": (definitions.len() + timings.len() + pairs).saturating_sub(MOST),
        "troubles": calls.map_or_else(Vec::new, |calls| calls.troubles([left, right])),
        "items": [],
    });
    let end = "]}";
    let data = data.to_string();
    write!(out, "{before}{}", harmless(data.strip_suffix(end).expect("the items stand last")))?;
    let mut items = PageItems { out, written: 0 };
    items.each(definitions.iter().map(definition))?;
    items.each(timings.iter().map(timing))?;
    if let Some((calls, is_chosen)) = calls.zip(chosen) {
        calls.each_pair(is_chosen, |it| items.item(&it))?;
    }
    Ok(write!(items.out, "{end}{behind}")?)
}

fn definition(it: &DefinitionChange) -> Value {
    let note = it.within.then_some("while the session went on");
    json!({ "kind": it.kind, "what": it.what, "name": it.name, "note": note, "differences": shown(&it.differences) })
}

fn timing(it: &TimingChange) -> Value {
    let kind = if it.is_slower() { "slower" } else { "faster" };
    let note = format!("median of {} and {} calls", it.calls.0, it.calls.1);
    json!({ "kind": kind, "subject": it.subject, "took": it.right, "was": it.left, "note": note })
}

fn shown(differences: &[Difference]) -> Vec<Difference> {
    let cut = |value: &Option<String>, other: &Option<String>| {
        value.as_ref().map(|it| excerpt(it, other.as_deref(), LONGEST).to_string())
    };
    let shown = |it: &Difference| Difference {
        path: it.path.clone(),
        expected: cut(&it.expected, &it.got),
        got: cut(&it.got, &it.expected),
    };
    differences.iter().map(shown).collect()
}

impl DiffedTapes {
    /// What is not as it should be of either tape.
    fn troubles(&self, names: [&str; 2]) -> Vec<String> {
        let of = |name: &str, calls: &RecordedCalls| -> Vec<String> {
            calls.tape.troubles().iter().map(|why| format!("{name}: {why}; that was not compared")).collect()
        };
        [of(names[0], &self.left), of(names[1], &self.right)].concat()
    }

    /// Which pairs are on a page that has room for so many: those that differ first.
    fn on_page(&self, room: usize) -> impl FnMut(PairOutcome) -> bool {
        let mut differing = room;
        let mut same = room.saturating_sub(self.differing);
        move |outcome: PairOutcome| {
            let room = if outcome.differs { &mut differing } else { &mut same };
            let is_chosen = *room > 0;
            *room = room.saturating_sub(1);
            is_chosen
        }
    }

    fn each_pair(
        &self,
        mut is_chosen: impl FnMut(PairOutcome) -> bool,
        mut tell: impl FnMut(Value) -> Result<(), TapeOutputError>,
    ) -> Result<(), TapeOutputError> {
        self.each_found(&mut is_chosen, |pair, found| tell(self.pair(pair, &found)?))
    }

    fn pair(&self, pair: CallPair, found: &ComparedPair) -> Result<Value, TapeError> {
        let left = pair.left.map(|at| &self.left.calls[at as usize]);
        let right = pair.right.map(|at| &self.right.calls[at as usize]);
        let took = |call: Option<&RecordedCall>| call.and_then(|it| it.reply.as_ref()).map(|it| it.took);
        let (kind, differences) = match &found.change {
            Some(change) => (json!(change.kind), shown(&change.differences)),
            None => (json!("same"), Vec::new()),
        };
        let request = match left {
            Some(call) => self.left.request(call)?,
            None => self.right.request(right.expect("a pair has a side"))?,
        };
        Ok(json!({
            "kind": kind,
            "left": left.map(|it| it.seq),
            "right": right.map(|it| it.seq),
            "method": request.method(),
            "name": request.name(),
            "took": took(right),
            "was": took(left),
            "differences": differences,
            "excused": found.excused,
        }))
    }
}
