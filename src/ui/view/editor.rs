//! A message being edited, beside what it was; below, whether it can be sent.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::detail::diff_line;
use super::list::arrow;
use super::paint;
use super::parts::{pane, put, right, short, styled, theme};
use crate::event::{Level, LogLine};
use crate::text;
use crate::ui::diff::Sign;
use crate::ui::layout::editor_parts;
use crate::ui::model::editor::{EditTarget, Editor};
use crate::ui::model::own_call::{CallState, OwnCall};
use crate::ui::model::search::SearchPlace;
use crate::ui::model::wrapped_text::WrappedText;
use crate::ui::model::{Model, age};
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let Some(editor) = &model.editor else { return };
    let parts = editor_parts(area, model.viewport, editor.call.is_some());
    match (parts.other, &editor.call) {
        (Some(other), Some(call)) if !editor.diff_shown => draw_reply(model, call, frame, other),
        (Some(other), _) => draw_diff(model, editor, frame, other),
        (None, _) => {}
    }
    if parts.other.is_none() && editor.diff_shown {
        draw_diff(model, editor, frame, parts.text);
    } else {
        draw_text(model, editor, frame, parts.text);
    }
    draw_verdict(model, editor, frame, parts.verdict);
}

/// What became of the call that went out from here.
fn draw_reply(model: &Model, call: &OwnCall, frame: &mut Frame<'_>, area: Rect) {
    let (role, title) = match call.state {
        CallState::Waiting => (Role::Held, format!(" Waiting {} ", age(model.now.0.saturating_sub(call.since.0)))),
        CallState::Told => (Role::Good, " Sent ".to_owned()),
        CallState::Cancelled { after } => (Role::Dim, format!(" Cancelled after {} ", age(after))),
        CallState::Answered { seq, took, failed } => {
            let (role, word) = if failed { (Role::Bad, "Failed") } else { (Role::Good, "Reply") };
            (role, format!(" {word} {seq} after {} ", text::micros_with_unit(took)))
        }
    };
    let block = pane(model, false, styled(model, role, title), Line::default());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let words = match call.state {
        CallState::Answered { .. } => {
            let rows = (call.top..call.lines.rows().len()).map_while(|row| call.lines.row(row));
            rows.take(usize::from(inner.height)).map(|row| (Role::Plain, row.to_owned())).collect()
        }
        CallState::Told => vec![(Role::Dim, "a notification: nothing comes back".to_owned())],
        CallState::Cancelled { .. } => {
            vec![(Role::Dim, "its server is told that nobody waits for the reply".to_owned())]
        }
        CallState::Waiting => waiting_words(model, call),
    };
    let mut row = 0;
    for (role, words) in words {
        for line in wrapped(&words, width.saturating_sub(1)) {
            put(frame, inner, row, Line::from(styled(model, role, format!(" {line}"))));
            row += 1;
        }
    }
}

/// What can be said of a call that has no reply yet.
fn waiting_words(model: &Model, call: &OwnCall) -> Vec<(Role, String)> {
    let mut words = vec![(
        Role::Dim,
        "its reply is shown here, and is not delivered to the client; `ctrl k` gives it up".to_owned(),
    )];
    words.extend(call.progress.clone().map(|progress| (Role::Accent, progress)));
    // Where the server is gone, no reply tells of it.
    let is_of_call =
        |line: &&LogLine| line.session == Some(call.session()) && line.level >= Level::Warn && line.at >= call.since;
    words.extend(model.log.all().filter(is_of_call).last().map(|line| (Role::Bad, line.text.clone())));
    words
}

fn wrapped(words: &str, width: usize) -> Vec<String> {
    let mut text = WrappedText::of(vec![text::sanitize(words).into_owned()]);
    text.wrap(width, 0);
    (0..text.rows().len()).filter_map(|row| text.row(row)).map(str::to_owned).collect()
}

fn draw_text(model: &Model, editor: &Editor, frame: &mut Frame<'_>, area: Rect) {
    let what = match editor.target {
        EditTarget::Held(_) => "Edit",
        EditTarget::Answer(_) => "Answer in the server's place to",
        EditTarget::Speak(_) => "In the server's name, to",
        EditTarget::Resend(_) if editor.seq.0 == 0 => "Call of your own:",
        EditTarget::Resend(_) => "Edit and resend",
    };
    let kind = editor.original.kind().word();
    let id = editor.original.id().map(|id| format!(" id {}", id.display())).unwrap_or_default();
    // What is written out of the offers has no number yet.
    let seq = if editor.seq.0 == 0 { String::new() } else { format!("{} ", editor.seq) };
    let title = format!(" {what} {seq}{kind} {} {}{id} ", arrow(editor.direction), editor.session);
    let room = usize::from(area.width).saturating_sub(4);
    let block = pane(model, true, styled(model, Role::Strong, short(&title, room)), Line::default());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    frame.render_widget(&editor.area, inner);
    let numbers = u16::try_from(editor.area.lines().len().to_string().len() + 2).unwrap_or(u16::MAX);
    if editor.area.scroll_offset().1 == 0 {
        paint::json(theme(model), frame.buffer_mut(), inner, numbers);
    }
    if let Some(search) = model.search.as_ref().filter(|search| search.place == Some(SearchPlace::Editor)) {
        paint::matches(theme(model), frame.buffer_mut(), inner, &search.pattern);
    }
}

fn draw_diff(model: &Model, editor: &Editor, frame: &mut Frame<'_>, area: Rect) {
    let form = editor.form_words();
    let title = styled(model, Role::Strong, format!(" Diff against {} ", form.unwrap_or("the original")));
    let block = pane(model, false, title, Line::default());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let diff = &editor.verdict.diff;
    if diff.is_empty() {
        let words = match (&editor.verdict.fault, editor.touched(), form) {
            (Some(_), ..) => " no difference to show until it is JSON".to_owned(),
            (None, true, _) => format!(" the same values as {}", form.unwrap_or("the original")),
            (None, false, Some(form)) => format!(" nothing is filled in: {form} is sent as it is"),
            (None, false, None) => " untouched: the very bytes that came are sent".to_owned(),
        };
        put(frame, inner, 0, styled(model, Role::Dim, short(&words, width)));
        return draw_parameters(model, editor, frame, inner);
    }
    let summary = change_summary(editor);
    let room = usize::from(inner.height).saturating_sub(2);
    let first = diff.iter().position(|line| line.sign != Sign::Same).unwrap_or(0).saturating_sub(3);
    let shown = diff.iter().skip(if diff.len() > room { first } else { 0 }).take(room);
    let mut row = 0;
    for line in shown {
        put(frame, inner, row, diff_line(model, line, width));
        row += 1;
    }
    put(frame, inner, row + 1, styled(model, Role::Dim, short(&summary, width)));
}

/// What the server says of the arguments of the tool, below a line and an empty one.
fn draw_parameters(model: &Model, editor: &Editor, frame: &mut Frame<'_>, area: Rect) {
    let Some(schema) = editor.schema.as_ref().filter(|schema| !schema.parameters.is_empty()) else { return };
    let width = usize::from(area.width);
    let title = format!(" arguments of {} (* must be there)", text::sanitize(&schema.tool));
    put(frame, area, 2, styled(model, Role::Dim, short(&title, width)));
    let mut lines = WrappedText::of(schema.parameters.to_vec());
    lines.wrap(width.saturating_sub(2), 0);
    let rows = (0..usize::from(area.height).saturating_sub(3)).map_while(|row| lines.row(row));
    rows.enumerate().for_each(|(row, line)| put(frame, area, 3 + row, Line::from(format!(" {line}"))));
}

fn change_summary(editor: &Editor) -> String {
    match editor.verdict.paths.as_slice() {
        [] => String::new(),
        [one] => format!(" 1 value changed: {one}"),
        many => format!(" {} values changed: {}", many.len(), many.join(", ")),
    }
}

fn draw_verdict(model: &Model, editor: &Editor, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width);
    let cursor = editor.area.cursor();
    let verdict = &editor.verdict;
    let mut spans = vec![Span::raw(" ")];
    match &verdict.fault {
        Some(fault) => {
            spans.push(styled(model, Role::Bad, format!("line {}:{} {}", fault.line, fault.column, fault.why)));
        }
        None => {
            spans.push(styled(model, Role::Good, "JSON ok  "));
            spans.push(rpc_span(model, editor));
            let sizes =
                format!("  {} -> {}", text::size(editor.original.raw().len() as u64), text::size(verdict.bytes as u64));
            spans.push(styled(model, Role::Dim, sizes));
            let used: usize = spans.iter().map(Span::width).sum();
            // The place of the cursor stays.
            spans.extend(schema_span(model, editor, width.saturating_sub(used + 12)));
        }
    }
    let used: usize = spans.iter().map(Span::width).sum();
    let place = format!("{}:{} ", cursor.0 + 1, cursor.1 + 1);
    spans.push(styled(model, Role::Dim, right(&place, width.saturating_sub(used))));
    put(frame, area, 0, Line::from(spans));
    let (role, words) = below_verdict(model, editor);
    put(frame, area, 1, styled(model, role, short(&format!(" {words}"), width)));
}

/// What else is to be known before it is sent.
fn below_verdict(model: &Model, editor: &Editor) -> (Role, String) {
    match (editor.gone, &editor.verdict.warning) {
        (true, _) if model.can_send_as_new() => {
            (Role::Held, "it is not held any more: `ctrl s` sends it as a new request".to_owned())
        }
        (true, _) => (Role::Bad, "it is not held any more: nothing here can be sent".to_owned()),
        (false, Some(warning)) => (Role::Held, format!("warn: {warning}")),
        (false, None) if editor.has_marks() => {
            (Role::Dim, "@ before JSON that stands in a string: it goes back as a string".to_owned())
        }
        (false, None) => (Role::Plain, String::new()),
    }
}

/// Whether the arguments are such as the server asks for; the first that is not.
fn schema_span(model: &Model, editor: &Editor, width: usize) -> Option<Span<'static>> {
    let (schema, misfits) = (editor.schema.as_ref()?, editor.verdict.misfits.as_ref()?);
    let (role, words) = match misfits.first() {
        None => (Role::Good, "ok".to_owned()),
        Some(first) => (Role::Held, first.to_string()),
    };
    Some(styled(model, role, short(&format!("  schema {}: {words}", schema.tool), width)))
}

fn rpc_span(model: &Model, editor: &Editor) -> Span<'static> {
    match (&editor.verdict.flaw, editor.verdict.kind) {
        (Some(flaw), _) => styled(model, Role::Bad, format!("not JSON-RPC: {flaw}")),
        (None, Some(kind)) => styled(model, Role::Good, format!("JSON-RPC {}", kind.word())),
        (None, None) => Span::default(),
    }
}
