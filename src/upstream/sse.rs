//! An MCP server behind a URL that speaks HTTP+SSE (revision 2024-11-05, transports; deprecated since 2025-03-26).
//!
//! A session is one GET: its event stream says first where messages are to be posted, and then everything the server
//! has to say. When the GET ends, so does the session; nothing can be taken up again.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use reqwest::Url;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::encoding::decoded;
use super::http::{SseItems, is_event_stream, whole};
use super::output::{Output, OutputSender};
use super::retry::{Attempt, Retry};
use super::site::{ExtraHeaders, ResponseBody, Site};
use super::{Item, Reply, ReplyBody, UpstreamError};
use crate::message::Message;
use crate::secret::Label;
use crate::sse::Splitter;

/// Events that may wait to be taken before the stream is read no further.
const EVENTS_WAITING: usize = 1024;

/// A server of the HTTP+SSE transport (revision 2024-11-05).
pub struct SseUpstream {
    site: Site,
}

/// The way to the server of one session. Dropping the last one hangs up.
pub struct EventPipe {
    upstream: Arc<SseUpstream>,
    /// What the session was opened with: for messages that have no request of a client to come with.
    headers: HeaderMap,
    phase: watch::Receiver<SsePhase>,
    closing: CancellationToken,
}

/// How far a session has come.
#[derive(Clone, Debug)]
enum SsePhase {
    /// The GET is on its way.
    Asking,
    /// The server answered. Where that has no body, a stream has begun.
    Answered(StreamAnswer),
    /// The stream has said where messages go.
    Ready(StreamAnswer, Url),
    /// Why there is no session any more, and how it was refused, where it was.
    Over(UpstreamError, Option<StreamAnswer>),
}

/// How the GET was answered.
#[derive(Clone, Debug)]
pub struct StreamAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// What came in place of a stream.
    pub body: Option<Message>,
}

impl StreamAnswer {
    /// What was answered to the POST, as a reply to pass on.
    pub fn into_reply(self) -> Reply {
        let body = self.body.map_or(ReplyBody::Empty, ReplyBody::Whole);
        Reply { status: self.status, headers: self.headers, body }
    }
}

impl SseUpstream {
    /// # Errors
    /// Where `url` is no `http` or `https` URL, or the TLS roots cannot be loaded.
    pub fn new(url: &str, extra: ExtraHeaders) -> Result<Arc<Self>, String> {
        Ok(Self::at(Site::new(url, extra)?))
    }

    pub fn at(site: Site) -> Arc<Self> {
        Arc::new(Self { site })
    }

    /// Where it is, and how it is reached.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Opens a session with these end-to-end headers of a client, and what it put after the path. Waits for nothing: what becomes of it is said by
    /// the outputs and by the results of posts. A server that cannot be reached is asked again.
    pub fn open(
        self: &Arc<Self>,
        mut headers: HeaderMap,
        tail: &str,
        retry: Retry,
    ) -> (EventPipe, mpsc::Receiver<Output>) {
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let (outputs, receiver) = mpsc::channel(EVENTS_WAITING);
        let (sender, phase) = watch::channel(SsePhase::Asking);
        let closing = CancellationToken::new();
        let items = OutputSender::new(outputs.clone());
        let reading = StreamReader { upstream: self.clone(), outputs, items, phase: sender, retry };
        tokio::spawn(reading.run(tail.to_owned(), headers.clone(), closing.clone()));
        headers.remove(ACCEPT);
        (EventPipe { upstream: self.clone(), headers, phase, closing }, receiver)
    }
}

impl EventPipe {
    /// Waits for the answer to the GET.
    ///
    /// # Errors
    /// Where no answer came.
    pub async fn answered(&self) -> Result<StreamAnswer, UpstreamError> {
        let mut phase = self.phase.clone();
        let known = phase.wait_for(|phase| !matches!(phase, SsePhase::Asking)).await;
        match known.map(|phase| phase.clone()) {
            Ok(SsePhase::Answered(answer) | SsePhase::Ready(answer, _) | SsePhase::Over(_, Some(answer))) => Ok(answer),
            Ok(SsePhase::Over(error, None)) => Err(error),
            Ok(SsePhase::Asking) | Err(_) => Err(self.ended()),
        }
    }

    /// Posts a message, as soon as it is known where to. Returns what the server answers to having got it: the reply comes
    /// on the stream. `headers`: of the client's own POST.
    ///
    /// # Errors
    /// Where it cannot be posted, or no answer comes.
    pub async fn post(&self, message: &Message, headers: Option<HeaderMap>) -> Result<Reply, UpstreamError> {
        tokio::select! {
            posted = self.post_to_endpoint(message, headers) => posted,
            () = self.closing.cancelled() => Err(self.ended()),
        }
    }

    async fn post_to_endpoint(&self, message: &Message, headers: Option<HeaderMap>) -> Result<Reply, UpstreamError> {
        let url = match self.endpoint().await? {
            Ok(url) => url,
            Err(refused) => return Ok(refused.into_reply()),
        };
        let (site, body) = (&self.upstream.site, message.raw().clone());
        // A client that posts itself gets the answer as it is.
        let is_ours = headers.is_none();
        let mut headers = headers.unwrap_or_else(|| self.headers.clone());
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        let response = if is_ours {
            decoded(site.send_following_to(Method::POST, &url, headers, body).await?)
        } else {
            site.send_to(Method::POST, &url, headers, body.into()).await?
        };
        whole(response, site).await
    }

    /// Where messages go; the answer to the GET where that asks for credentials, which only the client can give.
    async fn endpoint(&self) -> Result<Result<Url, StreamAnswer>, UpstreamError> {
        let mut phase = self.phase.clone();
        let known = phase.wait_for(|phase| matches!(phase, SsePhase::Ready(..) | SsePhase::Over(..))).await;
        match known.map(|phase| phase.clone()) {
            Ok(SsePhase::Ready(_, url)) => Ok(Ok(url)),
            Ok(SsePhase::Over(_, Some(answer)))
                if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) =>
            {
                Ok(Err(answer))
            }
            Ok(SsePhase::Over(error, _)) => Err(error),
            Ok(_) | Err(_) => Err(self.ended()),
        }
    }

    /// Closes the stream of the session, and returns once it is closed.
    pub async fn close(&self) {
        self.closing.cancel();
        let mut phase = self.phase.clone();
        // An error: it is over already.
        let _ = phase.wait_for(|phase| matches!(phase, SsePhase::Over(..))).await;
    }

    fn ended(&self) -> UpstreamError {
        UpstreamError::StreamEnded { upstream: self.upstream.site.label().clone() }
    }
}

impl Drop for EventPipe {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// The reader of one session's stream.
struct StreamReader {
    upstream: Arc<SseUpstream>,
    outputs: mpsc::Sender<Output>,
    /// Sends to `outputs` what takes room until it is read.
    items: OutputSender,
    phase: watch::Sender<SsePhase>,
    retry: Retry,
}

impl StreamReader {
    async fn run(self, tail: String, headers: HeaderMap, closing: CancellationToken) {
        let label = self.upstream.site.label().clone();
        let (error, refusal) = tokio::select! {
            end = self.listen(&tail, headers, &closing) => end,
            () = closing.cancelled() => (UpstreamError::StreamEnded { upstream: label }, None),
        };
        self.phase.send_replace(SsePhase::Over(error.clone(), refusal));
        let _ = self.outputs.send(Output::Ended(error)).await;
    }

    /// The whole session; gives why it ended.
    async fn listen(
        &self,
        tail: &str,
        headers: HeaderMap,
        closing: &CancellationToken,
    ) -> (UpstreamError, Option<StreamAnswer>) {
        let site = &self.upstream.site;
        let response = match self.ask(tail, headers, closing).await {
            Ok(response) => decoded(response),
            Err(error) => return (error, None),
        };
        let mut answer = StreamAnswer { status: response.status(), headers: response.headers().clone(), body: None };
        if answer.status.is_success() && answer.headers.contains_key(CONTENT_ENCODING) {
            // In an unknown coding. It cannot be read, and may have no end.
            return (self.refused(&answer), None);
        }
        if !answer.status.is_success() || !is_event_stream(&answer.headers) {
            let error = self.refused(&answer);
            if let Ok(Reply { body: ReplyBody::Whole(body), .. }) = whole(response, site).await {
                answer.body = Some(body);
            }
            return (error, Some(answer));
        }
        self.phase.send_replace(SsePhase::Answered(answer.clone()));
        let mut items = SseItems::of(response.into_body(), site);
        while let Some(item) = items.next().await {
            let item = match item {
                Ok(item) => item,
                Err(error) => return (error, None),
            };
            let endpoint = match &item {
                Item::Filler(frame) => endpoint_of(frame).map(|reference| (frame.clone(), reference)),
                Item::Message(_) => None,
            };
            let is_heard = match endpoint {
                None => self.items.item(item, std::future::pending()).await,
                Some((frame, reference)) => {
                    let Some(url) = site.resolve_from_answer(&reference) else {
                        return (self.no_endpoint(&reference), None);
                    };
                    self.phase.send_replace(SsePhase::Ready(answer.clone(), url.clone()));
                    self.outputs.send(Output::Endpoint { frame, reference, url }).await.is_ok()
                }
            };
            if !is_heard {
                break;
            }
        }
        (UpstreamError::StreamEnded { upstream: site.label().clone() }, None)
    }

    /// A stream that was asked for may have made a session: only what did not arrive is asked for again.
    async fn ask(
        &self,
        tail: &str,
        headers: HeaderMap,
        closing: &CancellationToken,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let ask = || self.upstream.site.send_following(Method::GET, tail, headers.clone(), Bytes::new());
        let began = Instant::now();
        let error = match ask().await {
            Err(error) => error,
            answered => return answered,
        };
        let may = |error: &UpstreamError| matches!(error, UpstreamError::Unreachable { .. });
        let ask_again = |attempt: Attempt<'_>| {
            let told = self.outputs.send(Output::Attempt(attempt.to_string()));
            async {
                // Where the sender is gone, the stream has ended as well.
                let _ = told.await;
                ask().await
            }
        };
        self.retry.again(error, began, closing, may, ask_again).await
    }

    fn refused(&self, answer: &StreamAnswer) -> UpstreamError {
        let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("no content type");
        let encoding = answer.headers.get(CONTENT_ENCODING).and_then(|encoding| encoding.to_str().ok());
        let compressed = encoding.map(|encoding| format!(", compressed as {encoding}")).unwrap_or_default();
        let why = format!("it answered HTTP {} with {kind}{compressed}", answer.status);
        UpstreamError::NoStream { upstream: self.upstream.site.label().clone(), why }
    }

    fn no_endpoint(&self, reference: &str) -> UpstreamError {
        let why = format!("its endpoint `{}` is not a URL", Label::of_url(reference));
        UpstreamError::NoStream { upstream: self.upstream.site.label().clone(), why }
    }
}

/// The address in an `endpoint` event.
fn endpoint_of(frame: &Bytes) -> Option<String> {
    let mut frames = Splitter::default().push(frame.clone());
    let frame = frames.pop().filter(|frame| frame.fields.event.as_deref() == Some("endpoint"))?;
    Some(String::from_utf8_lossy(frame.message_data()?).into_owned())
}
