//! Nobody is hurried: a server may say nothing for as long as it likes (mcp-wire.md §2.4, §5.3).
//!
//! Everything in tapline that could lose patience does so on tokio's clock, and so does what it is built on. The test moves that clock,
//! in the same process.

use std::io::Write as _;
use std::time::Duration;

use tempfile::TempDir;

use crate::bridges::Front;
use crate::support::{Exchange, Rig, Server};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#;
const PROGRESS: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}"#;
const REPLY: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

/// A quarter of an hour, all of it at once: what waits for any time within it has waited long enough, and acts on it.
async fn a_quarter_of_an_hour() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(15 * 60)).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
}

fn event(message: &str) -> String {
    format!("data: {message}\n\n")
}

/// URLs of the server that are asked by either of our HTTP clients.
fn urls(server: &Server, path: &str) -> [String; 2] {
    [format!("http://{}{path}", server.address()), format!("http://user@{}{path}", server.address())]
}

#[tokio::test]
async fn http_answer_may_take_any_time() {
    for client in ["http", "events", "pipe"] {
        let mut server = Server::start().await;
        for url in urls(&server, "/mcp") {
            let rig = Rig::before(&url).await;
            let mut front = Front::of(client, &rig).await;
            front.say(CALL.as_bytes()).await;
            let exchange = server.next().await;
            a_quarter_of_an_hour().await;
            exchange.json(REPLY).await;
            assert_eq!(front.hear().await, REPLY, "{client} {url}");
            assert_eq!(rig.complaints(), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn http_streams_may_pause_any_time() {
    let mut server = Server::start().await;
    for url in urls(&server, "/mcp") {
        let rig = Rig::before(&url).await;
        for listens in [false, true] {
            let mut client = rig.client().await;
            if listens {
                client.get().await;
            } else {
                client.post(CALL).await;
            }
            let mut exchange = server.next().await;
            exchange.begin_stream().await;
            client.head().await;
            for message in [PROGRESS, PROGRESS, REPLY] {
                a_quarter_of_an_hour().await;
                exchange.write(event(message)).await;
                assert_eq!(client.bytes(event(message).len()).await, event(message).as_bytes());
            }
            drop(exchange);
            assert_eq!(client.rest().await, "");
        }
        assert_eq!(rig.complaints(), Vec::<String>::new());
    }
}

/// The stream of the session, where the server has been asked for it.
async fn stream_of(server: &mut Server) -> Exchange {
    let mut stream = server.next().await;
    stream.begin_stream().await;
    stream.write("event: endpoint\ndata: /m\n\n").await;
    stream
}

#[tokio::test]
async fn legacy_sse_streams_may_be_silent_any_time() {
    for client in ["http", "events", "pipe"] {
        let mut server = Server::start().await;
        for url in urls(&server, "/sse") {
            let rig = Rig::before_events(&url).await;
            let (mut front, mut stream) = match client {
                // It is asked for with the first message.
                "http" => {
                    let mut front = Front::of(client, &rig).await;
                    front.say(CALL.as_bytes()).await;
                    (front, stream_of(&mut server).await)
                }
                _ => {
                    let (mut front, stream) = tokio::join!(Front::of(client, &rig), stream_of(&mut server));
                    a_quarter_of_an_hour().await;
                    front.say(CALL.as_bytes()).await;
                    (front, stream)
                }
            };
            let posted = server.next().await;
            a_quarter_of_an_hour().await;
            posted.accept().await;
            a_quarter_of_an_hour().await;
            stream.write(event(REPLY)).await;
            assert_eq!(front.hear().await, REPLY, "{client} {url}");
            assert_eq!(rig.complaints(), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn child_answer_may_take_any_time() {
    for client in ["http", "events", "pipe"] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("go");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let script = format!("read -r call; echo asked >&2; read -r go <'{}'; echo '{REPLY}'; cat", path.display());
        let rig = Rig::script(&script).await;
        let mut front = Front::of(client, &rig).await;
        front.say(CALL.as_bytes()).await;
        rig.line(tapline::event::Level::Info, "asked").await;
        a_quarter_of_an_hour().await;
        std::fs::File::options().write(true).open(&path).unwrap().write_all(b"go\n").unwrap();
        assert_eq!(front.hear().await, REPLY, "{client}");
        assert_eq!(rig.complaints(), Vec::<String>::new());
    }
}
