//! Copying something of the selected message, writing it to a file, reading it elsewhere.

use super::export;
use crate::ui::content::{ContentBlock, MediaBlock};
use crate::ui::host::PipedOutput;
use crate::ui::json::{JsonCell, pretty};
use crate::ui::keymap::{Action, ExportForm};
use crate::ui::model::popup::{Pager, Popup, Prefix};
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

/// Writes something to a file that is named for what is in it.
pub(super) fn write(model: &mut Model, form: ExportForm) {
    let Some(seq) = model.selected().map(|row| row.envelope.seq.0) else { return };
    let (what, same) = match form {
        ExportForm::Message => ("message.json", Action::CopyMessage),
        ExportForm::Body => ("body.json", Action::CopyBody),
        ExportForm::Value => ("value.txt", Action::CopyValue),
        ExportForm::Curl => ("curl.sh", Action::CopyAs(form)),
        ExportForm::Markdown => ("message.md", Action::CopyAs(form)),
        ExportForm::Lines => return write_listed(model),
        ExportForm::Archive => return write_archive(model),
    };
    let bytes = match (form, model.selected()) {
        (ExportForm::Value, _) if media(model).is_some() => return write_media(model, seq),
        // What is copied is text; a file has the bytes as they are.
        (ExportForm::Message, Some(row)) => Some(row.envelope.message.raw().to_vec()),
        _ => text_to_copy(model, same).map(String::into_bytes),
    };
    match bytes {
        Some(bytes) => model.effect(Effect::Save { name: format!("tapline-{seq}-{what}"), bytes }),
        None => model.warn("there is nothing of that kind to write here"),
    }
}

/// The picture or sound under the cursor.
fn media(model: &Model) -> Option<&MediaBlock> {
    match model.detail.content_block() {
        Some(ContentBlock::Media(media)) => Some(media),
        _ => None,
    }
}

fn write_media(model: &mut Model, seq: u64) {
    let Some(media) = media(model) else { return };
    match media.bytes() {
        Ok(bytes) => {
            let name = format!("tapline-{seq}-{}", media.file_name());
            model.effect(Effect::Save { name, bytes });
        }
        Err(why) => model.warn(format!("nothing is written, as it is not base64: {why}")),
    }
}

fn write_listed(model: &mut Model) {
    let (rows, list) = model.messages();
    let listed = (0..list.len(rows)).filter_map(|position| list.row(rows, position));
    let bytes = listed.flat_map(|row| export::json_line(&row.envelope).into_bytes()).collect();
    model.effect(Effect::Save { name: "tapline-messages.jsonl".to_owned(), bytes });
}

/// All messages that are listed, as an HTTP Archive.
fn write_archive(model: &mut Model) {
    let Some(archive) = model.settings.archive else { return };
    let (rows, list) = model.messages();
    let listed = (0..list.len(rows)).filter_map(|position| list.row(rows, position));
    let timed: Vec<_> = listed
        .map(|row| {
            let at = model.time_of(&row.envelope).unwrap_or_default();
            (row.envelope, at)
        })
        .collect();
    let session = model.selected().map(|row| row.envelope.session);
    let session = session.and_then(|id| model.observed.sessions.get(id));
    let upstream = session.map(|row| row.session.upstream.to_string()).unwrap_or_default();
    let bytes = archive(&timed, &upstream).into_bytes();
    model.effect(Effect::Save { name: "tapline-messages.har".to_owned(), bytes });
}

/// The message, indented where it is JSON, in the operator's own pager.
pub(super) fn page(model: &mut Model) {
    let Some(row) = model.selected() else { return };
    let raw = row.envelope.message.raw();
    let text = pretty(raw).unwrap_or_else(|| String::from_utf8_lossy(raw).into_owned());
    model.effect(Effect::Page(text));
}

/// `enter` in the line of a pipe.
pub(super) fn pipe(model: &mut Model) {
    let Some(prompt) = model.prompt.take() else { return };
    let command = prompt.line.text().trim().to_owned();
    let (false, Some(row)) = (command.is_empty(), model.selected()) else { return };
    model.piped.clone_from(&command);
    model.pipe(command, row.envelope.message.raw().to_vec());
}

pub(super) fn stop_pipe(model: &mut Model) {
    match &mut model.piping {
        Some(pipe) if pipe.is_stopping => model.notify("it was told to stop, and is killed in a moment"),
        Some(pipe) => {
            pipe.is_stopping = true;
            model.effect(Effect::StopPipe);
        }
        None => {}
    }
}

pub(super) fn piped(model: &mut Model, command: &str, output: PipedOutput) {
    (model.notice, model.piping) = (None, None);
    let PipedOutput { printed, why } = output;
    match why {
        Some(why) if printed.trim().is_empty() => return model.warn(format!("`{command}` {why}")),
        None if printed.trim().is_empty() => return model.notify(format!("`{command}` printed nothing")),
        _ => {}
    }
    let is_busy = model.popup.is_some() || model.editor.is_some() || model.prompt.is_some();
    // Whatever is being done now is not disturbed.
    if is_busy {
        let size = crate::text::size(printed.len() as u64);
        return model.notify(format!("`{command}` printed {size}: `<messages pipe>` again shows it"));
    }
    // At the end, where who follows what is printed looks first; and at once.
    let text = why.iter().fold(printed, |printed, why| format!("{}\n\n{command}: {why}\n", printed.trim_end()));
    model.popup = Some(Popup::Pager(Pager::new(format!("| {command}"), text)));
    if let Some(why) = why {
        model.warn(format!("`{command}` {why}"));
    }
}

/// The line of the event log in full.
pub(super) fn read_line(model: &mut Model) {
    if let Some(line) = model.event_line() {
        let title = format!("{} {}", line.level.word(), line.source);
        model.popup = Some(Popup::Pager(Pager::new(title, line.text.clone())));
    }
}

/// Asks what is to be copied; while nothing has passed, there is one line that is.
pub(super) fn copy_menu(model: &mut Model) {
    match model.first_curl() {
        Some(line) => model.effect(Effect::Copy(line)),
        None => model.popup = Some(Popup::Prefix(Prefix::Copy)),
    }
}

pub(super) fn copy_line(model: &mut Model) {
    if let Some(text) = model.event_line().map(|line| line.text.clone()) {
        model.effect(Effect::Copy(text));
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
        Action::CopyPath => model.detail.jq_path(),
        Action::CopyId => Some(message.id()?.display().to_owned()),
        Action::CopyAs(ExportForm::Curl) => Some(export::curl(&model.request_here()?.envelope, model.url()?)),
        Action::CopyAs(ExportForm::Markdown) => Some(export::markdown(&row.envelope)),
        Action::CopyAs(ExportForm::Lines) => Some(export::json_line(&row.envelope)),
        _ => None,
    }
}

fn value(model: &Model) -> Option<String> {
    if let Some(block) = model.detail.content_block() {
        return Some(match block {
            ContentBlock::Text(text) | ContentBlock::Verbatim(text) | ContentBlock::Note(text) => text.clone(),
            ContentBlock::Media(media) => media.data.clone(),
        });
    }
    let row = model.detail.row()?;
    match row.value {
        JsonCell::Number(text) | JsonCell::Text(text) => Some(text),
        JsonCell::Bool(value) => Some(value.to_string()),
        JsonCell::Null => Some("null".to_owned()),
        JsonCell::Object(_) | JsonCell::Array(_) | JsonCell::String { .. } => model.detail.value_text(&row.path),
    }
}
