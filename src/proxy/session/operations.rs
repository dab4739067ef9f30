//! Operations of more than one exchange: a call that asks the client for input is sent again with the answers, under a new
//! id (revision 2026-07-28, multi-round-trip requests); a call that became a task is asked for until it is done.
//!
//! Finds the request that began the operation a message goes on with. For display only: nothing is changed by it.

use foldhash::HashMap;

use crate::envelope::{Seq, Subject};
use crate::mcp::method;
use crate::message::{Kind, KnownWord, Message};

/// Operations that a session remembers; beyond that it forgets them all and goes on.
const MOST: usize = 10_000;

/// The operations of one session that may go on, each with the request that began it.
#[derive(Default)]
pub(super) struct Operations {
    /// Nothing before there is one, and in a box, as few sessions have any: an empty map is several times the size of a pointer.
    known: Option<Box<HashMap<OperationKey, Seq>>>,
}

/// By what a later message names an operation: JSON text, as it came.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum OperationKey {
    /// `requestState`, which the client sends back byte for byte.
    State(Box<str>),
    /// Method and name, where the server gave no state.
    Subject(Box<str>, Option<Box<str>>),
    /// The id of a task.
    Task(Box<str>),
}

impl OperationKey {
    /// What a request says of the operation that it goes on with; `None` where it begins one.
    pub(super) fn of_request(request: &Message) -> Option<Self> {
        let method = request.method()?;
        if method.starts_with(method::TASKS) {
            Some(Self::Task(serde_json::Value::from(request.name()?).to_string().into()))
        } else if request.has_word(KnownWord::RequestState) {
            Some(Self::State(request.at(&["params", "requestState"])?.into()))
        } else if request.has_word(KnownWord::InputResponses) {
            Some(Self::Subject(method.into(), request.name().map(Into::into)))
        } else {
            None
        }
    }

    /// What a reply says of how its operation goes on; `None` where that is over. `subject`: what its request is about.
    pub(super) fn of_result(reply: &Message, subject: &Subject) -> Option<Self> {
        if reply.kind() != Kind::Result {
            return None;
        }
        if reply.has_word(KnownWord::InputRequired) {
            let state = reply.at(&["result", "requestState"]).map(|state| Self::State(state.into()));
            Some(state.unwrap_or_else(|| Self::Subject(subject.method.clone(), subject.name.clone())))
        } else if reply.has_word(KnownWord::TaskId) {
            task_of(reply).map(Self::Task)
        } else {
            None
        }
    }
}

impl Operations {
    /// The request that began the operation with this key.
    pub(super) fn find(&self, key: &OperationKey) -> Option<Seq> {
        self.known.as_ref()?.get(key).copied()
    }

    /// Remembers that the operation which the request `began` goes on under this key.
    pub(super) fn continue_as(&mut self, key: OperationKey, began: Seq) {
        let known = self.known.get_or_insert_default();
        if known.len() >= MOST {
            known.clear();
        }
        known.entry(key).or_insert(began);
    }

    /// Releases memory that is not in use.
    pub(super) fn shrink_to_fit(&mut self) {
        self.known.iter_mut().for_each(|known| known.shrink_to_fit());
    }
}

/// A task that a result speaks of. Revision 2025-11-25 wraps that of a call: `result.task.taskId`.
fn task_of(result: &Message) -> Option<Box<str>> {
    result.at(&["result", "taskId"]).or_else(|| result.at(&["result", "task", "taskId"])).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn went_on(result: &str, next: &str) -> Option<Seq> {
        let mut operations = Operations::default();
        let subject = Subject { method: "tools/call".into(), name: Some("book".into()) };
        if let Some(key) = OperationKey::of_result(&Message::new(result.to_owned()), &subject) {
            operations.continue_as(key, Seq(7));
        }
        operations.find(&OperationKey::of_request(&Message::new(next.to_owned()))?)
    }

    #[test]
    fn retry_is_known_by_its_state_or_by_what_it_is_about() {
        let asks =
            r#"{"id":1,"result":{"resultType":"input_required","inputRequests":{"a":{}},"requestState":"s\u00e9"}}"#;
        let retry = |state: &str| {
            format!(
                r#"{{"id":2,"method":"tools/call","params":{{"name":"book","requestState":"{state}","inputResponses":{{}}}}}}"#
            )
        };
        assert_eq!(went_on(asks, &retry("s\\u00e9")), Some(Seq(7)));
        assert_eq!(went_on(asks, &retry("other")), None);
        let stateless = r#"{"id":1,"result":{"resultType":"input_required","inputRequests":{"a":{}}}}"#;
        let answers = |tool: &str| {
            format!(r#"{{"id":2,"method":"tools/call","params":{{"name":"{tool}","inputResponses":{{"a":{{}}}}}}}}"#)
        };
        assert_eq!(went_on(stateless, &answers("book")), Some(Seq(7)));
        assert_eq!(went_on(stateless, &answers("other")), None);
    }

    #[test]
    fn task_is_known_by_its_id_in_both_eras() {
        let poll = r#"{"id":2,"method":"tasks/get","params":{"taskId":"t-1"}}"#;
        for result in [
            r#"{"id":1,"result":{"resultType":"task","taskId":"t-1"}}"#,
            r#"{"id":1,"result":{"task":{"taskId":"t-1","status":"working"}}}"#,
        ] {
            assert_eq!(went_on(result, poll), Some(Seq(7)), "{result}");
        }
        assert_eq!(went_on(r#"{"id":1,"result":{"content":[]}}"#, poll), None);
        assert_eq!(went_on("{", poll), None);
    }
}
