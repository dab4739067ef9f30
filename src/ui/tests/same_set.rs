//! One filter, one set of messages: on the list, held, ruled, on a tape.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::rig::{Rig, START, session, session_id};
use crate::envelope::{Author, Direction, Envelope, Outcome, ReplyTo, Seq, SessionField, Subject, Transport, Via};
use crate::event::{Event, Holding};
use crate::filter::{Filter, MessageHistory, SavedFilters};
use crate::intercept::breakpoints::Breakpoints;
use crate::intercept::{Interceptor, Verdict};
use crate::message::{Kind, Message};
use crate::rules::{self, RuleSet};
use crate::tape::{Tape, TapeContext, TapeHeader};

const MESSAGES: u64 = 20_000;

/// A session of all sorts of messages; each depends on its number only.
fn traffic() -> Vec<Envelope> {
    let mut made: Vec<Envelope> = Vec::new();
    let headers: http::HeaderMap = [("content-type", "application/json"), ("mcp-method", "tools/call")]
        .into_iter()
        .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    let headers = Arc::new(headers);
    for seq in 1..=MESSAGES {
        let number = seq / 4;
        let (direction, raw, asked) = match seq % 4 {
            0 => (
                Direction::ToClient,
                format!(r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"n":{seq}}}}}"#),
                None,
            ),
            1 => {
                // Every 97th id was used before.
                let id = if number % 97 == 96 { number - 90 } else { number };
                let tool = ["read_file", "write_file", "search", "git_log"][(seq % 7 % 4) as usize];
                let raw = format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"path":"/src/{seq}.rs","n":{seq}}}}}}}"#
                );
                (Direction::ToServer, raw, None)
            }
            2 if seq % 12 == 10 => (
                Direction::ToServer,
                format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{number}}}}}"#),
                None,
            ),
            2 if seq % 10 == 0 => (Direction::ToServer, "not JSON-RPC".to_owned(), None),
            2 => (Direction::ToServer, format!(r#"{{"jsonrpc":"2.0","id":"p{seq}","method":"ping"}}"#), None),
            _ => {
                let raw = match seq % 5 {
                    0 => format!(
                        r#"{{"jsonrpc":"2.0","id":{number},"error":{{"code":-32603,"message":"disk {seq} full"}}}}"#
                    ),
                    1 => format!(
                        r#"{{"jsonrpc":"2.0","id":{number},"result":{{"content":[{{"type":"text","text":"no {seq}"}}],"isError":true}}}}"#
                    ),
                    _ => format!(r#"{{"jsonrpc":"2.0","id":{number},"result":{{"content":[],"seq":{seq}}}}}"#),
                };
                (Direction::ToClient, raw, (seq % 11 != 0).then_some(seq - 2))
            }
        };
        let via = [Via::Http, Via::Sse][(seq % 2) as usize];
        let status = (direction == Direction::ToClient).then_some(if seq % 31 == 0 { 502 } else { 200 });
        made.push(Envelope {
            seq: Seq(seq),
            session: session_id(1),
            at: seq * 1000,
            direction,
            transport: Transport { status, headers: (seq % 3 == 0).then(|| headers.clone()), ..Transport::new(via) },
            message: Message::new(raw),
            original: None,
            outcome: Outcome::Forwarded,
            held: None,
            reply_to: asked.map(|asked| {
                let subject =
                    made[asked as usize - 1].message.head().subject.clone().unwrap_or_else(|| {
                        Arc::new(Subject { method: "tools/call".into(), name: Some("search".into()) })
                    });
                ReplyTo { seq: Seq(asked), took: seq % 1500 * 1000, subject }
            }),
            part_of: None,
            rules: None,
        });
    }
    made
}

/// Every operator that is known everywhere.
const EVERYWHERE: [&str; 38] = [
    "~all",
    "~q",
    "~r",
    "~n",
    "~e",
    "~m tools/",
    "~tool write|git",
    "~name file$",
    "~c2s",
    "~s2c",
    "~id 41",
    "~sid 0001",
    "~client 'ide 1'",
    "~server files",
    "~u 9000",
    "~via sse",
    "~b /src/1",
    "~bq path",
    "~bs full",
    "~h mcp-method",
    "~hq tools",
    "~hs json",
    "~t json",
    "~c 502",
    "~c >=400",
    "~code -32700..-32600",
    "~err full",
    "~dur >1s",
    "~size >120",
    "~time 10:04:03..10:04:05Z",
    "~age >8s",
    "~seq 100..200",
    "~j .params.arguments.n >= 12000",
    "~invalid",
    "~orphan",
    "~dup",
    "~late",
    "~rule .",
];

const JOINED: [&str; 6] = [
    "~q & ~m tools/ & !(~tool search | ~b /src/2) not ~dup",
    "~late or ~e and ~dur >500ms",
    "~j ..seq | ~orphan ~s2c",
    "write_file !~b 1",
    "!~q !~r !~n",
    "(~client ide ~time >10:04:10Z) | ~err no",
];

/// A screen on which these have passed.
fn screen(envelopes: &[Envelope]) -> Rig {
    let mut rig = Rig::new(120, 36);
    rig.on_event(Event::SessionOpened(Arc::new(session(1, "files-srv", ("ide", "1.4"), Via::Http))));
    publish(&mut rig, envelopes);
    rig
}

fn publish(rig: &mut Rig, envelopes: &[Envelope]) {
    for envelope in envelopes {
        rig.model.on_event(Event::Passed(Arc::new(envelope.clone())));
    }
}

/// What the list shows once the filter is typed.
fn listed(rig: &mut Rig, expression: &str) -> Vec<u64> {
    rig.press("f ctrl-u").typing(expression).press("enter");
    shown(rig)
}

/// What the list shows as each comes, when the filter was typed before.
fn listed_one_by_one(envelopes: &[Envelope], expression: &str) -> Vec<u64> {
    let mut rig = screen(&[]);
    listed(&mut rig, expression);
    publish(&mut rig, envelopes);
    shown(&mut rig)
}

fn shown(rig: &mut Rig) -> Vec<u64> {
    let (rows, list) = rig.model.messages_mut();
    while list.scan(rows, std::time::Duration::from_secs(1)) {}
    (0..list.len(rows)).map(|at| list.row(rows, at).unwrap().envelope.seq.0).collect()
}

/// What is held.
fn held(envelopes: &[Envelope], expression: &str, context: &TapeContext) -> Vec<u64> {
    let breakpoints = Breakpoints::default();
    breakpoints.set(Holding { on: true, filter: expression.to_owned() }).unwrap();
    let held =
        envelopes.iter().filter(|it| matches!(breakpoints.inspect(&mut (*it).clone(), context), Verdict::Pause(_)));
    held.map(|it| it.seq.0).collect()
}

/// What a rule hits.
fn ruled(envelopes: &[Envelope], expression: &str, context: &TapeContext) -> Vec<u64> {
    let rule = format!("[[rule]]\nname = \"r\"\nwhen = {}\ndo = \"log\"", serde_json::Value::from(expression));
    let set = RuleSet::of(vec![rules::read(&rule, &SavedFilters::default()).unwrap_or_default()]);
    let hit = |it: &&Envelope| {
        let mut it = (*it).clone();
        set.decide(&mut it, context);
        it.rules.is_some()
    };
    envelopes.iter().filter(hit).map(|it| it.seq.0).collect()
}

#[test]
fn filter_matches_the_same_set_everywhere() {
    let envelopes = traffic();
    let mut written = serde_json::to_vec(&TapeHeader::of(&session(1, "files-srv", ("ide", "1.4"), Via::Http))).unwrap();
    written.push(b'\n');
    for envelope in &envelopes {
        envelope.write_json(SessionField::Omitted, &mut written);
        written.write_all(b"\n").unwrap();
    }
    let tape = Tape::read_from(&PathBuf::from("large.tape.jsonl"), &*written).unwrap();
    assert_eq!(tape.envelopes.len() as u64, MESSAGES);
    let now = START.plus_micros(20_000_000);
    let context = TapeContext::of(&tape, now);
    let mut rig = screen(&envelopes);
    for expression in EVERYWHERE.into_iter().chain(JOINED) {
        let filter = Filter::parse(expression).unwrap();
        let on_tape: Vec<u64> = tape.matching(&filter, now).map(|it| it.seq.0).collect();
        assert!(!on_tape.is_empty() || expression == "~rule .", "`{expression}` is of nothing");
        assert_eq!(held(&envelopes, expression, &context), on_tape, "`{expression}` held");
        assert_eq!(ruled(&envelopes, expression, &context), on_tape, "`{expression}` ruled");
        assert_eq!(listed(&mut rig, expression), on_tape, "`{expression}` listed");
        // Ages are told from the moment in which a message comes to the list.
        if ["~dup", "~late", "~late or ~e and ~dur >500ms", "~e"].contains(&expression) {
            assert_eq!(listed_one_by_one(&envelopes, expression), on_tape, "`{expression}` listed one by one");
        }
    }
}

/// A tape with these.
fn tape_of(envelopes: &[Envelope]) -> Tape {
    let header = TapeHeader::of(&session(1, "files-srv", ("ide", "1.4"), Via::Http));
    let mut tape = Tape::begun(Path::new(""), header);
    tape.envelopes = envelopes.iter().cloned().map(Arc::new).collect();
    tape
}

#[test]
fn lint_filter_matches_the_same_set_on_a_tape_and_on_the_list() {
    let mut envelopes = traffic();
    envelopes.truncate(4_000);
    let tape = tape_of(&envelopes);
    let found = tape.findings();
    let codes: std::collections::BTreeSet<_> = found.iter().map(|finding| finding.code.clone()).collect();
    assert!(codes.len() >= 4, "{codes:?}");
    let mut rig = screen(&envelopes);
    // One list has its filter before anything is found, as it is while messages pass.
    let mut early = screen(&envelopes);
    listed(&mut early, "~lint .");
    for finding in found {
        let found = Event::Found(Arc::new(finding));
        rig.model.on_event(found.clone());
        early.model.on_event(found);
    }
    let of_each = codes.iter().map(|code| format!("~lint ^{code}$"));
    let joined = ["~lint .", "~q & ~lint .", "!~lint . ~r", "~lint . & ~s2c", "~lint id | ~e"].map(str::to_owned);
    for expression in of_each.chain(joined) {
        let filter = Filter::parse(&expression).unwrap();
        let on_tape: Vec<u64> = tape.matching(&filter, START).map(|it| it.seq.0).collect();
        assert!(!on_tape.is_empty(), "`{expression}` is of nothing");
        assert_eq!(listed(&mut rig, &expression), on_tape, "`{expression}` listed");
        if expression == "~lint ." {
            assert_eq!(shown(&mut early), on_tape, "what is found later is listed then");
        }
    }
}

#[test]
fn filter_of_open_requests_matches_the_same_set_where_replies_are_known() {
    let mut envelopes = traffic();
    envelopes.truncate(2_000);
    let mut history = MessageHistory::default();
    envelopes.iter().for_each(|it| history.observe(it));
    let open: Vec<u64> = envelopes.iter().filter(|it| history.is_open(it)).map(|it| it.seq.0).collect();
    assert!(open.len() > 100);
    assert_eq!(listed(&mut screen(&envelopes), "~open"), open);
    assert_eq!(listed_one_by_one(&envelopes, "~open"), open, "a reply takes its request off the list");
    let requests: Vec<u64> = envelopes.iter().filter(|it| it.kind() == Kind::Request).map(|it| it.seq.0).collect();
    let tape = tape_of(&envelopes);
    let filter = Filter::parse("~open").unwrap();
    let on_tape: Vec<u64> = tape.matching(&filter, START).map(|it| it.seq.0).collect();
    assert_eq!(on_tape, open);
    assert_eq!(held(&envelopes, "~open", &TapeContext::of(&tape, START)), requests, "nobody has answered yet");
}

#[test]
fn near_stays_with_the_message_that_was_under_the_cursor() {
    let mut rig = screen(&traffic()[..40]);
    rig.press(":").typing("21").press("enter");
    let near = listed(&mut rig, "~near");
    assert_eq!(near, [21, 22, 23], "a call, what takes it back, and its reply");
    rig.press("j");
    assert_eq!(shown(&mut rig), near);
}

#[test]
fn explain_is_said_on_the_screen() {
    let mut rig = Rig::new(120, 36);
    rig.press(":").typing("explain ~b error ~q").press("enter");
    assert_eq!(rig.model.notice.as_ref().unwrap().text, "`~b error & ~q`: body scan, for `~b error`");
    rig.press("f").typing("~m tools").press("enter");
    rig.press(":").typing("explain").press("enter");
    assert_eq!(rig.model.notice.as_ref().unwrap().text, "`~m tools`: index");
    rig.press("f").typing(" ~lint x").press("enter");
    rig.press(":").typing("explain").press("enter");
    assert_eq!(rig.model.notice.as_ref().unwrap().text, "`~m tools & ~lint x`: index");
}

#[test]
fn hold_filter_with_a_name_is_written_out_for_the_core() {
    let filters = [("slow".to_owned(), "~dur >1s | ~e".to_owned())].into();
    let filters = SavedFilters::new(filters).unwrap();
    let mut rig = Rig::with(120, 36, &crate::ui::Settings { filters, ..Default::default() });
    rig.press("i ctrl-u").typing("@slow ~r").press("enter");
    assert!(rig.sent().contains(r#"filter: "(~dur >1s | ~e) & ~r""#), "{}", rig.sent());
}

#[test]
fn rule_is_found_by_what_it_did() {
    let mut envelope = traffic().remove(0);
    envelope.outcome = Outcome::Dropped(Author::Rule("flaky".to_owned()));
    assert!(Filter::parse("~rule flak").unwrap().matches(&envelope));
}
