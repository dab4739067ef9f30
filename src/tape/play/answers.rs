//! What the recorded client answered to requests of the server: sampling, roots, elicitation, ping.

use std::collections::{HashMap, VecDeque};

use super::script::{Script, StepKind};
use crate::message::Message;
use crate::tape::compare::nearest;

/// Of so many open questions of one method the nearest is looked for: there may be a million pings.
const CANDIDATES: usize = 256;

/// The steps of a session that answer and were not played yet, by the method they answer, in the order of the tape.
#[derive(Debug, Default)]
pub(super) struct RecordedAnswers(HashMap<String, VecDeque<usize>>);

impl RecordedAnswers {
    /// Those of each session of a script.
    pub(super) fn of_each(script: &Script) -> Vec<Self> {
        let mut answers: Vec<Self> = script.sessions.iter().map(|_| Self::default()).collect();
        for (index, step) in script.steps.iter().enumerate() {
            if let StepKind::Answer { question: Some(question) } = &step.kind
                && let Some(method) = question.outline.method()
            {
                let answers = &mut answers[step.session()].0;
                match answers.get_mut(method) {
                    Some(known) => known.push_back(index),
                    None => drop(answers.insert(method.to_owned(), [index].into())),
                }
            }
        }
        answers
    }

    /// Takes the step that answers a question best: fewest differences in the parameters, of equals the first.
    pub(super) fn take_nearest(&mut self, script: &Script, question: &Message) -> Option<usize> {
        let open = self.0.get_mut(question.method()?)?;
        let recorded = open.iter().take(CANDIDATES).enumerate().filter_map(|(at, index)| {
            let StepKind::Answer { question: Some(recorded) } = &script.steps[*index].kind else { return None };
            Some((at, recorded.message.load(&script.files).ok()?))
        });
        open.remove(nearest(recorded, question)?)
    }
}
