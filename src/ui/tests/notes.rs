//! What the operator notes of messages and keeps of them: marks, comments, orders, comparisons, filters with names, rules, colours.

use std::sync::Arc;

use ratatui::style::Color;

use super::rig::{Rig, START, World, busy, busy_with, held, text_result};
use crate::envelope::{Direction, Seq};
use crate::event::{
    Annotation, CallStanding, ChildStanding, Command, Event, ExamineRequest, Landmark, Level, LogLine, MessageMark,
    ProcessStanding, ProcessState, StreamStanding, Ticket,
};
use crate::filter::SavedFilters;
use crate::ui::Settings;
use crate::ui::model::popup::Popup;
use crate::ui::model::{Effect, Model};
use crate::ui::settings::ColorTheme;

fn shown(rig: &Rig) -> Vec<u64> {
    let (rows, list) = rig.model.messages();
    (0..list.len(rows)).filter_map(|at| list.row(rows, at)).map(|row| row.envelope.seq.0).collect()
}

#[test]
fn marks_and_comments_are_found_and_survive_a_resync() {
    let mut rig = busy(120, 36);
    rig.press(": 1 1 8 9 enter m : 1 1 9 5 enter ;");
    rig.typing("why?").press("enter f");
    rig.typing("~marked or ~comment why").press("enter");
    assert_eq!(shown(&rig), [1189, 1195]);
    // The core tells again what it was told.
    let noted = rig.commands().into_iter().flat_map(|command| match command {
        Command::Annotate(request) => request.annotations,
        _ => Vec::new(),
    });
    let noted: Vec<_> = noted.map(|it| Event::Annotated(it.into())).collect();
    assert_eq!(noted.len(), 2);
    let told = super::rig::busy_events().into_iter().chain(noted);
    for event in [Event::ResyncStarted].into_iter().chain(told).chain([Event::ResyncDone]) {
        rig.on_event(event);
    }
    rig.model.tick(START.plus_micros(21_000_000));
    assert_eq!(shown(&rig), [1189, 1195]);
    rig.press("G");
    assert!(rig.picture().contains("; why?"), "{}", rig.picture());
    rig.press("M");
    assert_eq!(shown(&rig), [1189]);
    rig.press("U");
    assert_eq!(shown(&rig), [0_u64; 0]);
}

#[test]
fn marked_are_shown_of_what_the_filter_shows() {
    let mut rig = busy(120, 36);
    rig.press(": 1 1 8 9 enter m : 1 1 9 5 enter m f");
    rig.typing("~q | ~n").press("enter");
    rig.finish_scan();
    let before = shown(&rig);
    assert!(before.contains(&1189) && !before.contains(&1195), "{before:?}");
    rig.press("M");
    rig.finish_scan();
    assert_eq!(shown(&rig), [1189], "marked, and let through by the filter");
    rig.press("M");
    rig.finish_scan();
    assert_eq!(shown(&rig), before);
    let text = |rig: &Rig| rig.model.list().filter.as_ref().map(|(text, _)| text.clone());
    assert_eq!(text(&rig).as_deref(), Some("~q | ~n"));
    rig.press("f ctrl-u enter M");
    rig.finish_scan();
    assert_eq!((shown(&rig), text(&rig).as_deref()), (vec![1189, 1195], Some("~marked")));
    rig.press("M");
    rig.finish_scan();
    assert_eq!(text(&rig), None);
}

#[test]
fn marks_of_another_screen_are_shown_and_those_of_another_session_are_not() {
    let mut rig = busy(120, 36);
    let mark = MessageMark { is_marked: true, comment: "seen there".to_owned() };
    let noted = rig.model.observed.rows.annotation(Seq(1189)).unwrap();
    rig.on_event(Event::Annotated(
        Annotation { session: super::rig::session_id(99), mark: mark.clone(), ..noted.clone() }.into(),
    ));
    assert_eq!(rig.model.observed.rows.mark(Seq(1189)), None);
    rig.on_event(Event::Annotated(Annotation { mark: mark.clone(), ..noted.clone() }.into()));
    assert_eq!(rig.model.observed.rows.mark(Seq(1189)), Some(&mark));
    rig.on_event(Event::Annotated(noted.into()));
    assert_eq!(rig.model.observed.rows.mark(Seq(1189)), None, "taken back there");
}

#[test]
fn comment_says_where_it_is_not_kept() {
    let mut rig = busy(120, 36);
    let picture = rig.press(": 1 1 8 9 enter ;").typing("why?").press("enter").picture();
    assert!(picture.contains("nothing is recorded: marks and comments last"), "{picture}");
}

#[test]
fn list_is_sorted_and_turned_around() {
    let mut rig = busy(120, 36);
    rig.press("o");
    assert_eq!(rig.model.selected().unwrap().envelope.name(), Some("git_log"), "the slowest");
    assert!(rig.picture().contains("slowest first"));
    rig.press("o");
    let largest = rig.model.selected().unwrap().envelope.message.raw().len();
    assert!(largest > 1_000, "{largest}");
    rig.press("O");
    assert!(rig.picture().contains("smallest first"));
    rig.press("O o o");
    assert!(!rig.picture().contains(" first"), "by time again: {}", rig.picture());
    let all = shown(&rig);
    assert!(all.is_sorted() && all.len() == 13, "{all:?}");
}

#[test]
fn two_messages_are_compared() {
    let mut rig = busy(120, 36);
    rig.press(": 1 1 8 9 enter d : 1 1 9 1 enter d");
    let picture = rig.picture();
    assert!(picture.contains("- #1189 request   + #1191 request"), "{picture}");
    assert!(
        picture.contains("-     \"name\": \"search\"") && picture.contains("+     \"name\": \"read_file\""),
        "{picture}"
    );
}

#[test]
fn filters_are_remembered_and_get_names() {
    let mut rig = busy(120, 36);
    rig.press("f");
    rig.typing("~q & ~tool git").press("enter");
    assert!(matches!(&rig.effects[..], [Effect::Remember(lines)] if *lines == ["~q & ~tool git"]), "{:?}", rig.effects);
    rig.press(":");
    rig.typing("filter save git").press("enter");
    let Some(Effect::Remember(lines)) = rig.effects.last() else { panic!("{:?}", rig.effects) };
    assert_eq!(*lines, ["@git ~q & ~tool git", "~q & ~tool git"]);
    let settings = Settings { remembered: lines.clone(), ..Settings::default() };
    let mut rig = busy_with(120, 36, &settings);
    rig.press("f");
    rig.typing("@git").press("enter");
    assert_eq!(shown(&rig), [1194]);
    rig.press("f ctrl-u up up");
    assert_eq!(rig.model.prompt.as_ref().unwrap().line.text(), "~q & ~tool git");
}

#[test]
fn theme_turns_and_its_cursor_keeps_all_colours() {
    let settings = Settings { theme: ColorTheme::Dark, ..Settings::default() };
    let mut rig = busy_with(120, 36, &settings);
    rig.press(": 1 1 9 5 enter");
    let cells = rig.buffer().content.iter().filter(|cell| cell.bg == Color::Indexed(238));
    let colours: std::collections::BTreeSet<_> = cells.map(|cell| format!("{:?}", cell.fg)).collect();
    assert!(colours.contains("Indexed(210)") && colours.len() > 2, "{colours:?}");
    rig.press("t t");
    assert_eq!(rig.model.settings.theme, ColorTheme::Light);
    rig.press("t t t t");
    assert!(rig.buffer().content.iter().all(|cell| cell.fg == Color::Reset), "mono");
}

#[test]
fn long_line_of_the_editor_is_broken() {
    let mut rig = busy(120, 36);
    let mut world = World::new();
    world.seq = 1300;
    let text = format!(r#"{{"text":"{}END"}}"#, "word ".repeat(60));
    rig.on_event(held(7, world.call(1, 90, "write", &text), 1));
    rig.press("2 G e");
    let picture = rig.picture();
    assert!(picture.contains("END") && picture.contains("\"jsonrpc\""), "{picture}");
}

#[test]
fn request_that_nobody_holds_any_more_is_sent_as_a_new_one() {
    let mut rig = busy(120, 36);
    rig.press("2 e");
    rig.on_event(Event::Settled { ticket: Ticket(1) });
    assert!(rig.picture().contains("`ctrl s` sends it as a new request"), "{}", rig.picture());
    rig.commands();
    rig.press("ctrl-s");
    assert!(matches!(&rig.commands()[..], [Command::Send { .. }]));
}

#[test]
fn fault_of_the_editor_is_gone_to() {
    let mut rig = busy(120, 36);
    rig.press("2 e");
    let editor = rig.model.editor.as_mut().unwrap();
    let text = editor.text().replace("\"method\"", "method");
    editor.replace(&text);
    rig.press("ctrl-g");
    let fault = rig.model.editor.as_ref().unwrap().verdict.fault.as_ref().unwrap();
    let (line, column) = (fault.line, fault.column);
    let cursor = rig.model.editor.as_ref().unwrap().area.cursor();
    assert_eq!((cursor.0 + 1, cursor.1 + 1), (line, column));
}

#[test]
fn model_takes_filters_of_files_before_those_remembered() {
    let mut filters = SavedFilters::default();
    filters.put("a", "~q").unwrap();
    let settings = Settings { filters, remembered: vec!["@a ~r".to_owned(), "~n".to_owned()], ..Settings::default() };
    let model = Model::new(settings, START);
    assert_eq!((model.settings.filters.get("a"), &model.filters[..]), (Some("~q"), &["~n".to_owned()][..]));
}

#[test]
fn call_is_composed_of_what_the_server_offers() {
    let mut rig = busy(120, 36);
    let mut world = World::new();
    world.seq = 1300;
    let list = world.message(1, Direction::ToServer, r#"{"jsonrpc":"2.0","id":91,"method":"tools/list"}"#);
    let schema = r#"{"type":"object","properties":{"city":{"type":"string"},"unit":{"enum":["c","f"]}},"required":["city","unit"]}"#;
    let tools = format!(
        r#""result":{{"tools":[{{"name":"forecast","description":"Weather to come","inputSchema":{schema}}},{{"name":"book"}}]}}"#
    );
    let listed = world.reply(&list, 3, &tools);
    for envelope in [list, listed] {
        rig.on_event(Event::Passed(Arc::new(envelope)));
    }
    let picture = rig.press("C").picture();
    assert!(picture.contains("Weather to come") && picture.contains("book"), "{picture}");
    rig.typing("weath").press("enter");
    rig.typing("Oslo");
    rig.commands();
    rig.press("ctrl-s");
    let commands = rig.commands();
    let [Command::Send { session, message }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(*session, super::rig::session_id(1));
    let sent = String::from_utf8_lossy(message.raw()).into_owned();
    assert_eq!(message.name(), Some("forecast"), "{sent}");
    assert!(sent.contains(r#""arguments":{"city":"Oslo","unit":"c"}"#), "{sent}");
}

/// A command that does not read, in front of a client that does not either.
fn examined(asked: ExamineRequest) -> CallStanding {
    let process = |id, name: &str, state, load| ProcessStanding { id, name: name.to_owned(), state, load };
    let child = ChildStanding {
        unwritten: 2,
        unread: Some(4_096),
        is_deaf: false,
        processes: vec![
            process(40, "npx", ProcessState::Sleeping, 0),
            process(41, "node", ProcessState::Stopped, 0),
            process(42, "worker", ProcessState::Sleeping, 93),
        ],
    };
    CallStanding {
        session: asked.session,
        call: asked.call,
        child: Some(child),
        stream: None,
        unread_by_client: 3 << 20,
    }
}

/// The core is asked what it sees of the command, and what it answers stands in the explanation that is open.
#[test]
fn open_call_says_what_its_command_does() {
    let mut rig = busy(120, 36);
    rig.commands();
    let commands = rig.press(": 1 1 9 6 enter g w").commands();
    let asked = ExamineRequest { session: super::rig::session_id(2), call: Seq(1196) };
    assert!(matches!(&commands[..], [Command::Examine(it)] if *it == asked), "{commands:?}");
    let found = examined(asked);
    rig.on_event(Event::Examined(found.clone().into()));
    let picture = rig.picture();
    for expected in [
        "it does not read: 4.0k lie in its stdin, and 2 messages behind them",
        "process 40 npx waits for something, and uses no processor",
        "process 41 node is stopped, by a signal or a debugger: `kill -CONT 41`",
        "process 42 worker computes: 93 % of a core",
        "the client does not read: 3.0M of what the server said wait for it",
    ] {
        assert!(picture.contains(expected), "{expected}: {picture}");
    }
    let stream = Some(StreamStanding { status: 200, silent: 7_000_000 });
    rig.on_event(Event::Examined(CallStanding { child: None, stream, unread_by_client: 0, ..found.clone() }.into()));
    let picture = rig.picture();
    assert!(picture.contains("status 200: the stream is open, and silent for 7s"), "{picture}");
    // Of another call, or too late, it is shown nowhere.
    rig.on_event(Event::Examined(CallStanding { call: Seq(1189), ..found.clone() }.into()));
    assert_eq!(rig.picture(), picture);
    rig.press("esc");
    rig.on_event(Event::Examined(found.into()));
    assert!(!rig.picture().contains("hang?"), "{}", rig.picture());
}

#[test]
fn call_to_the_client_says_whom_it_waits_for() {
    let mut rig = busy(120, 36);
    let picture = rig.press(": 1 1 9 8 enter g w").picture();
    assert!(picture.contains("why does #1198 sampling/createMessage hang?"), "{picture}");
    assert!(picture.contains("it is held here: `a` sends it on"), "{picture}");
    let mut world = World::new();
    world.seq = 1300;
    let raw = r#"{"jsonrpc":"2.0","id":"s8","method":"elicitation/create","params":{}}"#;
    rig.on_event(Event::Passed(Arc::new(world.message(1, Direction::ToClient, raw))));
    let picture = rig.press("esc : 1 3 0 1 enter g w").picture();
    assert!(picture.contains("it went on to the client, and there is no reply"), "{picture}");
    assert!(picture.contains("the client has sent no message since"), "{picture}");
}

/// Told by a notification, or, from revision 2026-07-28 on, by hanging up.
#[test]
fn call_that_its_client_gave_up_runs_on_no_longer() {
    let mut rig = busy(120, 36);
    let mut world = World::new();
    world.seq = 1300;
    let mut cancelled = world.message(
        2,
        Direction::ToServer,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#,
    );
    cancelled.at = rig.model.observed.rows.get(Seq(1196)).unwrap().envelope.at + 3_000_000;
    rig.on_event(Event::Passed(Arc::new(cancelled)));
    let row = |rig: &mut Rig, seq: &str| {
        let picture = rig.picture();
        picture.lines().find(|line| line.contains(seq)).map(str::to_owned).expect(&picture)
    };
    assert!(row(&mut rig, " 1196 ").contains("x3.0s│"), "{}", rig.picture());
    let picture = rig.press("f").typing("~open").press("enter").picture();
    assert!(!picture.contains(" 1196 "), "it waits no more: {picture}");
    rig.press("f ctrl-u enter");
    let picture = rig.press(": 1 1 9 6 enter g w").picture();
    assert!(picture.contains("its client gave it up after 3.0s, and waits for no reply"), "{picture}");
    let picture = rig.press("esc g d").picture();
    assert!(picture.contains("request tools/call fetch (given up after 3.0s)"), "{picture}");
    rig.press("esc G");
    let call = world.call(2, 8, "fetch", "{}");
    let at = START.plus_micros(call.at + 2_000_000);
    rig.on_event(Event::Passed(Arc::new(call)));
    assert!(row(&mut rig, " 1302 ").contains("▸"), "{}", rig.picture());
    rig.press("f").typing("~open").press("enter");
    assert!(row(&mut rig, " 1302 ").contains("▸"), "{}", rig.picture());
    let line = LogLine::new(Level::Debug, "proxy", "the client hung up on #1302").of(super::rig::session_id(2));
    let line = line.about(Seq(1302)).as_landmark(Landmark::HangUp);
    rig.on_event(Event::Log(LogLine { at, ..line }));
    assert!(!rig.picture().contains(" 1302 "), "it waits no more: {}", rig.picture());
    rig.press("f ctrl-u enter");
    assert!(row(&mut rig, " 1302 ").contains("x2.0s│"), "{}", rig.picture());
}

#[test]
fn pager_about_a_session_goes_on_with_it() {
    let mut rig = busy(120, 36);
    let mut world = World::new();
    world.seq = 1300;
    let later = |rig: &mut Rig| {
        let now = rig.model.now.plus_micros(1_000_000);
        rig.model.tick(now);
    };
    assert!(rig.press(": 1 1 9 6 enter g w").picture().contains("no reply after 8s"));
    rig.commands();
    later(&mut rig);
    assert!(rig.picture().contains("no reply after 9s"), "{}", rig.picture());
    assert!(matches!(&rig.commands()[..], [Command::Examine(_)]), "the core is asked again");
    let open = rig.model.observed.rows.get(Seq(1196)).unwrap().envelope;
    rig.on_event(Event::Passed(Arc::new(world.reply(&open, 9_000, &text_result("there")))));
    later(&mut rig);
    assert!(rig.picture().contains("it is answered now, by #1301, after 9.0s"), "{}", rig.picture());
    for keys in ["esc : 1 1 9 6 enter g d", "esc : 1 1 9 6 enter g t"] {
        rig.press(keys);
        let before = rig.picture().lines().filter(|line| line.contains("fetch")).count();
        let call = world.call(2, 9, "fetch", "{}");
        rig.on_event(Event::Passed(Arc::new(call)));
        later(&mut rig);
        let after = rig.picture().lines().filter(|line| line.contains("fetch")).count();
        assert!(after > before, "{keys}: {}", rig.picture());
    }
}

#[test]
fn diagram_and_timeline_fit_in_narrow_windows() {
    for width in [40, 60, 80, 120] {
        for keys in [": 1 1 8 9 enter g d", ": 1 1 8 9 enter g t"] {
            let mut rig = busy(width, 36);
            rig.press(keys).picture();
            let Some(Popup::Pager(pager)) = &rig.model.popup else { panic!("{keys}") };
            assert_eq!(pager.lines.len(), pager.text.lines().count(), "{width} {keys}: {}", pager.text);
        }
    }
}

#[test]
fn open_call_says_why_and_calls_stand_on_a_line_of_time() {
    let mut rig = busy(120, 36);
    let picture = rig.press(": 1 1 9 6 enter g w").picture();
    assert!(picture.contains("why does #1196 fetch hang?") && picture.contains("no reply after 8s"), "{picture}");
    assert!(picture.contains("the server has sent no message since"), "{picture}");
    let picture = rig.press("esc : 1 1 8 9 enter g t").picture();
    assert!(picture.contains("timeline") && picture.contains("git_log") && picture.contains("1.1s"), "{picture}");
}

/// What it was held for is in no figure of the two peers, before its reply as after it.
#[test]
fn open_call_is_as_old_as_it_is_away() {
    let mut rig = busy(120, 36);
    let mut world = World::new();
    world.seq = 1300;
    let mut call = world.call(2, 9, "slow", "{}");
    call.held = Some(5_000_000);
    let reply = world.reply(&call, 3_000, &text_result("done"));
    let at = |rig: &mut Rig, keys: &str| rig.press(keys).picture();
    rig.on_event(Event::Passed(Arc::new(call)));
    let row = |picture: &str| picture.lines().find(|line| line.contains("slow")).unwrap().to_owned();
    let picture = at(&mut rig, ": 1 3 0 1 enter");
    assert!(row(&picture).trim_end_matches('│').ends_with("▸3s"), "{picture}");
    assert!(at(&mut rig, "g w").contains("no reply after 3s"));
    // Beside one that came at the same time and went on at once.
    let open = at(&mut rig, "esc g t");
    let begins = |picture: &str| row(picture).find('━').unwrap();
    let first = |picture: &str| picture.lines().filter_map(|line| line.find('━')).min().unwrap();
    assert!(begins(&open) > first(&open) && row(&open).contains("4.0s"), "{open}");
    rig.on_event(Event::Passed(Arc::new(reply)));
    let done = at(&mut rig, "esc g t");
    assert!(begins(&done) > first(&done) && row(&done).contains("3.0s"), "{done}");
}
