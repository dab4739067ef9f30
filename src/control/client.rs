//! One control address from afar: its events as they come, commands to it.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::header::AUTHORIZATION;
use http::{Method, StatusCode};

use super::registry::RegistryEntry;
use super::{ControlToken, FEED_HEADER, FeedLine};
use crate::event::Command;
use crate::net::client::direct_client;
use crate::net::innermost_cause;
use crate::net::read::LineBuffer;
use crate::text;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest line that is kept: a body as large as they usually may be, and what is told of it. A longer one, and be it without an end,
/// is passed over as one that means nothing to us is.
const MOST_LINE: usize = 80 << 20;
/// How much of an error's words is read.
const MOST_WORDS: usize = 16 << 10;

/// Why a tapline cannot be watched or commanded.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("nothing listens on {address}: {why}")]
    Unreachable { address: SocketAddr, why: String },
    /// Wrong token, or an address that answers to other names.
    #[error("{address} refused: {why}")]
    Refused { address: SocketAddr, why: String },
    #[error("{address} answered {status}: {why}")]
    Failed { address: SocketAddr, status: StatusCode, why: String },
    #[error("{address} is not the control address of a tapline")]
    NotTapline { address: SocketAddr },
    #[error("the connection to {address} broke: {why}")]
    Broken { address: SocketAddr, why: String },
}

/// A tapline in another process.
#[derive(Clone, Debug)]
pub struct Remote {
    http: reqwest::Client,
    address: SocketAddr,
    token: ControlToken,
}

impl Remote {
    /// # Errors
    /// Where there can be no HTTP client at all.
    pub fn new(address: SocketAddr, token: ControlToken) -> Result<Self, ClientError> {
        let client = direct_client().connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true).build();
        let http = client.map_err(|error| ClientError::Unreachable { address, why: innermost_cause(&error) })?;
        Ok(Self { http, address, token })
    }

    /// # Errors
    /// Where there can be no HTTP client at all.
    pub fn of(entry: &RegistryEntry) -> Result<Self, ClientError> {
        Self::new(entry.control, entry.token.clone())
    }

    /// The control address that it talks to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it is there and lets us in.
    ///
    /// # Errors
    /// Where it cannot be reached, or refuses the token.
    pub async fn check(&self) -> Result<(), ClientError> {
        self.post("/commands".to_owned(), Vec::new()).await
    }

    /// Begins to read events: first all that is remembered, then what happens.
    ///
    /// # Errors
    /// Where the address refuses the connection or the token.
    pub async fn events(&self) -> Result<Events, ClientError> {
        let response = self.request(Method::GET, "/events".to_owned(), Vec::new()).await?;
        let feed = response.headers().get(FEED_HEADER).and_then(|feed| feed.to_str().ok()?.parse().ok());
        let feed = feed.ok_or(ClientError::NotTapline { address: self.address })?;
        let chunks = response.bytes_stream().boxed();
        Ok(Events { address: self.address, feed, chunks, lines: LineBuffer::default(), is_too_long: false })
    }

    /// `feed`: which screen speaks ([`Events::feed`]).
    ///
    /// # Errors
    /// Where the address refuses the connection, or the tapline the command.
    pub async fn command(&self, feed: Option<u64>, command: &Command) -> Result<(), ClientError> {
        let path = feed.map_or_else(|| "/commands".to_owned(), |feed| format!("/commands?feed={feed}"));
        let broken = |error: serde_json::Error| ClientError::Broken { address: self.address, why: error.to_string() };
        self.post(path, serde_json::to_vec(command).map_err(broken)?).await
    }

    /// Whether it records a session to this file.
    ///
    /// # Errors
    /// Where the address refuses the connection or the token.
    pub async fn records(&self, tape: &Path) -> Result<bool, ClientError> {
        let body = tape.as_os_str().as_bytes().to_vec();
        let response = self.request(Method::POST, "/recorded".to_owned(), body).await?;
        Ok(words(response).await.trim() == "true")
    }

    async fn post(&self, path: String, body: Vec<u8>) -> Result<(), ClientError> {
        self.request(Method::POST, path, body).await.map(drop)
    }

    async fn request(&self, method: Method, path: String, body: Vec<u8>) -> Result<reqwest::Response, ClientError> {
        let address = self.address;
        let request = self.http.request(method, format!("http://{address}{path}")).body(body);
        let answer = request.header(AUTHORIZATION, self.token.bearer()).send().await;
        let response = answer.map_err(|error| match error.is_connect() {
            true => ClientError::Unreachable { address, why: innermost_cause(&error) },
            false => ClientError::Broken { address, why: innermost_cause(&error) },
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let words = words(response).await;
        // Whatever listens there, its words are printed to a terminal.
        let text = text::sanitize(words.trim());
        let why = text.strip_prefix("tapline: ");
        Err(match (status, why) {
            (_, None) => ClientError::NotTapline { address },
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(why)) => {
                ClientError::Refused { address, why: why.to_owned() }
            }
            (_, Some(why)) => ClientError::Failed { address, status, why: why.to_owned() },
        })
    }
}

/// The beginning of a body, as far as errors are long.
async fn words(mut response: reqwest::Response) -> String {
    let mut read = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await
        && read.len() < MOST_WORDS
    {
        read.extend_from_slice(&chunk[..chunk.len().min(MOST_WORDS - read.len())]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// The events of a tapline, line by line.
pub struct Events {
    address: SocketAddr,
    feed: u64,
    chunks: BoxStream<'static, reqwest::Result<Bytes>>,
    lines: LineBuffer,
    /// The line that is being read is passed over.
    is_too_long: bool,
}

impl Events {
    /// Names this screen in commands.
    pub fn feed(&self) -> u64 {
        self.feed
    }

    /// An error of this connection.
    pub(super) fn broken(&self, why: &str) -> ClientError {
        ClientError::Broken { address: self.address, why: why.to_owned() }
    }

    /// What comes next; `None` when the tapline has ended. Lines of a newer tapline that mean nothing to us are skipped.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub async fn next(&mut self) -> Result<Option<FeedLine>, ClientError> {
        loop {
            let Some(line) = self.line().await? else { return Ok(None) };
            match FeedLine::read(&line) {
                Ok(told) => return Ok(Some(told)),
                Err(error) => tracing::warn!(%error, address = %self.address, "an event that cannot be read"),
            }
        }
    }

    async fn line(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            if let Some(line) = self.lines.next_line() {
                if !std::mem::take(&mut self.is_too_long) {
                    return Ok(Some(line));
                }
                continue;
            }
            if self.lines.pending() > MOST_LINE {
                tracing::warn!(address = %self.address, "an event of more than {MOST_LINE} bytes is passed over");
                self.is_too_long = true;
            }
            if self.is_too_long {
                self.lines = LineBuffer::default();
            }
            match self.chunks.next().await {
                Some(Ok(chunk)) => self.lines.room().extend_from_slice(&chunk),
                Some(Err(error)) => return Err(self.broken(&innermost_cause(&error))),
                None => return Ok(None),
            }
        }
    }
}
