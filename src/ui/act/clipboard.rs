//! Copying something of the selected message.

use crate::ui::json::{JsonCell, pretty};
use crate::ui::keymap::Action;
use crate::ui::model::popup::Popup;
use crate::ui::model::{Effect, Model};

pub(super) fn copy(model: &mut Model, action: Action) {
    if let Some(Popup::Pager(pager)) = &model.popup {
        let text = pager.text.clone();
        return model.effect(Effect::Copy(text));
    }
    if action == Action::CopyRow && model.has_rows() {
        return model.effect(Effect::CopyRow);
    }
    match text_to_copy(model, action) {
        Some(text) => model.effect(Effect::Copy(text)),
        None => model.warn("there is nothing of that kind to copy here"),
    }
}

fn text_to_copy(model: &Model, action: Action) -> Option<String> {
    let row = model.selected()?;
    let message = &row.envelope.message;
    match action {
        Action::CopyMessage => Some(String::from_utf8_lossy(message.raw()).into_owned()),
        Action::CopyBody => {
            let body = ["params", "result", "error"].into_iter().find_map(|key| message.member(key))?;
            Some(pretty(body.as_bytes()).unwrap_or_else(|| body.to_owned()))
        }
        Action::CopyValue => value(model),
        Action::CopyPath => Some(model.detail.row()?.path),
        Action::CopyId => Some(message.id()?.display().to_owned()),
        _ => None,
    }
}

fn value(model: &Model) -> Option<String> {
    let row = model.detail.row()?;
    match row.value {
        JsonCell::Number(text) | JsonCell::Text(text) => Some(text),
        JsonCell::Bool(value) => Some(value.to_string()),
        JsonCell::Null => Some("null".to_owned()),
        JsonCell::Object(_) | JsonCell::Array(_) | JsonCell::String { .. } => model.detail.value_text(&row.path),
    }
}
