//! What was done last is taken back, as far as it has not left.

use super::rig::busy;
use crate::envelope::Seq;
use std::sync::Arc;

use crate::event::figures::Figures;
use crate::event::{Command, Event, Holding, Level, LogLine, RuleCommand};

#[test]
fn undo_takes_back_drafts_one_after_the_other() {
    let mut rig = busy(120, 36);
    rig.press("2 e").typing("x").press("esc");
    assert_eq!(rig.model.queue.drafts.len(), 1);
    let seq = *rig.model.queue.drafts.keys().next().unwrap();
    rig.press("V");
    assert!(rig.model.queue.drafts.is_empty());
    rig.press("u");
    assert!(rig.model.queue.drafts.contains_key(&seq), "what was discarded is there again");
    let picture = rig.press("u").picture();
    assert!(rig.model.queue.drafts.is_empty() && picture.contains(&format!("{seq} has no draft again")), "{picture}");
    let picture = rig.press("u").picture();
    assert!(picture.contains("there is nothing here for that"), "{picture}");
}

#[test]
fn undo_says_why_what_was_sent_cannot_be_taken_back() {
    for (keys, why) in [
        ("2 a", "has gone out"),
        ("2 X", "its sender has the answer"),
        ("2 d", "was dropped, and its sender waits"),
        ("2 A", "have gone out"),
    ] {
        let mut rig = busy(120, 36);
        rig.press(keys);
        rig.commands();
        let picture = rig.press("u").picture();
        assert!(picture.contains(why) && rig.commands().is_empty(), "{keys}: {picture}");
    }
}

#[test]
fn undo_takes_back_marks_and_comments() {
    let mut rig = busy(120, 36);
    let mark = |rig: &super::rig::Rig| rig.model.messages().0.mark(Seq(1189)).cloned().unwrap_or_default();
    rig.press(": 1 1 8 9 enter m : 1 1 8 9 enter ;").typing("why?").press("enter U");
    assert!(!mark(&rig).is_marked);
    rig.press("u");
    assert!(mark(&rig).is_marked && mark(&rig).comment == "why?");
    rig.press("u");
    assert!(mark(&rig).is_marked && mark(&rig).comment.is_empty());
    rig.press("u");
    assert!(!mark(&rig).is_marked);
}

#[test]
fn undo_holds_again_what_was_held() {
    let mut rig = busy(120, 36);
    let before = rig.model.observed.holding.clone();
    rig.press("I k");
    rig.commands();
    assert!(rig.press("u").commands().is_empty(), "the hold is not yet what was set");
    rig.on_event(Event::Holding(Holding { on: false, ..before.clone() }));
    let commands = rig.press("u").commands();
    let [Command::SetHolding(Holding { on: true, filter })] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(*filter, before.filter);
}

#[test]
fn undo_leaves_a_hold_that_is_not_its_own() {
    let mut rig = busy(120, 36);
    let before = rig.model.observed.holding.clone();
    rig.press("I k");
    rig.commands();
    rig.on_event(Event::Holding(Holding { on: true, filter: "~tool other".to_owned() }));
    for _ in 0..2 {
        let picture = rig.press("u").picture();
        assert!(picture.contains("another screen has changed it") && rig.commands().is_empty(), "{picture}");
    }
    rig.on_event(Event::Holding(Holding { on: false, ..before }));
    rig.on_event(Event::Figures(Arc::new(Figures { taplines: 3, ..Figures::default() })));
    let picture = rig.press("u").picture();
    assert!(picture.contains("each tapline held what it held before") && rig.commands().is_empty(), "{picture}");
}

#[test]
fn undo_of_a_draft_whose_message_has_left_says_so() {
    let mut rig = busy(120, 36);
    rig.press("2 e").typing("x").press("esc V a");
    rig.commands();
    for _ in 0..3 {
        let picture = rig.press("u").picture();
        assert!(picture.contains("has gone out, and nothing takes that back"), "{picture}");
    }
    assert!(rig.model.queue.drafts.is_empty());
}

/// As at the deadline of a breakpoint, or where another screen sent it.
#[test]
fn draft_of_a_message_that_went_without_it_is_kept_and_nothing_else_is_said() {
    for keeps_first in [true, false] {
        let mut rig = busy(120, 36);
        let held = rig.press("2").model.held_here().unwrap().clone();
        rig.press("e").typing("x");
        if keeps_first {
            rig.press("esc");
        }
        let mut passed = held.envelope.clone();
        passed.held = Some(12_000_000);
        rig.on_event(Event::Passed(passed.into()));
        if !keeps_first {
            rig.press("esc");
        }
        let picture = rig.picture();
        assert!(
            picture.contains("draft") && picture.contains("kept") && !picture.contains("`a` sends it"),
            "{picture}"
        );
        assert!(rig.model.queue.drafts.contains_key(&held.envelope.seq));
    }
}

#[test]
fn undo_on_the_rules_takes_nothing_else_back() {
    let mut rig = busy(120, 36);
    super::scenes::rules(&mut rig);
    rig.press("1 I k 3");
    rig.commands();
    assert!(rig.press("u").commands().is_empty());
    let rule = rig.model.selected_rule().unwrap().clone();
    rig.press("space");
    rig.commands();
    let commands = rig.press("u").commands();
    let [Command::Rules(RuleCommand::Switch { name, on })] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!((name, *on), (&rule.name, rule.is_on));
}

#[test]
fn undo_says_what_a_mark_is_now() {
    let mut rig = busy(120, 36);
    let picture = rig.press(": 1 1 8 9 enter m u").picture();
    assert!(picture.contains("#1189 is not marked any more"), "{picture}");
    for (keys, said) in [
        ("; h i enter u", "#1189 has no comment any more"),
        ("; h i enter ; h o enter u", "#1189 has its comment of before"),
        (": 1 1 8 9 enter m : 1 1 8 9 enter m u", "#1189 is marked again"),
    ] {
        let picture = rig.press(&format!(": 1 1 8 9 enter {keys}")).picture();
        assert!(picture.contains(said), "{keys}: {picture}");
    }
}

#[test]
fn undo_brings_a_rule_back() {
    let mut rig = busy(120, 36);
    super::scenes::rules(&mut rig);
    let rule = rig.press("3").model.selected_rule().unwrap().clone();
    rig.press("D y");
    rig.commands();
    let asked = Command::Rules(RuleCommand::Restore { name: rule.name });
    assert_eq!(format!("{:?}", rig.press("u").commands()), format!("{:?}", [asked]));
    let said = "the rules stay as they were: another rule is called `search is slow`";
    assert!(!rig.picture().contains("is back"), "{}", rig.picture());
    rig.on_event(Event::Log(LogLine::new(Level::Warn, "rules", said.to_owned())));
    rig.on_event(Event::Log(LogLine::new(Level::Info, "rules", "the rule is back".to_owned())));
    assert!(rig.picture().contains(said), "of two taplines, one refused: {}", rig.picture());
}
