//! Every screen, form, menu and question in every size.

use std::collections::BTreeMap;
use std::sync::Arc;

use ratatui::style::{Color, Modifier};

use super::rig::{Rig, World, busy_with, text_result};
use super::scenes::SCENES;
use crate::envelope::Seq;
use crate::event::{Difference, Event, ReplayEvent, StepReport, StepVerdict};
use crate::ui::Settings;

/// The sizes that the layout was made for.
const SIZES: [(u16, u16); 6] = [(200, 50), (120, 36), (80, 24), (60, 16), (40, 12), (20, 5)];

/// Takes the pictures of one scene: in every size as it is and in which colours, and without colours and in ASCII, of which
/// two sizes are kept: in the others it is only seen that this holds.
pub(super) fn check(name: &str, scene: impl Fn(&mut Rig)) {
    let mut album = String::new();
    let mut take = |title: &str, (width, height): (u16, u16), settings: &Settings, is_kept: bool| {
        // Where nothing can be shown, keys do nothing: it was done before the window became so small.
        let mut rig = busy_with(width.max(40), height.max(10), settings);
        scene(&mut rig);
        rig.resize(width, height);
        // However slow the machine is: a list is filtered in slices of time.
        let (rows, list) = rig.model.messages_mut();
        while list.scan(rows, std::time::Duration::from_secs(1)) {}
        rig.model.notice = None;
        let (picture, styles) = (rig.picture(), styles(rig.buffer()));
        if is_kept {
            album.push_str(&format!("== {title} {width}x{height}\n{picture}\n-- styles\n{styles}\n"));
        }
        if settings.ascii {
            assert!(picture.replace(['页', '面', '\u{fffd}'], "").is_ascii(), "{name}: {picture}");
        }
        if settings.mono {
            assert!(!styles.contains(['#', '@']), "{name} has colours: {styles}");
        }
    };
    for size in SIZES {
        take("colour", size, &Settings::default(), true);
    }
    for size in SIZES {
        let is_kept = [(120, 36), (80, 24)].contains(&size);
        take("mono, ASCII", size, &Settings { ascii: true, mono: true, ..Settings::default() }, is_kept);
    }
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, album);
    });
}

/// Which styles stand how often in which row: enough to see a colour come and go, and far shorter than where it stands.
fn styles(buffer: &ratatui::buffer::Buffer) -> String {
    let mut lines = Vec::new();
    for (y, row) in buffer.content.chunks(usize::from(buffer.area.width)).enumerate() {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for cell in row.iter().filter(|cell| !cell.symbol().trim().is_empty() || !cell.modifier.is_empty()) {
            let mut style = match (cell.fg, cell.bg) {
                (Color::Reset, Color::Reset) => String::new(),
                (fg, Color::Reset) => format!("#{fg}"),
                (fg, bg) => format!("#{fg}@{bg}"),
            };
            for (modifier, word) in [
                (Modifier::BOLD, "+bold"),
                (Modifier::DIM, "+dim"),
                (Modifier::REVERSED, "+reversed"),
                (Modifier::UNDERLINED, "+underlined"),
            ] {
                if cell.modifier.contains(modifier) {
                    style.push_str(word);
                }
            }
            if !style.is_empty() {
                *counts.entry(style).or_default() += 1;
            }
        }
        let words: Vec<String> = counts.into_iter().map(|(style, count)| format!("{count}{style}")).collect();
        // Rows alike are told once.
        match lines.last_mut() {
            Some((_, last, what)) if *what == words => *last = y,
            _ => lines.push((y, y, words)),
        }
    }
    let told = lines.into_iter().filter(|(_, _, words)| !words.is_empty());
    told.map(|(from, to, words)| format!("{from}-{to}: {}", words.join(" "))).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_screen_form_menu_and_question_is_drawn_as_kept() {
    for (name, scene) in SCENES {
        check(name, scene);
    }
}

/// What nothing has passed in says what to paste where.
#[test]
fn empty_screen_is_drawn_as_kept() {
    let hints = vec!["claude mcp add --transport http demo http://127.0.0.1:7070/mcp".to_owned()];
    let mut rig = Rig::with(120, 36, &Settings { hints, ..Settings::default() });
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("empty", rig.picture());
    });
}

pub(super) fn replay() -> Vec<ReplayEvent> {
    let step = |step, method: &str, name: Option<&str>, verdict, took: u64, recorded: u64| StepReport {
        step,
        seq: Seq(step as u64),
        session: None,
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
