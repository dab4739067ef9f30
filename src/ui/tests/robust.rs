//! Whatever is pressed, whatever the size, whatever a peer sends.

use std::path::Path;
use std::sync::Arc;

use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;

use super::rig::{Rig, World, busy, busy_events, busy_with, held, session, tapes};
use crate::envelope::{Direction, Seq, Via};
use crate::event::{Event, Level, LogLine, Session, TapeEnd, TapePart, Ticket};
use crate::ui::keymap::{BINDINGS, KeyContext};
use crate::ui::model::Change;
use crate::ui::{ScreenInput, Settings};

fn any_key() -> impl Strategy<Value = KeyEvent> {
    let special = prop_oneof![
        Just(KeyCode::Enter),
        Just(KeyCode::Esc),
        Just(KeyCode::Tab),
        Just(KeyCode::BackTab),
        Just(KeyCode::Backspace),
        Just(KeyCode::Delete),
        Just(KeyCode::Up),
        Just(KeyCode::Down),
        Just(KeyCode::Left),
        Just(KeyCode::Right),
        Just(KeyCode::Home),
        Just(KeyCode::End),
        Just(KeyCode::PageUp),
        Just(KeyCode::PageDown),
    ];
    let typed = prop::sample::select(
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ?:;/|*+-<> {}[]\"~&(@é家"
            .chars()
            .collect::<Vec<_>>(),
    );
    let code = prop_oneof![special, typed.prop_map(KeyCode::Char)];
    let modifiers = prop_oneof![4 => Just(KeyModifiers::NONE), 1 => Just(KeyModifiers::CONTROL)];
    (code, modifiers).prop_map(|(code, modifiers)| KeyEvent::new(code, modifiers))
}

/// What may come at a screen, in any order.
#[derive(Clone, Debug)]
enum Stroke {
    Key(KeyEvent),
    Paste(String),
    Resize(u16, u16),
    /// So many messages at once, some of them held.
    Burst(u8),
    /// Something larger that the core tells, also where nobody asked for it.
    Told(fn(&mut Rig)),
    Time,
}

fn any_stroke() -> impl Strategy<Value = Stroke> {
    let pastes =
        prop::sample::select(vec!["{\"a\": [1, \"页\"]}\r\n", "~m tools & (", "\u{1b}[31m\u{202e}", "1193", ""]);
    // With the keys that ask for it, which go to whatever is open then.
    let told: [fn(&mut Rig); 9] = [
        super::comparing::compared,
        |rig| {
            super::comparing::asked_to_compare(rig);
            rig.on_event(Event::Compared(super::comparing::unreadable()));
        },
        super::branching::rewound,
        super::branching::tape_tree,
        |rig| rig.on_event(super::branching::branched()),
        |rig| super::pictures::replay().into_iter().for_each(|event| rig.on_event(Event::Replay(event))),
        super::scenes::offer,
        super::scenes::offer_anew,
        super::metrics::measure,
    ];
    prop_oneof![
        12 => any_key().prop_map(Stroke::Key),
        2 => pastes.prop_map(|text| Stroke::Paste(text.to_owned())),
        1 => (1u16..200, 1u16..60).prop_map(|(width, height)| Stroke::Resize(width, height)),
        2 => (1u8..25).prop_map(Stroke::Burst),
        2 => prop::sample::select(told.to_vec()).prop_map(Stroke::Told),
        1 => Just(Stroke::Time),
    ]
}

/// Calls with their replies; every fifth is held, and those held before are let go.
fn burst(rig: &mut Rig, world: &mut World, count: u8) {
    for number in 0..count {
        let call = world.call(1 + u128::from(number % 2), u32::from(number), "search", r#"{"query":"页面"}"#);
        if number % 5 == 0 {
            rig.on_event(held(world.seq, call, 1));
            continue;
        }
        let reply = world.reply(&call, 3, r#""result":{"content":[]}"#);
        rig.on_event(Event::Passed(Arc::new(call)));
        rig.on_event(Event::Passed(Arc::new(reply)));
        rig.on_event(Event::Settled { ticket: Ticket(world.seq.saturating_sub(20)) });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn screen_survives_any_keys_pastes_and_sizes_under_load(strokes in prop::collection::vec(any_stroke(), 0..50)) {
        let settings = Settings { memory: 60_000, ..Settings::default() };
        let mut rig = busy_with(120, 36, &settings);
        let mut world = World::new();
        world.seq = 1400;
        rig.on_event(Event::Tapes(tapes()));
        let mut now = rig.model.now;
        for stroke in strokes {
            match stroke {
                Stroke::Key(key) => rig.event(key),
                Stroke::Paste(text) => rig.change(Change::Input(ScreenInput::Terminal(TerminalEvent::Paste(text)))),
                Stroke::Resize(width, height) => rig.resize(width, height),
                Stroke::Burst(count) => burst(&mut rig, &mut world, count),
                Stroke::Told(told) => told(&mut rig),
                Stroke::Time => {
                    now = now.plus_micros(1_700_000);
                    let _ = rig.model.tick(now);
                    rig.model.work_on();
                }
            }
            rig.picture();
        }
    }
}

#[test]
fn screen_is_drawn_in_every_size() {
    for keys in [
        "",
        "enter",
        "2",
        "2 e",
        "2 b",
        "4",
        "6",
        "?",
        "s",
        "Q",
        "f",
        "g",
        "tab",
        "+",
        ": 1 1 9 3 enter enter j j j j j j j j enter",
    ] {
        for (width, height) in [(1, 1), (5, 2), (20, 5), (40, 10), (40, 12), (60, 16), (59, 15), (110, 20), (200, 60)] {
            let mut rig = busy(width, height);
            rig.press(keys).picture();
        }
    }
}

#[test]
fn small_window_shows_one_pane_and_the_smallest_one_line() {
    let mut rig = busy(50, 14);
    assert!(rig.picture().contains("method / name"));
    assert!(!rig.picture().contains("[Tree]"));
    assert!(rig.press("enter").picture().contains("[Tree]"));
    let mut tiny = busy(30, 6);
    assert_eq!(tiny.picture().lines().next(), Some("2 held  1 err  13 msgs  2.6/s"));
}

#[test]
fn keys_decide_on_nothing_where_the_screen_is_too_small_to_show_it() {
    for (width, height) in [(39, 24), (80, 9)] {
        let mut rig = busy(width, height);
        rig.press("Q x 2 a i y");
        assert!(rig.commands().is_empty());
        assert!(rig.picture().starts_with("keys need 40x10; ctrl c quits"), "{}", rig.picture());
        rig.resize(80, 24);
        let picture = rig.picture();
        assert!(!picture.contains("answer them"), "no question waits unseen");
        assert!(!picture.contains("keys need"), "it is large enough now: {picture}");
    }
}

#[test]
fn ascii_is_ascii() {
    let settings = Settings { ascii: true, mono: true, ..Settings::default() };
    for keys in ["", "2", "4", "6", "?", "s", "2 b", "enter"] {
        let picture = busy_with(120, 36, &settings).press(keys).picture().replace("页面", "");
        assert!(picture.is_ascii(), "{keys}: {picture}");
    }
}

#[test]
fn mono_has_no_colour() {
    let settings = Settings { mono: true, ..Settings::default() };
    for keys in ["", "2", "2 e", "2 b", "4", "6", "?", "s"] {
        let mut rig = busy_with(120, 36, &settings);
        rig.press(keys);
        assert!(rig.buffer().content.iter().all(|cell| cell.fg == ratatui::style::Color::Reset), "{keys}");
    }
}

/// Colours the window, rings, renames it, reorders text, deletes.
const HOSTILE: &str = "\u{1b}[31m\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}gnp.exe\u{8}\u{7f}";

#[test]
fn control_bytes_of_a_peer_never_reach_the_terminal() {
    let mut rig = Rig::new(120, 36);
    let mut hostile = session(1, HOSTILE, (HOSTILE, HOSTILE), Via::Http);
    hostile.upstream = HOSTILE.into();
    rig.on_event(Event::Listening { url: HOSTILE.to_owned(), upstream: HOSTILE.to_owned() });
    rig.on_event(Event::SessionOpened(hostile.into()));
    let mut world = World::new();
    let text = serde_json::Value::from(HOSTILE);
    let escaped = format!(r#"{{"jsonrpc":"2.0","id":{text},"method":{text},"params":{{{text}:{text}}}}}"#);
    let call = world.message(1, Direction::ToServer, &escaped);
    let failed = world.reply(&call, 1, &format!(r#""error":{{"code":1,"message":{text}}}"#));
    let raw = world.message(1, Direction::ToClient, HOSTILE);
    rig.on_event(Event::Passed(Arc::new(call.clone())));
    rig.on_event(Event::Passed(Arc::new(failed)));
    rig.on_event(Event::Passed(Arc::new(raw.clone())));
    rig.on_event(Event::Log(LogLine::new(Level::Error, HOSTILE, HOSTILE)));
    let mut again = (call, raw);
    (again.0.seq, again.1.seq) = (Seq(2000), Seq(2001));
    rig.on_event(held(1, again.0, 1));
    rig.on_event(held(2, again.1, 1));
    for keys in ["", "k k k k", "enter", "l", "l", "esc 2", "e", "esc b", "esc j", "e", "esc 6", "1 s", "esc ?"] {
        rig.press(keys);
        let broken = |symbol: &str| symbol.chars().any(|c| crate::text::is_unsafe(c) && c != '\u{200d}');
        let bad: Vec<String> =
            rig.buffer().content.iter().map(|cell| cell.symbol().to_owned()).filter(|s| broken(s)).collect();
        assert_eq!(bad, Vec::<String>::new(), "{keys}");
    }
}

#[test]
fn keys_of_a_context_are_unique() {
    for context in KeyContext::ALL {
        let mut seen: Vec<&str> = Vec::new();
        for binding in BINDINGS.iter().filter(|binding| binding.on == context) {
            assert!(!binding.help.is_empty());
            for key in binding.keys {
                // A key may mean one thing or another by what is selected.
                let split =
                    [("enter", KeyContext::Detail), ("enter", KeyContext::Events), ("space", KeyContext::Tapes)];
                assert!(!seen.contains(key) || split.contains(&(*key, context)), "{context:?} {key}");
                seen.push(key);
            }
        }
    }
    assert!(BINDINGS.iter().all(|binding| KeyContext::ALL.contains(&binding.on)), "all are in the help");
}

#[test]
fn lost_events_are_reported_and_resynced_without_flicker() {
    let mut rig = busy(120, 36);
    rig.press("k k k");
    let before = rig.picture();
    rig.change(Change::Dropped(7));
    assert_eq!(rig.sent(), "Resync");
    rig.change(Change::Dropped(2));
    assert_eq!(rig.sent(), "", "it was asked already");
    rig.on_event(Event::ResyncStarted);
    for event in busy_events() {
        rig.on_event(event);
        let now = rig.picture().replace(" dropped 9 ", "           ");
        assert_eq!(now.lines().skip(1).collect::<Vec<_>>(), before.lines().skip(1).collect::<Vec<_>>());
    }
    rig.on_event(Event::ResyncDone);
    assert!(rig.picture().contains("dropped 9"));
    assert_eq!(rig.model.observed.rows.len(), 13);
    assert_eq!(rig.picture().lines().skip(1).collect::<Vec<_>>(), before.lines().skip(1).collect::<Vec<_>>());
}

#[test]
fn memory_is_bounded_and_evictions_are_counted() {
    let settings = Settings { memory: 40_000, ..Settings::default() };
    let mut rig = Rig::with(120, 36, &settings);
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    let mut world = World::new();
    for _ in 0..500 {
        let call = world.call(1, 1, "search", "{}");
        rig.on_event(Event::Passed(Arc::new(call)));
    }
    let rows = &rig.model.observed.rows;
    assert!(rows.len() < 100, "{}", rows.len());
    assert_eq!(rows.len() as u64 + rows.older, 500);
    assert!(rig.picture().contains("older gone, on no tape"));
    let recorded = session(1, "files-srv", ("ide", "1.4"), Via::Http);
    let recorded = Session { tape: Some(Path::new("/tapes/one.tape.jsonl").into()), ..recorded };
    rig.on_event(Event::SessionChanged(recorded.into()));
    assert!(rig.picture().contains("older on tape"));
}

#[test]
fn tape_larger_than_the_memory_is_shown_in_part() {
    let settings = Settings { memory: 40_000, ..Settings::default() };
    let path = Path::new("/tapes/large.tape.jsonl").to_owned();
    for (goal, first) in [(None, Some(1)), (Some(Seq(3_000)), None)] {
        let mut rig = Rig::with(120, 36, &settings);
        let mut world = World::new();
        world.seq = 0;
        let session: Arc<Session> = session(1, "files-srv", ("ide", "1.4"), Via::Http).into();
        let mut some = |count| -> TapePart {
            (0..count).map(|_| Arc::new(world.call(1, 1, "search", "{}"))).collect::<Vec<_>>().into()
        };
        rig.model.tapes.goal = goal;
        rig.on_event(Event::TapeOpened { path: path.clone(), session: session.clone(), part: some(500) });
        for _ in 0..10 {
            rig.on_event(Event::TapeRead { path: path.clone(), part: some(500), end: None });
        }
        let end = TapeEnd {
            session,
            messages: 5_500,
            problems: Vec::new(),
            found: Vec::new(),
            seams: Vec::new(),
            annotations: Vec::new(),
        };
        rig.on_event(Event::TapeRead { path: path.clone(), part: TapePart::default(), end: Some(Box::new(end)) });
        let tape = rig.model.tape.as_ref().unwrap();
        let shown = tape.rows.len() as u64;
        assert!(shown < 1_000 && shown + tape.rows.older + tape.later == 5_500, "{shown} and {}", tape.later);
        assert!(first.is_none_or(|first| tape.rows.seq_at(0) == Some(Seq(first))));
        assert_eq!(rig.model.selected().unwrap().envelope.seq, goal.unwrap_or(Seq(1)));
        let picture = rig.picture();
        assert!(picture.contains("behind, on tape") && picture.contains("are not shown: `--memory` is"), "{picture}");
    }
}

#[test]
fn scan_runs_in_slices_and_misses_nothing() {
    let mut rig = Rig::new(120, 36);
    let mut world = World::new();
    for number in 0..3000 {
        let tool = if number % 3 == 0 { "search" } else { "read" };
        let call = world.call(1, number, tool, "{}");
        crate::ui::update::update(&mut rig.model, Change::Event(Box::new(Event::Passed(Arc::new(call)))));
    }
    rig.press("f").typing("~tool search");
    let late = world.call(1, 9999, "search", "{}");
    rig.on_event(Event::Passed(Arc::new(late)));
    rig.finish_scan();
    assert_eq!(rig.model.list().len(rig.model.messages().0), 1001);
}
