//! The calls of a tape, and which calls of two tapes belong together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::IsStopped;
use crate::envelope::{Direction, Envelope};
use crate::mcp::method;
use crate::message::Kind;
use crate::tape::Tape;
use crate::tape::compare::nearest;

/// A request with its reply.
pub(super) struct RecordedCall<'t> {
    pub(super) request: &'t Arc<Envelope>,
    pub(super) reply: Option<&'t Arc<Envelope>>,
    /// Its `params` without `_meta`, members in order of their names.
    pub(super) arguments: String,
}

impl<'t> RecordedCall<'t> {
    /// All of a tape, in the order they were made; not all where that is stopped.
    pub(super) fn all(tape: &'t Tape, is_stopped: IsStopped<'_>) -> Vec<Self> {
        let replies: HashMap<_, _> =
            tape.envelopes.iter().filter_map(|it| Some((it.reply_to.as_ref()?.seq, it))).collect();
        let requests = tape.envelopes.iter().filter(|it| it.kind() == Kind::Request && !tape.is_said_again(it));
        requests
            .take_while(|_| !is_stopped())
            .map(|request| Self { request, reply: replies.get(&request.seq).copied(), arguments: arguments(request) })
            .collect()
    }

    pub(super) fn method(&self) -> &'t str {
        self.request.method().unwrap_or_default()
    }

    pub(super) fn name(&self) -> Option<&'t str> {
        self.request.name()
    }

    /// Microseconds from request to reply.
    pub(super) fn took(&self) -> Option<u64> {
        self.reply.and_then(|it| it.reply_to.as_ref()).map(|it| it.took)
    }

    fn subject(&self) -> (bool, &'t str, Option<&'t str>) {
        (self.request.direction == Direction::ToClient, self.method(), self.name())
    }
}

/// Whether a call asks for definitions.
pub(super) fn is_list(called: &str) -> bool {
    matches!(called, method::TOOLS_LIST | method::PROMPTS_LIST | method::RESOURCE_TEMPLATES_LIST)
}

fn arguments(request: &Envelope) -> String {
    let params = request.message.member("params").and_then(|it| serde_json::from_str::<Value>(it).ok());
    let Some(Value::Object(mut params)) = params else { return String::new() };
    params.remove("_meta");
    canonical(&Value::Object(params))
}

/// JSON text with the members of objects in order of their names.
pub(super) fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let members: BTreeMap<_, _> = members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
                Value::Object(members.into_iter().collect())
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

/// Calls that belong together, in the order of the first tape; those that only the second has come last. Once it is stopped, what
/// is nearest is no longer looked for.
pub(super) fn pairs<'c, 't>(
    calls: &'c [RecordedCall<'t>],
    others: &'c [RecordedCall<'t>],
    is_stopped: IsStopped<'_>,
) -> Vec<(Option<&'c RecordedCall<'t>>, Option<&'c RecordedCall<'t>>)> {
    let mut free: Vec<Option<&RecordedCall<'_>>> = others.iter().map(Some).collect();
    let mut places: HashMap<_, Vec<usize>> = HashMap::new();
    for (place, other) in others.iter().enumerate().rev() {
        places.entry((other.subject(), other.arguments.as_str())).or_default().push(place);
    }
    let exact: Vec<_> = calls
        .iter()
        .map(|call| {
            let place = places.get_mut(&(call.subject(), call.arguments.as_str())).and_then(Vec::pop);
            place.and_then(|place| free[place].take())
        })
        .collect();
    let mut left: HashMap<_, Vec<usize>> = HashMap::new();
    for (place, other) in free.iter().enumerate().filter_map(|(place, other)| Some((place, other.as_ref()?))) {
        left.entry(other.subject()).or_default().push(place);
    }
    let mut paired: Vec<_> = calls
        .iter()
        .zip(exact)
        .map(|(call, exact)| {
            let places = left.get_mut(&call.subject()).filter(|_| !is_stopped());
            let nearest = || free[take_nearest(call, places?, others)?].take();
            (Some(call), exact.or_else(nearest))
        })
        .collect();
    paired.extend(free.into_iter().flatten().map(|other| (None, Some(other))));
    paired
}

/// So many candidates are looked at for the nearest.
const CANDIDATES: usize = 64;

fn take_nearest(call: &RecordedCall<'_>, places: &mut Vec<usize>, others: &[RecordedCall<'_>]) -> Option<usize> {
    let candidates = places.iter().take(CANDIDATES).map(|place| (*place, &others[*place].request.message));
    let place = nearest(candidates, &call.request.message)?;
    places.retain(|it| *it != place);
    Some(place)
}
