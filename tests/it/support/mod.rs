//! What the tests share: a proxy to watch and command ([`Rig`]), and both of its neighbours, byte by byte ([`Client`],
//! [`Server`]).

pub(crate) mod binary;
pub(crate) mod child;
mod client;
pub(crate) mod issuer;
mod launched;
pub(crate) mod legacy_sse_client;
mod process_alive;
mod rig;
pub(crate) mod scripts;
mod server;
pub(crate) mod terminal;
pub(crate) mod watched;
mod wire;

use std::time::Duration;

pub(crate) use binary::Binary;
pub(crate) use client::{Client, INITIALIZE, Response, request};
pub(crate) use launched::Launched;
pub(crate) use legacy_sse_client::LegacySseClient;
pub(crate) use process_alive::ProcessAlive;
pub(crate) use rig::{Rig, client_in_session, command, envelope, kept_command, settings, tapline_binary, word};
pub(crate) use server::{Exchange, Server, Shut};
pub(crate) use wire::Head;

/// How long anything may take that must happen. Only a test that fails waits for so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for something that must happen.
#[track_caller]
pub(crate) fn soon<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let (what, caller) = (what.to_owned(), std::panic::Location::caller());
    async move {
        match tokio::time::timeout(DEADLINE, future).await {
            Ok(output) => output,
            Err(_) => panic!("{caller}: {what} did not come"),
        }
    }
}
