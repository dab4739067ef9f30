//! A branch: a recorded session played to a message at a fresh server, and from there on a session like any other.
//!
//! One engine for both ways to it, `tapline replay --interactive` and the screen. What the branch records names its parent, and where
//! it left it; a seam on its tape stands between what was played and what is new.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Executor;
use super::replays;
use super::tapes::to_play;
use crate::envelope::Seq;
use crate::event::{
    BranchedSession, Event, ForkRequest, Landmark, Level, LogLine, ReplayEvent, StepVerdict, TapeParent,
};
use crate::headers::SESSION;
use crate::journal::Journal;
use crate::proxy::exchange::Connection;
use crate::proxy::sessions::SessionTable;
use crate::tape::play::{ClientConnection, PlayOptions, PlayableTape, TapeSelection, play};
use crate::upstream::UpstreamError;

/// A branch that is to be made.
pub(crate) struct BranchJob {
    pub(crate) tape: PlayableTape,
    /// The last message that both have, where it is not the tape's last.
    pub(crate) until: Option<Seq>,
    pub(crate) options: PlayOptions,
    /// The URL at which a client can go on with it; `None` where none can come.
    pub(crate) url: Option<String>,
}

/// A branch that was made. Its session ends when all who hold it have let go.
pub(crate) struct Branch {
    pub(crate) connection: Arc<Connection>,
    pub(crate) parent: TapeParent,
    outcome: BranchOutcome,
}

/// Begins a session, plays the tape in it to the message, leaves it open, and says what a client needs that is to go on with it. Of a tape
/// with several sessions it is the one that the message belongs to; what the clients of the others had said until then is played as well,
/// by clients of their own, since their server may be one for all, and those leave when the session is handed over.
///
/// # Errors
/// Where the server cannot be started.
pub(crate) async fn branch(
    table: &Arc<SessionTable>,
    journal: &Journal,
    job: BranchJob,
    stop: CancellationToken,
    mut tell: impl FnMut(ReplayEvent) + Send,
) -> Result<Branch, UpstreamError> {
    let connection = replays::begin(table)?;
    let session = connection.session.id();
    let last = job.until.or(job.tape.last()).unwrap_or(Seq(0));
    let parent = TapeParent { session: job.tape.header.session, seq: last };
    journal.branch(session, parent);
    let options = PlayOptions { keeps_session: true, ..job.options };
    let mut outcome = BranchOutcome::of(&job.tape);
    let hear = |event: ReplayEvent| {
        outcome.hear(&event);
        tell(event);
    };
    let (kept, own) = (job.tape.last_session(), connection.clone());
    let mut others = replays::connect(table, |_| ());
    let open = move |session| {
        if session == kept { Ok(ClientConnection::left_open(Arc::new(own.clone()))) } else { others(session) }
    };
    play(job.tape, open, options, hear, stop).await;
    let at = outcome.reached(last).map_or_else(String::new, |seq| format!(" at {seq}"));
    let branched = format!("branched off session {}{at}{}", parent.session.short(), outcome.lacking());
    // On the tape, too: what was played ends there, and what is new begins.
    table.proxy().log_landmark(LogLine::new(Level::Info, "fork", branched).of(session), Landmark::Seam);
    let way = job.url.map(|url| (url, table.hand_over(&connection)));
    let text = outcome.text(last, way.as_ref().map(|(url, id)| (url.as_str(), id.as_deref())));
    journal.log(LogLine::new(Level::Info, "fork", text).of(session));
    Ok(Branch { connection, parent, outcome })
}

impl Executor {
    /// Makes a branch of what is on a tape, also where that is being recorded, and leaves its session to the operator.
    pub(super) fn fork(&mut self, asked: ForkRequest) {
        let address = self.address;
        self.play_next(move |mounts, stop| async move {
            let journal = mounts.proxy().journal().clone();
            let failed = |why: String| journal.publish(Event::Replay(ReplayEvent::Failed { why }));
            // What passed a moment ago is to be on the tape; a journal that has ended has nothing left to write.
            let _ = journal.flush().await;
            let part = TapeSelection { until: Some(asked.until), ..TapeSelection::default() };
            let (tape, mount) = match to_play(&mounts, asked.tape.clone(), part, &stop).await {
                Ok(found) => found,
                Err(why) => return failed(why),
            };
            let url = address.map(|address| mount.url(address));
            let job = BranchJob { tape, until: Some(asked.until), options: PlayOptions::default(), url };
            let report = |event| journal.publish(Event::Replay(event));
            match branch(mount.table(), &journal, job, stop, report).await {
                Ok(branch) if branch.outcome.last.is_some() => {
                    let (session, differing) = (branch.connection.session.id(), branch.outcome.failed);
                    journal.publish(Event::Branched(BranchedSession { session, parent: branch.parent, differing }));
                }
                // What was not played is no branch.
                Ok(branch) => {
                    mount.table().close(branch.connection.session.id(), "nothing was played").await;
                    if branch.outcome.why.is_none() {
                        failed(format!(
                            "nothing was played up to {}: it was stopped before; `:branch` begins again",
                            asked.until
                        ));
                    }
                }
                Err(error) => failed(error.to_string()),
            }
        });
    }
}

/// How far the tape was played.
#[derive(Default)]
pub(super) struct BranchOutcome {
    last: Option<Seq>,
    /// Messages of the client that were to be played.
    steps: usize,
    passed: usize,
    failed: usize,
    skipped: usize,
    /// Messages that were said with marks in the place of secrets.
    without_secrets: usize,
    why: Option<String>,
}

impl BranchOutcome {
    pub(super) fn of(tape: &PlayableTape) -> Self {
        Self { without_secrets: tape.without_secrets, ..Self::default() }
    }

    pub(super) fn hear(&mut self, event: &ReplayEvent) {
        match event {
            ReplayEvent::Step(step) => {
                let count = match step.verdict {
                    StepVerdict::Pass => &mut self.passed,
                    StepVerdict::Fail => &mut self.failed,
                    StepVerdict::Skip => &mut self.skipped,
                };
                *count += 1;
                if step.verdict != StepVerdict::Skip {
                    self.last = self.last.max(Some(step.seq));
                }
            }
            ReplayEvent::Failed { why } => self.why = Some(why.clone()),
            ReplayEvent::Started { steps, .. } => self.steps = *steps,
            ReplayEvent::Reading { .. }
            | ReplayEvent::Waiting(_)
            | ReplayEvent::Finished(_)
            | ReplayEvent::Accepted { .. } => {}
        }
    }

    /// The message that was reached: where all was played, that which was asked for, as the screen names it, and not the client's last
    /// before it.
    fn reached(&self, asked: Seq) -> Option<Seq> {
        let is_all = self.passed + self.failed + self.skipped >= self.steps;
        self.last.map(|last| if is_all { asked } else { last })
    }

    /// What a fresh process was told.
    pub(super) fn said_again(&self) -> String {
        let count = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let said = count(self.passed + self.failed, "message", "messages");
        let mut text = format!("{said} of the client said again");
        if self.failed > 0 {
            text.push_str(&format!(", {}", count(self.failed, "answer differs", "answers differ")));
        }
        if self.skipped > 0 {
            text.push_str(&format!(", {} left out", self.skipped));
        }
        text + &self.lacking()
    }

    /// What is to be known of secrets that the server did not get; nothing where it got all.
    fn lacking(&self) -> String {
        match self.without_secrets {
            0 => String::new(),
            1 => ", 1 without its secrets: they are not on the tape".to_owned(),
            many => format!(", {many} without their secrets: those are not on the tape"),
        }
    }

    /// How far it came, and the way in which a client goes on: at which URL, by which id.
    fn text(&self, asked: Seq, way: Option<(&str, Option<&str>)>) -> String {
        let mut text = match (&self.why, self.reached(asked)) {
            (Some(why), _) => return format!("nothing was played: {why}"),
            (None, None) => return "nothing was played".to_owned(),
            (None, Some(last)) => format!("played to {last}"),
        };
        if self.failed > 0 {
            let differ = if self.failed == 1 { "reply differs" } else { "replies differ" };
            text.push_str(&format!(", {} {differ} from the tape", self.failed));
        }
        match way {
            Some((url, Some(id))) => {
                text.push_str(&format!("; a client goes on with it at {url} by `{SESSION}: {id}`"));
            }
            Some((_, None)) => text.push_str("; no client can go on with it: its server gave the session no id"),
            None => {}
        }
        text
    }
}
