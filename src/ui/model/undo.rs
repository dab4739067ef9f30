//! What was done last, as far as it can be taken back; of what has left, why it cannot.

use std::path::PathBuf;
use std::sync::Arc;

use super::rules_screen::RuleKey;
use super::{Model, ScreenKind};
use crate::envelope::Seq;
use crate::event::{Annotation, Command, Holding, MessageMark, RuleCommand};

/// Steps that are remembered.
const MOST: usize = 100;

/// How something was before.
pub(crate) enum UndoStep {
    Draft(DraftBefore),
    /// Marks and comments, of the tape that was open.
    Marks(Option<PathBuf>, Vec<Annotation>),
    Holding {
        before: Holding,
        set: Holding,
    },
    /// A rule that was taken away.
    Rule(RuleKey),
    /// A rule that was on or off.
    RuleSwitch {
        rule: RuleKey,
        on: bool,
    },
    /// It has left, and nothing brings it back: says so, and what can be done instead.
    Gone(String),
}

pub(crate) struct DraftBefore {
    seq: Seq,
    /// What was written of it and not sent; `None`: nothing.
    lines: Option<Arc<Vec<String>>>,
    /// It was written of a held message: of one that has left it means nothing.
    is_of_held: bool,
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

    /// A held message has left: of what was written of it, why it cannot be taken back.
    pub(crate) fn left(&mut self, seq: Seq, why: &str) {
        let is_of = |step: &UndoStep| matches!(step, UndoStep::Draft(draft) if draft.seq == seq && draft.is_of_held);
        self.0.iter_mut().filter(|step| is_of(step)).for_each(|step| *step = UndoStep::Gone(why.to_owned()));
    }

    /// Marks of a tape go with its list.
    pub(crate) fn forget_tapes(&mut self) {
        self.0.retain(|step| !matches!(step, UndoStep::Marks(Some(_), _)));
    }
}

impl Model {
    pub(crate) fn can_undo(&self) -> bool {
        self.last_step().is_some()
    }

    /// The last step that belongs to what is shown: what cannot be seen is not taken back.
    fn last_step(&self) -> Option<usize> {
        let tape = self.tape.as_ref().map(|tape| &tape.path);
        let belongs = |step: &UndoStep| match (step, self.screen) {
            (UndoStep::Rule(_) | UndoStep::RuleSwitch { .. }, screen) => screen == ScreenKind::Rules,
            (_, ScreenKind::Rules) => false,
            (UndoStep::Marks(of, _), screen) => screen != ScreenKind::Queue && of.as_ref() == tape,
            _ => true,
        };
        self.undo.0.iter().rposition(belongs)
    }

    /// Keeps what was written of a message, or lets go of it.
    pub(crate) fn set_draft(&mut self, seq: Seq, draft: Option<Arc<Vec<String>>>) {
        let is_other = self.queue.drafts.get(&seq) != draft.as_ref();
        let before = self.swap_draft(seq, draft);
        if is_other {
            let is_of_held = self.is_held(seq);
            self.undo.push(UndoStep::Draft(DraftBefore { seq, lines: before, is_of_held }));
        }
    }

    fn is_held(&self, seq: Seq) -> bool {
        self.observed.held.values().any(|held| held.envelope.seq == seq)
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
            let before = self.observed.holding.clone();
            self.undo.push(UndoStep::Holding { before, set: holding.clone() });
        }
        self.send(Command::SetHolding(holding));
    }

    /// Marks or comments are about to be others.
    pub(crate) fn remember_marks(&mut self, before: Vec<Annotation>) {
        let tape = self.tape.as_ref().map(|tape| tape.path.clone());
        self.undo.push(UndoStep::Marks(tape, before));
    }

    /// A step that is refused stays, and what is older waits behind it.
    pub(crate) fn undo_last(&mut self) {
        let Some(at) = self.last_step() else { return };
        if let Some(why) = self.why_not_undone(at) {
            return self.warn(why);
        }
        match self.undo.0.remove(at) {
            UndoStep::Draft(draft) => self.put_draft(draft),
            UndoStep::Marks(_, before) => self.put_marks(before),
            UndoStep::Holding { before, .. } => {
                self.notify(match (before.on, before.filter.is_empty()) {
                    (true, _) => format!("held again: {}", before.filter),
                    (false, true) => "nothing is held again; what waits stays held".to_owned(),
                    (false, false) => "hold is off again; what waits stays held".to_owned(),
                });
                self.send(Command::SetHolding(before));
            }
            // What became of it is the answer.
            UndoStep::Rule(rule) => {
                self.rules_screen.expect(rule.clone());
                self.ask_of_rule(rule, |name| RuleCommand::Restore { name });
            }
            UndoStep::RuleSwitch { rule, on } => self.ask_of_rule(rule, |name| RuleCommand::Switch { name, on }),
            UndoStep::Gone(why) => self.warn(why),
        }
    }

    fn why_not_undone(&self, at: usize) -> Option<String> {
        let UndoStep::Holding { set, .. } = &self.undo.0[at] else { return None };
        if self.is_of_several() {
            return Some(
                "each tapline held what it held before, which is not known here: `<messages hold>` holds in all"
                    .to_owned(),
            );
        }
        (*set != self.observed.holding)
            .then(|| "the hold is not what was set here: another screen has changed it, and it stays".to_owned())
    }

    fn is_of_several(&self) -> bool {
        self.metrics.figures.as_ref().is_some_and(|figures| figures.taplines > 1)
    }

    fn put_draft(&mut self, draft: DraftBefore) {
        let seq = draft.seq;
        if draft.is_of_held && !self.is_held(seq) {
            return self.warn(format!("{seq} is not held any more: what was written of it has gone with it"));
        }
        self.notify(match &draft.lines {
            Some(_) => format!("{seq} has its draft of before again"),
            None => format!("{seq} has no draft again: it is as it came"),
        });
        self.swap_draft(seq, draft.lines);
    }

    /// Asks the tapline that has the rule; what became of it is said when it is told.
    pub(crate) fn ask_of_rule(&mut self, rule: RuleKey, command: impl FnOnce(String) -> RuleCommand) {
        let RuleKey { tapline, name } = rule;
        let command = command(name);
        self.rules_screen.awaits_answer = true;
        self.send(match tapline {
            Some(tapline) => Command::RulesOf { tapline, command },
            None => Command::Rules(command),
        });
    }

    fn put_marks(&mut self, before: Vec<Annotation>) {
        let said = match &before[..] {
            [Annotation { seq, mark, .. }] => format!("{seq} {}", marked_words(self.messages().0.mark(*seq), mark)),
            all => format!("{} are marked again", all.len()),
        };
        self.annotate(before);
        self.notify(said);
    }
}

/// One step changes the mark or the comment.
fn marked_words(now: Option<&MessageMark>, before: &MessageMark) -> &'static str {
    let is_marked = now.is_some_and(|now| now.is_marked);
    match (is_marked == before.is_marked, is_marked, before.comment.is_empty()) {
        (true, _, true) => "has no comment any more",
        (true, _, false) => "has its comment of before",
        (false, true, _) => "is not marked any more",
        (false, false, _) => "is marked again",
    }
}
