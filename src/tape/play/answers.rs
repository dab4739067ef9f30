//! What the recorded client answered to requests of the server: sampling, roots, elicitation, ping.

use std::collections::HashMap;

use super::script::{Script, StepKind};
use crate::message::Message;
use crate::tape::compare::nearest;

/// The steps of a script that answer and were not played yet, by the method they answer, in the order of the tape.
#[derive(Debug)]
pub(super) struct RecordedAnswers(HashMap<String, Vec<usize>>);

impl RecordedAnswers {
    pub(super) fn of(script: &Script) -> Self {
        let mut answers: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, step) in script.steps.iter().enumerate() {
            if let StepKind::Answer { question: Some(question) } = &step.kind
                && let Some(method) = question.method()
            {
                answers.entry(method.to_owned()).or_default().push(index);
            }
        }
        Self(answers)
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
