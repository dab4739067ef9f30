//! Two tapes side by side.

use std::path::PathBuf;
use std::sync::Arc;

use super::rig::{Rig, busy, tapes};
use crate::envelope::Seq;
use crate::event::{
    CallChange, ChangeKind, Command, DefinitionChange, Difference, Event, Excused, TapeComparison, TapeDiff,
    TimingChange,
};
use crate::ui::model::ScreenKind;

/// What is asked for by the keys of [`asked_to_compare`].
fn asked() -> [PathBuf; 2] {
    let path = |at: usize| tapes()[at].path.clone();
    [path(0), path(2)]
}

pub(super) fn asked_to_compare(rig: &mut Rig) {
    rig.press("4");
    rig.on_event(Event::Tapes(tapes()));
    rig.press("W j j W");
}

pub(super) fn compared(rig: &mut Rig) {
    asked_to_compare(rig);
    rig.on_event(Event::Compared(Arc::new(found())));
}

pub(super) fn unreadable() -> Arc<TapeComparison> {
    let outcome = Err("/tapes/flaky.tape.jsonl is not a tape: its first line is not a tapline header".to_owned());
    Arc::new(TapeComparison { tapes: asked(), outcome, problems: Default::default() })
}

fn value(path: &str, expected: Option<&str>, got: Option<&str>) -> Difference {
    Difference { path: path.to_owned(), expected: expected.map(str::to_owned), got: got.map(str::to_owned) }
}

fn found() -> TapeComparison {
    let call = |kind, name: &str, left: Option<u64>, right: Option<u64>, differences| CallChange {
        kind,
        method: "tools/call".to_owned(),
        name: Some(name.to_owned()),
        left: left.map(Seq),
        right: right.map(Seq),
        differences,
    };
    let long = "\"A tool that reads files below the root, and 页面, one at a time, with their sizes\"";
    let diff = TapeDiff {
        same: 1204,
        calls: vec![
            call(
                ChangeKind::Changed,
                "read_file",
                Some(5),
                Some(7),
                vec![
                    value(".result.content[0].text", Some("\"a\\nb\\nc\""), Some("\"a\\nB\\nc\"")),
                    value(".result.structuredContent.sizes[2].bytes", Some("12"), None),
                ],
            ),
            call(
                ChangeKind::Removed,
                "git_log",
                Some(9),
                None,
                vec![value(".params.arguments", Some(r#"{"since":"monday"}"#), None)],
            ),
            call(ChangeKind::Added, "git_show", None, Some(11), Vec::new()),
        ],
        definitions: vec![
            DefinitionChange {
                kind: ChangeKind::Changed,
                what: "tool".to_owned(),
                name: "read_file".to_owned(),
                differences: vec![value(".description", Some("\"Reads\""), Some(long))],
                within: true,
            },
            DefinitionChange {
                kind: ChangeKind::Added,
                what: "tool".to_owned(),
                name: "send".to_owned(),
                differences: vec![value(".", None, Some(r#"{"description":"Sends","name":"send"}"#))],
                within: false,
            },
        ],
        timings: vec![TimingChange {
            subject: "tools/call search".to_owned(),
            left: 12_000,
            right: 48_000,
            calls: (20, 1_024),
        }],
        excused: vec![Excused {
            path: ".result.at".to_owned(),
            kind: "time".to_owned(),
            count: 1,
            expected: None,
            got: None,
        }],
    };
    let problems = [Vec::new(), vec!["line 7: not JSON: expected `,` or `}`".to_owned()]];
    TapeComparison { tapes: asked(), outcome: Ok(diff), problems }
}

#[test]
fn comparison_is_asked_for_by_marking_one_tape_and_then_another() {
    let mut rig = busy(120, 36);
    rig.press("4");
    rig.on_event(Event::Tapes(tapes()));
    rig.commands();
    assert_eq!(rig.press("W").sent(), "", "one is only marked");
    assert!(rig.picture().contains("*demo"), "{}", rig.picture());
    rig.press("W j j W");
    assert_eq!(rig.sent(), "", "twice on one marks none");
    rig.press("k k W");
    let commands = rig.commands();
    let [Command::CompareTapes(Some([left, right]))] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!([left, right], [&tapes()[2].path, &tapes()[0].path], "the marked one first");
    assert!(rig.picture().contains("comparing; `q` stops"), "{}", rig.picture());
}

#[test]
fn comparison_that_runs_is_stopped_on_leaving_and_what_comes_late_is_not_shown() {
    let mut rig = busy(120, 36);
    asked_to_compare(&mut rig);
    rig.commands();
    rig.press("esc");
    assert!(matches!(rig.commands()[..], [Command::CompareTapes(None)]));
    assert_eq!(rig.model.screen, ScreenKind::Tapes);
    rig.on_event(Event::Compared(Arc::new(found())));
    assert!(rig.model.compare.shown.is_none());
}

#[test]
fn comparison_opens_both_values_and_either_tape() {
    let mut rig = busy(120, 36);
    compared(&mut rig);
    rig.commands();
    rig.press("/").typing("content[0]").press("enter enter");
    let picture = rig.picture();
    for expected in [".result.content[0].text   - demo   + flaky", "  a", "- b", "+ B", "  c"] {
        assert!(picture.contains(expected), "no `{expected}` in\n{picture}");
    }
    rig.press("esc esc k enter");
    let commands = rig.commands();
    assert!(matches!(&commands[..], [Command::OpenTape(path)] if *path == asked()[1]), "{commands:?}");
    assert_eq!(rig.model.tapes.goal, Some(Seq(7)));
    rig.press("p");
    let commands = rig.commands();
    assert!(matches!(&commands[..], [Command::OpenTape(path)] if *path == asked()[0]), "{commands:?}");
    assert_eq!(rig.model.tapes.goal, Some(Seq(5)));
}

#[test]
fn comparison_has_what_a_call_of_one_side_asked_for_and_the_whole_definition_of_one_side() {
    let mut rig = busy(120, 36);
    compared(&mut rig);
    let picture = rig.picture();
    let row = picture.lines().find(|line| line.contains(".params.arguments")).expect(&picture);
    assert!(row.contains(r#"- {"since":"monday"}"#) && row.contains("+ nothing"), "{row}");
    assert!(!picture.contains(r#"+ {"description":"Sends""#), "a row of its own would only repeat it: {picture}");
    rig.press("/").typing("tool send").press("enter enter");
    let picture = rig.picture();
    for expected in [r#"+   "description": "Sends""#, r#"+   "name": "send""#] {
        assert!(picture.contains(expected), "no `{expected}` in\n{picture}");
    }
}

#[test]
fn comparison_is_turned_around() {
    let mut rig = busy(120, 36);
    compared(&mut rig);
    rig.commands();
    rig.press("O");
    let commands = rig.commands();
    let [Command::CompareTapes(Some([left, right]))] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!([right, left], [&asked()[0], &asked()[1]]);
}
