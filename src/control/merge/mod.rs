//! Several taplines as one: their events in one stream under numbers of their own, commands to whom they are for.
//!
//! Pure: events and commands in, events and commands out. A tapline that tells everything again, because its screen
//! lagged or the connection broke, is compared with what it told before, and only the difference is passed on: no reader
//! hears anything twice, and none has to forget what the others told.

mod label;
mod numbers;
mod source;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::envelope::{Envelope, Seq, SessionId};
use crate::event::figures::Figures;
use crate::event::{
    AnnotateRequest, Annotation, CallStanding, Command, Comparison, Event, ExamineRequest, Finding, ForkRequest, Held,
    Holding, Landmark, LogLine, ReplayRequest, RewindRequest, ServeRequest, Session, SessionState, ShadowCounts,
    ShadowEvent, TapeInfo, Ticket,
};
use numbers::Last;
use source::{HeldEntry, MergeSource};

/// Names one tapline for as long as it is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u64);

/// What is known of a tapline beside its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub name: String,
    /// Where clients come in.
    pub front: String,
    pub upstream: String,
    /// Its process, where it is one of this machine.
    pub pid: Option<u32>,
}

/// Whose numbers messages are shown under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// Those of the one tapline that is watched: its log and its tapes say the same `#41`.
    Own,
    /// One count for all, in the order in which they are heard of.
    Common,
}

/// Where a command goes.
#[derive(Debug)]
pub enum CommandRoute {
    To(Vec<(SourceId, Command)>),
    /// To no tapline, with the text that tells the operator why.
    Nowhere(&'static str),
}

/// All that is known of the taplines watched.
pub struct Merge {
    numbering: Numbering,
    last: Last,
    last_ticket: u64,
    sources: BTreeMap<SourceId, MergeSource>,
    owners: HashMap<SessionId, SourceId>,
    tickets: HashMap<Ticket, (SourceId, Ticket)>,
    /// Holding as the screen was last told.
    holding: Holding,
    /// URL and upstream as the screen was last told.
    front: Option<(String, String)>,
    /// What the operator set, for taplines that join later.
    wish: Option<Holding>,
}

impl Merge {
    /// A merge of nothing yet.
    pub fn new(numbering: Numbering) -> Self {
        Self {
            numbering,
            last: Last::default(),
            last_ticket: 0,
            sources: BTreeMap::new(),
            owners: HashMap::new(),
            tickets: HashMap::new(),
            holding: Holding::default(),
            front: None,
            wish: None,
        }
    }

    /// Adds a tapline; returns the events that say so.
    pub fn join(&mut self, id: SourceId, about: About) -> Vec<Event> {
        self.sources.entry(id).or_insert_with(|| MergeSource::new(about));
        let relabelled = self.relabel();
        self.listening().into_iter().chain(relabelled).collect()
    }

    /// A tapline is gone: its sessions end, the others go on.
    pub fn remove(&mut self, id: SourceId, reason: &str) -> Vec<Event> {
        let Some(source) = self.sources.remove(&id) else { return Vec::new() };
        let mut events = Vec::new();
        for held in source.held.into_values() {
            self.tickets.remove(&held.ours);
            events.push(Event::Settled { ticket: held.ours });
        }
        for session in source.sessions.into_values() {
            self.owners.remove(&session.id);
            if !is_closed(&session) {
                events.push(Event::SessionClosed { session: session.id, reason: reason.to_owned() });
            }
        }
        events.extend(self.holding_changed(None));
        let relabelled = self.relabel();
        events.extend(self.listening());
        events.extend(relabelled);
        events.extend(source.figures.map(|_| self.figures()));
        events
    }

    /// What all hear when one tapline tells this.
    pub fn on_event(&mut self, id: SourceId, event: Event) -> Vec<Event> {
        let Some(source) = self.sources.get_mut(&id) else { return Vec::new() };
        match event {
            Event::Listening { url, upstream } => {
                (source.about.front, source.about.upstream) = (url, upstream);
                let relabelled = self.relabel();
                self.listening().into_iter().chain(relabelled).collect()
            }
            Event::SessionOpened(session) | Event::SessionChanged(session) => {
                self.on_session(id, Arc::unwrap_or_clone(session))
            }
            Event::SessionClosed { session, reason } => {
                source.close(session, &reason);
                vec![Event::SessionClosed { session, reason }]
            }
            Event::Held(held) => self.on_held(id, &held).into_iter().collect(),
            Event::Settled { ticket } => self.on_settled(id, ticket).into_iter().collect(),
            Event::Passed(envelope) => self.on_passed(id, &envelope),
            Event::Holding(holding) => self.on_holding(id, holding).into_iter().collect(),
            Event::Log(line) => self.on_log(id, line).into_iter().collect(),
            Event::Tapes(tapes) => {
                source.tapes = tapes;
                vec![Event::Tapes(self.tapes())]
            }
            Event::ResyncStarted => {
                source.begin_retelling();
                Vec::new()
            }
            Event::ResyncDone => self.in_resync(id),
            Event::Stopping => self.remove(id, "its tapline ended"),
            // Asked for by another screen: we read tapes ourselves.
            Event::TapeOpened { .. } | Event::TapeRead { .. } | Event::Compared(_) => Vec::new(),
            Event::Figures(figures) => {
                source.figures = Some(figures);
                vec![self.figures()]
            }
            Event::Shadow(event) => self.on_shadow(id, event).into_iter().collect(),
            Event::Found(finding) => {
                let seq = self.number(id, finding.seq);
                seq.map(|seq| Event::Found(Arc::new(Finding { seq, ..Finding::clone(&finding) }))).into_iter().collect()
            }
            Event::Annotated(noted) => {
                let seq = self.number(id, noted.seq);
                seq.map(|seq| Event::Annotated(Arc::new(Annotation { seq, ..Annotation::clone(&noted) })))
                    .into_iter()
                    .collect()
            }
            Event::Examined(standing) => self.on_examined(id, &standing).into_iter().collect(),
            Event::Replay(_) | Event::Branched(_) | Event::Gap { .. } | Event::Ending(_) => vec![event],
        }
    }

    fn on_examined(&mut self, id: SourceId, standing: &CallStanding) -> Option<Event> {
        let call = self.number(id, standing.call)?;
        Some(Event::Examined(CallStanding { call, ..standing.clone() }.into()))
    }

    /// Where a command of the operator goes, in the numbers of whom it goes to.
    pub fn route(&mut self, command: Command) -> CommandRoute {
        match command {
            Command::Settle { ticket, decision, then } => match self.tickets.get(&ticket) {
                Some((owner, theirs)) => to(*owner, Command::Settle { ticket: *theirs, decision, then }),
                None => CommandRoute::Nowhere(TOO_LATE),
            },
            Command::KeepPatient(ticket) => match self.tickets.get(&ticket) {
                Some((owner, theirs)) => to(*owner, Command::KeepPatient(*theirs)),
                None => CommandRoute::Nowhere(TOO_LATE),
            },
            Command::Send { session, .. }
            | Command::Speak { session, .. }
            | Command::Cancel { session, .. }
            | Command::CloseSession(session)
            | Command::Restart(session)
            | Command::Pause(session)
            | Command::Resume(session) => found(self.owners.get(&session).copied(), command, NO_SESSION),
            Command::SetHolding(holding) => {
                self.wish = Some(holding.clone());
                self.to_all(&Command::SetHolding(holding))
            }
            Command::Fork(asked) => self.route_fork(asked),
            Command::Rewind(asked) => self.route_rewind(asked),
            Command::Examine(asked) => {
                let (owner, call) = self.owned(asked.session, asked.call);
                found(owner, Command::Examine(ExamineRequest { call, ..asked }), NO_SESSION)
            }
            Command::Annotate(request) => self.route_annotations(request),
            Command::Replay(ReplayRequest { ref tape, .. }) | Command::IgnoreInReplay { ref tape, .. } => {
                found(self.player_of(tape), command, NO_SERVER)
            }
            Command::Serve(ServeRequest { ref tape, .. }) => found(self.player_of(tape), command, NO_FRONT),
            Command::StopServing(ref tape) => found(self.server_of(tape), command, NO_FRONT),
            Command::TendTape { ref tape, .. } | Command::AcceptReply { ref tape, .. } => {
                found(self.player_of(tape), command, NO_KEEPER)
            }
            Command::ForwardAll
            | Command::ListTapes
            | Command::StepReplay
            | Command::StopReplay
            | Command::Rules(_)
            | Command::Breakpoints(_) => self.to_all(&command),
            Command::RulesOf { tapline, command } => {
                let owner = self.sources.iter().find(|(_, source)| source.label == tapline).map(|(id, _)| *id);
                found(owner, Command::Rules(command), NO_RULES)
            }
            // These are for the screens that show us.
            Command::OpenTape(_) | Command::CompareTapes(_) | Command::Resync | Command::Quit { .. } => {
                CommandRoute::To(Vec::new())
            }
        }
    }

    /// What a tapline that has told everything is still to be asked: to hold what the operator wants held everywhere.
    pub fn wish(&self, id: SourceId) -> Option<Command> {
        let wish = self.wish.as_ref().filter(|wish| wish.on)?;
        let holding = self.sources.get(&id)?.holding.as_ref()?;
        (!holding.on).then(|| Command::SetHolding(wish.clone()))
    }

    /// A branch off a live session is asked for in our numbers, one off a tape in those on it.
    fn route_fork(&self, asked: ForkRequest) -> CommandRoute {
        let Some(session) = asked.session else {
            return found(self.player_of(&asked.tape), Command::Fork(asked), NO_SERVER);
        };
        let (owner, until) = self.owned(session, asked.until);
        found(owner, Command::Fork(ForkRequest { until, ..asked }), NO_SESSION)
    }

    /// On a tape the numbers are its own, of what is shown live they are ours.
    fn route_annotations(&self, request: AnnotateRequest) -> CommandRoute {
        if let Some(tape) = &request.tape {
            return found(self.player_of(tape), Command::Annotate(request), NO_KEEPER);
        }
        let mut asked = BTreeMap::<SourceId, Vec<Annotation>>::new();
        for noted in request.annotations {
            if let (Some(owner), seq) = self.owned(noted.session, noted.seq) {
                asked.entry(owner).or_default().push(Annotation { seq, ..noted });
            }
        }
        if asked.is_empty() {
            return CommandRoute::Nowhere(NO_SESSION);
        }
        let command = |annotations| Command::Annotate(AnnotateRequest { tape: None, annotations });
        CommandRoute::To(asked.into_iter().map(|(owner, noted)| (owner, command(noted))).collect())
    }

    fn route_rewind(&self, asked: RewindRequest) -> CommandRoute {
        let (owner, until) = self.owned(asked.session, asked.until);
        found(owner, Command::Rewind(RewindRequest { until, ..asked }), NO_SESSION)
    }

    /// Whose session it is, and the number of a message of it there.
    fn owned(&self, session: SessionId, seq: Seq) -> (Option<SourceId>, Seq) {
        let owner = self.owners.get(&session).copied();
        let source = owner.and_then(|owner| self.sources.get(&owner));
        (owner, source.and_then(|source| source.numbers.theirs(seq)).unwrap_or(seq))
    }

    /// All held messages, in our numbers.
    pub fn held(&self) -> impl Iterator<Item = Ticket> {
        self.tickets.keys().copied()
    }

    /// Which tapline a source is, while it is there.
    pub fn about(&self, id: SourceId) -> Option<&About> {
        self.sources.get(&id).map(|source| &source.about)
    }

    /// What a source is called beside the others, while it is there.
    pub fn label(&self, id: SourceId) -> Option<&str> {
        self.sources.get(&id).map(|source| &*source.label)
    }

    /// Tells the sources apart by what they are called; what was told under another name is told again.
    fn relabel(&mut self) -> Vec<Event> {
        let abouts: Vec<_> = self.sources.iter().map(|(id, source)| (*id, &source.about)).collect();
        let mut labels = label::labels(&abouts);
        let mut events = Vec::new();
        for (id, source) in &mut self.sources {
            let label = labels.remove(id).unwrap_or_default();
            let is_other = source.label != label;
            source.label = label;
            if is_other && self.numbering == Numbering::Common {
                let named = source.sessions.values().map(|session| source.named(session.clone()));
                events.extend(named.map(|session| Event::SessionChanged(Arc::new(session))));
            }
        }
        if !events.is_empty() && self.sources.values().any(|source| source.figures.is_some()) {
            events.push(self.figures());
        }
        events
    }

    /// How the front door reads when none or several stand open; nothing where that has been told.
    pub fn listening(&mut self) -> Option<Event> {
        let mut abouts = self.sources.values().map(|source| &source.about);
        let (url, upstream) = match (abouts.next(), self.sources.len()) {
            (None, _) => ("no tapline runs yet".to_owned(), "one that starts appears here".to_owned()),
            (Some(about), 1) => (about.front.clone(), about.upstream.clone()),
            (Some(_), count) => {
                let names: Vec<_> = self.sources.values().map(|source| source.label.as_str()).collect();
                (format!("{count} taplines"), names.join(", "))
            }
        };
        let front = Some((url.clone(), upstream.clone()));
        let changed = front != self.front;
        self.front = front;
        changed.then_some(Event::Listening { url, upstream })
    }

    fn on_session(&mut self, id: SourceId, session: Session) -> Vec<Event> {
        let Some(source) = self.sources.get_mut(&id) else { return Vec::new() };
        self.owners.insert(session.id, id);
        source.in_resync(|resync| resync.sessions.insert(session.id));
        let known = source.sessions.insert(session.id, session.clone());
        let named = |session: Session| match self.numbering {
            Numbering::Own => Arc::new(session),
            Numbering::Common => Arc::new(source.named(session)),
        };
        match known {
            None => vec![Event::SessionOpened(named(session))],
            Some(known) if known == session => Vec::new(),
            Some(known) => {
                let closed = match &session.state {
                    SessionState::Closed { reason } if !is_closed(&known) => {
                        Some(Event::SessionClosed { session: session.id, reason: reason.clone() })
                    }
                    _ => None,
                };
                std::iter::once(Event::SessionChanged(named(session))).chain(closed).collect()
            }
        }
    }

    fn on_held(&mut self, id: SourceId, held: &Held) -> Option<Event> {
        let source = self.sources.get_mut(&id)?;
        source.in_resync(|resync| resync.held.insert(held.ticket));
        if source.held.contains_key(&held.ticket) {
            return None;
        }
        let ours = match self.numbering {
            Numbering::Own => held.ticket,
            Numbering::Common => Ticket(self.last_ticket + 1),
        };
        self.last_ticket = ours.0;
        source.held.insert(held.ticket, HeldEntry { ours, seq: held.envelope.seq });
        self.tickets.insert(ours, (id, held.ticket));
        let envelope = self.renumbered(id, &held.envelope)?;
        Some(Event::Held(Arc::new(Held { ticket: ours, envelope, ..held.clone() })))
    }

    fn on_settled(&mut self, id: SourceId, theirs: Ticket) -> Option<Event> {
        let held = self.sources.get_mut(&id)?.held.remove(&theirs)?;
        self.tickets.remove(&held.ours);
        Some(Event::Settled { ticket: held.ours })
    }

    fn on_passed(&mut self, id: SourceId, envelope: &Arc<Envelope>) -> Vec<Event> {
        let Some(source) = self.sources.get_mut(&id) else { return Vec::new() };
        if source.numbers.has_passed(envelope.seq) {
            return Vec::new();
        }
        // Of what is told again, that a hold ended is not told again.
        let ticket = source.resync.as_ref().and_then(|_| source.ticket_of(envelope.seq));
        let settled = ticket.and_then(|ticket| self.on_settled(id, ticket));
        let passed = match self.numbering {
            Numbering::Own => Some(envelope.clone()),
            Numbering::Common => self.renumbered(id, envelope).map(Arc::new),
        };
        if let Some(source) = self.sources.get_mut(&id) {
            source.numbers.pass(envelope.seq, envelope.seq);
        }
        settled.into_iter().chain(passed.map(Event::Passed)).collect()
    }

    fn on_holding(&mut self, id: SourceId, holding: Holding) -> Option<Event> {
        let source = self.sources.get_mut(&id)?;
        let live = source.resync.is_none();
        source.holding = Some(holding.clone());
        if live && !holding.on {
            // It was turned off on another screen: one that joins later must not turn it on again.
            self.wish = None;
        }
        let changed = self.holding_changed(Some(holding));
        // An answer to the operator, also where it changes nothing.
        changed.or_else(|| live.then(|| Event::Holding(self.holding.clone())))
    }

    /// Held somewhere is held; the filter shown is that which was set last.
    fn holding_changed(&mut self, latest: Option<Holding>) -> Option<Event> {
        let on = self.sources.values().filter_map(|source| source.holding.as_ref()).find(|holding| holding.on);
        let mut holding = latest.unwrap_or_else(|| Holding { on: false, filter: self.holding.filter.clone() });
        if let (Some(on), false) = (on, holding.on) {
            holding = on.clone();
        }
        let changed = holding != self.holding;
        self.holding = holding;
        changed.then(|| Event::Holding(self.holding.clone()))
    }

    fn on_log(&mut self, id: SourceId, mut line: LogLine) -> Option<Event> {
        let many = self.sources.len() > 1;
        let source = self.sources.get_mut(&id)?;
        if !source.note_line(&line) {
            return None;
        }
        if many && line.session.is_none() {
            line.text = format!("{}: {}", source.label, line.text);
        }
        // What they say of seams names messages; all else that is said may be a peer's text.
        if self.numbering == Numbering::Common && matches!(line.landmark, Some(Landmark::Seam | Landmark::Rewind)) {
            line.text = source.numbers.in_text(&line.text);
        }
        line.seq = line.seq.and_then(|seq| self.number(id, seq));
        Some(Event::Log(line))
    }

    /// The counts of all together.
    fn on_shadow(&mut self, id: SourceId, event: ShadowEvent) -> Option<Event> {
        let ShadowEvent { mut counts, compared } = event;
        if let Some(first) = &mut counts.first {
            first.seq = self.number(id, first.seq)?;
        }
        self.sources.get_mut(&id)?.shadow = counts;
        let compared = match compared {
            Some(compared) => Some(Arc::new(Comparison {
                seq: self.number(id, compared.seq)?,
                reply: compared.reply.and_then(|reply| self.number(id, reply)),
                ..Comparison::clone(&compared)
            })),
            None => None,
        };
        let counts = ShadowCounts::sum(self.sources.values().map(|source| &source.shadow));
        Some(Event::Shadow(ShadowEvent { counts, compared }))
    }

    /// The end of what was told again: what is not there any more has ended unheard.
    fn in_resync(&mut self, id: SourceId) -> Vec<Event> {
        let Some(source) = self.sources.get_mut(&id) else { return Vec::new() };
        let (tickets, sessions) = source.end_retelling();
        let mut events: Vec<_> = tickets.into_iter().filter_map(|ticket| self.on_settled(id, ticket)).collect();
        let closed =
            |session| Event::SessionClosed { session, reason: "its tapline does not know it any more".to_owned() };
        events.extend(sessions.into_iter().map(closed));
        events
    }

    fn renumbered(&mut self, id: SourceId, envelope: &Envelope) -> Option<Envelope> {
        let mut envelope = envelope.clone();
        envelope.seq = self.number(id, envelope.seq)?;
        if let Some(reply_to) = &mut envelope.reply_to {
            reply_to.seq = self.number(id, reply_to.seq)?;
        }
        if let Some(began) = &mut envelope.part_of {
            *began = self.number(id, *began)?;
        }
        Some(envelope)
    }

    fn number(&mut self, id: SourceId, theirs: Seq) -> Option<Seq> {
        match self.numbering {
            Numbering::Own => Some(theirs),
            Numbering::Common => Some(self.sources.get_mut(&id)?.numbers.number(theirs, &mut self.last)),
        }
    }

    /// What all count together. Of one alone they are its own, to the last percentile.
    fn figures(&self) -> Event {
        let all = self.sources.values().filter_map(|source| source.figures.as_deref());
        let mut figures = Figures::sum(all);
        if self.sources.len() > 1 {
            let owners = self.sources.values().flat_map(|source| {
                let rules = source.figures.iter().flat_map(|figures| &figures.rules);
                rules.map(|_| &source.label)
            });
            figures.rules.iter_mut().zip(owners).for_each(|(rule, owner)| rule.tapline = Some(owner.clone()));
        }
        Event::Figures(Arc::new(figures))
    }

    /// The tapes of all, each once, newest first.
    fn tapes(&self) -> Vec<TapeInfo> {
        let mut tapes: Vec<_> = self.sources.values().flat_map(|source| source.tapes.iter().cloned()).collect();
        tapes.sort_by(|one, other| other.started.cmp(&one.started).then_with(|| one.path.cmp(&other.path)));
        tapes.dedup_by(|one, other| one.path == other.path);
        tapes
    }

    /// A tape is played at the upstream it was recorded from, else by the tapline that listed it.
    fn player_of(&self, tape: &Path) -> Option<SourceId> {
        let info = self.sources.values().flat_map(|source| &source.tapes).find(|info| info.path == tape);
        let same = |source: &MergeSource| info.is_some_and(|info| info.upstream == source.about.upstream);
        let listed = |source: &MergeSource| source.tapes.iter().any(|info| info.path == tape);
        let find =
            |fits: &dyn Fn(&MergeSource) -> bool| self.sources.iter().find(|(_, it)| fits(it)).map(|(id, _)| *id);
        find(&same).or_else(|| find(&listed)).or_else(|| self.sources.keys().next().copied())
    }

    /// Who serves a tape.
    fn server_of(&self, tape: &Path) -> Option<SourceId> {
        let serves = |source: &MergeSource| {
            let mut served = source.figures.iter().flat_map(|figures| &figures.served);
            served.any(|served| served.tape == tape)
        };
        self.sources.iter().find(|(_, source)| serves(source)).map(|(id, _)| *id)
    }

    fn to_all(&self, command: &Command) -> CommandRoute {
        CommandRoute::To(self.sources.keys().map(|id| (*id, command.clone())).collect())
    }
}

const TOO_LATE: &str = "too late: the message is not held any more";
const NO_SESSION: &str = "the tapline of that session has ended";
const NO_RULES: &str = "the tapline of that rule has ended";
const NO_SERVER: &str = "no tapline runs: there is no server to play the tape at";
const NO_FRONT: &str = "no tapline runs that serves the tape: `tapline mock` does";
const NO_KEEPER: &str = "no tapline runs that keeps tapes: `tapline tape` tends them";

/// To who is there, or nowhere and why.
fn found(owner: Option<SourceId>, command: Command, why: &'static str) -> CommandRoute {
    owner.map_or(CommandRoute::Nowhere(why), |owner| to(owner, command))
}

fn to(id: SourceId, command: Command) -> CommandRoute {
    CommandRoute::To(vec![(id, command)])
}

fn is_closed(session: &Session) -> bool {
    matches!(session.state, SessionState::Closed { .. })
}
