use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::envelope::{Author, Direction, Outcome, ReplyTo, Seq, SessionId, Subject, Transport, Via};
use crate::message::Message;

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
    check(&call(), &["write", "tools/call", "41", "TOOLS|tools", "call write"], &["TOOLS", "hosts", "read"]);
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
            "~dur 300..400",
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
        ("~near", "unknown operator `~near`; did you mean `~err`? at column 1"),
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
            None => (*usage).to_owned(),
            Some((name, "RE" | "ID")) => format!("{name} x"),
            Some((name, "PATH [OP VALUE]")) => format!("{name} .x"),
            Some((name, needs)) if needs.contains("CMP") => format!("{name} >1"),
            Some(_) => usage.replace('|', " | ~via ").replace("| ~via ~via", "| ~via"),
        };
        parse(&example);
    }
}

#[test]
fn reads_body_tells_the_cost() {
    for cheap in ["~q", "~m x", "~tool x & ~dur >1s", "word", "~h x", "~size >1", "~held"] {
        assert!(!parse(cheap).reads_body(), "{cheap}");
    }
    for dear in ["~b x", "~q & !~e", "~j .a", "~err x", "~code 1"] {
        assert!(parse(dear).reads_body(), "{dear}");
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
