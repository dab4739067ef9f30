//! Where everything is drawn, from the size of the window; and fitting the model's windows to it before drawing.

use ratatui::layout::{Constraint, Layout, Rect, Spacing};
use ratatui::style::Style;
use tui_textarea::TextArea;

use super::help::last_help_top;
use super::model::popup::Popup;
use super::model::{Model, Pane, Screen, Shape};
use super::theme::{Look, Role};

/// Rectangles of one frame. Panes that are not shown are `None`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) status: Rect,
    pub(crate) body: Rect,
    /// The line in which something is typed.
    pub(crate) bar: Option<Rect>,
    pub(crate) keys: Rect,
    pub(crate) sessions: Option<Rect>,
    pub(crate) list: Option<Rect>,
    pub(crate) detail: Option<Rect>,
    /// Too small for anything but the status line.
    pub(crate) tiny: bool,
}

/// Panes have a full border where there is room for it, else a line above.
pub(crate) fn bordered(shape: Shape) -> bool {
    shape.wide
}

pub(crate) fn shape(area: Rect) -> Shape {
    Shape {
        width: area.width,
        height: area.height,
        wide: area.width >= 110 && area.height >= 20,
        single: area.width < 60 || area.height < 16,
    }
}

impl Plan {
    pub(crate) fn of(model: &Model, area: Rect) -> Self {
        if area.width < 40 || area.height < 10 {
            return Self { status: Rect { height: area.height.min(1), ..area }, tiny: true, ..Self::default() };
        }
        let bar = u16::from(model.bar.is_some());
        let [status, body, bar_area, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(bar),
            Constraint::Length(1),
        ])
        .areas(area);
        let plan = Self { status, body, bar: (bar > 0).then_some(bar_area), keys, ..Self::default() };
        plan.panes(model)
    }

    fn panes(mut self, model: &Model) -> Self {
        let shape = model.shape;
        if shape.single || model.zoomed || !model.has_panes() {
            let pane = match model.pane {
                Pane::Sessions if shape.wide => &mut self.sessions,
                Pane::Detail if model.has_panes() => &mut self.detail,
                _ => &mut self.list,
            };
            *pane = Some(self.body);
            return self;
        }
        match model.screen {
            Screen::Messages if shape.wide && model.tape.is_none() => {
                let [sessions, right] = columns(self.body, Constraint::Length(27), Constraint::Fill(1));
                let [list, detail] = stacked(right, 52, 1);
                (self.sessions, self.list, self.detail) = (Some(sessions), Some(list), Some(detail));
            }
            Screen::Queue if shape.wide => {
                let [list, detail] = columns(self.body, Constraint::Percentage(58), Constraint::Fill(1));
                (self.list, self.detail) = (Some(list), Some(detail));
            }
            Screen::Tapes if shape.wide => {
                let [list, detail] = columns(self.body, Constraint::Length(42), Constraint::Fill(1));
                (self.list, self.detail) = (Some(list), Some(detail));
            }
            Screen::Tapes => {
                let [list, detail] = stacked(self.body, 35, 0);
                (self.list, self.detail) = (Some(list), Some(detail));
            }
            _ => {
                let [list, detail] = stacked(self.body, 55, u16::from(shape.wide));
                (self.list, self.detail) = (Some(list), Some(detail));
            }
        }
        self
    }
}

/// The metrics screen: how much passes, and how long what takes.
pub(crate) fn metrics_parts(area: Rect, shape: Shape) -> [Rect; 2] {
    if shape.wide {
        return columns(area, Constraint::Length(38), Constraint::Fill(1));
    }
    let numbers = if area.height < 16 { 4 } else { 11 };
    Layout::vertical([Constraint::Length(numbers), Constraint::Fill(1)]).areas(area)
}

/// Neighbours share their border.
pub(crate) fn columns(area: Rect, left: Constraint, right: Constraint) -> [Rect; 2] {
    Layout::horizontal([left, right]).spacing(Spacing::Overlap(1)).areas(area)
}

pub(crate) fn stacked(area: Rect, percent: u16, overlap: u16) -> [Rect; 2] {
    Layout::vertical([Constraint::Percentage(percent), Constraint::Fill(1)])
        .spacing(Spacing::Overlap(overlap))
        .areas(area)
}

/// What is left inside a pane's frame.
pub(crate) fn inner(area: Rect, shape: Shape) -> Rect {
    if bordered(shape) {
        area.inner(ratatui::layout::Margin::new(1, 1))
    } else {
        Rect { y: area.y + area.height.min(1), height: area.height.saturating_sub(1), ..area }
    }
}

/// The place of a popup of this size.
pub(crate) fn centered(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

/// The rectangle of the long-text popup.
pub(crate) fn pager(area: Rect) -> Rect {
    centered(area, area.width.saturating_sub(6), area.height.saturating_sub(4))
}

/// Rows a queue pane gives to the held messages; the rest is for the released ones.
pub(crate) fn held_rows(inner: Rect, held: usize, released: usize) -> usize {
    let rows = usize::from(inner.height.saturating_sub(1));
    if released == 0 { rows } else { rows.saturating_sub(released.min(rows / 3) + 1).max(held.min(rows / 2)) }
}

/// Moves all windows so that what they must show is in them.
pub(crate) fn fit(model: &mut Model, area: Rect) {
    model.shape = shape(area);
    let seats_shown = model.shape.wide && model.screen == Screen::Messages && model.tape.is_none();
    if model.pane == Pane::Sessions && !seats_shown {
        model.pane = Pane::List;
    }
    let plan = Plan::of(model, area);
    let rows = |pane: Option<Rect>, header: u16| {
        usize::from(pane.map_or(0, |area| inner(area, model.shape).height.saturating_sub(header)))
    };
    let (list, detail, sessions) = (rows(plan.list, 1), rows(plan.detail, 0), rows(plan.sessions, 0));
    let seats = model.facts.sessions.all().len() + 1;
    model.seat.frame(seats, sessions / 4);
    match model.screen {
        Screen::Messages => {
            let (rows, view) = model.book_mut();
            view.frame(rows, list);
        }
        Screen::Queue => {
            let area = plan.list.map_or(Rect::default(), |area| inner(area, model.shape));
            let height = held_rows(area, model.facts.held.len(), model.facts.released.len());
            model.queue.frame(&model.facts.held, height);
        }
        Screen::Tapes => fit_tapes(model, list + 1, detail),
        Screen::Events => model.log.frame(list + 1),
        Screen::Metrics => {
            let [_, table] = metrics_parts(plan.body, model.shape);
            let height = usize::from(inner(table, model.shape).height.saturating_sub(2));
            model.board.place.frame(model.board.rows.len(), height);
        }
    }
    model.show_detail();
    model.detail.frame(detail);
    let look = Look::of(&model.settings);
    if let Some(editor) = &mut model.editor {
        dress(&mut editor.area, look);
    }
    if let Some(Popup::Help(help)) = &model.popup {
        let last = last_help_top(model, help, area.height);
        if let Some(Popup::Help(help)) = &mut model.popup {
            help.top = help.top.min(last);
        }
    }
    if let Some(Popup::Pager(text)) = &mut model.popup {
        let area = inner(pager(area), Shape { wide: true, ..Shape::default() });
        text.frame(usize::from(area.width), usize::from(area.height));
    }
}

/// The text area brings its own styles, which only it can set.
fn dress(area: &mut TextArea<'_>, look: Look) {
    area.set_line_number_style(look.style(Role::Dim));
    area.set_cursor_line_style(Style::new());
    area.set_cursor_style(look.style(Role::Cursor));
    area.set_selection_style(look.style(Role::Cursor));
}

fn fit_tapes(model: &mut Model, list: usize, detail: usize) {
    let len = model.tapes.list.as_ref().map_or(0, Vec::len);
    model.tapes.place.frame(len, list);
    if let Some(replay) = &mut model.tapes.replay {
        replay.place.frame(replay.reports.len(), step_rows(detail));
    }
}

/// Rows of the replay pane that are steps: beside them are the progress, two heads and the differences.
pub(crate) fn step_rows(detail: usize) -> usize {
    detail.saturating_sub(2) * 3 / 5
}
