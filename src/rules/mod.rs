//! Rules: what a hand did once, done by the program each time, from TOML files.
//!
//! ```toml
//! [[rule]]
//! name = "search is slow"
//! when = "~q ~tool search"
//! do = { delay = "200ms..2s" }
//! ```
//! `assets/rules/README.md` describes the format. Rules are asked in order, at the one point where messages are held, and what a rule
//! decides is a [`Verdict`] like any other: the spine carries it out as it does the operator's. A change or a
//! delay goes on to the next rule; everything else ends the asking.
//!
//! - `read` makes rules of TOML, or says all that is wrong with it;
//! - `set` asks them: by outline (direction, kind, method, name) first, so that rules that are for other messages cost nothing;
//! - `action` does one thing to one message;
//! - `redirect` has another upstream answer;
//! - `hand` makes a rule of what a hand did to a message, `preview` says what rules would have done to messages that were seen;
//! - `jq` runs a program on a message, within bounds; what takes longer is asked of [`crate::hooks`];
//! - `desk` keeps the texts of rules that a screen changes ([`crate::event::RuleCommand`]), `document` writes them with their comments.
//!
//! What rules draw by chance comes from a seed, and is the same in each run. How often each has hit, when last, and why it is
//! broken is in [`RuleSet::status`], which everybody else reads in [`crate::event::figures::Figures::rules`].

mod action;
mod chance;
mod desk;
mod document;
mod files;
mod hand;
mod jq;
mod preview;
mod read;
mod redirect;
mod set;
mod template;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

pub use self::action::{AsideAct, MadeUpProgress};
pub use self::desk::{RuleDesk, name_of};
pub use self::document::{RuleDocument, WrittenRule, reaches_beyond_messages};
pub use self::files::{RuleFiles, ready_set, ready_sets};
pub use self::hand::{HandAction, RuleProposal, free_name, from_hand, from_message, least_filter, proposals};
pub use self::preview::{PreviewCount, as_it_came, preview};
pub use self::read::{RuleFault, read};
pub use self::redirect::{UpstreamAsker, UpstreamQuestion};
pub use self::set::{RuleDraft, RuleSet, Ruling};
use crate::envelope::{Envelope, Seq, SessionId};
use crate::event::LogLine;
use crate::filter::MessageContext;
use crate::intercept::{Interceptor, Verdict};

/// A handle on the rules in force: the chain asks one clone, the watcher of the files replaces them through another.
#[derive(Clone)]
pub struct RuleBook {
    shared: Arc<SharedRules>,
}

struct SharedRules {
    /// Whether there is anything to ask: keeps the lock off the way of a message where there are no rules.
    is_armed: AtomicBool,
    current: RwLock<Arc<RuleSet>>,
    log: Box<dyn Fn(LogLine) + Send + Sync>,
    act: OnceLock<RuleActor>,
    faults: RwLock<Vec<String>>,
}

/// Does something beside a message.
type RuleActor = Box<dyn Fn(SessionId, Seq, AsideAct) + Send + Sync>;

impl RuleBook {
    /// A book with these rules. What they have to say goes to `log`.
    pub fn new(set: RuleSet, log: impl Fn(LogLine) + Send + Sync + 'static) -> Self {
        let (is_armed, current) = (AtomicBool::new(!set.is_empty()), RwLock::new(Arc::new(set)));
        let (log, act, faults) = (Box::new(log), OnceLock::new(), RwLock::default());
        Self { shared: Arc::new(SharedRules { is_armed, current, log, act, faults }) }
    }

    /// Who does what rules do beside a message. The first one does.
    pub fn act_with(&self, act: impl Fn(SessionId, Seq, AsideAct) + Send + Sync + 'static) {
        let _ = self.shared.act.set(Box::new(act));
    }

    /// Who asks other upstreams than the client's. The first one does.
    pub fn ask_upstreams_with(&self, asker: UpstreamAsker) {
        self.current().ask_upstreams_with(asker);
    }

    /// Puts others in their place, from the next message on. Those that have not changed go on where they were.
    pub fn replace(&self, mut set: RuleSet) {
        let mut current = self.shared.current.write();
        set.take_over(&current);
        let is_armed = !set.is_empty();
        *current = Arc::new(set);
        self.shared.is_armed.store(is_armed, Ordering::Release);
        self.shared.faults.write().clear();
    }

    /// Notes what is wrong with files that have changed; it stands until other rules are put in force.
    pub fn refuse(&self, faults: &str) {
        *self.shared.faults.write() = faults.lines().map(str::to_owned).collect();
    }

    /// What is wrong with files that have changed, a line each.
    pub fn faults(&self) -> Vec<String> {
        self.shared.faults.read().clone()
    }

    /// The rules in force.
    pub fn current(&self) -> Arc<RuleSet> {
        self.shared.current.read().clone()
    }
}

impl Interceptor for RuleBook {
    fn inspect(&self, envelope: &mut Envelope, session: &dyn MessageContext) -> Verdict {
        if !self.shared.is_armed.load(Ordering::Acquire) {
            return Verdict::Continue;
        }
        let Ruling { verdict, lines, asides, .. } = self.current().decide(envelope, session);
        if let Some(act) = self.shared.act.get() {
            asides.into_iter().for_each(|aside| act(envelope.session, envelope.seq, aside));
        }
        lines.into_iter().for_each(|line| (self.shared.log)(line));
        verdict
    }
}
