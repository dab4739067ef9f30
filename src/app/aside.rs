//! What is done beside a message, by rules and by hand: its server is ended or stopped, its client is sent notifications and made-up
//! progress.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::envelope::{Seq, SessionId};
use crate::event::{Held, Level, LogLine, Ticket};
use crate::mcp::{meta, method};
use crate::message::{Id, Message};
use crate::proxy::front::routes::Mounts;
use crate::rules::{AsideAct, MadeUpProgress};

/// Progress is made up for no longer than this.
const LONGEST: Duration = Duration::from_secs(600);

/// Between two notifications for a client that is kept patient: clients with short limits wait for 30 s.
const KEPT: Duration = Duration::from_secs(10);

/// When the reply goes on, once that is known. It is locked while progress is told: what is told after the reply would be an error
/// of ours (basic/utilities/progress: notifications stop after completion).
type ProgressEnd = Arc<Mutex<Option<Instant>>>;

/// Does it, each on a task of its own.
pub(super) fn actor(mounts: &Arc<Mounts>) -> impl Fn(SessionId, Seq, AsideAct) + Send + Sync + use<> {
    // The rules are asked by what has the mounts.
    let mounts = Arc::downgrade(mounts);
    let progress: Arc<Mutex<HashMap<Seq, ProgressEnd>>> = Arc::default();
    move |session, seq, act| {
        let Some(mounts) = mounts.upgrade() else { return };
        match act {
            AsideAct::Kill => drop(tokio::spawn(async move { signal(&mounts, session, seq, Signal::KILL) })),
            AsideAct::Stop(time) => drop(tokio::spawn(async move {
                signal(&mounts, session, seq, Signal::STOP);
                if let Some(time) = time {
                    tokio::time::sleep(time).await;
                    signal(&mounts, session, seq, Signal::CONT);
                }
            })),
            AsideAct::Notify(said) => drop(tokio::spawn(async move { notify(&mounts, session, seq, said) })),
            AsideAct::Progress(made_up) => {
                let ends = ProgressEnd::default();
                progress.lock().insert(seq, ends.clone());
                drop(tokio::spawn(tell_progress(mounts, session, seq, made_up, ends)));
            }
            AsideAct::ProgressEnds(request, after) => {
                if let Some(ends) = progress.lock().remove(&request) {
                    *ends.lock() = Some(Instant::now() + after);
                }
            }
        }
    }
}

fn signal(mounts: &Mounts, session: SessionId, seq: Seq, signal: Signal) {
    if let Err(why) = mounts.signal(session, signal) {
        let text = format!("the server is left alone: {why}");
        mounts.proxy().log(LogLine::new(Level::Warn, "rule", text).of(session).about(seq));
    }
}

fn notify(mounts: &Mounts, session: SessionId, seq: Seq, said: String) {
    if let Err(why) = mounts.speak(session, Message::new(said)) {
        let text = format!("the client is not notified: {why}");
        mounts.proxy().log(LogLine::new(Level::Warn, "rule", text).of(session).about(seq));
    }
}

async fn tell_progress(mounts: Arc<Mounts>, session: SessionId, seq: Seq, made_up: MadeUpProgress, ends: ProgressEnd) {
    let MadeUpProgress { token, every, total, text } = made_up;
    let began = Instant::now();
    let mut progress = 0;
    while began.elapsed() < LONGEST && total.is_none_or(|total| progress < total) {
        tokio::time::sleep(every).await;
        progress += 1;
        let message = progress_message(&token, &progress.into(), total, text.as_deref());
        let ends = ends.lock();
        if ends.is_some_and(|at| at <= Instant::now()) {
            return;
        }
        if let Err(why) = mounts.speak(session, message) {
            let text = format!("no progress is made up: {why}");
            mounts.proxy().log(LogLine::new(Level::Warn, "rule", text).of(session).about(seq));
            return;
        }
    }
}

fn progress_message(token: &str, progress: &Value, total: Option<u64>, text: Option<&str>) -> Message {
    let token: Value = serde_json::from_str(token).unwrap_or_default();
    let mut params = json!({"progressToken": token, "progress": progress});
    if let Some(total) = total {
        params["total"] = total.into();
    }
    if let Some(text) = text {
        params["message"] = text.into();
    }
    Message::new(json!({"jsonrpc": "2.0", "method": method::PROGRESS, "params": params}).to_string())
}

/// The held requests whose clients are told progress.
#[derive(Default)]
pub(super) struct KeptPatient(HashSet<Ticket>);

impl KeptPatient {
    /// Tells the client of a held request progress, from now on and for as long as it is held: clients that count from the last progress
    /// wait on. It is what tapline says, and shown so.
    pub(super) fn keep(&mut self, mounts: &Arc<Mounts>, ticket: Ticket) {
        let all = mounts.proxy().gate().held();
        self.0.retain(|kept| all.iter().any(|held| held.ticket == *kept));
        let Some(held) = all.into_iter().find(|held| held.ticket == ticket) else { return };
        // Asked twice, it is told once: progress has to grow.
        if let Some(token) = meta::requested_progress(&held.envelope.message)
            && self.0.insert(ticket)
        {
            tokio::spawn(tell_while_held(Arc::downgrade(mounts), held, token));
        }
    }
}

async fn tell_while_held(mounts: Weak<Mounts>, held: Arc<Held>, token: Id) {
    let (session, seq, ticket) = (held.envelope.session, held.envelope.seq, held.ticket);
    // Below what its server may say later: progress has to grow (2025-11-25, utilities: progress).
    for progress in (1_u32..).map(|count| f64::from(count) / 1_000.0) {
        let Some(mounts) = mounts.upgrade() else { return };
        if mounts.proxy().gate().held().iter().all(|held| held.ticket != ticket) {
            return;
        }
        let told =
            mounts.speak(session, progress_message(token.token(), &progress.into(), None, Some("held by tapline")));
        if let Err(why) = told {
            let text = format!("its client is told no progress: {why}");
            mounts.proxy().log(LogLine::new(Level::Warn, "hold", text).of(session).about(seq));
            return;
        }
        drop(mounts);
        tokio::time::sleep(KEPT).await;
    }
}
