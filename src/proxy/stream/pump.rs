//! Everything that a server with one stream says, on its way through the spine.

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;

use crate::envelope::Direction;
use crate::event::{Landmark, Level, LogLine};
use crate::net::backlog::RoomShare;
use crate::proxy::stream::dispatch::Dispatched;
use crate::proxy::stream::pending::Recipient;
use crate::proxy::stream::server::StreamServer;
use crate::proxy::stream::stderr_log::StderrLog;
use crate::proxy::{Arrival, Disposition, HeldPass, Pass, Proxy};
use crate::secret::Label;
use crate::upstream::pipe::Output;
use crate::upstream::{Framing, Incoming, Item, UpstreamError};

/// Carries what the server says. Another server may follow it: what is held of the one before is carried on.
pub(super) struct Pump {
    proxy: Arc<Proxy>,
    server: Weak<StreamServer>,
    label: Label,
    held: FuturesUnordered<BoxFuture<'static, (Disposition, Recipient, Framing)>>,
    stderr_log: StderrLog,
    /// It was said that somebody does not read.
    stall_told: bool,
}

impl Pump {
    pub(super) fn new(server: &Arc<StreamServer>) -> Self {
        let (proxy, label) = (server.proxy.clone(), server.label().clone());
        let secrets = server.pool.as_ref().map(|pool| pool.command().secrets()).unwrap_or_default();
        Self {
            proxy,
            server: Arc::downgrade(server),
            label,
            held: FuturesUnordered::new(),
            stderr_log: StderrLog::without(secrets),
            stall_told: false,
        }
    }

    /// The server, as long as its session has it.
    pub(super) fn server(&self) -> Option<Arc<StreamServer>> {
        self.server.upgrade()
    }

    /// Carries until the server ends. Returns why it did.
    pub(super) async fn run(&mut self, outputs: &mut mpsc::Receiver<Output>) -> UpstreamError {
        match self.run_until(outputs, std::future::pending::<Infallible>()).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    /// Carries until the server ends or something else is there. A held message stands aside; what comes after it flows on.
    ///
    /// # Errors
    /// Why the server ended, where it did first.
    pub(super) async fn run_until<T>(
        &mut self,
        outputs: &mut mpsc::Receiver<Output>,
        other: impl Future<Output = T>,
    ) -> Result<T, UpstreamError> {
        let mut other = std::pin::pin!(other);
        loop {
            let due = self.stderr_log.due();
            let output = tokio::select! {
                output = outputs.recv() => output,
                () = until(due) => {
                    self.log_left_out();
                    continue;
                }
                Some((disposition, recipient, framing)) = self.held.next() => {
                    finish(&self.server, disposition, recipient, framing, RoomShare::default()).await;
                    continue;
                }
                other = &mut other => return Ok(other),
            };
            match (output, self.server.upgrade()) {
                (None, _) => {
                    return Err(UpstreamError::BrokenOff { upstream: self.label.clone(), why: "closed".to_owned() });
                }
                (Some(Output::Ended(error)), _) => {
                    self.log_left_out();
                    return Err(error);
                }
                (Some(_), None) => {}
                (Some(output), Some(server)) => self.carry(server, output).await,
            }
        }
    }

    fn log_left_out(&mut self) {
        let session = self.server.upgrade().and_then(|server| server.log_session());
        let left_out = self.stderr_log.left_out();
        left_out.into_iter().for_each(|line| self.proxy.log(LogLine { session, ..line }));
    }

    /// Waits for something while there is no server to hear; what was held of the one before flows on.
    pub(super) async fn meanwhile<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = std::pin::pin!(other);
        loop {
            tokio::select! {
                other = &mut other => return other,
                Some((disposition, recipient, framing)) = self.held.next() => {
                    finish(&self.server, disposition, recipient, framing, RoomShare::default()).await;
                }
            }
        }
    }

    async fn carry(&mut self, server: Arc<StreamServer>, output: Output) {
        match output {
            Output::Item(Item::Message(incoming), share) => {
                let Dispatched { session, recipient, incoming: Incoming { message, framing }, audience } =
                    server.resolve_recipient(incoming);
                // Whoever ends the session must not wait for what is done with this.
                drop(server);
                let Some(session) = session else { return };
                let mut arrival = Arrival::new(Direction::ToClient, framing.transport(), message);
                arrival.audience = audience;
                match self.proxy.pass(&session, arrival) {
                    Pass::Now(disposition) => {
                        finish(&self.server, disposition, recipient, framing, share).await;
                    }
                    // A held message holds nothing but itself.
                    Pass::Held(pass) => self.set_aside(pass, recipient, framing),
                }
            }
            Output::Item(Item::Filler(bytes), share) => server.deliver_filler(bytes, share),
            Output::Endpoint { frame, reference, url } => server.deliver_endpoint(&frame, &reference, &url),
            Output::Attempt(text) => {
                let line = LogLine::new(Level::Warn, "proxy", text).as_landmark(Landmark::Attempt);
                self.proxy.log(LogLine { session: server.log_session(), ..line });
            }
            Output::Stderr(piece) => {
                let session = server.log_session();
                let (proxy, log) = (&self.proxy, &mut self.stderr_log);
                log.take(&piece.bytes, |line| proxy.log(LogLine { session, ..line }));
                server.deliver_stderr(piece);
            }
            Output::Stalled => server.relieve(!std::mem::replace(&mut self.stall_told, true)),
            Output::Untaken(lines) => server.refuse_untaken(&lines),
            Output::Ended(_) => {}
        }
    }

    fn set_aside(&mut self, pass: Box<HeldPass>, recipient: Recipient, framing: Framing) {
        self.held.push(pass.map(|disposition| (disposition, recipient, framing)).boxed());
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

async fn finish(
    server: &Weak<StreamServer>,
    disposition: Disposition,
    recipient: Recipient,
    framing: Framing,
    share: RoomShare,
) {
    let Some(server) = server.upgrade() else { return };
    match disposition {
        Disposition::Send { message, edited, .. } => {
            let framing = if edited { framing.around(&message) } else { framing };
            server.deliver(&recipient, Incoming { message, framing }, share);
        }
        // The server's request was blocked: the answer is for the server.
        Disposition::Answer(answer) => server.answer_server(answer).await,
        Disposition::Discard => {}
    }
}
