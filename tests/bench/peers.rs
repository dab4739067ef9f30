//! What the child processes of this program are: the upstream, and the bare pass-throughs.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

use crate::client::{BULK, BURST, PACED};

/// Between two paced events.
const PACE: Duration = Duration::from_millis(2);
/// Does one role until the parent closes our stdin.
pub(crate) fn run(role: &str, arguments: &[&str]) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match (role, arguments) {
            ("upstream", []) => serve(Router::new().fallback(answer)).await,
            ("pass-through", [upstream]) => serve(pass_through(upstream)).await,
            ("pass-through-hyper", [upstream]) => serve(pass_through_hyper(upstream)).await,
            ("bare-client", [server]) => ask(server).await,
            _ => panic!("no such role: {role} {arguments:?}"),
        }
    });
    drop(std::io::stdin().read(&mut [0]));
    runtime.shutdown_background();
}

fn tell(address: &str) {
    println!("{address}");
    std::io::stdout().flush().unwrap();
}

async fn serve(router: Router) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    tell(&listener.local_addr().unwrap().to_string());
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tokio::spawn(axum::serve(listener, router).into_future());
}

/// A server of four tools: one answers, one with as much as it is asked for, one streams as many events as it is asked for at
/// once, one at a pace.
async fn answer(method: Method, headers: HeaderMap, body: Bytes) -> Response {
    if method == Method::GET {
        return silence();
    }
    let id = after(&body, br#""id":"#);
    let called = |tool: &str| after(&body, br#""name":""#).is_some_and(|name| name.starts_with(tool.as_bytes()));
    let count = after(&body, br#""count":"#).map_or(0, number);
    let size = if called(BULK) { usize::try_from(count).unwrap() } else { 120 };
    let result = |id: &[u8]| {
        let id = number(id);
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{}"}}],"isError":false}}}}"#,
            "y".repeat(size)
        )
    };
    match id {
        None => status(StatusCode::ACCEPTED),
        Some(id) if called(BURST) => {
            let event = event(&progress(0));
            let events = stream::repeat(event).take(usize::try_from(count).unwrap());
            event_stream(events, &result(id))
        }
        Some(id) if called(PACED) => {
            let events = stream::iter(0..count).then(|earlier| async move {
                if earlier > 0 {
                    tokio::time::sleep(PACE).await;
                }
                event(&progress(now()))
            });
            event_stream(events, &result(id))
        }
        Some(id) => {
            let mut response = json(result(id));
            if after(&body, br#""method":"initialize""#).is_some() {
                let session = HeaderValue::from(now());
                response.headers_mut().insert("mcp-session-id", session);
            }
            if let Some(number) = headers.get("x-number") {
                response.headers_mut().insert("x-number", number.clone());
            }
            response
        }
    }
}

/// Nanoseconds on a clock that all our processes share.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// What stands behind `key`.
pub(crate) fn after<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    memchr::memmem::find(text, key).map(|at| &text[at + key.len()..])
}

/// The number that `text` begins with.
pub(crate) fn number(text: &[u8]) -> u64 {
    text.iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |number, byte| number * 10 + u64::from(byte - b'0'))
}

fn progress(at: u64) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":1,"progress":1,"at":{at},"message":"{}"}}}}"#,
        "z".repeat(80)
    )
}

fn event(data: &str) -> Bytes {
    format!("event: message\ndata: {data}\n\n").into()
}

fn event_stream(events: impl stream::Stream<Item = Bytes> + Send + 'static, result: &str) -> Response {
    let end = stream::iter([event(result)]);
    let mut response = Response::new(Body::from_stream(events.chain(end).map(Ok::<_, Infallible>)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

/// A listening stream on which nothing is ever said.
fn silence() -> Response {
    let mut response = Response::new(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn json(body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// The floor: the same crates, and nothing of ours. Bodies stream, hop-by-hop headers stay.
fn pass_through(upstream: &str) -> Router {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let forwarder = Arc::new((client.build().unwrap(), reqwest::Url::parse(upstream).unwrap()));
    Router::new().fallback(forward).with_state(forwarder)
}

async fn forward(State(forwarder): State<Arc<(reqwest::Client, reqwest::Url)>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    parts.headers.remove(HOST);
    let (client, url) = &*forwarder;
    let body = reqwest::Body::wrap_stream(body.into_data_stream());
    match client.request(parts.method, url.clone()).headers(parts.headers).body(body).send().await {
        Ok(reply) => {
            let mut response = http::Response::<reqwest::Body>::from(reply).map(Body::new);
            strip(response.headers_mut());
            response
        }
        Err(_) => status(StatusCode::BAD_GATEWAY),
    }
}

/// Sends each line of stdin and reads its reply, before the next.
async fn ask(server: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for line in std::io::stdin().lines() {
        let request = client.post(server).header(CONTENT_TYPE, "application/json");
        let request = request.header(ACCEPT, "application/json, text/event-stream").body(line.unwrap());
        request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap();
    }
}

type HyperClient = hyper_util::client::legacy::Client<hyper_util::client::legacy::connect::HttpConnector, Body>;

/// The least that can be done with these crates: hyper's own client, without what `reqwest` adds.
fn pass_through_hyper(upstream: &str) -> Router {
    let mut connector = hyper_util::client::legacy::connect::HttpConnector::new();
    connector.set_nodelay(true);
    let client: HyperClient = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
    let uri: http::Uri = upstream.parse().unwrap();
    Router::new().fallback(forward_hyper).with_state((client, uri))
}

async fn forward_hyper(State((client, uri)): State<(HyperClient, http::Uri)>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    parts.headers.remove(HOST);
    parts.uri = uri;
    match client.request(Request::from_parts(parts, body)).await {
        Ok(reply) => {
            let mut response = reply.map(Body::new);
            strip(response.headers_mut());
            response
        }
        Err(_) => status(StatusCode::BAD_GATEWAY),
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"] {
        headers.remove(name);
    }
}
