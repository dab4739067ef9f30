//! The control address of a running tapline: events out, commands in.
//!
//! - `GET /events`: one [`Event`] a line, beginning with everything that is remembered, then live.
//! - `POST /commands[?feed=N]`: [`Command`]s, one a line. `feed` says which screen speaks (the answer to `/events` names
//!   it): [`Command::Resync`] is for that one, and [`Command::Quit`] takes leave of it. A tapline is never ended from
//!   here, and opens no tape: the answer would go to all.
//! - `POST /recorded`: `true` where a session is being recorded to the file whose path is the body, else `false`.
//! - `GET /metrics`: the figures, for a scraper that can send a bearer token.
//! - `GET /healthz`: whether it lives; the only thing that takes no token.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::Stream;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::feed_writer::{RemoteReader, write_feed};
use super::registry::{Published, Registry, RegistryEntry};
use super::{ControlToken, FEED_HEADER};
use crate::event::{Command, Event, Feed, Level, LogLine, RuleCommand, Timestamp};
use crate::intercept::breakpoints::Breakpoints;
use crate::journal::Journal;
use crate::metrics::{Meter, prometheus};
use crate::net::serve::serve;
use crate::proxy::front::origin_check::OriginCheck;
use crate::rules::reaches_beyond_messages;

mod screens;

use screens::{AttachedScreen, AttachedScreens, DetachReason};

/// Events that may wait for the thread that writes them; more than the journal ever tells at once.
const FEED: usize = 65_536;
/// Largest body of commands: an edit may be as large as a message.
const MOST_COMMANDS: usize = 256 << 20;
/// How long attached screens may take to read the last event.
const GRACE: Duration = Duration::from_millis(500);

/// How a tapline lets itself be found and commanded.
#[derive(Clone, Debug)]
pub struct Settings {
    pub address: SocketAddr,
    /// Where it publishes its address.
    pub registry: Registry,
    /// What it is called there.
    pub name: String,
    /// Whether it has a screen of its own: what is held may wait when all others have gone.
    pub own_screen: bool,
}

/// The tapline behind the address.
pub struct ControlledTapline {
    pub journal: Journal,
    pub commands: mpsc::UnboundedSender<Command>,
    pub breakpoints: Breakpoints,
    pub meter: Arc<Meter>,
    /// Where clients come in: a URL, or `stdio`.
    pub front: String,
    pub upstream: String,
    /// When this tapline started.
    pub started: Timestamp,
}

/// Why there is no control address.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("cannot listen on {address}: {why}; `--control` takes another address, `--no-control` none")]
    CannotListen { address: SocketAddr, why: std::io::Error },
    #[error("no token for the control address: {0}")]
    Token(std::io::Error),
}

/// An open control address.
pub struct ControlAddress {
    entry: RegistryEntry,
    published: Option<Published>,
    server: JoinHandle<()>,
    stop: CancellationToken,
}

/// Opens the control address and publishes it. Where any port would have done and none is free, the tapline works without one, and
/// says so in the journal.
///
/// # Errors
/// Where the address that was asked for cannot be listened on.
pub async fn open(settings: Settings, stage: ControlledTapline) -> Result<Option<ControlAddress>, ControlError> {
    let (any_port, journal) = (settings.address.port() == 0, stage.journal.clone());
    match ControlAddress::open(settings, stage).await {
        Ok(control) => Ok(Some(control)),
        Err(error) if any_port => {
            journal.publish(Event::Log(LogLine::new(Level::Warn, "control", error.to_string())));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl ControlAddress {
    /// Opens the address and publishes it. A registry that cannot be written to is a warning in the journal: a client that
    /// knows the address and the token can connect all the same.
    ///
    /// # Errors
    /// Where the address cannot be listened on.
    pub async fn open(settings: Settings, stage: ControlledTapline) -> Result<Self, ControlError> {
        let cannot_listen = |why| ControlError::CannotListen { address: settings.address, why };
        let listener = TcpListener::bind(settings.address).await.map_err(cannot_listen)?;
        let entry = RegistryEntry {
            pid: std::process::id(),
            started: stage.started,
            control: listener.local_addr().map_err(cannot_listen)?,
            token: ControlToken::random().map_err(ControlError::Token)?,
            name: settings.name.clone(),
            front: stage.front.clone(),
            upstream: stage.upstream.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let warn = |text: String| stage.journal.publish(Event::Log(LogLine::new(Level::Warn, "control", text)));
        if !entry.control.ip().is_loopback() {
            warn(format!("{} can be reached from other machines: its token commands this tapline", entry.control));
        }
        let published = settings.registry.publish(&entry).map_err(|error| {
            warn(format!("`tapline attach` will not find this tapline: {error}"));
        });
        let stop = CancellationToken::new();
        let server =
            tokio::spawn(serve(listener, router(ControlServer::new(&entry, settings.own_screen, stage)), stop.clone()));
        Ok(Self { entry, published: published.ok(), server, stop })
    }

    /// The entry of this tapline in the registry.
    pub fn entry(&self) -> &RegistryEntry {
        &self.entry
    }

    /// Removes the address from the registry; screens that are attached stay.
    pub fn withdraw(&mut self) {
        self.published = None;
    }

    /// Closes the address, once the journal has told its last event.
    pub async fn close(self) {
        self.stop.cancel();
        let mut server = self.server;
        if tokio::time::timeout(GRACE, &mut server).await.is_err() {
            server.abort();
        }
    }
}

fn router(door: ControlServer) -> Router {
    let door = Arc::new(door);
    Router::new()
        .route("/events", get(events))
        .route("/commands", post(commands))
        .route("/recorded", post(recorded))
        .route("/metrics", get(metrics))
        .route_layer(from_fn_with_state(door.clone(), with_token))
        .route("/healthz", get(async || "ok\n"))
        .layer(from_fn_with_state(door.clone(), as_loopback))
        .with_state(door)
}

struct ControlServer {
    guard: OriginCheck,
    token: ControlToken,
    journal: Journal,
    commands: mpsc::UnboundedSender<Command>,
    meter: Arc<Meter>,
    screens: Arc<AttachedScreens>,
}

impl ControlServer {
    fn new(entry: &RegistryEntry, own_screen: bool, stage: ControlledTapline) -> Self {
        let screens = AttachedScreens::new(own_screen, stage.breakpoints, stage.commands.clone());
        Self {
            guard: OriginCheck::new(entry.control),
            token: entry.token.clone(),
            journal: stage.journal,
            commands: stage.commands,
            meter: stage.meter,
            screens: Arc::new(screens),
        }
    }
}

/// Why a request is not served: the status, and the text of the answer.
struct ControlRequestError(StatusCode, String);

impl IntoResponse for ControlRequestError {
    fn into_response(self) -> Response {
        let mut response = (self.0, format!("tapline: {}\n", self.1)).into_response();
        if self.0 == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tapline\""));
        }
        response
    }
}

async fn as_loopback(
    State(door): State<Arc<ControlServer>>,
    request: Request,
    next: Next,
) -> Result<Response, ControlRequestError> {
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    match door.guard.check(request.headers(), authority) {
        Ok(()) => Ok(next.run(request).await),
        Err(_) => {
            let why = "a control address answers to loopback names and to no web page";
            Err(ControlRequestError(StatusCode::FORBIDDEN, why.to_owned()))
        }
    }
}

async fn with_token(
    State(door): State<Arc<ControlServer>>,
    request: Request,
    next: Next,
) -> Result<Response, ControlRequestError> {
    match bearer(request.headers()) {
        Some(token) if door.token.is(token) => Ok(next.run(request).await),
        Some(_) => Err(unauthorized("wrong token: it is not that of the tapline that listens here now")),
        None => Err(unauthorized("no token: send `authorization: Bearer TOKEN` with the one from the registry")),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized(why: &str) -> ControlRequestError {
    ControlRequestError(StatusCode::UNAUTHORIZED, why.to_owned())
}

async fn events(State(door): State<Arc<ControlServer>>) -> Result<Response, ControlRequestError> {
    let (feed, reader) = Feed::bounded(FEED);
    let (chunks, lines) = mpsc::unbounded_channel();
    let (here, gone) = crossbeam_channel::bounded(0);
    let waiting: Arc<AtomicUsize> = Arc::default();
    let remote = RemoteReader { chunks, waiting: waiting.clone(), gone };
    let thread = std::thread::Builder::new().name("attached".to_owned()).spawn(move || write_feed(&reader, remote));
    thread.map_err(|error| {
        ControlRequestError(StatusCode::SERVICE_UNAVAILABLE, format!("no thread for a screen: {error}"))
    })?;
    let screen = AttachedScreen::enter(door.screens.clone(), door.journal.subscribe(feed));
    let feed = HeaderValue::from(screen.feed());
    let mut response = Response::new(Body::from_stream(Lines { lines, waiting, _screen: screen, _here: here }));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response.headers_mut().insert(FEED_HEADER, feed);
    Ok(response)
}

/// What the writer wrote, as a body.
struct Lines {
    lines: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
    _screen: AttachedScreen,
    _here: crossbeam_channel::Sender<()>,
}

impl Stream for Lines {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = ready!(self.lines.poll_recv(context));
        if let Some(chunk) = &chunk {
            self.waiting.fetch_sub(chunk.len(), Ordering::Relaxed);
        }
        Poll::Ready(chunk.map(Ok))
    }
}

async fn metrics(State(door): State<Arc<ControlServer>>) -> Response {
    ([(CONTENT_TYPE, prometheus::CONTENT_TYPE)], prometheus::text(&door.meter.figures())).into_response()
}

async fn commands(State(door): State<Arc<ControlServer>>, request: Request) -> Result<StatusCode, ControlRequestError> {
    let feed = feed(request.uri());
    let bad = |why: String| ControlRequestError(StatusCode::BAD_REQUEST, why);
    let body = Limited::new(request.into_body(), MOST_COMMANDS).collect().await.map_err(|it| bad(it.to_string()))?;
    let body = body.to_bytes();
    let read = serde_json::Deserializer::from_slice(&body).into_iter::<Command>().enumerate();
    // All or nothing: half of a request was never asked for.
    let commands: Vec<_> = read
        .map(|(at, command)| command.map_err(|error| bad(format!("command {}: {error}", at + 1))))
        .collect::<Result<_, _>>()?;
    for command in commands {
        door.command(feed, command)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn recorded(State(door): State<Arc<ControlServer>>, path: Bytes) -> String {
    let path = PathBuf::from(OsStr::from_bytes(&path));
    // A journal that has ended records nothing.
    let is_recorded = door.journal.is_recorded(path).await.unwrap_or_default();
    format!("{is_recorded}\n")
}

fn feed(uri: &Uri) -> Option<u64> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("feed="))?.parse().ok()
}

impl ControlServer {
    fn command(&self, feed: Option<u64>, command: Command) -> Result<(), ControlRequestError> {
        let command = command.for_one();
        match (&command, feed) {
            (Command::Quit { .. }, Some(feed)) => {
                self.screens.leave(feed, DetachReason::Goodbye);
                return Ok(());
            }
            (Command::Quit { .. }, None) => {
                let why = "a tapline is not ended through its control address";
                return Err(ControlRequestError(StatusCode::BAD_REQUEST, why.to_owned()));
            }
            (Command::OpenTape(_) | Command::CompareTapes(_), _) => {
                let why = "a tape is a file of this user: read it where you are";
                return Err(ControlRequestError(StatusCode::BAD_REQUEST, why.to_owned()));
            }
            (Command::Rules(RuleCommand::Add { text } | RuleCommand::Replace { text, .. }), _)
                if reaches_beyond_messages(text) =>
            {
                let why = "a rule that starts a program, asks an address or reads a file is made where tapline runs, or in its file";
                return Err(ControlRequestError(StatusCode::BAD_REQUEST, why.to_owned()));
            }
            (Command::Rules(RuleCommand::Save { file: Some(_) }), _) => {
                let why = "the file that rules are saved to is named where tapline runs";
                return Err(ControlRequestError(StatusCode::BAD_REQUEST, why.to_owned()));
            }
            (Command::Resync, Some(feed)) if self.screens.resync(feed) => return Ok(()),
            (Command::SetHolding(_), Some(feed)) => self.screens.changes_holding(feed),
            (Command::Pause(session), Some(feed)) => self.screens.pauses(feed, *session),
            (Command::Resume(session), Some(_)) => self.screens.resumes(*session),
            _ => {}
        }
        let stopping = |_| ControlRequestError(StatusCode::SERVICE_UNAVAILABLE, "this tapline is ending".to_owned());
        self.commands.send(command).map_err(stopping)
    }
}
