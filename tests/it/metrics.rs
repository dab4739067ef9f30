//! What is counted: against real traffic, and as a scraper reads it.

use std::net::SocketAddr;
use std::sync::Arc;

use prometheus_parse::{Scrape, Value};
use tapline::app::Settings;
use tapline::control::registry::Registry;
use tapline::control::server as control;
use tapline::envelope::Direction;
use tapline::event::figures::{EndpointFigures, Figures};
use tapline::event::{BlockError, Decision, Event, Feed, OnQuit};
use tapline::proxy::front::routes::MountSpec;
use tempfile::TempDir;

use crate::support::terminal::{Caller, Terminal};
use crate::support::{Client, Exchange, Rig, Server, command, settings, tapline_binary};

/// A tapline with a control address.
struct Desk {
    rig: Rig,
    _registry: TempDir,
}

impl Desk {
    async fn before(url: &str) -> Self {
        Self::start(settings(url)).await
    }

    async fn start(mut settings: Settings) -> Self {
        let dir = TempDir::new().unwrap();
        settings.control = Some(control::Settings {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            registry: Registry::at(dir.path().join("tapline")),
            name: "test".to_owned(),
            own_screen: false,
        });
        Self { rig: Rig::start(settings).await, _registry: dir }
    }

    async fn scrape(&self) -> Samples {
        let entry = self.rig.core().control().unwrap();
        let mut client = Client::connect(entry.control).await;
        client.request("GET /metrics", "", b"").await;
        assert_eq!(client.response().await.status(), "401", "it says what a person does: not to everybody");
        let token = serde_json::to_value(&entry.token).unwrap();
        let head = format!("authorization: Bearer {}\r\n", token.as_str().unwrap());
        client.request("GET /metrics", &head, b"").await;
        let response = client.response().await;
        assert_eq!(response.head.get("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let lines = response.text().lines().map(|line| Ok(line.to_owned()));
        Samples { scrape: Scrape::parse(lines).unwrap(), text: response.text().to_owned() }
    }

    /// The first figures that are as asked.
    #[track_caller]
    fn figures(&self, fits: impl Fn(&Figures) -> bool) -> impl Future<Output = Arc<Figures>> {
        self.rig.event("figures", move |event| match event {
            Event::Figures(figures) if fits(figures) => Some(figures.clone()),
            _ => None,
        })
    }
}

struct Samples {
    scrape: Scrape,
    text: String,
}

impl Samples {
    /// The sum of all samples of a metric that have these labels; a histogram counts by its count.
    fn sum(&self, metric: &str, labels: &[(&str, &str)]) -> u64 {
        let fits = |sample: &&prometheus_parse::Sample| {
            sample.metric == metric && labels.iter().all(|(name, value)| sample.labels.get(name) == Some(value))
        };
        let values = self.scrape.samples.iter().filter(fits).map(|sample| match &sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => *value,
            Value::Histogram(buckets) => buckets.last().unwrap().count,
            Value::Summary(_) => panic!("no summary is served"),
        });
        values.sum::<f64>() as u64
    }
}

fn call(id: u32, tool: &str) -> String {
    let params = serde_json::json!({"name": tool, "arguments": {}});
    serde_json::json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
}

/// Answers as the name of the tool says.
fn play(exchange: &Exchange) -> String {
    let message = exchange.message();
    let end = match message["params"]["name"].as_str().unwrap_or_default() {
        "fails" => r#""result":{"content":[{"type":"text","text":"disk full"}],"isError":true}"#,
        "errs" => r#""error":{"code":-32602,"message":"no"}"#,
        // What a text says of it is not what the result says of it.
        "quotes" => {
            r#""result":{"content":[{"type":"text","text":"{\"isError\":true}"}],"structuredContent":{"isError":true}}"#
        }
        _ => r#""result":{"content":[],"isError":false}"#,
    };
    format!(r#"{{"jsonrpc":"2.0","id":{},{end}}}"#, message["id"])
}

fn endpoint<'a>(figures: &'a Figures, name: &str) -> &'a EndpointFigures {
    figures.endpoints.iter().find(|it| it.name.as_deref() == Some(name)).expect(name)
}

#[tokio::test]
async fn scrape_matches_what_passed() {
    let desk = Desk::before(&Server::answering(play).await).await;
    let mut client = desk.rig.client().await;
    client.initialize().await;
    let (mut asked, mut answered) = (0, 0);
    for (id, tool) in (1..).zip(["works", "works", "fails", "errs", "works", "quotes", "fails"]) {
        let call = call(id, tool);
        asked += call.len();
        answered += client.call(&call).await.body.len();
    }
    let hostile = "x\" 1\ntapline_held 99\\\u{1b}[2J";
    client.call(&call(8, hostile)).await;
    client.call(r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#).await;

    let samples = desk.scrape().await;
    let requests = |labels: &[(&str, &str)]| samples.sum("tapline_requests_total", labels);
    assert_eq!(requests(&[]), 10);
    assert_eq!(requests(&[("method", "tools/call")]), 8);
    assert_eq!(requests(&[("name", "works"), ("direction", "c2s")]), 3);
    assert_eq!((requests(&[("method", "ping")]), requests(&[("method", "initialize")])), (1, 1));
    let ended = |name, end| samples.sum("tapline_replies_total", &[("name", name), ("end", end)]);
    assert_eq!([ended("works", "ok"), ended("fails", "tool_error"), ended("errs", "error")], [3, 2, 1]);
    assert_eq!((ended("quotes", "ok"), ended("quotes", "tool_error"), ended("fails", "ok")), (1, 0, 0));
    assert_eq!(samples.sum("tapline_request_duration_seconds", &[]), 10);
    assert_eq!(samples.sum("tapline_messages_total", &[("direction", "c2s")]), 10);
    assert_eq!(samples.sum("tapline_messages_total", &[("direction", "s2c")]), 10);
    assert_eq!(samples.sum("tapline_overhead_seconds", &[]), 20);
    assert_eq!(samples.sum("tapline_sessions", &[("state", "active")]), 1);
    assert_eq!((samples.sum("tapline_held", &[]), samples.sum("tapline_requests_in_flight", &[])), (0, 0));
    // A name does not end its label, nor its line; and does nothing to the terminal of who reads this.
    let label = r#"name="x\" 1\\ntapline_held 99\\\\x1b[2J""#;
    assert!(samples.text.contains(label), "{}", samples.text);

    let figures = desk.figures(|figures| figures.requests() == 10).await;
    let of: Vec<_> = ["works", "fails", "errs", "quotes"].iter().map(|name| endpoint(&figures, name)).collect();
    assert_eq!(of.iter().map(|it| it.asked.sum).sum::<u64>(), asked as u64);
    assert_eq!(of.iter().map(|it| it.answered.sum).sum::<u64>(), answered as u64);
    assert_eq!(figures.sessions.iter().map(|it| (it.calls, it.failed)).collect::<Vec<_>>(), [(10, 3)]);
}

#[tokio::test]
async fn hold_time_is_not_latency() {
    let desk = Desk::before(&Server::answering(play).await).await;
    let mut client = desk.rig.client().await;
    client.initialize().await;
    desk.rig.hold("~tool works").await;
    client.post(call(1, "works")).await;
    let request = desk.rig.held(1).await;
    // It waits until figures say so: that takes a moment in which a latency could grow.
    let figures = desk.figures(|figures| figures.held == 1).await;
    assert_eq!((figures.in_flight(), figures.oldest.is_some()), (1, true));
    desk.rig.settle(request.ticket, Decision::Forward);
    let reply = desk.rig.held(2).await;
    desk.rig.settle(reply.ticket, Decision::Forward);
    client.response().await;

    let (asked, answered) = (desk.rig.fate(&request).await, desk.rig.fate(&reply).await);
    let waited = asked.held.unwrap();
    let took = answered.reply_to.as_ref().unwrap().took;
    let figures =
        desk.figures(|figures| figures.endpoints.iter().any(|it| it.name.is_some() && it.took.count == 1)).await;
    assert!(waited > 0 && answered.at >= asked.at + waited, "the server was asked after it");
    assert_eq!(took, answered.at - asked.at - waited);
    assert_eq!(endpoint(&figures, "works").took.max, took);
    let added = figures.added.max / 1000;
    assert!(added < waited, "{added} µs of tapline's own, of {waited} held");
}

#[tokio::test]
async fn outcomes_of_tapline_and_transport_are_separate() {
    let mut server = Server::start().await;
    let desk = Desk::before(&server.url()).await;
    let mut client = desk.rig.client().await;
    desk.rig.hold("~tool blocked").await;
    client.post(call(1, "blocked")).await;
    let error = BlockError::JsonRpc { code: -31001, message: "no".to_owned(), data: None };
    desk.rig.settle(desk.rig.held(1).await.ticket, Decision::Block(error));
    client.response().await;
    client.post(call(2, "refused")).await;
    server.next().await.answer("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    client.response().await;
    client.post(call(3, "reset")).await;
    server.next().await.reset();
    client.response().await;
    let figures = desk.figures(|figures| figures.requests() == 3 && figures.in_flight() == 0).await;
    let ends = |name| endpoint(&figures, name).outcomes;
    assert_eq!((ends("blocked").blocked, ends("refused").transport, ends("reset").transport), (1, 1, 1));
    assert_eq!((figures.outcomes().failed(), figures.unanswered()), (3, 0));
    assert!(figures.endpoints.iter().all(|it| it.took.count == 0), "none of it is the server's latency");
}

#[tokio::test]
async fn in_flight_drops_on_hang_up_and_cancel() {
    let mut server = Server::start().await;
    let desk = Desk::before(&server.url()).await;
    let (mut client, mut other) = (desk.rig.client().await, desk.rig.client().await);
    client.post(call(1, "slow")).await;
    let unheard = server.next().await;
    let figures = desk.figures(|figures| figures.in_flight() == 1).await;
    assert!(figures.oldest.is_some());
    drop(client);
    other.post(call(2, "slow")).await;
    let late = server.next().await;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#;
    let mut third = desk.rig.client().await;
    third.post(cancel).await;
    server.next().await.accept().await;
    let figures = desk.figures(|figures| figures.requests() == 2 && figures.in_flight() == 0).await;
    assert_eq!((endpoint(&figures, "slow").unanswered, figures.oldest), (2, None));
    late.json(r#"{"jsonrpc":"2.0","id":2,"result":{}}"#).await;
    other.response().await;
    let figures = desk.figures(|figures| figures.outcomes().ok == 1).await;
    assert_eq!(endpoint(&figures, "slow").unanswered, 1, "it came after all");
    drop(unheard);
}

#[tokio::test]
async fn refusals_are_counted_by_reason() {
    let desk = Desk::before(&Server::answering(play).await).await;
    let mut client = desk.rig.client().await;
    client.request("POST /mcp", "origin: https://evil.example\r\ncontent-length: 0\r\n", b"").await;
    assert_eq!(client.response().await.status(), "403");
    let samples = desk.scrape().await;
    assert_eq!(samples.sum("tapline_refused_total", &[("by", "guard")]), 1);
    assert_eq!(samples.sum("tapline_errors_total", &[("kind", "forbidden")]), 1);
    assert_eq!(desk.figures(|figures| !figures.refused.is_empty()).await.requests(), 0);
}

#[tokio::test]
async fn upstreams_are_counted_apart() {
    let url = Server::answering(play).await;
    let mut settings = settings(&url);
    let target = settings.upstreams[0].target.clone();
    let placed = |name: &str, is_default| MountSpec { name: Some(name.to_owned()), is_default, target: target.clone() };
    settings.upstreams = vec![placed("files", true), placed("web", false)];
    let desk = Desk::start(settings).await;
    let mut client = desk.rig.client().await;
    for (mount, calls) in [("", 1), ("/web", 2), ("/files", 3)] {
        client.mount = mount.to_owned();
        for id in 0..calls {
            client.call(call(id, "works")).await;
        }
    }
    let samples = desk.scrape().await;
    let requests = |upstream| samples.sum("tapline_requests_total", &[("name", "works"), ("upstream", upstream)]);
    assert_eq!((requests("files"), requests("web")), (4, 2));
}

#[tokio::test]
async fn final_figures_are_complete_and_replayed_to_late_readers() {
    let desk = Desk::start(Settings::new(command(&[tapline_binary().to_str().unwrap(), "__demo-server"]))).await;
    let mut client = desk.rig.client().await;
    client.initialize().await;
    client.call(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    desk.figures(|figures| figures.requests() == 2).await;
    let (feed, reader) = Feed::bounded(1 << 16);
    desk.rig.core().journal().subscribe(feed);
    let told = tokio::task::spawn_blocking(move || {
        let mut events = reader.events.iter().take_while(|event| !matches!(event, Event::ResyncDone));
        events.find_map(|event| if let Event::Figures(figures) = event { Some(figures) } else { None })
    });
    let told = told.await.unwrap().expect("what was counted before it came");
    assert_eq!((told.requests(), told.states.get("active")), (2, Some(&1)));
    let pool = &told.pools[0];
    assert_eq!((pool.busy, pool.started, pool.acquired, pool.waiting), (1, 1, 1, 0));
    assert_eq!(desk.scrape().await.sum("tapline_pool_busy", &[]), 1);
    let list = told.endpoints.iter().find(|it| it.method.as_deref() == Some("tools/list")).unwrap();
    assert_eq!((list.tokens(), list.direction), (list.answered.sum / 4, Direction::ToServer));

    client.call(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#).await;
    let log = desk.rig.quit(OnQuit::Forward).await;
    let last = log.iter().rev().find_map(|event| if let Event::Figures(it) = event { Some(it) } else { None }).unwrap();
    assert_eq!((last.requests(), last.outcomes().ok, last.states.len()), (3, 3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_screen_shows_a_tool() {
    let binary = tapline_binary();
    let arguments = ["run", "--listen", "127.0.0.1:0", "--no-record", "--", binary.to_str().unwrap(), "__demo-server"];
    let mut terminal = Terminal::start(&arguments);
    let client = Caller::connect(terminal.url()).await;
    client.forecast("Lisbon").await;
    terminal.press("5");
    terminal.wait_for("tapline itself");
    // As often called as `initialize`, and after it in the alphabet.
    terminal.wait_for("get_forecast");
    terminal.press("j");
    terminal.wait_for(">get_forecast");
    terminal.press("\r");
    terminal.wait_for("~tool \"^get_forecast$\"");
    terminal.press("Q");
    terminal.ends_with(0);
}
