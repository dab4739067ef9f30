//! Marks and comments, and two messages side by side.

use super::prompt::set_filter;
use crate::event::{Annotation, MessageMark};
use crate::filter::Filter;
use crate::ui::diff::{diff_json, signed_text};
use crate::ui::model::Model;
use crate::ui::model::input_line::InputLine;
use crate::ui::model::motion::Motion;
use crate::ui::model::popup::{Pager, Popup};
use crate::ui::model::prompt::{Prompt, PromptKind};

/// Marks the message, or takes its mark away; on to the next, as in every list that marks.
pub(super) fn mark(model: &mut Model) {
    let Some(before) = noted_of_selected(model) else { return };
    let mark = MessageMark { is_marked: !before.mark.is_marked, ..before.mark.clone() };
    let (rows, list) = model.rows_mut();
    list.go(rows, Motion::Down);
    let seq = before.seq;
    change(model, vec![before], |_| mark.clone());
    if !model.list_is_seen() {
        model.notify(format!("{seq} is {}", if mark.is_marked { "marked" } else { "not marked any more" }));
    }
}

fn noted_of_selected(model: &Model) -> Option<Annotation> {
    let seq = model.selected()?.envelope.seq;
    model.messages().0.annotation(seq)
}

/// Notes something else of messages than what was noted of them before.
fn change(model: &mut Model, before: Vec<Annotation>, now: impl Fn(&Annotation) -> MessageMark) {
    model.annotate(before.iter().map(|it| Annotation { mark: now(it), ..it.clone() }).collect());
    model.remember_marks(before);
}

/// Of what the filter shows, only what is marked, or all of that again.
pub(super) fn only_marked(model: &mut Model) {
    let (list, saved) = (model.list(), &model.settings.filters);
    let read = |text: &str| Filter::parse_with(text, saved).ok().map(|filter| (text.to_owned(), filter));
    let in_force = list.filter.as_ref().filter(|_| !list.filter_off).map(|(text, _)| text.as_str());
    let filter = match in_force {
        None => read(MARKED),
        Some(MARKED) => None,
        Some(text) => {
            let before = text.strip_prefix('(').and_then(|text| text.strip_suffix(&format!(") & {MARKED}")));
            before.and_then(read).or_else(|| read(&format!("({text}) & {MARKED}")))
        }
    };
    set_filter(model, filter);
}

const MARKED: &str = "~marked";

pub(super) fn unmark(model: &mut Model) {
    let before = model.messages().0.marked();
    let count = before.len();
    if count > 0 {
        change(model, before, |it| MessageMark { is_marked: false, ..it.mark.clone() });
    }
    model.notify(format!("{count} unmarked: `<messages undo-last>` marks them again"));
}

/// `;`: a line for what is to be noted of the message.
pub(super) fn open_comment(model: &mut Model) {
    let Some(seq) = model.selected().map(|row| row.envelope.seq) else { return };
    let text = model.messages().0.mark(seq).map(|mark| mark.comment.clone()).unwrap_or_default();
    let mut prompt = Prompt::new(PromptKind::Comment, "");
    prompt.line = InputLine::new(&text);
    model.prompt = Some(prompt);
}

pub(super) fn comment(model: &mut Model) {
    let Some(prompt) = model.prompt.take() else { return };
    let Some(before) = noted_of_selected(model) else { return };
    let comment = prompt.line.text().trim().to_owned();
    if comment != before.mark.comment {
        change(model, vec![before], |it| MessageMark { comment: comment.clone(), ..it.mark.clone() });
    }
}

/// `d`: one side of a comparison, and then the other.
pub(super) fn compare(model: &mut Model) {
    let Some(row) = model.selected() else { return };
    let here = row.envelope;
    let Some(first) = model.compared.take().filter(|first| first.seq != here.seq) else {
        model.notify(format!("{} is one side: `<messages compare>` on another message compares the two", here.seq));
        model.compared = Some(here);
        return;
    };
    let (old, new) = if first.seq < here.seq { (first, here) } else { (here, first) };
    let lines = diff_json(old.message.raw(), new.message.raw());
    if lines.is_empty() {
        return model.notify(format!("{} and {} have the same values", old.seq, new.seq));
    }
    let title = format!("- {} {}   + {} {}", old.seq, old.kind().word(), new.seq, new.kind().word());
    let mut pager = Pager::new(title, signed_text(&lines));
    pager.is_diff = true;
    model.popup = Some(Popup::Pager(pager));
}
