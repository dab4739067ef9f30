//! A server by script, and what a replay at it came to.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::event::{ReplayEvent, Speed, StepReport, StepVerdict};
use crate::message::{Kind, Message};
use crate::secret::Label;
use crate::tape::Tape;
use crate::tape::play::{ClientConnection, PlayOptions, PlayableTape, play};
use crate::upstream::{Framing, Incoming, Item, Outgoing, Reply, ReplyBody, Upstream, UpstreamError};

/// A tape of these messages: milliseconds, direction, message; `extra` are further members of the line.
pub(super) fn tape(lines: &[(u64, &str, &str)]) -> Tape {
    tape_with(&lines.iter().map(|(at, dir, msg)| (*at, *dir, *msg, "")).collect::<Vec<_>>())
}

pub(super) fn tape_with(lines: &[(u64, &str, &str, &str)]) -> Tape {
    let mut text = serde_json::to_string(&crate::tape::TapeHeader::of(&crate::tape::record::tests::session())).unwrap();
    for (seq, (at, dir, msg, extra)) in lines.iter().enumerate() {
        let at = at * 1000;
        text += &format!("\n{{\"seq\":{seq},\"at\":{at},\"dir\":\"{dir}\",\"via\":\"http\"{extra},\"msg\":{msg}}}");
    }
    let tape = Tape::read_from(Path::new("x.tape.jsonl"), text.as_bytes()).unwrap();
    assert_eq!(tape.problems, []);
    tape
}

/// The file of a tape.
pub(super) fn written(tape: &Tape) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(&tape.header).unwrap();
    for envelope in &tape.envelopes {
        bytes.push(b'\n');
        envelope.write_json(tape.header.session_field(envelope.session), &mut bytes);
    }
    bytes
}

/// What the server does about one message.
pub(super) enum Act {
    Reply(StatusCode, &'static [(&'static str, &'static str)], ReplyBody),
    After(Duration, Box<Self>),
    Fail(fn() -> UpstreamError),
    Hang,
}

pub(super) fn taken() -> Act {
    Act::Reply(StatusCode::ACCEPTED, &[], ReplyBody::Empty)
}

pub(super) fn whole(json: impl Into<Bytes>) -> Act {
    Act::Reply(StatusCode::OK, &[], ReplyBody::Whole(Message::new(json)))
}

pub(super) fn status(status: u16) -> Act {
    Act::Reply(StatusCode::from_u16(status).unwrap(), &[], ReplyBody::Empty)
}

pub(super) fn streamed(messages: &[&str]) -> Act {
    let items: Vec<_> = messages.iter().map(|json| Ok(item(json))).collect();
    Act::Reply(StatusCode::OK, &[], ReplyBody::Stream(stream::iter(items).boxed()))
}

pub(super) fn item(json: &str) -> Item {
    Item::Message(Incoming { message: Message::new(json.to_owned()), framing: Framing::Line { line: Bytes::new() } })
}

type Behaviour = Box<dyn Fn(&Outgoing) -> Act + Send + Sync>;

pub(super) struct Server {
    behave: Behaviour,
    seen: Mutex<Vec<(Duration, Outgoing)>>,
    began: Instant,
}

impl Server {
    pub(super) fn new(behave: impl Fn(&Outgoing) -> Act + Send + Sync + 'static) -> Self {
        Self { behave: Box::new(behave), seen: Mutex::default(), began: Instant::now() }
    }
}

impl Upstream for Server {
    fn label(&self) -> &Label {
        static LABEL: LazyLock<Label> = LazyLock::new(|| Label::of_command(["scripted"]));
        &LABEL
    }

    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, UpstreamError>> {
        self.seen.lock().push((self.began.elapsed(), outgoing.clone()));
        let act = (self.behave)(&outgoing);
        Box::pin(perform(act))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

async fn perform(mut act: Act) -> Result<Reply, UpstreamError> {
    loop {
        act = match act {
            Act::Reply(status, names, body) => {
                let headers = names.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
                return Ok(Reply { status, headers: headers.collect(), body });
            }
            Act::After(pause, next) => {
                sleep(pause).await;
                *next
            }
            Act::Fail(error) => return Err(error()),
            Act::Hang => std::future::pending().await,
        };
    }
}

/// What came of a replay.
pub(super) struct Outcome {
    pub(super) steps: Vec<StepReport>,
    pub(super) seen: Vec<(Duration, Outgoing)>,
}

impl Outcome {
    pub(super) fn step(&self, number: usize) -> &StepReport {
        self.steps.iter().find(|step| step.step == number).unwrap()
    }

    pub(super) fn verdicts(&self) -> Vec<StepVerdict> {
        (1..=self.steps.len()).map(|number| self.step(number).verdict).collect()
    }

    pub(super) fn why(&self, number: usize) -> &str {
        self.step(number).why.as_deref().unwrap_or_default()
    }

    /// What the server got, in milliseconds since the start: HTTP method or JSON-RPC method, or the kind of a reply.
    pub(super) fn log(&self) -> Vec<String> {
        self.seen.iter().map(|(at, outgoing)| format!("{} {}", at.as_millis(), what(outgoing))).collect()
    }

    pub(super) fn message(&self, method: &str) -> String {
        let message = self.seen.iter().find(|(_, outgoing)| what(outgoing) == method).unwrap().1.message.clone();
        String::from_utf8(message.unwrap().raw().to_vec()).unwrap()
    }

    pub(super) fn headers(&self, method: &str) -> &HeaderMap {
        &self.seen.iter().find(|(_, outgoing)| what(outgoing) == method).unwrap().1.headers
    }
}

pub(super) fn what(outgoing: &Outgoing) -> String {
    match &outgoing.message {
        Some(message) => message.method().unwrap_or(message.kind().word()).to_owned(),
        None => outgoing.method.to_string(),
    }
}

pub(super) fn options(speed: Speed) -> PlayOptions {
    PlayOptions { speed, ..PlayOptions::default() }
}

pub(super) async fn run(
    tape: &Tape,
    options: PlayOptions,
    behave: impl Fn(&Outgoing) -> Act + Send + Sync + 'static,
) -> Outcome {
    run_until(tape, options, behave, CancellationToken::new()).await
}

pub(super) async fn run_until(
    tape: &Tape,
    options: PlayOptions,
    behave: impl Fn(&Outgoing) -> Act + Send + Sync + 'static,
    stop: CancellationToken,
) -> Outcome {
    play_until(PlayableTape::from(tape), options, behave, stop, |_| ()).await
}

/// `hear` is told all that is told of the replay.
pub(super) async fn run_heard(
    tape: &Tape,
    options: PlayOptions,
    behave: impl Fn(&Outgoing) -> Act + Send + Sync + 'static,
    hear: impl FnMut(&ReplayEvent) + Send,
) -> Outcome {
    play_until(PlayableTape::from(tape), options, behave, CancellationToken::new(), hear).await
}

pub(super) async fn run_playable(
    tape: PlayableTape,
    options: PlayOptions,
    behave: impl Fn(&Outgoing) -> Act + Send + Sync + 'static,
) -> Outcome {
    play_until(tape, options, behave, CancellationToken::new(), |_| ()).await
}

async fn play_until(
    tape: PlayableTape,
    options: PlayOptions,
    behave: impl Fn(&Outgoing) -> Act + Send + Sync + 'static,
    stop: CancellationToken,
    mut hear: impl FnMut(&ReplayEvent) + Send,
) -> Outcome {
    let server = Arc::new(Server::new(behave));
    let mut events = Vec::new();
    let upstream: Arc<dyn Upstream> = server.clone();
    let open = |_| Ok(ClientConnection::left_open(upstream.clone()));
    let report = |event| {
        hear(&event);
        events.push(event);
    };
    let summary = play(tape, open, options, report, stop).await;
    assert!(matches!(events.first(), Some(ReplayEvent::Started { .. })));
    assert!(matches!(events.last(), Some(ReplayEvent::Finished(finished)) if *finished == summary));
    let steps = events.into_iter().filter_map(|event| match event {
        ReplayEvent::Step(step) => Some(step),
        _ => None,
    });
    let steps: Vec<_> = steps.collect();
    assert_eq!(steps.len(), summary.passed + summary.failed + summary.skipped);
    let seen = std::mem::take(&mut *server.seen.lock());
    Outcome { steps, seen }
}

/// Answers every request by a table of methods; notifications and replies are taken, GET is refused.
pub(super) fn table(replies: &'static [(&'static str, &'static str)]) -> impl Fn(&Outgoing) -> Act + Send + Sync {
    move |outgoing| match &outgoing.message {
        None => status(405),
        Some(message) if message.kind() != Kind::Request => taken(),
        Some(message) => {
            let (_, reply) = replies.iter().find(|(method, _)| Some(*method) == message.method()).unwrap();
            let id = message.id().unwrap().token();
            whole(format!(r#"{{"id":{id},{reply}}}"#))
        }
    }
}

pub(super) const PASS: StepVerdict = StepVerdict::Pass;
pub(super) const FAIL: StepVerdict = StepVerdict::Fail;
pub(super) const SKIP: StepVerdict = StepVerdict::Skip;

/// `a` overlaps `b`; `c` came after both.
pub(super) fn overlapping() -> Tape {
    tape(&[
        (0, "c2s", r#"{"id":1,"method":"a"}"#),
        (100, "c2s", r#"{"id":2,"method":"b"}"#),
        (400, "s2c", r#"{"id":1,"result":{}}"#),
        (500, "s2c", r#"{"id":2,"result":{}}"#),
        (700, "c2s", r#"{"id":3,"method":"c"}"#),
        (800, "s2c", r#"{"id":3,"result":{}}"#),
    ])
}

/// `a` takes so many milliseconds, everything else 10.
pub(super) fn slow(a: u64) -> impl Fn(&Outgoing) -> Act + Send + Sync {
    move |outgoing| {
        let pause = if what(outgoing) == "a" { a } else { 10 };
        let id = outgoing.message.as_ref().unwrap().id().unwrap();
        Act::After(Duration::from_millis(pause), Box::new(whole(format!(r#"{{"id":{id},"result":{{}}}}"#))))
    }
}
