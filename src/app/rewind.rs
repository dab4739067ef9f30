//! Takes a live session back behind its client: its own tape is played to a fresh process of its server, up to a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::Executor;
use super::fork::BranchOutcome;
use super::tapes::read_part;
use crate::event::{Event, ReplayEvent, RewindRequest};
use crate::journal::Journal;
use crate::proxy::front::routes::Mounts;
use crate::proxy::stream::rewind::SessionRewind;
use crate::tape::play::{ClientConnection, PlayOptions, PlayableTape, TapeSelection, play};
use crate::upstream::Upstream;

impl Executor {
    /// Takes a session back. Where that cannot be, it is said, and nothing was done.
    pub(super) fn rewind(&mut self, asked: RewindRequest) {
        // A second one would break off what the first has only begun to say, and leave a process that knows half of it.
        let Some(underway) = RewindUnderway::begin(&self.rewinding) else {
            return self.warn("proxy", "a session is being rewound: the next can follow when that is done".to_owned());
        };
        self.play_next(move |mounts, stop| async move {
            if let Err(why) = rewind(&mounts, asked, stop, underway).await {
                mounts.proxy().journal().publish(Event::Replay(ReplayEvent::Failed { why }));
            }
        });
    }
}

/// Until it is dropped, no other rewind begins.
struct RewindUnderway(Arc<AtomicBool>);

impl RewindUnderway {
    fn begin(rewinding: &Arc<AtomicBool>) -> Option<Self> {
        (!rewinding.swap(true, Ordering::AcqRel)).then(|| Self(rewinding.clone()))
    }
}

impl Drop for RewindUnderway {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

async fn rewind(
    mounts: &Mounts,
    asked: RewindRequest,
    stop: CancellationToken,
    underway: RewindUnderway,
) -> Result<(), String> {
    let RewindRequest { session, until } = asked;
    let refused = |why: &str| format!("{why}; `:branch` branches off the session instead");
    let journal = mounts.proxy().journal().clone();
    let connection = mounts.find(session).ok_or_else(|| refused("the session has ended"))?;
    let path = connection.session.info().tape.clone();
    // A session is over when all who hold it have let go.
    drop(connection);
    let path = path.ok_or("this session is not recorded, so there is nothing to tell a fresh process")?;
    // What passed a moment ago is to be on the tape; a journal that has ended has nothing left to write.
    let _ = journal.flush().await;
    let part = TapeSelection { until: Some(until), ..TapeSelection::default() };
    let tape = read_part(&journal, path.to_path_buf(), part, &stop).await?;
    if tape.last().is_none() {
        return Err(format!("the client had told its server nothing by {until}; a later message can be gone back to"));
    }
    let say_again = move |fresh| {
        async move {
            let said = say_again(tape, fresh, journal, stop).await;
            drop(underway);
            said
        }
        .boxed()
    };
    mounts.rewind(session, SessionRewind { to: until, say_again: Box::new(say_again) }).map_err(refused)
}

/// Plays what is to be said again. Returns what became of it; where it is broken off, who restarts the server tells its end.
async fn say_again(tape: PlayableTape, fresh: Arc<dyn Upstream>, journal: Journal, stop: CancellationToken) -> String {
    let mut outcome = BranchOutcome::of(&tape);
    let options = PlayOptions { keeps_session: true, ..PlayOptions::default() };
    let report = |event: ReplayEvent| {
        outcome.hear(&event);
        journal.publish(Event::Replay(event));
    };
    play(tape, |_| Ok(ClientConnection::left_open(fresh.clone())), options, report, stop).await;
    outcome.said_again()
}
