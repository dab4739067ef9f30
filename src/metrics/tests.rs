use uuid::Uuid;

use super::*;
use crate::envelope::{ReplyTo, Seq, SessionId, Subject, Via};
use crate::event::figures::EndpointFigures;

fn call(name: &str) -> Message {
    let name = serde_json::Value::from(name);
    Message::new(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":{name}}}}}"#))
}

fn envelope(direction: Direction, message: Message, reply_to: Option<u64>) -> Envelope {
    let subject = Arc::<Subject>::default();
    Envelope {
        reply_to: reply_to.map(|took| ReplyTo { seq: Seq(1), took, subject }),
        ..Envelope::forwarded(Seq(2), SessionId(Uuid::nil()), direction, Via::Http, message)
    }
}

/// One exchange of the client.
fn exchange(metrics: &Metrics, request: &Message, reply: &str, took: u64) {
    let timer = metrics.upstream(None).start(Direction::ToServer, request);
    answer(metrics, timer, reply, took);
}

fn answer(metrics: &Metrics, timer: RequestTimer, reply: &str, took: u64) {
    let envelope = envelope(Direction::ToClient, Message::new(reply.to_owned()), Some(took));
    metrics.passed(&envelope, Instant::now(), Some(timer), &SessionMetrics::default());
}

const OK: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":false}}"#;
const FAILED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[], "isError" : true}}"#;
const ERROR: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}"#;

const BLOCKED: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-31001,"message":"no decision"}}"#;

fn named<'a>(figures: &'a Figures, name: &str) -> &'a EndpointFigures {
    figures.endpoints.iter().find(|it| it.name.as_deref() == Some(name)).unwrap()
}

#[test]
fn exchanges_are_counted_by_name_and_end() {
    let metrics = Metrics::default();
    exchange(&metrics, &call("search"), OK, 1_000);
    exchange(&metrics, &call("search"), FAILED, 3_000);
    exchange(&metrics, &call("read"), ERROR, 10);
    let figures = metrics.figures();
    let search = named(&figures, "search");
    assert_eq!((search.calls, search.in_flight), (2, 0));
    assert_eq!(search.outcomes, Outcomes { ok: 1, tool: 1, ..Outcomes::default() });
    assert_eq!((search.took.count, search.took.sum, search.took.max), (2, 4_000, 3_000));
    assert_eq!(search.answered.sum, (OK.len() + FAILED.len()) as u64);
    assert_eq!(search.tokens(), search.answered.sum / 4);
    assert_eq!(named(&figures, "read").outcomes.error, 1);
    assert_eq!((figures.requests(), figures.outcomes().failed(), figures.to_client.messages), (3, 2, 3));
    assert_eq!(figures.added.count, 3);
}

#[test]
fn exchanges_that_failed_are_those_of_the_filter() {
    let metrics = Metrics::default();
    for (reply, outcome, status) in [
        (OK, Outcome::Injected(Author::Operator), None),
        (ERROR, Outcome::Injected(Author::Operator), None),
        (BLOCKED, Outcome::Injected(Author::Tapline), None),
        ("Not Found", Outcome::Forwarded, Some(404)),
        (OK, Outcome::Forwarded, Some(200)),
        (FAILED, Outcome::Forwarded, Some(200)),
    ] {
        let timer = metrics.upstream(None).start(Direction::ToServer, &call("search"));
        let mut envelope = envelope(Direction::ToClient, Message::new(reply.to_owned()), Some(1));
        (envelope.outcome, envelope.transport.status) = (outcome, status);
        metrics.passed(&envelope, Instant::now(), Some(timer), &SessionMetrics::default());
    }
    let expected = Outcomes { ok: 2, tool: 1, transport: 1, blocked: 2, ..Outcomes::default() };
    assert_eq!(metrics.figures().outcomes(), expected);
}

#[test]
fn in_flight_counts_until_nobody_waits() {
    let metrics = Metrics::default();
    let standing = |metrics: &Metrics| {
        let figures = metrics.figures();
        (figures.in_flight(), figures.unanswered(), figures.outcomes().ok)
    };
    let mut late = metrics.upstream(None).start(Direction::ToServer, &call("search"));
    let gone = metrics.upstream(None).start(Direction::ToServer, &call("search"));
    let mut refused = metrics.upstream(None).start(Direction::ToServer, &call("search"));
    assert_eq!(standing(&metrics), (3, 0, 0));
    late.abandon();
    drop(gone);
    refused.fail();
    drop(refused);
    assert_eq!(standing(&metrics), (0, 2, 0));
    answer(&metrics, late, OK, 7);
    assert_eq!(standing(&metrics), (0, 1, 1), "an answer that comes late is an answer");
    assert_eq!(metrics.figures().outcomes().transport, 1);
}

#[test]
fn names_are_bounded() {
    let metrics = Metrics::default();
    for number in 0..1_000 {
        exchange(&metrics, &call(&format!("tool {number}")), OK, 1);
    }
    exchange(&metrics, &call(&"x".repeat(10_000)), OK, 1);
    for number in 0..1_000 {
        let asked = format!(r#"{{"id":1,"method":"tasks/get","params":{{"taskId":"{number}"}}}}"#);
        exchange(&metrics, &Message::new(asked), OK, 1);
    }
    let figures = metrics.figures();
    let other = figures.endpoints.iter().find(|it| it.method.is_none()).unwrap();
    assert_eq!((figures.endpoints.len(), other.calls), (501, 501 + 1_000));
    assert_eq!(figures.requests(), 2_001);
}

#[test]
fn batch_is_counted_by_its_elements() {
    let metrics = Metrics::default();
    let requests = r#"[{"id":1,"method":"ping"},{"id":2,"method":"ping"},{"method":"notifications/x"}]"#;
    let replies = r#"[{"id":1,"result":{}},{"id":2,"error":{}}]"#;
    for (direction, batch) in [(Direction::ToServer, requests), (Direction::ToClient, replies)] {
        let envelope = envelope(direction, Message::new(batch), None);
        metrics.passed(&envelope, Instant::now(), None, &SessionMetrics::default());
    }
    let figures = metrics.figures();
    assert_eq!((figures.requests(), figures.in_flight(), figures.unanswered()), (2, 0, 0));
    assert_eq!(figures.outcomes(), Outcomes { ok: 1, error: 1, ..Outcomes::default() });
}

#[test]
fn glance_sees_what_is_new() {
    let metrics = Arc::<Metrics>::default();
    let meter = Meter::new(metrics.clone(), Vec::new, Gauges::default);
    let mut last = FiguresVersion::default();
    assert!(meter.news(&mut last).is_none());
    exchange(&metrics, &call("search"), OK, 1);
    assert_eq!(meter.news(&mut last).unwrap().requests(), 1);
    assert!(meter.news(&mut last).is_none());
    metrics.refused("auth");
    assert_eq!(meter.news(&mut last).unwrap().refused["auth"], 1);
}

#[test]
fn text_is_what_a_scraper_reads() {
    let metrics = Metrics::default();
    exchange(&metrics, &call("search"), OK, 1_000);
    exchange(&metrics, &call("search"), FAILED, 90_000_000);
    exchange(&metrics, &call("we\"ird\\na\nme\u{1b}[2J"), OK, 200);
    metrics.refused("limit");
    let text = prometheus::text(&metrics.figures());
    let scrape = prometheus_parse::Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
    assert!(text.lines().all(|line| line.chars().all(|c| !c.is_control())), "{text}");
    let of = |name: &'static str, label: &'static str, value: &'static str| {
        let samples = scrape.samples.iter();
        samples.filter(move |it| it.metric == name && it.labels.get(label) == Some(value)).collect::<Vec<_>>()
    };
    assert_eq!(of("tapline_requests_total", "name", "search")[0].value, prometheus_parse::Value::Counter(2.0));
    assert_eq!(of("tapline_refused_total", "by", "limit")[0].value, prometheus_parse::Value::Counter(1.0));
    let failed = of("tapline_replies_total", "end", "tool_error");
    assert!(failed.iter().any(|it| it.value == prometheus_parse::Value::Counter(1.0)));
    let prometheus_parse::Value::Histogram(buckets) =
        &of("tapline_request_duration_seconds", "name", "search")[0].value
    else {
        panic!("no histogram in {text}")
    };
    let counts: Vec<_> = buckets.iter().map(|bucket| (bucket.less_than, bucket.count)).collect();
    assert_eq!((counts[0], counts[1]), ((0.0005, 0.0), (0.001, 1.0)));
    assert_eq!(&counts[15..], [(50.0, 1.0), (100.0, 2.0), (f64::INFINITY, 2.0)]);
    assert!(text.contains(r#"name="we\"ird\\na\\nme\\x1b[2J""#), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let family = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| family.strip_suffix(end)).unwrap_or(family);
        assert!(text.contains(&format!("# HELP {family} ")) && text.contains(&format!("# TYPE {family} ")), "{line}");
    }
}
