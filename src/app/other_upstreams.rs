//! Other upstreams than a client's own, of which rules have requests answered.
//!
//! Each session of a client from which a rule sends something to another upstream has a session of tapline's there, on a spine beside the
//! operator's: it is shown and recorded like all others, nothing in it is held, and no rule is asked about it. It begins with the handshake that
//! the request's era needs (none from 2026-07-28 on), and ends with the client's. No header, cookie or token of the client's goes there: it
//! is another origin. What that server says beside its replies is in its session and goes no further; what it asks is refused.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::TransportArg;
use crate::envelope::SessionId;
use crate::event::{Origin, Session};
use crate::mcp::era::{LEGACY_REVISIONS, is_modern, is_modern_revision};
use crate::mcp::error_code::{ErrorCode, protocol};
use crate::mcp::method;
use crate::message::{Id, Kind, Message};
use crate::proxy::front::internal::QueuedClient;
use crate::proxy::front::routes::Mounts;
use crate::proxy::sessions::SessionTable;
use crate::rules::{RuleBook, UpstreamAsker, UpstreamQuestion};
use crate::upstream::Item;
use crate::upstream::http::HttpUpstream;
use crate::upstream::sse::SseUpstream;
use crate::upstream::target::Target;

/// Requests that wait for a server which does not take them.
const UNSAID: usize = 512;
/// How long their servers may take to leave when tapline ends.
const LEAVE: Duration = Duration::from_secs(1);

/// The sessions with other upstreams.
pub(super) struct OtherUpstreams {
    /// What has the mounts has the rules, and they have this.
    mounts: Weak<Mounts>,
    tables: Mutex<HashMap<Arc<str>, Arc<SessionTable>>>,
    links: Mutex<HashMap<(SessionId, Arc<str>), LinkSender>>,
    running: TaskTracker,
}

type LinkSender = mpsc::UnboundedSender<LinkCommand>;

/// What a session with another upstream is told.
enum LinkCommand {
    Ask(Message, oneshot::Sender<Result<Message, String>>),
    /// Some request is not waited for any more.
    TakeBack,
}

/// Says, when it is dropped, that a request is not waited for any more.
struct WaitingCaller(LinkSender);

impl Drop for WaitingCaller {
    fn drop(&mut self) {
        // The session may have ended.
        let _ = self.0.send(LinkCommand::TakeBack);
    }
}

impl OtherUpstreams {
    /// Asked by these rules from now on.
    pub(super) fn asked_by(rules: &RuleBook, mounts: &Arc<Mounts>) -> Arc<Self> {
        let (tables, links, running) = Default::default();
        let others = Arc::new(Self { mounts: Arc::downgrade(mounts), tables, links, running });
        rules.ask_upstreams_with(others.asker());
        others
    }

    fn asker(self: &Arc<Self>) -> UpstreamAsker {
        let others = self.clone();
        Box::new(move |question| {
            let others = others.clone();
            Box::pin(async move {
                let (answer, answered) = oneshot::channel();
                let link = others.link(&question)?;
                let _waiting = WaitingCaller(link.clone());
                let ended = || "the session with it has ended".to_owned();
                link.send(LinkCommand::Ask(question.request, answer)).map_err(|_| ended())?;
                answered.await.map_err(|_| ended())?
            })
        })
    }

    /// Waits a moment until all servers have been left. The clients' sessions have ended before.
    pub(super) async fn finish(&self) {
        self.running.close();
        let _ = tokio::time::timeout(LEAVE, self.running.wait()).await;
    }

    /// The session that goes with the client's, begun if there is none.
    fn link(&self, question: &UpstreamQuestion) -> Result<LinkSender, String> {
        let mounts = self.mounts.upgrade().ok_or("tapline ends")?;
        let mut links = self.links.lock();
        let key = (question.session, question.upstream.clone());
        if let Some(link) = links.get(&key).filter(|link| !link.is_closed()) {
            return Ok(link.clone());
        }
        links.retain(|_, link| !link.is_closed());
        let client = mounts.find(question.session).ok_or("the client's session has ended")?;
        let table = self.table(&mounts, &question.upstream)?;
        let server = QueuedClient::open(&table, Origin::Rule, UNSAID).map_err(|error| error.to_string())?;
        let (link, commands) = mpsc::unbounded_channel();
        let state = LinkState::new(initialize(&client.session.info()));
        let ends = [client.session.closed().clone(), mounts.proxy().stop().listening.clone()];
        self.running.spawn(run(state, server, commands, ends));
        links.insert(key, link.clone());
        Ok(link)
    }

    fn table(&self, mounts: &Mounts, place: &Arc<str>) -> Result<Arc<SessionTable>, String> {
        let mut tables = self.tables.lock();
        if let Some(table) = tables.get(place) {
            return Ok(table.clone());
        }
        let is_url = place.contains("://");
        let target = if is_url { of_url(place)? } else { of_name(mounts, place)? };
        let name = (!is_url).then(|| place.to_string());
        let table = SessionTable::named(mounts.proxy().without_interception(), name, target);
        tables.insert(place.clone(), table.clone());
        Ok(table)
    }
}

fn of_url(url: &str) -> Result<Target, String> {
    if TransportArg::Auto.is_sse(url) {
        return Ok(Target::Events(SseUpstream::new(url, Vec::new())?));
    }
    Ok(Target::Server(Arc::new(HttpUpstream::new(url, Vec::new())?)))
}

fn of_name(mounts: &Mounts, name: &str) -> Result<Target, String> {
    let mount = mounts.iter().find(|mount| mount.name() == Some(name));
    mount.map(|mount| mount.table().target().clone()).ok_or_else(|| {
        let known: Vec<_> = mounts.iter().filter_map(|mount| mount.name()).collect();
        let there_are = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
        format!(
            "no upstream has that name ({there_are}): `[upstreams.{name}]` in tapline.toml gives one, a URL needs none"
        )
    })
}

/// The handshake that the client would have with the other server. It has no capabilities: what that server asks is refused.
fn initialize(client: &Session) -> Message {
    let agreed = client.protocol.as_deref().filter(|revision| !is_modern_revision(revision));
    let newest = LEGACY_REVISIONS[LEGACY_REVISIONS.len() - 1];
    let (name, version) = match client.client.as_deref() {
        Some(peer) => (peer.name.as_str(), peer.version.as_str()),
        None => ("tapline", env!("CARGO_PKG_VERSION")),
    };
    let info = json!({"name": name, "version": version});
    let params = json!({"protocolVersion": agreed.unwrap_or(newest), "capabilities": {}, "clientInfo": info});
    Message::new(json!({"jsonrpc": "2.0", "id": 0, "method": method::INITIALIZE, "params": params}).to_string())
}

/// Lives the session: until the client's has ended, tapline ends, or the server is gone.
async fn run(
    mut state: LinkState,
    mut server: QueuedClient,
    mut commands: mpsc::UnboundedReceiver<LinkCommand>,
    [closed, ending]: [CancellationToken; 2],
) {
    let why = loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(LinkCommand::Ask(request, answer)) => state.ask(&request, answer),
                Some(LinkCommand::TakeBack) => state.take_back(),
                None => break "nothing asks it any more".to_owned(),
            },
            item = server.heard.items.recv() => match item {
                Some(Ok(Item::Message(incoming))) => state.hear(&incoming.message),
                Some(Ok(Item::Filler(_))) => {}
                Some(Err(error)) => break error.to_string(),
                None => break "it has ended".to_owned(),
            },
            Some(_) = server.heard.errors.recv() => {}
            () = closed.cancelled() => break "the client's session has ended".to_owned(),
            () = ending.cancelled() => break "tapline ended".to_owned(),
        }
        if !state.to_say.drain(..).all(|message| server.send(message)) {
            break format!("it does not take what it is sent: {UNSAID} messages wait");
        }
    };
    commands.close();
    state.fail(&why);
    let _ = server.hang_up(&why).await;
}

/// What is open in a session with another upstream.
struct LinkState {
    initialize: Message,
    handshake: HandshakePhase,
    last_id: u64,
    open: HashMap<Id, RedirectedCall>,
    to_say: VecDeque<Message>,
}

enum HandshakePhase {
    /// `initialize` has not been sent, or was refused: the next request tries again.
    New,
    /// It has no reply yet; these wait for it.
    Initializing(Id, Vec<Message>),
    Done,
}

struct RedirectedCall {
    /// The id that the client has given it.
    id: Id,
    answer: oneshot::Sender<Result<Message, String>>,
}

impl LinkState {
    fn new(initialize: Message) -> Self {
        let (open, to_say) = Default::default();
        Self { initialize, handshake: HandshakePhase::New, last_id: 0, open, to_say }
    }

    fn next_id(&mut self) -> Id {
        self.last_id += 1;
        Id::from_token(&self.last_id.to_string())
    }

    fn ask(&mut self, request: &Message, answer: oneshot::Sender<Result<Message, String>>) {
        let Some(id) = request.id().cloned() else { return };
        // Clients of one address share a session where the protocol knows none (2026-07-28), and may choose the same id.
        let ours = self.next_id();
        let Some(message) = request.with_id(&ours) else { return };
        self.open.insert(ours, RedirectedCall { id, answer });
        if is_modern(&message, || None) {
            self.to_say.push_back(message);
            return;
        }
        match &mut self.handshake {
            HandshakePhase::Done => self.to_say.push_back(message),
            HandshakePhase::Initializing(_, waiting) => waiting.push(message),
            HandshakePhase::New => {
                let id = self.next_id();
                self.to_say.extend(self.initialize.with_id(&id));
                self.handshake = HandshakePhase::Initializing(id, vec![message]);
            }
        }
    }

    fn hear(&mut self, message: &Message) {
        match (message.kind(), message.id()) {
            (Kind::Request, Some(id)) => self.to_say.push_back(refusal(message, id)),
            (kind, Some(id)) if kind.is_reply() => self.hear_reply(message, id),
            _ => {}
        }
    }

    fn hear_reply(&mut self, reply: &Message, id: &Id) {
        if let Some(RedirectedCall { id, answer }) = self.open.remove(id) {
            let reply = match ErrorCode::of(reply) {
                Some(ErrorCode::UpstreamFailed) => Err(error_text(reply)),
                _ => reply.with_id(&id).ok_or_else(|| "its reply has no id".to_owned()),
            };
            // The client may have gone.
            let _ = answer.send(reply);
        } else if let HandshakePhase::Initializing(initialize, waiting) = &mut self.handshake
            && initialize == id
        {
            if reply.kind() == Kind::Error {
                let why = match ErrorCode::of(reply) {
                    Some(ErrorCode::UpstreamFailed) => error_text(reply),
                    _ => format!("it refuses `initialize`: {}", error_text(reply)),
                };
                self.handshake = HandshakePhase::New;
                self.fail(&why);
                return;
            }
            let initialized = json!({"jsonrpc": "2.0", "method": method::INITIALIZED}).to_string();
            self.to_say.push_back(Message::new(initialized));
            self.to_say.extend(waiting.drain(..));
            self.handshake = HandshakePhase::Done;
        }
    }

    /// Cancels what is not waited for any more.
    fn take_back(&mut self) {
        let gone: Vec<_> = self.open.iter().filter(|(_, it)| it.answer.is_closed()).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.open.remove(&id);
            if let HandshakePhase::Initializing(_, waiting) = &mut self.handshake
                && let Some(at) = waiting.iter().position(|it| it.id() == Some(&id))
            {
                waiting.remove(at);
                continue;
            }
            let id = id.token();
            let method = method::CANCELLED;
            let text = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"requestId":{id}}}}}"#);
            self.to_say.push_back(Message::new(text));
        }
    }

    fn fail(&mut self, why: &str) {
        for (_, RedirectedCall { answer, .. }) in self.open.drain() {
            let _ = answer.send(Err(why.to_owned()));
        }
    }
}

/// What the server asks of a client that has no capabilities.
fn refusal(request: &Message, id: &Id) -> Message {
    if request.method() == Some(method::PING) {
        return Message::new(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, id.token()));
    }
    let text = "tapline: this session is a rule's, with no client behind it";
    Message::error_reply(Some(id), protocol::METHOD_NOT_FOUND, text, None)
}

fn error_text(reply: &Message) -> String {
    let text = reply.at(&["error", "message"]).and_then(|text| serde_json::from_str::<String>(text).ok());
    let text = text.unwrap_or_else(|| "an error without a message".to_owned());
    text.strip_prefix("tapline: ").unwrap_or(&text).to_owned()
}
