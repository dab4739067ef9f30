//! The interceptor chain alone: what a hundred rules cost a message that none of them is for.

use std::sync::Arc;
use std::time::Instant;

use tapline::envelope::{Direction, Envelope, Seq, SessionId, Via};
use tapline::filter::{NothingKnown, SavedFilters};
use tapline::intercept::{Chain, Interceptor, Verdict};
use tapline::message::Message;
use tapline::rules::{self, RuleBook, RuleSet};

use crate::measure::{median, micros};
use crate::table::{HEADLESS, Row, Target, only};

const RULES: usize = 100;
const MESSAGES: usize = 2_000;

/// RuleBook as people write them: by method and tool, every tenth also by an argument.
pub(crate) fn rules(rounds: usize) -> Row {
    let rule = |number: usize| {
        let argument = if number.is_multiple_of(10) { " & ~j .params.arguments.count > 5" } else { "" };
        let when = format!("~c2s & ~m tools/call & ~tool tool_{number}{argument}");
        format!("[[rule]]\nname = \"{number}\"\nwhen = \"{when}\"\ndo = \"hold\"\n")
    };
    let text: String = (0..RULES).map(rule).collect();
    let drafts = vec![rules::read(&text, &SavedFilters::default()).unwrap_or_else(|faults| panic!("{faults:?}"))];
    let rules = RuleBook::new(RuleSet::of(drafts), |_| {});
    let (chain, none) = (Chain::new(vec![Box::new(rules) as Box<dyn Interceptor>]), Chain::default());
    let cost = |chain: &Chain| {
        let each = (0..rounds.max(5) * 3).map(|_| {
            let mut messages: Vec<_> = (0..MESSAGES).map(|number| call(number as u64)).collect();
            let started = Instant::now();
            let decided = messages.iter_mut().map(|it| chain.decide(it, &NothingKnown));
            let passed = decided.filter(|it| matches!(it, Verdict::Continue)).count();
            let took = micros(started.elapsed()) / MESSAGES as f64;
            assert_eq!(passed, MESSAGES, "no rule is for these");
            took
        });
        median(each.collect())
    };
    let (with, without) = (cost(&chain), cost(&none));
    Row::plain(
        format!("chain, {RULES} rules that do not match"),
        "us",
        only(HEADLESS, with - without),
        Target::AtMost(3.0),
    )
}

/// One rule that changes each message by a jq program, of 200 bytes.
pub(crate) fn jq(rounds: usize) -> Row {
    let text = "[[rule]]\nname = \"jq\"\nwhen = \"~q ~tool ^echo$\"\ndo = { modify = { jq = '.params.arguments.count = 5' } }\n";
    let drafts = vec![rules::read(text, &SavedFilters::default()).unwrap_or_else(|faults| panic!("{faults:?}"))];
    let set = RuleSet::of(drafts);
    let each = (0..rounds.max(5) * 3).map(|_| {
        let mut messages: Vec<_> = (0..MESSAGES).map(|number| call(number as u64)).collect();
        let started = Instant::now();
        messages.iter_mut().for_each(|it| drop(set.decide(it, &NothingKnown)));
        let took = micros(started.elapsed()) / MESSAGES as f64;
        assert!(messages.iter().all(|it| it.original.is_some()), "all are changed");
        took
    });
    Row::plain(
        "chain, one jq rule that matches, 200 B".to_owned(),
        "us",
        only(HEADLESS, median(each.collect())),
        Target::AtMost(25.0),
    )
}

fn call(seq: u64) -> Envelope {
    let text = "x".repeat(100);
    let raw = format!(
        r#"{{"jsonrpc":"2.0","id":{seq},"method":"tools/call","params":{{"name":"echo","arguments":{{"count":1,"text":"{text}"}}}}}}"#
    );
    let message = Message::new(raw);
    let mut envelope = Envelope::forwarded(Seq(seq), SessionId::random(), Direction::ToServer, Via::Http, message);
    envelope.transport.headers = Some(Arc::default());
    envelope
}
