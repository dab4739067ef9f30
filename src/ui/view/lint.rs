//! The lint screen: what is wrong, by server.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::parts::{cell, cursor_row, grouped, pane, put, right, short, styled};
use crate::event::LintLevel;
use crate::ui::model::Model;
use crate::ui::model::lint_screen::{LintGroup, LintScreenRow};
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let tally = &model.observed.found;
    let block = pane(model, true, title(model), status(model));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    if tally.is_empty() {
        return put(frame, inner, 0, styled(model, Role::Dim, " nothing was found"));
    }
    let rows = tally.rows();
    let shown = rows.iter().enumerate().skip(model.lint.top).take(usize::from(inner.height));
    for (line, (at, row)) in shown.enumerate() {
        let mut cells = match row {
            LintScreenRow::Server(name) => Line::from(styled(model, Role::Strong, cell(&format!(" {name}"), width))),
            LintScreenRow::Code(group) => code_line(model, group, width),
        };
        if at == model.lint.cursor {
            cells = cursor_row(model, &cells, true, width);
        }
        put(frame, inner, line, cells);
    }
}

fn title(model: &Model) -> Line<'static> {
    let mut spans = vec![styled(model, Role::Strong, " Lint ")];
    for level in LintLevel::ALL.into_iter().rev() {
        let count = model.observed.found.of_level(level);
        if count > 0 {
            spans.push(styled(model, level_role(level), format!("{} {} ", grouped(count), level.word())));
        }
    }
    Line::from(spans)
}

/// How far it is behind.
fn status(model: &Model) -> Line<'static> {
    let figures = model.metrics.figures.as_ref().map(|figures| &figures.lint);
    let text = match figures.map_or((0, 0), |lint| (lint.waiting, lint.missed)) {
        (0, 0) => String::new(),
        (waiting, 0) => format!(" {} behind ", grouped(waiting)),
        (waiting, missed) => format!(" {} behind, {} not judged ", grouped(waiting), grouped(missed)),
    };
    Line::from(styled(model, Role::Dim, text))
}

fn code_line(model: &Model, group: &LintGroup, width: usize) -> Line<'static> {
    let finding = &group.finding;
    let role = level_role(group.level);
    let what = format!("{} {}; {}", finding.seq, finding.text, finding.hint);
    Line::from(vec![
        styled(model, role, format!("   {}", cell(group.level.word(), 6))),
        styled(model, Role::Accent, cell(&finding.code, 26) + " "),
        styled(model, Role::Plain, right(&grouped(group.count), 6) + "  "),
        styled(model, Role::Dim, cell(finding.culprit(), 7)),
        styled(model, Role::Plain, short(&what, width.saturating_sub(52))),
    ])
}

/// The colour of a level.
pub(super) fn level_role(level: LintLevel) -> Role {
    match level {
        LintLevel::Error => Role::Bad,
        LintLevel::Warn => Role::Held,
        LintLevel::Info => Role::Plain,
        LintLevel::Note => Role::Dim,
    }
}
