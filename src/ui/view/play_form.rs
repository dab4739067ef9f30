//! The form of how tapes are played and served.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};

use super::parts::{cell, popup, put, short, styled};
use crate::text;
use crate::ui::layout::centered;
use crate::ui::model::Model;
use crate::ui::model::play_form::{PlayField, PlayForm};
use crate::ui::theme::Role;

/// Cells of what stands before a choice.
const LABELS: usize = 26;

pub(super) fn draw(model: &Model, form: &PlayForm, frame: &mut Frame<'_>, body: Rect) {
    let inner = popup(model, frame, centered(body, 96, 14), "How tapes are played and served");
    let width = usize::from(inner.width);
    for (row, field) in PlayField::ALL.into_iter().enumerate() {
        // What is of a replay, of a server, and of both.
        let gap = match field {
            PlayField::Pace | PlayField::Volatile | PlayField::Failure => 0,
            PlayField::Order | PlayField::Repeats | PlayField::Miss => 1,
            PlayField::Ignore => 2,
        };
        draw_field(model, form, frame, inner, (row + gap, field));
    }
    let (role, words) = match (&form.fault, form.field) {
        (Some(why), _) => (Role::Bad, text::sanitize(why).into_owned()),
        (None, PlayField::Ignore) => {
            (Role::Dim, "such as `.result._meta`, or `.params.arguments.now` of a request".to_owned())
        }
        (None, PlayField::Order | PlayField::Repeats | PlayField::Miss) => {
            (Role::Dim, "of a tape that answers clients, from the next time that it is served".to_owned())
        }
        (None, _) => (Role::Dim, "of the next replay".to_owned()),
    };
    put(frame, inner, 11, styled(model, role, short(&format!(" {words}"), width)));
}

fn draw_field(model: &Model, form: &PlayForm, frame: &mut Frame<'_>, area: Rect, (row, field): (usize, PlayField)) {
    let width = usize::from(area.width);
    let is_here = form.field == field;
    let role = if is_here { Role::Accent } else { Role::Plain };
    let label = format!(" {}", cell(field.label(), LABELS.min(width / 2)));
    let Some(words) = form.words(field) else {
        let room = width.saturating_sub(text::width(&label) + 1);
        let line = text::sanitize(form.ignore.text()).into_owned();
        let before = text::width(&text::sanitize(form.ignore.before_cursor()));
        let from = before.saturating_sub(room.saturating_sub(1));
        let shown: String = line.chars().skip(from).collect();
        put(frame, area, row, styled(model, role, short(&(label.clone() + &shown), width)));
        if is_here {
            let column = u16::try_from(text::width(&label) + before - from).unwrap_or(u16::MAX);
            let row = u16::try_from(row).unwrap_or(u16::MAX);
            frame.set_cursor_position(Position::new(area.x + column.min(area.width.saturating_sub(1)), area.y + row));
        }
        return;
    };
    let words = if is_here { format!("< {words} >") } else { format!("  {words}") };
    put(frame, area, row, styled(model, role, short(&(label + &words), width)));
}
