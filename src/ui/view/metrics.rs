//! The metrics: how much passes, what is on its way, how long which name takes, and what tapline itself adds.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts::{cell, cursor_row, grouped, pane, put, right, short, style, styled, theme};
use super::status::duration;
use crate::envelope::Direction;
use crate::event::figures::{EndpointFigures, Figures, Spread};
use crate::mcp::method::{TOOLS_CALL, TOOLS_LIST};
use crate::text;
use crate::ui::layout::metrics_parts;
use crate::ui::model::metrics_screen::{
    BUCKETS, EndpointKey, MetricsGrouping, MetricsOrder, MetricsRow, MetricsSubject,
};
use crate::ui::model::{Model, age};
use crate::ui::theme::Role;

/// Columns of numbers: calls, errors, three percentiles and the longest.
const NUMBERS: usize = 7 + 5 + 4 * 7;
/// Cells of the small histogram, and the tens of microseconds that it begins and ends with.
const CURVE: usize = 16;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let [numbers, table] = metrics_parts(area, model.viewport);
    let Some(figures) = &model.metrics.figures else {
        let block = pane(model, true, styled(model, Role::Strong, " Metrics "), Line::default());
        let inner = block.inner(area);
        frame.render_widget(block, area);
        return put(frame, inner, 0, styled(model, Role::Dim, " nothing is counted yet: no message has passed"));
    };
    draw_numbers(model, figures, frame, numbers);
    draw_table(model, figures, frame, table);
}

fn draw_numbers(model: &Model, figures: &Figures, frame: &mut Frame<'_>, area: Rect) {
    let bucket = model.metrics.bucket();
    let aside = format!(" {bucket}s each ");
    let block =
        pane(model, false, styled(model, Role::Strong, " Traffic "), Line::from(styled(model, Role::Dim, aside)));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let lines = if model.viewport.wide { tall(model, figures, width) } else { low(model, figures, width) };
    for (row, line) in lines.into_iter().enumerate() {
        put(frame, inner, row, line);
    }
}

/// A figure over its recent past; below all, one fact a line.
fn tall(model: &Model, figures: &Figures, width: usize) -> Vec<Line<'static>> {
    let pulse = model.metrics.pulse();
    let mut lines = Vec::new();
    let trends = [(messages_words(model), &pulse.messages), (flight_words(model, figures), &pulse.in_flight)];
    for (words, past) in trends {
        lines.push(plain(model, &words, width));
        lines.push(trend(model, past, width, Role::Accent));
    }
    let failed = figures.outcomes().failed();
    let role = if failed > 0 { Role::Bad } else { Role::Dim };
    lines.push(Line::from(styled(model, role, short(&format!(" errors {}", grouped(failed)), width))));
    lines.push(trend(model, &pulse.failed, width, Role::Bad));
    let facts = [facts(model, figures), selected(model, figures)];
    for facts in facts.iter().filter(|facts| !facts.is_empty()) {
        let line = theme(model).glyphs().line.repeat(width);
        lines.push(Line::from(styled(model, Role::Dim, line)));
        lines.extend(facts.iter().map(|fact| plain(model, fact, width)));
    }
    lines
}

/// The numbers in few lines, for a low window.
fn low(model: &Model, figures: &Figures, width: usize) -> Vec<Line<'static>> {
    let pulse = model.metrics.pulse();
    let label = 9.min(width);
    let row = |name: &str, past: &[u64; BUCKETS], role| {
        let mut line = trend(model, past, width - label, role);
        line.spans.insert(0, styled(model, Role::Plain, cell(name, label)));
        line
    };
    let failed = format!(" err {}", figures.outcomes().failed());
    let mut lines = vec![
        row(" messages", &pulse.messages, Role::Accent),
        row(&failed, &pulse.failed, Role::Bad),
        plain(model, &flight_words(model, figures), width),
    ];
    lines.extend(facts(model, figures).iter().map(|fact| plain(model, fact, width)));
    lines
}

fn plain(model: &Model, words: &str, width: usize) -> Line<'static> {
    Line::from(styled(model, Role::Plain, short(words, width)))
}

fn messages_words(model: &Model) -> String {
    let (pulse, bucket) = (model.metrics.pulse(), model.metrics.bucket());
    let rate = |count: u64| text::rate(count, bucket);
    let most = pulse.messages.iter().max().copied().unwrap_or_default();
    format!(" messages {}/s, most {}/s", rate(pulse.messages[BUCKETS - 1]), rate(most))
}

fn flight_words(model: &Model, figures: &Figures) -> String {
    let oldest = figures.oldest.map(|since| age(model.now.0.saturating_sub(since.0)));
    let oldest = oldest.map(|oldest| format!(", oldest {oldest}")).unwrap_or_default();
    format!(" in flight {}{oldest}", grouped(figures.in_flight()))
}

/// What has no past worth drawing. What is nought and usually is, is left out.
fn facts(model: &Model, figures: &Figures) -> Vec<String> {
    let ends = figures.outcomes();
    let mut facts = vec![format!(" requests {}, ok {}", grouped(figures.requests()), grouped(ends.ok))];
    let failed = [("rpc", ends.error), ("tool", ends.tool), ("upstream", ends.transport), ("blocked", ends.blocked)];
    let failed = some(failed.into_iter());
    facts.extend((!failed.is_empty()).then(|| format!(" failed: {failed}")));
    // Given up, or never answered: no failure of the server's, and counted as none elsewhere.
    let unanswered = some([("no reply", figures.unanswered())].into_iter());
    facts.extend((!unanswered.is_empty()).then(|| format!(" {unanswered}")));
    for (sign, flow) in [('>', figures.to_server), ('<', figures.to_client)] {
        facts.push(format!(" {sign} {} messages, {}", grouped(flow.messages), text::size(flow.bytes)));
    }
    let states = some(figures.states.iter().map(|(state, count)| (state.as_str(), *count)));
    facts.push(format!(" sessions: {}", if states.is_empty() { "none" } else { &states }));
    facts.extend(tokens(figures));
    facts.extend(figures.pools.iter().map(|pool| {
        let name = if pool.name.is_empty() { String::new() } else { format!(" {}", pool.name) };
        let more = some([("waiting", pool.waiting), ("gone", pool.died)].into_iter());
        let more = if more.is_empty() { more } else { format!(", {more}") };
        format!(" children{name}: {} in use, {} spare{more}", pool.busy, pool.idle)
    }));
    let held = model.observed.held.len() as u64;
    let gate = some([("held", held), ("retried", figures.retried)].into_iter());
    let refused = some(figures.refused.iter().map(|(by, count)| (by.as_str(), *count)));
    let errors = some(figures.errors.iter().map(|(kind, count)| (kind.as_str(), *count)));
    let named = [("", gate), ("refused: ", refused), ("errors of tapline: ", errors)];
    facts.extend(named.into_iter().filter(|(_, it)| !it.is_empty()).map(|(name, it)| format!(" {name}{it}")));
    if figures.journal.refused > 0 {
        facts.push(format!(" {} messages unrecorded", grouped(figures.journal.refused)));
    }
    facts
}

/// What the table has no columns for, of the row under the cursor.
fn selected(model: &Model, figures: &Figures) -> Vec<String> {
    let Some(row) = model.metrics.selected() else { return Vec::new() };
    let of = |it: &&EndpointFigures| MetricsSubject::Endpoint(EndpointKey::of(it)) == row.what;
    let Some(endpoint) = figures.endpoints.iter().find(of) else { return Vec::new() };
    let ends = endpoint.outcomes;
    let failed = [("rpc", ends.error), ("tool", ends.tool), ("upstream", ends.transport), ("blocked", ends.blocked)];
    let counts = [("ok", ends.ok)].into_iter().chain(failed);
    let counts = some(counts.chain([("no reply", endpoint.unanswered), ("in flight", endpoint.in_flight)]));
    let size = |name: &str, it: &Spread| {
        format!(" {name} {}, p99 {}, max {}", text::size(it.p50), text::size(it.p99), text::size(it.max))
    };
    let mut facts = vec![format!(" {}", name(model, &row.what)), format!(" {counts}")];
    if endpoint.answered.count > 0 {
        facts.push(size("request", &endpoint.asked));
        facts.push(size("reply", &endpoint.answered));
    }
    if endpoint.tokens() > 0 {
        let (all, latest) = (text::count(endpoint.tokens()), text::count(endpoint.latest_tokens()));
        facts.push(format!(" tokens about {all}, latest {latest}"));
    }
    facts
}

/// `a 1, b 2`, without what is nought.
fn some<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let counts = counts.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {}", grouped(count)));
    counts.collect::<Vec<_>>().join(", ")
}

fn tokens(figures: &Figures) -> Option<String> {
    let of = |method: &'static str| figures.endpoints.iter().filter(move |it| it.method.as_deref() == Some(method));
    let listed = of(TOOLS_LIST).map(EndpointFigures::latest_tokens).max().unwrap_or_default();
    let results: u64 = of(TOOLS_CALL).map(EndpointFigures::tokens).sum();
    (listed + results > 0).then(|| format!(" tokens about {}, tool list {}", text::count(results), text::count(listed)))
}

/// Draws as many of the latest buckets as there is room for.
fn trend(model: &Model, past: &[u64; BUCKETS], width: usize, role: Role) -> Line<'static> {
    let room = width.saturating_sub(2).min(BUCKETS);
    let shown = &past[BUCKETS - room..];
    Line::from(vec![Span::raw(" "), styled(model, role, curve(model, shown))])
}

/// Values as heights, the greatest full.
fn curve(model: &Model, values: &[u64]) -> String {
    let levels = theme(model).glyphs().levels;
    let (top, most) = (levels.len() as u64 - 1, values.iter().max().copied().unwrap_or_default().max(1));
    let level = |value: u64| usize::try_from((value * top).div_ceil(most)).unwrap_or_default();
    values.iter().map(|value| levels[level(*value)]).collect()
}

fn draw_table(model: &Model, figures: &Figures, frame: &mut Frame<'_>, area: Rect) {
    let board = &model.metrics;
    let of = match board.group {
        MetricsGrouping::Name => "name",
        MetricsGrouping::Method => "method",
        MetricsGrouping::Session => "session",
    };
    let order = match board.order {
        MetricsOrder::Calls => " most calls first ",
        MetricsOrder::P99 => " slowest first ",
        MetricsOrder::Errors => " most errors first ",
    };
    let title = styled(model, Role::Strong, format!(" Latency by {of} "));
    let block = pane(model, true, title, Line::from(styled(model, Role::Dim, order)));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let columns = EndpointColumns::of(usize::from(inner.width));
    put(frame, inner, 0, Line::styled(columns.head(of), style(model, Role::Dim)));
    let rows = usize::from(inner.height).saturating_sub(2);
    if board.rows.is_empty() && rows > 0 {
        let words = match board.group {
            MetricsGrouping::Session => " no session that is open has had a reply: figures of a session end with it",
            MetricsGrouping::Name | MetricsGrouping::Method => " no request has had a reply yet",
        };
        put(frame, inner, 1, styled(model, Role::Dim, short(words, usize::from(inner.width))));
    }
    for (line, (at, row)) in board.rows.iter().enumerate().skip(board.place.top).take(rows).enumerate() {
        let mut cells = row_line(model, row, &columns);
        if at == board.place.cursor {
            cells = cursor_row(model, &cells, true, usize::from(inner.width));
        }
        put(frame, inner, line + 1, cells);
    }
    put(frame, inner, usize::from(inner.height).saturating_sub(1), own_line(model, &figures.added, &columns));
}

/// Which columns there is room for, and how wide the first of them is.
struct EndpointColumns {
    name: usize,
    /// All numbers, else calls, errors and the 99th percentile.
    all: bool,
    curve: bool,
}

impl EndpointColumns {
    fn of(width: usize) -> Self {
        let all = width >= NUMBERS + 20;
        let curve = width >= NUMBERS + CURVE + 22;
        let numbers = if all { NUMBERS } else { 7 + 5 + 7 };
        let curve_room = if curve { CURVE + 2 } else { 0 };
        Self { name: width.saturating_sub(numbers + curve_room + 2), all, curve }
    }

    fn head(&self, of: &str) -> String {
        let curve = if self.curve { "  10us .. 10s log" } else { "" };
        self.line(of, "n", "err", ["p50", "p90", "p99", "max"].map(str::to_owned)) + curve
    }

    fn line(&self, name: &str, calls: &str, failed: &str, times: [String; 4]) -> String {
        format!(" {}{}{}{}", cell(name, self.name), right(calls, 7), right(failed, 5), self.times(times))
    }

    fn times(&self, [p50, p90, p99, max]: [String; 4]) -> String {
        let shown = if self.all { vec![p50, p90, p99, max] } else { vec![p99] };
        shown.iter().map(|number| right(number, 7)).collect()
    }
}

fn row_line(model: &Model, row: &MetricsRow, columns: &EndpointColumns) -> Line<'static> {
    let times = match row.took.count {
        // Taken back, or still on its way.
        0 if row.failed == 0 && columns.all => right("no reply", 4 * 7),
        0 => columns.times(["-"; 4].map(str::to_owned)),
        _ => columns.times([row.took.p50, row.took.p90, row.took.p99, row.took.max].map(duration)),
    };
    let role = if row.failed > 0 { Role::Bad } else { Role::Plain };
    let mut spans = vec![
        styled(
            model,
            Role::Plain,
            format!(" {}{}", cell(&name(model, &row.what), columns.name), right(&grouped(row.calls), 7)),
        ),
        styled(model, role, right(&grouped(row.failed), 5)),
        styled(model, Role::Plain, times),
    ];
    if columns.curve {
        spans.push(styled(model, Role::Accent, format!("  {}", spread_curve(model, &row.took))));
    }
    Line::from(spans)
}

fn own_line(model: &Model, added: &Spread, columns: &EndpointColumns) -> Line<'static> {
    let times = [added.p50, added.p90, added.p99, added.max].map(|nanos| duration(nanos.div_ceil(1000)));
    let line = columns.line("tapline itself, a message", &grouped(added.count), "-", times);
    Line::from(styled(model, Role::Strong, line))
}

/// The name of what a row counts. Not sanitized: the view does that.
fn name(model: &Model, what: &MetricsSubject) -> String {
    match what {
        MetricsSubject::Session(id) => {
            let sessions = &model.observed.sessions;
            let title = sessions.get(*id).map(|row| sessions.title(row)).unwrap_or_default();
            format!("{} {title}", id.short())
        }
        MetricsSubject::Endpoint(EndpointKey { upstream, direction, method, name }) => {
            let way = if *direction == Direction::ToClient { "< " } else { "" };
            let upstream = upstream.as_ref().map(|upstream| format!("{upstream}: ")).unwrap_or_default();
            let what = match (method.as_deref(), name.as_deref()) {
                (Some(TOOLS_CALL), Some(name)) => name.to_owned(),
                (Some(method), Some(name)) => format!("{method} {name}"),
                (Some(method), None) => method.to_owned(),
                (None, _) => "all others".to_owned(),
            };
            format!("{way}{upstream}{what}")
        }
    }
}

/// From ten microseconds to ten seconds, on a logarithmic scale; what is beyond is in the first and last cell.
fn spread_curve(model: &Model, spread: &Spread) -> String {
    let mut cells = [0; CURVE];
    for (value, count) in &spread.values {
        cells[curve_cell(*value)] += count;
    }
    curve(model, &cells)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cell of sixteen"
)]
fn curve_cell(micros: u64) -> usize {
    let tens = (micros.max(10) as f64 / 10.0).log10();
    ((tens * CURVE as f64 / 6.0) as usize).min(CURVE - 1)
}
