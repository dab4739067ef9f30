//! Spans for an OpenTelemetry collector: one for each exchange, sent as OTLP over HTTP in JSON (opentelemetry-proto 1.x,
//! `ExportTraceServiceRequest`). Off unless asked for.
//!
//! A reader of events like any other, on a thread of its own: what it cannot take or send in time is lost, counted, and said
//! once. It never slows the wire.

mod collector;
mod spans;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use http::HeaderMap;
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::event::{Event, Feed, FeedReader, Level, LogLine};
use crate::journal::Journal;
use crate::secret::Label;
use crate::variables::Headers;
use collector::Collector;
use spans::Spans;
use wire::OtlpSpan;

/// Where a collector on this machine listens.
pub const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:4318";
/// What the path of an endpoint is followed by (OTLP/HTTP, trace requests).
const TRACES: &str = "/v1/traces";

/// Spans that are sent together at most, and how long the first of them waits for others.
const BATCH: usize = 512;
const PATIENCE: Duration = Duration::from_secs(5);
/// Batches that may wait for the collector.
const BATCHES: usize = 16;
/// Events that may wait for the thread.
const FEED: usize = 65_536;

/// `[otlp]` in the configuration. That it is there asks for spans.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    /// URL of the collector; else `OTEL_EXPORTER_OTLP_ENDPOINT`, else one on this machine.
    pub endpoint: Option<String>,
    /// Sent along, such as credentials for the collector.
    pub headers: Headers,
    pub service_name: Option<String>,
}

/// Where spans are exported to: the collector, its headers, and the name of the service.
#[derive(Clone)]
pub struct Settings {
    endpoint: Url,
    headers: HeaderMap,
    service: String,
}

impl Section {
    /// # Errors
    /// The value that cannot be, and why.
    pub fn settings(self) -> Result<Settings, String> {
        let from_environment = || std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok().filter(|it| !it.is_empty());
        let endpoint = self.endpoint.filter(|endpoint| !endpoint.is_empty()).or_else(from_environment);
        Ok(Settings {
            endpoint: endpoint_of(endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT))?,
            headers: self.headers.headers.into_iter().collect(),
            service: self.service_name.unwrap_or_else(|| "tapline".to_owned()),
        })
    }
}

fn endpoint_of(text: &str) -> Result<Url, String> {
    let wrong = |why: &str| format!("`{}` is not the URL of a collector: {why}", Label::of_url(text));
    let mut url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it must begin with `http://` or `https://`"));
    }
    let path = url.path().trim_end_matches('/');
    if !path.ends_with(TRACES) {
        let path = format!("{path}{TRACES}");
        url.set_path(&path);
    }
    Ok(url)
}

/// Exporting, until the journal has told its last event.
pub struct Export {
    sending: JoinHandle<()>,
}

impl Export {
    /// Begins to read a journal.
    ///
    /// # Errors
    /// Where there is no HTTP client.
    pub fn start(settings: Settings, journal: &Journal) -> Result<Self, String> {
        let Settings { endpoint, headers, service } = settings;
        let collector = Collector::new(endpoint, headers, service)?;
        let (feed, reader) = Feed::bounded(FEED);
        journal.subscribe(feed);
        let (batches, to_send) = mpsc::channel(BATCHES);
        let losses = DroppedSpans { journal: journal.clone(), lost: Arc::default() };
        let counting = losses.clone();
        std::thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(move || read(&reader, &batches, &counting))
            .map_err(|error| format!("no thread for spans: {error}"))?;
        Ok(Self { sending: tokio::spawn(send(to_send, collector, losses)) })
    }

    /// Waits until the last batch is out. The journal must have been told to stop.
    pub async fn finish(self, grace: Duration) {
        let mut sending = self.sending;
        if tokio::time::timeout(grace, &mut sending).await.is_err() {
            sending.abort();
            tracing::warn!("the collector did not take the last spans in time");
        }
    }
}

/// Makes spans of events, and batches of spans. Sleeps while nothing comes.
fn read(reader: &FeedReader, batches: &mpsc::Sender<Vec<OtlpSpan>>, losses: &DroppedSpans) {
    let (mut spans, mut batch, mut due) = (Spans::default(), Vec::new(), None);
    loop {
        let event = match due {
            Some(due) => reader.events.recv_deadline(due),
            None => reader.events.recv().map_err(RecvTimeoutError::from),
        };
        let ended = match event {
            Ok(Event::Stopping) | Err(RecvTimeoutError::Disconnected) => true,
            Ok(event) => {
                batch.extend(spans.on_event(&event));
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
        };
        if ended {
            batch.extend(spans.rest());
        }
        losses.add(reader.take_dropped() + spans.take_forgotten(), "there were more exchanges than could be followed");
        let is_due = due.is_some_and(|due| due <= Instant::now());
        while batch.len() >= BATCH || (!batch.is_empty() && (is_due || ended)) {
            let rest = batch.split_off(batch.len().min(BATCH));
            hand_over(batches, std::mem::replace(&mut batch, rest), losses, ended);
        }
        if ended {
            return;
        }
        due = if batch.is_empty() { None } else { due.filter(|_| !is_due).or_else(|| Some(Instant::now() + PATIENCE)) };
    }
}

/// A collector that is slow must not make this wait, but at the end, when nothing else is to be read.
fn hand_over(batches: &mpsc::Sender<Vec<OtlpSpan>>, batch: Vec<OtlpSpan>, losses: &DroppedSpans, ended: bool) {
    let count = batch.len() as u64;
    let taken = if ended { batches.blocking_send(batch).is_ok() } else { batches.try_send(batch).is_ok() };
    if !taken {
        losses.add(count, "the collector is too slow");
    }
}

async fn send(mut batches: mpsc::Receiver<Vec<OtlpSpan>>, collector: Collector, losses: DroppedSpans) {
    while let Some(batch) = batches.recv().await {
        let count = batch.len() as u64;
        if let Err(why) = collector.send(batch).await {
            losses.add(count, &why);
        }
    }
    let lost = losses.lost.load(Ordering::Relaxed);
    if lost > 0 {
        tracing::warn!(lost, "spans did not reach the collector");
    }
}

/// Counts what does not arrive; says so the first time.
#[derive(Clone)]
struct DroppedSpans {
    journal: Journal,
    lost: Arc<AtomicU64>,
}

impl DroppedSpans {
    fn add(&self, count: u64, why: &str) {
        if count > 0 && self.lost.fetch_add(count, Ordering::Relaxed) == 0 {
            let text = format!("spans are lost, and this is said once: {why}");
            self.journal.publish(Event::Log(LogLine::new(Level::Warn, "otlp", text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_of_takes_a_base_or_the_whole_url() {
        for (text, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example/base/", "https://otel.example/base/v1/traces"),
            ("http://otel.example/v1/traces", "http://otel.example/v1/traces"),
            ("http://otel.example/v1/traces?tenant=a", "http://otel.example/v1/traces?tenant=a"),
        ] {
            assert_eq!(endpoint_of(text).map(|url| url.to_string()), Ok(url.to_owned()));
        }
        for text in ["127.0.0.1:4318", "grpc://otel.example", "", "http://"] {
            assert!(endpoint_of(text).is_err_and(|why| why.contains("not the URL of a collector")), "{text}");
        }
    }
}
