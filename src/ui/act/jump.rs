//! Jumps to a message by its number.

use std::time::Duration;

use crate::envelope::Seq;
use crate::filter::{Filter, FilterPlace};
use crate::ui::model::{Model, Pane, ScreenKind};

/// Puts the cursor of the live list on a message and shows it.
pub(super) fn show_message(model: &mut Model, seq: Seq) {
    let (rows, list) = model.messages_mut();
    if rows.state(seq).is_none() {
        return model.warn(format!("{seq} is not in the list"));
    }
    if !list.jump(rows, seq) {
        // Hidden by a filter: being asked for it outweighs having hidden it.
        list.filter_off = list.filter.is_some();
        list.only = None;
        list.pairs = false;
        list.refilter(rows);
        while list.scan(rows, Duration::from_millis(50)) {}
        list.jump(rows, seq);
        model.notify("the filter hid it: filter off, `<messages filter-toggle>` turns it on");
    }
    model.screen = ScreenKind::Messages;
    if model.pane == Pane::Sessions {
        model.pane = Pane::List;
    }
}

/// Whether what is typed after `:` is the number of a message or a path within it, or asks how a filter is understood.
pub(super) fn is_number(text: &str) -> bool {
    let digits = text.trim_start_matches('#');
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        || text.starts_with('.')
        || text.split_whitespace().next() == Some("explain")
}

/// The number typed after `:`, or `explain` with a filter; without one, that of the list.
pub(super) fn goto(model: &mut Model, text: &str) {
    if let Some(filter) = text.trim().strip_prefix("explain").filter(|it| it.is_empty() || it.starts_with(' ')) {
        return explain(model, filter.trim());
    }
    if text.starts_with('.') {
        return to_path(model, text.trim());
    }
    match text.trim().trim_start_matches('#').parse() {
        Ok(number) => {
            if model.screen != ScreenKind::Messages {
                model.tape = None;
            }
            show_message(model, Seq(number));
        }
        Err(_) => model.warn(format!("`{}` is not a message number", text.trim())),
    }
}

/// To the value at a path of the message that is selected.
fn to_path(model: &mut Model, path: &str) {
    model.detail.show_tree();
    model.show_detail();
    if model.detail.go_to_path(path) {
        model.pane = Pane::Detail;
    } else {
        model.warn(format!(
            "there is no `{path}` in this message; `<detail copy> <copy-menu copy-path>` on a value copies its path"
        ));
    }
}

/// Says how a filter was understood, and what it costs.
fn explain(model: &mut Model, text: &str) {
    let shown = || model.list().filter.as_ref().map(|(_, filter)| filter.clone());
    let filter =
        if text.is_empty() { shown().map(Ok) } else { Some(Filter::parse_with(text, &model.settings.filters)) };
    match filter {
        Some(Ok(filter)) => model.notify(filter.explain(FilterPlace::List)),
        Some(Err(error)) => model.warn(error.to_string()),
        None => model.warn("no filter to explain: `:explain ~q & ~b error`"),
    }
}
