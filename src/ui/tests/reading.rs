//! A tape on the screen while it is read.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::rig::Rig;
use crate::envelope::Seq;
use crate::event::Event;
use crate::tape;

const HEADER: &str = r#"{"tapline":1,"version":"0.1.0","session":"01a22356-5322-7562-99ce-6298888a2daa","upstream":"echo","via":"stdio","started":0}"#;

/// What a screen is told of a tape with so many calls, the last line of which is torn.
fn told(path: &Path, calls: u64) -> Vec<Event> {
    write_tape(path, calls);
    let mut events = Vec::new();
    tape::open(path, usize::MAX, |event| events.push(event));
    events
}

fn write_tape(path: &Path, calls: u64) {
    let mut text = format!("{HEADER}\n");
    for seq in 1..=calls {
        let name = if seq % 2 == 0 { "even" } else { "odd" };
        writeln!(text, r#"{{"seq":{seq},"at":{seq},"dir":"c2s","via":"stdio","msg":{{"jsonrpc":"2.0","id":{seq},"method":"tools/call","params":{{"name":"{name}"}}}}}}"#).unwrap();
    }
    text.push_str("{\"seq\":");
    std::fs::write(path, text).unwrap();
}

#[test]
fn tape_is_read_no_further_than_a_screen_follows() {
    const AHEAD: usize = 4;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tape.jsonl");
    write_tape(&path, 5_000);
    let taken = AtomicUsize::new(0);
    let (tell, told) = crossbeam_channel::unbounded();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut sent = 0;
            tape::open(&path, AHEAD, |event| {
                if !matches!(event, Event::TapeRead { end: Some(_), .. }) {
                    sent += 1;
                    let waits = sent - taken.load(Ordering::SeqCst);
                    assert!(waits <= AHEAD, "{waits} parts wait");
                }
                tell.send(event).unwrap();
            });
            drop(tell);
        });
        // One that takes them in only when no more may come.
        let mut parts = 0;
        loop {
            let some: Vec<_> = told.iter().take(AHEAD).collect();
            parts += some.len();
            taken.fetch_add(some.len(), Ordering::SeqCst);
            if some.len() < AHEAD {
                break;
            }
        }
        assert!(parts > 100, "{parts}");
    });
}

#[test]
fn tape_is_used_while_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tape.jsonl");
    let mut rig = Rig::new(120, 36);
    rig.press("4");
    let mut events = told(&path, 5_000).into_iter();
    events.by_ref().take(20).for_each(|event| rig.on_event(event));
    let first = rig.model.messages().0.len();
    assert!((10..5_000).contains(&first), "{first}");
    assert!(rig.picture().contains("x (being read)"), "{}", rig.picture());
    rig.press("f").typing("~tool even").press("enter");
    rig.press("home");
    let (seen, events): (_, Vec<_>) = (rig.model.list().cursor, events.collect());
    for event in events {
        rig.on_event(event);
    }
    rig.finish_scan();
    let (rows, list) = rig.model.messages();
    assert_eq!((rows.len(), list.len(rows)), (5_000, 2_500));
    assert_eq!(list.cursor, seen, "what is read later moves nothing");
    let picture = rig.picture();
    assert!(picture.contains("x (recorded, not live)") && picture.contains("the last line is torn"), "{picture}");
}

#[test]
fn title_of_a_tape_has_both_ends_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("20261129T140405Z-127.0.0.1-37167-5ac187fb.tape.jsonl");
    for width in [60, 80, 120] {
        let mut rig = Rig::new(width, 20);
        rig.press("4");
        told(&path, 20).into_iter().for_each(|event| rig.on_event(event));
        let picture = rig.picture();
        assert!(picture.contains("Tape 202611") && picture.contains("87fb (recorded, not live) 20"), "{picture}");
    }
}

/// As one that is left of a session in which the disk was full from the beginning.
#[test]
fn tape_without_a_message_does_not_ask_for_a_client() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tape.jsonl");
    let mut rig = Rig::new(120, 36);
    rig.press("4");
    told(&path, 0).into_iter().for_each(|event| rig.on_event(event));
    let picture = rig.picture();
    assert!(picture.contains("no message is on this tape"), "{picture}");
    assert!(!picture.contains("nothing has passed yet"), "{picture}");
}

#[test]
fn message_that_a_tape_was_opened_for_is_gone_to_when_it_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tape.jsonl");
    let mut rig = Rig::new(120, 36);
    rig.model.tapes.goal = Some(Seq(4_321));
    for event in told(&path, 5_000) {
        rig.on_event(event);
    }
    assert_eq!(rig.model.list().cursor, Some(Seq(4_321)));
}

#[test]
fn tape_that_was_left_is_not_read_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tape.jsonl");
    let mut rig = Rig::new(120, 36);
    let mut events = told(&path, 50).into_iter();
    rig.on_event(events.next().unwrap());
    rig.press("esc");
    assert!(rig.model.tape.is_none());
    events.for_each(|event| rig.on_event(event));
    assert!(rig.model.tape.is_none() && rig.model.messages().0.len() == 0);
}
