//! The end of a core, in the order of design §3: no new clients, held messages released, calls answered or failed, servers gone,
//! tapes written, and only then the last event, with which every screen goes.
//!
//! The calls have `--grace`, and all that waits for another process has a second more, counted from the first word: what one step took, the
//! next does not have. Only the tapes always have a second. Each step says how it goes, and a second word from the operator cuts it short.
//!
//! Calls are counted by tokens held from the front door to the last byte, so an idle end waits for nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, interval_at, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Core, release};
use crate::event::{EndStep, Event, Level, LogLine, OnQuit, Progress};
use crate::journal::Journal;
use crate::proxy::exchange::ServerLink;
use crate::store::StoreThread;

/// How long calls may take to end, unless the operator says otherwise.
pub const GRACE: Duration = Duration::from_secs(5);
/// How long what is cut off may take to reach its client.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long servers may take to leave. Longer than a child is asked, told and made to.
const LEAVING: Duration = Duration::from_secs(4);
/// How long tapes may take to be written: a disk that has gone must not keep us.
const WRITING: Duration = Duration::from_secs(5);
/// What the end has beyond the grace, and the least that tapes have.
const BEYOND: Duration = Duration::from_secs(1);
/// What takes no longer is not worth a word.
const UNNOTICED: Duration = Duration::from_millis(200);

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StepOutcome {
    Done,
    /// The step ran out of time.
    Late,
    /// The operator did not want to wait.
    Forced,
}

/// What the steps have in common.
struct Shutdown {
    journal: Journal,
    /// Set by the operator's second word.
    hurry: CancellationToken,
    began: Instant,
    grace: Duration,
}

impl Shutdown {
    /// What a step may take that begins now: one end has one deadline, whatever hangs in it.
    fn time_for(&self, step: EndStep) -> Duration {
        let left = |until: Duration| until.saturating_sub(self.began.elapsed());
        match step {
            EndStep::Calls => left(self.grace),
            EndStep::Servers => left(self.grace + BEYOND).clamp(LAST_WORDS, LEAVING),
            EndStep::Tapes => left(self.grace + BEYOND).clamp(BEYOND, WRITING),
        }
    }

    /// Waits for `done`, as long as there is time for that, and says how many are waited for.
    async fn step(&self, step: EndStep, count: impl Fn() -> usize, done: impl Future<Output = ()>) -> StepOutcome {
        let deadline = Instant::now() + self.time_for(step);
        let mut word = interval_at(Instant::now() + UNNOTICED, Duration::from_secs(1));
        tokio::pin!(done);
        loop {
            tokio::select! {
                biased;
                () = &mut done => return StepOutcome::Done,
                () = self.hurry.cancelled() => return StepOutcome::Forced,
                () = sleep_until(deadline) => return StepOutcome::Late,
                now = word.tick() => {
                    let left = deadline.saturating_duration_since(now).as_secs_f32().ceil() as u64;
                    self.journal.publish(Event::Ending(Progress { step, waiting_for: count(), left }));
                }
            }
        }
    }

    fn warn(&self, text: String) {
        self.journal.log(LogLine::new(Level::Warn, "shutdown", text));
    }
}

impl Core {
    /// Takes everything down in order. Returns when there is nothing left.
    pub async fn shut_down(mut self, on_quit: Option<OnQuit>) {
        if let Some(control) = &mut self.control {
            control.withdraw();
        }
        self.operator.quit.cancel();
        let asked = (&mut self.operator.asked).await.unwrap_or_default();
        let (journal, hurry) = (self.journal.clone(), self.operator.hurry.clone());
        let shutdown = Shutdown { journal, hurry, began: Instant::now(), grace: self.grace };
        self.stop_accepting.cancel();
        self.mounts.proxy().gate().close(&release(on_quit.unwrap_or(asked)));
        self.stop.listening.cancel();
        self.end_calls(&shutdown).await;
        self.end_servers(&shutdown).await;
        self.end_connections().await;
        self.operator.others.finish().await;
        if let Some(shadow) = self.shadow.take() {
            shadow.finish().await;
        }
        self.figures.stop.cancel();
        let _ = (&mut self.figures.task).await;
        let written = self.journal.flush();
        let written = shutdown.step(EndStep::Tapes, || 1, async { _ = written.await }).await;
        self.operator.task.abort();
        self.journal.publish(Event::Stopping);
        if written == StepOutcome::Done {
            let (journal, store) = (self.journal_thread, self.store_thread);
            let finish = move || {
                journal.finish();
                store.into_iter().for_each(StoreThread::finish);
            };
            let _ = tokio::task::spawn_blocking(finish).await;
        }
        if let Some(export) = self.export {
            tokio::select! {
                () = export.finish(shutdown.time_for(EndStep::Calls).max(LAST_WORDS)) => {}
                () = shutdown.hurry.cancelled() => {}
            }
        }
        if let Some(control) = self.control {
            control.close().await;
        }
    }

    /// Clients get what is on its way to them; what is not there in time is failed.
    async fn end_calls(&mut self, shutdown: &Shutdown) {
        let calls = &self.stop.calls;
        calls.close();
        let outcome = shutdown.step(EndStep::Calls, || calls.len(), calls.wait()).await;
        let (count, grace) = (calls.len(), self.grace);
        let cut = if count == 1 { "1 call is failed".to_owned() } else { format!("{count} calls are failed") };
        match outcome {
            StepOutcome::Done => {}
            StepOutcome::Late => shutdown.warn(format!("{cut}: not answered within {grace:?}")),
            StepOutcome::Forced => shutdown.warn(format!("{cut}: told not to wait")),
        }
        self.stop.force.cancel();
    }

    /// Connections end once what is on them is written.
    async fn end_connections(&mut self) {
        if let Some(mut server) = self.server.take()
            && tokio::time::timeout(LAST_WORDS, &mut server).await.is_err()
        {
            server.abort();
        }
    }

    /// Servers leave; those that do not in time are made to.
    async fn end_servers(&self, shutdown: &Shutdown) {
        let connections = self.mounts.live();
        let left = AtomicUsize::new(connections.len());
        let closing = connections.iter().map(|connection| async {
            self.mounts.suspend(connection.session.id(), "tapline ended").await;
            left.fetch_sub(1, Ordering::Relaxed);
        });
        let leaving = &self.stop.leaving;
        leaving.close();
        let gone = async {
            futures_util::future::join_all(closing).await;
            futures_util::future::join(self.mounts.close_spares(), leaving.wait()).await;
        };
        let count = || left.load(Ordering::Relaxed).max(leaving.len());
        let signal = |signal| {
            for connection in &connections {
                if let ServerLink::Stream(link) = &connection.link {
                    link.signal(signal);
                }
            }
        };
        let limit = shutdown.time_for(EndStep::Servers);
        let hurried = async {
            // Sooner than they would be told otherwise.
            sleep(limit / 2).await;
            signal(rustix::process::Signal::TERM);
            std::future::pending::<()>().await;
        };
        tokio::pin!(gone);
        let leaving = async {
            tokio::select! {
                () = gone.as_mut() => {}
                () = hurried, if limit < LEAVING => {}
            }
        };
        if shutdown.step(EndStep::Servers, count, leaving).await == StepOutcome::Done {
            return;
        }
        signal(rustix::process::Signal::KILL);
        if tokio::time::timeout(LAST_WORDS, gone).await.is_err() {
            shutdown.warn("not all servers have left".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Feed;

    fn shutdown(journal: Journal) -> Shutdown {
        Shutdown { journal, hurry: CancellationToken::new(), began: Instant::now(), grace: Duration::from_secs(10) }
    }

    /// How a step of ten seconds ends, when, and what it said meanwhile. `hurried`: when the operator does not want to wait.
    async fn step(done_after: u64, hurried: Option<u64>) -> (StepOutcome, u64, Vec<Progress>) {
        let (journal, thread) = Journal::start(None);
        let (feed, reader) = Feed::bounded(100);
        journal.subscribe(feed);
        let shutdown = shutdown(journal);
        if let Some(after) = hurried {
            let hurry = shutdown.hurry.clone();
            tokio::spawn(async move {
                sleep(Duration::from_secs(after)).await;
                hurry.cancel();
            });
        }
        let (began, done) = (Instant::now(), sleep(Duration::from_secs(done_after)));
        let outcome = shutdown.step(EndStep::Calls, || 3, done).await;
        thread.finish();
        let progress = |event| if let Event::Ending(progress) = event { Some(progress) } else { None };
        (outcome, began.elapsed().as_secs(), reader.events.iter().filter_map(progress).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn step_ends_when_done_or_out_of_time_or_forced() {
        for (done, hurried, expected) in [
            (0, None, (StepOutcome::Done, 0, 0)),
            (3, None, (StepOutcome::Done, 3, 3)),
            (60, None, (StepOutcome::Late, 10, 10)),
            (60, Some(2), (StepOutcome::Forced, 2, 2)),
            // Told beforehand: what is done at once is done all the same.
            (0, Some(0), (StepOutcome::Done, 0, 0)),
        ] {
            let (outcome, seconds, told) = step(done, hurried).await;
            assert_eq!((outcome, seconds, told.len()), expected, "{done} {hurried:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn end_has_one_deadline_however_many_steps_hang() {
        let (journal, thread) = Journal::start(None);
        let shutdown = shutdown(journal);
        for (step, ended_after) in [(EndStep::Calls, 10), (EndStep::Servers, 11), (EndStep::Tapes, 12)] {
            assert_eq!(shutdown.step(step, || 1, std::future::pending()).await, StepOutcome::Late);
            assert_eq!(shutdown.began.elapsed().as_millis() / 100, ended_after * 10, "{step:?}");
        }
        drop(shutdown);
        thread.finish();
    }

    #[tokio::test(start_paused = true)]
    async fn step_counts_down() {
        let (_, _, told) = step(60, Some(3)).await;
        let words: Vec<_> = told.iter().map(ToString::to_string).collect();
        let expected = [10, 9, 8].map(|left| format!("waiting for 3 calls, {left} s left; again to force"));
        assert_eq!(words, expected);
    }
}
