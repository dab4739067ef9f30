//! The metrics screen.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rig::{Rig, START, World, busy_with, session_id};
use crate::envelope::Direction;
use crate::event::figures::{EndpointFigures, Figures, Flow, Outcomes, PoolFigures, SessionFigures, Spread};
use crate::event::{Event, Timestamp};
use crate::filter::Filter;
use crate::ui::Settings;
use crate::ui::model::ScreenKind;
use crate::ui::model::metrics_screen::{EndpointKey, MetricsSubject};
use crate::ui::theme::{Role, Theme};

pub(super) fn spread(values: &[(u64, u64)]) -> Spread {
    let sum = values.iter().map(|(value, count)| value * count).sum();
    Spread::of(values.iter().copied(), sum, values.last().map_or(0, |(value, _)| *value))
}

pub(super) fn endpoint(method: &str, name: Option<&str>, took: &[(u64, u64)], failed: u64) -> EndpointFigures {
    let took = spread(took);
    EndpointFigures {
        upstream: None,
        direction: Direction::ToServer,
        method: Some(method.into()),
        name: name.map(Into::into),
        calls: took.count + u64::from(name == Some("search")),
        in_flight: u64::from(name == Some("search")),
        unanswered: 0,
        outcomes: Outcomes { ok: took.count - failed, error: failed, ..Outcomes::default() },
        asked: spread(&[(200, took.count)]),
        answered: spread(&[(4_100, took.count)]),
        latest: 4_100,
        took,
    }
}

/// After so many seconds in which more and more passed.
fn figures(second: u64) -> Figures {
    let messages = second * second;
    let mut sampling = endpoint("sampling/createMessage", None, &[(2_300_000, 4)], 0);
    sampling.direction = Direction::ToClient;
    Figures {
        at: START.plus_micros(second * 1_000_000),
        taplines: 1,
        to_server: Flow { messages, notifications: 3, bytes: messages * 210 },
        to_client: Flow { messages, notifications: 9, bytes: messages * 3_900 },
        endpoints: vec![
            endpoint("tools/call", Some("read_file"), &[(90_000, 100), (112_000, 90), (290_000, 18), (522_000, 2)], 0),
            endpoint("tools/call", Some("search"), &[(350_000, 180), (395_000, 7), (880_000, 1)], second / 10),
            endpoint("tools/call", Some("git_log\u{1b}[31m"), &[(900_000, 20), (1_102_000, 11)], 3),
            endpoint("tools/list", None, &[(1_500, 3)], 0),
            sampling,
        ],
        added: spread(&[(42_000, 1_000), (61_000, 180), (310_000, 24)]),
        oldest: Some(START.plus_micros(14_000_000)),
        states: BTreeMap::from([("active".to_owned(), 2), ("new".to_owned(), 1)]),
        sessions: vec![SessionFigures {
            session: session_id(1),
            calls: 410,
            failed: 6,
            took: spread(&[(112_000, 400), (900_000, 10)]),
        }],
        pools: vec![PoolFigures { name: "files-srv".to_owned(), idle: 1, busy: 2, most: 4, ..PoolFigures::default() }],
        refused: BTreeMap::from([("limit".to_owned(), 2)]),
        ..Figures::default()
    }
}

/// Twenty seconds of figures.
pub(super) fn measure(rig: &mut Rig) {
    for second in 0..20 {
        rig.on_event(Event::Figures(Arc::new(figures(second))));
    }
}

fn measured(width: u16, height: u16, settings: &Settings) -> Rig {
    let mut rig = busy_with(width, height, settings);
    measure(&mut rig);
    rig.press("5");
    rig
}

#[test]
fn metrics_screen_says_when_nothing_is_counted_yet() {
    let mut rig = Rig::new(80, 24);
    rig.press("5");
    assert!(rig.picture().contains("nothing is counted yet"));
}

#[test]
fn rows_are_grouped_and_sorted_as_asked() {
    let mut rig = measured(120, 36, &Settings::default());
    let shown = |rig: &Rig| rig.model.metrics.rows.iter().map(|row| (row.calls, row.failed)).collect::<Vec<_>>();
    assert_eq!(shown(&rig), [(210, 0), (189, 1), (31, 3), (4, 0), (3, 0)]);
    rig.press("s");
    assert_eq!(shown(&rig)[0], (4, 0), "the slowest first");
    rig.press("s");
    assert_eq!(shown(&rig)[0], (31, 3), "the most errors first");
    rig.press("s o");
    assert_eq!(shown(&rig), [(430, 4), (4, 0), (3, 0)], "by method");
    rig.press("o");
    assert_eq!(shown(&rig), [(410, 6)], "by session");
    assert!(rig.picture().contains("files-srv"));
    let none_open = Figures { sessions: Vec::new(), ..figures(23) };
    rig.on_event(Event::Figures(Arc::new(none_open)));
    assert!(rig.picture().contains("figures of a session end with it"), "{}", rig.picture());
}

#[test]
fn metrics_row_is_red_with_one_error_and_says_no_reply() {
    let mut rig = busy_with(120, 36, &Settings::default());
    let mut figures = figures(20);
    let silent = EndpointFigures { calls: 6, unanswered: 6, ..endpoint("tools/call", Some("tail_log"), &[], 0) };
    figures.endpoints = vec![endpoint("tools/call", Some("book"), &[(90_000, 13)], 1), silent];
    rig.on_event(Event::Figures(Arc::new(figures)));
    rig.press("5");
    let picture = rig.picture();
    let row = |name: &str| picture.lines().position(|line| line.contains(name)).unwrap();
    let (book, tail) = (row("│>book"), row("│ tail_log"));
    assert!(picture.lines().nth(tail).unwrap().contains("no reply"), "{picture}");
    let failed = Theme::of(&Settings::default()).style(Role::Bad).fg.unwrap();
    let reds = |rig: &mut Rig, row: usize| {
        let buffer = rig.buffer();
        (0..120).filter(|column| buffer[(*column, u16::try_from(row).unwrap())].fg == failed).count()
    };
    assert!(reds(&mut rig, book) > 0 && reds(&mut rig, tail) == 0, "{picture}");
}

#[test]
fn enter_shows_the_messages_of_a_row() {
    let mut rig = measured(120, 36, &Settings::default());
    rig.press("j enter");
    rig.finish_scan();
    assert_eq!(rig.model.screen, ScreenKind::Messages);
    let filter = rig.model.list().filter.as_ref().map(|(text, _)| text.clone());
    assert_eq!(filter.as_deref(), Some(r#"~tool "^search$""#));
    let (rows, list) = rig.model.messages();
    assert_eq!(list.len(rows), 2);
    rig.press("T 5 o o enter");
    assert_eq!(rig.model.list().only, Some(session_id(1)));
}

#[test]
fn filter_of_a_name_is_for_that_name_alone() {
    let mut world = World::new();
    let mut call = |name: &str| {
        let call = serde_json::json!({"id": 1, "method": "tools/call", "params": {"name": name}});
        world.message(1, Direction::ToServer, &call.to_string())
    };
    for name in ["search", "a.b", "say \"hi\" | all", "back\\slash\"", "日本 (x)", "it's", "line\nbreak"] {
        let of = EndpointKey::of(&endpoint("tools/call", Some(name), &[(1, 1)], 0));
        let text = MetricsSubject::Endpoint(of).filter().unwrap();
        let filter = Filter::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(filter.matches(&call(name)), "{text}");
        assert!(!filter.matches(&call(&format!("{name}s"))) && !filter.matches(&call(&format!("x{name}"))), "{text}");
    }
}

#[test]
fn figures_are_drawn_where_they_are_seen() {
    let mut rig = measured(120, 36, &Settings::default());
    rig.press("1");
    rig.model.take_dirty();
    rig.on_event(Event::Figures(Arc::new(figures(21))));
    assert!(!rig.model.take_dirty(), "nothing of it is on this screen");
    rig.press("5");
    rig.model.take_dirty();
    rig.on_event(Event::Figures(Arc::new(figures(22))));
    assert!(rig.model.take_dirty());
    let now = rig.model.now;
    assert!(rig.model.next_tick().is_some(), "the oldest request grows older");
    rig.on_event(Event::Figures(Arc::new(Figures { oldest: None, ..figures(23) })));
    rig.model.notice = None;
    rig.model.tick(Timestamp(now.0 + 60_000_000));
    rig.model.take_dirty();
    rig.model.observed.held.clear();
    assert_eq!(rig.model.next_tick(), None, "it sleeps until something comes");
}
