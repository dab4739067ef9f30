//! A user's running taplines, found and commanded over their control address.

use std::path::PathBuf;
use std::process::Command as Process;
use std::sync::Arc;

use serde_json::json;
use tapline::control::FeedLine;
use tapline::control::client::{Events, Remote};
use tapline::control::registry::{Registry, RegistryEntry};
use tapline::envelope::Envelope;
use tapline::event::{Command, Decision, Event, Held, Holding, Then, Ticket};
use tempfile::TempDir;

use super::terminal::Terminal;
use super::{Binary, Exchange, Server, binary, soon};

/// The runtime directory of a user who has nothing else running.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.0.path().join("tapline")
    }

    pub(crate) fn registry(&self) -> Registry {
        Registry::at(self.dir())
    }

    pub(crate) fn command(&self) -> Process {
        let mut command = binary::command();
        command.env_remove("TAPLINE_NO_CONTROL").env("TAPLINE_RUNTIME_DIR", self.dir());
        command
    }

    /// A tapline without a screen.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Binary {
        let arguments = [&["--no-record"], arguments].concat();
        Binary::run_as(self.command(), &arguments).await
    }

    /// What a running tapline published.
    pub(crate) fn entry(&self, tapline: &Binary) -> RegistryEntry {
        self.registry().list().into_iter().find(|entry| entry.pid == tapline.process()).expect("it is published")
    }

    pub(crate) async fn attach(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = tokio::process::Command::from(self.command());
        let output = soon("the end", command.arg("attach").args(arguments).output()).await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        vec![("TAPLINE_RUNTIME_DIR", self.dir().to_str().unwrap().to_owned())]
    }

    pub(crate) fn terminal(&self, arguments: &[&str]) -> Terminal {
        let variables = self.variables();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Terminal::with(arguments, &variables)
    }
}

/// A screen at the end of one connection.
pub(crate) struct Screen {
    pub(crate) remote: Remote,
    pub(crate) events: Events,
}

impl Screen {
    pub(crate) async fn on(entry: &RegistryEntry) -> Self {
        let remote = Remote::of(entry).unwrap();
        let events = remote.events().await.unwrap();
        Self { remote, events }
    }

    pub(crate) async fn told(&mut self) -> FeedLine {
        soon("an event", self.events.next()).await.unwrap().expect("the tapline runs")
    }

    pub(crate) async fn until<T>(&mut self, mut find: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            if let FeedLine::Event(event) = self.told().await
                && let Some(found) = find(*event)
            {
                return found;
            }
        }
    }

    pub(crate) async fn passed(&mut self, fits: impl Fn(&Envelope) -> bool) -> Arc<Envelope> {
        self.until(|event| if let Event::Passed(it) = event { Some(it).filter(|it| fits(it)) } else { None }).await
    }

    pub(crate) async fn held(&mut self) -> Arc<Held> {
        self.until(|event| if let Event::Held(held) = event { Some(held) } else { None }).await
    }

    pub(crate) async fn resynced(&mut self) {
        self.until(|event| matches!(event, Event::ResyncDone).then_some(())).await;
    }

    pub(crate) async fn command(&self, command: Command) {
        soon("an answer", self.remote.command(Some(self.events.feed()), &command)).await.unwrap();
    }

    pub(crate) async fn hold(&mut self, filter: &str) {
        let wanted = holding(filter);
        self.command(Command::SetHolding(wanted.clone())).await;
        self.until(|event| matches!(event, Event::Holding(it) if it == wanted).then_some(())).await;
    }
}

pub(crate) fn holding(filter: &str) -> Holding {
    Holding { on: true, filter: filter.to_owned() }
}

pub(crate) fn settle(ticket: Ticket, decision: Decision) -> Command {
    Command::Settle { ticket, decision, then: Then::Nothing }
}

/// A server that answers every call.
pub(crate) async fn answering() -> String {
    let answer = |exchange: &Exchange| {
        let id = &exchange.message()["id"];
        json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}}).to_string()
    };
    Server::answering(answer).await
}
