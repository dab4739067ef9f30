//! Where everything is drawn, from the size of the window; and fitting the model's windows to it before drawing.

use ratatui::layout::{Constraint, Layout, Margin, Position, Rect, Spacing};
use ratatui::style::Style;
use tui_textarea::TextArea;

use super::content::PageRow;
use super::graphics::PicturePlace;
use super::help::last_help_top;
use super::model::detail::DetailContent;
use super::model::offers::OfferList;
use super::model::popup::Popup;
use super::model::{Model, Pane, PaneBorder, ScreenKind, Viewport};
use super::theme::{Role, Theme};

/// Rectangles of one frame. Panes that are not shown are `None`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScreenLayout {
    pub(crate) status: Rect,
    /// The bar of screens, where there is room for it.
    pub(crate) screens: Option<Rect>,
    pub(crate) body: Rect,
    /// The line in which something is typed.
    pub(crate) prompt: Option<Rect>,
    pub(crate) keys: Rect,
    pub(crate) sessions: Option<Rect>,
    pub(crate) list: Option<Rect>,
    pub(crate) detail: Option<Rect>,
    /// Too small for anything but the status line.
    pub(crate) tiny: bool,
}

/// Panes have a full border where there is room for it, else a line above.
pub(crate) fn bordered(viewport: Viewport) -> bool {
    viewport.wide
}

/// Where one row has room for a few keys only, there are two, however many keys there are: the panes above stay as they are.
fn key_rows(area: Rect) -> u16 {
    if area.width < 80 && area.height >= 16 { 2 } else { 1 }
}

pub(crate) fn viewport(area: Rect) -> Viewport {
    Viewport {
        width: area.width,
        height: area.height,
        wide: area.width >= 110 && area.height >= 20,
        single: area.width < 60 || area.height < 16,
        bar: area.width >= 60 && area.height >= 20,
        tiny: area.width < 40 || area.height < 10,
    }
}

impl ScreenLayout {
    pub(crate) fn of(model: &Model, area: Rect) -> Self {
        if viewport(area).tiny {
            return Self { status: area, tiny: true, ..Self::default() };
        }
        let prompt = u16::from(model.prompt.is_some());
        let bar = u16::from(viewport(area).bar);
        let [status, screens, body, prompt_area, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(bar),
            Constraint::Fill(1),
            Constraint::Length(prompt),
            Constraint::Length(key_rows(area)),
        ])
        .areas(area);
        let screens = (bar > 0).then_some(screens);
        let plan = Self { status, screens, body, prompt: (prompt > 0).then_some(prompt_area), keys, ..Self::default() };
        let mut plan = plan.panes(model);
        let share = model.borders.list(model.screen, model.viewport.wide);
        if let (Some(list), Some(detail), Some(share)) = (plan.list, plan.detail, share) {
            let [list, detail] = shared(list, detail, share);
            (plan.list, plan.detail) = (Some(list), Some(detail));
        }
        plan
    }

    fn panes(mut self, model: &Model) -> Self {
        let viewport = model.viewport;
        if viewport.single || model.zoomed || !model.has_panes() {
            let pane = match model.pane {
                Pane::Sessions if viewport.wide => &mut self.sessions,
                Pane::Detail if model.has_panes() => &mut self.detail,
                _ => &mut self.list,
            };
            *pane = Some(self.body);
            return self;
        }
        match model.screen {
            ScreenKind::Messages if viewport.wide && model.tape.is_none() => {
                let [sessions, right] =
                    columns(self.body, Constraint::Length(sessions_width(model, self.body)), Constraint::Fill(1));
                let [list, detail] = stacked(right, 52, 1);
                (self.sessions, self.list, self.detail) = (Some(sessions), Some(list), Some(detail));
            }
            ScreenKind::Queue if viewport.wide => {
                let [list, detail] = columns(self.body, Constraint::Percentage(58), Constraint::Fill(1));
                (self.list, self.detail) = (Some(list), Some(detail));
            }
            ScreenKind::Tapes if viewport.wide => {
                let [list, detail] = columns(self.body, Constraint::Length(42), Constraint::Fill(1));
                (self.list, self.detail) = (Some(list), Some(detail));
            }
            ScreenKind::Tapes => {
                let [list, detail] = stacked(self.body, 35, 0);
                (self.list, self.detail) = (Some(list), Some(detail));
            }
            _ => {
                let [list, detail] = stacked(self.body, 55, u16::from(viewport.wide));
                (self.list, self.detail) = (Some(list), Some(detail));
            }
        }
        self
    }
}

fn sessions_width(model: &Model, body: Rect) -> u16 {
    let moved = model.borders.sessions.map(|width| width.clamp(LEAST_COLUMNS, body.width / 2));
    moved.unwrap_or((body.width / 5).clamp(27, 36))
}

/// A pane keeps so many columns, or lines, wherever its border is moved to.
const LEAST_COLUMNS: u16 = 16;
const LEAST_LINES: u16 = 4;

/// List and detail with their border where the operator moved it: so many of so many are the list's.
fn shared(mut list: Rect, mut detail: Rect, (part, all): (u16, u16)) -> [Rect; 2] {
    let scaled = |length: u16, least: u16| {
        let wanted = (u32::from(part) * u32::from(length) + u32::from(all) / 2) / u32::from(all.max(1));
        let most = length.saturating_sub(least);
        u16::try_from(wanted).unwrap_or(u16::MAX).min(most).max(least.min(most))
    };
    if list.y == detail.y {
        let (overlap, right) = (list.right() - detail.x, detail.right());
        list.width = scaled(right - list.x, LEAST_COLUMNS);
        detail.x = list.right() - overlap;
        detail.width = right - detail.x;
    } else {
        let (overlap, bottom) = (list.bottom() - detail.y, detail.bottom());
        list.height = scaled(bottom - list.y, LEAST_LINES);
        detail.y = list.bottom() - overlap;
        detail.height = bottom - detail.y;
    }
    [list, detail]
}

/// What the share of the list is where the border to the detail stands at a place.
pub(crate) fn share_at(list: Rect, detail: Rect, at: Position) -> (u16, u16) {
    if list.y == detail.y {
        ((at.x + list.right() - detail.x).saturating_sub(list.x), detail.right() - list.x)
    } else {
        ((at.y + list.bottom() - detail.y).saturating_sub(list.y), detail.bottom() - list.y)
    }
}

/// The border at a place. Neighbours share it; where they do not, it is the line with the title of the detail.
pub(crate) fn border_at(plan: &ScreenLayout, at: Position) -> Option<PaneBorder> {
    let (list, detail) = (plan.list?, plan.detail?);
    let is_beside = list.y == detail.y;
    match plan.sessions {
        Some(sessions) if at.x + 1 == sessions.right() && sessions.contains(at) => Some(PaneBorder::Sessions),
        _ if is_beside && at.x == detail.x && detail.contains(at) => Some(PaneBorder::Detail),
        _ if !is_beside && at.y == detail.y && detail.contains(at) => Some(PaneBorder::Detail),
        _ => None,
    }
}

/// The metrics screen: how much passes, and how long what takes.
pub(crate) fn metrics_parts(area: Rect, viewport: Viewport) -> [Rect; 2] {
    if viewport.wide {
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
pub(crate) fn inner(area: Rect, viewport: Viewport) -> Rect {
    if bordered(viewport) {
        area.inner(Margin::new(1, 1))
    } else {
        Rect { y: area.y + area.height.min(1), height: area.height.saturating_sub(1), ..area }
    }
}

/// Pictures of the message in a pane of this area, those that have all their rows in it.
pub(crate) fn pictures(model: &Model, pane: Rect) -> Vec<PicturePlace> {
    let Some(DetailContent::Page(page)) = model.detail.content() else { return Vec::new() };
    let inner = inner(pane, model.viewport);
    let rows = model.detail.top..model.detail.top + usize::from(inner.height);
    let places = rows.zip(inner.y..).filter_map(|(row, y)| match page.row(row)? {
        PageRow::Image { image, row: 0, size: (width, height) } => {
            let area = Rect { x: inner.x + 1, y, width: *width, height: *height };
            (area.intersection(inner) == area).then(|| PicturePlace { image: image.clone(), area })
        }
        _ => None,
    });
    places.collect()
}

/// Rows of the event log that show the line under the cursor in full, with the rule above.
pub(crate) fn event_text_rows(inner: Rect) -> usize {
    if inner.height >= 14 { 5 } else { 0 }
}

/// Rows below two tapes side by side that show the value under the cursor, with the rule above.
pub(crate) fn compared_text_rows(inner: Rect) -> usize {
    if inner.height >= 12 { 4 } else { 0 }
}

/// Rows of the tapes screen that say all of the tape under the cursor, with the blank one above.
pub(crate) fn tape_fact_rows(inner: Rect) -> usize {
    match inner.height {
        24.. => 9,
        13.. => 5,
        _ => 0,
    }
}

/// Rows of the rules screen that show the rule under the cursor in full, with the line above.
pub(crate) fn rule_text_rows(inner: Rect) -> usize {
    usize::from(inner.height) / 2
}

/// The place of a popup of this size.
pub(crate) fn centered(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

/// The place of the popup with what a server offers.
pub(crate) fn offers(body: Rect) -> Rect {
    centered(body, 160, body.height)
}

/// Inside that popup: what the server says of itself, what it offers, and what is known of the one under the cursor.
pub(crate) fn offers_parts(inner: Rect, list: &OfferList) -> [Rect; 3] {
    let about = list.about_rows(usize::from(inner.width)).len();
    let heads = u16::try_from(1 + about).unwrap_or(u16::MAX).min(1 + inner.height / 3);
    let split = |lower| Layout::vertical([Constraint::Length(heads + 1), Constraint::Fill(1), lower]).areas(inner);
    if inner.width < 100 {
        let facts = if inner.height >= 12 { inner.height / 3 } else { 0 };
        return split(Constraint::Length(facts));
    }
    let [heads, below, _] = split(Constraint::Length(0));
    let [rows, facts] = Layout::horizontal([Constraint::Percentage(60), Constraint::Fill(1)]).spacing(2).areas(below);
    [heads, rows, facts]
}

/// The panes of the editor.
pub(crate) struct EditorParts {
    pub(crate) text: Rect,
    /// The difference, or what came back.
    pub(crate) other: Option<Rect>,
    /// Whether it can be sent.
    pub(crate) verdict: Rect,
}

/// `called`: there is a reply to be shown, below the text where there is no room beside it.
pub(crate) fn editor_parts(area: Rect, viewport: Viewport, called: bool) -> EditorParts {
    let [panes, verdict] = Layout::vertical([Constraint::Fill(1), Constraint::Length(2)]).areas(area);
    let [text, other] = match called {
        _ if viewport.wide => columns(panes, Constraint::Percentage(58), Constraint::Fill(1)),
        true => stacked(panes, 50, 0),
        false => return EditorParts { text: panes, other: None, verdict },
    };
    EditorParts { text, other: Some(other), verdict }
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

/// What is said of keys in a window in which nobody sees what they do; true for as long as it is so small.
pub(crate) const TOO_SMALL: &str = "keys need 40x10; ctrl c quits";

/// Moves all windows so that what they must show is in them.
pub(crate) fn fit(model: &mut Model, area: Rect) {
    let was_tiny = std::mem::replace(&mut model.viewport, viewport(area)).tiny;
    if was_tiny && !model.viewport.tiny && model.notice.as_ref().is_some_and(|notice| notice.text == TOO_SMALL) {
        model.notice = None;
    }
    let sessions_shown = model.viewport.wide && model.screen == ScreenKind::Messages && model.tape.is_none();
    if model.pane == Pane::Sessions && !sessions_shown {
        model.pane = Pane::List;
    }
    let plan = ScreenLayout::of(model, area);
    let rows = |pane: Option<Rect>, header: u16| {
        usize::from(pane.map_or(0, |area| inner(area, model.viewport).height.saturating_sub(header)))
    };
    let detail_width = plan.detail.map_or(0, |area| usize::from(inner(area, model.viewport).width));
    let (list, detail, sessions) = (rows(plan.list, 1), rows(plan.detail, 0), rows(plan.sessions, 0));
    let rows = model.observed.sessions.all().len() + 1;
    model.session_cursor.frame(rows, sessions / 4);
    let list_area = plan.list.map_or(Rect::default(), |area| inner(area, model.viewport));
    match model.screen {
        ScreenKind::Messages => {
            let (rows, view) = model.messages_mut();
            view.frame(rows, list);
        }
        ScreenKind::Queue => {
            let height = held_rows(list_area, model.observed.held.len(), model.observed.released.len());
            model.queue.frame(&model.observed.held, height);
        }
        ScreenKind::Tapes => fit_tapes(model, list.saturating_sub(tape_fact_rows(list_area)), detail),
        ScreenKind::Events => model.log.frame(usize::from(list_area.height).saturating_sub(event_text_rows(list_area))),
        ScreenKind::Compare => model.compare.frame(list.saturating_sub(compared_text_rows(list_area))),
        ScreenKind::Lint => model.lint.frame(model.observed.found.rows().len(), list + 1),
        ScreenKind::Rules => {
            let rows = list.saturating_sub(rule_text_rows(list_area));
            let figures = model.metrics.figures.clone();
            model.rules_screen.frame(figures.as_ref().map_or(&[], |figures| &figures.rules), rows);
        }
        ScreenKind::Metrics => {
            let [_, table] = metrics_parts(plan.body, model.viewport);
            let height = usize::from(inner(table, model.viewport).height.saturating_sub(2));
            model.metrics.place.frame(model.metrics.rows.len(), height);
        }
    }
    model.show_detail();
    model.detail.frame(detail_width.saturating_sub(2), detail, model.graphics());
    model.restart_search();
    fit_editors(model, &plan);
    fit_popup(model, area, &plan);
}

/// The editors, and the reply beside a call.
fn fit_editors(model: &mut Model, plan: &ScreenLayout) {
    let theme = Theme::of(&model.settings);
    let viewport = model.viewport;
    if let Some(editor) = &mut model.editor {
        dress(&mut editor.area, theme);
        if let Some(call) = &mut editor.call {
            let area =
                editor_parts(plan.body, viewport, true).other.map_or(Rect::default(), |area| inner(area, viewport));
            call.frame(usize::from(area.width.saturating_sub(1)), usize::from(area.height));
        }
    }
    if let Some(editor) = &mut model.rules_screen.editor {
        dress(&mut editor.area, theme);
    }
}

/// What lies over the screen, to the size it has.
fn fit_popup(model: &mut Model, area: Rect, plan: &ScreenLayout) {
    if let Some(Popup::Help(help)) = &model.popup {
        let last = last_help_top(model, help, area.height);
        if let Some(Popup::Help(help)) = &mut model.popup {
            help.top = help.top.min(last);
        }
    }
    if let Some(Popup::Offers(list)) = &mut model.popup {
        let [_, rows, _] = offers_parts(offers(plan.body).inner(Margin::new(1, 1)), list);
        let len = list.shown().count();
        list.place.frame(len, usize::from(rows.height));
        // What is under the cursor is seen with the next drawing.
        if let (Some(offer), Some(seen)) = (list.chosen(), model.offers_seen.get_mut(&list.session)) {
            seen.look(offer);
        }
    }
    if let Some(Popup::Pager(text)) = &mut model.popup {
        let area = inner(pager(area), Viewport { wide: true, ..Viewport::default() });
        text.frame(usize::from(area.width), usize::from(area.height));
    }
}

/// The text area brings its own styles, which only it can set.
fn dress(area: &mut TextArea<'_>, theme: Theme) {
    area.set_line_number_style(theme.style(Role::Dim));
    area.set_cursor_line_style(Style::new());
    area.set_cursor_style(theme.style(Role::Cursor));
    area.set_selection_style(theme.style(Role::Cursor));
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
