//! What the screen says of messages together is true: counts, progress, why a call waits, diagrams.

use std::path::Path;
use std::sync::Arc;

use super::rig::{Rig, World, busy, text_result};
use crate::envelope::{Author, Direction, Envelope, Outcome, Seq};
use crate::event::{
    CallStanding, Command, Difference, Event, Excused, ReplayEvent, ReplayRequest, ReplaySummary, StepReport,
    StepVerdict, StepWait,
};

#[test]
fn folded_replies_are_no_messages_of_a_shadow() {
    let mut rig = busy(120, 36);
    let picture = rig.press("P").picture();
    assert!(picture.contains("Messages 13 in pairs") && !picture.contains("shadow"), "{picture}");
}

#[test]
fn line_that_cannot_be_read_scrolls_with_the_cursor() {
    for key in ["f", "i"] {
        let mut rig = busy(60, 24);
        rig.press(key).typing("~nothing of that name ").typing(&"word ".repeat(20)).typing("END");
        assert!(rig.picture().contains("END"), "{key}: {}", rig.picture());
        rig.press("home");
        assert!(rig.picture().contains("~nothing"), "{key}: {}", rig.picture());
    }
}

#[test]
fn stopped_replay_is_not_full() {
    let mut rig = busy(120, 36);
    rig.press("4");
    rig.on_event(Event::Tapes(super::rig::tapes()));
    for event in super::pictures::replay() {
        rig.on_event(Event::Replay(event));
    }
    // What was not played any more is told all the same.
    for step in 6..=8 {
        let Some(ReplayEvent::Step(last)) = super::pictures::replay().pop() else { panic!("no step") };
        let why = Some("stopped".to_owned());
        let skipped = StepReport { step, verdict: StepVerdict::Skip, took: None, why, ..last };
        rig.on_event(Event::Replay(ReplayEvent::Step(skipped)));
    }
    let stopped = ReplaySummary { passed: 3, failed: 1, stopped: true, ..ReplaySummary::default() };
    rig.on_event(Event::Replay(ReplayEvent::Finished(stopped)));
    let picture = rig.picture();
    assert!(picture.contains("5/8  62%") && picture.contains("skip 4"), "{picture}");
}

#[test]
fn replay_says_what_it_waits_for_and_a_key_lets_it_go() {
    let mut rig = busy(80, 24);
    rig.press("4");
    rig.on_event(Event::Tapes(super::rig::tapes()));
    let asked = |rig: &mut Rig| rig.press("s").commands().pop();
    assert!(matches!(asked(&mut rig), Some(Command::Replay(ReplayRequest { by_step: true, .. }))));
    for event in super::pictures::replay() {
        rig.on_event(Event::Replay(event));
    }
    let wait =
        |left| Event::Replay(ReplayEvent::Waiting(StepWait { step: 6, next: "#9 tools/call x".to_owned(), left }));
    rig.on_event(wait(Some(72_000_000)));
    let picture = rig.picture();
    assert!(picture.contains("next in 1m12s, `s` sends it now: #9 tools/call x"), "{picture}");
    assert_eq!(rig.model.next_tick(), Some(std::time::Duration::from_secs(1)), "it counts down");
    assert!(matches!(asked(&mut rig), Some(Command::StepReplay)));
    assert!(!rig.picture().contains("sends it now"), "{}", rig.picture());
    rig.on_event(wait(None));
    assert!(rig.picture().contains("`s` sends the next: #9 tools/call x"), "{}", rig.picture());
    let Some(ReplayEvent::Step(last)) = super::pictures::replay().pop() else { panic!("no step") };
    rig.on_event(Event::Replay(ReplayEvent::Step(StepReport { step: 6, ..last })));
    assert!(!rig.picture().contains("sends the next"), "{}", rig.picture());
}

fn failed_step() -> Rig {
    let mut rig = busy(120, 36);
    rig.press("4");
    rig.on_event(Event::Tapes(super::rig::tapes()));
    for event in super::pictures::replay() {
        rig.on_event(Event::Replay(event));
    }
    rig.press("n tab");
    rig.commands();
    rig
}

#[test]
fn step_that_differs_is_accepted() {
    let mut rig = failed_step();
    assert!(rig.press("tab u i").commands().is_empty(), "not from the list, where the step may not be in sight");
    let asked = rig.press("tab u").commands().pop();
    assert!(matches!(asked, Some(Command::AcceptReply { tape, request: Seq(3) }) if tape.ends_with("demo.tape.jsonl")));
    let done = |tape: &Path| ReplayEvent::Accepted { tape: tape.into(), request: Seq(3), values: 1, left: Vec::new() };
    rig.on_event(Event::Replay(done(Path::new("another.tape.jsonl"))));
    assert!(rig.picture().contains("fail 1"), "{}", rig.picture());
    let tape = rig.model.tapes.replay.as_ref().unwrap().tape.clone();
    rig.on_event(Event::Replay(done(&tape)));
    let picture = rig.picture();
    for expected in ["accepted: 1 value of the tape", "fail 0", "accepted 1", "the tape expects now what was got"] {
        assert!(picture.contains(expected), "no `{expected}` in {picture}");
    }
    assert!(rig.press("u").commands().is_empty(), "once is enough");
    let log = rig.press("6").picture();
    assert!(log.contains("1 value of what answers #3 as the server has it"), "{log}");
    rig.press("4");
    assert!(rig.press("n").picture().contains("there is nothing here for that"), "{}", rig.picture());
}

#[test]
fn packed_tape_is_called_as_others_are() {
    let mut rig = busy(120, 36);
    rig.press("4");
    let mut tapes = super::rig::tapes();
    tapes[0].path = "/tapes/nightly.tape.jsonl.zst".into();
    rig.on_event(Event::Tapes(tapes));
    let picture = rig.picture();
    assert!(picture.contains("nightly") && !picture.contains("zst"), "{picture}");
}

#[test]
fn path_that_differs_in_several_items_is_ignored_once() {
    let mut rig = busy(120, 36);
    rig.press("4");
    for mut event in super::pictures::replay() {
        if let ReplayEvent::Step(step) = &mut event
            && let Some(first) = step.differences.pop()
        {
            let at = |path: &str| Difference { path: path.to_owned(), ..first.clone() };
            step.differences = [".a[0].x", ".a[0].y", ".a[1].x", ".a[1].y"].map(at).to_vec();
        }
        rig.on_event(Event::Replay(event));
    }
    let asked = rig.press("n tab i").commands().pop();
    assert!(matches!(asked, Some(Command::IgnoreInReplay { paths, .. }) if paths == [".a[*].x", ".a[*].y"]));
    // Each takes three lines; what has no room is counted.
    assert!(rig.picture().contains(" more lines"), "{}", rig.picture());
    rig.resize(120, 60);
    let picture = rig.picture();
    assert!(!picture.contains(" more lines") && picture.contains(".a[1].y"), "{picture}");
}

#[test]
fn paths_that_differ_are_ignored_until_they_count_again() {
    let mut rig = failed_step();
    let ignored = |command| match command {
        Some(Command::IgnoreInReplay { paths, .. }) => paths,
        other => panic!("{other:?}"),
    };
    assert_eq!(ignored(rig.press("i").commands().pop()), [".result.content[*].text"]);
    let picture = rig.picture();
    assert!(picture.contains("ignores 1 path") && picture.contains("; ignored from here on"), "{picture}");
    rig.on_event(Event::Replay(ReplayEvent::Finished(ReplaySummary::default())));
    rig.press("q");
    let asked = rig.press("r").commands().pop();
    assert!(
        matches!(asked, Some(Command::Replay(ReplayRequest { ignore, .. })) if ignore == [".result.content[*].text"])
    );
    // Of another tape everything counts.
    let asked = rig.press("j r").commands().pop();
    assert!(matches!(asked, Some(Command::Replay(ReplayRequest { ignore, .. })) if ignore.is_empty()));
}

#[test]
fn step_that_passed_as_it_was_ignored_says_so_when_that_counts_again() {
    let mut rig = failed_step();
    let ignored = |command| match command {
        Some(Command::IgnoreInReplay { paths, .. }) => paths,
        other => panic!("{other:?}"),
    };
    rig.press("i");
    // It passed, and says by what.
    let mut events = super::pictures::replay();
    let Some(ReplayEvent::Step(step)) = events.get_mut(3) else { panic!("no step") };
    let excused = step.differences.drain(..).map(|it| Excused {
        path: it.path,
        kind: "ignored".to_owned(),
        count: 1,
        expected: it.expected,
        got: it.got,
    });
    step.excused = excused.collect();
    (step.verdict, step.why) = (StepVerdict::Pass, None);
    events.truncate(4);
    events.into_iter().for_each(|event| rig.on_event(Event::Replay(event)));
    assert!(ignored(rig.press("i").commands().pop()).is_empty());
    let picture = rig.picture();
    assert!(picture.contains("counts again: .result.content[*].text") && !picture.contains("ignores 1"), "{picture}");
    assert!(picture.contains("passed, as what differs was ignored; it counts from here on"), "{picture}");
    // And ignored once more.
    assert_eq!(ignored(rig.press("i").commands().pop()), [".result.content[*].text"]);
    assert!(rig.picture().contains("as recorded, but for what changes from run to run"), "{}", rig.picture());
}

#[test]
fn step_too_many_after_the_end_takes_nothing_away() {
    let mut rig = busy(120, 36);
    rig.press("4");
    rig.on_event(Event::Tapes(super::rig::tapes()));
    let is_by_step = |rig: &mut Rig, key: &str| match rig.press(key).commands().pop() {
        Some(Command::Replay(ReplayRequest { by_step, .. })) => Some(by_step),
        _ => None,
    };
    assert_eq!(is_by_step(&mut rig, "s"), Some(true));
    let summary = ReplaySummary { passed: 3, failed: 1, ..ReplaySummary::default() };
    for event in super::pictures::replay().into_iter().chain([ReplayEvent::Finished(summary)]) {
        rig.on_event(Event::Replay(event));
    }
    rig.commands();
    assert_eq!(is_by_step(&mut rig, "s"), None);
    let picture = rig.picture();
    assert!(picture.contains("the replay has ended; `space` plays it again, step by step"), "{picture}");
    assert!(picture.contains("FAIL"), "what differs is still there: {picture}");
    assert_eq!(is_by_step(&mut rig, "space"), Some(true));
    // At a pace, where that is asked for; and of another tape it is the first step.
    assert_eq!(is_by_step(&mut rig, "m space"), Some(false));
    assert_eq!(is_by_step(&mut rig, "j s"), Some(true));
}

#[test]
fn step_is_read_in_full() {
    let mut rig = failed_step();
    rig.press("v");
    let picture = rig.picture();
    for expected in ["step 3   - expected   + got", ".result.content[0].text", "- 250 ms", "+ 300 ms"] {
        assert!(picture.contains(expected), "no `{expected}` in {picture}");
    }
}

#[test]
fn step_that_was_accepted_has_not_failed_in_the_last_word() {
    let mut rig = failed_step();
    let tape = rig.model.tapes.replay.as_ref().unwrap().tape.clone();
    rig.on_event(Event::Replay(ReplayEvent::Accepted { tape, request: Seq(3), values: 1, left: Vec::new() }));
    let summary = ReplaySummary { passed: 3, failed: 1, ..ReplaySummary::default() };
    rig.on_event(Event::Replay(ReplayEvent::Finished(summary)));
    assert!(rig.picture().contains("replay done: 3 passed, 0 failed, 1 accepted"), "{}", rig.picture());
}

#[test]
fn large_tape_says_how_far_it_is_read_and_is_left_there() {
    let mut rig = failed_step();
    rig.on_event(Event::Replay(ReplayEvent::Finished(ReplaySummary::default())));
    rig.model.notice = None;
    let tape = Path::new("/tapes/large.tape.jsonl");
    rig.on_event(Event::Replay(ReplayEvent::Reading { tape: tape.into(), read: 430 << 20, of: 1 << 30 }));
    let picture = rig.picture();
    assert!(picture.contains("large is read to be played: 41% of 1.0G; `space` stops that"), "{picture}");
    assert!(matches!(rig.press("q space").commands().pop(), Some(Command::StopReplay)));
    rig.on_event(Event::Replay(ReplayEvent::Failed { why: "it was stopped".to_owned() }));
    let picture = rig.picture();
    assert!(picture.contains("replay failed: it was stopped") && !picture.contains("is read"), "{picture}");
    assert!(picture.contains("done in"), "the one before is as it was: {picture}");
}

/// What is new in a world after the one of `busy`.
fn world() -> World {
    let mut world = World::new();
    world.seq = 1300;
    world
}

fn passed(envelope: Envelope) -> Event {
    Event::Passed(Arc::new(envelope))
}

#[test]
fn message_of_tapline_is_not_said_by_the_server() {
    let mut rig = busy(120, 36);
    let mut world = world();
    let (call, other) = (world.call(2, 90, "slow", "{}"), world.call(2, 91, "slower", "{}"));
    let error = r#""error":{"code":-31900,"message":"tapline: the server has ended"}"#;
    let made = |envelope| Envelope { outcome: Outcome::Injected(Author::Tapline), ..envelope };
    let reply = made(world.reply(&call, 4_000, error));
    rig.on_event(passed(call));
    rig.on_event(passed(other));
    rig.press(": 1 3 0 1 enter g w");
    rig.on_event(passed(reply));
    let now = rig.model.now.plus_micros(1_000_000);
    rig.model.tick(now);
    let picture = rig.picture();
    assert!(picture.contains("it is answered now, by #1303, made by tapline"), "{picture}");
    assert!(picture.contains("tapline: the server has ended"), "{picture}");
    assert!(picture.contains("the server has sent no message since"), "{picture}");
    assert!(!picture.contains("behind it"), "an answered call waits for nothing: {picture}");
    let picture = rig.press("esc g d").picture();
    assert!(picture.contains("+ tapline: error tools/call slow"), "{picture}");
}

/// What was seen of the server's response is told of a call that the server has, and only until it is over.
#[test]
fn response_of_a_held_or_an_answered_call_is_not_waited_for() {
    let mut rig = busy(120, 36);
    let mut world = world();
    let call = world.call(2, 90, "slow", "{}");
    let reply = world.reply(&call, 4_000, &text_result("done"));
    rig.on_event(passed(call));
    for (number, is_with_server) in [("1 1 9 7", false), ("1 3 0 1", true)] {
        rig.commands();
        let asked = rig.press(&format!("esc : {number} enter g w")).commands();
        let [Command::Examine(asked)] = &asked[..] else { panic!("{number}: {asked:?}") };
        let (session, call) = (asked.session, asked.call);
        let seen = CallStanding { session, call, child: None, stream: None, unread_by_client: 0 };
        rig.on_event(Event::Examined(seen.into()));
        let picture = rig.picture();
        assert_eq!(picture.contains("no response has begun"), is_with_server, "{picture}");
        assert_eq!(picture.contains("it is held here"), !is_with_server, "{picture}");
    }
    rig.on_event(passed(reply));
    let now = rig.model.now.plus_micros(1_000_000);
    rig.model.tick(now);
    let picture = rig.picture();
    assert!(picture.contains("it is answered now") && !picture.contains("no response has begun"), "{picture}");
}

#[test]
fn calls_behind_say_that_one_is_taken_at_a_time_unless_one_was_answered() {
    let mut rig = busy(120, 36);
    let mut world = world();
    let calls: Vec<_> = (90..93).map(|id| world.call(2, id, "slow", "{}")).collect();
    let reply = world.reply(&calls[1], 20, &text_result("done"));
    for call in calls {
        rig.on_event(passed(call));
    }
    let picture = rig.press(": 1 3 0 1 enter g w").picture();
    assert!(picture.contains("2 requests behind it without a reply"), "{picture}");
    rig.on_event(passed(reply));
    let now = rig.model.now.plus_micros(1_000_000);
    rig.model.tick(now);
    let picture = rig.picture();
    assert!(picture.contains("has said 1 message since") && !picture.contains("behind it"), "{picture}");
}

#[test]
fn call_whose_client_hung_up_while_it_was_held_is_over() {
    let mut rig = busy(120, 36);
    let mut call = world().call(2, 90, "slow", "{}");
    (call.outcome, call.held) = (Outcome::Abandoned, Some(3_000_000));
    rig.on_event(passed(call));
    let picture = rig.press(": 1 3 0 1 enter g w").picture();
    assert!(picture.contains("its client gave it up after 3.0s while it was held: it was never sent on"), "{picture}");
    let picture = rig.press("esc g t").picture();
    assert!(picture.contains("slow") && picture.contains("x3.0s"), "{picture}");
    let picture = rig.press("esc f").typing("~open").press("enter").picture();
    assert!(!picture.contains(" 1301 "), "{picture}");
}

#[test]
fn part_of_a_long_session_says_that_it_is_one_and_has_the_message_at_the_cursor() {
    let mut rig = busy(120, 36);
    let mut world = world();
    world.seq = 999_000;
    for id in 0..1_200 {
        let call = world.call(2, 100 + id, "again", "{}");
        rig.on_event(passed(call));
    }
    for keys in ["g d", "g t"] {
        let picture = rig.press("esc : 9 9 9 3 0 0 enter").press(keys).picture();
        assert!(picture.contains(", 500 of 12") && picture.contains("around #999300"), "{picture}");
        // In the title, and in the middle of the window.
        let lines: Vec<_> = picture.lines().collect();
        let at = lines.iter().rposition(|line| line.contains("#999300 "));
        assert!(at.is_some_and(|at| (12..24).contains(&at)), "{keys}: {picture}");
        let picture = rig.press("g").picture();
        assert!(picture.contains("#999051"), "{keys}: half of them before it: {picture}");
    }
    let picture = rig.press("esc : 1 0 0 0 2 0 0 enter g t").picture();
    assert!(picture.contains("#1000200 ") && picture.contains("the newest"), "{picture}");
    let picture = rig.press("g").picture();
    assert!(picture.contains(" #999701 "), "{picture}");
}

#[test]
fn diagrams_asked_for_on_the_newest_message_go_on_with_what_comes() {
    let mut rig = busy(120, 36);
    let mut world = world();
    let mut calls = |rig: &mut Rig, id: u32, name: &str| {
        for id in id..id + 600 {
            let call = world.call(2, id, name, "{}");
            rig.on_event(passed(call));
        }
    };
    calls(&mut rig, 100, "before");
    for (keys, id) in [("G g d", 1_000), ("g t", 2_000)] {
        let picture = rig.press(keys).picture();
        assert!(picture.contains("the newest"), "{picture}");
        calls(&mut rig, id, &format!("later_{id}"));
        rig.model.tick(rig.model.now.plus_micros(1_000_000));
        let picture = rig.picture();
        assert!(picture.contains(&format!("later_{id}")), "{picture}");
        rig.press("esc");
    }
}

#[test]
fn diagrams_stay_at_their_end_or_where_the_reader_is() {
    for keys in ["G g d", "G g t"] {
        let mut rig = busy(120, 36);
        let mut world = world();
        let mut call = |rig: &mut Rig| {
            let call = world.call(2, u32::try_from(world.seq).unwrap(), "again", "{}");
            let newest = call.seq.to_string();
            rig.on_event(passed(call));
            rig.model.tick(rig.model.now.plus_micros(1_000_000));
            newest
        };
        call(&mut rig);
        assert!(rig.press(keys).picture().contains("#1301 "), "{keys}");
        // While there is room, when there is none any more, and when older ones leave.
        for (unseen, seen) in [(0, 40), (460, 20)] {
            (0..unseen).for_each(|_| drop(call(&mut rig)));
            for _ in 0..seen {
                let newest = call(&mut rig);
                assert!(rig.picture().contains(&newest), "{keys} {newest}: {}", rig.picture());
            }
        }
        let read = rig.press("k k k").picture();
        let first = read.split_whitespace().find(|word| word.starts_with("#1")).unwrap().to_owned();
        for _ in 0..40 {
            call(&mut rig);
        }
        let picture = rig.picture();
        let still = picture.split_whitespace().find(|word| word.starts_with("#1")).unwrap();
        assert_eq!(still, first, "{keys}: {picture}");
        let newest = rig.press("G").picture();
        assert!(newest.contains("#1861 "), "{keys}: {newest}");
    }
}

#[test]
fn backlog_is_no_rate_of_now() {
    let mut rig = Rig::new(120, 36);
    let told = [Event::ResyncStarted].into_iter().chain(super::rig::busy_events()).chain([Event::ResyncDone]);
    told.for_each(|event| rig.on_event(event));
    assert_eq!(rig.model.observed.stats.rate(), None);
    assert!(rig.model.observed.rows.get(Seq(1189)).is_some());
    rig.on_event(passed(world().call(2, 90, "now", "{}")));
    assert!(rig.model.observed.stats.rate().is_some());
}

#[test]
fn help_finds_what_the_key_line_says_and_tells_each_key_once() {
    let mut rig = busy(120, 60);
    let picture = rig.press("?").typing("timeline").picture();
    assert!(picture.contains("the calls of this session, each as a bar over its time"), "{picture}");
    let mut rig = busy(120, 36);
    let picture = rig.press("enter ?").typing("read the message in $PAGER").picture();
    let here = picture.split("signs").next().unwrap_or_default();
    let told = here.lines().filter(|line| line.contains("read the message in $PAGER") && line.contains(" v ")).count();
    assert_eq!(told, 2, "once here, and once of the queue: {picture}");
}

#[test]
fn list_that_was_never_listed_has_not_changed_since() {
    let mut rig = busy(120, 36);
    let mut world = world();
    let list = world.message(2, Direction::ToServer, r#"{"jsonrpc":"2.0","id":70,"method":"resources/list"}"#);
    let listed = world.reply(&list, 12, r#""result":{"resources":[{"uri":"file:///trips/rome","name":"Rome"}]}"#);
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/resources/list_changed"}"#;
    let changed = world.message(2, Direction::ToClient, changed);
    [list, listed, changed].into_iter().for_each(|envelope| rig.on_event(passed(envelope)));
    let picture = rig.press("C").picture();
    let line = picture.lines().find_map(|line| line.split("changed since they were listed: ").nth(1));
    assert!(line.is_some_and(|line| line.starts_with("resources ")), "{picture}");
}
