use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::envelope::{Author, Direction, Outcome, ReplyTo, Seq, SessionId, Subject, Transport, Via};
use crate::message::{Kind, Message};

fn message(json: &str) -> Envelope {
    let message = Message::new(json.to_owned());
    Envelope::forwarded(Seq(7), SessionId::random(), Direction::ToServer, Via::Http, message)
}

fn call() -> Envelope {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let mut it = message(
        r#"{"jsonrpc":"2.0","id":41,"method":"tools/call","params":{"name":"write_file","arguments":{"path":"/etc/hosts","lines":[1,2,3],"a b":null,"force":true}}}"#,
    );
    it.transport.headers = Some(Arc::new(headers));
    it
}

fn reply(json: &str) -> Envelope {
    let subject = Arc::new(Subject { method: "tools/call".into(), name: Some("write_file".into()) });
    let mut it = message(json);
    it.seq = Seq(9);
    it.direction = Direction::ToClient;
    it.transport = Transport { status: Some(200), ..Transport::new(Via::Sse) };
    it.reply_to = Some(ReplyTo { seq: Seq(7), took: 370_000, subject });
    it
}

fn failed_tool() -> Envelope {
    reply(r#"{"jsonrpc":"2.0","id":41,"result":{"content":[{"type":"text","text":"disk full"}],"isError":true}}"#)
}

fn error() -> Envelope {
    reply(r#"{"jsonrpc":"2.0","id":41,"error":{"code":-32601,"message":"Method not found"}}"#)
}

fn parse(expression: &str) -> Filter {
    Filter::parse(expression).unwrap_or_else(|error| panic!("`{expression}`: {error}"))
}

#[track_caller]
fn check(envelope: &Envelope, yes: &[&str], no: &[&str]) {
    for expression in yes {
        assert!(parse(expression).matches(envelope), "`{expression}` should match {envelope:?}");
    }
    for expression in no {
        assert!(!parse(expression).matches(envelope), "`{expression}` should not match {envelope:?}");
    }
}

/// What is read in a row is found by typing it; what only stands further in is not.
#[test]
fn bare_word_finds_what_a_row_shows() {
    check(&failed_tool(), &["full", "\"disk full\"", "failed"], &["isError", "text"]);
    check(&error(), &["\"Method not\"", "-32601"], &["jsonrpc"]);
    check(
        &reply(r#"{"id":41,"result":{"tools":[{"name":"search"},{"name":"read"}]}}"#),
        &["tools", "\"2 tools\"", "2 tools"],
        &["search", "\"3 tools\"", "failed"],
    );
    let dropped = Envelope { outcome: Outcome::Dropped(Author::Operator), ..call() };
    check(&dropped, &["dropped"], &["blocked", "gone"]);
    check(
        &message(
            r#"{"method":"notifications/progress","params":{"progressToken":"t","progress":3,"message":"Stra\u00dfe"}}"#,
        ),
        &["Straße", "3"],
        &["progressToken"],
    );
    check(
        &reply(r#"{"id":41,"result":{"content":[{"type":"text","text":"{\"city\":\"Rome\"}"}]}}"#),
        &["Rome"],
        &["Oslo"],
    );
}

/// Each word of each kind of row is found by typing it, whether it is one of the message or one of ours.
#[test]
fn bare_word_finds_each_word_of_a_row() {
    let large = format!(r#"{{"id":1,"result":{{"blob":"{}"}}}}"#, "x".repeat(70_000));
    let results = [
        r#"{"resultType":"input_required","inputRequests":{"a":{},"b":{}}}"#,
        r#"{"resultType":"input_required"}"#,
        r#"{"resultType":"task","taskId":"t-1"}"#,
        r#"{"tools":[]}"#,
        r#"{"resources":[{}]}"#,
        r#"{"resourceTemplates":[{},{}]}"#,
        r#"{"prompts":[{},{},{}]}"#,
        r#"{"contents":[{}]}"#,
        r#"{"messages":[{},{}]}"#,
        r#"{"content":[{},{"type":"image"},{"type":"image"}]}"#,
        r#"{"content":[{"type":"text","text":"a\nb\nc"}],"isError":true}"#,
        r#"{"serverInfo":{"name":"demo"},"protocolVersion":"2025-11-25"}"#,
    ];
    let mut rows: Vec<_> = results.iter().map(|result| reply(&format!(r#"{{"id":1,"result":{result}}}"#))).collect();
    rows.extend([reply(&large), error(), call(), failed_tool(), message(r#"[{"id":1,"method":"ping"},{"id":2}]"#)]);
    rows.extend(["{", "[]", "7", "no JSON", r#"{"id":{}}"#, r#"{"jsonrpc":"1.0","method":4}"#].map(message));
    rows.extend((400..=599).map(|status| {
        let mut it = reply("<h1>oh no</h1>");
        it.transport.status = Some(status);
        it
    }));
    let outcomes = [Outcome::Abandoned, Outcome::Dropped(Author::Operator), Outcome::Blocked(Author::Operator)];
    rows.extend(outcomes.map(|outcome| Envelope { outcome, ..call() }));
    rows.push(Envelope { part_of: Some(Seq(3)), ..call() });
    for row in &rows {
        let said = summary::row_gist(row).chars().take(200).collect::<String>();
        for word in said.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
            let filter = Filter::parse(&format!("\"{word}\"")).unwrap();
            assert!(filter.matches(row), "`{word}` of `{said}` is not found in {row:?}");
        }
    }
}

#[test]
fn operators_match_a_request() {
    check(
        &call(),
        &[
            "",
            "~all",
            "~q",
            "~c2s",
            "~via http",
            "~via http|sse",
            "~m tools/",
            "~tool write_.*",
            "~name file$",
            "~id 41",
        ],
        &["~r", "~s", "~n", "~e", "~s2c", "~via stdio", "~m ^call", "~tool read_file", "~id 4", "~dur >0ms", "~orphan"],
    );
    check(
        &call(),
        &["~b /etc/hosts", "~bq hosts", "~h content-type:.*json", "~hq json", "~t json", "~size >100", "~size 1..10k"],
        &["~b passwd", "~bs hosts", "~hs json", "~t html", "~size >10k", "~c 200", "~code -32601", "~err ."],
    );
    check(&call(), &["~seq 7", "~seq #7", "~seq 1..7", "~seq >=7", "~seq 7.."], &["~seq 8", "~seq ..6", "~seq <7"]);
    check(
        &call(),
        &["write", "tools/call", "41", "TOOLS|tools", "call write", "hosts"],
        &["TOOLS", "arguments", "read"],
    );
}

#[test]
fn operators_match_a_reply_by_its_request() {
    check(
        &failed_tool(),
        &[
            "~r",
            "~s",
            "~e",
            "~s2c",
            "~tool write",
            "~err full",
            "~dur >300ms",
            "~dur <= 0.4s",
            "~dur 300ms..400ms",
            "~dur 0..0.4s",
            "~dur <1m30s",
            "~c 200",
        ],
        &[
            "~q",
            "~n",
            "~invalid",
            "~tool read",
            "~err empty",
            "~dur >370ms",
            "~dur <1us",
            "~c 400..499",
            "~code -32601",
        ],
    );
    let asked =
        message(r#"{"id":1,"method":"tools/call","params":{"name":"weather","arguments":{"city":"Li\u0073bon"}}}"#);
    check(&asked, &["lisbon", "Lisbon", "weather", "city"], &["oslo", "arguments"]);
    check(&reply(r#"{"id":1,"result":{"city":"Lisbon"}}"#), &["~b lisbon", "lisbon"], &["oslo"]);
    check(
        &error(),
        &["~e", "~code -32601", "~code -32700..-32600", "~code <-32000", "~err 'not found'", "~bs code"],
        &["~code -32602", "~err notfound"],
    );
    check(&reply(r#"{"id":1,"result":{"isError":false}}"#), &["~r"], &["~e"]);
    let mut orphan = error();
    orphan.reply_to = None;
    check(&orphan, &["~orphan"], &["~m ."]);
}

#[test]
fn outcome_operators_match_what_the_operator_or_a_rule_did() {
    let mut edited = call();
    edited.outcome = Outcome::Edited(Author::Rule("tmp only".into()));
    edited.held = Some(0);
    check(&edited, &["~edited", "~held", "~rule tmp"], &["~blocked", "~dropped", "~rule other"]);
    let mut dropped = call();
    dropped.outcome = Outcome::Dropped(Author::Operator);
    check(&dropped, &["~dropped", "!~held"], &["~edited", "~rule ."]);
    let mut blocked = error();
    blocked.outcome = Outcome::Blocked(Author::Operator);
    check(&blocked, &["~blocked"], &["~dropped"]);
    blocked.outcome = Outcome::Answered(Author::Operator);
    check(&blocked, &["~blocked", "answered"], &["~dropped", "~rule x"]);
}

#[test]
fn invalid_messages_match_by_their_bytes() {
    check(&message("Content-Length: 12"), &["~invalid", "~b length"], &["~q", "~n", "~r", "~e", "~j .", "word"]);
    check(&message(r#"{"id":1,"id":2,"method":"ping"}"#), &["~invalid", "~q"], &[]);
    let escaped = message(r#"{"id":1,"result":{"content":[{"text":"Stra\u00dfe \"x\"\/y"}]}}"#);
    check(&escaped, &["~b Straße", r#"~bs '"x"/y'"#, r"~b u00df"], &["~b strasse", "~bq Straße"]);
    let mut gateway = message("<html>");
    gateway.transport.status = Some(502);
    check(&gateway, &["~e", "~c >=500"], &[]);
}

#[test]
fn query_finds_values_by_path() {
    check(
        &call(),
        &[
            "~j .params.arguments.path",
            "~j .params.arguments.path = /etc/hosts",
            "~j .params.arguments.path=/etc/hosts",
            r#"~j ..path ^= "/etc""#,
            "~j ..path $= hosts ~q",
            "~j ..path *= c/h & ~q",
            "~j ..path =~ ^/ETC|^/etc",
            r#"~j .params.arguments["a b"] = null"#,
            "~j .params.arguments.lines[2] = 3",
            "~j .params.arguments.lines[*] >= 3",
            "~j .params.*.force = true",
            "~j .params.arguments.lines[0] != 2",
            "~j .",
            "~j .id = 41",
            "~j .method >= tools",
            "(~j .id)",
            "~j .id !~r",
        ],
        &[
            "~j .params.path",
            "~j ..path = /etc",
            "~j ..lines[3]",
            "~j ..lines[*] > 3",
            "~j .nothing != 1",
            r#"~j .id = "41""#,
            "~j .id < forty",
            "~j .params.arguments.force = false",
        ],
    );
    check(&message(r#"{"n":9007199254740993}"#), &["~j .n = 9007199254740993"], &["~j .n = 9007199254740992"]);
    check(&message(r#"{"a\u0062":1}"#), &["~j .ab = 1"], &[]);
}

#[test]
fn filter_display_is_the_expression_as_understood() {
    for (typed, understood) in [
        ("", "~all"),
        ("~q ~m tools/", "~q & ~m tools/"),
        ("~q and not ~e or ping", "(~q & !~e) | ping"),
        ("~q&~m a|b", "~q & ~m a|b"),
        ("~m a | b", "~m a | b"),
        ("~m a|~m b", "~m a | ~m b"),
        ("~tool write_(file|dir)s?", "~tool write_(file|dir)s?"),
        ("!(a | b) c", "!(a | b) & c"),
        ("!!a", "!!a"),
        ("((a))", "a"),
        ("'two words' ~b \"it's\"", "\"two words\" & ~b \"it's\""),
        (r#"~b '"quoted"'"#, r#"~b "\"quoted\"""#),
        (r"~b \(x\)", r"~b \(x\)"),
        ("~dur > 500ms", "~dur >500ms"),
        ("~j .a.b[0]=5 ~q", "~j .a.b[0] = 5 & ~q"),
        ("~tool write_file|git_.* and order", "~tool write_file|git_.* & order"),
    ] {
        let filter = parse(typed);
        assert_eq!(filter.to_string(), understood, "of `{typed}`");
        assert_eq!(parse(understood), filter);
        assert_eq!(filter.expression(), typed);
    }
}

#[test]
fn filter_error_names_the_column() {
    for (expression, error) in [
        ("~neer", "unknown operator `~neer`; did you mean `~near`? at column 1"),
        ("~status 404", "unknown operator `~status`; did you mean `~c`? at column 1"),
        ("~q ~xyzzy", "unknown operator `~xyzzy` (`tapline help filters` has all) at column 4"),
        ("~via stdoi", "`~via` needs `http`, `sse` or `stdio`; did you mean `stdio`? at column 6"),
        ("~time noon", "`~time` needs a time, such as `10:04`, `10:04:30..10:05` or `>2026-11-28T10:00` at column 7"),
        ("~age 5m", "`~age` needs a comparison, such as `<5m` or `>1h` at column 6"),
        (
            "~q @slow",
            "there is no saved filter `@slow`; `[filters]` in tapline.toml names them, and quotes look for the text at column 4",
        ),
        ("@a/b", "`@` needs the name of a saved filter; quotes look for the text at column 1"),
        ("~q & ~tol x", "unknown operator `~tol`; did you mean `~tool`? at column 6"),
        ("(~q", "`(` is never closed at column 1"),
        ("~q)", "`)` without `(` at column 3"),
        ("~q &", "something is missing at column 5"),
        ("| ~q", "something is missing at column 1"),
        ("~q and or ~r", "something is missing at column 8"),
        ("~m", "`~m` needs a pattern at column 3"),
        ("~m & ~q", "`~m` needs a pattern at column 4"),
        ("über 'x", "the quote is never closed at column 6"),
        ("~m (a", "a bracket in this pattern is never closed; quote a pattern with spaces at column 4"),
        ("~m *", "invalid pattern: repetition operator missing expression at column 4"),
        ("~dur 500ms", "`~dur` needs a comparison, such as `>500ms` or `1s..5s` at column 6"),
        ("~dur >500", "`~dur` needs a unit, such as `500ms` or `500s` at column 6"),
        ("~age 1..5m", "`~age` needs a unit, such as `1ms` or `1s` at column 6"),
        ("~c many", "`~c` needs a status, such as `404` or `>=400` at column 4"),
        ("~via pigeon", "`~via` needs `http`, `sse` or `stdio` at column 6"),
        ("~j name", "`~j` needs a path, such as `.params.name` at column 4"),
        ("~j .a[x]", "`[` needs a number, `*` or a quoted key at column 6"),
        ("~j .a =", "`~j` needs a value after `=` at column 8"),
    ] {
        assert_eq!(Filter::parse(expression).expect_err(expression).to_string(), error, "of `{expression}`");
    }
    assert!(Filter::parse(&"(".repeat(100_000)).is_err());
    assert!(Filter::parse(&"!".repeat(100_000)).is_err());
}

#[test]
fn operators_in_the_help_exist() {
    for (usage, _) in OPERATORS {
        let example = match usage.split_once(' ') {
            None if usage.starts_with('@') => continue,
            None => (*usage).to_owned(),
            Some((name, "RE" | "[RE]" | "ID")) => format!("{name} x"),
            Some((name, "PATH [OP VALUE]")) => format!("{name} .x"),
            Some(_) if usage.starts_with("~time") => "~time 10:04".to_owned(),
            Some((name @ ("~dur" | "~age"), _)) => format!("{name} >1s"),
            Some((name, needs)) if needs.contains("CMP") => format!("{name} >1"),
            Some(_) => usage.replace('|', " | ~via ").replace("| ~via ~via", "| ~via"),
        };
        parse(&example);
    }
}

#[test]
fn reads_body_tells_the_cost() {
    for cheap in ["~q", "~m x", "~tool x & ~dur >1s", "~h x", "~size >1", "~held"] {
        assert!(!parse(cheap).reads_body(), "{cheap}");
    }
    for dear in ["word", "~b x", "~q & !~e", "~j .a", "~err x", "~code 1"] {
        assert!(parse(dear).reads_body(), "{dear}");
    }
}

/// Everything a place may know.
struct Known {
    history: MessageHistory,
    focus: Option<NearFocus>,
}

/// 2026-11-28 10:04:30 UTC.
const STARTED: u64 = 1_795_860_270_000_000;

impl MessageContext for Known {
    fn client(&self, _: SessionId) -> Option<String> {
        Some("Cursor 1.4".to_owned())
    }

    fn server_names(&self, _: SessionId) -> Vec<String> {
        vec!["files 2.0".to_owned(), "Weather".to_owned()]
    }

    fn upstream(&self, _: SessionId) -> Option<String> {
        Some("http://127.0.0.1:9000/mcp".to_owned())
    }

    fn started(&self, _: SessionId) -> Option<u64> {
        Some(STARTED)
    }

    fn now(&self) -> Option<u64> {
        Some(STARTED + 600_000_000)
    }

    fn history(&self) -> Option<&MessageHistory> {
        Some(&self.history)
    }

    fn is_near(&self, envelope: &Envelope) -> bool {
        self.focus.as_ref().is_some_and(|focus| focus.covers(envelope))
    }
}

fn numbered(seq: u64, session: SessionId, json: &str) -> Envelope {
    let mut it = message(json);
    (it.seq, it.session) = (Seq(seq), session);
    if it.message.is_reply() {
        it.direction = Direction::ToClient;
    }
    it
}

#[test]
fn context_operators_match_what_the_place_knows() {
    let known = Known { history: MessageHistory::default(), focus: None };
    let mut it = call();
    it.at = 30_000_000;
    for (expression, expected) in [
        ("~client cursor", true),
        ("~client ^Cursor", true),
        ("~client claude", false),
        ("~server 'files 2'", true),
        ("~server ^weather$", true),
        ("~server cursor", false),
        ("~u 9000/mcp", true),
        ("~age >9m", true),
        ("~age <9m", false),
        ("~age 9m..10m", true),
        ("~time 10:05Z", true),
        ("~time 10:04Z", false),
        ("~time 10:04:59..10:05:00Z", true),
        ("~time >10:05Z", false),
        ("~time >=10:05Z", true),
        ("~time 23:50..10:06Z", true),
        ("~time 10:06..09:00Z", false),
        ("~time 2026-11-28Z", true),
        ("~time 2026-11-29Z", false),
        ("~time 2026-11-28T10:05..Z", true),
        ("~time <2026-11-28T10:05:00.5Z", true),
    ] {
        assert_eq!(parse(expression).matches_in(&it, &known), expected, "`{expression}`");
        assert!(!parse(expression).matches(&it), "`{expression}`: nothing is known");
    }
}

#[test]
fn history_operators_tell_what_came_before() {
    let session = SessionId::random();
    let mut messages = [
        numbered(1, session, r#"{"id":1,"method":"tools/call","params":{"_meta":{"progressToken":"p"}}}"#),
        numbered(2, session, r#"{"id":2,"method":"ping"}"#),
        numbered(3, session, r#"{"method":"notifications/progress","params":{"progressToken":"p","progress":1}}"#),
        numbered(4, session, r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#),
        numbered(5, session, r#"{"id":1,"result":{}}"#),
        numbered(6, session, r#"{"id":2,"method":"ping"}"#),
        numbered(7, SessionId::random(), r#"{"id":2,"method":"ping"}"#),
        numbered(8, session, r#"{"id":2,"result":{}}"#),
    ];
    let answer = |seq| Some(ReplyTo { seq: Seq(seq), took: 5, subject: Arc::default() });
    (messages[4].reply_to, messages[7].reply_to) = (answer(1), answer(6));
    let mut history = MessageHistory::default();
    messages.iter().for_each(|it| history.observe(it));
    // What was seen once more changes nothing.
    messages.iter().rev().for_each(|it| history.observe(it));
    let focus = Some(NearFocus::on(&messages[2], None));
    let mut known = Known { history, focus };
    let found = |expression: &str, known: &Known| -> Vec<u64> {
        let filter = parse(expression);
        messages.iter().filter(|it| filter.matches_in(it, known)).map(|it| it.seq.0).collect()
    };
    assert_eq!(found("~open", &known), [2, 7]);
    assert_eq!(found("~dup", &known), [6]);
    assert_eq!(found("~late", &known), [5]);
    assert_eq!(found("~near", &known), [1, 3], "all that a progress token tells");
    known.focus = Some(NearFocus::on(&messages[4], Some(&messages[0])));
    assert_eq!(found("~near", &known), [1, 3, 4, 5]);
    for (expression, asks) in [("~dup", true), ("~q | !~late", true), ("~open", false)] {
        assert_eq!(parse(expression).asks_history(), asks, "`{expression}`");
    }
}

#[test]
fn saved_filters_are_what_they_stand_for() {
    let saved = |filters: &[(&str, &str)]| {
        SavedFilters::new(filters.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    };
    let known = saved(&[("slow", "~dur >1s | ~e"), ("bad-ones", "@slow & ~r")]).unwrap();
    let filter = Filter::parse_with("!@bad-ones ~m tools", &known).unwrap();
    assert_eq!(filter.to_string(), "!((~dur >1s | ~e) & ~r) & ~m tools");
    assert_eq!(parse(&filter.to_string()), filter);
    let near = Filter::parse_with("@slwo", &known).unwrap_err();
    assert_eq!(near.to_string(), "there is no saved filter `@slwo`; did you mean `@slow`? at column 1");
    let circle = saved(&[("a", "@b"), ("b", "~q @a")]).unwrap_err();
    assert!(circle.starts_with("`a`: in `@b`: in `@a`: ") && circle.contains(" leads back to itself"), "{circle}");
    assert_eq!(saved(&[("a", "~m")]).unwrap_err(), "`a`: `~m` needs a pattern at column 3");
    assert!(saved(&[("a b", "~q")]).is_err());
}

#[test]
fn explain_says_what_it_costs_and_what_cannot_be_known() {
    for (expression, place, explained) in [
        ("~q ~m tools", FilterPlace::List, "`~q & ~m tools`: index"),
        ("~h x ~q", FilterPlace::Wire, "`~h x & ~q`: header, for `~h x`"),
        ("~b x | ~j .a | ~h y", FilterPlace::Tape, "`~b x | ~j .a | ~h y`: body scan, for `~b x` and `~j .a`"),
        (
            "~lint mcp.* !~held",
            FilterPlace::Wire,
            "`~lint mcp.* & !~held`: index; `~lint mcp.*` matches nothing: it is not known yet when a message passes; `~held` matches \
             nothing: it is not decided yet when a message passes",
        ),
        ("~near", FilterPlace::Tape, "`~near`: index; `~near` matches nothing: a tape does not say it"),
        ("~near", FilterPlace::List, "`~near`: index"),
    ] {
        assert_eq!(parse(expression).explain(place), explained);
    }
}

#[test]
fn outline_decides_only_what_holds_for_all_messages_of_it() {
    let outline =
        Outline { direction: Direction::ToServer, kind: Kind::Request, method: Some("tools/call"), name: Some("x") };
    for (expression, decided) in [
        ("~q", Some(true)),
        ("~m prompts", Some(false)),
        ("~q & ~b word", None),
        ("~r & ~b word", Some(false)),
        ("~q | ~b word", Some(true)),
        ("!(~r & ~b word)", Some(true)),
        ("~tool ^x$ ~c2s", Some(true)),
        ("~s2c | ~id 5", None),
        ("~bq word", None),
        ("~bs word", Some(false)),
    ] {
        assert_eq!(parse(expression).decides(&outline), decided, "`{expression}`");
    }
    let message = Message::new(r#"{"id":5,"method":"tools/call","params":{"name":"x","arguments":{"a":"word"}}}"#);
    for (expression, decided) in [
        ("~q & ~b word", Some(true)),
        ("~bq word & ~j .params.arguments.a = word", Some(true)),
        ("~j .params.arguments.a = other", Some(false)),
        ("~id 5 & ~b other", Some(false)),
        ("~id 5 & ~b word", None),
        ("~id 5 | ~b word", Some(true)),
        ("!~b other", Some(true)),
        ("word", None),
    ] {
        assert_eq!(parse(expression).decides_on(&outline, &message), decided, "`{expression}`");
    }
}

#[test]
fn pattern_runs_in_linear_time_and_stays_small() {
    assert!(Filter::parse("~b (x{1000}){1000}").is_err());
    let long = message(&format!(r#"{{"method":"{}"}}"#, "a".repeat(50_000)));
    check(&long, &[], &["~b (a*)*b"]);
}

/// Pieces that make expressions which are often right.
fn expression() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("~q"),
        Just("~m"),
        Just("~j"),
        Just(".a"),
        Just("["),
        Just("0]"),
        Just("\"k\\n\"]"),
        Just("="),
        Just("!="),
        Just("!"),
        Just("&"),
        Just("|"),
        Just("("),
        Just(")"),
        Just("and"),
        Just("or"),
        Just("not"),
        Just(" "),
        Just("a"),
        Just("\\"),
        Just("\""),
        Just("'"),
        Just("~dur"),
        Just(">1ms"),
        Just("~seq"),
        Just("1..2"),
        Just("~via http"),
        Just("*"),
        Just("é"),
        Just("~id"),
        Just("5"),
    ];
    prop_oneof![
        prop::collection::vec(prop_oneof![piece, Just(" ")], 0..20).prop_map(|pieces| pieces.concat()),
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn pattern_finds_a_plain_word_as_its_expression_would(word in "[a-zA-Z/_:-]{1,4}", method in "[a-zA-Z/_:ſK\u{212a}-]{0,80}") {
        let mut envelope = message("{}");
        envelope.message = Message::new(serde_json::json!({ "jsonrpc": "2.0", "method": method }).to_string());
        let smart = if word.chars().any(char::is_uppercase) { "" } else { "(?i)" };
        let expected = regex::Regex::new(&format!("{smart}{word}")).unwrap().is_match(&method);
        let filter = Filter::parse(&format!("~m \"{word}\"")).unwrap();
        prop_assert_eq!(filter.matches(&envelope), expected, "`{}` in `{}`", word, method);
    }

    #[test]
    fn filter_reads_back_what_it_prints(text in expression()) {
        match Filter::parse(&text) {
            Ok(filter) => {
                let printed = filter.to_string();
                let again = Filter::parse(&printed);
                prop_assert_eq!(again.as_ref(), Ok(&filter), "printed as `{}`", printed);
                filter.matches(&call());
                filter.matches(&failed_tool());
            }
            Err(error) => prop_assert!(error.column <= text.chars().count() + 1),
        }
    }
}

#[test]
fn operators_of_what_most_messages_lack_may_stand_alone() {
    for (alone, same) in [
        ("~err", "~err ''"),
        ("~rule ~q", "~rule '' ~q"),
        ("~lint !~q", "~lint '' & !~q"),
        ("~comment and ~q", "~comment '' and ~q"),
        ("(~lint) | ~err", "(~lint '') | ~err ''"),
        ("~rule (~q | ~r)", "~rule '' & (~q | ~r)"),
        ("not ~rule", "!~rule ''"),
    ] {
        let (read, said) = (Filter::parse(alone).unwrap(), Filter::parse(same).unwrap());
        let written = said.to_string().replace(" \"\"", "");
        assert_eq!(read.to_string(), written, "{alone}");
        assert_eq!(Filter::parse(&written).unwrap().to_string(), written, "and reads back");
    }
    check(&error(), &["~err", "~e & ~err"], &["~rule", "~comment", "~lint"]);
    check(&failed_tool(), &["~err"], &[]);
    check(&reply(r#"{"jsonrpc":"2.0","id":41,"result":{}}"#), &["!~err"], &["~err"]);
    let mut blocked = call();
    blocked.outcome = Outcome::Blocked(Author::Rule("no writes".to_owned()));
    check(&blocked, &["~rule"], &["~rule other"]);
    assert_eq!(parse("~err").explain(FilterPlace::List), "`~err`: body scan, for `~err`");
}
