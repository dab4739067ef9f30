//! The rules screen: the rules in the order in which they are asked, and the one under the cursor in full.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::parts::{cell, clock, cursor_row, grouped, pane, put, right, short, styled, theme};
use super::rule_form::touched_words;
use crate::event::RuleStatus;
use crate::text;
use crate::ui::keymap::with_keys;
use crate::ui::layout::rule_text_rows;
use crate::ui::model::Model;
use crate::ui::model::rule_editor::RuleEditor;
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let block = pane(model, true, title(model), unsaved(model));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let (width, rules) = (usize::from(inner.width), model.rules());
    let rows = usize::from(inner.height).saturating_sub(rule_text_rows(inner));
    if rules.is_empty() {
        let hints = [
            "no rules: what you do with a message by hand, a rule does each time",
            "`<messages rule>` on a message makes one of it, also after an edit, a block or a delay; `<rules rule-new>` writes one",
            "`--rules FILE` brings those of a file or of a ready set: `tapline rules` lists these",
        ];
        let hints = hints.into_iter().map(|hint| with_keys(&model.settings.keys, hint));
        let lines = hints.flat_map(|hint| text::in_rows(&hint, width.saturating_sub(2), 4));
        for (row, line) in lines.enumerate() {
            put(frame, inner, row, styled(model, Role::Dim, format!(" {line}")));
        }
    } else {
        let columns = RuleColumns::of(width, rules);
        put(frame, inner, 0, styled(model, Role::Dim, short(&columns.head(), width)));
        let shown = rules.iter().enumerate().skip(model.rules_screen.place.top).take(rows.saturating_sub(1));
        for (line, (at, rule)) in shown.enumerate() {
            let mut cells = rule_line(model, rule, &columns, width);
            if at == model.rules_screen.place.cursor {
                cells = cursor_row(model, &cells, true, width);
            }
            put(frame, inner, 1 + line, cells);
        }
    }
    draw_below(model, frame, inner, rows);
}

fn title(model: &Model) -> Line<'static> {
    let rules = model.rules();
    let (off, broken) =
        (rules.iter().filter(|rule| !rule.is_on).count(), rules.iter().filter(|rule| rule.broken.is_some()).count());
    let mut spans = vec![styled(model, Role::Strong, format!(" Rules {} ", rules.len()))];
    if off > 0 {
        spans.push(styled(model, Role::Dim, format!("{off} off ")));
    }
    if broken > 0 {
        spans.push(styled(model, Role::Bad, format!("{broken} broken ")));
    }
    Line::from(spans)
}

fn unsaved(model: &Model) -> Line<'static> {
    let count = model.rules().iter().filter(|rule| rule.is_unsaved).count();
    let text = if count > 0 { " unsaved: `<rules rules-save>` writes them " } else { "" };
    Line::from(styled(model, Role::Held, with_keys(&model.settings.keys, text)))
}

/// How wide the columns are.
struct RuleColumns {
    tapline: usize,
    name: usize,
    file: usize,
}

impl RuleColumns {
    fn of(width: usize, rules: &[RuleStatus]) -> Self {
        let widest = rules.iter().filter_map(|rule| Some(text::width(rule.tapline.as_ref()?) + 1)).max();
        let tapline = widest.map_or(0, |widest| widest.min(width / 5));
        // Margin, state, hits, last hit: 1 + 4 + 8 + 10.
        let rest = width.saturating_sub(23 + tapline);
        let file = if rest >= 50 { rest / 5 } else { 0 };
        Self { tapline, name: (rest * 2 / 5).clamp(rest.min(12), 36), file }
    }

    fn head(&self) -> String {
        format!(
            " {}{}{}{}  {}{}when, and what it does",
            cell("", 4),
            cell("tapline", self.tapline),
            cell("rule", self.name),
            right("hits", 7),
            cell("last hit", 10),
            cell("file", self.file)
        )
    }
}

fn rule_line(model: &Model, rule: &RuleStatus, columns: &RuleColumns, width: usize) -> Line<'static> {
    let (state, role) = match (rule.is_on, &rule.broken) {
        (false, _) => ("off", Role::Dim),
        (true, Some(_)) => ("bad", Role::Bad),
        (true, None) => ("on", Role::Good),
    };
    let text = if rule.is_on { Role::Plain } else { Role::Dim };
    let last = rule.last_hit.map(|at| clock(&model.settings.zone, at, 8)).unwrap_or_default();
    let what = format!("{} -> {}", rule.when, rule.action);
    let used = 24 + columns.tapline + columns.name + columns.file;
    let tapline = text::fit_ends(rule.tapline.as_deref().unwrap_or_default(), columns.tapline.saturating_sub(1));
    Line::from(vec![
        styled(model, role, format!(" {}", cell(state, 4))),
        styled(model, Role::Dim, cell(&tapline, columns.tapline)),
        styled(model, if rule.is_on { Role::Strong } else { Role::Dim }, cell(&rule.name, columns.name)),
        styled(model, text, right(&grouped(rule.hits), 7) + "  "),
        styled(model, text, cell(&last, 10)),
        styled(model, if rule.is_unsaved { Role::Held } else { Role::Dim }, file_cell(rule, columns.file)),
        styled(model, text, short(&what, width.saturating_sub(used))),
    ])
}

/// The end of a long place tells more than its beginning; `*`: it stands otherwise in its file.
fn file_cell(rule: &RuleStatus, width: usize) -> String {
    if width == 0 {
        return String::new();
    }
    let place = if rule.place.is_empty() { "not saved" } else { &rule.place };
    let mark = if rule.is_unsaved && !rule.place.is_empty() { "*" } else { "" };
    let room = width - 1 - mark.len();
    let long = place.chars().count();
    let end: String = place.chars().skip(long.saturating_sub(room)).collect();
    cell(&format!("{end}{mark}"), width)
}

/// What is wrong with files and with the rule under the cursor; then all of its text.
fn draw_below(model: &Model, frame: &mut Frame<'_>, area: Rect, from: usize) {
    let width = usize::from(area.width);
    let mut lines: Vec<(Role, String)> = Vec::new();
    for fault in model.rule_faults() {
        lines.push((Role::Bad, format!(" {fault}")));
    }
    if !lines.is_empty() {
        lines.push((Role::Dim, " until that is mended the rules stay as they were".to_owned()));
    }
    if let Some(rule) = model.selected_rule() {
        lines.extend(rule.broken.iter().map(|why| (Role::Bad, format!(" broken: {why}"))));
        lines.extend(rule.text.lines().map(|line| (Role::Plain, format!(" {line}"))));
    }
    if from < usize::from(area.height) {
        let rule = theme(model).glyphs().line.repeat(width);
        put(frame, area, from, styled(model, Role::Dim, rule));
    }
    for (row, (role, text)) in lines.into_iter().enumerate() {
        put(frame, area, from + 1 + row, styled(model, role, short(&text, width)));
    }
}

/// A rule being written, and all that is wrong with it.
pub(super) fn draw_editor(model: &Model, editor: &RuleEditor, frame: &mut Frame<'_>, area: Rect) {
    let faults = u16::try_from(editor.faults.len().clamp(1, 6)).unwrap_or(1).min(area.height / 2);
    let [text, verdict] = Layout::vertical([Constraint::Fill(1), Constraint::Length(faults)]).areas(area);
    let title = editor.of.as_ref().map_or_else(|| " New rule ".to_owned(), |rule| format!(" Rule {} ", rule.name));
    let place = format!(" {}:{} ", editor.area.cursor().0 + 1, editor.area.cursor().1 + 1);
    let room = usize::from(area.width).saturating_sub(4 + place.len());
    let title = styled(model, Role::Strong, short(&title, room));
    let block = pane(model, true, title, Line::from(styled(model, Role::Dim, place)));
    let inner = block.inner(text);
    frame.render_widget(block, text);
    frame.render_widget(&editor.area, inner);
    let width = usize::from(area.width);
    if editor.faults.is_empty() {
        let words = format!(" in order; {}", touched_words(&editor.preview));
        return put(frame, verdict, 0, styled(model, Role::Good, short(&words, width)));
    }
    for (row, fault) in editor.faults.iter().enumerate() {
        let words = format!(" line {}:{} {}", fault.line, fault.column, fault.why);
        put(frame, verdict, row, styled(model, Role::Bad, short(&words, width)));
    }
}
