//! All integration tests in one binary: it links once and shares its support code.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

mod attach;
mod auth;
mod bad_input;
mod bridges;
mod bytes;
mod children;
mod cli;
mod config;
mod connections;
mod demo;
mod demo_live;
mod doctor;
mod doors;
mod ends;
mod hands;
mod hold;
mod http_client;
mod ids;
#[path = "../interop/client.rs"]
mod interop;
mod legacy_sse;
mod limits;
mod lint;
mod logs;
mod memory;
mod metrics;
mod mock;
mod modern;
mod notice;
mod otlp;
mod passthrough;
mod peers;
mod pool;
mod printed;
mod replay;
mod restart;
mod resume;
mod retry;
mod routes;
mod rules;
mod screen;
mod secrets;
mod sessions;
mod shadow;
mod shutdown;
mod slow_servers;
mod stateless;
mod stdio;
mod tapes;
mod tidy;
mod transport_rules;
mod transports;
mod wrap;
