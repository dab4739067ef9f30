//! Branches: asked for on a message, shown by themselves, and the tapes as a tree.

use super::rig::{Rig, busy, session, session_id, tapes};
use crate::envelope::{Seq, Via};
use crate::event::{BranchedSession, Command, Event, ForkRequest, ReplayEvent, Session, TapeInfo, TapeParent};
use crate::ui::model::{Pane, ScreenKind};

/// A tape, its branch, and a branch of one that is not there.
fn branches() -> Vec<TapeInfo> {
    let mut list = tapes();
    list[0].session = Some(session_id(71));
    list[0].parent = Some(TapeParent { session: session_id(72), seq: Seq(12) });
    list[1].session = Some(session_id(72));
    list[2].parent = Some(TapeParent { session: session_id(99), seq: Seq(5) });
    list
}

pub(super) fn tape_tree(rig: &mut Rig) {
    rig.press("4");
    rig.on_event(Event::Tapes(branches()));
    rig.press("j");
}

fn recorded(rig: &mut Rig) {
    let tape = Some(std::path::Path::new("/tapes/live.tape.jsonl").into());
    let session = Session { tape, ..session(1, "files-srv", ("ide", "1.4"), Via::Stdio) };
    rig.on_event(Event::SessionChanged(session.into()));
}

fn asked(rig: &mut Rig, keys: &str) -> ForkRequest {
    rig.commands();
    let commands = rig.press(keys).commands();
    let [Command::Fork(asked)] = &commands[..] else { panic!("{commands:?}") };
    asked.clone()
}

fn branched() -> Event {
    let parent = TapeParent { session: session_id(1), seq: Seq(1193) };
    Event::Branched(BranchedSession { session: session_id(8), parent, differing: 2 })
}

#[test]
fn branch_off_a_live_message_names_its_session_and_then_shows_the_new_one() {
    let mut rig = busy(120, 36);
    recorded(&mut rig);
    let request = asked(&mut rig, ": 1 1 9 3 enter B");
    let tape = "/tapes/live.tape.jsonl".into();
    assert_eq!(request, ForkRequest { tape, session: Some(session_id(1)), until: Seq(1193) });
    rig.on_event(Event::SessionOpened(session(8, "files-srv", ("ide", "1.4"), Via::Http).into()));
    rig.on_event(branched());
    assert_eq!(rig.model.list().only, Some(session_id(8)));
    assert!(rig.picture().contains("branched off at #1193, 2 replies differ: "), "{}", rig.picture());
}

#[test]
fn branch_that_another_screen_asked_for_moves_nothing_here() {
    let mut rig = busy(120, 36);
    rig.press("4");
    rig.on_event(branched());
    assert_eq!((rig.model.screen, rig.model.list().only), (ScreenKind::Tapes, None));
}

#[test]
fn branch_off_an_open_tape_is_asked_for_in_its_own_numbers() {
    let mut rig = busy(120, 36);
    super::scenes::open_tape(&mut rig);
    let request = asked(&mut rig, "B");
    assert_eq!(request.session, None);
    assert_eq!(request.tape.to_str(), Some("/tapes/demo.tape.jsonl"));
    rig.on_event(Event::Replay(ReplayEvent::Failed { why: "no server".to_owned() }));
    assert!(rig.picture().contains("no branch: no server"), "{}", rig.picture());
    rig.on_event(branched());
    assert!(rig.model.tape.is_some(), "what failed shows nothing");
    assert_eq!(rig.model.pane, Pane::List);
}

#[test]
fn branch_off_what_is_not_recorded_is_not_asked_for_and_says_what_else() {
    let mut rig = busy(120, 36);
    rig.commands();
    rig.press(": 1 1 9 3 enter B");
    assert_eq!(rig.sent(), "");
    assert!(rig.picture().contains("this session is not recorded"), "{}", rig.picture());
}

#[test]
fn tapes_stand_as_a_tree_and_a_parent_that_is_gone_is_named() {
    let mut rig = busy(120, 36);
    tape_tree(&mut rig);
    let picture = rig.picture();
    let at = |text: &str| picture.find(text).unwrap_or_else(|| panic!("no `{text}` in\n{picture}"));
    assert!(at("03-14 10:04 127.0") < at("└ from #12 demo"), "{picture}");
    at("from #5 of 00000063 (gone)");
    at("branched off at #12 of 20260314T100400Z");
    rig.press("j");
    assert!(rig.picture().contains("whose tape is not here"), "{}", rig.picture());
}
