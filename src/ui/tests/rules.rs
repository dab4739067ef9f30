//! Rules on the screen: made of a message in two keys, listed, switched, moved, changed and saved.

use super::rig::{Rig, World, busy, held};
use crate::event::{Command, Event, RuleCommand, Ticket};
use crate::filter::SavedFilters;
use crate::rules;

/// The rule that was put in force last.
fn added(rig: &mut Rig) -> String {
    let Some(Command::Rules(RuleCommand::Add { text })) = rig.commands().pop() else { panic!("no rule was made") };
    assert!(rules::read(&text, &SavedFilters::default()).is_ok(), "{text}");
    text
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
    assert!(rig.picture().contains("in force from the next message on"), "{}", rig.picture());
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
        for deed in 0..7 {
            let mut rig = busy(120, 36);
            rig.press(&format!(": {number} enter R {} enter", "right ".repeat(deed)));
            added(&mut rig);
        }
    }
    let mut rig = busy(120, 36);
    rig.press(": 1 1 8 9 enter R tab");
    rig.typing(" & (").press("enter");
    assert!(rig.effects.is_empty(), "a filter that is none is not put in force: {:?}", rig.effects);
}
