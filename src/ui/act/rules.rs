//! `R`: what a hand did once becomes a rule.

use super::hold::draft;
use crate::event::{Command, Decision, RuleCommand};
use crate::rules::{HandAction, from_hand, proposals};
use crate::ui::model::popup::Popup;
use crate::ui::model::rule_form::RuleForm;
use crate::ui::model::{Model, ScreenKind};

pub(super) fn open(model: &mut Model) {
    let Some(row) = model.subject_of_rule() else { return };
    let rows = if model.screen == ScreenKind::Queue { &model.observed.rows } else { model.messages().0 };
    let reply = rows.pair_of(&row).filter(|reply| reply.envelope.seq > row.envelope.seq);
    let taken = |name: &str| model.rules().iter().any(|rule| rule.name == name);
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
    let text = form.text();
    model.popup = None;
    model.send(Command::Rules(RuleCommand::Add { text }));
    model.notify("in force from the next message on: `3` lists the rules, and `s` there writes them to a file");
}

pub(super) fn choose(model: &mut Model, by: isize) {
    if let Some(Popup::Rule(form)) = &mut model.popup {
        form.choose(by);
    }
    changed(model);
}
