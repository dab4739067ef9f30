//! Editing one value in a line: the same text, draft and way out as the editor's.

use super::editing::{Strict, close_editor, edit_subject, send as send_text};
use crate::ui::key_press::KeyPress;
use crate::ui::model::Model;
use crate::ui::model::editor::{EditSubject, Editor};
use crate::ui::model::input_line::InputLine;
use crate::ui::model::listed::{ValueRule, tool_of};
use crate::ui::model::prompt::{Prompt, PromptKind};
use crate::ui::model::value_edit::{ValueEdit, ValueForm};

/// `c`, or `enter` on a value: the one under the tree's cursor, or where the tree's cursor was not moved the likeliest one.
pub(super) fn edit(model: &mut Model) {
    let Some(subject) = edit_subject(model) else { return };
    model.show_detail();
    if model.detail.envelope().is_none_or(|shown| shown.seq != subject.seq) {
        // Its reply is selected: the tree is not the request's.
        return model.warn(
            "`<held edit>` edits the request; `<messages pair>` goes to it, there `<held change>` changes one value",
        );
    }
    model.detail.show_tree();
    model.show_detail();
    if model.detail.cursor == 0 || model.detail.value().is_none() {
        model.detail.go_to_likely_value();
    }
    open_line(model, subject);
}

/// The line for the value under the cursor of the tree.
fn open_line(model: &mut Model, subject: EditSubject) {
    let Some(path) = model.detail.value().map(|row| row.path) else {
        return model.warn("there is no single value in it: `<held edit>` edits the text");
    };
    let draft = model.queue.drafts.get(&subject.seq).map(|draft| draft.to_vec());
    let opened = Editor::open(subject.clone(), draft).and_then(|editor| Some((editor.value(&path)?, editor)));
    let Some((token, editor)) = opened else {
        return model.warn("two values have this name: `<held edit>` edits the text");
    };
    let rule = model.selected().and_then(|row| ValueRule::of(&tool_of(model.messages().0, &row.envelope)?, &path));
    let (mut value, line) = ValueEdit::of(subject, path, &token);
    value.rule = rule.unwrap_or_default();
    value.set_around(editor);
    model.prompt = Some(Prompt::of_value(value, &line));
    judge(model);
}

/// The line changed: what would be sent is judged as in the editor.
pub(super) fn judge(model: &mut Model) {
    let Some(prompt) = &mut model.prompt else { return };
    if let Some(value) = &mut prompt.value {
        value.judge(prompt.line.text());
    }
}

/// The message with the value as it is typed, in an editor; `None` where it cannot be kept, which is said.
fn edited(model: &mut Model) -> Option<Editor> {
    let prompt = model.prompt.as_ref().filter(|prompt| prompt.kind == PromptKind::Value)?;
    let value = prompt.value.as_ref()?;
    let token = match value.token(prompt.line.text()) {
        Ok(token) => token,
        Err(why) => {
            model.warn(why);
            return None;
        }
    };
    let (subject, path) = (value.subject.clone(), value.path.clone());
    let draft = model.queue.drafts.get(&subject.seq).map(|draft| draft.to_vec());
    let mut editor = Editor::open(subject, draft)?;
    if editor.value(&path).as_ref() != Some(&token) {
        editor.put_value(&path, &token);
    }
    model.prompt = None;
    Some(editor)
}

/// `enter`: into the draft.
pub(super) fn keep(model: &mut Model) {
    if let Some(editor) = edited(model) {
        model.editor = Some(editor);
        close_editor(model);
    }
}

pub(super) fn send(model: &mut Model) {
    if let Some(editor) = edited(model) {
        model.editor = Some(editor);
        send_text(model, Strict::Json);
    }
}

/// On to the next value of the same message.
pub(super) fn next(model: &mut Model, by: isize) {
    let subject = model.prompt.as_ref().and_then(|prompt| prompt.value.as_ref()).map(|value| value.subject.clone());
    let Some(subject) = subject else { return };
    keep(model);
    if model.prompt.is_some() {
        return;
    }
    model.notice = None;
    model.show_detail();
    let found = model.detail.go_to_next_value(by);
    open_line(model, subject);
    if !found {
        model.notify(if by < 0 { "it is the first value" } else { "it is the last value" });
    }
}

pub(super) fn turn(model: &mut Model) {
    let Some(prompt) = &mut model.prompt else { return };
    let Some(value) = &mut prompt.value else { return };
    if let Some(line) = value.turn(prompt.line.text()) {
        prompt.line = InputLine::new(&line);
    }
    judge(model);
}

/// `ctrl n`: the next of the values that the schema names.
pub(super) fn pick(model: &mut Model) {
    let Some(prompt) = &mut model.prompt else { return };
    let Some(value) = &mut prompt.value else { return };
    if let Some(line) = value.pick(prompt.line.text()) {
        prompt.line = InputLine::selected(&line);
    }
    judge(model);
}

/// A blank turns `true` into `false`; returns `false` where it is text like any other.
pub(super) fn toggled(prompt: &mut Prompt, key: &KeyPress) -> bool {
    let is_word = prompt.value.as_ref().is_some_and(|value| value.form == ValueForm::Bool);
    if !is_word || key.name != "space" {
        return false;
    }
    prompt.line = InputLine::selected(if prompt.line.text().starts_with('t') { "false" } else { "true" });
    true
}

/// The whole text instead, with the cursor where it was.
pub(super) fn to_editor(model: &mut Model) {
    let path = model.prompt.as_ref().and_then(|prompt| prompt.value.as_ref()).map(|value| value.path.clone());
    if let (Some(path), Some(mut editor)) = (path, edited(model)) {
        editor.select_value(&path);
        model.editor = Some(editor);
    }
}
