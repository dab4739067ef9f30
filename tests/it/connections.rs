//! Connections of other kinds than HTTP/1.1 over IPv4: TLS, HTTP/2, IPv6. Nothing else changes with them.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use http::{HeaderMap, Version};
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tapline::app::Settings;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{Binary, Client, Rig, Server, binary, settings, soon};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"n":123456789012345678901234567890}}"#;
const PROGRESS: &str = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n";
const REPLY: &str = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"n\":1.10}}\n\n";

/// A server behind TLS with a certificate of its own making. Each request comes to the test, which says the events of its answer.
struct Secure {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Asked>,
    dir: TempDir,
}

struct Asked {
    version: Version,
    headers: HeaderMap,
    body: Bytes,
    events: mpsc::Sender<Bytes>,
}

struct TlsListener(TcpListener, TlsAcceptor);

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.0.accept().await.unwrap();
            // A client that does not trust us hangs up.
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Secure {
    /// That speaks this protocol and no other.
    async fn start(protocol: &str) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let mut config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asking, asked) = mpsc::unbounded_channel();
        let router = Router::new().fallback(ask).with_state(asking);
        let listener = TlsListener(listener, TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked, dir }
    }

    /// Who trusts what is in this file trusts the server.
    fn certificate(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    async fn next(&mut self) -> Asked {
        soon("a request", self.asked.recv()).await.unwrap()
    }
}

async fn ask(State(asking): State<mpsc::UnboundedSender<Asked>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let (events, said) = mpsc::channel(1);
    asking.send(Asked { version: parts.version, headers: parts.headers, body, events }).unwrap();
    let said = unfold(said, |mut said| async { Some((Ok::<_, std::io::Error>(said.recv().await?), said)) });
    ([("content-type", "text/event-stream")], Body::from_stream(said)).into_response()
}

/// The real tapline in front of it, that trusts what is in this file.
async fn before(server: &Secure, host: &str, trusted: PathBuf) -> Binary {
    let mut command = binary::command();
    command.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
    let url = format!("https://{host}:{}/mcp", server.address.port());
    Binary::run_as(command, &["--no-record", "--upstream", &url]).await
}

#[tokio::test]
async fn tls_upstream_works_over_http1_and_http2() {
    for (protocol, version) in [("http/1.1", Version::HTTP_11), ("h2", Version::HTTP_2)] {
        let mut server = Secure::start(protocol).await;
        let tapline = before(&server, "localhost", server.certificate()).await;
        let mut client = tapline.client().await;
        client.headers = "authorization: Bearer t\r\nx-odd: 1\r\nx-odd: 2\r\n".to_owned();
        client.post(CALL).await;
        let asked = server.next().await;
        assert_eq!((asked.version, &asked.body[..]), (version, CALL.as_bytes()));
        assert_eq!(asked.headers["authorization"], "Bearer t");
        assert_eq!(asked.headers.get_all("x-odd").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(client.head().await.second_word(), "200");
        for event in [PROGRESS, ": comment\n\n", PROGRESS, REPLY] {
            asked.events.send(event.into()).await.unwrap();
            assert_eq!(client.bytes(event.len()).await, event.as_bytes(), "at once, and as it came");
        }
        drop(asked);
        assert_eq!(client.rest().await, "");
        // Whoever hangs up is gone for the server, too.
        client.get().await;
        let asked = server.next().await;
        client.head().await;
        drop(client);
        soon("the end of the stream", asked.events.closed()).await;
    }
}

#[tokio::test]
async fn tls_certificate_errors_say_why() {
    let (mut server, other) = (Secure::start("h2").await, Secure::start("h2").await);
    // Of another issuer, and of another name.
    for (host, trusted) in [("localhost", other.certificate()), ("127.0.0.1", server.certificate())] {
        let tapline = before(&server, host, trusted).await;
        let mut client = tapline.client().await;
        let response = client.call(CALL).await;
        assert_eq!(response.status(), "502");
        let error = response.json();
        assert_eq!((&error["id"], &error["error"]["code"]), (&json!(1), &json!(-31000)));
        let text = error["error"]["message"].as_str().unwrap();
        assert!(text.contains("invalid peer certificate"), "{text}");
        assert_eq!(text.contains("SSL_CERT_FILE"), cfg!(not(target_vendor = "apple")), "{text}");
    }
    assert!(server.asked.try_recv().is_err(), "nothing was said to it");
}

/// One connection of HTTP/2 by prior knowledge, as a client in the same house may open it.
fn over_http2() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap()
}

fn post(client: &reqwest::Client, rig: &Rig) -> reqwest::RequestBuilder {
    let post = client.post(rig.url()).header("content-type", "application/json");
    post.header("accept", "application/json, text/event-stream")
}

#[tokio::test]
async fn http2_clients_are_served() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let client = over_http2();
    let calling = tokio::spawn(post(&client, &rig).header("mcp-session-id", "s").body(CALL).send());
    let exchange = server.next().await;
    assert_eq!((exchange.text(), exchange.head.start.as_str()), (CALL, "POST /mcp HTTP/1.1"));
    assert_eq!(exchange.head.all("host"), [server.address().to_string()]);
    let reply = r#"{"jsonrpc":"2.0","id":1,"result":{"n":1.10}}"#;
    exchange.json_with("connection: keep-alive\r\nx-mine: 1\r\n", reply).await;
    let response = soon("a response", calling).await.unwrap().unwrap();
    assert_eq!((response.version(), response.headers()["x-mine"].as_bytes()), (Version::HTTP_2, &b"1"[..]));
    assert_eq!(response.text().await.unwrap(), reply);

    // Streams share the connection and nothing else.
    let mut streams = Vec::new();
    for _ in 0..3 {
        let calling = tokio::spawn(post(&client, &rig).body(CALL).send());
        let mut exchange = server.next().await;
        exchange.begin_stream().await;
        streams.push((exchange, soon("a response", calling).await.unwrap().unwrap()));
    }
    for event in [PROGRESS, ": comment\n\n", REPLY] {
        for (exchange, response) in &mut streams {
            exchange.write(event).await;
            let mut heard = Vec::new();
            while heard.len() < event.len() {
                heard.extend_from_slice(&soon("an event", response.chunk()).await.unwrap().unwrap());
            }
            assert_eq!(heard, event.as_bytes(), "at once, and as it came");
        }
    }
    let (exchange, response) = streams.remove(1);
    drop(response);
    exchange.hung_up().await;
    for (exchange, response) in streams {
        drop(exchange);
        assert_eq!(soon("the end", response.bytes()).await.unwrap(), "");
    }
}

#[tokio::test]
async fn http2_host_and_origin_are_checked() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let client = over_http2();
    let response = post(&client, &rig).header("origin", "https://evil.example").body(CALL).send().await.unwrap();
    assert_eq!(response.status(), 403);
    // There the name is in the request line.
    let evil = reqwest::Client::builder().http2_prior_knowledge().no_proxy().resolve("evil.example", rig.address());
    let url = format!("http://evil.example:{}/mcp", rig.address().port());
    let response = evil.build().unwrap().post(url).body(CALL).send().await.unwrap();
    assert_eq!(response.status(), 403);
    assert!(server.is_idle());
}

#[tokio::test]
async fn ipv6_works_on_both_sides() {
    let mut server = Server::start_at(Ipv6Addr::LOCALHOST.into()).await;
    let settings = Settings { listen: Some((Ipv6Addr::LOCALHOST, 0).into()), ..settings(&server.url()) };
    let rig = Rig::start(settings).await;
    assert!(rig.url().starts_with("http://[::1]:"), "{}", rig.url());
    for host in [rig.address().to_string(), format!("localhost:{}", rig.address().port())] {
        let mut client = Client::connect(rig.address()).await;
        let origin = format!("origin: http://{host}\r\n");
        client
            .write(format!("POST /mcp HTTP/1.1\r\nhost: {host}\r\n{origin}content-length: 2\r\n\r\n{{}}").as_bytes())
            .await;
        let exchange = server.next().await;
        assert_eq!(exchange.head.all("host"), [server.address().to_string()]);
        exchange.json("{}").await;
        assert_eq!(client.response().await.status(), "200");
    }
    let mut client = Client::connect(rig.address()).await;
    client.write(b"POST /mcp HTTP/1.1\r\nhost: [::2]\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!(client.response().await.status(), "403");
    assert!(server.is_idle());
}

/// A server listens at one of the addresses that the name stands for, whichever that is.
#[tokio::test]
async fn localhost_upstream_is_tried_at_each_address() {
    for address in soon("its addresses", tokio::net::lookup_host("localhost:0")).await.unwrap() {
        let mut server = Server::start_at(address.ip()).await;
        let rig = Rig::before(&format!("http://localhost:{}/mcp", server.address().port())).await;
        let mut client = rig.client().await;
        client.post(CALL).await;
        let exchange = server.next().await;
        assert_eq!(exchange.head.all("host"), [format!("localhost:{}", server.address().port())]);
        exchange.json("{}").await;
        assert_eq!(client.response().await.status(), "200");
    }
}
