//! Finding: `/`, `n` and `N` everywhere, commands by name, and keys that do nothing.

use std::sync::Arc;

use super::rig::{Rig, World, busy, session, tapes, text_result};
use crate::envelope::{Seq, Via};
use crate::event::{Event, Level, LogLine};
use crate::ui::model::{Effect, Pane, ScreenKind};

fn search(rig: &mut Rig, text: &str) {
    rig.press("/").typing(text).press("enter");
}

fn selected(rig: &Rig) -> u64 {
    rig.model.selected().unwrap().envelope.seq.0
}

#[test]
fn search_in_pairs_finds_what_the_reply_says() {
    let mut rig = busy(120, 36);
    rig.press(": 1 1 8 7 enter P /").typing("not a repository").press("enter");
    assert_eq!(rig.model.selected().unwrap().envelope.name(), Some("git_log"), "{}", rig.picture());
    let picture = rig.press("esc f").typing("not").press("enter").picture();
    assert!(picture.contains("git_log") && picture.contains("> -32603 not a"), "{picture}");
}

#[test]
fn filter_in_pairs_is_asked_of_request_and_reply_together() {
    let mut rig = busy(120, 36);
    let shown = |rig: &mut Rig, filter: &str| -> Vec<u64> {
        rig.press("f ctrl-u").typing(filter).press("enter");
        let (rows, list) = rig.model.messages();
        (0..list.len(rows)).map(|at| list.row(rows, at).unwrap().envelope.seq.0).collect()
    };
    rig.press("P");
    assert_eq!(shown(&mut rig, "~bq git_log & ~bs \"not a repository\""), [1194], "one word in each");
    assert_eq!(shown(&mut rig, "~tool read_file & ~s & ~q"), [1191]);
    let without = shown(&mut rig, "~tool . & !~e");
    assert!(without.contains(&1191) && !without.contains(&1194), "its reply is an error: {without:?}");
    rig.press("P");
    assert_eq!(shown(&mut rig, "~bq git_log & ~bs repository"), [] as [u64; 0], "of messages by themselves");
}

#[test]
fn search_goes_through_the_messages_around_the_end() {
    let mut rig = busy(120, 36);
    rig.press("g g");
    search(&mut rig, "READ_file");
    assert!(rig.picture().contains("`READ_file` is not found here"), "a capital letter is meant");
    search(&mut rig, "read_file");
    let call = selected(&rig);
    assert_eq!(call, 1191);
    assert!(rig.picture().contains("/read_file  1 of 2"), "{}", rig.picture());
    rig.press("n");
    assert_eq!(selected(&rig), 1193, "its reply is called as it is");
    rig.press("n");
    assert_eq!(selected(&rig), 1191);
    assert!(rig.picture().contains("from the top again"));
    rig.press("N");
    assert_eq!(selected(&rig), 1193);
    rig.press("esc N");
    assert_eq!(selected(&rig), 1193);
    assert!(rig.picture().contains("there is nothing here for that"), "{}", rig.picture());
}

#[test]
fn search_takes_expressions_and_says_what_is_wrong_with_them() {
    let mut rig = busy(120, 36);
    rig.press("g g /").typing("\\r ^#119[0-2]");
    assert!(rig.picture().contains("3 matches"), "{}", rig.picture());
    rig.press("enter");
    assert_eq!(selected(&rig), 1190);
    rig.press("/").typing("\\r(");
    assert!(rig.picture().contains("unclosed group"), "{}", rig.picture());
    rig.press("enter");
    assert!(rig.model.prompt.is_some());
    rig.press("esc n");
    assert_eq!(selected(&rig), 1191, "the search before is there again");
}

#[test]
fn search_opens_what_is_folded_and_looks_into_long_strings() {
    let mut rig = Rig::new(120, 36);
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    let mut world = World::new();
    let deep = r#"{"a":{"b":{"c":{"d":{"e":"needle"}}}}}"#;
    rig.on_event(Event::Passed(Arc::new(world.call(1, 1, "x", deep))));
    rig.press("enter");
    search(&mut rig, "needle");
    assert_eq!(rig.model.detail.row().unwrap().path, ".params.arguments.a.b.c.d.e");
    let call = world.call(1, 2, "y", "{}");
    let reply = world.reply(&call, 1, &text_result(&format!("{}the pin", "hay ".repeat(9000))));
    rig.on_event(Event::Passed(Arc::new(call)));
    rig.on_event(Event::Passed(Arc::new(reply)));
    rig.press("esc esc G enter");
    search(&mut rig, "the pin");
    assert_eq!(rig.model.detail.row().unwrap().path, ".result.content[0].text");
}

#[test]
fn search_finds_its_row_in_raw_which_is_wrapped() {
    let mut rig = Rig::new(120, 36);
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    let call = World::new().call(1, 1, "x", &format!(r#"{{"text":"{}needle","n":1}}"#, "hay ".repeat(400)));
    rig.on_event(Event::Passed(Arc::new(call)));
    rig.press("enter l l");
    assert!(rig.model.detail.len() > 10, "one line in many rows");
    search(&mut rig, "needle");
    assert!(rig.picture().contains("needle"), "{}", rig.picture());
    assert!(rig.model.detail.cursor > 10);
}

#[test]
fn search_goes_through_events_tapes_and_the_long_text() {
    let mut rig = busy(120, 36);
    for n in 0..300 {
        let text = if n == 17 { "the odd one".to_owned() } else { format!("line {n}") };
        rig.on_event(Event::Log(LogLine::new(Level::Info, "server", text)));
    }
    rig.press("6");
    search(&mut rig, "odd");
    assert_eq!(rig.model.log.selected().unwrap().text, "the odd one");
    assert!(rig.picture().contains("the odd one"));
    rig.on_event(Event::Tapes(tapes()));
    rig.press("4");
    search(&mut rig, "flaky");
    assert_eq!(rig.model.tapes.place.cursor, 2);
    rig.press("esc 1 : 1 1 9 3 enter enter j j j j j j enter");
    search(&mut rig, "\\rms$");
    assert!(rig.picture().contains("of 40"), "{}", rig.picture());
}

#[test]
fn search_stays_and_begins_anew_elsewhere() {
    let mut rig = busy(120, 36);
    rig.press("g g");
    search(&mut rig, "retry");
    assert_eq!(selected(&rig), 1189);
    rig.press("enter n");
    assert_eq!(rig.model.detail.row().unwrap().path, ".params.arguments.query");
    rig.press("esc");
    assert_eq!(rig.model.pane, Pane::Detail, "the first ends the search");
    rig.press("esc");
    assert_eq!(rig.model.pane, Pane::List);
}

#[test]
fn search_keeps_up_with_what_comes_and_with_the_filter() {
    let mut rig = busy(120, 36);
    rig.press("g g");
    search(&mut rig, "search");
    let count = |rig: &mut Rig| {
        rig.fit();
        rig.model.search_status().unwrap().count
    };
    assert_eq!(count(&mut rig), 2);
    let mut world = World::new();
    world.seq = 1300;
    rig.on_event(Event::Passed(Arc::new(world.call(1, 50, "search", "{}"))));
    rig.model.search_on(std::time::Duration::from_secs(1));
    assert_eq!(count(&mut rig), 3);
    rig.press("f").typing("~q").press("enter");
    assert_eq!(count(&mut rig), 2);
}

/// A hundred thousand messages: keys are answered while the search goes on.
#[test]
fn search_in_many_messages_is_done_in_slices() {
    let mut rig = Rig::new(120, 36);
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    let mut world = World::new();
    for n in 0..30_000 {
        let tool = if n % 10_000 == 0 { "needle" } else { "hay" };
        rig.model.on_event(Event::Passed(Arc::new(world.call(1, n, tool, "{}"))));
    }
    rig.press("g g /").typing("needle");
    assert!(rig.model.search_waits(), "not done at once");
    while rig.model.search_on(std::time::Duration::from_millis(50)) {}
    assert_eq!(rig.model.search_status().unwrap().count, 3);
    rig.press("enter n");
    assert_eq!(rig.model.selected().unwrap().envelope.seq, Seq(1187 + 10_000));
}

#[test]
fn command_is_found_by_its_name_and_does_what_its_key_does() {
    let mut rig = busy(120, 36);
    rig.press(":").typing("que");
    let picture = rig.picture();
    assert!(picture.contains("Commands") && picture.contains("the hold queue"), "{picture}");
    rig.press("enter");
    assert_eq!(rig.model.screen, ScreenKind::Queue);
    rig.press(":").typing("fold-close").press("enter");
    assert!(rig.picture().contains("`fold-close` does nothing here: fold"), "{}", rig.picture());
    rig.press(":").typing("messages").press("enter").press(":").typing("1194").press("enter");
    assert_eq!(selected(&rig), 1194);
    rig.press(":").typing("zork").press("enter");
    assert!(rig.picture().contains("no command is called `zork`"));
    rig.press(":").typing("filter").press("down enter");
    assert!(rig.model.prompt.is_none(), "the one below: filter off or on");
    assert_eq!(busy(120, 36).press(": q enter").sent(), "", "held messages: it asks");
    assert!(Rig::new(120, 36).press(": q enter").sent().starts_with("Quit"));
}

#[test]
fn key_that_does_nothing_says_what_would() {
    for (keys, expected) in [
        ("X", "`X` does nothing here; in queue: block it with the usual error"),
        ("l", "`l` does nothing here; in detail: next side"),
        ("%", "`%` does nothing here: `?` lists the keys, `:` the commands"),
        ("n", "`n` (next match): there is nothing here for that"),
        ("g Z", "`Z` does nothing here: `?` lists the keys"),
        ("2 F", "`F` does nothing here; in messages: follow new messages or stay"),
    ] {
        let picture = busy(120, 36).press(keys).picture();
        assert!(picture.contains(expected), "{keys}: {picture}");
    }
    let picture = busy(120, 36).press("X j").picture();
    assert!(!picture.contains("does nothing"), "the next key has it gone");
}

#[test]
fn folds_work_on_a_single_value_as_well() {
    let mut rig = busy(120, 36);
    rig.press(": 1 1 8 9 enter enter z M");
    let folded = rig.model.detail.len();
    rig.press("z R");
    assert!(rig.model.detail.len() > folded);
    rig.press("end z c");
    assert_eq!(rig.model.detail.row().unwrap().path, ".params.arguments");
    assert_eq!(rig.model.detail.fold(), Some(true));
}

#[test]
fn exchange_is_one_row_and_is_found_by_either_half() {
    let mut rig = busy(160, 36);
    rig.press("P");
    let picture = rig.picture();
    let row = picture.lines().find(|line| line.contains("1194")).unwrap();
    assert!(row.contains(r#"{"n":50}"#) && row.contains("> -32603 not a repository"), "{row}");
    assert!(!picture.lines().any(|line| line.contains("1195 ")), "the reply has no row of its own: {picture}");
    assert!(picture.contains("1197"), "what is held is seen");
    rig.press("f").typing("~e").press("enter");
    assert_eq!(rig.model.list().len(rig.model.messages().0), 1);
    assert_eq!(selected(&rig), 1194);
    rig.press("P f esc T");
    assert_eq!(rig.model.list().len(rig.model.messages().0), 13);
}

#[test]
fn filter_completes_operators_and_what_was_seen() {
    let mut rig = busy(120, 36);
    let line = |rig: &Rig| rig.model.prompt.as_ref().unwrap().line.text().to_owned();
    rig.press("f").typing("~too").press("tab");
    assert_eq!(line(&rig), "~tool");
    rig.typing(" ").press("tab");
    let picture = rig.picture();
    assert!(picture.contains("1 of 5") && picture.contains("git_log") && picture.contains("2 messages"), "{picture}");
    rig.typing("x").press("ctrl-u").typing("!~m tools/c").press("tab");
    assert_eq!(line(&rig), "!~m tools/call");
    rig.press("ctrl-u").typing("~q & ~j .params.arguments.p").press("tab");
    assert_eq!(line(&rig), "~q & ~j .params.arguments.path");
    rig.press("ctrl-u").typing("~via zzz").press("tab");
    assert!(rig.picture().contains("nothing that was seen here begins so"), "{}", rig.picture());
    rig.press("ctrl-u").typing("~c").press("tab tab");
    assert_eq!(line(&rig), "~client", "in the order of the help");
}

#[test]
fn path_after_a_colon_leads_to_its_value() {
    let mut rig = busy(120, 36);
    rig.press(": 1 1 8 9 enter :").typing(".params.arguments.limit").press("enter y v");
    assert!(matches!(rig.effects.last(), Some(Effect::Copy(text)) if text == "20"), "{:?}", rig.effects);
    rig.press(":").typing(".nowhere").press("enter");
    assert!(rig.picture().contains("there is no `.nowhere`"), "{}", rig.picture());
}

#[test]
fn search_in_the_editor_moves_its_cursor_from_match_to_match() {
    let mut rig = busy(120, 36);
    rig.press("2 e ctrl-o f3").typing("\"[a-z]+\":").press("home").typing("\\r").press("enter");
    let line = |rig: &Rig| {
        let area = &rig.model.editor.as_ref().unwrap().area;
        let at = area.cursor();
        area.lines()[at.0].chars().skip(at.1).collect::<String>()
    };
    let first = line(&rig);
    assert!(first.starts_with('"'), "{first}");
    let text = rig.model.editor.as_ref().unwrap().text();
    let second = line(rig.press("alt-n"));
    assert!(second.starts_with('"') && second != first, "{second}");
    assert_eq!(line(rig.press("alt-p")), first);
    assert_eq!(rig.model.editor.as_ref().unwrap().text(), text, "nothing is typed into it");
    let picture = rig.press("f3 ctrl-u").typing("no such word").press("enter").picture();
    assert!(picture.contains("`no such word` is not found here"), "{picture}");
    assert!(rig.model.editor.is_some());
}

#[test]
fn filter_that_is_too_long_is_not_read() {
    let mut rig = busy(120, 36);
    rig.press("f").typing("~m tools");
    let filter = |rig: &Rig| rig.model.list().filter.as_ref().map(|(text, _)| text.clone());
    let paste = |rig: &mut Rig, text: String| {
        rig.change(crate::ui::model::Change::Input(crate::ui::ScreenInput::Terminal(crossterm::event::Event::Paste(
            text,
        ))));
    };
    paste(&mut rig, " word1".repeat(20_000));
    assert_eq!(filter(&rig).as_deref(), Some("~m tools"), "the list stays");
    let picture = rig.picture();
    assert!(picture.contains("a filter has at most 4000 characters"), "{picture}");
    let typed = picture.lines().find(|line| line.contains("filter>")).unwrap().to_owned();
    assert!(typed.contains("word1 word1 word1"), "its end is in sight: {picture}");
    rig.press("enter");
    assert!(rig.model.prompt.is_some(), "nothing is accepted");
    rig.press("home");
    assert!(rig.picture().contains("filter> ~m tools word1 word1"), "{}", rig.picture());
    rig.press("ctrl-k").typing("~q");
    assert_eq!(filter(&rig).as_deref(), Some("~q"));
}
