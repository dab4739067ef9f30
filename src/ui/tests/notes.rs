//! What the operator notes of messages and keeps of them: marks, comments, orders, comparisons, filters with names, rules, colours.

use ratatui::style::Color;

use super::rig::{Rig, World, busy, busy_with, held};
use crate::event::{Command, Event, Ticket};
use crate::filter::SavedFilters;
use crate::ui::Settings;
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
    for event in [Event::ResyncStarted].into_iter().chain(super::rig::busy_events()).chain([Event::ResyncDone]) {
        rig.on_event(event);
    }
    rig.model.tick(super::rig::START.plus_micros(21_000_000));
    assert_eq!(shown(&rig), [1189, 1195]);
    rig.press("G");
    assert!(rig.picture().contains("; why?"), "{}", rig.picture());
    rig.press("M");
    assert_eq!(shown(&rig), [1189]);
    rig.press("U");
    assert_eq!(shown(&rig), [0_u64; 0]);
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
    let model = Model::new(settings, super::rig::START);
    assert_eq!((model.settings.filters.get("a"), &model.filters[..]), (Some("~q"), &["~n".to_owned()][..]));
}

#[test]
fn call_is_composed_of_what_the_server_offers() {
    let mut rig = busy(120, 36);
    let mut world = World::new();
    world.seq = 1300;
    let list =
        world.message(1, crate::envelope::Direction::ToServer, r#"{"jsonrpc":"2.0","id":91,"method":"tools/list"}"#);
    let schema = r#"{"type":"object","properties":{"city":{"type":"string"},"unit":{"enum":["c","f"]}},"required":["city","unit"]}"#;
    let tools = format!(
        r#""result":{{"tools":[{{"name":"forecast","description":"Weather to come","inputSchema":{schema}}},{{"name":"book"}}]}}"#
    );
    let listed = world.reply(&list, 3, &tools);
    for envelope in [list, listed] {
        rig.on_event(Event::Passed(std::sync::Arc::new(envelope)));
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

#[test]
fn open_call_says_why_and_calls_stand_on_a_line_of_time() {
    let mut rig = busy(120, 36);
    let picture = rig.press(": 1 1 9 6 enter g w").picture();
    assert!(picture.contains("why does #1196 fetch hang?") && picture.contains("no reply after 8s"), "{picture}");
    assert!(picture.contains("nothing came back from there since"), "{picture}");
    let picture = rig.press("esc : 1 1 8 9 enter g t").picture();
    assert!(picture.contains("timeline") && picture.contains("git_log") && picture.contains("1.1s"), "{picture}");
}
