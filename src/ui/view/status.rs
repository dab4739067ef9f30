//! The first line: where the proxy listens, what is held, how it goes. Says what was lost.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts::{grouped, put, short, styled};
use crate::text;
use crate::ui::keymap::{screens, with_keys};
use crate::ui::model::session_list::upstream_name;
use crate::ui::model::summary::plural;
use crate::ui::model::{Model, ScreenKind};
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width);
    let mut left = vec![styled(model, Role::Badge, " tapline "), Span::raw(" ")];
    let (badges, mut right) = (badges(model), figures(model, width));
    let others: usize = left.iter().chain(&badges).chain(&right).map(Span::width).sum();
    left.extend(front(model, width, width.saturating_sub(others)));
    left.extend(badges);
    let used: usize = left.iter().map(Span::width).sum();
    let room = width.saturating_sub(used);
    let wide = |right: &[Span<'_>]| right.iter().map(Span::width).sum::<usize>();
    // The least telling first.
    while right.len() > 1 && wide(&right) >= room {
        right.remove(0);
    }
    let right_width = wide(&right);
    if right_width < room {
        left.push(Span::raw(" ".repeat(room - right_width)));
        left.extend(right);
    }
    put(frame, area, 0, Line::from(left));
}

/// `room`: what all the rest of the line leaves.
fn front(model: &Model, width: usize, room: usize) -> Vec<Span<'static>> {
    let Some((url, upstream)) = &model.observed.front else {
        return vec![styled(model, Role::Dim, "starting ")];
    };
    let url = upstream_name(url);
    if width < 60 {
        return Vec::new();
    }
    let upstream = text::sanitize(upstream_name(upstream));
    let url = short(url, if width < 100 { 24 } else { 30 });
    let room = room.saturating_sub(text::width(&url) + 6);
    if width < 100 && text::width(&upstream) > room {
        return vec![styled(model, Role::Strong, url + " ")];
    }
    let room = if width < 100 { room } else { room.max(34) };
    vec![
        styled(model, Role::Strong, url),
        styled(model, Role::Dim, " > "),
        styled(model, Role::Plain, text::fit_ends(&upstream, room) + " "),
    ]
}

/// What the operator must not overlook.
fn badges(model: &Model) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    if let Some(ending) = &model.quitting.ending {
        let text = format!(" ending: {}, {} s; <everywhere quit> forces ", ending.what(), ending.left);
        let text = with_keys(&model.settings.keys, &text);
        spans.push(styled(model, Role::HeldBadge, text));
    }
    let held = model.observed.awaiting(model.now).count();
    match (model.observed.holding.on, held) {
        (_, 1..) => spans.push(styled(model, Role::HeldBadge, format!(" HOLD {held} held "))),
        (true, 0) => spans.push(styled(model, Role::Held, " HOLD on ")),
        (false, 0) => {}
    }
    if model.tapes.running() && model.screen != ScreenKind::Tapes {
        spans.push(styled(model, Role::Accent, " replaying "));
    }
    spans.extend(shadow(model));
    if model.resync.dropped > 0 {
        spans.push(styled(model, Role::Bad, format!(" dropped {} ", grouped(model.resync.dropped))));
    }
    if model.observed.lost > 0 {
        spans.push(styled(model, Role::Bad, format!(" unrecorded {} ", grouped(model.observed.lost))));
    }
    if model.log.unread > 0 && model.screen != ScreenKind::Events {
        let key = screens(model).find(|(.., screen)| *screen == ScreenKind::Events).map_or("", |(key, ..)| key);
        spans.push(styled(model, Role::Held, format!(" {} ({key}) ", plural(model.log.unread, "warnings"))));
    }
    spans
}

fn shadow(model: &Model) -> Option<Span<'static>> {
    let counts = &model.observed.shadow;
    let role = if counts.diverge() { Role::Bad } else { Role::Good };
    let mut text = format!(" shadow {} same", grouped(counts.same));
    for (count, word) in [(counts.differs, "differ"), (counts.missing, "missing")] {
        if count > 0 {
            text.push_str(&format!(" {} {word}", grouped(count)));
        }
    }
    (!counts.is_empty()).then(|| styled(model, role, text + " "))
}

/// Those that are wanted most stand last.
fn figures(model: &Model, width: usize) -> Vec<Span<'static>> {
    let stats = &model.observed.stats;
    let mut spans = Vec::new();
    // The same figures as on the metrics screen, once there are any.
    let all = &model.metrics.all;
    if all.count > 0 && width >= 110 {
        spans.push(styled(model, Role::Dim, format!("p50 {} p99 {}  ", duration(all.p50), duration(all.p99))));
    }
    let sessions = &model.observed.sessions;
    if width >= 80 {
        spans.push(styled(model, Role::Dim, format!("{}/{} sessions  ", sessions.open(), sessions.all().len())));
    }
    if let Some(rate) = stats.rate() {
        spans.push(styled(model, Role::Plain, format!("{rate:.1}/s  ")));
    }
    let errors = stats.errors;
    let role = if errors > 0 { Role::Bad } else { Role::Dim };
    spans.push(styled(model, role, format!("err {} ", grouped(errors))));
    spans
}

/// Returns a duration with its unit, for where no column head says it.
pub(super) fn duration(micros: u64) -> String {
    text::micros_with_unit(micros)
}

/// All there is to say in a window of a few cells.
pub(super) fn draw_tiny(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let (rows, _) = model.messages();
    let held = model.observed.awaiting(model.now).count();
    let text = format!(
        "{held} held  {} err  {} msgs  {:.1}/s",
        model.observed.stats.errors,
        grouped(rows.len() as u64),
        model.observed.stats.rate().unwrap_or_default(),
    );
    let role = if held == 0 { Role::Plain } else { Role::Held };
    let (text, role) = model
        .notice
        .as_ref()
        .map_or((text, role), |notice| (with_keys(&model.settings.keys, &notice.text), Role::Held));
    put(frame, area, 0, styled(model, role, short(&text, usize::from(area.width))));
    // What came last, as far as there is room.
    let (rows, list) = model.messages();
    let room = usize::from(area.height).saturating_sub(1);
    let first = list.len(rows).saturating_sub(room);
    let shown = (first..list.len(rows)).filter_map(|position| list.row(rows, position));
    for (line, row) in shown.enumerate() {
        put(frame, area, line + 1, super::list::tiny_line(model, &row, usize::from(area.width)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_has_its_unit() {
        for (micros, expected) in [
            (90, "0.09ms"),
            (453_000, "453ms"),
            (1_100_000, "1.1s"),
            (42_000_000, "42s"),
            (60_000_000, "1m00s"),
            (5_400_000_000, "1h30m"),
            (172_800_000_000, "2d"),
        ] {
            assert_eq!(duration(micros), expected);
        }
    }
}
