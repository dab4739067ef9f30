//! Marks and comments, and two messages side by side.

use super::prompt::set_filter;
use crate::envelope::Seq;
use crate::filter::Filter;
use crate::ui::diff::{diff_json, signed_text};
use crate::ui::model::Model;
use crate::ui::model::input_line::InputLine;
use crate::ui::model::message_rows::MessageMark;
use crate::ui::model::motion::Motion;
use crate::ui::model::popup::{Pager, Popup};
use crate::ui::model::prompt::{Prompt, PromptKind};

/// Marks the message, or takes its mark away; on to the next, as in every list that marks.
pub(super) fn mark(model: &mut Model) {
    let Some(seq) = model.selected().map(|row| row.envelope.seq) else { return };
    let (rows, list) = model.rows_mut();
    let mark = rows.mark(seq).cloned().unwrap_or_default();
    rows.set_mark(seq, MessageMark { is_marked: !mark.is_marked, ..mark.clone() });
    list.changed(rows, seq, false);
    list.go(rows, Motion::Down);
    if !model.list_is_seen() {
        model.notify(format!("{seq} is {}", if mark.is_marked { "not marked any more" } else { "marked" }));
    }
    model.remember_marks(vec![(seq, mark)]);
}

/// Only what is marked, or all again.
pub(super) fn only_marked(model: &mut Model) {
    let is_on = model.list().filter.as_ref().is_some_and(|(text, _)| text == MARKED);
    let filter = Filter::parse(MARKED).ok().filter(|_| !is_on).map(|filter| (MARKED.to_owned(), filter));
    set_filter(model, filter);
}

const MARKED: &str = "~marked";

pub(super) fn unmark(model: &mut Model) {
    let (rows, list) = model.rows_mut();
    let seqs = rows.unmark();
    for seq in &seqs {
        list.changed(rows, *seq, false);
    }
    let before = |seq: &Seq| (*seq, MessageMark { is_marked: true, ..rows.mark(*seq).cloned().unwrap_or_default() });
    let before: Vec<_> = seqs.iter().map(before).collect();
    if !before.is_empty() {
        model.remember_marks(before);
    }
    model.notify(format!("{} unmarked: `<messages undo-last>` marks them again", seqs.len()));
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
    let Some(seq) = model.selected().map(|row| row.envelope.seq) else { return };
    let comment = prompt.line.text().trim().to_owned();
    let (rows, list) = model.rows_mut();
    let before = rows.mark(seq).cloned().unwrap_or_default();
    rows.set_mark(seq, MessageMark { is_marked: before.is_marked, comment });
    list.changed(rows, seq, false);
    model.remember_marks(vec![(seq, before)]);
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
