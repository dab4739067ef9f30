//! The rows of the message list against a plain list of them, whatever comes in whatever order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::envelope::{Direction, Envelope, Outcome, ReplyTo, Seq, SessionId, Via};
use crate::event::Ticket;
use crate::filter::Filter;
use crate::message::{Message, Subject};
use crate::ui::model::message_list::MessageList;
use crate::ui::model::message_rows::{MessageRows, PutOutcome, RowState};

#[derive(Clone, Debug)]
enum Step {
    /// So many messages, one after the other.
    Come(u64),
    /// One between others, or in the place of one, so far from the end.
    Late(u64, bool),
    Reply(u64),
    Settle(u64),
    Trim(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..400).prop_map(Step::Come),
        3 => (0u64..1500, any::<bool>()).prop_map(|(back, held)| Step::Late(back, held)),
        2 => (0u64..1500).prop_map(Step::Reply),
        1 => (0u64..1500).prop_map(Step::Settle),
        1 => (1usize..60).prop_map(Step::Trim),
    ]
}

/// What is expected: by number, the body, the reply and the state.
type Expected = BTreeMap<u64, (String, Option<u64>, RowState)>;

#[derive(Default)]
struct Rig {
    rows: MessageRows,
    expected: Expected,
    last: u64,
}

impl Rig {
    fn put(&mut self, seq: u64, reply_to: Option<u64>, state: RowState) {
        let body = format!(r#"{{"id":{seq},"method":"m{}"}}"#, self.last % 50);
        let message = Message::new(body.clone());
        let session = SessionId(uuid::Uuid::nil());
        let mut envelope = Envelope::forwarded(Seq(seq), session, Direction::ToServer, Via::Http, message);
        envelope.reply_to = reply_to.map(|to| ReplyTo { seq: Seq(to), took: seq - to, subject: Arc::default() });
        envelope.outcome = if seq.is_multiple_of(3) { Outcome::Withheld } else { Outcome::Forwarded };
        let is_new = !self.expected.contains_key(&seq);
        let put = self.rows.put(Arc::new(envelope), state);
        assert_eq!(put == PutOutcome::Arrived, is_new);
        if let Some(request) = reply_to.and_then(|to| self.expected.get_mut(&to)) {
            request.1.get_or_insert(seq);
        }
        let reply = self.expected.get(&seq).and_then(|known| known.1);
        self.expected.insert(seq, (body, reply, state));
    }

    /// Looks at some of them by their numbers, which keeps those at hand.
    fn glance(&self) {
        for (seq, (body, reply, state)) in self.expected.iter().step_by(61) {
            let row = self.rows.get(Seq(*seq)).expect("it is there");
            assert_eq!((row.envelope.seq.0, &row.envelope.message.raw()[..]), (*seq, body.as_bytes()));
            assert_eq!((row.reply, row.state), (reply.map(Seq), *state));
        }
    }

    fn apply(&mut self, step: &Step) {
        self.glance();
        match *step {
            Step::Come(count) => {
                for _ in 0..count {
                    // Every fifth number comes later, if at all.
                    self.last += if self.last % 5 == 3 { 2 } else { 1 };
                    self.put(self.last, None, RowState::Passed);
                }
            }
            Step::Late(back, held) => {
                let Some(seq) = self.last.checked_sub(back).filter(|seq| self.is_kept(*seq)) else { return };
                self.put(seq, None, if held { RowState::Held(Ticket(seq)) } else { RowState::Passed });
            }
            Step::Reply(back) => {
                self.last += 1;
                self.put(self.last, self.last.checked_sub(back + 1), RowState::Passed);
            }
            Step::Settle(back) => {
                let Some(seq) = self.last.checked_sub(back) else { return };
                self.rows.settle(Seq(seq));
                self.expected.entry(seq).and_modify(|row| row.2 = RowState::Settled);
            }
            Step::Trim(kib) => {
                let first = self.rows.trim(kib << 10);
                let gone = self.expected.keys().take_while(|seq| first.is_some_and(|first| **seq < first.0)).count();
                assert!(gone <= self.expected.len() / 8);
                let is_held = |row: &(String, Option<u64>, RowState)| matches!(row.2, RowState::Held(_));
                assert!(!self.expected.values().take(gone).any(is_held), "a held one stays");
                if let Some(first) = first {
                    self.expected = self.expected.split_off(&first.0);
                }
            }
        }
    }

    /// What is before the first has left for good.
    fn is_kept(&self, seq: u64) -> bool {
        self.expected.first_key_value().is_some_and(|(first, _)| *first <= seq)
    }

    fn check(&self) {
        assert_eq!(self.rows.len(), self.expected.len());
        for (position, (seq, (body, reply, state))) in self.expected.iter().enumerate() {
            let row = self.rows.at(position).expect("it is there");
            assert_eq!(row.envelope.seq.0, *seq);
            assert_eq!(
                (&row.envelope.message.raw()[..], row.reply, row.state),
                (body.as_bytes(), reply.map(Seq), *state)
            );
            assert_eq!((self.rows.seq_at(position), self.rows.find(Seq(*seq))), (Some(Seq(*seq)), Ok(position)));
            assert_eq!(
                (self.rows.state(Seq(*seq)), self.rows.is_failure(Seq(*seq))),
                (Some(*state), row.envelope.is_failure())
            );
            assert_eq!(row.envelope.outcome == Outcome::Withheld, seq.is_multiple_of(3));
        }
        assert!(self.rows.at(self.expected.len()).is_none());
        for missing in (0..self.last + 2).filter(|seq| !self.expected.contains_key(seq)) {
            assert_eq!(self.rows.find(Seq(missing)), Err(self.expected.range(..missing).count()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_those_that_were_put_in(steps in prop::collection::vec(step(), 1..30)) {
        let mut rig = Rig::default();
        steps.iter().for_each(|step| rig.apply(step));
        rig.glance();
        rig.check();
    }
}

#[test]
fn rows_of_like_messages_cost_little() {
    let mut rig = Rig::default();
    rig.apply(&Step::Come(20_000));
    let count = rig.rows.len();
    assert!(rig.rows.trim(40 * count).is_none(), "more than 40 bytes a row");
}

#[test]
fn rows_far_apart_are_unpacked_once() {
    let mut rig = Rig::default();
    rig.apply(&Step::Come(20_000));
    let some = || rig.expected.keys().step_by(400).take(40).filter_map(|seq| rig.rows.get(Seq(*seq)));
    let (before, after): (Vec<_>, Vec<_>) = (some().collect(), some().collect());
    assert_eq!(before.len(), 40);
    assert!(before.iter().zip(&after).all(|(before, after)| Arc::ptr_eq(&before.envelope, &after.envelope)));
}

#[test]
fn filter_on_what_rows_have_in_common_opens_no_block() {
    let mut rig = Rig::default();
    rig.apply(&Step::Come(20_000));
    rig.apply(&Step::Reply(5));
    for (text, opens) in [
        ("~m ^m7$", false),
        ("~q & !~m m1", false),
        ("~m ^m7$ & ~c2s", false),
        ("~m ^m7$ | ~b 77", false),
        ("~m ^m7$ | ~id 77", true),
    ] {
        let filter = Filter::parse(text).unwrap();
        let is_shown = |position: &usize| rig.rows.at(*position).is_some_and(|row| filter.matches(&row.envelope));
        let expected: Vec<_> = (0..rig.rows.len()).filter(is_shown).filter_map(|at| rig.rows.seq_at(at)).collect();
        rig.rows.close_blocks();
        let mut list = MessageList::default();
        list.filter = Some((text.to_owned(), filter.clone()));
        list.refilter(&rig.rows);
        while list.scan(&rig.rows, Duration::MAX) {}
        assert_eq!(rig.rows.has_opened_blocks(), opens, "{text}");
        let shown: Vec<_> =
            (0..list.len(&rig.rows)).filter_map(|at| list.row(&rig.rows, at)).map(|row| row.envelope.seq).collect();
        assert!(!shown.is_empty() && shown == expected, "{text}: {} for {}", shown.len(), expected.len());
    }
}

fn shown(rows: &MessageRows, text: &str) -> Vec<Seq> {
    let mut list = MessageList::default();
    list.filter = Some((text.to_owned(), Filter::parse(text).unwrap()));
    list.refilter(rows);
    while list.scan(rows, Duration::MAX) {}
    (0..list.len(rows)).filter_map(|at| list.row(rows, at)).map(|row| row.envelope.seq).collect()
}

#[test]
fn filter_on_a_word_opens_no_block_without_it() {
    let mut rig = Rig::default();
    rig.apply(&Step::Come(20_000));
    for text in ["~b absent", "~b absent & ~q", "~j .method = absent"] {
        rig.rows.close_blocks();
        assert_eq!((shown(&rig.rows, text), rig.rows.has_opened_blocks()), (Vec::new(), false), "{text}");
    }
}

#[test]
fn filter_on_a_word_finds_it_however_it_is_written() {
    let mut rows = MessageRows::default();
    let large = format!("{} needle", "hay ".repeat(2_000));
    let rare = ["Needle", r"n\u0065edle", "\u{212a}elvin", r"a\/needle", &large, r#"\"needle\n"#];
    for seq in 1..6_000_u64 {
        let text = if seq.is_multiple_of(397) { rare[(seq / 397) as usize % rare.len()] } else { "hay" };
        let message = Message::new(format!(r#"{{"jsonrpc":"2.0","id":{seq},"result":{{"text":"{text}"}}}}"#));
        let session = SessionId(uuid::Uuid::nil());
        let mut envelope = Envelope::forwarded(Seq(seq), session, Direction::ToClient, Via::Http, message);
        let subject = Subject { method: "tools/call".into(), name: Some(format!("tool{}", seq / 1_000).into()) };
        envelope.reply_to = Some(ReplyTo { seq: Seq(0), took: 1, subject: Arc::new(subject) });
        rows.put(Arc::new(envelope), RowState::Passed);
    }
    for text in [
        "~b needle",
        "~b kelvin",
        "~b a/needle",
        "~b hay",
        "~tool tool3",
        "~r & ~b Needle",
        "!~b hay",
        "~b 'needle|hay'",
    ] {
        let filter = Filter::parse(text).unwrap();
        let all = (0..rows.len()).filter_map(|at| rows.at(at)).filter(|row| filter.matches(&row.envelope));
        let expected: Vec<_> = all.map(|row| row.envelope.seq).collect();
        assert!(!expected.is_empty(), "{text}");
        assert_eq!(shown(&rows, text), expected, "{text}");
    }
}
