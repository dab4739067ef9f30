//! What rules would have done to messages that were seen: nothing is sent, no message waits.

use std::borrow::Borrow;

use super::read::read;
use super::set::{RuleSet, Ruling};
use crate::envelope::{Envelope, Outcome, Seq};
use crate::filter::{MessageContext, SavedFilters};

/// How many of the messages seen a rule would have touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreviewCount {
    pub touched: usize,
    pub seen: usize,
    /// Some of those it would have touched, first ones first.
    pub examples: Vec<Seq>,
}

/// Goes over messages with rules that are not in force. `context`: what is known of their sessions; `NothingKnown` will do.
///
/// # Errors
/// All that is wrong with the rules, in one line.
pub fn preview<M: Borrow<Envelope>>(
    rules: &str,
    saved: &SavedFilters,
    messages: impl Iterator<Item = M>,
    context: &dyn MessageContext,
) -> Result<PreviewCount, String> {
    let draft = read(rules, saved)
        .map_err(|faults| faults.into_iter().map(|fault| fault.why).collect::<Vec<_>>().join("; "))?;
    let set = RuleSet::of(vec![draft]);
    let mut count = PreviewCount::default();
    for message in messages {
        let Some(mut came) = as_it_came(message.borrow()) else { continue };
        count.seen += 1;
        let _: Ruling = set.decide(&mut came, context);
        if came.rules.is_some() {
            count.touched += 1;
            if count.examples.len() < MOST_EXAMPLES {
                count.examples.push(came.seq);
            }
        }
    }
    Ok(count)
}

const MOST_EXAMPLES: usize = 5;

/// A message as the rules would have got it; `None` for what tapline made itself.
pub fn as_it_came(envelope: &Envelope) -> Option<Envelope> {
    if matches!(envelope.outcome, Outcome::Injected(_) | Outcome::Withheld) {
        return None;
    }
    let message = envelope.original.clone().unwrap_or_else(|| envelope.message.clone());
    let outcome = Outcome::Forwarded;
    Some(Envelope { message, outcome, original: None, held: None, rules: None, ..envelope.clone() })
}
