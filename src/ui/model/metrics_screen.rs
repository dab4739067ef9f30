//! The figures as the metrics screen shows them: their recent past, and one row for each thing that is told apart.

use std::collections::VecDeque;
use std::sync::Arc;

use super::motion::ListCursor;
use crate::envelope::{Direction, SessionId};
use crate::event::figures::{EndpointFigures, Figures, Spread};
use crate::mcp::method::TOOLS_CALL;

/// Buckets of a sparkline.
pub(crate) const BUCKETS: usize = 60;
/// Seconds that one bucket may be wide.
const WIDTHS: [u64; 3] = [1, 5, 30];

#[derive(Default)]
pub(crate) struct MetricsScreen {
    /// The figures as the core told them last.
    pub(crate) figures: Option<Arc<Figures>>,
    /// How long requests of clients took, all together, without what they waited for the operator.
    pub(crate) all: Spread,
    pub(crate) rows: Vec<MetricsRow>,
    pub(crate) place: ListCursor,
    pub(crate) group: MetricsGrouping,
    pub(crate) order: MetricsOrder,
    zoom: usize,
    /// What was new each time that figures came, oldest first.
    beats: VecDeque<FiguresSample>,
}

/// What a row is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MetricsGrouping {
    /// Tools, prompts, resources, and methods without names.
    #[default]
    Name,
    Method,
    Session,
}

/// By what the rows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MetricsOrder {
    #[default]
    Calls,
    P99,
    Errors,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MetricsRow {
    pub(crate) what: MetricsSubject,
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) took: Spread,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MetricsSubject {
    Endpoint(EndpointKey),
    Session(SessionId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointKey {
    pub(crate) upstream: Option<Box<str>>,
    pub(crate) direction: Direction,
    /// `None`: those for which there was no room.
    pub(crate) method: Option<Box<str>>,
    pub(crate) name: Option<Box<str>>,
}

impl EndpointKey {
    pub(crate) fn of(figures: &EndpointFigures) -> Self {
        Self {
            upstream: figures.upstream.clone(),
            direction: figures.direction,
            method: figures.method.clone(),
            name: figures.name.clone(),
        }
    }
}

/// What was new when figures came.
struct FiguresSample {
    /// Seconds since the Unix epoch.
    second: u64,
    messages: u64,
    failed: u64,
    in_flight: u64,
}

/// The recent past of three figures, oldest first.
pub(crate) struct RecentActivity {
    pub(crate) messages: [u64; BUCKETS],
    pub(crate) in_flight: [u64; BUCKETS],
    pub(crate) failed: [u64; BUCKETS],
}

impl MetricsScreen {
    pub(crate) fn on_figures(&mut self, figures: Arc<Figures>) {
        // Of other taplines than before, sums say nothing about the time between.
        let last = self.figures.take().filter(|last| last.taplines == figures.taplines);
        self.beat(last.as_deref(), &figures);
        self.all = Spread::default();
        for endpoint in figures.endpoints.iter().filter(|it| it.direction == Direction::ToServer) {
            self.all.add(&endpoint.took);
        }
        self.figures = Some(figures);
        self.arrange();
    }

    /// The tools that are called most, most first.
    pub(crate) fn top_tools(&self, count: usize) -> Vec<&EndpointFigures> {
        let all = self.figures.iter().flat_map(|figures| &figures.endpoints);
        let mut tools: Vec<_> =
            all.filter(|it| it.method.as_deref() == Some(TOOLS_CALL) && it.name.is_some()).collect();
        tools.sort_by(|a, b| b.calls.cmp(&a.calls).then(a.name.cmp(&b.name)));
        tools.truncate(count);
        tools
    }

    fn beat(&mut self, last: Option<&Figures>, figures: &Figures) {
        let since = |of: fn(&Figures) -> u64| last.map_or(0, |last| of(figures).saturating_sub(of(last)));
        self.beats.push_back(FiguresSample {
            second: figures.at.0 / 1_000_000,
            messages: since(Figures::messages),
            failed: since(|figures| figures.outcomes().failed()),
            in_flight: figures.in_flight(),
        });
        if self.beats.len() > BUCKETS * 30 {
            self.beats.pop_front();
        }
    }

    /// Up to when figures came last: where nothing happens, nothing moves.
    pub(crate) fn pulse(&self) -> RecentActivity {
        let mut pulse = RecentActivity { messages: [0; BUCKETS], in_flight: [0; BUCKETS], failed: [0; BUCKETS] };
        let now = self.beats.back().map_or(0, |beat| beat.second);
        let bucket = |second: u64| {
            let ago = usize::try_from(now.saturating_sub(second) / self.bucket()).unwrap_or(usize::MAX);
            (BUCKETS - 1).checked_sub(ago)
        };
        for beat in &self.beats {
            let Some(at) = bucket(beat.second) else { continue };
            pulse.messages[at] += beat.messages;
            pulse.failed[at] += beat.failed;
        }
        // What is on its way stays so until the next figures come.
        for (beat, next) in self.beats.iter().zip(self.beats.iter().skip(1).chain(self.beats.back())) {
            let Some(last) = bucket(next.second) else { continue };
            let first = bucket(beat.second).unwrap_or(0);
            let until = last.max(first + 1);
            pulse.in_flight[first..until].iter_mut().for_each(|most| *most = beat.in_flight.max(*most));
        }
        pulse
    }

    /// Seconds of one bucket.
    pub(crate) fn bucket(&self) -> u64 {
        WIDTHS[self.zoom]
    }

    /// Returns `false` where the buckets are as wide, or as narrow, as they become.
    pub(crate) fn zoom(&mut self, by: isize) -> bool {
        let zoom = self.zoom.saturating_add_signed(by).min(WIDTHS.len() - 1);
        std::mem::replace(&mut self.zoom, zoom) != zoom
    }

    pub(crate) fn next_group(&mut self) {
        self.group = match self.group {
            MetricsGrouping::Name => MetricsGrouping::Method,
            MetricsGrouping::Method => MetricsGrouping::Session,
            MetricsGrouping::Session => MetricsGrouping::Name,
        };
        self.place = ListCursor { height: self.place.height, ..ListCursor::default() };
        self.arrange();
    }

    pub(crate) fn next_order(&mut self) {
        self.order = match self.order {
            MetricsOrder::Calls => MetricsOrder::P99,
            MetricsOrder::P99 => MetricsOrder::Errors,
            MetricsOrder::Errors => MetricsOrder::Calls,
        };
        self.arrange();
    }

    pub(crate) fn selected(&self) -> Option<&MetricsRow> {
        self.rows.get(self.place.cursor)
    }

    /// Builds the rows again. The cursor stays at the top, or on its row, wherever that goes.
    fn arrange(&mut self) {
        let under = self.selected().filter(|_| self.place.cursor > 0).map(|row| row.what.clone());
        let Some(figures) = &self.figures else { return };
        self.rows = match self.group {
            MetricsGrouping::Name => figures.endpoints.iter().map(MetricsRow::of_name).collect(),
            MetricsGrouping::Method => by_method(&figures.endpoints),
            MetricsGrouping::Session => figures.sessions.iter().map(MetricsRow::of_session).collect(),
        };
        let order = self.order;
        // Stable: what is equal stays in the order of the figures, most called first.
        self.rows.sort_by_key(|row| {
            std::cmp::Reverse(match order {
                MetricsOrder::Calls => row.calls,
                MetricsOrder::P99 => row.took.p99,
                MetricsOrder::Errors => row.failed,
            })
        });
        let found = under.and_then(|what| self.rows.iter().position(|row| row.what == what));
        self.place.cursor = found.unwrap_or(self.place.cursor).min(self.rows.len().saturating_sub(1));
    }
}

fn by_method(endpoints: &[EndpointFigures]) -> Vec<MetricsRow> {
    let mut rows: Vec<MetricsRow> = Vec::new();
    for endpoint in endpoints {
        let what = MetricsSubject::Endpoint(EndpointKey { upstream: None, name: None, ..EndpointKey::of(endpoint) });
        let one = MetricsRow { what, ..MetricsRow::of_name(endpoint) };
        match rows.iter_mut().find(|row| row.what == one.what) {
            Some(row) => {
                row.calls += one.calls;
                row.failed += one.failed;
                row.took.add(&one.took);
            }
            None => rows.push(one),
        }
    }
    rows
}

impl MetricsRow {
    fn of_name(endpoint: &EndpointFigures) -> Self {
        Self {
            what: MetricsSubject::Endpoint(EndpointKey::of(endpoint)),
            calls: endpoint.calls,
            failed: endpoint.outcomes.failed(),
            took: endpoint.took.clone(),
        }
    }

    fn of_session(session: &crate::event::figures::SessionFigures) -> Self {
        Self {
            what: MetricsSubject::Session(session.session),
            calls: session.calls,
            failed: session.failed,
            took: session.took.clone(),
        }
    }
}

impl MetricsSubject {
    /// The filter that shows its messages, where one can.
    pub(crate) fn filter(&self) -> Option<String> {
        let exactly = |text: &str| {
            // As a pattern, and that in quotes.
            let pattern = regex::escape(text).replace("\\-", "-").replace('"', "\\\"");
            format!("\"^{pattern}$\"")
        };
        let Self::Endpoint(EndpointKey { method, name, .. }) = self else { return None };
        match (method.as_deref()?, name) {
            (TOOLS_CALL, Some(name)) => Some(format!("~tool {}", exactly(name))),
            (method, Some(name)) => Some(format!("~m {} & ~name {}", exactly(method), exactly(name))),
            (method, None) => Some(format!("~m {}", exactly(method))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;
    use crate::event::figures::{Flow, Outcomes};

    fn figures(second: u64, messages: u64, taplines: u32) -> Arc<Figures> {
        let to_server = Flow { messages, ..Flow::default() };
        Arc::new(Figures { at: Timestamp(second * 1_000_000), taplines, to_server, ..Figures::default() })
    }

    #[test]
    fn in_flight_stays_until_the_next_figures() {
        let mut screen = MetricsScreen::default();
        for (second, in_flight) in [(10, 0), (12, 2), (15, 1), (16, 0)] {
            let request = EndpointFigures { in_flight, ..endpoint() };
            let figures = Figures { endpoints: vec![request], ..(*figures(second, second, 1)).clone() };
            screen.on_figures(Arc::new(figures));
        }
        assert_eq!(screen.pulse().in_flight[BUCKETS - 7..], [0, 0, 2, 2, 2, 1, 0]);
        screen.zoom(1);
        assert_eq!(screen.pulse().in_flight[BUCKETS - 3..], [0, 0, 2]);
    }

    fn endpoint() -> EndpointFigures {
        EndpointFigures {
            upstream: None,
            direction: Direction::ToServer,
            method: Some("ping".into()),
            name: None,
            calls: 1,
            in_flight: 0,
            unanswered: 0,
            outcomes: Outcomes::default(),
            took: Spread::default(),
            asked: Spread::default(),
            answered: Spread::default(),
            latest: 0,
        }
    }

    #[test]
    fn history_is_what_was_new_each_time() {
        let mut screen = MetricsScreen::default();
        for (second, messages, taplines) in [(100, 50, 1), (101, 60, 1), (104, 64, 1), (105, 900, 2), (106, 901, 2)] {
            screen.on_figures(figures(second, messages, taplines));
        }
        assert_eq!(screen.pulse().messages[BUCKETS - 7..], [0, 10, 0, 0, 4, 0, 1]);
        screen.zoom(1);
        assert_eq!((screen.bucket(), &screen.pulse().messages[BUCKETS - 2..]), (5, [10, 5].as_slice()));
        screen.zoom(-1);
        screen.zoom(-1);
        assert_eq!(screen.bucket(), 1);
    }
}
