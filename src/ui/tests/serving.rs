//! Tapes that answer clients, how they are played, and what they are written as.

use std::sync::Arc;

use super::rig::{Rig, World, busy, served, tapes};
use crate::event::{
    Command, Event, Level, LogLine, MockOrder, MockRepeats, ReplayRequest, ServeRequest, Speed, TapeForm, Volatile,
};
use crate::ui::model::{Change, Effect};
use crate::ui::{ExportedFile, ScreenInput};

fn at_tapes() -> Rig {
    let mut rig = busy(120, 36);
    rig.press("4");
    rig.on_event(Event::Tapes(tapes()));
    rig.effects.clear();
    rig
}

#[test]
fn tape_answers_clients_and_the_same_key_ends_that() {
    let mut rig = at_tapes();
    let asked = rig.press("S").commands().pop();
    assert!(matches!(asked, Some(Command::Serve(ServeRequest { tape, .. })) if tape.ends_with("demo.tape.jsonl")));
    assert!(rig.press("S").commands().is_empty(), "once is enough: {}", rig.picture());
    let words = "demo.tape.jsonl is served at http://127.0.0.1:43121/mcp";
    rig.on_event(Event::Log(LogLine::new(Level::Info, "mock", words)));
    assert!(rig.picture().contains(words), "{}", rig.picture());
    rig.on_event(served());
    rig.model.notice = None;
    let picture = rig.picture();
    for expected in ["serving 1,", "serves at http://127.0.0.1:43121/mcp: 12 answered, 1 not on it", "S serve no more"]
    {
        assert!(picture.contains(expected), "no `{expected}` in {picture}");
    }
    rig.press("y");
    assert!(matches!(rig.effects.pop(), Some(Effect::Copy(url)) if url == "http://127.0.0.1:43121/mcp"));
    assert!(matches!(rig.press("S").commands().pop(), Some(Command::StopServing(_))));
    // One that cannot be read says why, and can be asked for again.
    rig.press("j S");
    rig.on_event(Event::Log(LogLine::new(Level::Warn, "mock", "a is not served: it is gone")));
    assert!(rig.picture().contains("a is not served: it is gone"), "{}", rig.picture());
    assert!(matches!(rig.press("S").commands().pop(), Some(Command::Serve(_))));
}

#[test]
fn request_that_is_on_no_tape_is_told_on_every_screen() {
    let mut rig = busy(140, 36);
    let mut world = World::new();
    world.seq = 1300;
    let call = world.call(2, 90, "echo", r#"{"message":"b"}"#);
    let text = "tapline: `tools/call` of `echo`: the tape has no request with these arguments; nearest is #12 of demo, which \
                differs at .params.arguments.message";
    let reply = world.reply(&call, 1, &format!(r#""error":{{"code":-31005,"message":"{text}"}}"#));
    rig.press("6");
    rig.on_event(Event::Passed(Arc::new(call)));
    rig.on_event(Event::Passed(Arc::new(reply)));
    let picture = rig.picture();
    assert!(
        picture.contains("#1302: `tools/call` of `echo`: the tape has no request with these arguments"),
        "{picture}"
    );
    assert!(picture.contains("nearest is #12 of demo, which differs at\n .params.arguments.message"), "{picture}");
}

#[test]
fn options_are_those_of_the_next_replay_and_of_what_is_served_next() {
    let mut rig = at_tapes();
    rig.press("e left down right down right down right down right down right down").typing(".result._meta .params.a");
    let picture = rig.picture();
    for expected in ["step by step", "times and ids too", "ends the replay", "whichever client asks", "and so on"] {
        assert!(picture.contains(expected), "no `{expected}` in {picture}");
    }
    assert_eq!(rig.press("enter").sent(), "", "nothing is played yet");
    let Some(Command::Replay(asked)) = rig.press("space").commands().pop() else { panic!("{}", rig.picture()) };
    let ReplayRequest { by_step, volatile, stops_at_failure, ignore, .. } = asked;
    assert_eq!((by_step, volatile, stops_at_failure), (true, Volatile::Exact, true));
    assert_eq!(ignore, [".result._meta", ".params.a"]);
    let Some(Command::Serve(asked)) = rig.press("S").commands().pop() else { panic!("{}", rig.picture()) };
    let ServeRequest { speed, order, repeats, tells_nearest, ignore, .. } = asked;
    assert_eq!((speed, order, repeats, tells_nearest), (Speed::Max, MockOrder::Any, MockRepeats::Loop, false));
    assert_eq!(ignore, [".result._meta", ".params.a"]);
    // What is no path stays in the line, and `esc` leaves all as it was.
    rig.press("e up").typing(" /nothing").press("enter");
    assert!(rig.picture().contains("How tapes are played") && rig.picture().contains("/nothing"), "{}", rig.picture());
    rig.press("up up up up right esc");
    let Some(Command::Replay(asked)) = rig.press("space").commands().pop() else { panic!("{}", rig.picture()) };
    assert_eq!((asked.volatile, asked.ignore.len()), (Volatile::Exact, 2));
}

#[test]
fn tape_is_written_in_another_form_one_at_a_time() {
    let mut rig = at_tapes();
    rig.press("x p");
    let Some(Effect::Export { tape, form: TapeForm::Pytest }) = rig.effects.pop() else { panic!("{:?}", rig.effects) };
    assert!(tape.ends_with("demo.tape.jsonl"));
    assert!(rig.picture().contains("test_demo.py is being written, 0s"), "{}", rig.picture());
    rig.press("x h");
    assert!(
        rig.effects.is_empty() && rig.picture().contains("test_demo.py is still being written"),
        "{}",
        rig.picture()
    );
    let troubles = vec!["the last line is torn".to_owned()];
    let written = ExportedFile { file: "test_demo-2.py".into(), bytes: 2048, troubles };
    rig.change(Change::Input(ScreenInput::Exported(Ok(written))));
    let picture = rig.picture();
    assert!(picture.contains("2.0k written to test_demo-2.py, but the last line is torn"), "{picture}");
    rig.press("w h");
    assert!(matches!(rig.effects.pop(), Some(Effect::Export { form: TapeForm::Har, .. })));
    rig.change(Change::Input(ScreenInput::Exported(Err("the disk is full".to_owned()))));
    assert!(rig.picture().contains("demo.har is not written: the disk is full"), "{}", rig.picture());
}
