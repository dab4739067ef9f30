//! What was done last is taken back, as far as it has not left.

use super::rig::busy;
use crate::envelope::Seq;
use crate::event::{Command, Holding, RuleCommand};

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
    let commands = rig.press("u").commands();
    let [Command::SetHolding(Holding { on: true, filter })] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(*filter, before.filter);
}

#[test]
fn undo_brings_a_rule_back() {
    let mut rig = busy(120, 36);
    super::scenes::rules(&mut rig);
    let rule = rig.press("3").model.selected_rule().unwrap().clone();
    rig.press("D y");
    rig.commands();
    let commands = rig.press("u").commands();
    let [Command::Rules(RuleCommand::Add { text })] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(*text, rule.text);
    assert!(rig.picture().contains(&format!("`{}` is back, behind all others", rule.name)), "{}", rig.picture());
}
