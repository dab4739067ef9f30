//! Talking to the collector: a batch is tried again while that may help, and given up then.

use std::time::Duration;

use backon::Retryable as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::Url;

use super::wire::{ExportRequest, OtlpSpan};
use crate::net::backoff::jittered;
use crate::net::client::client_for;
use crate::net::innermost_cause;

/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses between attempts: they double, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
const RETRIES: usize = 5;

pub(super) struct Collector {
    http: reqwest::Client,
    endpoint: Url,
    headers: HeaderMap,
    service: String,
}

/// Why a batch was not taken.
struct PostFailure {
    why: String,
    /// The collector may take the spans later (OTLP/HTTP, failures).
    passing: bool,
}

impl Collector {
    pub(super) fn new(endpoint: Url, mut headers: HeaderMap, service: String) -> Result<Self, String> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let http = client_for(&endpoint).timeout(TIMEOUT).build();
        let http = http.map_err(|error| format!("no HTTP client for spans: {error}"))?;
        Ok(Self { http, endpoint, headers, service })
    }

    /// # Errors
    /// Why the collector does not have the batch.
    pub(super) async fn send(&self, spans: Vec<OtlpSpan>) -> Result<(), String> {
        let body = serde_json::to_vec(&ExportRequest::new(&self.service, spans)).map_err(|error| error.to_string())?;
        let body = bytes::Bytes::from(body);
        let backoff = jittered(FIRST_PAUSE, Some(LONGEST_PAUSE), RETRIES);
        let sent = (|| self.post(body.clone())).retry(backoff).when(|failure| failure.passing).await;
        sent.map_err(|failure| failure.why)
    }

    async fn post(&self, body: bytes::Bytes) -> Result<(), PostFailure> {
        let request = self.http.post(self.endpoint.clone()).headers(self.headers.clone()).body(body);
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => {
                let status = response.status();
                let passing = matches!(
                    status,
                    StatusCode::TOO_MANY_REQUESTS
                        | StatusCode::BAD_GATEWAY
                        | StatusCode::SERVICE_UNAVAILABLE
                        | StatusCode::GATEWAY_TIMEOUT
                );
                Err(PostFailure { why: format!("{} answered HTTP {status}", self.place()), passing })
            }
            Err(error) => Err(PostFailure {
                why: format!("{} cannot be reached: {}", self.place(), innermost_cause(&error)),
                passing: true,
            }),
        }
    }

    /// The endpoint without what may be secret in it.
    fn place(&self) -> String {
        format!("{}{}", self.endpoint.origin().ascii_serialization(), self.endpoint.path())
    }
}
