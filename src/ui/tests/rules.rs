//! Rules on the screen: made of a message in two keys, listed, switched, moved, changed and saved.

use super::rig::{Rig, World, busy, held};
use super::scenes::rules as four_rules;
use crate::event::figures::Figures;
use crate::event::{Command, Event, Level, LogLine, RuleCommand, RuleStatus, Ticket};
use crate::filter::SavedFilters;
use crate::rules;
use crate::ui::model::popup::Popup;

/// The rule that was put in force last.
fn added(rig: &mut Rig) -> String {
    let Some(Command::Rules(RuleCommand::Add { text })) = rig.commands().pop() else { panic!("no rule was made") };
    assert!(rules::read(&text, &SavedFilters::default()).is_ok(), "{text}");
    text
}

#[test]
fn rule_form_says_all_it_has_to_say_in_a_narrow_window() {
    let mut rig = busy(60, 20);
    let picture = rig.press(": 1 1 8 9 enter R").picture();
    assert!(picture.contains("filter; `enter` puts it in force"), "{picture}");
}

#[test]
fn rule_is_made_of_what_a_hand_did_in_two_keys() {
    let mut rig = busy(120, 36);
    rig.press(": 1 1 9 3 enter R");
    let picture = rig.picture();
    assert!(picture.contains("[edit]") && picture.contains("would have touched 1 of 13: #1193"), "{picture}");
    rig.press("enter");
    let text = added(&mut rig);
    let (when, change) =
        ("when = \"~r ~tool ^read_file$\"", "{ modify = { patch = '[{\"op\":\"replace\",\"path\":\"/result");
    assert!(text.contains(when) && text.contains(change), "{text}");
    assert!(!rig.picture().contains("in force from"), "it has not been answered: {}", rig.picture());
    let answer = LogLine::new(Level::Info, "rules", "the rule `x` is in force from the next message on".to_owned());
    rig.on_event(Event::Log(answer.clone()));
    assert!(rig.picture().contains("in force from the next message on"), "{}", rig.picture());
    rig.press("k").on_event(Event::Log(answer));
    assert!(!rig.picture().contains("in force from"), "it was answered once: {}", rig.picture());
}

#[test]
fn rule_whose_name_is_taken_by_now_is_not_put_in_force_under_it() {
    let mut rig = busy(120, 36);
    rig.press(": 1 1 9 3 enter R");
    let Some(Popup::Rule(form)) = &rig.model.popup else { panic!("no form") };
    let name = form.proposals[0].name.clone();
    let rule = RuleStatus { name: name.clone(), ..RuleStatus::default() };
    rig.on_event(Event::Figures(Figures { rules: vec![rule], ..Figures::default() }.into()));
    let picture = rig.press("enter").picture();
    assert!(asked(&mut rig).is_empty() && picture.contains(&format!("another rule is called `{name}`")), "{picture}");
    rig.press("enter");
    assert!(added(&mut rig).contains(&format!("name = \"{name} 2\"")));
}

#[test]
fn rule_is_made_of_a_draft_and_of_what_was_decided_last() {
    let mut rig = busy(120, 36);
    rig.press("2 e");
    let editor = rig.model.editor.as_mut().unwrap();
    let text = editor.text().replace("/etc/hosts", "/tmp/hosts");
    editor.replace(&text);
    rig.press("esc R");
    assert!(rig.picture().contains("[edit]"), "{}", rig.picture());
    rig.press("esc");
    for ticket in [1, 2] {
        rig.on_event(Event::Settled { ticket: Ticket(ticket) });
    }
    let mut world = World::new();
    world.seq = 1300;
    let mut call = world.call(1, 50, "fetch", "{}");
    rig.on_event(held(9, call.clone(), 2));
    rig.on_event(Event::Settled { ticket: Ticket(9) });
    (call.outcome, call.held) = (crate::envelope::Outcome::Forwarded, Some(1_500_000));
    rig.on_event(Event::Passed(call.into()));
    rig.press("R enter");
    assert!(added(&mut rig).contains("do = { delay = \"1500ms\" }"), "what was held for a while is delayed");
}

#[test]
fn rule_of_each_deed_is_one_that_files_take() {
    for number in ["1 1 8 9", "1 1 9 2", "1 1 9 5", "1 1 9 7"] {
        for action in 0..7 {
            let mut rig = busy(120, 36);
            rig.press(&format!(": {number} enter R {} enter", "right ".repeat(action)));
            added(&mut rig);
        }
    }
    let mut rig = busy(120, 36);
    rig.press(": 1 1 8 9 enter R tab");
    rig.typing(" & (").press("enter");
    assert!(rig.effects.is_empty(), "a filter that is none is not put in force: {:?}", rig.effects);
}

/// What the core was asked to do with rules since the last look.
fn asked(rig: &mut Rig) -> Vec<RuleCommand> {
    let of_rules = |command| if let Command::Rules(command) = command { Some(command) } else { None };
    rig.commands().into_iter().filter_map(of_rules).collect()
}

#[test]
fn rules_screen_switches_moves_deletes_and_saves() {
    let mut rig = busy(120, 36);
    four_rules(&mut rig);
    rig.press("3 space j K J D n D y s V");
    rig.press(":").typing("rules save other.toml").press("enter");
    let name = || "no writes".to_owned();
    assert_eq!(
        asked(&mut rig),
        [
            RuleCommand::Switch { name: "search is slow".to_owned(), on: false },
            RuleCommand::Move { name: name(), up: true },
            RuleCommand::Move { name: name(), up: false },
            RuleCommand::Remove { name: name() },
            RuleCommand::Save { file: None },
            RuleCommand::Revert,
            RuleCommand::Save { file: Some("other.toml".into()) },
        ]
    );
    rig.on_event(Event::Log(LogLine::new(Level::Info, "rules", "saved to other.toml".to_owned())));
    assert!(rig.picture().contains("saved to other.toml"), "{}", rig.picture());
    rig.press("enter");
    assert_eq!(rig.model.list().filter.as_ref().unwrap().0, "~rule \"^no writes$\"");
}

/// Where the last rule of a file was taken away there is none that could say that something is unsaved.
#[test]
fn rules_screen_without_rules_saves_and_reverts_what_was_taken_away() {
    let mut rig = busy(120, 36);
    rig.press("3 s V");
    assert_eq!(asked(&mut rig), [RuleCommand::Save { file: None }, RuleCommand::Revert]);
}

#[test]
fn rules_screen_follows_its_rule_and_says_what_is_wrong_with_a_file() {
    let mut rig = busy(120, 36);
    four_rules(&mut rig);
    rig.press("3 j");
    let mut figures = (**rig.model.metrics.figures.as_ref().unwrap()).clone();
    figures.rules.swap(0, 1);
    rig.on_event(Event::Figures(figures.into()));
    assert_eq!(rig.model.selected_rule().unwrap().name, "no writes", "it was moved, and the cursor with it");
    let picture = rig.picture();
    assert!(picture.contains("mine.toml:3:8: unknown operator `~tol`; did you mean `~tool`?"), "{picture}");
    assert!(picture.contains("Rules 4 1 off 1 broken"), "{picture}");
    rig.press("1");
    let text = "the rules stay as they were: a.toml:1:2: no\nb.toml:1:1: no".to_owned();
    rig.on_event(Event::Log(LogLine::new(Level::Error, "rules", text)));
    assert!(rig.picture().contains("the rules stay as they were: a.toml:1:2"), "{}", rig.picture());
}

#[test]
fn rule_is_edited_as_toml_with_all_that_is_wrong_at_its_line() {
    let mut rig = busy(120, 36);
    four_rules(&mut rig);
    rig.press("3 e");
    let picture = rig.picture();
    assert!(picture.contains("# as over a bad line") && picture.contains("would have touched 1 of"), "{picture}");
    rig.press("ctrl-s");
    assert!(asked(&mut rig).is_empty() && rig.picture().contains("nothing changed"), "{}", rig.picture());
    rig.press("e down down end backspace").typing("2\"").press("ctrl-s");
    let [RuleCommand::Replace { name, text }] = &asked(&mut rig)[..] else { panic!("nothing was put in force") };
    assert_eq!(name, "search is slow");
    assert!(text.starts_with("# as over a bad line\n[[rule]]\nname = \"search is slow2\"\n"), "{text}");
    rig.press("n").typing("no writes").press("down end backspace").typing(" & (\"").press("down end").typing("x");
    let picture = rig.picture();
    assert!(picture.contains("line 4:"), "{picture}");
    rig.press("backspace down down enter").typing("evry = 2");
    let picture = rig.picture();
    assert!(picture.contains("line 3:") && picture.contains("line 5:1"), "all at once: {picture}");
    rig.press("ctrl-s");
    assert!(asked(&mut rig).is_empty() && rig.model.rules_screen.editor.is_some(), "it is not put in force");
    rig.press("ctrl-g esc n");
    assert!(rig.picture().contains("evry = 2"), "what was written is kept: {}", rig.picture());
}

#[test]
fn name_of_another_rule_is_a_fault() {
    let mut rig = busy(120, 36);
    four_rules(&mut rig);
    rig.press("3 n").typing("no writes");
    assert!(rig.picture().contains("line 2:1 another rule is called `no writes`"), "{}", rig.picture());
}

/// Two taplines with the same file of rules.
#[test]
fn rules_of_two_taplines_are_told_apart() {
    let mut rig = busy(80, 24);
    let rule = |tapline: &str, name: &str| RuleStatus {
        name: name.to_owned(),
        tapline: Some(tapline.to_owned()),
        ..RuleStatus::default()
    };
    let rules = ["one@:7070", "one@:7071"].into_iter().flat_map(|tapline| ["a", "b"].map(|name| rule(tapline, name)));
    rig.on_event(Event::Figures(Figures { rules: rules.collect(), ..Figures::default() }.into()));
    let picture = rig.press("3").picture();
    assert!(picture.contains("one@:7070") && picture.contains("one@:7071"), "{picture}");
    rig.press("down down").picture();
    rig.press("space D y u");
    let meant = |command: &Command| matches!(command, Command::RulesOf { tapline, .. } if tapline == "one@:7071");
    let commands = rig.commands();
    assert!(commands.len() == 3 && commands.iter().all(meant), "{commands:?}");
}
