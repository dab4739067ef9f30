//! The calls of a tape, and which calls of two tapes belong together.
//!
//! Of a call no more is in memory than where it stands and sums of what it says: some hundred bytes, however large it is.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::path::Path;

use ring::digest::{Context, SHA256};
use serde_json::Value;

use super::definitions::list_of;
use crate::envelope::{Direction, Envelope, Outcome, Seq};
use crate::message::{Kind, Message};
use crate::tape::TapeError;
use crate::tape::compare::{Rules, compare};
use crate::tape::read::{ReadWatch, STRETCH, StoredTape};

/// What stands for a text: half of its SHA-256, which no two have.
pub(super) type TextSum = [u8; 16];

/// A request with its reply, by where they stand.
#[derive(Debug)]
pub(super) struct RecordedCall {
    pub(super) seq: Seq,
    request: Range<u64>,
    pub(super) reply: Option<CallReply>,
    /// Of its method and name.
    pub(super) title: TextSum,
    /// Of its `params` without `_meta`, members in order of their names.
    pub(super) arguments: TextSum,
    is_to_client: bool,
    /// It asks for definitions: of which list.
    pub(super) list: Option<u8>,
    /// Ours, or answered to nobody: where the session was told again, it is no call.
    is_ours: bool,
}

#[derive(Clone, Debug)]
pub(super) struct CallReply {
    place: Range<u64>,
    /// Microseconds from the request.
    pub(super) took: u64,
    pub(super) sum: TextSum,
}

/// The calls of a tape, in the order they were made.
#[derive(Debug)]
pub struct RecordedCalls {
    pub tape: StoredTape,
    pub(super) calls: Vec<RecordedCall>,
    /// How long calls took on the tapes that repeat this one, by their titles.
    pub(super) repeated: Vec<(TextSum, u64)>,
}

impl RecordedCalls {
    /// Goes through a tape file; `None` where that was stopped.
    ///
    /// # Errors
    /// Where it cannot be read at all, is no tape, or is one of a newer format.
    pub fn read(path: &Path, watch: &ReadWatch<'_>) -> Result<Option<Self>, TapeError> {
        let (mut calls, mut replies) = (Vec::<RecordedCall>::new(), Vec::new());
        let keep = |envelope: Envelope, place| part_of_call(&envelope, place);
        let tape = StoredTape::read(path, STRETCH, watch, &keep, |(call, reply)| {
            calls.extend(call);
            // As a rule the numbers go up; of several replies to one request the last counts.
            let place = |to: Seq| calls.binary_search_by_key(&to, |call| call.seq).ok();
            match reply.map(|(to, reply): (Seq, CallReply)| (place(to), to, reply)) {
                Some((Some(place), _, reply)) => calls[place].reply = Some(reply),
                Some((None, to, reply)) => replies.push((to, reply)),
                None => {}
            }
        })?;
        let Some(tape) = tape else { return Ok(None) };
        calls.retain(|call: &RecordedCall| !(call.is_ours && tape.about.is_told_again(call.seq)));
        // Those of requests that were held, and stand behind later ones.
        replies.sort_by_key(|(seq, _)| *seq);
        for call in calls.iter_mut().filter(|call| call.reply.is_none()) {
            let behind = replies.partition_point(|(seq, _): &(Seq, CallReply)| *seq <= call.seq);
            let last = replies[..behind].last().filter(|(seq, _)| *seq == call.seq);
            call.reply = last.map(|(_, reply)| reply.clone());
        }
        Ok(Some(Self { tape, calls, repeated: Vec::new() }))
    }

    /// Takes in how long the calls of a tape took that repeats this one: a tool that each calls once is judged by all of them.
    pub fn repeat(&mut self, other: &Self) {
        self.repeated.extend(other.times());
    }

    /// How long each call took that was answered.
    pub(super) fn times(&self) -> impl Iterator<Item = (TextSum, u64)> {
        self.calls.iter().filter_map(|call| Some((call.title, call.reply.as_ref()?.took)))
    }

    pub(super) fn request(&self, call: &RecordedCall) -> Result<Envelope, TapeError> {
        self.tape.envelope(&call.request)
    }

    pub(super) fn reply(&self, reply: &CallReply) -> Result<Message, TapeError> {
        self.tape.envelope(&reply.place).map(|envelope| envelope.message)
    }
}

/// A request without its reply, or a reply and the request that it answers.
type CallPart = (Option<RecordedCall>, Option<(Seq, CallReply)>);

/// What a message is of a call: the request, or what came of which one.
fn part_of_call(envelope: &Envelope, place: Range<u64>) -> Option<CallPart> {
    let reply = envelope
        .reply_to
        .as_ref()
        .map(|to| (to.seq, CallReply { place: place.clone(), took: to.took, sum: sum_of(envelope.message.raw()) }));
    let request = (envelope.kind() == Kind::Request).then(|| RecordedCall {
        seq: envelope.seq,
        request: place,
        reply: None,
        title: sum_of(title(envelope).as_bytes()),
        arguments: sum_of(arguments(&envelope.message).as_bytes()),
        is_to_client: envelope.direction == Direction::ToClient,
        list: list_of(envelope.method().unwrap_or_default()),
        is_ours: matches!(envelope.outcome, Outcome::Injected(_) | Outcome::Withheld),
    });
    (request.is_some() || reply.is_some()).then_some((request, reply))
}

impl RecordedCall {
    fn subject(&self) -> (bool, TextSum) {
        (self.is_to_client, self.title)
    }

    fn key(&self) -> (bool, TextSum, TextSum) {
        (self.is_to_client, self.title, self.arguments)
    }
}

/// What is called, for people.
pub(super) fn title(request: &Envelope) -> String {
    [Some(request.method().unwrap_or_default()), request.name()].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn sum_of(text: &[u8]) -> TextSum {
    let mut context = Context::new(&SHA256);
    context.update(text);
    context.finish().as_ref()[..16].try_into().expect("SHA-256 has more")
}

/// The `params` of a request without `_meta`, members in order of their names.
pub(super) fn arguments(request: &Message) -> String {
    let params = request.member("params").and_then(|it| serde_json::from_str::<Value>(it).ok());
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

/// Two calls that belong together, or one that only one of two tapes has, by their places among the calls of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallPair {
    pub(super) left: Option<u32>,
    pub(super) right: Option<u32>,
}

/// Calls that belong together, in the order of the first tape; those that only the second has come last. Once it is stopped, what
/// is nearest is no longer looked for.
pub(super) fn pairs(
    left: &RecordedCalls,
    right: &RecordedCalls,
    watch: &ReadWatch<'_>,
) -> Result<Vec<CallPair>, TapeError> {
    let mut paired = equal_pairs(&left.calls, &right.calls);
    let mut is_taken = vec![false; right.calls.len()];
    paired.iter().filter_map(|pair| pair.right).for_each(|place| is_taken[place as usize] = true);
    let mut free: HashMap<_, VecDeque<u32>> = HashMap::new();
    for (other, place) in right.calls.iter().zip(0_u32..).filter(|(_, place)| !is_taken[*place as usize]) {
        free.entry(other.subject()).or_default().push_back(place);
    }
    let length = left.calls.len() as u64;
    for ((pair, call), done) in paired.iter_mut().zip(&left.calls).zip(0..) {
        let Some(places) = free.get_mut(&call.subject()).filter(|it| pair.right.is_none() && !it.is_empty()) else {
            continue;
        };
        if !watch(done, length) {
            break;
        }
        let place = take_nearest((left, call), places, right)?;
        pair.right = Some(place);
        is_taken[place as usize] = true;
    }
    let alone = (0_u32..).zip(is_taken).filter(|(_, is_taken)| !is_taken);
    paired.extend(alone.map(|(place, _)| CallPair { left: None, right: Some(place) }));
    Ok(paired)
}

/// All calls of the first tape, those that the second has, too, with equal arguments, in their order.
pub(super) fn equal_pairs(calls: &[RecordedCall], others: &[RecordedCall]) -> Vec<CallPair> {
    let sorted = |calls: &[RecordedCall]| {
        let mut sorted: Vec<_> = (0_u32..).take(calls.len()).collect();
        sorted.sort_unstable_by_key(|place| (calls[*place as usize].key(), *place));
        sorted
    };
    let mut paired: Vec<_> =
        (0_u32..).take(calls.len()).map(|place| CallPair { left: Some(place), right: None }).collect();
    let mut right = sorted(others).into_iter().peekable();
    for place in sorted(calls) {
        let key = calls[place as usize].key();
        while right.next_if(|other| others[*other as usize].key() < key).is_some() {}
        paired[place as usize].right = right.next_if(|other| others[*other as usize].key() == key);
    }
    paired
}

/// So many candidates are looked at for the nearest.
const CANDIDATES: usize = 64;

fn take_nearest(
    (left, call): (&RecordedCalls, &RecordedCall),
    places: &mut VecDeque<u32>,
    right: &RecordedCalls,
) -> Result<u32, TapeError> {
    let mut nearest = (0, usize::MAX);
    // Of one there is no choice.
    if places.len() > 1 {
        let request = left.request(call)?.message;
        for (at, place) in places.iter().take(CANDIDATES).enumerate() {
            let candidate = right.request(&right.calls[*place as usize])?.message;
            let distance = compare(&candidate, &request, &Rules::default()).len();
            if distance < nearest.1 {
                nearest = (at, distance);
            }
        }
    }
    Ok(places.remove(nearest.0).expect("it is one of them"))
}
