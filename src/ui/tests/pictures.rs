//! Every screen, in the two sizes that matter.

use std::path::PathBuf;
use std::sync::Arc;

use super::rig::{Rig, World, busy, busy_with, held, tapes, text_result};
use crate::envelope::{Author, Outcome, Seq};
use crate::event::{Difference, Event, Level, LogLine, ReplayEvent, StepReport, StepVerdict, Ticket};
use crate::ui::Settings;
use crate::ui::tests::rig::{START, session_id};

/// Takes the picture of one scene in both sizes.
pub(super) fn check(name: &str, scene: impl Fn(&mut Rig)) {
    for (width, height) in [(120, 36), (80, 24)] {
        let mut rig = busy(width, height);
        scene(&mut rig);
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("{name}-{width}x{height}"), rig.picture());
        });
    }
}

#[test]
fn messages() {
    check("messages", |rig| {
        rig.press("k k k k k k");
    });
}

#[test]
fn detail() {
    check("detail", |rig| {
        rig.press(": 1 1 9 3 enter enter j j");
    });
}

#[test]
fn queue() {
    check("queue", |rig| {
        let mut world = World::new();
        world.seq = 1199;
        for (ticket, outcome) in
            [(7, Outcome::Blocked(Author::Operator)), (8, Outcome::Edited(Author::Operator)), (9, Outcome::Abandoned)]
        {
            let mut call = world.call(2, 90, "fetch", r#"{"url":"https://example.org"}"#);
            rig.on_event(held(ticket, call.clone(), 4));
            rig.on_event(Event::Settled { ticket: Ticket(ticket) });
            (call.outcome, call.held) = (outcome, Some(4_000_000));
            rig.on_event(Event::Passed(Arc::new(call)));
        }
        rig.press("2");
    });
}

#[test]
fn long_text() {
    check("pager", |rig| {
        rig.press(": 1 1 9 3 enter enter j j j j j j enter");
    });
}

#[test]
fn diff_of_an_edited_message() {
    check("diff", |rig| {
        rig.press(": 1 1 9 3 enter enter h h");
    });
}

#[test]
fn small_windows() {
    for (name, keys, width, height) in
        [("small", "k k", 58, 14), ("small-detail", "k k enter", 58, 14), ("smaller", "2", 40, 10)]
    {
        let mut rig = busy(width, height);
        rig.press(keys);
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("{name}-{width}x{height}"), rig.picture());
        });
    }
}

#[test]
fn ascii() {
    let mut rig = busy_with(120, 24, &Settings { ascii: true, mono: true, ..Settings::default() });
    rig.press("k k k k k k");
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("ascii-120x24", rig.picture());
    });
}

#[test]
fn editor() {
    check("editor", |rig| {
        rig.press("2 e");
        let editor = rig.model.editor.as_mut().unwrap();
        let text = editor.text().replace("/etc/hosts", "/tmp/hosts");
        editor.replace(&text);
    });
}

#[test]
fn editor_with_a_fault() {
    check("editor-fault", |rig| {
        rig.press("2 e up up up up up end backspace");
    });
}

#[test]
fn block() {
    check("block", |rig| {
        rig.press("2 b down tab");
    });
}

#[test]
fn sessions_popup() {
    check("sessions", |rig| {
        rig.press("s j j");
    });
}

#[test]
fn filter_bar() {
    check("filter", |rig| {
        rig.press("f");
        rig.typing("~m tools/");
    });
}

#[test]
fn quit_question() {
    check("quit", |rig| {
        rig.press("Q");
    });
}

#[test]
fn help() {
    check("help", |rig| {
        rig.press("2 ?");
    });
}

#[test]
fn prefix() {
    check("prefix", |rig| {
        rig.press("g");
    });
}

#[test]
fn tapes_with_a_replay() {
    check("tapes", |rig| {
        rig.press("4");
        rig.on_event(Event::Tapes(tapes()));
        for event in replay() {
            rig.on_event(Event::Replay(event));
        }
        rig.press("n");
    });
}

#[test]
fn events() {
    check("events", |rig| {
        let line = |level, source: &str, text: &str| LogLine {
            landmark: None,
            at: START.plus_micros(12_911_000),
            ..LogLine::new(level, source, text)
        };
        for line in [
            line(Level::Info, "proxy", "listening on http://127.0.0.1:7070/mcp"),
            line(Level::Warn, "hold", "held by ~tool write_file|git_.*").about(Seq(1197)).of(session_id(1)),
            line(Level::Error, "server", "panicked at \u{1b}[31mretry.rs:12\u{1b}[0m").of(session_id(2)),
        ] {
            rig.on_event(Event::Log(line));
        }
        rig.press("6 k");
    });
}

#[test]
fn open_tape() {
    check("open-tape", |rig| {
        rig.press("4");
        rig.on_event(Event::Tapes(tapes()));
        let envelopes = super::rig::busy_events()
            .into_iter()
            .filter_map(|event| if let Event::Passed(envelope) = event { Some(envelope) } else { None })
            .collect();
        rig.on_event(Event::TapeOpened {
            path: PathBuf::from("/tapes/demo.tape.jsonl"),
            session: Arc::new(super::rig::session(1, "files-srv", ("ide", "1.4"), crate::envelope::Via::Http)),
            envelopes,
            problems: Vec::new(),
            found: Vec::new(),
        });
        rig.press("j j");
    });
}

pub(super) fn replay() -> Vec<ReplayEvent> {
    let step = |step, method: &str, name: Option<&str>, verdict, took: u64, recorded: u64| StepReport {
        step,
        seq: Seq(step as u64),
        method: method.to_owned(),
        name: name.map(str::to_owned),
        verdict,
        took: Some(took * 1000),
        recorded: Some(recorded * 1000),
        why: None,
        differences: Vec::new(),
        excused: Vec::new(),
        ignore: Vec::new(),
    };
    let mut failed = step(3, "tools/call", Some("read_file"), StepVerdict::Fail, 352, 358);
    failed.why = Some("1 of 14 values differs".to_owned());
    failed.differences = vec![Difference {
        path: ".result.content[0].text".to_owned(),
        expected: Some("\"250 ms\"".to_owned()),
        got: Some("\"300 ms\"".to_owned()),
    }];
    let mut skipped = step(4, "notifications/cancelled", None, StepVerdict::Skip, 0, 0);
    (skipped.took, skipped.recorded, skipped.why) = (None, None, Some("its request is not on the tape".to_owned()));
    vec![
        ReplayEvent::Started {
            tape: "/tapes/demo.tape.jsonl".into(),
            target: "http://127.0.0.1:9000/mcp".to_owned(),
            steps: 8,
        },
        ReplayEvent::Step(step(1, "initialize", None, StepVerdict::Pass, 12, 11)),
        ReplayEvent::Step(step(2, "tools/call", Some("search"), StepVerdict::Pass, 310, 370)),
        ReplayEvent::Step(failed),
        ReplayEvent::Step(skipped),
        ReplayEvent::Step(step(5, "tools/call", Some("git_log"), StepVerdict::Pass, 1180, 1134)),
    ]
}

#[test]
fn operation_of_several_rounds_is_shown_as_one() {
    let mut rig = Rig::new(120, 36);
    let mut world = World::new();
    let call = world.call(1, 1, "book", "{}");
    let asks = r#""result":{"resultType":"input_required","inputRequests":{"date":{},"seat":{}},"requestState":"s"}"#;
    let question = world.reply(&call, 5, asks);
    let mut again = world.call(1, 2, "book", r#"{"day":1}"#);
    again.part_of = Some(call.seq);
    let mut done = world.reply(&again, 7, &text_result("booked"));
    done.part_of = Some(call.seq);
    for envelope in [call, question, again, done] {
        rig.on_event(Event::Passed(Arc::new(envelope)));
    }
    let picture = rig.picture();
    for expected in ["asks for date, seat", "of #1187: {", "continues #1187"] {
        assert!(picture.contains(expected), "no `{expected}` in\n{picture}");
    }
}
