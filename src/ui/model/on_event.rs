//! What an event does to the model.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::change::Effect;
use super::editor::EditTarget;
use super::message_list::MessageList;
use super::message_rows::MessageRows;
use super::observed::{ObservedState, TouchedRow, outcome_words};
use super::popup::{Confirmation, Popup};
use super::server_said::ServerSaid;
use super::state::{Model, Pane, ScreenKind, age};
use super::tapes_screen::{AskedPlay, OpenTape, ReplayRun};
use crate::envelope::{Direction, Envelope, Outcome, Seq, SessionId};
use crate::event::{
    BranchedSession, Command, Event, Held, Holding, Landmark, Level, LogLine, OnQuit, Origin, ReplayEvent,
    ReplaySummary, ShadowEvent, TapeComparison, TapeEnd, TapePart, Timestamp,
};
use crate::mcp::error_code::ErrorCode;
use crate::message::Kind;
use crate::text::{self, micros_with_unit};
use crate::ui::host::Exit;

impl Model {
    /// Takes one event of the core in.
    pub(crate) fn on_event(&mut self, event: Event) {
        match event {
            Event::ResyncStarted => self.resync.rebuild = Some(ObservedState::default()),
            Event::ResyncDone => self.finish_resync(),
            Event::Tapes(list) => self.tapes.listed(list),
            Event::TapeOpened { path, session, part } => {
                let (started, goal) = (self.tapes.started(&path), self.tapes.goal.take());
                let mut tape = OpenTape {
                    path,
                    rows: MessageRows::of_tape(session, self.now),
                    list: MessageList::default(),
                    problems: Vec::new(),
                    started,
                    is_whole: false,
                    later: 0,
                    goal,
                    noted: HashSet::default(),
                };
                tape.read_on(part, self.settings.memory);
                self.open(tape);
            }
            Event::TapeRead { path, part, end } => self.read_on(&path, part, end),
            Event::Branched(branch) => self.on_branched(&branch),
            Event::Compared(found) => self.on_compared(found),
            Event::Replay(event) => self.on_replay_event(event),
            Event::Log(line) => self.on_log(line),
            Event::Annotated(noted) => self.on_annotated(&noted),
            Event::Figures(figures) => self.metrics.on_figures(figures),
            Event::Ending(progress) => self.quitting.ending = Some(progress),
            Event::Shadow(event) => self.on_shadow_event(event),
            Event::Stopping => self.effect(Effect::Exit(self.quitting.leaving.unwrap_or(Exit::Stopped))),
            event => self.apply_event(event),
        }
        if self.screen == ScreenKind::Events {
            self.log.unread = 0;
        }
    }

    fn on_log(&mut self, line: LogLine) {
        let is_retold = self.resync.rebuild.is_some();
        if !is_retold && line.seq.is_none() {
            self.say_answer(&line);
        }
        if let (Some(Landmark::Seam | Landmark::Rewind), Some(session)) = (line.landmark, line.session) {
            self.on_seam(session, &line);
        }
        if let (Some(Landmark::HangUp), Some(session), Some(request)) = (line.landmark, line.session, line.seq) {
            let observed = self.resync.rebuild.as_mut().unwrap_or(&mut self.observed);
            let began = observed.sessions.get(session).map_or(line.at, |row| row.session.started);
            observed.rows.give_up(request, line.at.0.saturating_sub(began.0));
            self.update_given_up();
        }
        self.log.push(line, is_retold);
    }

    /// What is said of rules is an answer to what was done with them, or a file that is not taken, which is said everywhere; what is
    /// said of a tape may be why it was not changed. Of several taplines one may refuse what the others do: that stays.
    fn say_answer(&mut self, line: &LogLine) {
        let awaited = self.rules_screen.awaits_answer;
        let is_of_rules = line.source == "rules" || (line.source == "attach" && awaited);
        if line.source == "mock" {
            self.tapes.to_be_served = None;
        } else if !is_of_rules && line.source != "tape" {
            return;
        }
        let first = line.text.lines().next().unwrap_or_default().to_owned();
        match line.level {
            Level::Error | Level::Warn => self.warn(first),
            Level::Info if line.source == "mock" => self.notify(first),
            Level::Info if line.source == "rules" && (awaited || self.screen == ScreenKind::Rules) => {
                if !self.notice.as_ref().is_some_and(|notice| notice.grave) {
                    self.notify(first);
                }
            }
            _ => return,
        }
        self.rules_screen.awaits_answer &= !is_of_rules;
    }

    /// A session goes on otherwise: that is drawn between its messages. Whoever asked for it is told.
    fn on_seam(&mut self, session: SessionId, line: &LogLine) {
        let rebuilt = self.resync.rebuild.iter_mut().map(|rebuild| &mut rebuild.rows);
        for rows in rebuilt.chain([&mut self.observed.rows]) {
            rows.note_seam(line.seq, session, line.text.clone());
        }
        let is_rewound = line.landmark == Some(Landmark::Seam);
        if is_rewound && self.asked.take_if(|asked| *asked == AskedPlay::Rewind(session)).is_some() {
            self.live.follow(&self.observed.rows);
            self.notify(line.text.clone());
        }
    }

    fn apply_event(&mut self, event: Event) {
        self.say_unsent(&event);
        self.say_given_up(&event);
        self.say_missed(&event);
        let seen = match &event {
            Event::Passed(envelope) => self.watches(envelope.session),
            Event::Held(held) => self.watches(held.envelope.session),
            _ => false,
        };
        if let Event::SessionOpened(session) = &event
            && session.origin == Origin::Shadow
        {
            self.live.set_apart(&self.observed.rows, session.id);
        }
        if let Event::SessionClosed { session, .. } = &event
            && self.asked.take_if(|asked| *asked == AskedPlay::Rewind(*session)).is_some()
        {
            self.warn("not rewound: the session has ended; `<messages branch>` branches off it");
        }
        if self.resync.rebuild.is_none() {
            self.log_act(&event);
        }
        // The old state stays while it is told again, so that the screen does not stand still.
        if let Some(rebuild) = &mut self.resync.rebuild {
            rebuild.apply(event.clone(), self.now, seen);
        }
        let first_held = self.first_held(&event);
        self.observed.stats.is_retold = self.resync.rebuild.is_some();
        if let Some(touched) = self.observed.apply(event, self.now, seen) {
            self.update_lists(touched);
        }
        if let Some(held) = first_held.filter(|_| self.screen != ScreenKind::Queue) {
            self.notify_first_held(&held);
        }
        self.end_questions_about_held();
    }

    /// What was written for a message that went without it, as at the deadline of its hold, is neither sent nor lost.
    fn say_unsent(&mut self, event: &Event) {
        if let Event::Passed(passed) = event
            && passed.held.is_some()
            && passed.outcome != Outcome::Abandoned
            && self.queue.drafts.contains_key(&passed.seq)
            && self.resync.rebuild.is_none()
        {
            self.warn(format!("{} went without its draft, which is kept: `<messages edit>` opens it", passed.seq));
        }
    }

    /// What waited for a person waits no more, as nobody waits for it: a key that was meant for it does nothing.
    fn say_given_up(&mut self, event: &Event) {
        let Event::Passed(passed) = event else { return };
        let hold = self.observed.hold_before(passed.seq).filter(|held| held.awaits_person(self.now));
        if passed.outcome == Outcome::Abandoned && hold.is_some() && self.resync.rebuild.is_none() {
            self.warn(self.given_up_words(passed));
        }
    }

    fn given_up_words(&self, passed: &Envelope) -> String {
        let seq = passed.seq;
        if passed.kind() != Kind::Request {
            return format!("{seq} is gone: a peer hung up while it was held");
        }
        let (asker, is_call) = match passed.direction {
            Direction::ToServer => ("client", true),
            Direction::ToClient => ("server", false),
        };
        let after = micros_with_unit(passed.held.unwrap_or_default());
        let then = match () {
            // The editor says what becomes of what stands there.
            () if !is_call || self.editor.as_ref().is_some_and(|editor| editor.seq == seq) => "",
            () if self.queue.drafts.contains_key(&seq) => "; its draft is kept: `<messages edit>` in the list opens it",
            () => "; `<messages edit>` in the list edits it and sends it all the same",
        };
        format!("{seq} is gone: its {asker} gave up after {after}{then}")
    }

    /// A tape that answers clients has no answer: a client of it has left what was recorded, which is to be seen on every screen.
    fn say_missed(&mut self, event: &Event) {
        if let Event::Passed(reply) = event
            && self.resync.rebuild.is_none()
            && ErrorCode::of(&reply.message) == Some(ErrorCode::NotOnTape)
            && let Some(text) = reply.message.at(&["error", "message"])
        {
            let text = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
            self.warn(format!("{}: {}", reply.seq, text.trim_start_matches("tapline: ")));
        }
    }

    /// What was held, and what people made of it, stands in the log beside what the core says.
    fn log_act(&mut self, event: &Event) {
        let subject = |envelope: &Envelope| {
            let words = [envelope.method(), envelope.name()];
            words.into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        let line = |level, text: String| LogLine { at: self.now, ..LogLine::new(level, "hold", text) };
        let line = match event {
            Event::Held(held) => {
                let text = format!("{} held by {}", subject(&held.envelope), held.reason);
                line(Level::Debug, text).about(held.envelope.seq).of(held.envelope.session)
            }
            Event::Passed(envelope) if envelope.held.is_some() || envelope.outcome.is_of_operator() => {
                let after = envelope.held.map(|held| format!(" after {}", age(held))).unwrap_or_default();
                let text = format!("{} {}{after}", subject(envelope), outcome_words(&envelope.outcome));
                // A rule that delays each message by a moment would leave nothing else to be seen.
                let level = if self.is_brief_delay(envelope) { Level::Debug } else { Level::Info };
                line(level, text).about(envelope.seq).of(envelope.session)
            }
            Event::Holding(holding) if *holding != self.observed.holding => {
                line(Level::Info, if holding.on { format!("on: {}", holding.filter) } else { "off".to_owned() })
            }
            _ => return,
        };
        self.log.push(line, false);
    }

    fn is_brief_delay(&self, envelope: &Envelope) -> bool {
        let hold = self.observed.hold_before(envelope.seq).filter(|_| envelope.was_sent());
        hold.is_some_and(|held| !held.awaits_person(self.now)) && !envelope.outcome.is_of_operator()
    }

    fn on_shadow_event(&mut self, event: ShadowEvent) {
        let diverged = event.compared.clone().filter(|it| it.verdict.diverges());
        let is_first = self.observed.shadow.first.is_none();
        if let Some(rebuild) = &mut self.resync.rebuild {
            diverged.iter().for_each(|it| {
                let _ = rebuild.rows.diverge(it);
            });
        }
        for seq in diverged.iter().flat_map(|it| self.observed.rows.diverge(it)).collect::<Vec<_>>() {
            self.update_lists(TouchedRow { seq, new: false });
        }
        if let Some(first) = event.counts.first.as_ref().filter(|_| is_first) {
            self.warn(format!("the shadow differs, first at {} {}: {}", first.seq, first.subject, first.what));
        }
        self.apply_event(Event::Shadow(event));
    }

    /// What is held for a person while nothing else is.
    fn first_held(&self, event: &Event) -> Option<Arc<Held>> {
        let Event::Held(held) = event else { return None };
        let is_first = self.resync.rebuild.is_none() && self.observed.awaiting(self.now).next().is_none();
        (held.awaits_person(self.now) && is_first).then(|| held.clone())
    }

    /// What a program was to decide on in a moment, and has not: that waits for a person by now, which is said if nothing else did
    /// before. Returns whether it was.
    pub(super) fn call_for_undecided(&mut self, before: Timestamp) -> bool {
        let is_first = self.screen != ScreenKind::Queue && self.observed.awaiting(before).next().is_none();
        let held = self.observed.awaiting(self.now).next().filter(|_| is_first).cloned();
        held.inspect(|held| self.notify_first_held(held)).is_some()
    }

    /// What a person who has never held anything needs to know.
    fn notify_first_held(&mut self, held: &Held) {
        let what = [held.envelope.method(), held.envelope.name()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let Seq(number) = held.envelope.seq;
        self.notify(format!(
            "#{number} {what} is held: `<everywhere queue>` shows it, `<held change>` changes a value, `<held edit>` all of it, \
             `<held forward>` lets it go"
        ));
    }

    /// Answers a question about held messages by itself when there are none left: that on leaving, and that on holding no more.
    fn end_questions_about_held(&mut self) {
        if matches!(self.popup, Some(Popup::Confirm(Confirmation::HoldOff))) && self.observed.held.is_empty() {
            self.popup = None;
            let filter = self.observed.holding.filter.clone();
            self.send(Command::SetHolding(Holding { on: false, filter }));
        }
        if matches!(self.popup, Some(Popup::Confirm(Confirmation::Quit))) && self.observed.held.is_empty() {
            self.popup = None;
            self.quit(OnQuit::Forward, Exit::Quit);
        }
    }

    fn update_lists(&mut self, touched: TouchedRow) {
        self.live.changed(&self.observed.rows, touched.seq, touched.new);
        if let Some(request) = self.observed.rows.answered_by(touched.seq) {
            self.live.answered(&self.observed.rows, request);
        }
        self.update_given_up();
        if let Some(first) = self.observed.rows.trim(self.settings.memory) {
            self.live.trimmed(first);
        }
        self.update_editor(touched.seq);
        self.update_offers(touched.seq);
        if let Some(call) = self.editor.as_mut().and_then(|editor| editor.call.as_mut()) {
            call.follow(&self.observed, touched.seq);
        }
    }

    /// What is given up waits no more, which a filter may ask.
    fn update_given_up(&mut self) {
        for request in self.observed.rows.take_given_up() {
            self.live.answered(&self.observed.rows, request);
        }
    }

    /// What the server offers may be listed while it is looked at.
    fn update_offers(&mut self, seq: Seq) {
        let Some(Popup::Offers(list)) = &mut self.popup else { return };
        let row = self.observed.rows.get(seq).filter(|row| row.envelope.session == list.session);
        if row.is_some_and(|row| ServerSaid::is_said_in(&row.envelope)) {
            let seen = self.offers_seen.entry(list.session).or_default();
            list.renew(&self.observed.rows, seen);
        }
    }

    /// The message in the editor may have been released by others.
    fn update_editor(&mut self, seq: Seq) {
        let Some(editor) = self.editor.as_mut().filter(|editor| editor.seq == seq) else { return };
        let (EditTarget::Held(ticket) | EditTarget::Answer(ticket)) = editor.target else { return };
        editor.gone = !self.observed.held.contains_key(&ticket);
    }

    fn open(&mut self, mut tape: OpenTape) {
        tape.list.go_to(&tape.rows, 0);
        tape.list.unfollowed = true;
        tape.go_to_goal();
        self.undo.forget_tapes();
        self.tape = Some(tape);
        (self.screen, self.pane) = (ScreenKind::Messages, Pane::List);
    }

    /// More of a tape came; nothing happens where it is no longer the one that is open.
    fn read_on(&mut self, path: &Path, part: TapePart, end: Option<Box<TapeEnd>>) {
        let Some(tape) = self.tape.as_mut().filter(|tape| tape.path == path) else { return };
        tape.read_on(part, self.settings.memory);
        let Some(end) = end.map(|it| *it) else { return };
        let messages = end.messages;
        tape.end(end);
        let (left_out, problem) = (tape.rows.older + tape.later, tape.problems.first().cloned());
        let shown = tape.rows.len() as u64 + left_out;
        if shown < messages {
            self.warn(format!("{} messages of this tape are not shown: open it again", messages - shown));
        } else if left_out > 0 {
            let mib = self.settings.memory >> 20;
            self.warn(format!(
                "{left_out} messages of this tape are not shown: `--memory` is {mib} MiB; `tapline tape show` has all"
            ));
        } else if let Some(problem) = problem {
            let count = self.tape.as_ref().map_or(0, |tape| tape.problems.len());
            self.warn(format!("{count} problems on this tape, the first: {problem}"));
        }
    }

    /// A branch that was asked for here is shown, by itself; one that others asked for is a session like any other.
    fn on_branched(&mut self, branch: &BranchedSession) {
        if self.asked.take_if(|asked| *asked == AskedPlay::Branch).is_none() {
            return;
        }
        self.tape = None;
        (self.screen, self.pane) = (ScreenKind::Messages, Pane::List);
        let rows = self.observed.sessions.all();
        let row = rows.iter().position(|row| row.session.id == branch.session).map_or(0, |at| at + 1);
        self.narrow_to_session(row);
        let differing = match branch.differing {
            0 => String::new(),
            replies => format!(", {replies} replies differ"),
        };
        let seq = branch.parent.seq;
        self.notify(format!(
            "branched off at {seq}{differing}: `<messages edit>` edits and sends, `<messages call>` calls, `<everywhere events>` says how a client goes on"
        ));
    }

    fn on_compared(&mut self, found: Arc<TapeComparison>) {
        if let Some(shown) = &mut self.compare.shown {
            shown.finish(found);
        }
    }

    fn on_replay_event(&mut self, event: ReplayEvent) {
        match &event {
            ReplayEvent::Finished(summary) => {
                let accepted = self.tapes.replay.as_ref().map_or(0, ReplayRun::accepted);
                self.notify(summary_words(summary, accepted));
                // Its own session is on a tape now.
                self.send(Command::ListTapes);
            }
            ReplayEvent::Failed { why } => {
                let what = match self.asked.take() {
                    None => "replay failed",
                    Some(AskedPlay::Branch) => "no branch",
                    Some(AskedPlay::Rewind(_)) => "not rewound",
                };
                self.warn(format!("{what}: {why}"));
            }
            ReplayEvent::Accepted { tape, request, values, left } => {
                let (values, tape) = (text::counted(*values, "value"), tape.display());
                let act = format!("{tape}: {values} of what answers {request} as the server has it");
                self.log.push(LogLine { at: self.now, ..LogLine::new(Level::Info, "tape", act) }, false);
                let words = format!("accepted: {values} of the tape as the server has it");
                match &left[..] {
                    [] => self.notify(words),
                    left => self.warn(format!("{words}, but not {}", left.join(", "))),
                }
            }
            ReplayEvent::Reading { .. }
            | ReplayEvent::Started { .. }
            | ReplayEvent::Waiting(_)
            | ReplayEvent::Step(_) => {}
        }
        self.tapes.on_event(event, self.now);
    }

    /// Events were lost: says so, and asks for everything again.
    pub(crate) fn on_events_dropped(&mut self, events: u64) {
        if self.resync.count_lost(events) {
            self.ask_resync();
        }
    }

    fn ask_resync(&mut self) {
        self.resync.ask(self.now);
        self.send(Command::Resync);
    }

    pub(super) fn retry_resync(&mut self) {
        if self.resync.is_overdue(self.now) {
            self.ask_resync();
        }
    }

    fn finish_resync(&mut self) {
        let Some(mut observed) = self.resync.finish() else { return };
        observed.sessions.keep_unread(&self.observed.sessions);
        observed.rows.older += self.observed.rows.older;
        observed.stats.keep_rate(&mut self.observed.stats);
        std::mem::swap(&mut observed.clients, &mut self.observed.clients);
        std::mem::swap(&mut observed.released, &mut self.observed.released);
        self.observed = observed;
        self.live.rows_replaced(&self.observed.rows);
    }
}

/// What a person has accepted meanwhile is what the tape expects.
fn summary_words(summary: &ReplaySummary, accepted: usize) -> String {
    let (what, rest) = if summary.stopped { ("stopped", ", the rest was not played") } else { ("done", "") };
    let (passed, failed) = (summary.passed, summary.failed.saturating_sub(accepted));
    let accepted = if accepted > 0 { format!(", {accepted} accepted") } else { String::new() };
    format!("replay {what}: {passed} passed, {failed} failed{accepted}{rest}")
}
