//! The rules of one reading of the files, in order, and which of them a message may concern.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::action::{ActionState, AsideAct, RuleAction, RuleEffect};
use super::chance::SeededChance;
use super::document::WrittenRule;
use super::redirect::{AskerCell, RedirectedRequest, UpstreamAsker};
use crate::envelope::{Author, Direction, Envelope, SessionId};
use crate::event::{Level, LogLine, RuleStatus, Timestamp};
use crate::filter::{Filter, MessageContext, Outline};
use crate::intercept::{Verdict, Watch};
use crate::message::Kind;

/// Outlines that are remembered; names of resources may be without end.
const MOST_OUTLINES: usize = 4096;

/// Rules that were removed and can come back.
pub(super) const MOST_TAKEN: usize = 100;

/// One rule as it is in force: its filter, its limits, its actions.
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) when: Filter,
    pub(super) action: RuleAction,
    pub(super) limits: RuleLimits,
    pub(super) flags: RuleFlags,
    /// Where it stands, and how.
    pub(super) origin: RuleOrigin,
    /// What it does and to what: rules that are alike in it are one rule.
    definition: String,
    memory: Arc<RuleMemory>,
}

/// The rules of one file.
#[derive(Default)]
pub struct RuleDraft {
    pub(super) rules: Vec<Rule>,
    /// What the file says it is for.
    pub about: String,
}

/// Where a rule comes from, and how it stands there.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleOrigin {
    pub(super) is_on: bool,
    pub(super) tags: Vec<String>,
    pub(super) place: Arc<str>,
    pub(super) is_unsaved: bool,
    pub(super) written: WrittenRule,
}

/// What a rule remembers; it outlives a reading of the files that leaves the rule as it was.
struct RuleMemory {
    matched: AtomicU64,
    state: Mutex<ActionState>,
    /// It is not asked any more until it is changed.
    is_off: AtomicBool,
}

/// Which of the messages that match are hit.
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

/// The flags that are set, each of one session.
type FlagsSet = HashSet<(SessionId, Arc<str>)>;

/// All rules, and what they remember.
pub struct RuleSet {
    rules: Vec<Rule>,
    outlines: RwLock<HashMap<u64, Vec<KnownOutline>>>,
    hasher: RandomState,
    flags: Arc<Mutex<FlagsSet>>,
    asker: AskerCell,
    watch: Option<Mutex<Watch>>,
    /// Whether a rule makes progress up.
    makes_progress: bool,
    /// What those remembered that are no more, the latest last.
    gone: Vec<GoneRule>,
    /// One of those that is here again.
    brought_back: Option<Arc<str>>,
}

/// What a rule remembered that is no more.
#[derive(Clone)]
struct GoneRule {
    name: Arc<str>,
    definition: String,
    memory: Arc<RuleMemory>,
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
    /// What is to be done beside the message.
    pub asides: Vec<AsideAct>,
    /// The place of the rule after which no other was asked.
    pub ended_by: Option<usize>,
}

impl RuleSet {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        let asks_history = rules.iter().any(|rule| rule.when.asks_history());
        let watch = asks_history.then(|| Mutex::new(Watch::for_filters(rules.iter().map(|rule| &rule.when))));
        let (outlines, flags, asker) = (RwLock::default(), Arc::default(), AskerCell::default());
        let makes_progress = rules.iter().any(|rule| matches!(rule.action, RuleAction::Progress(_)));
        let (hasher, gone, brought_back) = (RandomState::new(), Vec::new(), None);
        Self { rules, outlines, hasher, flags, asker, watch, makes_progress, gone, brought_back }
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
        self.rules.iter().map(|rule| (rule.name.clone(), rule.memory.state.lock().hits)).collect()
    }

    /// Each rule as it is shown, in order.
    pub fn status(&self) -> Vec<RuleStatus> {
        self.rules.iter().map(Rule::status).collect()
    }

    /// Goes on where rules before these stopped: those that have not changed keep what they remember, and all flags stay set.
    pub fn take_over(&mut self, before: &Self) {
        for rule in &mut self.rules {
            let same = before.rules.iter().find(|it| it.name == rule.name && it.definition == rule.definition);
            if let Some(same) = same {
                rule.memory = same.memory.clone();
                // What runs for it goes on running.
                rule.action = same.action.clone();
            }
        }
        self.flags = before.flags.clone();
        self.asker = before.asker.clone();
        self.take_over_gone(before);
    }

    /// The rule of this name was taken away and is here again: it is to go on where it stopped.
    pub(super) fn bring_back(&mut self, name: &str) {
        self.brought_back = Some(name.into());
    }

    fn take_over_gone(&mut self, before: &Self) {
        self.gone.clone_from(&before.gone);
        if let Some(name) = self.brought_back.take()
            && let Some(rule) = self.rules.iter_mut().find(|rule| rule.name == name)
            && let Some(at) = self.gone.iter().rposition(|it| it.name == name && it.definition == rule.definition)
        {
            rule.memory = self.gone.remove(at).memory;
        }
        for rule in before.rules.iter().filter(|rule| !self.rules.iter().any(|it| it.name == rule.name)) {
            let (name, definition, memory) = (rule.name.clone(), rule.definition.clone(), rule.memory.clone());
            self.gone.push(GoneRule { name, definition, memory });
        }
        self.gone.drain(..self.gone.len().saturating_sub(MOST_TAKEN));
    }

    /// Who asks other upstreams. The first one does, also for rules that take over from these.
    pub(super) fn ask_upstreams_with(&self, asker: UpstreamAsker) {
        let _ = self.asker.set(asker);
    }

    /// Returns a line for each rule whose filter asks what is not known on the wire: the rule's name, and why.
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
        let mut ruling = Ruling { verdict: Verdict::Continue, lines: Vec::new(), asides: Vec::new(), ended_by: None };
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
                RuleEffect::Aside(act) => ruling.asides.push(act),
                RuleEffect::Said(text) => ruling.lines.push(rule.line(Level::Info, &text, envelope)),
                RuleEffect::Failed(why) => ruling.lines.push(rule.failed(why, envelope)),
                RuleEffect::Broken(why) => ruling.lines.push(rule.broken(why, envelope)),
                RuleEffect::Redirect(upstream) => {
                    let asked = RedirectedRequest::new(rule.name.clone(), upstream, envelope, self.asker.clone());
                    (ruling.verdict, ruling.ended_by) = (Verdict::Ask(asked), Some(candidate.rule));
                    break;
                }
                RuleEffect::Final(verdict) => {
                    (ruling.verdict, ruling.ended_by) = (verdict, Some(candidate.rule));
                    break;
                }
            }
        }
        self.end_progress(envelope, delay.time, &mut ruling);
        ruling.verdict = delay.before(ruling.verdict);
        ruling
    }

    /// Once a reply has come, no progress is made up for its request any more.
    fn end_progress(&self, envelope: &Envelope, delay: Duration, ruling: &mut Ruling) {
        if let Some(to) = envelope.reply_to.as_ref().filter(|_| self.makes_progress) {
            ruling.asides.push(AsideAct::ProgressEnds(to.seq, delay));
        }
    }

    /// The places of the rules that would have been asked of a message, had this one not made an end of it.
    pub fn hidden_by(&self, ended_by: usize, envelope: &Envelope, session: &dyn MessageContext) -> Vec<usize> {
        let later = self.rules.iter().enumerate().skip(ended_by + 1).filter(|(_, rule)| rule.origin.is_on);
        let hidden = later.filter(|(_, rule)| self.matches(rule, envelope, session) && rule.action.is_for(envelope));
        hidden.map(|(at, _)| at).collect()
    }

    /// Rules that never have their turn, whatever comes, and the rules because of which.
    pub fn shadows(&self) -> Vec<(usize, usize)> {
        let ends_all = |earlier: &Rule, later: &Rule| {
            let same = earlier.when == later.when || earlier.when == Filter::all();
            same && earlier.ends_all() && later.origin.is_on
        };
        let places = 0..self.rules.len();
        let hidden = places.filter_map(|at| {
            let by = (0..at).find(|by| ends_all(&self.rules[*by], &self.rules[at]))?;
            Some((at, by))
        });
        hidden.collect()
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
        let hit = rule.take_turn(envelope)?;
        let effect = rule.action.apply(envelope, Author::Rule(rule.name.to_string()), hit, &rule.memory.state);
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
        let outline = Outline::of(envelope);
        let hash = self.hasher.hash_one(outline);
        if let Some(known) = self.outlines.read().get(&hash).and_then(|all| all.iter().find(|it| it.is(&outline))) {
            return known.candidates.clone();
        }
        let on = self.rules.iter().enumerate().filter(|(_, rule)| rule.origin.is_on);
        let asked = on.filter_map(|(rule, it)| match it.when.decides(&outline) {
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
        let definition = format!("{when} {action:?} {limits:?} {flags:?} {seed}");
        let chance = SeededChance::new(seed, &name);
        let state = ActionState { chance, free: None, hits: 0, last: None, broken: None, overtaken: HashMap::new() };
        let (matched, is_off) = (AtomicU64::new(0), AtomicBool::new(false));
        let memory = Arc::new(RuleMemory { matched, state: Mutex::new(state), is_off });
        let origin = RuleOrigin { is_on: true, ..RuleOrigin::default() };
        Self { name, when, action, limits, flags, origin, definition, memory }
    }

    /// Whether it is its turn, of a message that matches: the number of the hit.
    fn take_turn(&self, envelope: &Envelope) -> Option<u64> {
        let RuleLimits { after, every, times, probability } = self.limits;
        if self.memory.is_off.load(Ordering::Relaxed) {
            return None;
        }
        let matched = self.memory.matched.fetch_add(1, Ordering::Relaxed);
        if matched < after || !(matched - after).is_multiple_of(every) {
            return None;
        }
        // Let go before anything is done: a program takes its time, and other messages are not to wait for it.
        let mut state = self.memory.state.lock();
        let is_its_turn = times.is_none_or(|times| state.hits < times)
            && (probability >= 1.0 || state.chance.fraction() < probability);
        if !is_its_turn {
            return None;
        }
        state.hits += 1;
        state.last = Some((Timestamp::now(), envelope.seq));
        Some(state.hits)
    }

    /// Whether no message that it matches goes on to the next rule.
    fn ends_all(&self) -> bool {
        let RuleLimits { after, every, times, probability } = self.limits;
        let is_always = (after, every, times) == (0, 1, None) && probability >= 1.0;
        let is_bound = self.flags.when_set.is_some() || self.flags.when_clear.is_some();
        self.origin.is_on && is_always && !is_bound && self.action.is_final()
    }

    fn status(&self) -> RuleStatus {
        let RuleOrigin { is_on, tags, place, is_unsaved, written } = self.origin.clone();
        let state = self.memory.state.lock();
        RuleStatus {
            name: self.name.to_string(),
            tapline: None,
            when: self.when.expression().to_owned(),
            action: written.action,
            is_on,
            tags,
            place: place.to_string(),
            is_unsaved,
            hits: state.hits,
            last_hit: state.last.map(|(at, _)| at),
            last_seq: state.last.map(|(_, seq)| seq),
            broken: state.broken.clone().or_else(|| self.action.trouble()),
            text: written.text,
        }
    }

    /// It could not be done with this message.
    fn failed(&self, why: String, envelope: &Envelope) -> LogLine {
        let line = self.line(Level::Warn, &format!("nothing was changed: {why}"), envelope);
        self.memory.state.lock().broken = Some(why);
        line
    }

    /// It is not to be tried again.
    fn broken(&self, why: String, envelope: &Envelope) -> LogLine {
        let text = format!("it is off until it is changed, and nothing was changed: {why}");
        let line = self.line(Level::Error, &text, envelope);
        self.memory.state.lock().broken = Some(why);
        self.memory.is_off.store(true, Ordering::Relaxed);
        line
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
