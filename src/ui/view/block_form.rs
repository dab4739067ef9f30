//! The form for blocking a message: which answer its sender gets.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;

use super::parts::{cell, popup, put, short, styled};
use crate::text;
use crate::ui::layout::centered;
use crate::ui::model::Model;
use crate::ui::model::input_line::InputLine;
use crate::ui::model::popup::{BlockField, BlockForm};
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, form: &BlockForm, frame: &mut Frame<'_>, body: Rect) {
    let lines = form.presets.len() + 8;
    let height = u16::try_from(lines).unwrap_or(u16::MAX);
    let inner = popup(model, frame, centered(body, 66, height), &format!("Block {}", form.what));
    let width = usize::from(inner.width);
    for (at, preset) in form.presets.iter().enumerate() {
        let code = preset.code.map(|code| code.to_string()).unwrap_or_default();
        let chosen = at == form.preset;
        let mark = if chosen { "(*)" } else { "( )" };
        let text = cell(&format!(" {mark} {} {code}", cell(preset.name, 28)), width);
        let role = match (chosen, form.field == BlockField::Preset) {
            (true, true) => Role::Cursor,
            (true, false) => Role::Strong,
            (false, _) => Role::Plain,
        };
        put(frame, inner, at, styled(model, role, text));
    }
    let mut row = form.presets.len() + 1;
    let fields: &[(BlockField, &str, &InputLine)] = &[
        (BlockField::Code, "code", &form.code),
        (BlockField::Message, if form.is_tool_result() { "text" } else { "message" }, &form.message),
        (BlockField::Data, "data", &form.data),
    ];
    for (field, name, line) in fields {
        if form.is_tool_result() && *field != BlockField::Message {
            continue;
        }
        draw_field(model, frame, inner, row, (name, line, form.field == *field));
        row += 1;
    }
    let fault = form.fault.as_deref().unwrap_or_default();
    put(frame, inner, row + 1, styled(model, Role::Bad, short(&format!(" {fault}"), width)));
}

fn draw_field(
    model: &Model,
    frame: &mut Frame<'_>,
    area: Rect,
    row: usize,
    (name, line, focused): (&str, &InputLine, bool),
) {
    let label = format!(" {} ", cell(name, 8));
    let role = if focused { Role::Accent } else { Role::Dim };
    let hint = if name == "data" && line.text().is_empty() && !focused { "JSON, or nothing" } else { "" };
    let room = usize::from(area.width).saturating_sub(text::width(&label));
    put(
        frame,
        area,
        row,
        Line::from(vec![
            styled(model, role, label.clone()),
            styled(model, Role::Plain, short(line.text(), room)),
            styled(model, Role::Dim, hint),
        ]),
    );
    if focused {
        let column = text::width(&label) + text::width(line.before_cursor());
        let column = u16::try_from(column).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
        let row = u16::try_from(row).unwrap_or(u16::MAX).min(area.height.saturating_sub(1));
        frame.set_cursor_position(Position::new(area.x + column, area.y + row));
    }
}
