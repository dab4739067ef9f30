use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::time::Instant;

use super::key::RequestKey;
use super::*;
use crate::message::Message;

/// A mock of tapes, each of these messages: milliseconds, direction, message.
fn mock(tapes: &[&[(u64, &str, &str)]], options: MockOptions) -> Arc<TapeMock> {
    let dir = TempDir::new().unwrap();
    let write = |(nth, lines): (usize, &&[(u64, &str, &str)])| {
        let header = crate::tape::TapeHeader::of(&crate::tape::record::tests::session());
        let mut text = serde_json::to_string(&header).unwrap();
        for (seq, (at, dir, msg)) in lines.iter().enumerate() {
            let (seq, at) = (seq + 1, at * 1000);
            text += &format!("\n{{\"seq\":{seq},\"at\":{at},\"dir\":\"{dir}\",\"via\":\"stdio\",\"msg\":{msg}}}");
        }
        let path = dir.path().join(format!("{nth}.tape.jsonl"));
        std::fs::write(&path, text).unwrap();
        path
    };
    let paths: Vec<_> = tapes.iter().enumerate().map(write).collect();
    TapeMock::open(&paths, options, None).unwrap()
}

/// A client, and what it is told.
struct Client<'a> {
    session: MockSession<'a>,
    now: Instant,
}

impl<'a> Client<'a> {
    fn of(mock: &'a TapeMock) -> Self {
        Self { session: MockSession::new(mock), now: Instant::now() }
    }

    /// Says something; gives what is said at once.
    fn say(&mut self, message: &str) -> Vec<String> {
        let mut effects = Vec::new();
        self.session.hear(&Message::new(message.to_owned()), self.now, &mut effects);
        effects.iter().map(text).collect()
    }

    /// Waits so long.
    fn wait(&mut self, millis: u64) -> Vec<String> {
        self.now += Duration::from_millis(millis);
        let mut effects = Vec::new();
        self.session.play(self.now, &mut effects);
        effects.iter().map(text).collect()
    }
}

fn text(effect: &MockEffect) -> String {
    match effect {
        MockEffect::Say(message) => String::from_utf8(message.raw().to_vec()).unwrap(),
        MockEffect::Log(text) => format!("log: {text}"),
        MockEffect::Forward(message) | MockEffect::Tell(message) => format!("real: {:?}", message.raw()),
    }
}

fn call(id: &str, name: &str, more: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}"{more}}}}}"#)
}

const ASKED: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
const FIRST: &str = r#"{"jsonrpc":"2.0", "id":1,"result":{"n":1.0}}"#;
const SECOND: &str = r#"{"id":1,"jsonrpc":"2.0","result":{"n":2}}"#;

#[test]
fn reply_is_the_recorded_bytes_under_the_id_of_the_client() {
    let mock = mock(&[&[(0, "c2s", ASKED), (5, "s2c", FIRST)]], MockOptions::default());
    let mut client = Client::of(&mock);
    assert_eq!(client.say(ASKED), [FIRST]);
    assert_eq!(client.say(&call("\"x\\u0041\"", "a", "")), [FIRST.replace("\"id\":1", "\"id\":\"x\\u0041\"")]);
    assert_eq!(mock.tally(), MockTally { answered: 2, missed: 0, forwarded: 0, unasked: 0 });
}

#[test]
fn repeats_give_the_next_the_last_or_begin_again() {
    let lines = [(0, "c2s", ASKED), (1, "s2c", FIRST), (2, "c2s", ASKED), (3, "s2c", SECOND)];
    for (repeats, third) in [(MockRepeats::Last, SECOND), (MockRepeats::Loop, FIRST)] {
        let mock = mock(&[&lines], MockOptions { repeats, ..MockOptions::default() });
        let mut client = Client::of(&mock);
        let heard: Vec<_> = (0..3).flat_map(|_| client.say(ASKED)).collect();
        assert_eq!(heard, [FIRST, SECOND, third]);
        assert_eq!(Client::of(&mock).say(ASKED), [FIRST], "another client begins anew");
    }
    let mock = mock(&[&lines], MockOptions { repeats: MockRepeats::Next, ..MockOptions::default() });
    let mut client = Client::of(&mock);
    assert_eq!((0..2).flat_map(|_| client.say(ASKED)).collect::<Vec<_>>(), [FIRST, SECOND]);
    let [log, error] = &client.say(ASKED)[..] else { panic!("a miss") };
    assert!(log.contains("the tape has it 2 times") && error.contains("-31005"), "{log} {error}");
}

#[test]
fn order_any_counts_for_all_clients_and_strict_goes_by_the_tape() {
    let lines = [(0, "c2s", ASKED), (1, "s2c", FIRST), (2, "c2s", ASKED), (3, "s2c", SECOND)];
    let any = mock(&[&lines], MockOptions { order: MockOrder::Any, ..MockOptions::default() });
    assert_eq!([Client::of(&any).say(ASKED), Client::of(&any).say(ASKED)].concat(), [FIRST, SECOND]);

    let other = call("2", "b", "");
    let lines = [(0, "c2s", ASKED), (1, "s2c", FIRST), (2, "c2s", &other), (3, "s2c", r#"{"id":2,"result":{}}"#)];
    let strict = mock(&[&lines], MockOptions { order: MockOrder::Strict, ..MockOptions::default() });
    let mut client = Client::of(&strict);
    let told = client.say(&other);
    assert!(told[0].contains("the next request on the tape is `tools/call` of `a`"), "{told:?}");
    assert_eq!(client.say(ASKED), [FIRST]);
    assert_eq!(client.say(&other), [r#"{"id":2,"result":{}}"#]);
    assert!(client.say(&other)[0].contains("the tape is at its end"));
}

#[test]
fn miss_tells_the_nearest_and_where_it_differs() {
    let far = call("1", "a", r#","arguments":{"x":1,"y":2,"z":3}"#);
    let near = call("2", "a", r#","arguments":{"x":9,"y":8}"#);
    let lines = [(0, "c2s", far.as_str()), (0, "s2c", FIRST), (1, "c2s", &near), (1, "s2c", r#"{"id":2,"result":{}}"#)];
    let asked = call("7", "a", r#","_meta":{"progressToken":1},"arguments":{"x":9,"y":7}"#);
    let told = Client::of(&mock(&[&lines], MockOptions::default())).say(&asked);
    let log = "log: not on the tape: `tools/call` of `a`: the tape has no request with these arguments\n  \
               nearest: 0.tape.jsonl #3\n  .params.arguments.y  - 8  + 7";
    let error = concat!(
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-31005,"message":"tapline: `tools/call` of `a`: the tape has no request with "#,
        r#"these arguments; nearest is #3 of 0.tape.jsonl, which differs at .params.arguments.y","data":{"tape":"0.tape.jsonl","#,
        r#""nearest":3,"differences":[{"path":".params.arguments.y","tape":"8","asked":"7"}]}}}"#
    );
    assert_eq!(told, [log, error]);
    let bare = mock(&[&lines], MockOptions { tells_nearest: false, ..MockOptions::default() });
    assert!(!Client::of(&bare).say(&asked)[1].contains("nearest"));
}

#[test]
fn miss_says_how_many_requests_of_a_long_tape_were_compared() {
    let calls: Vec<_> = (0..600).map(|n| call(&n.to_string(), "a", &format!(r#","arguments":{{"x":{n}}}"#))).collect();
    let lines: Vec<_> = calls.iter().enumerate().map(|(at, call)| (at as u64, "c2s", call.as_str())).collect();
    let told = Client::of(&mock(&[&lines], MockOptions::default())).say(&call("7", "a", r#","arguments":{"y":1}"#));
    assert!(told[0].contains("with these arguments, of which 200 of 600 were compared\n  nearest: "), "{told:?}");
}

#[test]
fn ping_and_unknown_revisions_are_no_miss() {
    let mock = mock(&[&[(0, "c2s", ASKED), (5, "s2c", FIRST)]], MockOptions::default());
    let mut client = Client::of(&mock);
    assert_eq!(client.say(r#"{"id":4,"method":"ping"}"#), [r#"{"jsonrpc":"2.0","id":4,"result":{}}"#]);
    assert!(client.say(r#"{"method":"notifications/initialized"}"#).is_empty());
    let [told] = &client.say(r#"{"id":5,"method":"server/discover"}"#)[..] else { panic!("one answer") };
    assert!(told.contains("-32601") && told.contains("tapline"), "{told}");
    assert_eq!(mock.tally().missed, 0);
}

#[test]
fn messages_of_the_server_come_at_their_place_and_time() {
    let asked = call("1", "a", r#","_meta":{"progressToken":"t"}"#);
    let progress = r#"{"method":"notifications/progress","params":{"progressToken":"t","progress":1}}"#;
    let log = r#"{"method":"notifications/message","params":{"data":"x"}}"#;
    let question = r#"{"id":90,"method":"sampling/createMessage","params":{}}"#;
    let answer = r#"{"id":90,"result":{"text":"yes"}}"#;
    let lines = [
        (0, "c2s", asked.as_str()),
        (10, "s2c", progress),
        (20, "s2c", question),
        (500, "c2s", answer),
        (530, "s2c", FIRST),
        (540, "s2c", log),
    ];
    let mock = mock(&[&lines], MockOptions { speed: Speed::Times(2.0), ..MockOptions::default() });
    let mut client = Client::of(&mock);
    assert!(client.say(&call("7", "a", r#","_meta":{"progressToken":5}"#)).is_empty());
    assert!(client.wait(4).is_empty());
    assert_eq!(client.wait(1), [progress.replace("\"t\"", "5")]);
    assert_eq!(client.wait(5), [question]);
    assert!(client.wait(1000).is_empty(), "it waits for the answer");
    assert!(client.say(answer).is_empty());
    assert!(client.wait(14).is_empty());
    assert_eq!(client.wait(1), [FIRST.replace("\"id\":1", "\"id\":7")]);
    assert_eq!(client.wait(5), [log]);
    // At full speed, and without a token: all that does not wait for the client at once.
    let fast = mock_again(&lines);
    let mut client = Client::of(&fast);
    assert_eq!(client.say(&call("8", "a", "")), [question]);
    assert_eq!(client.say(answer).len(), 2);
}

fn mock_again(lines: &[(u64, &str, &str)]) -> Arc<TapeMock> {
    mock(&[lines], MockOptions::default())
}

#[test]
fn notifications_follow_what_the_client_said_last() {
    let (initialized, changed) =
        (r#"{"method":"notifications/initialized"}"#, r#"{"method":"notifications/tools/list_changed"}"#);
    let mock = mock(&[&[(0, "c2s", initialized), (5, "s2c", changed)]], MockOptions::default());
    let mut client = Client::of(&mock);
    assert_eq!(client.say(initialized), [changed]);
    assert!(client.say(initialized).is_empty(), "once, as on the tape");
}

/// A client lists again because the list changed: told so with each list, it would never be done.
#[test]
fn list_that_is_given_again_does_not_change_again() {
    let changed = r#"{"method":"notifications/tools/list_changed"}"#;
    let lines = [(0, "c2s", ASKED), (1, "s2c", changed), (2, "s2c", FIRST)];
    let mock = mock(&[&lines], MockOptions::default());
    let mut client = Client::of(&mock);
    assert_eq!(client.say(ASKED), [changed, FIRST]);
    assert_eq!(client.say(ASKED), [FIRST]);
    assert_eq!(Client::of(&mock).say(ASKED), [changed, FIRST], "another client begins anew");
}

#[test]
fn request_that_is_taken_back_gets_no_reply() {
    let mock = mock(
        &[&[(0, "c2s", ASKED), (50, "s2c", FIRST)]],
        MockOptions { speed: Speed::Times(1.0), ..MockOptions::default() },
    );
    let mut client = Client::of(&mock);
    client.say(ASKED);
    client.say(r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#);
    assert!(client.wait(100).is_empty() && client.session.due().is_none());
}

#[test]
fn request_that_was_taken_back_waits_for_that() {
    let cancel = r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#;
    let refused = r#"{"id":1,"error":{"code":-32800,"message":"cancelled"}}"#;
    let mock = mock(&[&[(0, "c2s", ASKED), (5, "c2s", cancel), (6, "s2c", refused)]], MockOptions::default());
    let mut client = Client::of(&mock);
    assert!(client.say(&call("9", "a", "")).is_empty() && client.session.due().is_none());
    let told = client.say(&cancel.replace("\"requestId\":1", "\"requestId\":9"));
    assert!(told.contains(&refused.replace("\"id\":1", "\"id\":9")), "{told:?}");
}

#[test]
fn discover_that_an_older_server_refused_is_an_unknown_method() {
    let asked = concat!(
        r#"{"id":"p","method":"server/discover","params":{"_meta":{"#,
        r#""io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#
    );
    let refused = r#"{"error":{"code":-32000,"message":"not initialized"},"id":null}"#;
    let lines = [(0, "c2s", asked), (1, "s2c", refused), (2, "c2s", ASKED), (3, "s2c", FIRST)];
    let mock = mock(&[&lines], MockOptions::default());
    let told = Client::of(&mock).say(asked);
    assert!(told.len() == 1 && told[0].contains("-32601") && told[0].contains("\"p\""), "{told:?}");
    assert_eq!(mock.tally().missed, 0);
}

#[test]
fn tape_of_a_refused_probe_says_that_its_session_is_elsewhere() {
    let asked = concat!(
        r#"{"id":"p","method":"server/discover","params":{"_meta":{"#,
        r#""io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#
    );
    let refused = r#"{"error":{"code":-32000,"message":"not initialized"},"id":null}"#;
    let mock = mock(&[&[(0, "c2s", asked), (1, "s2c", refused)]], MockOptions::default());
    let mut client = Client::of(&mock);
    for asked in [asked, r#"{"id":0,"method":"initialize","params":{}}"#] {
        let told = client.say(asked);
        assert!(told.iter().any(|it| it.contains("-32601") && it.contains("the tape of the session")), "{told:?}");
    }
}

#[test]
fn refusal_without_a_name_is_no_reply_where_the_reply_comes_later() {
    // The body of a GET that was refused while a call waited.
    let refused = r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Method not allowed."},"id":null}"#;
    let lines = [(0, "c2s", ASKED), (5, "s2c", refused), (20, "s2c", FIRST)];
    let mock = mock(&[&lines], MockOptions { speed: Speed::Times(1.0), ..MockOptions::default() });
    let mut client = Client::of(&mock);
    assert!(client.say(ASKED).is_empty() && client.wait(19).is_empty());
    assert_eq!(client.wait(1), [FIRST]);
}

#[test]
fn request_without_a_recorded_reply_is_told_of() {
    let mock = mock(&[&[(0, "c2s", ASKED)]], MockOptions::default());
    let told = Client::of(&mock).say(ASKED);
    assert_eq!(told, ["log: `tools/call` of `a` was never answered on the tape (0.tape.jsonl #1), nor is it now"]);
}

#[test]
fn conversation_follows_the_tape_of_its_revision() {
    let begin =
        |version: &str| format!(r#"{{"id":0,"method":"initialize","params":{{"protocolVersion":"{version}"}}}}"#);
    let agreed = |version: &str| format!(r#"{{"id":0,"result":{{"protocolVersion":"{version}"}}}}"#);
    let (old, new) = ("2024-11-05", "2025-11-25");
    let ([old_asked, new_asked], [old_said, new_said]) = ([begin(old), begin(new)], [agreed(old), agreed(new)]);
    let old_tape = [(0, "c2s", old_asked.as_str()), (1, "s2c", &old_said), (2, "c2s", ASKED), (3, "s2c", FIRST)];
    let new_tape = [(0, "c2s", new_asked.as_str()), (1, "s2c", &new_said), (2, "c2s", ASKED), (3, "s2c", SECOND)];
    let mock = mock(&[&old_tape, &new_tape], MockOptions::default());
    for (asked, said, reply) in [(&new_asked, &new_said, SECOND), (&old_asked, &old_said, FIRST)] {
        let mut client = Client::of(&mock);
        assert_eq!(client.say(asked), [said.as_str()]);
        assert_eq!(client.say(ASKED), [reply]);
    }
}

fn initialize(client: &str, revision: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{revision}","capabilities":{{}},"clientInfo":{{"name":"{client}","version":"1"}}}}}}"#
    )
}

/// A tape of a client of that name: how it began, and its call.
fn session_of(said: &[String; 4]) -> [(u64, &str, &str); 4] {
    [(0, "c2s", &said[0]), (1, "s2c", &said[1]), (2, "c2s", &said[2]), (3, "s2c", &said[3])]
}

fn said_by(client: &str, revision: &str, n: u32) -> [String; 4] {
    [
        initialize(client, revision),
        format!(r#"{{"jsonrpc":"2.0","id":0,"result":{{"session":{n}}}}}"#),
        ASKED.to_owned(),
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"n":{n}}}}}"#),
    ]
}

#[test]
fn client_gets_the_next_session_of_its_name_and_else_the_next_of_all() {
    let said = [("a", 1), ("b", 2), ("a", 3), ("b", 4)].map(|(client, n)| said_by(client, "2025-11-25", n));
    let tapes = said.each_ref().map(session_of);
    let tapes: Vec<_> = tapes.iter().map(|tape| &tape[..]).collect();
    for order in [MockOrder::Session, MockOrder::Strict] {
        let mock = mock(&tapes, MockOptions { order, ..MockOptions::default() });
        let beginning = |name: &str| Client::of(&mock).with(name);
        let sessions = ["b", "b", "a", "stranger", "b", "a", "stranger"].map(beginning);
        assert_eq!(sessions, [2, 4, 1, 3, 2, 1, 3].map(|n| (n, n)), "{order:?}");
    }
}

impl Client<'_> {
    /// Begins as that client, and calls. Gives the numbers of the session and of the reply.
    fn with(mut self, name: &str) -> (u64, u64) {
        let number = |said: &[String], key: &str| {
            let reply: serde_json::Value = serde_json::from_str(&said[0]).unwrap();
            reply["result"][key].as_u64().unwrap_or_else(|| panic!("{reply}"))
        };
        let session = number(&self.say(&initialize(name, "2025-11-25")), "session");
        (session, number(&self.say(ASKED), "n"))
    }
}

#[test]
fn name_of_the_client_goes_before_its_revision() {
    let said = [("a", "2025-11-25", 1), ("b", "2025-06-18", 2), ("b", "2025-11-25", 3)];
    let said = said.map(|(client, revision, n)| said_by(client, revision, n));
    let tapes = said.each_ref().map(session_of);
    let tapes: Vec<_> = tapes.iter().map(|tape| &tape[..]).collect();
    let mock = mock(&tapes, MockOptions::default());
    for (client, revision, n) in [("b", "2025-06-18", 2), ("b", "2025-11-25", 3), ("a", "2025-06-18", 1)] {
        let begun = Client::of(&mock).say(&initialize(client, revision));
        assert!(begun[0].contains(&format!("\"session\":{n}")), "{client} {revision}: {begun:?}");
    }
}

#[test]
fn clients_that_share_a_connection_each_get_the_session_of_their_name() {
    let call = |client: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"a","_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{{"name":"{client}","version":"1"}}}}}}}}"#
        )
    };
    let (a, b) = (call("a"), call("b"));
    let reply = |n: u32| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"n":{n}}}}}"#);
    let replies = [1, 2, 3, 4].map(reply);
    let tapes = [(&a, [0, 1]), (&b, [2, 3])].map(|(call, [one, two])| {
        [(0, "c2s", &call[..]), (1, "s2c", &replies[one]), (2, "c2s", call), (3, "s2c", &replies[two])]
    });
    let mock = mock(&[&tapes[0], &tapes[1]], MockOptions::default());
    let mut client = Client::of(&mock);
    let got: Vec<_> = [&b, &a, &b, &a, &call("c")].into_iter().flat_map(|call| client.say(call)).collect();
    assert_eq!(got, [3, 1, 4, 2, 1].map(reply));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn requests_of_a_tape_and_of_a_client_are_those_that_a_look_at_all_finds(
        tapes in proptest::collection::vec((0..3_usize, proptest::collection::vec(0..4_usize, 0..6)), 1..5),
    ) {
        const DISCOVER: &str = r#"{"jsonrpc":"2.0","id":9,"method":"server/discover","params":{}}"#;
        let begin = |client| format!(
            r#"{{"jsonrpc":"2.0","id":8,"method":"initialize","params":{{"clientInfo":{{"name":"{client}"}}}}}}"#
        );
        let said = [ASKED.to_owned(), call("2", "b", ""), DISCOVER.to_owned()];
        let lines = |(client, calls): &(usize, Vec<usize>)| {
            let begins = ["one", "other"].get(*client).map(begin);
            let calls = calls.iter().map(|nth| said.get(*nth).unwrap_or(&said[0]).clone());
            begins.into_iter().chain(calls).collect::<Vec<_>>()
        };
        let lines: Vec<_> = tapes.iter().map(lines).collect();
        let lines: Vec<Vec<_>> = lines.iter().map(|lines| lines.iter().map(|line| (0, "c2s", &**line)).collect()).collect();
        let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
        let mock = mock(&lines, MockOptions::default());
        let script = &mock.script;
        for line in &said {
            let key = RequestKey::of(&Message::new(line.clone()), &mock.options.fields);
            let all = script.candidates(key);
            prop_assert!(all.is_sorted() && all.iter().all(|at| script.is_known_by(*at, key) && !script.exchanges[*at].was_unknown));
            let those = |is_meant: &dyn Fn(usize) -> bool| -> Vec<usize> {
                all.iter().copied().filter(|at| is_meant(script.exchanges[*at].tape)).collect()
            };
            for (at, tape) in script.tapes.iter().enumerate() {
                prop_assert_eq!(script.candidates_of_tape(key, at), those(&|tape| tape == at));
                if let Some(client) = tape.client {
                    let own = those(&|at| script.tapes[at].client == Some(client));
                    prop_assert_eq!(script.candidates_of_client(key, client), own);
                }
            }
        }
    }
}
