//! The figures as text for a scraper (Prometheus text format 0.0.4). Names are the peers': any label value is possible.

use std::fmt::Write as _;

use crate::envelope::Direction;
use crate::event::RuleStatus;
use crate::event::figures::{EndpointFigures, Figures, Flow, Outcomes, Spread};

/// What the text is served as.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper ends of the buckets of a histogram, in the unit that is recorded and in that which is written. Counts are as
/// exact as values are ([`crate::event::figures::rounded`]).
type Scale = &'static [(u64, &'static str)];

const SECONDS_OF_MICROS: Scale = &[
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_000, "0.002"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (20_000, "0.02"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (200_000, "0.2"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_000_000, "2"),
    (5_000_000, "5"),
    (10_000_000, "10"),
    (20_000_000, "20"),
    (50_000_000, "50"),
    (100_000_000, "100"),
];

const SECONDS_OF_NANOS: Scale = &[
    (2_000, "0.000002"),
    (5_000, "0.000005"),
    (10_000, "0.00001"),
    (20_000, "0.00002"),
    (50_000, "0.00005"),
    (100_000, "0.0001"),
    (200_000, "0.0002"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (10_000_000, "0.01"),
    (100_000_000, "0.1"),
];

const BYTES: Scale = &[
    (100, "100"),
    (200, "200"),
    (500, "500"),
    (1_000, "1000"),
    (2_000, "2000"),
    (5_000, "5000"),
    (10_000, "10000"),
    (50_000, "50000"),
    (100_000, "100000"),
    (1_000_000, "1000000"),
    (10_000_000, "10000000"),
];

/// All figures as a page in the text format.
pub fn text(figures: &Figures) -> String {
    let mut page = MetricsPage(String::with_capacity(16 << 10));
    traffic(&mut page, figures);
    endpoints(&mut page, &figures.endpoints);
    core(&mut page, figures);
    lint(&mut page, figures);
    rules(&mut page, &figures.rules);
    page.0
}

fn traffic(page: &mut MetricsPage, figures: &Figures) {
    let flows = [(Direction::ToServer, &figures.to_server), (Direction::ToClient, &figures.to_client)];
    let mut flow = |name: &str, help: &str, value: fn(&Flow) -> u64| {
        page.family(name, "counter", help);
        for (direction, flow) in flows {
            page.sample(name, &[("direction", direction.word())], value(flow));
        }
    };
    flow("tapline_messages_total", "Messages that passed or were stopped.", |flow| flow.messages);
    flow("tapline_notifications_total", "Those of them that are notifications.", |flow| flow.notifications);
    flow("tapline_message_bytes_total", "Bytes of messages.", |flow| flow.bytes);
    page.family("tapline_overhead_seconds", "histogram", "What tapline itself adds to a message, time held excluded.");
    page.histogram("tapline_overhead_seconds", &[], &figures.added, SECONDS_OF_NANOS, 1e9);
}

fn endpoints(page: &mut MetricsPage, endpoints: &[EndpointFigures]) {
    let mut each = |name: &str, kind: &str, help: &str, value: fn(&EndpointFigures) -> u64| {
        page.family(name, kind, help);
        for endpoint in endpoints {
            page.sample(name, &labels(endpoint), value(endpoint));
        }
    };
    each("tapline_requests_total", "counter", "Requests that came in.", |it| it.calls);
    each("tapline_requests_in_flight", "gauge", "Requests that wait for their reply.", |it| it.in_flight);
    each("tapline_requests_unanswered", "gauge", "Requests given up without a reply.", |it| it.unanswered);
    let estimated_tokens = "Tokens of tool lists and results, estimated at four bytes each.";
    each("tapline_result_tokens_estimated_total", "counter", estimated_tokens, EndpointFigures::tokens);
    let ends = |Outcomes { ok, error, tool, transport, blocked }: Outcomes| {
        [("ok", ok), ("error", error), ("tool_error", tool), ("transport", transport), ("blocked", blocked)]
    };
    page.family("tapline_replies_total", "counter", "Requests that have their end, by how they ended.");
    for endpoint in endpoints {
        for (end, count) in ends(endpoint.outcomes) {
            let labels = [labels(endpoint).as_slice(), &[("end", end)]].concat();
            page.sample("tapline_replies_total", &labels, count);
        }
    }
    let mut spread = |name: &str, help: &str, of: fn(&EndpointFigures) -> &Spread, scale: Scale, unit: f64| {
        page.family(name, "histogram", help);
        for endpoint in endpoints {
            page.histogram(name, &labels(endpoint), of(endpoint), scale, unit);
        }
    };
    let time = "Time from a request to its reply, time held excluded.";
    spread("tapline_request_duration_seconds", time, |it| &it.took, SECONDS_OF_MICROS, 1e6);
    spread("tapline_request_size_bytes", "Size of requests that were answered.", |it| &it.asked, BYTES, 1.0);
    spread("tapline_reply_size_bytes", "Size of replies.", |it| &it.answered, BYTES, 1.0);
}

fn labels(endpoint: &EndpointFigures) -> [(&'static str, &str); 4] {
    let method = endpoint.method.as_deref().unwrap_or("other");
    [
        ("upstream", endpoint.upstream.as_deref().unwrap_or_default()),
        ("direction", endpoint.direction.word()),
        ("method", method),
        ("name", endpoint.name.as_deref().unwrap_or_default()),
    ]
}

fn core(page: &mut MetricsPage, figures: &Figures) {
    let mut counts =
        |name: &str, kind: &str, help: &str, label: &str, counts: &mut dyn Iterator<Item = (&str, u64)>| {
            page.family(name, kind, help);
            for (value, count) in counts {
                page.sample(name, &[(label, value)], count);
            }
        };
    let states = &mut figures.states.iter().map(|(state, count)| (state.as_str(), *count));
    counts("tapline_sessions", "gauge", "Live sessions by state.", "state", states);
    let refused = &mut figures.refused.iter().map(|(by, count)| (by.as_str(), *count));
    counts("tapline_refused_total", "counter", "Requests not let in, by what refused them.", "by", refused);
    let errors = &mut figures.errors.iter().map(|(kind, count)| (kind.as_str(), *count));
    counts("tapline_errors_total", "counter", "Errors that tapline answered with.", "kind", errors);
    let pools = &figures.pools;
    let mut pool = |name: &str, kind: &str, help: &str, of: fn(&crate::event::figures::PoolFigures) -> u64| {
        counts(name, kind, help, "pool", &mut pools.iter().map(|pool| (pool.name.as_str(), of(pool))));
    };
    pool("tapline_pool_idle", "gauge", "Children ready for a session.", |pool| pool.idle);
    pool("tapline_pool_busy", "gauge", "Children that a session has.", |pool| pool.busy);
    pool("tapline_pool_waiting", "gauge", "Sessions that wait for a child.", |pool| pool.waiting);
    pool("tapline_pool_started_total", "counter", "Children started.", |pool| pool.started);
    pool("tapline_pool_exited_total", "counter", "Children that have exited.", |pool| pool.died);
    pool("tapline_pool_acquired_total", "counter", "Children that clients got.", |pool| pool.acquired);
    let waited = "Time that clients waited for them.";
    page.family("tapline_pool_waited_seconds_total", "counter", waited);
    for pool in pools {
        page.sample("tapline_pool_waited_seconds_total", &[("pool", pool.name.as_str())], in_units(pool.waited, 1e6));
    }
    page.single("tapline_held", "gauge", "Messages that wait for the operator.", figures.held);
    page.single("tapline_retries_total", "counter", "Requests that were tried once more.", figures.retried);
    let (waiting, refused) = (figures.journal.waiting, figures.journal.refused);
    page.single("tapline_journal_waiting_bytes", "gauge", "Messages that wait to be recorded and shown.", waiting);
    page.single("tapline_journal_refused_total", "counter", "Messages that passed unrecorded.", refused);
}

fn lint(page: &mut MetricsPage, figures: &Figures) {
    page.family("tapline_lint_findings_total", "counter", "What is wrong with messages, by the code of the lint.");
    for (code, count) in &figures.lint.found {
        page.sample("tapline_lint_findings_total", &[("code", code.as_str())], count);
    }
    let (waiting, missed) = (figures.lint.waiting, figures.lint.missed);
    page.single("tapline_lint_waiting_events", "gauge", "Events that wait to be judged.", waiting);
    page.single("tapline_lint_missed_events_total", "counter", "Events for which there was no room.", missed);
}

fn rules(page: &mut MetricsPage, rules: &[RuleStatus]) {
    page.family("tapline_rule_hits_total", "counter", "Messages that a rule did something to.");
    for rule in rules {
        page.sample("tapline_rule_hits_total", &[("rule", rule.name.as_str())], rule.hits);
    }
    page.family("tapline_rule_broken", "gauge", "1: the rule could not do what it was to do.");
    for rule in rules {
        page.sample("tapline_rule_broken", &[("rule", rule.name.as_str())], u8::from(rule.broken.is_some()));
    }
}

#[expect(clippy::cast_precision_loss, reason = "the format has floating-point values only")]
fn in_units(value: u64, unit: f64) -> f64 {
    value as f64 / unit
}

/// The text as it grows.
struct MetricsPage(String);

type Labels<'a> = &'a [(&'a str, &'a str)];

impl MetricsPage {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl std::fmt::Display) {
        self.0.push_str(name);
        // An empty value is the same as none.
        let mut labels = labels.iter().filter(|(_, value)| !value.is_empty()).peekable();
        let is_labelled = labels.peek().is_some();
        let mut open = '{';
        for (label, value) in labels {
            self.0.push(open);
            self.0.push_str(label);
            self.0.push_str("=\"");
            self.escaped(value);
            self.0.push('"');
            open = ',';
        }
        if is_labelled {
            self.0.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    fn histogram(&mut self, name: &str, labels: Labels<'_>, spread: &Spread, scale: Scale, unit: f64) {
        let bucket = format!("{name}_bucket");
        for (bound, le) in scale {
            self.sample(&bucket, &[labels, &[("le", *le)]].concat(), spread.up_to(*bound));
        }
        self.sample(&bucket, &[labels, &[("le", "+Inf")]].concat(), spread.count);
        self.sample(&format!("{name}_sum"), labels, in_units(spread.sum, unit));
        self.sample(&format!("{name}_count"), labels, spread.count);
    }

    /// Backslash, quote and line feed are all that the format escapes. What else acts or hides is made visible, as on the
    /// screen: `curl` prints them on a terminal, too.
    fn escaped(&mut self, value: &str) {
        for c in crate::text::sanitize(value).chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                c => self.0.push(c),
            }
        }
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{text}").expect("a string takes everything");
    }
}
