//! Two tapes side by side: choosing them, and what the keys do where they are shown.

use std::path::PathBuf;

use crate::envelope::Seq;
use crate::event::{Command, Difference};
use crate::text::sanitize;
use crate::ui::diff::{DiffLine, Sign, diff_json, signed_text};
use crate::ui::json::pretty;
use crate::ui::model::compare_screen::{CompareRow, ShownComparison};
use crate::ui::model::popup::{Pager, Popup};
use crate::ui::model::tapes_screen::tape_title;
use crate::ui::model::{Model, Pane, ScreenKind};

/// `W` on a tape: one side of a comparison, and then the other.
pub(super) fn mark(model: &mut Model) {
    let Some(here) = model.tapes.selected().map(|tape| tape.path.clone()) else { return };
    match model.compare.marked.take() {
        Some(first) if first == here => model.notify("no tape is marked any more"),
        Some(first) => compare(model, [first, here]),
        None => {
            model
                .notify(format!("{} is marked: `<tapes compare>` on another tape compares the two", tape_title(&here)));
            model.compare.marked = Some(here);
        }
    }
}

fn compare(model: &mut Model, tapes: [PathBuf; 2]) {
    model.send(Command::CompareTapes(Some(tapes.clone())));
    model.compare.shown = Some(ShownComparison::new(tapes));
    (model.screen, model.pane, model.zoomed) = (ScreenKind::Compare, Pane::List, false);
}

/// The same tapes the other way around.
pub(super) fn turn_around(model: &mut Model) {
    if let Some([first, second]) = model.compare.shown.as_ref().map(|shown| shown.tapes.clone()) {
        compare(model, [second, first]);
    }
}

/// Back to the tapes; what still runs is stopped.
pub(super) fn leave(model: &mut Model) {
    if model.compare.shown.as_ref().is_some_and(ShownComparison::runs) {
        model.send(Command::CompareTapes(None));
        model.compare.shown = None;
        model.notify("stopped: nothing was compared");
    }
    (model.screen, model.pane) = (ScreenKind::Tapes, Pane::List);
}

/// `enter`: both values of a place, or the second tape at the call; the first where only that has it.
pub(super) fn open(model: &mut Model) {
    let Some(shown) = &model.compare.shown else { return };
    if let Some(value) = shown.selected_value() {
        let titles = shown.titles();
        model.popup = Some(Popup::Pager(both_values(value, &titles)));
    } else if let Some(CompareRow::Problem { side, at }) = shown.selected() {
        let (title, text) = (shown.titles()[side].clone(), shown.problem(side, at).to_owned());
        model.popup = Some(Popup::Pager(Pager::new(title, text)));
    } else if let Some((path, seq)) = shown.message(1).or_else(|| shown.message(0)) {
        let path = path.to_owned();
        open_tape(model, path, seq);
    }
}

/// The first tape at the call.
pub(super) fn open_first(model: &mut Model) {
    let message = model.compare.shown.as_ref().and_then(|shown| shown.message(0));
    if let Some((path, seq)) = message.map(|(path, seq)| (path.to_owned(), seq)) {
        open_tape(model, path, seq);
    }
}

fn open_tape(model: &mut Model, path: PathBuf, seq: Seq) {
    model.tapes.goal = Some(seq);
    model.compare.is_below_tape = true;
    model.send(Command::OpenTape(path));
}

fn both_values(value: &Difference, titles: &[String; 2]) -> Pager {
    let title = format!("{}   - {}   + {}", value.path, titles[0], titles[1]);
    let mut pager = Pager::new(title, values_text(value));
    pager.is_diff = true;
    pager
}

/// The two values line by line, strings as the text they are.
pub(super) fn values_text(value: &Difference) -> String {
    let read = |value: &Option<String>| {
        let json = value.as_deref()?;
        Some(serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned()))
    };
    let lines = match (read(&value.expected), read(&value.got)) {
        (Some(old), Some(new)) => diff_json(old.as_bytes(), new.as_bytes()),
        _ => Vec::new(),
    };
    if lines.is_empty() {
        let one_sided =
            [(Sign::Removed, &value.expected), (Sign::Added, &value.got)].into_iter().flat_map(|(sign, value)| {
                let text = value.as_deref().map_or_else(
                    || "nothing".to_owned(),
                    |value| pretty(value.as_bytes()).unwrap_or_else(|| value.to_owned()),
                );
                text.lines().map(|line| DiffLine { sign, text: sanitize(line).into_owned() }).collect::<Vec<_>>()
            });
        signed_text(&one_sided.collect::<Vec<_>>())
    } else {
        signed_text(&lines)
    }
}
