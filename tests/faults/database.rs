//! A database that another program has, or that somebody has written into.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::{Duration, Instant};

use rusqlite::Connection as Database;
use serde_json::json;

use crate::http::Legacy;
use crate::tapline::{Home, Setup};
use crate::{Length, Outcome};

/// What a client waits for at most, the call itself included: the database is asked for half a second, the rest is for a machine
/// that is busy. What was waited for stands in the row.
const FRACTION: Duration = Duration::from_secs(2);

/// How long something took, and what came of it.
fn timed<T>(what: &str, act: impl FnOnce() -> std::io::Result<T>) -> Result<(T, Duration), String> {
    let began = Instant::now();
    let done = act().map_err(|error| format!("{what}: {error}"))?;
    let took = began.elapsed();
    if took > FRACTION { Err(format!("{what} took {took:?}")) } else { Ok((done, took)) }
}

/// A session that is kept, of a tapline that has ended.
fn with_a_session(home: &Home) -> Result<(std::net::SocketAddr, Legacy), String> {
    let tapline = Setup::new(home).start();
    let mut client = Legacy::open(tapline.address).map_err(|error| error.to_string())?;
    client.call("echo", &json!({"text": "a"})).map_err(|error| error.to_string())?;
    let address = tapline.address;
    tapline.terminate()?;
    Ok((address, client))
}

/// All a client does, and the longest that it waited.
fn serve(home: &Home, address: std::net::SocketAddr, returning: &mut Legacy) -> Result<(Duration, Duration), String> {
    let tapline = Setup { listen: Some(address), ..Setup::new(home) }.start();
    let (mut client, mut longest) = timed("`initialize`", || Legacy::open(address))?;
    for _ in 0..20 {
        longest = longest.max(timed("a call", || client.call("echo", &json!({})))?.1);
    }
    // Whether it goes on depends on what can be read; how long it waits does not.
    longest = longest.max(
        timed("a session that returns", || {
            returning.reconnect()?;
            returning.post(r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#)
        })?
        .1,
    );
    longest = longest.max(timed("DELETE", || client.delete())?.1);
    let (status, took) = tapline.terminate()?;
    if status.code() != Some(143) || took > Duration::from_secs(5) {
        return Err(format!("it ended with {status} after {took:?}"));
    }
    Ok((longest, took))
}

pub(crate) fn locked(_: Length) -> Result<Outcome, String> {
    let home = Home::new();
    let (address, mut client) = with_a_session(&home)?;
    let other = Database::open(home.database()).map_err(|error| error.to_string())?;
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").map_err(|error| error.to_string())?;
    let (longest, end) = serve(&home, address, &mut client)?;
    Ok(Outcome::new(
        format!("all calls, none of which waited longer than {longest:.0?}; its end, in {end:.1?}"),
        "sessions do not go on while it is locked",
    ))
}

pub(crate) fn damaged(_: Length) -> Result<Outcome, String> {
    let mut worst = Duration::ZERO;
    for damage in 0..4 {
        let home = Home::new();
        let (address, mut client) = with_a_session(&home)?;
        let path = home.database();
        let length = std::fs::metadata(&path).map_err(|error| error.to_string())?.len();
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).map_err(|error| error.to_string())?;
        let damaged = match damage {
            0 => file.write_all(&[0xA5; 100]),
            1 => file.seek(SeekFrom::Start(length / 2)).and_then(|_| file.write_all(&[0xA5; 5000])),
            2 => file.set_len(length / 3),
            _ => std::fs::remove_file(&path).and_then(|()| std::fs::create_dir(&path)),
        };
        damaged.map_err(|error| error.to_string())?;
        worst = worst.max(serve(&home, address, &mut client)?.0);
    }
    Ok(Outcome::new(
        format!("garbage in it, a third of it, a folder in its place: all calls, the slowest in {worst:.0?}"),
        "sessions that were in it",
    ))
}
