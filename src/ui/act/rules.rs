//! Rules: what a hand did once becomes one (`R`), and what is done with them on their screen.

use super::editing::{NOTHING_TO_REDO, NOTHING_TO_UNDO};
use std::path::PathBuf;

use super::hold::draft;
use super::navigate::to_screen;
use super::prompt::set_filter;
use crate::event::{Command, Decision, RuleCommand};
use crate::filter::Filter;
use crate::rules::{HandAction, free_name, from_hand, proposals};
use crate::ui::keymap::Action;
use crate::ui::model::popup::{Confirmation, Popup};
use crate::ui::model::rule_editor::RuleEditor;
use crate::ui::model::rule_form::RuleForm;
use crate::ui::model::rules_screen::RuleKey;
use crate::ui::model::undo::UndoStep;
use crate::ui::model::{Model, ScreenKind};

pub(super) fn open(model: &mut Model) {
    let Some(row) = model.subject_of_rule() else { return };
    let rows = if model.screen == ScreenKind::Queue { &model.observed.rows } else { model.messages().0 };
    let reply = rows.pair_of(&row).filter(|reply| reply.envelope.seq > row.envelope.seq);
    let taken = |name: &str| is_taken(model, name);
    let mut all = proposals(&row.envelope, reply.as_ref().map(|reply| &*reply.envelope), &taken);
    // What is written and not sent yet is meant, too.
    if let Ok(Decision::Edit(after)) = draft(model) {
        let before = &row.envelope.message;
        all.insert(0, from_hand(&row.envelope, &HandAction::Edit { before, after: &after }, &taken));
    }
    let mut form = RuleForm::new(all);
    form.look(model.messages().0, &model.settings.filters);
    model.popup = Some(Popup::Rule(Box::new(form)));
}

/// What is typed or chosen in the form changed.
pub(super) fn changed(model: &mut Model) {
    let Some(Popup::Rule(mut form)) = model.popup.take() else { return };
    form.look(model.messages().0, &model.settings.filters);
    model.popup = Some(Popup::Rule(form));
}

pub(super) fn keep(model: &mut Model) {
    let Some(Popup::Rule(form)) = &model.popup else { return };
    if let Err(why) = &form.preview {
        let why = why.clone();
        return model.warn(why);
    }
    let (text, name) = (form.text(), form.proposals[form.chosen].name.clone());
    if is_taken(model, &name) {
        return rename(model, &name);
    }
    model.popup = None;
    add(model, Some(name), text);
}

/// What became of it is said when it is told.
fn add(model: &mut Model, name: Option<String>, text: String) {
    name.into_iter().for_each(|name| model.rules_screen.expect(RuleKey { tapline: None, name }));
    model.rules_screen.awaits_answer = true;
    model.send(Command::Rules(RuleCommand::Add { text }));
}

fn is_taken(model: &Model, name: &str) -> bool {
    model.rules().iter().any(|rule| rule.name == name)
}

/// A rule of that name has come meanwhile.
fn rename(model: &mut Model, name: &str) {
    let free = free_name(name, &|name| is_taken(model, name));
    model.warn(format!("another rule is called `{name}` by now: this one is `{free}`, and not in force yet"));
    if let Some(Popup::Rule(form)) = &mut model.popup {
        form.proposals[form.chosen].name = free;
    }
}

pub(super) fn choose(model: &mut Model, by: isize) {
    if let Some(Popup::Rule(form)) = &mut model.popup {
        form.choose(by);
    }
    changed(model);
}

/// What a key of the screen of rules does to the one under the cursor.
pub(super) fn change(model: &mut Model, action: Action) {
    let Some(rule) = model.selected_rule() else { return };
    let (key, on) = (RuleKey::of(rule), !rule.is_on);
    match action {
        Action::SwitchRule => {
            model.undo.push(UndoStep::RuleSwitch { rule: key.clone(), on: !on });
            model.ask_of_rule(key, |name| RuleCommand::Switch { name, on });
        }
        Action::RuleUp => model.ask_of_rule(key, |name| RuleCommand::Move { name, up: true }),
        Action::RuleDown => model.ask_of_rule(key, |name| RuleCommand::Move { name, up: false }),
        Action::RemoveRule => model.popup = Some(Popup::Confirm(Confirmation::RemoveRule)),
        Action::RemoveRuleNow => {
            model.popup = None;
            model.undo.push(UndoStep::Rule(key.clone()));
            model.ask_of_rule(key, |name| RuleCommand::Remove { name });
        }
        _ => {}
    }
}

/// Takes what stands in the files again.
pub(super) fn revert(model: &mut Model) {
    model.send(Command::Rules(RuleCommand::Revert));
}

/// Writes what is unsaved to its files; what has none to `file`, where one is named.
pub(super) fn save(model: &mut Model, file: Option<&str>) {
    let file = file.map(str::trim).filter(|file| !file.is_empty()).map(PathBuf::from);
    model.send(Command::Rules(RuleCommand::Save { file }));
}

/// Shows the messages that the rule under the cursor has touched.
pub(super) fn show_hits(model: &mut Model) {
    let Some(text) =
        model.selected_rule().map(|rule| format!("~rule \"^{}$\"", regex::escape(&rule.name).replace('"', "\\\"")))
    else {
        return;
    };
    let Ok(filter) = Filter::parse(&text) else { return };
    to_screen(model, ScreenKind::Messages);
    set_filter(model, Some((text, filter)));
}

/// Opens the rule under the cursor as TOML.
pub(super) fn edit(model: &mut Model) {
    if let Some(rule) = model.selected_rule().cloned() {
        let draft = model.rules_screen.draft.take_if(|(of, _)| of.as_ref() == Some(&RuleKey::of(&rule)));
        open_editor(model, RuleEditor::open(Some(&rule), draft.map(|(_, lines)| lines)));
    }
}

/// Opens a new rule as TOML.
pub(super) fn write_new(model: &mut Model) {
    let draft = model.rules_screen.draft.take_if(|(of, _)| of.is_none());
    open_editor(model, RuleEditor::open(None, draft.map(|(_, lines)| lines)));
}

fn open_editor(model: &mut Model, editor: RuleEditor) {
    model.rules_screen.editor = Some(Box::new(editor));
    edited(model);
}

/// The text of the rule changed.
pub(super) fn edited(model: &mut Model) {
    let Some(mut editor) = model.rules_screen.editor.take() else { return };
    editor.check(model.rules(), model.messages().0, &model.settings.filters);
    model.rules_screen.editor = Some(editor);
}

/// Puts in force what is written.
pub(super) fn send(model: &mut Model) {
    let Some(editor) = &model.rules_screen.editor else { return };
    if let Some(fault) = editor.faults.first() {
        let why = format!("line {}: {}; `ctrl g` goes there", fault.line, fault.why);
        return model.warn(why);
    }
    let (of, text, name) = (editor.of.clone(), editor.text(), editor.name());
    let is_as_it_was = of.is_some() && !editor.touched();
    (model.rules_screen.editor, model.rules_screen.draft) = (None, None);
    if is_as_it_was {
        return model.notify("nothing changed: the rule is as it was");
    }
    let Some(rule) = of else { return add(model, name, text) };
    name.into_iter().for_each(|name| model.rules_screen.expect(RuleKey { name, ..rule.clone() }));
    model.ask_of_rule(rule, |name| RuleCommand::Replace { name, text });
}

/// Leaves the text, and keeps it for the next time where it was changed.
pub(super) fn close_editor(model: &mut Model) {
    let Some(editor) = model.rules_screen.editor.take() else { return };
    if editor.touched() {
        let again = if editor.of.is_some() { "<rules edit>" } else { "<rules rule-new>" };
        model.rules_screen.draft = Some((editor.of.clone(), editor.area.lines().to_vec()));
        model.notify(format!("kept and not in force: `{again}` opens it again"));
    }
}

pub(super) fn change_text(model: &mut Model, action: Action) {
    let Some(editor) = &mut model.rules_screen.editor else { return };
    match action {
        Action::Undo if !editor.area.undo() => return model.notify(NOTHING_TO_UNDO),
        Action::Redo if !editor.area.redo() => return model.notify(NOTHING_TO_REDO),
        Action::Undo | Action::Redo => {}
        Action::GoToFault => return editor.go_to_fault(),
        _ => return,
    }
    edited(model);
}
