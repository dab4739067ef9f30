//! Everything that a server with one stream says, on its way through the spine.

use std::convert::Infallible;
use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;

use crate::envelope::Direction;
use crate::event::{Landmark, Level, LogLine};
use crate::proxy::stream::{Dispatched, Recipient, StreamServer};
use crate::proxy::{Arrival, Disposition, HeldPass, Pass, Proxy};
use crate::upstream::pipe::Output;
use crate::upstream::{Framing, Incoming, Item, UpstreamError};

/// Carries what the server says. Another server may follow it: what is held of the one before is carried on.
pub(in crate::proxy) struct Pump {
    pub(in crate::proxy) proxy: Arc<Proxy>,
    pub(in crate::proxy) link: Weak<StreamServer>,
    label: String,
    held: FuturesUnordered<BoxFuture<'static, (Disposition, Recipient, Framing)>>,
}

impl Pump {
    pub(in crate::proxy) fn new(link: &Arc<StreamServer>) -> Self {
        let (proxy, label) = (link.proxy().clone(), link.label().to_owned());
        Self { proxy, link: Arc::downgrade(link), label, held: FuturesUnordered::new() }
    }

    /// Carries until the server ends. Gives why it did.
    pub(in crate::proxy) async fn run(&mut self, outputs: &mut mpsc::Receiver<Output>) -> UpstreamError {
        match self.run_until(outputs, std::future::pending::<Infallible>()).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    /// As [`Pump::run`], until something else is there. A held message stands aside; what comes after it flows on.
    pub(in crate::proxy) async fn run_until<T>(
        &mut self,
        outputs: &mut mpsc::Receiver<Output>,
        other: impl Future<Output = T>,
    ) -> Result<T, UpstreamError> {
        let mut other = std::pin::pin!(other);
        loop {
            let output = tokio::select! {
                output = outputs.recv() => output,
                Some((disposition, address, framing)) = self.held.next() => {
                    finish(&self.link, disposition, address, framing).await;
                    continue;
                }
                other = &mut other => return Ok(other),
            };
            match (output, self.link.upgrade()) {
                (None, _) => {
                    return Err(UpstreamError::BrokenOff { upstream: self.label.clone(), why: "closed".to_owned() });
                }
                (Some(Output::Ended(error)), _) => return Err(error),
                (Some(_), None) => {}
                (Some(output), Some(link)) => self.take(link, output).await,
            }
        }
    }

    /// Waits for something while there is no server to hear; what was held of the one before flows on.
    pub(in crate::proxy) async fn meanwhile<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = std::pin::pin!(other);
        loop {
            tokio::select! {
                other = &mut other => return other,
                Some((disposition, address, framing)) = self.held.next() => finish(&self.link, disposition, address, framing).await,
            }
        }
    }

    async fn take(&mut self, link: Arc<StreamServer>, output: Output) {
        match output {
            Output::Item(Item::Message(incoming)) => {
                let Dispatched { session, address, incoming: Incoming { message, framing }, audience } =
                    link.resolve_recipient(incoming);
                // Whoever ends the session must not wait for what is done with this.
                drop(link);
                let Some(session) = session else { return };
                let mut arrival = Arrival::new(Direction::ToClient, framing.transport(), message);
                arrival.audience = audience;
                match self.proxy.pass(&session, arrival) {
                    Pass::Now(disposition) => finish(&self.link, disposition, address, framing).await,
                    Pass::Held(pass) => self.set_aside(pass, address, framing),
                }
            }
            Output::Item(Item::Filler(bytes)) => link.filler(bytes),
            Output::Endpoint { frame, reference, url } => link.endpoint(&frame, &reference, &url),
            Output::Attempt(text) => {
                let line = LogLine::new(Level::Warn, "proxy", text).as_landmark(Landmark::Attempt);
                self.proxy.log(LogLine { session: link.voice(), ..line });
            }
            Output::Stderr(line) => {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                let said = LogLine::new(Level::Info, "server", text);
                self.proxy.log(LogLine { session: link.voice(), ..said });
                link.stderr(line);
            }
            Output::Ended(_) => {}
        }
    }

    fn set_aside(&mut self, pass: Box<HeldPass>, address: Recipient, framing: Framing) {
        self.held.push(pass.map(|disposition| (disposition, address, framing)).boxed());
    }
}

async fn finish(link: &Weak<StreamServer>, disposition: Disposition, address: Recipient, framing: Framing) {
    let Some(link) = link.upgrade() else { return };
    match disposition {
        Disposition::Send { message, edited, .. } => {
            let framing = if edited { framing.around(&message) } else { framing };
            link.deliver(address, Incoming { message, framing });
        }
        // The server's request was blocked: the answer is for the server.
        Disposition::Answer(answer) => link.answer_server(answer).await,
        Disposition::Discard => {}
    }
}
