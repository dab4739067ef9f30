//! Keys of the operator's own: they do what those of the table did, and the screen shows them.

use super::rig::{Rig, World, busy_with, held};
use crate::ui::help::keys;
use crate::ui::keymap::{KeyChange, key_choice, with_keys};
use crate::ui::settings::{KeyChoice, Settings};

fn change(place: Option<&str>, command: &str, keys: &[&str]) -> KeyChange {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    KeyChange { place: place.map(str::to_owned), command: command.to_owned(), keys }
}

fn rig(changes: &[KeyChange]) -> Rig {
    let keys = key_choice(changes).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    busy_with(120, 36, &Settings { keys, ..Settings::default() })
}

fn why(changes: &[KeyChange]) -> Vec<String> {
    key_choice(changes).expect_err("it is wrong").into_iter().map(|mistake| mistake.why).collect()
}

#[test]
fn own_key_does_what_the_tables_did_and_is_shown() {
    let mut rig = rig(&[change(None, "filter", &["ctrl k", "K"]), change(None, "queue", &["8"])]);
    let picture = rig.picture();
    assert!(picture.contains("ctrl k filter") && picture.contains(" 8 queue "), "{picture}");
    rig.press("f");
    assert!(rig.model.prompt.is_none(), "the key of the table is free");
    rig.press("K");
    assert!(rig.model.prompt.is_some());
    rig.press("esc").typing(":filter");
    let palette = rig.picture();
    assert!(palette.contains("ctrl k"), "{palette}");
    rig.press("esc").press("?").typing("limit the list");
    let help = rig.picture();
    assert!(help.contains("ctrl k, K"), "{help}");
}

#[test]
fn own_keys_stand_in_what_is_said() {
    let mut rig = rig(&[change(None, "queue", &["8"]), change(None, "change", &["f4"]), change(None, "rule-new", &[])]);
    rig.model.observed.held.clear();
    let call = World::new().call(1, 90, "write_file", "{}");
    rig.on_event(held(9, call, 1));
    let said = rig.picture();
    assert!(said.contains("`8` shows it, `f4` changes a value, `e` all of it"), "{said}");
    rig.press("3");
    assert!(
        rig.picture().contains("`R` on a message makes one of it") && rig.picture().contains("`:rule-new` writes one")
    );
}

#[test]
fn every_key_that_is_said_is_one_of_the_table() {
    let files = ["act", "model", "keymap", "view"].map(|room| format!("{}/src/ui/{room}", env!("CARGO_MANIFEST_DIR")));
    let files = files.iter().flat_map(|room| std::fs::read_dir(room).unwrap()).map(|file| file.unwrap().path());
    let place = regex::Regex::new(r"<([a-z-]+ [a-z-]+)>").unwrap();
    let mut count = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for named in place.captures_iter(&text).map(|found| found[0].to_owned()).filter(|it| it != "<place command>") {
            assert_ne!(with_keys(&KeyChoice::default(), &named), named, "in {}", file.display());
            count += 1;
        }
    }
    assert!(count > 20, "{count} are too few: it looks in the wrong place");
}

/// A key that a file may change is never named by what it usually is.
#[test]
fn no_key_that_can_be_changed_is_named_by_itself() {
    use crate::ui::keymap::BINDINGS;
    // Keys of lines and forms, which are not changed, and names of members.
    const FIXED: [(&str, &str); 4] =
        [("offers.rs", "enter"), ("rule_form.rs", "enter"), ("prompt.rs", "tab"), ("choice.rs", "pgup")];
    let named = regex::Regex::new(r#""[^"]*`([^`<\s]{1,5}|(?:ctrl|shift) [a-z]+)`[^"]*""#).unwrap();
    let can_change = |key: &str| {
        let named = BINDINGS.iter().filter(|it| it.on.name_in_file().is_some());
        let mut rows = named.filter(|it| it.action.name() != "interrupt");
        rows.any(|it| it.keys.contains(&key))
    };
    let rooms = ["act", "model", "view", "keymap"].map(|room| format!("{}/src/ui/{room}", env!("CARGO_MANIFEST_DIR")));
    let mut wrong = Vec::new();
    for file in rooms.iter().flat_map(|room| std::fs::read_dir(room).unwrap()).map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            for key in named.captures_iter(line).map(|found| found[1].to_owned()) {
                if can_change(&key) && !FIXED.contains(&(name, &key)) {
                    wrong.push(format!("{name}: `{key}` in {}", line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn own_key_of_a_menu_is_shown_before_its_own() {
    let mut rig = rig(&[change(None, "go", &["G"]), change(None, "end", &["end"]), change(None, "top", &["home"])]);
    rig.typing(":next-error");
    let palette = rig.picture();
    assert!(palette.contains("G e"), "{palette}");
    rig.press("esc").press("G");
    let menu = rig.picture();
    assert!(menu.contains("G: go to"), "{menu}");
}

#[test]
fn own_key_of_one_place_leaves_the_others() {
    let choice = key_choice(&[change(None, "back", &["esc"]), change(Some("queue"), "drop", &["D", "f5"])]);
    let pages = keys(&choice.expect("they are keys"));
    let of = |title: &str, what: &str| {
        let page = pages.iter().find(|(place, _)| *place == title).map(|(_, keys)| keys.clone());
        page.unwrap().into_iter().find(|(_, help)| help.contains(what)).map(|(key, _)| key)
    };
    assert_eq!(of("queue", "send nothing on").as_deref(), Some("D, f5"));
    assert_eq!(of("tapes", "back to the messages").as_deref(), Some("esc"));
    assert_eq!(of("messages", "compare with another").as_deref(), Some("d"));
    assert_eq!(of("quitting with held messages", "do not quit").as_deref(), Some("esc, q, n"), "a question stays");
}

#[test]
fn own_key_of_nothing_is_not_listed() {
    let mut rig = rig(&[change(None, "resend", &[])]);
    assert!(!rig.picture().contains(" resend"));
    rig.typing(":resend");
    assert!(rig.picture().contains("send the request again"), "the command is still there");
}

#[test]
fn own_keys_leave_a_way_out_and_to_the_help() {
    let told = why(&[change(None, "quit", &[]), change(None, "back", &[]), change(Some("everywhere"), "help", &[])]);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("`quit` needs a key: without one there is no way out"), "{told:?}");
    assert!(told[2].starts_with("`help` needs a key"), "{told:?}");
    // Of one place, the key that leads back everywhere leads back there, too.
    assert!(key_choice(&[change(Some("queue"), "back", &[]), change(None, "quit", &["ctrl q"])]).is_ok());
}

#[test]
fn own_key_that_means_two_things_in_a_place_is_wrong() {
    let told = why(&[change(None, "filter", &["i"]), change(None, "order", &["enter"])]);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("`i` is also `hold` (messages)"), "{told:?}");
    assert!(told[1].starts_with("`enter` is also `open` (messages)"), "{told:?}");
    assert!(told[2].starts_with("`enter` is also `open` (tapes)"), "{told:?}");
    // Places of which one lies in the other.
    let told = why(&[change(Some("queue"), "drop", &["?"])]);
    assert!(told[0].starts_with("`?` is also `help` (everywhere)"), "{told:?}");
    assert_eq!(
        why(&[
            change(None, "filter", &["ctrl b"]),
            change(None, "session", &["ctrl k"]),
            change(None, "rule", &["ctrl k"])
        ])
        .len(),
        2
    );
    // Both were changed, and neither is in the other's way.
    assert!(key_choice(&[change(None, "filter", &["i"]), change(None, "hold", &["f"])]).is_ok());
    // What two commands share in the table they may go on to share.
    assert!(key_choice(&[change(None, "play", &["space", "p"]), change(None, "stop", &["space"])]).is_ok());
}

#[test]
fn own_keys_that_are_unknown_are_all_told() {
    let told = why(&[
        change(None, "filtr", &["F22"]),
        change(Some("queues"), "drop", &["d"]),
        change(Some("queue"), "sort", &["o"]),
        change(None, "interrupt", &["x"]),
        change(None, "mark", &["ctrl c", "ctrl K", "pageup"]),
    ]);
    assert_eq!(told.len(), 8, "{told:#?}");
}

#[test]
fn usual_table_is_a_choice_without_mistakes() {
    use crate::ui::keymap::BINDINGS;
    let nameable = BINDINGS.iter().filter(|it| it.action.name() != "cancel" && it.action.name() != "interrupt");
    for binding in nameable {
        let Some(place) = binding.on.name_in_file() else { continue };
        let (place, name) = (Some(place), binding.action.name());
        // Rows of one command in one place are changed together.
        let keys: Vec<&str> = BINDINGS
            .iter()
            .filter(|it| it.on == binding.on && it.action.name() == name)
            .flat_map(|it| it.keys)
            .copied()
            .collect();
        if keys == binding.keys {
            assert_eq!(key_choice(&[change(place, name, &keys)]).err(), None);
        }
    }
}
