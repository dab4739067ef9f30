//! What is seen at a glance: what failed, what is under the cursor, which screens there are; and what the mouse does.

use std::sync::Arc;

use crossterm::event::{Event as TerminalEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::style::{Color, Modifier};

use super::rig::{Rig, START, World, busy, busy_with, held, session, session_id, tapes};
use crate::envelope::{Author, Direction, Outcome, Via};
use crate::event::figures::{EndpointFigures, Figures, Outcomes, Spread};
use crate::event::{Event, Level, LogLine, Session, Ticket};
use crate::ui::model::{Change, Effect, Pane, ScreenKind};
use crate::ui::{PipedOutput, ScreenInput, Settings};

fn mouse(rig: &mut Rig, kind: MouseEventKind, column: u16, row: u16) {
    let event = MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
    rig.change(Change::Input(ScreenInput::Terminal(TerminalEvent::Mouse(event))));
}

fn click(rig: &mut Rig, column: u16, row: u16) {
    mouse(rig, MouseEventKind::Down(MouseButton::Left), column, row);
}

/// Where a text stands on the screen.
fn place_of(rig: &mut Rig, text: &str) -> (u16, u16) {
    let picture = rig.picture();
    let (row, line) = picture.lines().enumerate().find(|(_, line)| line.contains(text)).expect(text);
    let column = line[..line.find(text).unwrap()].chars().count();
    (u16::try_from(column).unwrap(), u16::try_from(row).unwrap())
}

#[test]
fn first_line_keeps_the_errors_and_drops_the_least_telling() {
    let mut rig = busy(120, 36);
    super::metrics::measure(&mut rig);
    let mut line = |width| {
        rig.resize(width, 36);
        rig.picture().lines().next().unwrap_or_default().to_owned()
    };
    let (wide, narrow) = (line(200), line(112));
    for figure in ["HOLD 2 held", "p50 ", "2/3 sessions", "err 1"] {
        assert!(wide.contains(figure), "{figure} in {wide}");
    }
    assert!(narrow.contains("HOLD 2 held") && narrow.contains("err 1"), "{narrow}");
}

#[test]
fn session_is_told_from_one_of_another_upstream_wherever_it_is_named() {
    let mut rig = busy(80, 24);
    let mut other = session(2, "web-srv", ("agent", "0.9"), Via::Http);
    other.upstream_name = Some("far".to_owned());
    rig.on_event(Event::SessionChanged(other.clone().into()));
    rig.on_event(Event::SessionOpened(Session { id: session_id(9), upstream_name: None, ..other }.into()));
    let picture = rig.press("s").picture();
    assert!(picture.contains("far: web-srv"), "{picture}");
    let picture = rig.press("j j enter").picture();
    assert!(picture.contains("only far: web-srv"), "{picture}");
}

#[test]
fn kinds_and_tools_are_those_of_the_session_that_is_shown() {
    let mut rig = busy(120, 36);
    super::metrics::measure(&mut rig);
    let picture = rig.picture();
    assert!(picture.contains("req       7 notif     2"), "{picture}");
    let picture = rig.press("tab tab j j enter").picture();
    for line in [
        "Messages 13 only web-srv 3 shown",
        "Kinds, this session",
        "req       2 notif     0",
        "Top tools, calls ─",
        "fetch",
    ] {
        assert!(picture.contains(line), "{line} in {picture}");
    }
    assert!(!picture.contains("read_file"), "{picture}");
}

#[test]
fn badges_have_letters_of_their_own_on_every_ground() {
    use crate::ui::settings::ColorTheme;
    for (theme, letters, ground) in [
        (ColorTheme::Auto, Color::Black, Color::Yellow),
        (ColorTheme::Ansi, Color::Black, Color::Yellow),
        (ColorTheme::Light, Color::Indexed(231), Color::Indexed(94)),
        (ColorTheme::Dark, Color::Indexed(16), Color::Indexed(221)),
    ] {
        let mut rig = busy_with(120, 36, &Settings { theme, ..Settings::default() });
        let (column, row) = place_of(&mut rig, "HOLD 2 held");
        let cell = &rig.buffer()[(column, row)];
        assert_eq!(
            (cell.fg, cell.bg, cell.modifier.contains(Modifier::REVERSED)),
            (letters, ground, false),
            "{theme:?}"
        );
    }
}

/// What is bright on black cannot be read on white.
#[test]
fn high_contrast_is_high_on_a_light_ground_too() {
    use crate::ui::settings::ColorTheme;
    for (light, letters, ground) in
        [(false, Color::Black, Color::LightYellow), (true, Color::Indexed(231), Color::Indexed(58))]
    {
        let mut settings = Settings { theme: ColorTheme::Contrast, ..Settings::default() };
        settings.stand_on(light);
        let mut rig = busy_with(120, 36, &settings);
        let (column, row) = place_of(&mut rig, "HOLD 2 held");
        let cell = &rig.buffer()[(column, row)];
        assert_eq!((cell.fg, cell.bg), (letters, ground), "light: {light}");
    }
}

/// Of two taplines of one name, what tells them apart is in every list of sessions, whatever the room.
#[test]
fn sessions_of_taplines_of_one_name_are_told_apart() {
    for (width, height) in [(120, 36), (80, 24)] {
        let mut rig = Rig::new(width, height);
        for (number, port) in [(1, 7070), (2, 7071)] {
            let upstream_name = Some(format!("mcp-server-everything@:{port}"));
            let opened = session(number, "mcp-servers/everything", ("agent", "0.9"), Via::Http);
            rig.on_event(Event::SessionOpened(Session { upstream_name, ..opened }.into()));
        }
        let picture = if width > 100 { rig.picture() } else { rig.press("s").picture() };
        assert!(picture.contains("@:7070") && picture.contains("@:7071"), "{picture}");
    }
}

#[test]
fn notice_hides_no_keys() {
    for (width, height) in [(120, 36), (80, 24), (60, 16), (40, 12)] {
        let mut rig = busy(width, height);
        rig.model.observed.held.clear();
        rig.on_event(held(9, World::new().call(1, 90, "write_file", "{}"), 1));
        let picture = rig.picture();
        let rows = if (width, height) == (60, 16) { 2 } else { 1 };
        let keys: Vec<&str> = picture.lines().skip(usize::from(height) - rows).collect();
        assert!(keys[0].contains("open") && keys[rows - 1].contains("? help"), "{picture}");
        assert!(picture.contains("is held:") && picture.contains("`2` shows"), "{picture}");
        let column = keys[rows - 1].find("help").and_then(|at| u16::try_from(at).ok()).unwrap();
        click(&mut rig, column, height - 1);
        assert!(rig.model.popup.is_some(), "the keys can be clicked at");
    }
}

#[test]
fn columns_only_grow_while_names_scroll_by() {
    let mut rig = Rig::new(120, 24);
    let mut world = World::new();
    for number in 0..200 {
        let tool = if number == 100 { "a_tool_with_a_name_of_some_length" } else { "search" };
        let event = Event::Passed(world.call(1, number, tool, "{}").into());
        // Not drawn as they come: they are scrolled through.
        crate::ui::update::update(&mut rig.model, Change::Event(event.into()));
    }
    let column = |rig: &mut Rig| {
        let picture = rig.picture();
        picture.lines().find_map(|line| line.find("args or result")).expect("it has a head")
    };
    rig.press("g g");
    let mut columns = vec![column(&mut rig)];
    for _ in 0..20 {
        rig.press("pgdn");
        columns.push(column(&mut rig));
    }
    assert!(columns.is_sorted() && columns[0] < columns[20], "{columns:?}");
}

#[test]
fn fold_keys_make_no_rule_where_nothing_is_folded() {
    let mut rig = busy(120, 36);
    rig.press(": 1 1 9 3 enter enter");
    assert!(rig.picture().contains("z folds"));
    rig.press("l l");
    assert!(!rig.picture().contains("z folds"), "no key is shown that does nothing");
    rig.press("z R");
    assert!(rig.model.popup.is_none());
    let picture = rig.picture();
    assert!(picture.contains("nothing is folded here: the tree of the message has folds"), "{picture}");
}

#[test]
fn failures_are_counted_alike_everywhere() {
    let mut rig = busy(120, 36);
    let mut world = World::new();
    world.seq = 1300;
    let call = world.call(1, 60, "search", "{}");
    let failed = world.reply(&call, 5, r#""result":{"content":[],"isError":true}"#);
    let mut refused = world.message(1, Direction::ToClient, "Not Found");
    refused.transport.status = Some(404);
    for envelope in [call, failed, refused] {
        rig.on_event(Event::Passed(envelope.into()));
    }
    // Those of the metrics come once a second, and are of all who ever were here.
    super::metrics::measure(&mut rig);
    let picture = rig.picture();
    let kinds = picture.lines().find(|line| line.contains(" fail ")).map(|line| line.split("fail").nth(1).unwrap());
    let kinds = kinds.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default().to_owned();
    assert!(
        picture.lines().next().is_some_and(|status| status.trim_end().ends_with("err 3")) && kinds == "3",
        "{picture}"
    );
    rig.press("f").typing("~e").press("enter");
    rig.finish_scan();
    let found: Vec<_> = {
        let (rows, list) = rig.model.messages();
        (0..list.len(rows)).filter_map(|at| list.row(rows, at)).map(|row| row.envelope.seq).collect()
    };
    assert_eq!(found.len(), 3);
    rig.press("esc f ctrl-u enter home");
    let next = |rig: &mut Rig| rig.press("g e").model.selected().unwrap().envelope.seq;
    assert_eq!((0..3).map(|_| next(&mut rig)).collect::<Vec<_>>(), found);
}

#[test]
fn error_stays_red_under_the_cursor() {
    let mut rig = busy(120, 36);
    rig.press(": 1 1 9 5 enter");
    let (column, row) = place_of(&mut rig, "-32603 not");
    let cell = rig.buffer()[(column, row)].clone();
    assert_eq!(cell.fg, Color::Red);
    assert!(cell.modifier.contains(Modifier::REVERSED));
}

#[test]
fn http_error_is_an_error_and_ends_its_request() {
    let mut rig = Rig::new(120, 36);
    rig.on_event(Event::SessionOpened(session(1, "srv", ("ide", "1"), Via::Http).into()));
    let mut world = World::new();
    let call = world.call(1, 1, "search", "{}");
    let mut answer = world.reply(&call, 20, r#""result":{}"#);
    answer.message = crate::message::Message::new("Not Found\n".to_owned());
    answer.transport.status = Some(404);
    for envelope in [call, answer] {
        rig.on_event(Event::Passed(Arc::new(envelope)));
    }
    let picture = rig.picture();
    assert!(picture.contains("HTTP 404 \"Not Found\"") && picture.contains("1 err"), "{picture}");
    assert!(!picture.contains('▸'), "its request goes on: {picture}");
    let (column, row) = place_of(&mut rig, "HTTP 404");
    assert_eq!(rig.buffer()[(column, row)].fg, Color::Red);
}

#[test]
fn status_says_what_the_metrics_say() {
    let mut rig = busy(120, 36);
    let took = Spread::of([(1_800, 9), (2_000, 1)].into_iter(), 18_200, 2_000);
    let endpoint = EndpointFigures {
        upstream: None,
        direction: Direction::ToServer,
        method: Some("tools/call".into()),
        name: Some("book".into()),
        calls: 10,
        in_flight: 0,
        unanswered: 0,
        outcomes: Outcomes { ok: 3, tool: 7, ..Outcomes::default() },
        took,
        asked: Spread::default(),
        answered: Spread::default(),
        latest: 0,
    };
    rig.on_event(Event::Figures(Arc::new(Figures { endpoints: vec![endpoint], ..Figures::default() })));
    let picture = rig.picture();
    let status = picture.lines().next().unwrap();
    assert!(status.contains("p50 1.8ms p99 2.0ms"), "{status}");
    assert!(picture.contains("book"), "the tools that are called most: {picture}");
}

#[test]
fn bar_names_the_screens_and_what_waits_there() {
    for (width, height) in [(120, 36), (80, 24), (60, 20)] {
        let mut rig = busy(width, height);
        let picture = rig.picture();
        let bar = picture.lines().nth(1).unwrap();
        assert!(bar.contains("2 queue 2 "), "{bar}");
        let names = ["3 rules", "4 tapes", "5 metrics", "6 events", "7 lint"];
        assert!(names.iter().all(|name| bar.contains(name)), "{bar}");
        let (column, row) = place_of(&mut rig, "2 queue");
        click(&mut rig, column, row);
        assert_eq!(rig.model.screen, ScreenKind::Queue);
    }
}

#[test]
fn mouse_chooses_opens_and_scrolls() {
    let mut rig = busy(120, 36);
    let (column, row) = place_of(&mut rig, "git_log");
    click(&mut rig, column, row);
    assert_eq!(rig.model.selected().unwrap().envelope.name(), Some("git_log"));
    click(&mut rig, column, row);
    assert_eq!(rig.model.pane, Pane::Detail, "a click on what is chosen opens it");
    let before = rig.model.selected().unwrap().envelope.seq;
    mouse(&mut rig, MouseEventKind::ScrollUp, column, row);
    assert_eq!(rig.model.selected().unwrap().envelope.seq.0, before.0 - 3);
    assert_eq!(rig.model.pane, Pane::Detail, "the keys stay where they are");
    let (column, row) = place_of(&mut rig, " Raw ");
    click(&mut rig, column + 1, row);
    assert!(rig.picture().contains("[Raw]"));
    let (column, row) = place_of(&mut rig, "? help");
    click(&mut rig, column, row);
    assert!(rig.picture().contains("type to narrow"), "{}", rig.picture());
}

#[test]
fn click_on_the_head_of_a_column_sorts_by_it_and_once_more_the_other_way_around() {
    let mut rig = busy(120, 36);
    for (head, told) in [
        ("dur", "slowest first"),
        ("dur", "fastest first"),
        ("method / name", "by name"),
        ("time", "in the order of their time"),
        ("#", "newest first"),
        ("args or result", "newest first"),
    ] {
        let (_, row) = place_of(&mut rig, "method / name");
        let line = rig.picture().lines().nth(row.into()).unwrap().to_owned();
        let column = line[..line.find(head).unwrap()].chars().count();
        click(&mut rig, u16::try_from(column).unwrap(), row);
        let words = rig.model.messages().1.order_words().unwrap_or("in the order of their time");
        assert_eq!(words, told, "{head}: {}", rig.picture());
    }
    click(&mut rig, 1, 3);
    assert_eq!(rig.model.messages().1.order_words(), Some("newest first"), "beside the heads nothing is sorted");
}

#[test]
fn click_on_the_head_of_a_column_sorts_the_tapes() {
    let mut rig = busy(120, 36);
    rig.press("4");
    click(&mut rig, 20, 3);
    assert_eq!(rig.model.tapes.order_words(), None, "there are none yet");
    rig.on_event(Event::Tapes(tapes()));
    let (column, row) = place_of(&mut rig, "msgs ");
    for told in ["most messages first", "fewest messages first"] {
        click(&mut rig, column, row);
        assert_eq!(rig.model.tapes.order_words(), Some(told), "{}", rig.picture());
    }
}

#[test]
fn click_on_the_mark_of_a_fold_folds_at_once() {
    let mut rig = busy(120, 36);
    let (column, row) = place_of(&mut rig, "git_log");
    click(&mut rig, column, row);
    let (column, row) = place_of(&mut rig, "▾ arguments");
    click(&mut rig, column + 4, row);
    assert!(rig.picture().contains("▾ arguments"), "a click beside it chooses the row: {}", rig.picture());
    rig.press("k");
    click(&mut rig, column, row);
    assert!(rig.picture().contains("▸ arguments"), "{}", rig.picture());
    click(&mut rig, column, row);
    assert!(rig.picture().contains("▾ arguments"), "{}", rig.picture());
}

#[test]
fn click_takes_a_command_of_the_palette_and_the_wheel_moves_its_choice() {
    let mut rig = busy(120, 36);
    rig.press(":").typing("metr");
    let (column, row) = place_of(&mut rig, "how much passes");
    click(&mut rig, column, row);
    assert_eq!((rig.model.screen, rig.model.prompt.is_none()), (ScreenKind::Metrics, true));

    rig.press("1 :");
    let row = 34;
    for _ in 0..2 {
        mouse(&mut rig, MouseEventKind::ScrollDown, 10, row);
    }
    assert_eq!(rig.model.prompt.as_ref().unwrap().chosen(), Some(5));
    for _ in 0..100 {
        mouse(&mut rig, MouseEventKind::ScrollDown, 10, row);
    }
    let last = rig.model.prompt.as_ref().unwrap().chosen().unwrap();
    mouse(&mut rig, MouseEventKind::ScrollUp, 10, row);
    assert_eq!(rig.model.prompt.as_ref().unwrap().chosen(), Some(last - 3), "it stays within the list");
    click(&mut rig, 118, row - 3);
    assert!(rig.model.prompt.is_some(), "beside the palette nothing is taken");
}

#[test]
fn click_takes_a_key_of_a_prefix() {
    let mut rig = busy(120, 36);
    rig.press("t");
    let (column, row) = place_of(&mut rig, "m mouse");
    click(&mut rig, column + 4, row);
    assert!(rig.model.mouse_off && rig.model.popup.is_none(), "{}", rig.picture());
}

#[test]
fn click_takes_a_completion_of_a_filter_and_the_wheel_moves_among_them() {
    let mut rig = busy(120, 36);
    let typed = |rig: &Rig| rig.model.prompt.as_ref().unwrap().line.text().to_owned();
    rig.press("f").typing("~m ").press("tab");
    let first = typed(&rig);
    mouse(&mut rig, MouseEventKind::ScrollDown, 10, 30);
    assert_ne!(typed(&rig), first);
    let word = first.strip_prefix("~m ").unwrap();
    let (column, row) = place_of(&mut rig, &format!("│ {word} "));
    click(&mut rig, column + 3, row);
    assert_eq!(typed(&rig), first);
    assert!(rig.model.prompt.as_ref().unwrap().completions.is_none(), "it is taken");
}

#[test]
fn mouse_can_be_left_to_the_terminal() {
    let mut rig = busy(120, 36);
    rig.press("t m");
    assert!(matches!(rig.effects[..], [Effect::Mouse(false)]), "{:?}", rig.effects);
    rig.press("t m ctrl-l");
    assert!(matches!(rig.effects[1..], [Effect::Mouse(true), Effect::Repaint]), "{:?}", rig.effects);
}

#[test]
fn header_names_what_is_watched_where_there_is_room() {
    let several = || Event::Listening { url: "2 taplines".to_owned(), upstream: "weather, files".to_owned() };
    for (width, is_named) in [(120, true), (90, true), (60, true), (59, false)] {
        let mut rig = Rig::new(width, 24);
        rig.on_event(several());
        let picture = rig.picture();
        assert_eq!(picture.contains("2 taplines > weather, files"), is_named, "{width}: {picture}");
    }
    let mut rig = Rig::new(60, 24);
    rig.on_event(Event::Listening { url: "2 taplines".to_owned(), upstream: "a".repeat(60) });
    assert!(rig.picture().contains("2 taplines ") && !rig.picture().contains(" > "), "{}", rig.picture());
}

#[test]
fn message_is_piped_to_a_command() {
    let mut rig = busy(120, 36);
    rig.press(": 1 1 8 9 enter |");
    rig.typing("jq .params").press("enter");
    let Some(Effect::Pipe { command, input }) = rig.effects.pop() else { panic!("{:?}", rig.effects) };
    assert_eq!(command, "jq .params");
    assert!(input.starts_with(b"{\"jsonrpc\""));
    rig.model.now = START.plus_micros(26_000_000);
    let picture = rig.picture();
    assert!(picture.contains("`jq .params` runs, 6s: `|` stops it"), "{picture}");
    rig.change(piped(&command, "{\n  \"name\"", None));
    assert!(rig.picture().contains("| jq .params"), "{}", rig.picture());
    // The last one once more, or another in its place.
    for (typed, expected) in [("", "jq .params"), ("wc", "wc")] {
        rig.press("esc |").typing(typed).press("enter");
        assert!(matches!(rig.effects.pop(), Some(Effect::Pipe { command, .. }) if command == expected), "{typed}");
        rig.change(piped("", "", None));
        rig.press("| ctrl-u").typing("jq .params").press("enter");
        rig.effects.clear();
        rig.change(piped("", "", None));
    }
    rig.change(piped(&command, "", Some("ended with 3")));
    assert!(rig.picture().contains("`jq .params` ended with 3"), "{}", rig.picture());
}

fn piped(command: &str, printed: &str, why: Option<&str>) -> Change {
    let output = PipedOutput { printed: printed.to_owned(), why: why.map(str::to_owned) };
    Change::Input(ScreenInput::Piped { command: command.to_owned(), output })
}

#[test]
fn command_that_runs_is_stopped_from_everywhere() {
    let mut rig = busy(120, 36);
    rig.press(": 1 1 8 9 enter |").typing("jq .params").press("enter");
    rig.change(piped("jq .params", "", None));
    // By the key of its line, too: there is never a second.
    for keys in ["|", "esc", "4 |", "enter esc"] {
        rig.press("1 | enter");
        rig.effects.clear();
        rig.press(keys);
        assert!(matches!(rig.effects.pop(), Some(Effect::StopPipe)), "{keys}");
        assert!(
            rig.model.prompt.is_none() && rig.picture().contains("`jq .params` is being stopped"),
            "{}",
            rig.picture()
        );
        rig.effects.clear();
        rig.press("|");
        assert!(rig.model.prompt.is_none() && rig.effects.is_empty(), "it is being stopped already");
        rig.change(piped("jq .params", "as far as it came\n", Some("was stopped")));
        let picture = rig.picture();
        assert!(picture.contains("as far as it came") && picture.contains("jq .params: was stopped"), "{picture}");
        rig.press("esc 1 esc");
    }
}

#[test]
fn events_tell_the_acts_of_the_operator_and_of_one_source() {
    let mut rig = busy(120, 36);
    let mut world = World::new();
    world.seq = 1300;
    let mut call = world.call(1, 90, "fetch", "{}");
    rig.on_event(held(7, call.clone(), 4));
    rig.on_event(Event::Settled { ticket: Ticket(7) });
    (call.outcome, call.held) = (Outcome::Edited(Author::Operator), Some(4_000_000));
    rig.on_event(Event::Passed(Arc::new(call)));
    let words = "a server that says much ".repeat(12) + "END";
    rig.on_event(Event::Log(LogLine::new(Level::Error, "server", words).of(session_id(1))));
    rig.press("6");
    let picture = rig.picture();
    assert!(picture.contains("tools/call fetch edited by you after 4s"), "{picture}");
    assert!(picture.contains("END"), "the line under the cursor in full: {picture}");
    rig.press("s s");
    let picture = rig.picture();
    assert!(picture.contains("of server") && !picture.contains("edited by you"), "{picture}");
    rig.press("enter");
    assert!(rig.picture().contains("ERROR server"), "{}", rig.picture());
}

#[test]
fn help_does_what_was_searched_for() {
    let mut rig = busy(120, 36);
    rig.press("?").typing("hold queue").press("enter");
    assert_eq!(rig.model.screen, ScreenKind::Queue);
    assert!(rig.model.popup.is_none());
}

#[test]
fn names_are_shortened_by_one_rule() {
    let mut rig = busy(60, 24);
    let picture = rig.picture();
    assert!(picture.contains("progress") && !picture.contains("notifications/progress"), "{picture}");
    assert!(picture.contains(" call git_log"), "{picture}");
}

#[test]
fn tiny_window_shows_what_came_last() {
    let mut rig = busy(38, 5);
    let picture = rig.picture();
    assert!(picture.contains("2 held") && picture.contains("cancelled"), "{picture}");
}

#[test]
fn list_has_the_columns_that_were_chosen() {
    use crate::ui::settings::ListColumn::{Content, Duration, Kind, Name, Session, Size, Time};
    let columns = vec![Duration, Session, Name, Kind, Size, Time, Content];
    let settings = Settings { columns, ..Settings::default() };
    let mut rig = busy_with(120, 36, &settings);
    let picture = rig.picture();
    assert!(picture.contains("    dur session    method / name"), "{picture}");
    assert!(picture.contains("  370ms files-srv  tools/call search"), "{picture}");
    assert!(picture.contains("> Q  115B 10:04:11.060 {\"query\""), "{picture}");
    // Where little room is left for what is said, the session, the size and the time leave.
    rig.resize(60, 16);
    let picture = rig.picture();
    assert!(picture.contains("dur method / name"), "{picture}");
    let mut rig = busy_with(80, 24, &Settings { columns: vec![Name], ..Settings::default() });
    let picture = rig.picture();
    assert!(picture.contains("\n  method / name") && !picture.contains("args or result"), "{picture}");
}

#[test]
fn status_has_percentiles_over_all_names_as_exact_as_those_of_each() {
    let mut rig = busy(120, 36);
    let endpoints = vec![
        super::metrics::endpoint("tools/call", Some("slow"), &[(434_000, 5)], 0),
        super::metrics::endpoint("tools/call", Some("quick"), &[(1_200, 2)], 0),
        super::metrics::endpoint("tools/call", Some("slower"), &[(466_000, 2)], 0),
    ];
    rig.on_event(Event::Figures(Arc::new(Figures { endpoints, ..Figures::default() })));
    let status = rig.picture().lines().next().unwrap().to_owned();
    assert!(status.contains("p50 434ms p99 466ms"), "{status}");
    let by_method = rig.press("5 o").picture();
    let row = by_method.lines().find(|line| line.contains("tools/call")).expect(&by_method).to_owned();
    assert!(row.contains("434ms") && row.contains("466ms"), "{row}");
}

/// The border stands where the mouse let it go, of each screen and shape of the window its own, and scales with the window.
#[test]
fn border_is_dragged_and_stays() {
    let drag = |rig: &mut Rig, from: (u16, u16), to: (u16, u16)| {
        click(rig, from.0, from.1);
        mouse(rig, MouseEventKind::Drag(MouseButton::Left), to.0, to.1);
        mouse(rig, MouseEventKind::Up(MouseButton::Left), to.0, to.1);
        // No border is held any more.
        mouse(rig, MouseEventKind::Drag(MouseButton::Left), 60, 30);
    };
    for (size, keys, title) in [((120, 36), "", "[Tree]"), ((80, 24), "", "[Tree]"), ((80, 24), "2", "[Tree]")] {
        let mut rig = busy(size.0, size.1);
        rig.press(keys);
        let (column, row) = place_of(&mut rig, title);
        for to in [row - 5, row + 3] {
            let (_, now) = place_of(&mut rig, title);
            drag(&mut rig, (column - 8, now), (column - 8, to));
            assert_eq!(place_of(&mut rig, title), (column, to), "{size:?} {}", rig.picture());
        }
        drag(&mut rig, (column - 8, row + 3), (column - 8, 0));
        let (_, top) = place_of(&mut rig, title);
        assert!(top > 3, "a pane stays: {}", rig.picture());
    }
    let mut rig = busy(120, 36);
    drag(&mut rig, (26, 10), (40, 10));
    let (column, _) = place_of(&mut rig, " Messages ");
    assert_eq!(column, 41, "{}", rig.picture());
    rig.press("2");
    let (column, row) = place_of(&mut rig, "[Tree]");
    drag(&mut rig, (69, 10), (50, 10));
    assert!(rig.picture().lines().nth(10).unwrap().chars().nth(50) == Some('│'), "{}", rig.picture());
    assert_eq!(place_of(&mut rig, "[Tree]"), (column, row));
    // Another screen has its own, and a click on a name still chooses it.
    rig.press("1");
    let (column, row) = place_of(&mut rig, " Raw ");
    click(&mut rig, column + 1, row);
    assert!(rig.picture().contains("[Raw]"));
}
