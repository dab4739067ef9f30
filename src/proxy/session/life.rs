//! What is known of a session, and where in its life it is: one value under one lock.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::envelope::{Author, Direction, Envelope, Outcome};
use crate::event::{Session, SessionState};
use crate::mcp::method::INITIALIZE;
use crate::message::Kind;
use crate::proxy::session::peer;
use crate::proxy::session::state::State;

/// The life of one session. Every change returns the whole session again, to be published.
pub(super) struct SessionLife {
    current: Mutex<Current>,
    /// Both peers and the revision are known, or the session is over: nothing more to look for in messages. Keeps the lock off
    /// the way of most messages.
    is_identified: AtomicBool,
}

struct Current {
    state: State,
    /// Its `state` is always that of the other field. Published as it is, and replaced where it changes: readers that remember it
    /// share it, and thousands of sessions are idle.
    info: Arc<Session>,
}

impl SessionLife {
    pub(super) fn new(mut info: Session, state: State) -> Self {
        info.state = state.described();
        Self { current: Mutex::new(Current { state, info: Arc::new(info) }), is_identified: AtomicBool::new(false) }
    }

    /// The session as it is now.
    pub(super) fn info(&self) -> Arc<Session> {
        self.current.lock().info.clone()
    }

    /// Notes the file that it is recorded to.
    pub(super) fn record_to(&self, tape: Arc<Path>) {
        Arc::make_mut(&mut self.current.lock().info).tape = Some(tape);
    }

    /// Where it is in its life, in a word.
    pub(super) fn state_word(&self) -> &'static str {
        self.current.lock().info.state.word()
    }

    /// The revision that it follows, as far as is known.
    pub(super) fn protocol(&self) -> Option<String> {
        self.current.lock().info.protocol.clone()
    }

    /// Learns names and revision from the handshake, or from a modern request's `_meta`; nothing from what was refused. Returns the
    /// session where something new became known.
    pub(super) fn observe(&self, envelope: &Envelope) -> Option<Arc<Session>> {
        let is_refused =
            || matches!(envelope.outcome, Outcome::Blocked(Author::Tapline) | Outcome::Answered(Author::Tapline));
        if self.is_identified.load(Ordering::Relaxed) || is_refused() {
            return None;
        }
        let mut current = self.current.lock();
        if current.state.is_over() {
            return None;
        }
        let mut after = Session::clone(&current.info);
        let info = &mut after;
        let state = &mut current.state;
        *state = match (std::mem::take(state), envelope.direction, envelope.kind(), envelope.method()) {
            (State::New(new), Direction::ToServer, Kind::Request, Some(INITIALIZE)) => {
                peer::learn_from_initialize(info, &envelope.message);
                State::Initializing(new.initialize())
            }
            (State::Active(active), Direction::ToServer, Kind::Request, Some(INITIALIZE)) => {
                peer::learn_from_initialize(info, &envelope.message);
                State::Initializing(active.initialize())
            }
            (State::Initializing(initializing), Direction::ToClient, Kind::Result, Some(INITIALIZE)) => {
                peer::learn_from_handshake(info, &envelope.message);
                self.is_identified.store(true, Ordering::Relaxed);
                State::Active(initializing.complete())
            }
            (State::New(new), Direction::ToServer, Kind::Request, _) => {
                peer::learn_from_request(info, &envelope.message);
                State::Active(new.skip_handshake())
            }
            (State::Active(active), Direction::ToServer, Kind::Request, _) => {
                peer::learn_from_request(info, &envelope.message);
                State::Active(active)
            }
            (State::Active(active), Direction::ToClient, Kind::Result, _) => {
                peer::learn_from_result(info, &envelope.message);
                // A client that has not said its name by its first answer seldom will: stop looking.
                self.is_identified.store(true, Ordering::Relaxed);
                State::Active(active)
            }
            (state, ..) => state,
        };
        after.state = state.described();
        (after != *current.info).then(|| {
            current.info = Arc::new(after);
            current.info.clone()
        })
    }

    /// Has its messages wait from now on; `None` where it cannot be paused now.
    pub(super) fn pause(&self) -> Option<Arc<Session>> {
        self.change(|state| match state {
            State::Active(active) => State::Paused(active.pause()),
            state => state,
        })
    }

    /// Has its messages flow again; `None` where it was not paused.
    pub(super) fn resume(&self) -> Option<Arc<Session>> {
        self.change(|state| match state {
            State::Paused(paused) => State::Active(paused.resume()),
            state => state,
        })
    }

    /// Notes that its server is gone; `None` where the client has not met the server yet, or the session ends.
    pub(super) fn fail(&self, why: &str) -> Option<Arc<Session>> {
        self.change(|state| match state {
            State::Active(active) => State::Failed(active.fail(why.to_owned())),
            State::Paused(paused) => State::Failed(paused.fail(why.to_owned())),
            state => state,
        })
    }

    /// Notes that another server is there in place of the one that was gone; `None` where none was.
    pub(super) fn recover(&self) -> Option<Arc<Session>> {
        self.change(|state| match state {
            State::Failed(failed) => failed.recover(),
            state => state,
        })
    }

    /// Begins its end; `None` where that had begun before. Nothing new is learnt of it any more.
    pub(super) fn end(&self, reason: &str) -> Option<Arc<Session>> {
        let ending = self.change(|state| state.end(reason));
        self.is_identified.store(true, Ordering::Relaxed);
        ending
    }

    /// Completes its end. Returns the reason: `reason` where there was none before.
    pub(super) fn finish(&self, reason: &str) -> String {
        self.change(|state| state.finish(reason));
        match &self.current.lock().info.state {
            SessionState::Closed { reason } => reason.clone(),
            _ => reason.to_owned(),
        }
    }

    /// Returns the session where it is in another state now.
    fn change(&self, transition: impl FnOnce(State) -> State) -> Option<Arc<Session>> {
        let mut current = self.current.lock();
        current.state = transition(std::mem::take(&mut current.state));
        let state = current.state.described();
        (current.info.state != state).then(|| {
            Arc::make_mut(&mut current.info).state = state;
            current.info.clone()
        })
    }
}
