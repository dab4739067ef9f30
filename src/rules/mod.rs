//! RuleBook: what a hand did once, done by the program each time, from TOML files.
//!
//! ```toml
//! [[rule]]
//! name = "search is slow"
//! when = "~q ~tool search"
//! do = { delay = "200ms..2s" }
//! ```
//! `assets/rules/README.md` describes the format. RuleBook are asked in order, at the one point where messages are held, and what a rule
//! decides is a [`Verdict`] like any other: the spine carries it out as it does the operator's. A change or a
//! delay goes on to the next rule; everything else ends the asking.
//!
//! - `read` makes rules of TOML, or says all that is wrong with it;
//! - `set` asks them: by outline (direction, kind, method, name) first, so that rules that are for other messages cost nothing;
//! - `action` does one thing to one message.
//!
//! What rules draw by chance comes from a seed, and is the same in each run.

mod action;
mod chance;
mod files;
mod read;
mod set;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::RwLock;

pub use self::files::{RuleFiles, ready_set, ready_sets};
pub use self::read::{RuleDraft, RuleFault, read};
pub use self::set::{RuleSet, Ruling};
use crate::envelope::Envelope;
use crate::event::LogLine;
use crate::filter::MessageContext;
use crate::intercept::{Interceptor, Verdict};

/// A handle on the rules in force: the chain asks one clone, the watcher of the files replaces them through another.
#[derive(Clone)]
pub struct RuleBook {
    shared: Arc<SharedRules>,
}

struct SharedRules {
    current: RwLock<Arc<RuleSet>>,
    log: Box<dyn Fn(LogLine) + Send + Sync>,
}

impl RuleBook {
    /// A book with these rules. What they have to say goes to `log`.
    pub fn new(set: RuleSet, log: impl Fn(LogLine) + Send + Sync + 'static) -> Self {
        Self { shared: Arc::new(SharedRules { current: RwLock::new(Arc::new(set)), log: Box::new(log) }) }
    }

    /// Puts others in their place, from the next message on.
    pub fn replace(&self, set: RuleSet) {
        *self.shared.current.write() = Arc::new(set);
    }

    /// The rules in force.
    pub fn current(&self) -> Arc<RuleSet> {
        self.shared.current.read().clone()
    }
}

impl Interceptor for RuleBook {
    fn inspect(&self, envelope: &mut Envelope, session: &dyn MessageContext) -> Verdict {
        let Ruling { verdict, lines } = self.current().decide(envelope, session);
        lines.into_iter().for_each(|line| (self.shared.log)(line));
        verdict
    }
}
