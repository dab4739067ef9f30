//! What the child processes are: the upstream, the bare pass-through, and tapline.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tapline::app::{Core, Settings};
use tapline::event::{Feed, FeedReader};
use tapline::upstream::http::HttpUpstream;
use tapline::upstream::target::Target;
use tokio::net::TcpListener;

use crate::client::{BURST, PACED};

/// Between two paced events.
const PACE: Duration = Duration::from_millis(2);
/// Between two frames of a screen.
const FRAME: Duration = Duration::from_millis(33);
/// As many events as a screen may lag behind.
const FEED: usize = 65_536;

/// Does one role until the parent closes our stdin.
pub(crate) fn run(role: &str, arguments: &[&str]) {
    match role {
        "stdio-upstream" => return crate::stdio::serve(),
        "pipe-copy" => return crate::stdio::copy(),
        _ => {}
    }
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // What a role gives back lives as long as the process.
    let _alive: Option<Core> = runtime.block_on(async {
        match (role, arguments) {
            ("upstream", []) => serve(Router::new().fallback(answer)).await,
            ("pass-through", [upstream]) => serve(pass_through(upstream)).await,
            ("tapline", [upstream, tapes]) => return Some(tapline(upstream, tapes).await),
            _ => panic!("no such role: {role} {arguments:?}"),
        }
        None
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

/// A server of three tools: one answers, one streams as many events as it is asked for at once, one at a pace.
async fn answer(method: Method, headers: HeaderMap, body: Bytes) -> Response {
    if method == Method::GET {
        return silence();
    }
    let id = after(&body, br#""id":"#);
    let called = |tool: &str| after(&body, br#""name":""#).is_some_and(|name| name.starts_with(tool.as_bytes()));
    let count = after(&body, br#""count":"#).map_or(0, number);
    let result = |id: &[u8]| {
        let id = number(id);
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{}"}}],"isError":false}}}}"#,
            "y".repeat(120)
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

fn strip(headers: &mut HeaderMap) {
    for name in ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"] {
        headers.remove(name);
    }
}

/// tapline as it is used: recording, and with a screen that takes all that there is once a frame.
async fn tapline(upstream: &str, tapes: &str) -> Core {
    let upstream = HttpUpstream::new(upstream, Vec::new()).unwrap();
    let settings = Settings { tapes: Some(tapes.into()), ..Settings::new(Target::Server(Arc::new(upstream))) };
    let core = Core::start(settings).await.unwrap();
    let (feed, reader) = Feed::bounded(FEED);
    core.journal().subscribe(feed);
    std::thread::spawn(move || watch(&reader));
    let address: SocketAddr = reqwest::Url::parse(core.url()).unwrap().socket_addrs(|| None).unwrap()[0];
    tell(&address.to_string());
    core
}

fn watch(reader: &FeedReader) {
    while let Ok(event) = reader.events.recv() {
        drop(event);
        reader.events.try_iter().for_each(drop);
        std::thread::sleep(FRAME);
    }
}
