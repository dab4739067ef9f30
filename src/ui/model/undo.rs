//! What was done last, as far as it can be taken back; of what has left, why it cannot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Model;
use super::message_rows::MessageMark;
use crate::envelope::Seq;
use crate::event::{Command, Holding, RuleCommand};

/// Steps that are remembered.
const MOST: usize = 100;

/// How something was before.
pub(crate) enum UndoStep {
    /// What was written of a message and not sent; `None`: nothing.
    Draft(Seq, Option<Arc<Vec<String>>>),
    /// Marks and comments, of the tape that was open.
    Marks(Option<PathBuf>, Vec<(Seq, MessageMark)>),
    Holding(Holding),
    /// A rule that was taken away: its name, and what stood there.
    Rule(String, String),
    /// It has left, and nothing brings it back: says so, and what can be done instead.
    Gone(String),
}

#[derive(Default)]
pub(crate) struct UndoSteps(Vec<UndoStep>);

impl UndoSteps {
    pub(crate) fn push(&mut self, step: UndoStep) {
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(step);
    }
}

impl Model {
    pub(crate) fn can_undo(&self) -> bool {
        !self.undo.0.is_empty()
    }

    /// Keeps what was written of a message, or lets go of it.
    pub(crate) fn set_draft(&mut self, seq: Seq, draft: Option<Arc<Vec<String>>>) {
        let is_other = self.queue.drafts.get(&seq) != draft.as_ref();
        let before = self.swap_draft(seq, draft);
        if is_other {
            self.undo.push(UndoStep::Draft(seq, before));
        }
    }

    fn swap_draft(&mut self, seq: Seq, draft: Option<Arc<Vec<String>>>) -> Option<Arc<Vec<String>>> {
        match draft {
            Some(draft) => self.queue.drafts.insert(seq, draft),
            None => self.queue.drafts.remove(&seq),
        }
    }

    /// Holds something else from now on.
    pub(crate) fn set_holding(&mut self, holding: Holding) {
        if holding != self.observed.holding {
            self.undo.push(UndoStep::Holding(self.observed.holding.clone()));
        }
        self.send(Command::SetHolding(holding));
    }

    /// Marks or comments are about to be others.
    pub(crate) fn remember_marks(&mut self, before: Vec<(Seq, MessageMark)>) {
        let tape = self.tape.as_ref().map(|tape| tape.path.clone());
        self.undo.push(UndoStep::Marks(tape, before));
    }

    pub(crate) fn undo_last(&mut self) {
        match self.undo.0.pop() {
            Some(UndoStep::Draft(seq, before)) => {
                self.notify(match &before {
                    Some(_) => format!("{seq} has its draft of before again"),
                    None => format!("{seq} has no draft again: it is as it came"),
                });
                self.swap_draft(seq, before);
            }
            Some(UndoStep::Marks(tape, before)) => self.put_marks(tape.as_deref(), &before),
            Some(UndoStep::Holding(before)) => {
                self.notify(match (before.on, before.filter.is_empty()) {
                    (true, _) => format!("held again: {}", before.filter),
                    (false, true) => "nothing is held again; what waits stays held".to_owned(),
                    (false, false) => "hold is off again; what waits stays held".to_owned(),
                });
                self.send(Command::SetHolding(before));
            }
            Some(UndoStep::Rule(name, text)) => {
                self.notify(format!("`{name}` is back, behind all others: `<rules rule-up>` moves it up"));
                self.rules_screen.expect(name);
                self.send(Command::Rules(RuleCommand::Add { text }));
            }
            Some(UndoStep::Gone(why)) => self.warn(why),
            None => {}
        }
    }

    fn put_marks(&mut self, tape: Option<&Path>, before: &[(Seq, MessageMark)]) {
        if tape != self.tape.as_ref().map(|tape| tape.path.as_path()) {
            return self.warn("it was of a list that is not shown now, and is left as it is");
        }
        let (rows, list) = self.rows_mut();
        for (seq, mark) in before {
            rows.set_mark(*seq, mark.clone());
            list.changed(rows, *seq, false);
        }
        self.notify(match before {
            [(seq, _)] => format!("{seq} is marked and commented as before"),
            all => format!("{} are marked as before", all.len()),
        });
    }
}
