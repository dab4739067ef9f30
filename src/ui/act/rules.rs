//! `R`: what a hand did once becomes a rule.

use crate::ui::model::popup::Popup;
use crate::ui::model::rule_form::RuleForm;
use crate::ui::model::{Effect, Model};

pub(super) fn open(model: &mut Model) {
    let Some(row) = model.selected() else { return };
    let pair = model.selected_pair();
    let reply = pair.as_ref().map(|row| &*row.envelope).filter(|reply| reply.seq > row.envelope.seq);
    let (rows, _) = model.messages();
    let form = RuleForm::of(&row.envelope, reply, rows, &model.settings.filters);
    model.popup = Some(Popup::Rule(Box::new(form)));
}

/// What is typed in the form changed.
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
    model.effect(Effect::AddRule(text));
}

pub(super) fn choose(model: &mut Model, by: isize) {
    if let Some(Popup::Rule(form)) = &mut model.popup {
        form.choose(by);
    }
}
