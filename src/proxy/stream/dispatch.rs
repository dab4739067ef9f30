//! Everything that a server with one stream says, on its way through the spine: in whose names, and to whom it is delivered.

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use reqwest::Url;
use tokio::sync::mpsc;

use crate::envelope::{Direction, SessionId};
use crate::event::{Landmark, Level, LogLine};
use crate::mcp::method;
use crate::message::Message;
use crate::net::backlog::{RoomShare, UnreadEntry};
use crate::proxy::session::LiveSession;
use crate::proxy::stream::client::{ClientSide, ClientStream, ExchangeClient};
use crate::proxy::stream::handshake::HandshakeState;
use crate::proxy::stream::pending::{Destination, PendingRequest, PendingRequests, Recipient};
use crate::proxy::stream::server::{ServerState, StreamServer, Tenancy};
use crate::proxy::stream::stderr_log::StderrLog;
use crate::proxy::stream::subscription::LegAudience;
use crate::proxy::{Arrival, Audience, Disposition, HeldPass, Pass, Proxy};
use crate::secret::Label;
use crate::sse;
use crate::upstream::output::{Output, StderrPiece};
use crate::upstream::{Framing, Incoming, Item, UpstreamError};

/// A message of the server, in the names of whom it is for.
pub(super) struct Dispatched {
    /// `None`: of several clients none is there that it could be shown with.
    pub(super) session: Option<Arc<LiveSession>>,
    pub(super) recipient: Recipient,
    pub(super) incoming: Incoming,
    pub(super) audience: Audience,
}

/// Carries what the server says. Another server may follow it: what is held of the one before is carried on.
pub(super) struct Pump {
    proxy: Arc<Proxy>,
    server: Weak<StreamServer>,
    label: Label,
    held: FuturesUnordered<BoxFuture<'static, (Disposition, Recipient, Framing)>>,
    stderr_log: StderrLog,
    /// It was logged that a client does not read.
    stall_told: bool,
}

impl Pump {
    pub(super) fn new(server: &Arc<StreamServer>) -> Self {
        let (proxy, label) = (server.proxy.clone(), server.label().clone());
        Self {
            proxy,
            server: Arc::downgrade(server),
            label,
            held: FuturesUnordered::new(),
            stderr_log: StderrLog::of(server.pool.as_deref()),
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
                // The end of the session must not wait for what is done with this.
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
                log.log_piece(&piece.bytes, |line| proxy.log(LogLine { session, ..line }));
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
        Disposition::Send { message, edited, twice, .. } => {
            let framing = if edited { framing.around(&message) } else { framing };
            let framing = if twice { framing.twice() } else { framing };
            server.deliver(&recipient, Incoming { message, framing }, share);
        }
        // The server's request was blocked: the answer is for the server.
        Disposition::Answer(answer) => server.answer_server(answer).await,
        Disposition::Status(_) | Disposition::Disconnect | Disposition::Discard => {}
    }
}

/// What becomes of everything that the server says.
impl StreamServer {
    /// Finds whom a message of the server is for, and puts it in the names that its client knows.
    pub(super) fn resolve_recipient(&self, incoming: Incoming) -> Dispatched {
        let mut state = self.state.lock();
        let recipient = self.recipient(&state, &incoming.message);
        let incoming = self.register_question(&mut state, &recipient, incoming);
        let Some(pending) = state.requests.of_recipient(&recipient) else {
            let session = self.owner(&state, &recipient);
            let audience =
                if matches!(recipient, Recipient::Player) { Audience::OperatorOnly } else { Audience::Client };
            return Dispatched { session, recipient, incoming, audience };
        };
        let leg_audience = pending.leg_audience(&recipient, &incoming.message);
        if leg_audience != LegAudience::Client {
            let session = pending.session().clone();
            let completed = recipient.completed().and_then(|id| state.requests.complete(id));
            drop(state);
            drop(completed);
            if leg_audience == LegAudience::ScreenAsItDiffers {
                self.log_difference(&session);
            }
            let audience = Audience::OperatorOnly;
            return Dispatched { session: Some(session), recipient: Recipient::Unaddressed, incoming, audience };
        }
        if matches!(recipient, Recipient::Requester(_)) {
            pending.answer();
            self.learn(pending, &incoming.message);
        }
        let (session, audience) = (Some(pending.session().clone()), pending.audience());
        let incoming = match pending.restore_names(&recipient, &incoming.message) {
            Some(message) => Incoming { framing: incoming.framing.around(&message), message },
            None => incoming,
        };
        Dispatched { session, recipient, incoming, audience }
    }

    /// Registers what the server asks its only client, which may know it by another name.
    fn register_question(&self, state: &mut ServerState, recipient: &Recipient, incoming: Incoming) -> Incoming {
        let is_clients = matches!(self.tenancy, Tenancy::Dedicated(_)) && !matches!(recipient, Recipient::Player);
        let is_registered = is_clients && self.pool.is_some();
        match is_registered.then(|| state.questions.register(&incoming.message)).flatten() {
            Some(message) => Incoming { framing: incoming.framing.around(&message), message },
            None => incoming,
        }
    }

    fn recipient(&self, state: &ServerState, message: &Message) -> Recipient {
        let recipient = state.requests.recipient(message, state.client.stream().is_some());
        match (&self.tenancy, recipient) {
            // Its client knows nothing of a process that is still being told what another one was told.
            (Tenancy::Dedicated(_), Recipient::Client) if state.told_again.is_some() => Recipient::Player,
            (Tenancy::Dedicated(_), Recipient::Requester(id))
                if state.told_again.is_some() && !state.requests.contains(&id) =>
            {
                Recipient::Player
            }
            // It names its request, which is gone: it is no other's.
            (Tenancy::Shared, Recipient::Client) if message.method() == Some(method::PROGRESS) => {
                Recipient::Unaddressed
            }
            // Whose it is can only be guessed: told to the wrong one, it would be a secret given away.
            (Tenancy::Shared, Recipient::Client) => {
                state.requests.sole().cloned().map_or(Recipient::Unaddressed, Recipient::Progress)
            }
            (Tenancy::Shared, Recipient::Requester(id)) if !state.requests.contains(&id) => Recipient::Unaddressed,
            (_, recipient) => recipient,
        }
    }

    /// Whose message it is that belongs to no request: of several clients, it is shown with the one that spoke last.
    fn owner(&self, state: &ServerState, recipient: &Recipient) -> Option<Arc<LiveSession>> {
        match (&self.tenancy, recipient) {
            (Tenancy::Dedicated(session), _) => Some(session.clone()),
            (Tenancy::Shared, Recipient::Requesters(ids)) => {
                ids.iter().find_map(|id| Some(state.requests.get(id)?.session().clone()))
            }
            (Tenancy::Shared, Recipient::Unaddressed) if state.requests.sole().is_some() => {
                state.requests.sole().and_then(|id| Some(state.requests.get(id)?.session().clone()))
            }
            (Tenancy::Shared, _) => state.last_session.clone().filter(|session| !session.closed().is_cancelled()),
        }
    }

    /// Learns what another process of the server would have to be told.
    fn learn(&self, pending: &PendingRequest, reply: &Message) {
        let is_clients = !pending.audience().is_operator_only();
        if self.pool.is_some() && is_clients && HandshakeState::is_relevant(pending.request()) {
            self.handshake.send_modify(|handshake| handshake.on_reply(pending.request(), reply));
        }
    }

    /// Whose log says what the server writes to stderr.
    pub(super) fn log_session(&self) -> Option<SessionId> {
        match &self.tenancy {
            Tenancy::Dedicated(session) => Some(session.id()),
            Tenancy::Shared => self.state.lock().last_session.as_ref().map(|session| session.id()),
        }
    }

    /// Delivers a message of the server to its recipient: down the one stream of a client that has one, else on the response that it
    /// belongs to. `share`: the room that it takes until it is read.
    pub(super) fn deliver(&self, recipient: &Recipient, incoming: Incoming, share: RoomShare) {
        if matches!(recipient, Recipient::Unaddressed) {
            return;
        }
        let mut state = self.state.lock();
        let ServerState { requests, client, told_again, .. } = &mut *state;
        let item = Item::Message(incoming);
        match client {
            _ if matches!(recipient, Recipient::Player) => {
                // Behind the end of a rewind it is for none.
                if let Some(player) = told_again {
                    let _ = player.send_in(Ok(item), share);
                }
            }
            ClientSide::Stream(stream) => deliver_to_stream(stream, requests, recipient, (item, share)),
            ClientSide::Exchanges(client) => {
                let unsent = deliver_to_exchange(client, requests, recipient, (item, share));
                // Of several clients, none is told what another hung up on.
                if let (Some(item), Tenancy::Dedicated(_)) = (unsent, &self.tenancy) {
                    client.buffer(item);
                }
            }
        }
    }

    /// Passes on bytes without a message: of no interest but to a client that gets every byte.
    pub(super) fn deliver_filler(&self, bytes: Bytes, share: RoomShare) {
        if let Some(stream) = self.state.lock().client.stream().filter(|stream| stream.carrier == self.carrier) {
            stream.send(Item::Filler(bytes), share);
        }
    }

    /// Passes on the one event that changes on its way (revision 2024-11-05, transports: the `endpoint` event): it must name an address
    /// of ours. Where that is the one it names, it leaves in the frame it came in.
    pub(super) fn deliver_endpoint(&self, frame: &Bytes, reference: &str, url: &Url) {
        let state = self.state.lock();
        let Some(stream) = state.client.stream() else { return };
        let Some(announce) = &stream.announce else { return };
        let address = announce(url);
        let frame = if address == reference { frame.clone() } else { sse::replace_data(frame, address.as_bytes()) };
        stream.send(Item::Filler(frame), RoomShare::default());
    }

    /// Passes on a piece of stderr.
    pub(super) fn deliver_stderr(&self, piece: StderrPiece) {
        if let Some(stderr) = self.state.lock().client.stream().and_then(|stream| stream.stderr.as_ref()) {
            let _ = stderr.send(piece);
        }
    }

    fn log_difference(&self, session: &LiveSession) {
        let text =
            "a child accepts a different part of a subscription than the first: the client gets what the first accepts";
        self.proxy.log(LogLine::new(Level::Warn, "proxy", text).of(session.id()));
    }
}

/// The main road of a client with one stream: everything that is for the client goes down it, whatever it answers. Only what answers
/// tapline's own requests goes elsewhere.
fn deliver_to_stream(
    stream: &ClientStream,
    requests: &mut PendingRequests,
    recipient: &Recipient,
    (item, share): (Item, RoomShare),
) {
    match requests.destination(recipient) {
        Destination::Client => stream.send(item, share),
        Destination::Tapline(items) => {
            let _ = items.send_in(Ok(item), share);
        }
        Destination::Exchange(items) => {
            if let Err(UnreadEntry(Ok(item))) = items.send_in(Ok(item), share) {
                stream.send(item, RoomShare::default());
            }
        }
    }
}

/// The road of a client with exchanges: a reply, and what comes before it, goes on the response of its request; what belongs to none
/// on the listening stream, or, where there is none, along with a request in flight. Returns an item that had no reader.
fn deliver_to_exchange(
    client: &ExchangeClient,
    requests: &mut PendingRequests,
    recipient: &Recipient,
    (item, share): (Item, RoomShare),
) -> Option<Item> {
    let items = match requests.destination(recipient) {
        Destination::Tapline(items) => {
            let _ = items.send_in(Ok(item), share);
            return None;
        }
        Destination::Exchange(items) => Some(items),
        Destination::Client if matches!(recipient, Recipient::Client) => {
            client.listener().or_else(|| requests.open_response())
        }
        Destination::Client => None,
    };
    match items {
        Some(items) => items.send_in(Ok(item), share).err().and_then(|UnreadEntry(item)| item.ok()),
        None => Some(item),
    }
}
