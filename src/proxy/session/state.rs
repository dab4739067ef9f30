//! The life of a session, as types. Each state is a value; each transition is a method of the states that have it, and takes
//! the old state away: a transition that is not written here cannot be written anywhere.
//!
//! ```text
//! New ──▶ Initializing ──▶ Active ⇄ Paused        every living state ──▶ Closing ──▶ Closed
//!   └───────────────────────▶┘ │       │
//!                              ▼       ▼
//!                              Failed ──▶ what it was (recovered) | Closing (it could not be)
//! ```

use crate::event::SessionState;

/// A session in which nothing was said yet.
#[derive(Debug, Default)]
pub(super) struct New(());

/// A session whose `initialize` was sent and not answered yet.
#[derive(Debug)]
pub(super) struct Initializing(());

/// A session whose messages flow.
#[derive(Debug)]
pub(super) struct Active(());

/// A session whose messages wait for the operator.
#[derive(Debug)]
pub(super) struct Paused(());

/// A session whose server is gone while another is on its way.
#[derive(Debug)]
pub(super) struct Failed {
    why: String,
    paused: bool,
}

/// A session that takes no new message; those on their way end.
#[derive(Debug)]
pub(super) struct Closing {
    reason: String,
}

/// A session that has ended.
#[derive(Debug)]
pub(super) struct Closed {
    reason: String,
}

/// Any of the states.
#[derive(Debug)]
pub(super) enum State {
    New(New),
    Initializing(Initializing),
    Active(Active),
    Paused(Paused),
    Failed(Failed),
    Closing(Closing),
    Closed(Closed),
}

impl Default for State {
    fn default() -> Self {
        Self::New(New::default())
    }
}

impl New {
    pub(super) fn initialize(self) -> Initializing {
        Initializing(())
    }

    /// A client that does not initialize: revision 2026-07-28, or a server without sessions.
    pub(super) fn skip_handshake(self) -> Active {
        Active(())
    }

    /// A client that has initialized before, under another tapline.
    pub(super) fn restore(self) -> Active {
        Active(())
    }
}

impl Initializing {
    pub(super) fn complete(self) -> Active {
        Active(())
    }
}

impl Active {
    /// A client may initialize again on the stream it has.
    pub(super) fn initialize(self) -> Initializing {
        Initializing(())
    }

    pub(super) fn pause(self) -> Paused {
        Paused(())
    }

    pub(super) fn fail(self, why: String) -> Failed {
        Failed { why, paused: false }
    }
}

impl Paused {
    pub(super) fn resume(self) -> Active {
        Active(())
    }

    pub(super) fn fail(self, why: String) -> Failed {
        Failed { why, paused: true }
    }
}

impl Failed {
    /// Goes on as it was before.
    pub(super) fn recover(self) -> State {
        if self.paused { State::Paused(Paused(())) } else { State::Active(Active(())) }
    }
}

impl Closing {
    pub(super) fn finish(self) -> Closed {
        Closed { reason: self.reason }
    }
}

impl State {
    /// The beginning of the end, for whatever lives. The first reason stays.
    pub(super) fn end(self, reason: &str) -> Self {
        match self {
            Self::New(_) | Self::Initializing(_) | Self::Active(_) | Self::Paused(_) | Self::Failed(_) => {
                Self::Closing(Closing { reason: reason.to_owned() })
            }
            over @ (Self::Closing(_) | Self::Closed(_)) => over,
        }
    }

    /// The end of it, at once where there was no beginning.
    pub(super) fn finish(self, reason: &str) -> Self {
        match self.end(reason) {
            Self::Closing(closing) => Self::Closed(closing.finish()),
            closed => closed,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Closing(_) | Self::Closed(_))
    }

    /// The state as it is published.
    pub(super) fn described(&self) -> SessionState {
        match self {
            Self::New(_) => SessionState::New,
            Self::Initializing(_) => SessionState::Initializing,
            Self::Active(_) => SessionState::Active,
            Self::Paused(_) => SessionState::Paused,
            Self::Failed(failed) => SessionState::Failed { why: failed.why.clone() },
            Self::Closing(closing) => SessionState::Closing { reason: closing.reason.clone() },
            Self::Closed(closed) => SessionState::Closed { reason: closed.reason.clone() },
        }
    }
}
