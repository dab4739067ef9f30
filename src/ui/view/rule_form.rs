//! The form for a rule made of a message, with what it would have touched.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;

use super::parts::{grouped, popup, put, short, styled};
use crate::rules::PreviewCount;
use crate::text;
use crate::ui::layout::centered;
use crate::ui::model::Model;
use crate::ui::model::input_line::InputLine;
use crate::ui::model::rule_form::{RuleField, RuleForm};
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, form: &RuleForm, frame: &mut Frame<'_>, body: Rect) {
    let inner = popup(model, frame, centered(body, 96, 11), &format!("Rule `{}`", form.proposals[form.chosen].name));
    let width = usize::from(inner.width);
    let words: Vec<String> = form
        .proposals
        .iter()
        .enumerate()
        .map(|(at, rule)| if at == form.chosen { format!("[{}]", rule.verb) } else { format!(" {} ", rule.verb) })
        .collect();
    let role = if form.field == RuleField::Action { Role::Accent } else { Role::Plain };
    put(frame, inner, 0, styled(model, role, short(&format!(" {}", words.join("")), width)));
    draw_line(model, frame, inner, 2, ("when", &form.when, form.field == RuleField::When));
    draw_line(model, frame, inner, 3, ("do", &form.what, form.field == RuleField::What));
    let (role, words) = match &form.preview {
        Ok(count) => (Role::Strong, touched_words(count)),
        Err(why) => (Role::Bad, why.clone()),
    };
    let hint = "left and right choose what it does, tab goes to the filter; `enter` puts it in force";
    for (from, role, words) in [(5, role, &*words), (7, Role::Dim, hint)] {
        for (row, line) in text::in_rows(&text::sanitize(words), width.saturating_sub(2), 2).iter().enumerate() {
            put(frame, inner, from + row, styled(model, role, format!(" {line}")));
        }
    }
}

/// How much a rule would have done, and to which messages first.
pub(super) fn touched_words(count: &PreviewCount) -> String {
    let all = format!("would have touched {} of {}", grouped(count.touched as u64), grouped(count.seen as u64));
    let examples: Vec<_> = count.examples.iter().map(ToString::to_string).collect();
    match examples.len() {
        0 => all,
        len if len < count.touched => format!("{all}: {} ...", examples.join(" ")),
        _ => format!("{all}: {}", examples.join(" ")),
    }
}

fn draw_line(
    model: &Model,
    frame: &mut Frame<'_>,
    area: Rect,
    row: u16,
    (name, line, is_focused): (&str, &InputLine, bool),
) {
    let role = if is_focused { Role::Accent } else { Role::Dim };
    let label = format!(" {name:<5} = ");
    let room = usize::from(area.width).saturating_sub(label.len() + 1);
    let before = text::sanitize(line.before_cursor()).into_owned();
    // What stands before the cursor may be longer than the line.
    let skipped = text::width(&before).saturating_sub(room);
    let shown: String = text::sanitize(line.text()).chars().skip(if is_focused { skipped } else { 0 }).collect();
    let spans = vec![styled(model, role, label.clone()), styled(model, Role::Plain, short(&shown, room))];
    put(frame, area, usize::from(row), Line::from(spans));
    if is_focused {
        let column = label.len() + text::width(&before).saturating_sub(skipped);
        let column = u16::try_from(column).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
        frame.set_cursor_position(Position::new(area.x + column, area.y + row));
    }
}
