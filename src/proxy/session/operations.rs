//! Operations of more than one exchange: a call that asks the client for input is sent again with the answers, under a new
//! id (revision 2026-07-28, multi-round-trip requests); a call that became a task is asked for until it is done.
//!
//! Finds the request that began the operation a message goes on with. For display only: nothing is changed by it.

use std::collections::HashMap;

use memchr::memmem;

use crate::envelope::Seq;
use crate::message::{Kind, Message};

/// Operations that a session remembers; beyond that it forgets them all and goes on.
const MOST: usize = 10_000;

/// The operations of one session that may go on.
#[derive(Default)]
pub(in crate::proxy) struct Operations {
    known: HashMap<Key, Seq>,
}

/// By what a later message names an operation: JSON text, as it came.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    /// `requestState`, which the client sends back byte for byte.
    State(Box<str>),
    /// Method and name, where the server gave no state.
    Subject(Box<str>, Option<Box<str>>),
    Task(Box<str>),
}

impl Operations {
    pub(in crate::proxy) fn shrink_to_fit(&mut self) {
        self.known.shrink_to_fit();
    }

    /// The beginning of the operation that a request goes on with.
    pub(in crate::proxy) fn began(&self, request: &Message) -> Option<Seq> {
        let method = request.method()?;
        let key = if method.starts_with("tasks/") {
            Key::Task(serde_json::Value::from(request.name()?).to_string().into())
        } else if memmem::find(request.raw(), b"\"requestState\"").is_some() {
            Key::State(request.at(&["params", "requestState"])?.into())
        } else if memmem::find(request.raw(), b"\"inputResponses\"").is_some() {
            Key::Subject(method.into(), request.name().map(Into::into))
        } else {
            return None;
        };
        self.known.get(&key).copied()
    }

    /// Remembers what a result says of how its operation goes on. `subject` is the request's.
    pub(in crate::proxy) fn note(&mut self, result: &Message, began: Seq, subject: (&str, Option<&str>)) {
        if result.kind() != Kind::Result {
            return;
        }
        let key = if memmem::find(result.raw(), b"\"input_required\"").is_some() {
            let state = result.at(&["result", "requestState"]).map(|state| Key::State(state.into()));
            state.unwrap_or_else(|| Key::Subject(subject.0.into(), subject.1.map(Into::into)))
        } else if memmem::find(result.raw(), b"\"taskId\"").is_some() {
            match task_of(result) {
                Some(task) => Key::Task(task),
                None => return,
            }
        } else {
            return;
        };
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.entry(key).or_insert(began);
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
        operations.note(&Message::new(result.to_owned()), Seq(7), ("tools/call", Some("book")));
        operations.began(&Message::new(next.to_owned()))
    }

    #[test]
    fn a_retry_is_known_by_its_state_or_by_what_it_is_about() {
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
    fn a_task_is_known_by_its_id_in_both_eras() {
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
