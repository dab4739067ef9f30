use super::action::RuleAction;
use super::*;
use crate::envelope::{Author, Direction, Outcome, ReplyTo, Seq, SessionId, Subject, Via};
use crate::filter::{NothingKnown, SavedFilters};
use crate::message::Message;

const CALL: &str = "{ \"jsonrpc\":\"2.0\", \"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"search\",\"arguments\":{\"q\":\"\\u00e9\",\"n\":12345678901234567890123} } }";

fn set(text: &str) -> RuleSet {
    let draft = read(text, &SavedFilters::default()).unwrap_or_else(|faults| panic!("{faults:?}"));
    RuleSet::new(draft.rules)
}

fn rule(name: &str, when: &str, action: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nwhen = \"{when}\"\ndo = {action}\n")
}

fn call_in(session: SessionId) -> Envelope {
    Envelope::forwarded(Seq(1), session, Direction::ToServer, Via::Http, Message::new(CALL))
}

fn call() -> Envelope {
    call_in(SessionId::random())
}

fn names(envelope: &Envelope) -> Vec<&str> {
    envelope.rules.iter().flatten().map(|name| &**name).collect()
}

#[test]
fn decide_asks_in_order_and_ends_with_the_first_that_decides() {
    let rules = [
        rule("other", "~tool write", "\"drop\""),
        rule("less", "~tool search", "{ modify = { merge = { params = { arguments = { n = 5 } } } } }"),
        rule("sees the change", "~j .params.arguments.n = 5", "{ delay = \"2s\" }"),
        rule("stop", "~q", "{ block = \"no\" }"),
        rule("never asked", "~all", "\"drop\""),
    ];
    let mut envelope = call();
    let verdict = set(&rules.concat()).decide(&mut envelope, &NothingKnown).verdict;
    assert_eq!(names(&envelope), ["less", "sees the change", "stop"]);
    assert_eq!(*envelope.message.raw(), CALL.replace("12345678901234567890123", "5"));
    assert_eq!(envelope.original, Some(Message::new(CALL)));
    assert_eq!(envelope.outcome, Outcome::Edited(Author::Rule("less".to_owned())));
    match verdict {
        Verdict::Delay(time, reason, then) => {
            assert_eq!((time.as_secs(), reason.as_str()), (2, "delayed by rule sees the change"));
            assert!(matches!(*then, Verdict::Block(_, Author::Rule(name)) if name == "stop"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn rule_that_continues_spares_a_message_the_rest() {
    let set = set(&[rule("let by", "~tool search", "\"continue\""), rule("all", "~all", "\"drop\"")].concat());
    let mut envelope = call();
    assert!(matches!(set.decide(&mut envelope, &NothingKnown).verdict, Verdict::Continue));
    assert_eq!(names(&envelope), ["let by"]);
}

#[test]
fn rule_of_a_renamed_tool_is_asked_of_the_new_name() {
    let set = set(&[
        rule("map", "~tool search", "{ tool = \"find\" }"),
        rule("old", "~tool search", "\"drop\""),
        rule("new", "~tool find", "\"hold\""),
    ]
    .concat());
    let mut envelope = call();
    let verdict = set.decide(&mut envelope, &NothingKnown).verdict;
    assert!(matches!(verdict, Verdict::Pause(reason) if reason == "rule new"));
    assert_eq!(*envelope.message.raw(), CALL.replace("search", "find"));
}

#[test]
fn limits_choose_among_what_matches() {
    let hits = |limits: &str| -> String {
        let set = set(&format!("seed = 3\n{}{limits}\n", rule("x", "~q", "\"drop\"")));
        let dropped = |_| matches!(set.decide(&mut call(), &NothingKnown).verdict, Verdict::Drop(_));
        (0..10).map(dropped).map(|hit| if hit { 'x' } else { '.' }).collect()
    };
    assert_eq!(hits(""), "xxxxxxxxxx");
    assert_eq!(hits("times = 2"), "xx........");
    assert_eq!(hits("after = 3"), "...xxxxxxx");
    assert_eq!(hits("every = 3"), "x..x..x..x");
    assert_eq!(hits("after = 1\nevery = 4\ntimes = 2"), ".x...x....");
    assert_eq!(hits("probability = 0"), "..........");
    let half = hits("probability = 0.5");
    assert!(half.contains('x') && half.contains('.'), "{half}");
    assert_eq!(hits("probability = 0.5"), half, "the same in each run");
}

#[test]
fn flags_let_rules_follow_on_each_other_within_a_session() {
    let set = set(&[
        rule("first", "~q", "\"continue\"") + "when_clear = \"seen\"\nset = \"seen\"\n",
        rule("second", "~q", "\"drop\"") + "when_set = \"seen\"\nclear = \"seen\"\n",
    ]
    .concat());
    let (one, other) = (SessionId::random(), SessionId::random());
    let dropped = |session| matches!(set.decide(&mut call_in(session), &NothingKnown).verdict, Verdict::Drop(_));
    assert_eq!([one, one, one, other, one, other].map(dropped), [false, true, false, false, true, true]);
}

#[test]
fn answer_is_filled_from_the_request() {
    let answer = "{ answer = { result = { content = [{ type = \"text\", text = \"${.params.name}: ${.params.arguments.q}\" }], n = \"${n}\" } } }";
    let set = set(&rule("canned", "~q", answer));
    match set.decide(&mut call(), &NothingKnown).verdict {
        Verdict::Answer(answer, _) => assert_eq!(
            *answer.raw(),
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[{\"text\":\"search: é\",\"type\":\"text\"}],\"n\":1}}"
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn patch_that_cannot_be_done_changes_nothing_and_is_told() {
    let set = set(&rule("p", "~q", "{ modify = { patch = [{ op = \"remove\", path = \"/params/gone\" }] } }"));
    let mut envelope = call();
    let Ruling { verdict, lines, .. } = set.decide(&mut envelope, &NothingKnown);
    assert!(matches!(verdict, Verdict::Continue) && envelope.original.is_none());
    assert_eq!(lines[0].text, "`p`: nothing was changed: there is no `/params/gone`");
}

#[test]
fn corruption_breaks_a_reply_in_its_way() {
    for (how, broken) in [
        ("cut", "{\"jsonrpc\":\"2.0\",\""),
        ("not-json", "<html><body>Bad Gateway</body></html>"),
        ("wrong-id", "{\"jsonrpc\":\"2.0\",\"id\":\"no-such-request\",\"result\":{}}"),
        ("id-type", "{\"jsonrpc\":\"2.0\",\"id\":\"7\",\"result\":{}}"),
        ("other-revision", "[{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}]"),
    ] {
        let set = set(&rule("x", "~r", &format!("{{ corrupt = \"{how}\" }}")));
        let mut reply = call();
        reply.direction = Direction::ToClient;
        reply.message = Message::new("{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}");
        let subject = Arc::new(Subject { method: "tools/call".into(), name: None });
        reply.reply_to = Some(ReplyTo { seq: Seq(1), took: 1, subject });
        set.decide(&mut reply, &NothingKnown);
        assert_eq!(*reply.message.raw(), broken, "{how}");
    }
}

#[test]
fn read_tells_everything_that_is_wrong_where_it_stands() {
    let text = "\
sede = 1
[[rule]]
name = \"a\"
when = \"~tol x\"
do = \"hodl\"
probability = 2
[[rule]]
name = \"a\"
when = \"~q\"
do = { delay = \"2 fortnights\" }
times = 0
[[rule]]
do = { status = { code = 99 } }
wen = \"~q\"
[[rule]]
name = \"b\"
when = \"~q\"
do = { block = { code = 1, mesage = \"x\" } }
[[rule]]
name = \"c\"
when = \"~q\"
do = \"answer\"
[[rule]]
name = \"\"
when = 1
do = \"hold\"
";
    let faults = read(text, &SavedFilters::default()).err().expect("it is wrong");
    let told: Vec<String> = faults
        .iter()
        .map(|fault| format!("{}: {}", text[..fault.span.start].matches('\n').count() + 1, fault.why))
        .collect();
    assert_eq!(
        told,
        [
            "1: unknown key `sede`; did you mean `seed`?",
            "4: `when`: unknown operator `~tol`; did you mean `~tool`? at column 1",
            "5: unknown action `hodl`; did you mean `hold`?",
            "6: `probability` is a number from 0 to 1, such as `0.1`",
            "8: another rule is called `a`",
            "10: invalid duration `2 fortnights`; write it like `500ms`, `2s`, `1m30s`, `24h` or `30d`",
            "11: `times` is a whole number from 1",
            "12: a rule needs a `name`",
            "12: a rule needs `when`, a filter such as `~q ~tool search`",
            "13: `status` needs a `code` from 200 to 599",
            "14: unknown key `wen`; did you mean `when`?",
            "18: unknown key `mesage`; did you mean `message`?",
            "22: `answer` needs more, such as `{ answer = { result = { content = [] } } }`",
            "24: `name` must not be empty",
            "25: `when` is a text",
        ]
    );
    assert!(read("[[rule]\n", &SavedFilters::default()).is_err());
}

#[test]
fn ready_sets_are_in_order_and_say_what_they_are_for() {
    for (name, about, rules) in ready_sets() {
        let text = ready_set(name).unwrap();
        assert!(read(text, &SavedFilters::default()).is_ok(), "{name}");
        assert!(!about.is_empty() && !rules.is_empty(), "{name}");
        assert!(set(text).notes().is_empty(), "{name} asks what cannot be known");
    }
}

#[test]
fn throttle_spaces_messages() {
    let set = set(&rule("t", "~q", "{ throttle = \"1/h\" }"));
    let wait = |_| match set.decide(&mut call(), &NothingKnown).verdict {
        Verdict::Delay(time, ..) => time.as_millis(),
        _ => 0,
    };
    let waits: [u128; 3] = [0, 1, 2].map(wait);
    assert_eq!(waits.map(|wait| (wait + 60_000) / 3_600_000), [0, 1, 2], "an hour each");
}

#[test]
fn action_is_not_for_messages_that_it_means_nothing_to() {
    let mut notification = call();
    notification.message = Message::new("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}");
    let set = set(&[
        rule("a", "~all", "{ answer = { result = {} } }"),
        rule("b", "~all", "{ tool = \"x\" }"),
        rule("c", "~all", "{ corrupt = \"wrong-id\" }"),
    ]
    .concat());
    assert!(matches!(set.decide(&mut notification, &NothingKnown).verdict, Verdict::Continue));
    assert_eq!(names(&notification), Vec::<&str>::new());
    assert!(!RuleAction::Duplicate.is_for(&call()), "only what goes down a stream");
}
