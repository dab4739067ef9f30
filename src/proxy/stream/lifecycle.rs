//! The server's side: whether it is there, the way to it, and whether another process is to follow it.

use std::sync::Arc;

use crate::upstream::UpstreamError;
use crate::upstream::pipe::Pipe;

/// Whether messages can go to the server.
pub(super) enum Lifecycle {
    /// It is being started; with what its clients are told if it takes too long.
    Starting(UpstreamError),
    Up(Arc<Pipe>),
    /// It is gone for good, and why.
    Gone(UpstreamError),
}

/// What is to follow once the process has ended.
enum NextProcess {
    /// Another, if this one crashes and the settings say so.
    IfCrashed,
    /// Another, and why somebody wanted it.
    Requested(String),
    /// None: whoever ended it did not mean another to come.
    Unwanted,
}

/// The server, from its first process to its last.
pub(super) struct ServerSide {
    lifecycle: Lifecycle,
    /// The latest there was.
    pipe: Option<Arc<Pipe>>,
    next: NextProcess,
}

/// Who wants another process in place of one that ended.
pub(super) enum Succession {
    /// Nobody does.
    Ends,
    /// Somebody asked for it, for this reason.
    Requested(String),
    /// It depends on how the process ended: with this exit code, where it has one.
    Exited(Option<u8>),
}

impl ServerSide {
    pub(super) fn new(lifecycle: Lifecycle) -> Self {
        let pipe = if let Lifecycle::Up(pipe) = &lifecycle { Some(pipe.clone()) } else { None };
        Self { lifecycle, pipe, next: NextProcess::IfCrashed }
    }

    pub(super) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// The way to the latest process, whether it takes messages of clients or not.
    pub(super) fn pipe(&self) -> Option<&Arc<Pipe>> {
        self.pipe.as_ref()
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Gone(_))
    }

    /// What the command exited with; `None` while it runs, or where there is none.
    pub(super) fn exit_code(&self) -> Option<u8> {
        match self.pipe.as_deref() {
            Some(Pipe::Child(child)) => child.exit_code(),
            Some(Pipe::Events(_)) | None => None,
        }
    }

    /// Sets the process that will take the clients' messages, and takes none of them yet.
    pub(super) fn stage(&mut self, pipe: Arc<Pipe>) {
        self.pipe = Some(pipe);
    }

    /// Lets the clients' messages through.
    pub(super) fn open(&mut self, pipe: Arc<Pipe>) {
        self.lifecycle = Lifecycle::Up(pipe);
    }

    /// The process is gone, and another follows. `error`: what clients are told if that takes too long.
    pub(super) fn lose(&mut self, error: UpstreamError) {
        self.lifecycle = Lifecycle::Starting(error);
    }

    /// The server is gone for good.
    pub(super) fn end(&mut self, error: UpstreamError) {
        self.lifecycle = Lifecycle::Gone(error);
    }

    /// No other process follows this one.
    pub(super) fn leave(&mut self) {
        self.next = NextProcess::Unwanted;
    }

    /// Has another process take the place of this one, which leaves. What it still says is heard. `meanwhile`: what clients are told if
    /// that takes too long.
    ///
    /// # Errors
    /// Where that cannot be: in words.
    pub(super) fn request_restart(&mut self, why: &str, meanwhile: UpstreamError) -> Result<(), &'static str> {
        let pipe = match &self.lifecycle {
            Lifecycle::Up(pipe) => pipe.clone(),
            Lifecycle::Starting(_) => return Err("its server is being started already"),
            Lifecycle::Gone(_) => return Err("its server is gone"),
        };
        let Pipe::Child(child) = &*pipe else { return Err("its server is not a command of this tapline") };
        if !matches!(self.next, NextProcess::Unwanted) {
            self.next = NextProcess::Requested(why.to_owned());
        }
        self.lifecycle = Lifecycle::Starting(meanwhile);
        child.leave();
        Ok(())
    }

    /// Who wants another process in place of the one that has ended. What was requested is requested once.
    pub(super) fn succession(&mut self) -> Succession {
        match std::mem::replace(&mut self.next, NextProcess::IfCrashed) {
            NextProcess::Unwanted => {
                self.next = NextProcess::Unwanted;
                Succession::Ends
            }
            NextProcess::Requested(why) => Succession::Requested(why),
            NextProcess::IfCrashed => Succession::Exited(self.exit_code()),
        }
    }
}
