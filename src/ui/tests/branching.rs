//! Branches: asked for on a message, shown by themselves, and the tapes as a tree.

use super::rig::{Rig, busy, session, session_id, tapes};
use crate::envelope::{Seq, Via};
use crate::event::{
    BranchedSession, Command, Event, ForkRequest, Landmark, Level, LogLine, ReplayEvent, RewindRequest, Session,
    TapeInfo, TapeParent,
};
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

pub(super) fn branched() -> Event {
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
    assert!(at("03-14 10:04:00") < at("└ from #12 demo"), "{picture}");
    at("from #5 of 00000063 (gone)");
    at("branched off at #12 of 20260314T100400Z");
    rig.press("j");
    assert!(rig.picture().contains("whose tape is not here"), "{}", rig.picture());
}

fn seam(after: u64, text: &str) -> Event {
    let line = LogLine::new(Level::Info, "proxy", text).of(session_id(1)).about(Seq(after));
    Event::Log(line.as_landmark(Landmark::Seam))
}

pub(super) fn rewound(rig: &mut Rig) {
    recorded(rig);
    rig.press(": 1 1 9 3 enter <");
    let mut seam = |after, landmark, text: &str| {
        let line = LogLine::new(Level::Info, "proxy", text).of(session_id(1)).about(Seq(after));
        rig.on_event(Event::Log(line.as_landmark(landmark)));
    };
    seam(1194, Landmark::Rewind, "a fresh process is told what was said up to #1193");
    seam(1198, Landmark::Seam, "rewound to #1193: 4 messages of the client said again");
}

#[test]
fn rewind_asks_for_the_session_of_the_message_and_says_when_it_is_done() {
    let mut rig = busy(120, 36);
    recorded(&mut rig);
    rig.commands();
    let commands = rig.press(": 1 1 9 3 enter <").commands();
    let asked = RewindRequest { session: session_id(1), until: Seq(1193) };
    assert!(matches!(&commands[..], [Command::Rewind(it)] if *it == asked), "{commands:?}");
    rig.on_event(seam(1194, "rewound to #1193: all said again"));
    let picture = rig.picture();
    let lines: Vec<_> = picture.lines().collect();
    let drawn = lines.iter().position(|line| line.contains("── rewound to #1193: all said again ──")).expect(&picture);
    assert!(lines[drawn - 1].contains("1194") && lines[drawn + 1].contains("1195"), "{picture}");
    assert!(
        lines[drawn + 2..].iter().any(|line| line.contains("rewound to #1193")),
        "it is said below, too: {picture}"
    );
    // It is another screen's from then on.
    rig.on_event(Event::Replay(ReplayEvent::Failed { why: "no server".to_owned() }));
    assert!(rig.picture().contains("replay failed: no server"), "{}", rig.picture());
}

#[test]
fn rewind_that_cannot_be_says_what_can() {
    let mut rig = busy(120, 36);
    rig.commands();
    rig.press(": 1 1 9 3 enter <");
    assert_eq!(rig.sent(), "");
    assert!(rig.picture().contains("this session is not recorded"), "{}", rig.picture());
    recorded(&mut rig);
    rig.press("<");
    rig.on_event(Event::Replay(ReplayEvent::Failed { why: "no command; `:branch` branches off".to_owned() }));
    assert!(rig.picture().contains("not rewound: no command; `:branch` branches off"), "{}", rig.picture());
    rig.press("<");
    rig.on_event(Event::SessionClosed { session: session_id(1), reason: "its server is gone".to_owned() });
    assert!(rig.picture().contains("not rewound: the session has ended"), "{}", rig.picture());
    super::scenes::open_tape(&mut rig);
    rig.commands();
    rig.press("<");
    assert_eq!(rig.sent(), "");
    assert!(rig.picture().contains("no client is behind a tape"), "{}", rig.picture());
}

#[test]
fn seam_behind_the_last_message_is_seen_while_the_list_follows_and_a_click_below_it_finds_its_message() {
    let mut rig = busy(120, 36);
    let last = rig.model.messages().0.len() - 1;
    let last = rig.model.messages().0.seq_at(last).unwrap();
    rig.on_event(seam(last.0, "the process is another"));
    assert!(rig.picture().contains("── the process is another"), "{}", rig.picture());
    rig.press("f ~ q enter");
    rig.finish_scan();
    assert!(rig.picture().contains("── the process is another"), "a filter leaves it: {}", rig.picture());
    rig.press("o");
    assert!(!rig.picture().contains("── the process is another"), "in another order it stands nowhere");
}
