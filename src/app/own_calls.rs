//! Calls of the operator's own: sent in a session under an id that nobody knows, and given up.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Executor;
use crate::envelope::SessionId;
use crate::event::{Command, Event, ExamineRequest};
use crate::mcp::era::is_modern_revision;
use crate::mcp::method::CANCELLED;
use crate::message::{Id, Message};

/// Those that are on their way, and what ends the wait for each.
#[derive(Clone, Default)]
pub(super) struct OwnCalls(Arc<Mutex<HashMap<Id, CancellationToken>>>);

impl Executor {
    /// Carries out what is asked about calls.
    pub(super) fn carry_out_with_calls(&self, command: Command) {
        match command {
            Command::Send { session, message } => self.inject(session, message),
            Command::Speak { session, message } => self.speak(session, message),
            Command::Cancel { session, id } => self.cancel(session, &id),
            Command::Examine(asked) => self.examine(asked),
            _ => {}
        }
    }

    /// Sends something of the operator's.
    fn inject(&self, session: SessionId, message: Message) {
        let Some(connection) = self.mounts.find(session) else {
            return self.warn("proxy", "that session has ended: nothing was sent".to_owned());
        };
        let (id, given_up) = (Id::random(), CancellationToken::new());
        let message = message.with_id(&id).unwrap_or(message);
        let calls = self.own_calls.clone();
        calls.0.lock().insert(id.clone(), given_up.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connection.inject(message) => {}
                () = given_up.cancelled() => {}
            }
            calls.0.lock().remove(&id);
        });
    }

    /// Gives up a request of the operator's. To hang up says so where the revision has it so (2026-07-28); before, a notification does.
    fn cancel(&self, session: SessionId, id: &Id) {
        let Some(given_up) = self.own_calls.0.lock().remove(id) else {
            return self.warn("proxy", "too late: that call has its reply".to_owned());
        };
        let Some(connection) = self.mounts.find(session) else { return given_up.cancel() };
        if connection.session.info().protocol.as_deref().is_some_and(is_modern_revision) {
            return given_up.cancel();
        }
        let params = format!(r#"{{"requestId":{},"reason":"cancelled by the operator"}}"#, id.token());
        let told = format!(r#"{{"jsonrpc":"2.0","method":"{CANCELLED}","params":{params}}}"#);
        tokio::spawn(async move {
            connection.inject(Message::new(told)).await;
            given_up.cancel();
        });
    }

    /// Looks into a call that has no reply yet.
    fn examine(&self, asked: ExamineRequest) {
        let Some(connection) = self.mounts.find(asked.session) else { return };
        let journal = self.mounts.proxy().journal().clone();
        tokio::spawn(async move {
            let standing = connection.standing(asked.call).await;
            journal.publish(Event::Examined(Arc::new(standing)));
        });
    }
}
