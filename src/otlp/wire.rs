//! OTLP's JSON (opentelemetry-proto, `trace.proto`): ids in hex, 64-bit numbers as strings, enums as numbers.

use serde::{Serialize, Serializer};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExportRequest {
    pub(super) resource_spans: [ResourceSpans; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceSpans {
    pub(super) resource: Resource,
    pub(super) scope_spans: [ScopeSpans; 1],
}

#[derive(Serialize)]
pub(super) struct Resource {
    pub(super) attributes: Vec<Attribute>,
}

#[derive(Serialize)]
pub(super) struct ScopeSpans {
    pub(super) scope: InstrumentationScope,
    pub(super) spans: Vec<OtlpSpan>,
}

#[derive(Serialize)]
pub(super) struct InstrumentationScope {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OtlpSpan {
    pub(super) trace_id: String,
    pub(super) span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent_span_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace_state: Option<String>,
    pub(super) name: String,
    /// `SPAN_KIND_SERVER`: the sender of the request waits for the answer.
    pub(super) kind: u8,
    #[serde(serialize_with = "as_text")]
    pub(super) start_time_unix_nano: u64,
    #[serde(serialize_with = "as_text")]
    pub(super) end_time_unix_nano: u64,
    pub(super) attributes: Vec<Attribute>,
    pub(super) status: Status,
}

pub(super) const SERVER: u8 = 2;

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Status {
    /// 0: unset, 2: error.
    pub(super) code: u8,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Attribute {
    pub(super) key: &'static str,
    pub(super) value: AttributeValue,
}

#[derive(Clone, Debug, Serialize)]
pub(super) enum AttributeValue {
    #[serde(rename = "stringValue")]
    Text(String),
    #[serde(rename = "intValue", serialize_with = "as_text")]
    Number(i64),
}

impl Attribute {
    pub(super) fn text(key: &'static str, value: impl Into<String>) -> Self {
        Self { key, value: AttributeValue::Text(value.into()) }
    }

    pub(super) fn number(key: &'static str, value: i64) -> Self {
        Self { key, value: AttributeValue::Number(value) }
    }
}

impl ExportRequest {
    pub(super) fn new(service: &str, spans: Vec<OtlpSpan>) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let attributes = vec![Attribute::text("service.name", service), Attribute::text("service.version", version)];
        let scope_spans = [ScopeSpans { scope: InstrumentationScope { name: "tapline", version }, spans }];
        Self { resource_spans: [ResourceSpans { resource: Resource { attributes }, scope_spans }] }
    }
}

fn as_text<S: Serializer>(number: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&number.to_string())
}
