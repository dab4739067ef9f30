//! Kills, of tapline and of its guardian.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::json;
use tapline::envelope::Direction;
use tapline::tape::Tape;

use crate::http::Legacy;
use crate::tapline::{Home, Setup, Tapline, gone, signal, until};
use crate::{Length, Outcome};

/// A reply that its client had for so long before the kill is on the tape. A busy machine makes it longer.
const DURABLE: Duration = Duration::from_secs(1);

/// Replies that clients had, and when.
type Acknowledged = Mutex<Vec<(String, Instant)>>;

/// Kills it under load, in the midst of anything, and starts it again on the same address.
pub(crate) fn under_load(length: Length) -> Result<Outcome, String> {
    let (mut replies, mut lost, mut oldest) = (0, 0, Duration::ZERO);
    let rounds = length.of(3, 60);
    for round in 0..rounds {
        let home = Home::new();
        let tapline = Setup::new(&home).start();
        let (address, acknowledged, stop) = (tapline.address, Acknowledged::default(), AtomicBool::new(false));
        let mut kept = Legacy::open(address).map_err(|error| error.to_string())?;
        kept.call("echo", &json!({"text": "before"})).map_err(|error| error.to_string())?;
        // Making a database waits for the disk, and nobody waits for the database: from here on the session is kept.
        until("a session on disk", || is_saved(&home))?;
        let servers = std::thread::scope(|scope| {
            for caller in 0..4 {
                scope.spawn({
                    let (acknowledged, stop) = (&acknowledged, &stop);
                    move || call_until(stop, acknowledged, address, caller)
                });
            }
            std::thread::sleep(Duration::from_millis(150 + 37 * (round % 11)));
            let servers = tapline.servers();
            tapline.kill();
            stop.store(true, Relaxed);
            servers
        });
        let killed = Instant::now();
        gone(&servers)?;
        let recorded = recorded(&home);
        for (text, at) in acknowledged.into_inner().unwrap() {
            replies += 1;
            if !recorded.contains(&text) {
                lost += 1;
                oldest = oldest.max(killed.duration_since(at));
            }
        }
        let again = Setup { listen: Some(address), ..Setup::new(&home) }.start();
        let told = kept.reconnect().and_then(|()| kept.call("echo", &json!({"text": "after"})));
        let told = told.map_err(|error| format!("the session did not go on: {error}"))?;
        if !told.to_string().contains("after") {
            return Err(format!("the session did not go on: {told}; it told {:?}", again.lines.all()));
        }
        again.terminate()?;
    }
    if oldest > DURABLE {
        return Err(format!("a reply was lost {oldest:?} after its client had it"));
    }
    let lost = format!("{lost} of {replies} acknowledged replies, the oldest of the last {oldest:.1?}");
    Ok(Outcome::new(format!("{rounds} kills: sessions go on, no child is left"), lost))
}

fn is_saved(home: &Home) -> Option<()> {
    let database =
        rusqlite::Connection::open_with_flags(home.database(), rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
    let saved: i64 =
        database.query_row("SELECT count(*) FROM sessions WHERE handshake IS NOT NULL", [], |row| row.get(0)).ok()?;
    (saved > 0).then_some(())
}

fn call_until(stop: &AtomicBool, acknowledged: &Acknowledged, address: std::net::SocketAddr, caller: usize) {
    let Ok(mut client) = Legacy::open(address) else { return };
    let mut nth = 0;
    while !stop.load(Relaxed) {
        let text = format!("ack-{caller}-{nth}-");
        let Ok(told) = client.call("echo", &json!({"text": text})) else { return };
        if told["result"].is_object() {
            acknowledged.lock().unwrap().push((text, Instant::now()));
        }
        nth += 1;
    }
}

/// The text of all replies on tapes, each of which can be read.
fn recorded(home: &Home) -> std::collections::HashSet<String> {
    let mut texts = std::collections::HashSet::new();
    for file in std::fs::read_dir(home.tapes()).unwrap() {
        let tape = Tape::read(&file.unwrap().path()).unwrap();
        for envelope in tape.envelopes.iter().filter(|it| it.direction == Direction::ToClient) {
            let body = String::from_utf8_lossy(envelope.message.raw()).into_owned();
            if let Some((_, rest)) = body.split_once("ack-")
                && let Some((text, _)) = rest.split_once("-\\\"")
            {
                texts.insert(format!("ack-{text}-"));
            }
        }
    }
    texts
}

/// Kills the guardian first: tapline starts another, and when tapline is killed too, nothing is left.
pub(crate) fn guardian_first(_: Length) -> Result<Outcome, String> {
    let home = Home::new();
    let tapline = Setup::new(&home).start();
    let client = Legacy::open(tapline.address).map_err(|error| error.to_string())?;
    let first = until("a guardian", || tapline.guardian())?;
    signal("KILL", first);
    let second = until("another guardian", || tapline.guardian().filter(|pid| *pid != first))?;
    let mut all = tapline.servers();
    if all.is_empty() {
        return Err("there is no server to be left behind".to_owned());
    }
    all.push(second);
    tapline.kill();
    gone(&all)?;
    drop(client);
    Ok(Outcome::new("a new guardian at once; after the kill of both, no child and no guardian is left", "the process"))
}

/// Many launched servers at once, killed between any two steps of their start.
pub(crate) fn while_starting(length: Length) -> Result<Outcome, String> {
    let rounds = length.of(4, 60);
    for round in 0..rounds {
        let home = Home::new();
        let tapline: Tapline = Setup::new(&home).start();
        let address = tapline.address;
        let opening = std::thread::spawn(move || Legacy::open(address).map(drop));
        std::thread::sleep(Duration::from_millis(round % 8));
        let mut all = tapline.servers();
        all.extend(tapline.guardian());
        tapline.kill();
        gone(&all)?;
        // It was answered, or it was not.
        let _ = opening.join();
    }
    Ok(Outcome::new(format!("{rounds} kills while a server starts: no child and no guardian is left"), "the session"))
}
