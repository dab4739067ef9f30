//! What the recorded client answered to requests of the server: sampling, roots, elicitation, ping.

use std::collections::HashMap;

use super::script::{Script, StepKind};
use crate::message::Message;
use crate::tape::compare::nearest;

/// The steps of a session that answer and were not played yet, by the method they answer, in the order of the tape.
#[derive(Debug, Default)]
pub(super) struct RecordedAnswers(HashMap<String, Vec<usize>>);

impl RecordedAnswers {
    /// Those of each session of a script.
    pub(super) fn of_each(script: &Script) -> Vec<Self> {
        let mut answers: Vec<Self> = script.sessions.iter().map(|_| Self::default()).collect();
        for (index, step) in script.steps.iter().enumerate() {
            if let StepKind::Answer { question: Some(question) } = &step.kind
                && let Some(method) = question.method()
            {
                answers[step.session].0.entry(method.to_owned()).or_default().push(index);
            }
        }
        answers
    }

    /// Takes the step that answers a question best: fewest differences in the parameters, of equals the first.
    pub(super) fn take_nearest(&mut self, script: &Script, question: &Message) -> Option<usize> {
        let open = self.0.get_mut(question.method()?)?;
        let recorded = open.iter().enumerate().filter_map(|(at, index)| match &script.steps[*index].kind {
            StepKind::Answer { question: Some(recorded) } => Some((at, recorded)),
            _ => None,
        });
        Some(open.remove(nearest(recorded, question)?))
    }
}
