//! The figures of the whole core: sessions, holds, pools and the journal, and their regular publication.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::linting::LiveLint;
use super::serving::ServedTapes;
use crate::event::Event;
use crate::event::figures::{LintFigures, PoolFigures};
use crate::intercept::breakpoints::Breakpoints;
use crate::journal::Journal;
use crate::metrics::{FiguresVersion, Gauges, Meter};
use crate::proxy::exchange::Connection;
use crate::proxy::front::routes::{Mount, Mounts};
use crate::rules::RuleBook;
use crate::upstream::target::Target;

/// How often figures are told, where there is anything new.
const EVERY: Duration = Duration::from_secs(1);
/// How often figures that come with no event, such as the children of a pool, are read while nothing else happens.
const QUIET: Duration = Duration::from_secs(10);
/// Sessions that are told of by themselves: those with most calls.
const MOST_SESSIONS: usize = 50;

/// Reads the figures of a core.
pub(super) fn meter(
    mounts: &Arc<Mounts>,
    rules: &RuleBook,
    breakpoints: &Breakpoints,
    lint: Option<LiveLint>,
    served: &ServedTapes,
) -> Arc<Meter> {
    let metrics = mounts.proxy().metrics().clone();
    let (mounts, same, judged) = (mounts.clone(), mounts.clone(), lint.clone());
    let (rules, breakpoints) = (rules.clone(), breakpoints.clone());
    let found = move || judged.as_ref().map(LiveLint::figures).unwrap_or_default();
    let (served, same_served) = (served.clone(), served.clone());
    let judged = move || lint.as_ref().map(LiveLint::changes).unwrap_or_default();
    let changes = move || [changes(&same), judged(), same_served.changes()].concat();
    let gauges = move || Gauges { lint: found(), served: served.list(), ..gauges(&mounts, &rules, &breakpoints) };
    Meter::new(metrics, changes, gauges)
}

/// Changes with the sessions, holds, children and the journal.
fn changes(mounts: &Mounts) -> Vec<u64> {
    let (proxy, load) = (mounts.proxy(), mounts.proxy().journal().load());
    let of_pools = mounts
        .iter()
        .filter_map(pool)
        .flat_map(|pool| [pool.idle, pool.busy, pool.waiting, pool.started, pool.died, pool.acquired, pool.waited]);
    let others = [proxy.journal().session_changes(), proxy.gate().held().len() as u64, load.waiting, load.refused];
    let changes: Vec<_> = others.into_iter().chain(of_pools).collect();
    // Nothing has happened yet.
    if changes.iter().all(|change| *change == 0) { Vec::new() } else { changes }
}

fn gauges(mounts: &Mounts, rules: &RuleBook, breakpoints: &Breakpoints) -> Gauges {
    let live = mounts.live();
    let mut states = BTreeMap::<String, u64>::new();
    for connection in &live {
        *states.entry(connection.session.state_word().to_owned()).or_default() += 1;
    }
    Gauges {
        oldest: live.iter().filter_map(|connection| connection.session.oldest_request()).min(),
        held: mounts.proxy().gate().held().len() as u64,
        states,
        sessions: busiest(live).iter().filter_map(|it| it.session.metrics().figures(it.session.id())).collect(),
        pools: mounts.iter().filter_map(pool).collect(),
        journal: mounts.proxy().journal().load(),
        lint: LintFigures::default(),
        rules: rules.current().status(),
        rule_faults: rules.faults(),
        breakpoints: breakpoints.status(),
        served: Vec::new(),
    }
}

/// The children of an upstream that is a command.
fn pool(mount: &Mount) -> Option<PoolFigures> {
    let Target::Command(pool) = mount.table().target() else { return None };
    let figures = pool.figures();
    Some(PoolFigures {
        name: mount.name().unwrap_or_default().to_owned(),
        idle: figures.spares,
        busy: figures.in_use,
        most: figures.max,
        waiting: figures.waiting,
        started: figures.started,
        died: figures.died,
        acquired: figures.acquired,
        waited: figures.waited,
    })
}

fn busiest(mut live: Vec<Arc<Connection>>) -> Vec<Arc<Connection>> {
    live.sort_by_cached_key(|connection| {
        (std::cmp::Reverse(connection.session.metrics().calls()), connection.session.id())
    });
    live.truncate(MOST_SESSIONS);
    live
}

/// Publishes the figures as they change until `stop`, and then once more. Sleeps while nothing happens: an idle tapline does not wake up.
pub(super) async fn publish(meter: Arc<Meter>, journal: Journal, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = FiguresVersion::default();
    loop {
        let stopped = tokio::select! {
            _ = ticks.tick() => false,
            () = stop.cancelled() => true,
        };
        let news = meter.news(&mut last);
        let is_quiet = news.is_none();
        if let Some(figures) = news {
            journal.publish(Event::Figures(Arc::new(figures)));
        }
        if stopped {
            return;
        }
        if is_quiet {
            tokio::select! {
                () = journal.stirred() => {}
                () = stop.cancelled() => {}
                () = tokio::time::sleep(QUIET) => {}
            }
        }
    }
}
