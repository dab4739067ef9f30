//! The rules of one reading of the files, in order, and which of them a message may concern.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::action::{ActionState, RuleAction, RuleEffect};
use super::chance::SeededChance;
use super::read::RuleDraft;
use crate::envelope::{Author, Direction, Envelope, SessionId};
use crate::event::{Level, LogLine};
use crate::filter::{Filter, MessageContext, Outline};
use crate::intercept::{Verdict, Watch};
use crate::message::Kind;

/// Outlines that are remembered; names of resources may be without end.
const MOST_OUTLINES: usize = 4096;

/// One rule.
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) when: Filter,
    pub(super) action: RuleAction,
    pub(super) limits: RuleLimits,
    pub(super) flags: RuleFlags,
    pub(super) matched: AtomicU64,
    pub(super) state: Mutex<ActionState>,
}

/// Of the messages that match, which are hit.
#[derive(Clone, Debug)]
pub(super) struct RuleLimits {
    /// So many are let by first.
    pub(super) after: u64,
    /// Then each so many-th.
    pub(super) every: u64,
    /// At most so many in all.
    pub(super) times: Option<u64>,
    pub(super) probability: f64,
}

/// Flags of a session: rules that follow on each other.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleFlags {
    pub(super) set: Option<Arc<str>>,
    pub(super) clear: Option<Arc<str>>,
    pub(super) when_set: Option<Arc<str>>,
    pub(super) when_clear: Option<Arc<str>>,
}

/// All rules, and what they remember.
pub struct RuleSet {
    rules: Vec<Rule>,
    outlines: RwLock<HashMap<u64, Vec<KnownOutline>>>,
    hasher: RandomState,
    flags: Mutex<HashSet<(SessionId, Arc<str>)>>,
    watch: Option<Mutex<Watch>>,
}

/// Which rules may concern messages of one outline.
struct KnownOutline {
    direction: Direction,
    kind: Kind,
    method: Option<Box<str>>,
    name: Option<Box<str>>,
    candidates: Arc<[Candidate]>,
}

/// A rule that may concern a message.
#[derive(Clone, Copy)]
struct Candidate {
    rule: usize,
    /// The outline alone says that it matches.
    is_certain: bool,
}

/// What the rules made of a message, and what is to be told of it.
pub struct Ruling {
    pub verdict: Verdict,
    pub lines: Vec<LogLine>,
}

impl RuleSet {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        let asks_history = rules.iter().any(|rule| rule.when.asks_history());
        let watch = asks_history.then(|| Mutex::new(Watch::for_filters(rules.iter().map(|rule| &rule.when))));
        let (outlines, flags) = (RwLock::default(), Mutex::default());
        Self { rules, outlines, hasher: RandomState::new(), flags, watch }
    }

    /// The rules of several files, one file after the other.
    pub fn of(drafts: Vec<RuleDraft>) -> Self {
        Self::new(drafts.into_iter().flat_map(|draft| draft.rules).collect())
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The names of the rules, in order, and how often each has hit.
    pub fn hits(&self) -> Vec<(Arc<str>, u64)> {
        self.rules.iter().map(|rule| (rule.name.clone(), rule.state.lock().hits)).collect()
    }

    /// Of rules whose filters ask what cannot be known on the wire: the name and why.
    pub fn notes(&self) -> Vec<String> {
        let notes = self.rules.iter().flat_map(|rule| {
            let notes = rule.when.notes(crate::filter::FilterPlace::Wire);
            notes.into_iter().map(|note| format!("rule `{}`: {note}", rule.name))
        });
        notes.collect()
    }

    /// Asks the rules in order. What they change is changed in the envelope, what else they decide is returned.
    pub fn decide(&self, envelope: &mut Envelope, session: &dyn MessageContext) -> Ruling {
        if let Some(watch) = &self.watch {
            watch.lock().observe(envelope);
        }
        let mut ruling = Ruling { verdict: Verdict::Continue, lines: Vec::new() };
        let mut candidates = self.candidates(envelope);
        let (mut next, mut delay) = (0, Delay::default());
        while let Some(candidate) = candidates.iter().copied().find(|candidate| candidate.rule >= next) {
            next = candidate.rule + 1;
            let rule = &self.rules[candidate.rule];
            if !(candidate.is_certain || self.matches(rule, envelope, session)) || !rule.action.is_for(envelope) {
                continue;
            }
            let Some(effect) = self.hit(rule, envelope) else { continue };
            match effect {
                // It may be another message now.
                RuleEffect::Next => candidates = self.candidates(envelope),
                RuleEffect::Wait(time) => delay.add(time, &rule.name),
                RuleEffect::Said(text) => ruling.lines.push(rule.line(Level::Info, &text, envelope)),
                RuleEffect::Failed(why) => {
                    let text = format!("nothing was changed: {why}");
                    ruling.lines.push(rule.line(Level::Warn, &text, envelope));
                }
                RuleEffect::Final(verdict) => {
                    ruling.verdict = verdict;
                    break;
                }
            }
        }
        ruling.verdict = delay.before(ruling.verdict);
        ruling
    }

    fn matches(&self, rule: &Rule, envelope: &Envelope, session: &dyn MessageContext) -> bool {
        match &self.watch {
            Some(watch) => rule.when.matches_in(envelope, &watch.lock().context(session)),
            None => rule.when.matches_in(envelope, &Watch::default().context(session)),
        }
    }

    /// Does what a rule that matches does, unless it is not its turn.
    fn hit(&self, rule: &Rule, envelope: &mut Envelope) -> Option<RuleEffect> {
        let session = envelope.session;
        let is_set = |flag: &Arc<str>| self.flags.lock().contains(&(session, flag.clone()));
        let RuleFlags { set, clear, when_set, when_clear } = &rule.flags;
        if !when_set.as_ref().is_none_or(is_set) || when_clear.as_ref().is_some_and(is_set) {
            return None;
        }
        let RuleLimits { after, every, times, probability } = rule.limits;
        let matched = rule.matched.fetch_add(1, Ordering::Relaxed);
        if matched < after || !(matched - after).is_multiple_of(every) {
            return None;
        }
        let mut state = rule.state.lock();
        let is_its_turn = times.is_none_or(|times| state.hits < times)
            && (probability >= 1.0 || state.chance.fraction() < probability);
        if !is_its_turn {
            return None;
        }
        state.hits += 1;
        let effect = rule.action.apply(envelope, Author::Rule(rule.name.to_string()), &mut state);
        drop(state);
        envelope.hit_by(&rule.name);
        if set.is_some() || clear.is_some() {
            let mut flags = self.flags.lock();
            clear.iter().for_each(|flag| {
                flags.remove(&(session, flag.clone()));
            });
            flags.extend(set.iter().map(|flag| (session, flag.clone())));
        }
        Some(effect)
    }

    fn candidates(&self, envelope: &Envelope) -> Arc<[Candidate]> {
        let outline = Outline {
            direction: envelope.direction,
            kind: envelope.kind(),
            method: envelope.method(),
            name: envelope.name(),
        };
        let hash = self.hasher.hash_one(outline);
        if let Some(known) = self.outlines.read().get(&hash).and_then(|all| all.iter().find(|it| it.is(&outline))) {
            return known.candidates.clone();
        }
        let asked = self.rules.iter().enumerate().filter_map(|(rule, it)| match it.when.decides(&outline) {
            Some(false) => None,
            decided => Some(Candidate { rule, is_certain: decided == Some(true) }),
        });
        let candidates: Arc<[Candidate]> = asked.collect();
        let mut outlines = self.outlines.write();
        if outlines.len() >= MOST_OUTLINES {
            outlines.clear();
        }
        outlines.entry(hash).or_default().push(KnownOutline {
            direction: outline.direction,
            kind: outline.kind,
            method: outline.method.map(Into::into),
            name: outline.name.map(Into::into),
            candidates: candidates.clone(),
        });
        candidates
    }
}

impl KnownOutline {
    fn is(&self, outline: &Outline<'_>) -> bool {
        let Outline { direction, kind, method, name } = *outline;
        (self.direction, self.kind, self.method.as_deref(), self.name.as_deref()) == (direction, kind, method, name)
    }
}

impl Rule {
    pub(super) fn new(
        name: Arc<str>,
        when: Filter,
        action: RuleAction,
        limits: RuleLimits,
        flags: RuleFlags,
        seed: u64,
    ) -> Self {
        let state = ActionState { chance: SeededChance::new(seed, &name), free: None, hits: 0 };
        Self { name, when, action, limits, flags, matched: AtomicU64::new(0), state: Mutex::new(state) }
    }

    fn line(&self, level: Level, text: &str, envelope: &Envelope) -> LogLine {
        let line = LogLine::new(level, "rule", format!("`{}`: {text}", self.name));
        line.of(envelope.session).about(envelope.seq)
    }
}

/// How long a message waits, and because of which rules.
#[derive(Default)]
struct Delay {
    time: Duration,
    rules: Vec<Arc<str>>,
}

impl Delay {
    fn add(&mut self, time: Duration, rule: &Arc<str>) {
        self.time += time;
        self.rules.push(rule.clone());
    }

    fn before(self, verdict: Verdict) -> Verdict {
        if self.time.is_zero() {
            return verdict;
        }
        let reason = format!("delayed by rule {}", self.rules.join(", "));
        Verdict::Delay(self.time, reason, Box::new(verdict))
    }
}
