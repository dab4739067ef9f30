use std::time::Duration;

use super::*;
use crate::envelope::{ReplyTo, Transport, Via};
use crate::shadow::{Options, WritePolicy};

pub(crate) fn blank() -> Comparison {
    ShadowSession::new(SessionId::random(), Arc::default()).comparison(Seq(1), &Subject::default())
}

/// A primary session and a shadow, said in messages.
struct Rig {
    session: ShadowSession,
    now: Instant,
    seq: u64,
    /// The primary's requests by their ids.
    asked: HashMap<String, (Seq, Arc<Subject>)>,
}

impl Rig {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let session = ShadowSession::new(SessionId::random(), Arc::new(options));
        Self { session, now: Instant::now(), seq: 0, asked: HashMap::new() }
    }

    fn envelope(&mut self, direction: Direction, text: &str, outcome: Outcome) -> Envelope {
        self.seq += 1;
        let message = Message::new(text.to_owned());
        let id = message.id().map(|id| id.token().to_owned()).unwrap_or_default();
        let reply_to = message.kind().is_reply().then(|| {
            let (seq, subject) = self.asked.remove(&id).expect("it was asked");
            ReplyTo { seq, took: 2000, subject }
        });
        if message.kind() == Kind::Request {
            self.asked.insert(id, (Seq(self.seq), message.head().subject.clone().unwrap_or_default()));
        }
        Envelope {
            seq: Seq(self.seq),
            session: self.session.session,
            at: 0,
            direction,
            transport: Transport::new(Via::Stdio),
            message,
            original: None,
            outcome,
            held: None,
            reply_to,
            part_of: None,
            rules: None,
        }
    }

    /// The client says something to the primary; gives what the shadow is told then.
    fn client(&mut self, text: &str) -> Vec<String> {
        self.pass(Direction::ToServer, text, Outcome::Forwarded)
    }

    fn primary(&mut self, text: &str) -> Vec<String> {
        self.pass(Direction::ToClient, text, Outcome::Forwarded)
    }

    fn pass(&mut self, direction: Direction, text: &str, outcome: Outcome) -> Vec<String> {
        let envelope = self.envelope(direction, text, outcome);
        self.session.on_primary(&envelope, self.now);
        self.said()
    }

    fn shadow(&mut self, text: &str) -> Vec<String> {
        self.session.on_shadow(&Message::new(text.to_owned()), self.now);
        self.said()
    }

    fn wait(&mut self, seconds: u64) -> Vec<String> {
        self.now += Duration::from_secs(seconds);
        self.session.expire(self.now);
        self.said()
    }

    fn said(&mut self) -> Vec<String> {
        let text = |message: &Message| String::from_utf8_lossy(message.raw()).into_owned();
        self.session.take_to_say().iter().map(text).collect()
    }

    /// `#1 same`, `#3 differs .result.x`
    fn judged(&mut self) -> Vec<String> {
        let tell = |it: Comparison| format!("{} {:?} {}", it.seq, it.verdict, it.what()).trim().to_lowercase();
        self.session.take_judged().into_iter().map(tell).collect()
    }
}

const NOTHING: &[&str] = &[];

#[test]
fn session_is_repeated_in_order() {
    let mut rig = Rig::new();
    let initialize = r#"{"id":0,"method":"initialize","params":{}}"#;
    assert_eq!(rig.client(initialize), [initialize]);
    assert_eq!(rig.primary(r#"{"id":0,"result":{}}"#), NOTHING);
    let initialized = r#"{"method":"notifications/initialized"}"#;
    assert_eq!(rig.client(initialized), NOTHING, "not before the shadow has agreed");
    let list = r#"{"id":"0","method":"tools/list"}"#;
    assert_eq!(rig.client(list), NOTHING);
    assert_eq!(rig.judged(), NOTHING);
    assert_eq!(rig.shadow(r#"{"id":0,"result":{}}"#), [initialized, list]);
    assert_eq!(rig.judged(), ["#1 same"]);
    assert_eq!(rig.shadow(r#"{"id":"0","result":{"tools":[]}}"#), NOTHING);
    assert_eq!(rig.judged(), NOTHING, "the primary has not answered");
    rig.primary(r#"{"id":"0","result":{"tools":[7]}}"#);
    assert_eq!(rig.judged(), ["#4 differs .result.tools[0]"]);
    assert!(rig.session.is_done());
}

#[test]
fn request_waits_for_the_shadows_earlier_replies() {
    let mut rig = Rig::new();
    rig.client(r#"{"id":1,"method":"tools/list"}"#);
    let (ping, page) = (r#"{"id":2,"method":"ping"}"#, r#"{"id":3,"method":"tools/list","params":{"cursor":"pppp1"}}"#);
    assert_eq!(rig.client(ping), [ping], "the client did not wait either");
    rig.primary(r#"{"id":1,"result":{"tools":[],"nextCursor":"pppp1"}}"#);
    assert_eq!(rig.client(page), NOTHING);
    let said = rig.shadow(r#"{"id":1,"result":{"tools":[],"nextCursor":"ssss2"}}"#);
    assert_eq!(said, [page.replace("pppp1", "ssss2")], "and names what the shadow made up");
    assert_eq!(rig.judged(), ["#1 same"]);
}

#[test]
fn ids_in_use_are_replaced_and_keep_their_kind() {
    let mut rig = Rig::new();
    let ping = r#"{"id":1,"method":"ping"}"#;
    assert_eq!(rig.client(ping), [ping]);
    let text = r#"{"id":"1","method":"ping"}"#;
    assert_eq!(rig.client(text), [text], "a string is another id than a number");
    rig.asked.remove("1");
    let again = rig.client(ping);
    assert_ne!(again, [ping], "two clients of one session");
    rig.shadow(&again[0].replace(r#""method":"ping""#, r#""result":{}"#));
    rig.primary(r#"{"id":1,"result":{}}"#);
    assert_eq!(rig.judged(), ["#3 same"]);
    let again = rig.client(ping);
    let cancelled = rig.client(r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#);
    let id = Message::new(again[0].clone()).id().cloned().unwrap();
    assert_eq!(
        cancelled,
        [format!(r#"{{"method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#, id = id.token())]
    );
    assert_eq!(rig.judged(), ["#5 skipped the client took it back"]);
    rig.shadow(r#"{"id":1,"result":{}}"#);
    rig.shadow(r#"{"id":"1","result":{"odd":1}}"#);
    rig.primary(r#"{"id":"1","result":{}}"#);
    assert_eq!(rig.judged(), ["#2 differs .result.odd"]);
}

#[test]
fn tools_that_may_write_are_skipped() {
    let call = |id: u64, tool: &str| format!(r#"{{"id":{id},"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
    let list = r#"{"id":0,"result":{"tools":[{"name":"read","annotations":{"readOnlyHint":true}},{"name":"write"}]}}"#;
    let mut rig = Rig::new();
    assert_eq!(rig.client(&call(9, "read")), NOTHING, "nothing is known of it yet");
    rig.client(r#"{"id":0,"method":"tools/list"}"#);
    rig.primary(list);
    rig.shadow(list);
    assert_eq!(rig.client(&call(1, "write")), NOTHING);
    assert_eq!(rig.client(&call(2, "read")), [call(2, "read")]);
    let judged = rig.judged();
    assert_eq!(judged.len(), 3);
    assert!(judged[0].starts_with("#1 skipped `read` is not marked read-only"), "{judged:?}");
    assert_eq!(judged[1], "#2 same");
    assert!(judged[2].starts_with("#4 skipped `write` is not marked"), "{judged:?}");
    let mut rig = Rig::with(Options { writes: WritePolicy::Sent, ..Options::default() });
    assert_eq!(rig.client(&call(1, "write")), [call(1, "write")]);
}

#[test]
fn blocked_requests_are_not_sent_to_the_shadow() {
    let mut rig = Rig::new();
    let ping = r#"{"id":1,"method":"ping"}"#;
    for outcome in [
        Outcome::Blocked(Author::Operator),
        Outcome::Dropped(Author::Operator),
        Outcome::Injected(Author::Operator),
        Outcome::Abandoned,
    ] {
        assert_eq!(rig.pass(Direction::ToServer, ping, outcome), NOTHING);
    }
    assert_eq!(rig.judged(), NOTHING);
    assert_eq!(rig.pass(Direction::ToServer, ping, Outcome::Edited(Author::Operator)), [ping]);
    assert_eq!(rig.client(r#"[{"id":7,"method":"ping"}]"#), NOTHING);
    let takes_back = rig.pass(Direction::ToClient, r#"{"id":1,"error":{}}"#, Outcome::Injected(Author::Tapline));
    assert!(takes_back[0].contains("notifications/cancelled"), "{takes_back:?}");
    assert_eq!(
        rig.judged(),
        ["#6 skipped a batch is not taken apart", "#5 skipped tapline answered in the primary's place"]
    );
}

#[test]
fn edited_reply_is_compared_as_the_server_sent_it() {
    let mut rig = Rig::new();
    rig.client(r#"{"id":1,"method":"ping"}"#);
    rig.shadow(r#"{"id":1,"result":{"a":1}}"#);
    let mut envelope = rig.envelope(Direction::ToClient, r#"{"id":1,"result":{"a":1}}"#, Outcome::Forwarded);
    envelope.edit(Message::new(r#"{"id":1,"result":{"a":2}}"#), Author::Operator);
    rig.session.on_primary(&envelope, rig.now);
    assert_eq!(rig.judged(), ["#1 same"]);
}

#[test]
fn missing_reply_delays_no_other() {
    let mut rig = Rig::new();
    let ping = |id: u64| format!(r#"{{"id":{id},"method":"ping"}}"#);
    rig.client(&ping(1));
    rig.primary(r#"{"id":1,"result":{}}"#);
    assert_eq!(rig.client(&ping(2)), NOTHING);
    assert_eq!(rig.wait(29), NOTHING);
    let said = rig.wait(1);
    assert_eq!((said.len(), said[1].clone()), (2, ping(2)));
    assert!(said[0].contains(r#""requestId":1"#), "{said:?}");
    assert_eq!(rig.judged(), ["#1 missing no reply within 30s of the primary's"]);
    assert_eq!(rig.shadow(r#"{"id":1,"result":{"late":1}}"#), NOTHING);
    rig.primary(r#"{"id":2,"result":{}}"#);
    rig.shadow(r#"{"id":2,"result":{}}"#);
    assert_eq!(rig.judged(), ["#3 same"]);
}

#[test]
fn hanging_shadow_is_abandoned() {
    let mut rig = Rig::new();
    for id in 0..8 {
        rig.client(&format!(r#"{{"id":{id},"method":"ping"}}"#));
        rig.primary(&format!(r#"{{"id":{id},"result":{{}}}}"#));
    }
    for _ in 0..5 {
        rig.wait(30);
    }
    let judged = rig.judged();
    assert_eq!(judged.iter().filter(|it| it.contains("missing no reply")).count(), 5, "{judged:?}");
    assert_eq!(judged.iter().filter(|it| it.ends_with("skipped the shadow hangs")).count(), 3, "{judged:?}");
    assert!(rig.session.is_over() && rig.session.is_done());
    assert_eq!(rig.client(r#"{"id":9,"method":"ping"}"#), NOTHING);
    assert_eq!(rig.judged(), ["#17 skipped the shadow hangs"]);
}

#[test]
fn modern_client_begins_again_after_patience() {
    let modern = r#""params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
    let (old, new) = (r#"{"id":1,"method":"ping"}"#, format!(r#"{{"id":2,"method":"tools/list",{modern}}}"#));
    let mut rig = Rig::new();
    rig.client(old);
    rig.session.over("the shadow has ended", rig.now);
    assert_eq!(rig.judged(), ["#1 missing the shadow has ended"]);
    assert_eq!(rig.client(&new), NOTHING);
    rig.now += Duration::from_secs(30);
    assert_eq!(rig.client(old), NOTHING, "it needs the handshake that is lost");
    assert_eq!(rig.client(&new), [new]);
    assert_eq!(rig.judged(), ["#2 skipped the shadow has ended", "#3 skipped the shadow has ended"]);
}

#[test]
fn refused_handshake_ends_the_shadow_session() {
    let mut rig = Rig::new();
    rig.client(r#"{"id":0,"method":"initialize"}"#);
    rig.primary(r#"{"id":0,"result":{}}"#);
    rig.client(r#"{"id":1,"method":"ping"}"#);
    assert_eq!(rig.shadow(r#"{"id":0,"error":{"code":-1,"message":"no"}}"#), NOTHING);
    assert_eq!(rig.judged(), ["#1 differs .result", "#3 skipped the shadow refused `initialize`: no"]);
}

#[test]
fn tapline_errors_are_not_compared_as_replies() {
    let mut rig = Rig::new();
    rig.client(r#"{"id":1,"method":"ping"}"#);
    rig.primary(r#"{"id":1,"result":{}}"#);
    rig.shadow(r#"{"id":1,"error":{"code":-31000,"message":"tapline: cannot reach it"}}"#);
    assert_eq!(rig.judged(), ["#1 missing tapline: cannot reach it"]);
}

#[test]
fn question_of_the_shadow_gets_the_clients_answer() {
    let mut rig = Rig::new();
    rig.client(r#"{"id":1,"method":"prompts/get"}"#);
    let question = |id: &str| format!(r#"{{"id":{id},"method":"sampling/createMessage","params":{{"p":1}}}}"#);
    assert_eq!(rig.shadow(&question("\"s\"")), NOTHING);
    assert_eq!(rig.primary(&question("5")), NOTHING);
    assert_eq!(rig.client(r#"{"id":5,"result":{"text":"hm"}}"#), [r#"{"id":"s","result":{"text":"hm"}}"#]);
}

#[test]
fn session_end_waits_for_pending_comparisons() {
    let mut rig = Rig::new();
    rig.client(r#"{"id":1,"method":"ping"}"#);
    rig.client(r#"{"id":2,"method":"ping"}"#);
    rig.primary(r#"{"id":1,"result":{}}"#);
    rig.session.primary_closed();
    assert_eq!(rig.judged(), ["#2 skipped the primary did not answer"]);
    assert!(!rig.session.is_done());
    rig.shadow(r#"{"id":1,"result":{}}"#);
    assert_eq!(rig.judged(), ["#1 same"]);
    assert!(rig.session.is_done());
}

#[test]
fn requests_of_gone_clients_do_not_fill_the_queue() {
    let mut rig = Rig::new();
    for id in 0..=MOST_OPEN {
        rig.client(&format!(r#"{{"id":{id},"method":"ping"}}"#));
    }
    assert_eq!(rig.judged(), ["#1 skipped the primary has not answered"]);
    assert_eq!(rig.session.open.len(), MOST_OPEN);
}

#[test]
fn garbage_is_ignored() {
    let mut rig = Rig::new();
    rig.client(r#"{"id":1,"method":"ping"}"#);
    rig.primary(r#"{"id":1,"result":{}}"#);
    for garbage in
        ["", "Listening on :80", "[]", "{\"id\":1}", "{\"id\":null,\"result\":{}}", "{\"result\":{}}", "[[[[", "null"]
    {
        assert_eq!(rig.shadow(garbage), NOTHING);
    }
    assert_eq!(rig.judged(), NOTHING);
    rig.shadow(r#"[{"id":"1","result":{}}]"#);
    assert_eq!(rig.judged(), ["#1 differs .id"], "a number given back as a string is found, and is a difference");
}
