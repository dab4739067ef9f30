//! A child for a client: from the pool with a warm spare, and started when it is asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tapline::children::guardian::Guardian;
use tapline::upstream::pool::{Pool, Settings};
use tapline::upstream::stdio::CommandLine;
use tokio_util::sync::CancellationToken;

use crate::measure::micros;
use crate::table::{HEADLESS, Row, Target, only};

const CHILDREN: usize = 100;
/// Between two looks whether the next spare is there.
const LOOK: Duration = Duration::from_millis(1);

pub(crate) fn acquire() -> Row {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (warm, cold) = runtime.block_on(async { (times(1).await, times(0).await) });
    let mut figures = only(HEADLESS, p95(warm));
    // Without a spare it is started first.
    figures[0] = p95(cold);
    Row::plain("a child for a client, p95: warm", "us", figures, Target::AtMost(1000.0))
}

/// How long each client waits for its child, in microseconds.
async fn times(spares: usize) -> Vec<f64> {
    let command = CommandLine::new(&["cat".to_owned()]).unwrap();
    let guardian = Guardian::new(PathBuf::from(env!("CARGO_BIN_EXE_tapline")));
    let pool = Pool::new(command, guardian, Settings { spares, ..Settings::default() });
    let stop = CancellationToken::new();
    let (keeper, until) = (Arc::clone(&pool), stop.clone());
    tokio::spawn(async move { keeper.keep_warm(until, |trouble| panic!("{trouble}")).await });
    let mut times = Vec::with_capacity(CHILDREN);
    for _ in 0..CHILDREN {
        while pool.figures().spares < spares as u64 {
            tokio::time::sleep(LOOK).await;
        }
        let asked = Instant::now();
        let child = pool.acquire().await.unwrap();
        times.push(micros(asked.elapsed()));
        drop(child.outputs);
        child.pipe.close().await;
    }
    stop.cancel();
    pool.close().await;
    times
}

fn p95(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() * 95 / 100]
}
