//! A fresh process as the one sees it who plays the past of a session to it: exchanges, as a server over HTTP would have them.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::Method;
use parking_lot::Mutex;

use crate::mcp::error_code::ErrorCode;
use crate::mcp::meta::cancelled_id;
use crate::mcp::method;
use crate::message::{Id, Kind, Message};
use crate::net::backlog::{BacklogReader, backlog};
use crate::proxy::session::LiveSession;
use crate::proxy::stream::handshake::HandshakeState;
use crate::proxy::stream::server::{Pipe, StreamServer};
use crate::secret::Label;
use crate::upstream::{Framing, Incoming, Item, Outgoing, Reply, Upstream, UpstreamError};

type Answers = BacklogReader<Result<Item, UpstreamError>>;

/// A process that is told what an earlier one was told.
pub(super) struct FreshProcess {
    server: Arc<StreamServer>,
    session: Arc<LiveSession>,
    pipe: Arc<Pipe>,
    told: Arc<Mutex<ToldPast>>,
}

/// What is known of the past as far as it was told.
#[derive(Default)]
pub(super) struct ToldPast {
    /// What the process says of its own accord, until somebody listens.
    unasked: Option<Answers>,
    /// By the ids that requests once had, those that the process knows.
    ids: HashMap<Id, Id>,
    /// What was agreed on with this process.
    pub(super) handshake: HandshakeState,
    /// Its answer to `initialize`.
    pub(super) greeting: Option<Message>,
    /// Its questions to which the past has no answer: it was told so by an error of ours.
    unanswered: usize,
}

impl ToldPast {
    /// What is to be known of questions that nobody has answered; nothing where there is none.
    pub(super) fn lacking(&self) -> String {
        match self.unanswered {
            0 => String::new(),
            1 => {
                "; a question of the server was answered by an error: the client had not answered it by then".to_owned()
            }
            many => format!(
                "; {many} questions of the server were answered by errors: the client had not answered them by then"
            ),
        }
    }
}

impl FreshProcess {
    /// From now on what the process says by itself is for who plays to it.
    pub(super) fn new(server: &Arc<StreamServer>, session: &Arc<LiveSession>, pipe: &Arc<Pipe>) -> Self {
        let (items, unasked) = backlog();
        server.state.lock().told_again = Some(items);
        let told = ToldPast { unasked: Some(unasked), ..ToldPast::default() };
        Self { server: server.clone(), session: session.clone(), pipe: pipe.clone(), told: Arc::new(Mutex::new(told)) }
    }

    /// What is known of the past as far as it was told.
    pub(super) fn told(&self) -> Arc<Mutex<ToldPast>> {
        self.told.clone()
    }

    async fn post(&self, message: Message) -> Result<Reply, UpstreamError> {
        match message.kind() {
            Kind::Request => Ok(self.ask(message).await),
            // Each of its requests would need an id of its own; only revision 2025-03-26 has them.
            Kind::Batch => Err(UpstreamError::BrokenOff {
                upstream: self.server.label().clone(),
                why: "a batch is not said again".to_owned(),
            }),
            _ => {
                if ErrorCode::of(&message) == Some(ErrorCode::NotOnTape) {
                    self.told.lock().unanswered += 1;
                }
                if message.method() == Some(method::INITIALIZED) {
                    self.told.lock().handshake.on_initialized();
                }
                let _ = self.server.ask(&self.session, &self.pipe, self.renamed(message)).await;
                Ok(Reply::accepted())
            }
        }
    }

    /// A cancellation names its request as the process knows it.
    fn renamed(&self, message: Message) -> Message {
        let id = cancelled_id(&message).and_then(|id| self.told.lock().ids.get(&id).cloned());
        id.and_then(|id| message.with_value(&["params", "requestId"], id.token())).unwrap_or(message)
    }

    async fn ask(&self, request: Message) -> Reply {
        let id = request.id().cloned().expect("a request has an id");
        let fresh = Id::random();
        self.told.lock().ids.insert(id.clone(), fresh.clone());
        let asked = request.with_id(&fresh).unwrap_or_else(|| request.clone());
        let answers = self.server.ask(&self.session, &self.pipe, asked).await;
        let asked = AskedAgain { request, id, fresh, told: self.told.clone() };
        let items = stream::unfold((answers, asked), |(mut answers, asked)| async move {
            let item = answers.recv().await?.map(|item| asked.restore(item));
            Some((item, (answers, asked)))
        });
        Reply::event_stream(items.boxed())
    }

    fn listen(&self) -> Reply {
        let unasked = self.told.lock().unasked.take();
        let items = stream::unfold(unasked, |unasked| async move {
            let mut unasked = unasked?;
            Some((unasked.recv().await?, Some(unasked)))
        });
        Reply::event_stream(items.boxed())
    }
}

/// A request of the past, asked again under another id.
struct AskedAgain {
    request: Message,
    id: Id,
    fresh: Id,
    told: Arc<Mutex<ToldPast>>,
}

impl AskedAgain {
    /// A reply under the id that its request once had.
    fn restore(&self, item: Item) -> Item {
        let Item::Message(Incoming { message, framing }) = item else { return item };
        if message.id().is_none_or(|id| *id != self.fresh) {
            return Item::Message(Incoming { message, framing });
        }
        let mut told = self.told.lock();
        told.handshake.on_reply(&self.request, &message);
        if self.request.method() == Some(method::INITIALIZE) {
            told.greeting = Some(message.clone());
        }
        let message = message.with_id(&self.id).unwrap_or(message);
        Item::Message(Incoming { framing: Framing::around(framing, &message), message })
    }
}

impl Upstream for FreshProcess {
    fn label(&self) -> &Label {
        self.server.label()
    }

    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, UpstreamError>> {
        async move {
            match (outgoing.method, outgoing.message) {
                (Method::POST, Some(message)) => self.post(message).await,
                (Method::GET, _) => Ok(self.listen()),
                _ => Ok(Reply::accepted()),
            }
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        futures_util::future::ready(()).boxed()
    }
}
