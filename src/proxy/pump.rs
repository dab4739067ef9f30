//! Everything that a server with one stream says, on its way through the spine.

use std::sync::{Arc, Weak};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;

use super::pipe::{Address, PipeLink, Recognized};
use super::session::LiveSession;
use super::{Arrival, Pass, Passage, Proxy};
use crate::envelope::{Direction, Transport, Via};
use crate::event::{Landmark, Level, LogLine};
use crate::upstream::pipe::Output;
use crate::upstream::{Framing, Incoming, Item, UpstreamError};

/// Carries what the server says until it ends. Gives why it did. A held message stands aside; what comes after it flows on.
pub(super) async fn pump(
    proxy: Arc<Proxy>,
    session: Arc<LiveSession>,
    link: Weak<PipeLink>,
    mut outputs: mpsc::Receiver<Output>,
) -> UpstreamError {
    let mut held = FuturesUnordered::new();
    loop {
        let output = tokio::select! {
            output = outputs.recv() => output,
            Some((passage, address, framing)) = held.next() => {
                finish(&link, passage, address, framing).await;
                continue;
            }
        };
        let (output, open) = match (output, link.upgrade()) {
            (None, _) => {
                break UpstreamError::BrokenOff { upstream: session.info().upstream, why: "closed".to_owned() };
            }
            (Some(Output::Ended(error)), None) => break error,
            (Some(_), None) => continue,
            (Some(output), Some(open)) => (output, open),
        };
        match output {
            Output::Item(Item::Message(incoming)) => {
                let Recognized { address, incoming: Incoming { message, framing }, withheld } =
                    open.recognize(incoming);
                drop(open);
                let mut arrival = Arrival::new(Direction::ToClient, framing.transport(), message);
                arrival.withheld = withheld;
                match proxy.pass(&session, arrival) {
                    Pass::Now(passage) => finish(&link, passage, address, framing).await,
                    Pass::Held(pass) => held.push(pass.map(|passage| (passage, address, framing))),
                }
            }
            Output::Item(Item::Filler(bytes)) => open.filler(bytes),
            Output::Endpoint { frame, reference, url } => open.endpoint(&frame, &reference, &url),
            Output::Attempt(text) => {
                let line = LogLine::new(Level::Warn, "proxy", text).of(session.id());
                proxy.log(line.as_landmark(Landmark::Attempt));
            }
            Output::Stderr(line) => {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                proxy.log(LogLine::new(Level::Info, "server", text).of(session.id()));
                open.stderr(line);
            }
            Output::Ended(error) => {
                if error.is_broken() {
                    proxy.log(LogLine::new(Level::Error, "proxy", error.to_string()).of(session.id()));
                }
                open.end(&error);
                break error;
            }
        }
    }
}

async fn finish(link: &Weak<PipeLink>, passage: Passage, address: Address, framing: Framing) {
    let Some(link) = link.upgrade() else { return };
    match passage {
        Passage::Send { message, edited, .. } => {
            let framing = if edited { framing.around(&message) } else { framing };
            link.deliver(address, Incoming { message, framing });
        }
        // The server's request was blocked: the answer is for the server.
        Passage::Answer(answer) => link.answer_server(answer).await,
        Passage::Nothing => {}
    }
}

impl Framing {
    /// The facts of the carrier that this tells.
    fn transport(&self) -> Transport {
        match self {
            Self::Line { .. } => Transport::new(Via::Stdio),
            Self::Sse { fields, .. } => Transport { sse: fields.clone(), ..Transport::new(Via::Sse) },
        }
    }
}
