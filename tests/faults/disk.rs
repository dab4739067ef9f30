//! Disks that take no more, descriptors that there are no more of, tapes that somebody removes.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tapline::tape::Tape;

use crate::http::{Connection, Legacy};
use crate::tapline::{Home, Setup, Tapline, until};
use crate::{Length, Outcome};

/// Calls that carry so much each.
fn calls(client: &mut Legacy, count: usize, size: usize) -> Result<(), String> {
    for nth in 0..count {
        let told =
            client.call("echo", &json!({"text": "x".repeat(size)})).map_err(|error| format!("call {nth}: {error}"))?;
        if !told["result"].is_object() {
            return Err(format!("call {nth}: {told}"));
        }
    }
    Ok(())
}

fn open(tapline: &Tapline) -> Result<Legacy, String> {
    Legacy::open(tapline.address).map_err(|error| error.to_string())
}

/// A disk of 1 MB that fills, and has room again.
pub(crate) fn full(_: Length) -> Result<Outcome, String> {
    let home = Home::new();
    std::fs::create_dir_all(home.tapes()).unwrap();
    let mount = format!("mount -t tmpfs -o size=1m none '{}'", home.tapes().display());
    let may = std::process::Command::new("unshare").args(["-rm", "sh", "-c", &mount]).output();
    if !may.is_ok_and(|tried| tried.status.success()) {
        return Ok(Outcome::untried("no disk may be mounted here"));
    }
    let inner = format!("exec unshare -rm sh -c \"{mount} && exec \\\"\\$@\\\"\" sh \"$@\"");
    let tapline = Setup { around: Some(&inner), ..Setup::new(&home) }.start();
    let mut client = open(&tapline)?;
    // Its disk, from here.
    let tapes = std::path::PathBuf::from(format!("/proc/{}/root{}", tapline.process(), home.tapes().display()));
    let filler = tapes.join("filler");
    std::fs::write(&filler, vec![0; 700 << 10]).map_err(|error| error.to_string())?;
    calls(&mut client, 60, 10_000)?;
    if !tapline.lines.has("No space left") {
        return Err("nothing was told".to_owned());
    }
    std::fs::remove_file(&filler).map_err(|error| error.to_string())?;
    let file = std::fs::read_dir(&tapes).unwrap().next().unwrap().unwrap().path();
    let before = Tape::read(&file).map_err(|error| error.to_string())?.envelopes.len();
    until("a tape that goes on", || {
        client.call("echo", &json!({"text": "again"})).ok()?;
        (Tape::read(&file).ok()?.envelopes.len() > before).then_some(())
    })?;
    let tape = Tape::read(&file).map_err(|error| error.to_string())?;
    let missing: u64 = tape.gaps.iter().map(|gap| gap.messages).sum();
    tapline.terminate()?;
    Ok(Outcome::new(
        "all calls; the tape goes on once there is room",
        format!("{missing} messages on the tape, which says so"),
    ))
}

/// A limit on the size of files, which a signal enforces.
pub(crate) fn file_size(_: Length) -> Result<Outcome, String> {
    let home = Home::new();
    let tapline = Setup { around: Some("ulimit -f 100; exec \"$@\""), ..Setup::new(&home) }.start();
    let mut client = open(&tapline)?;
    calls(&mut client, 40, 10_000)?;
    if !tapline.lines.has("File too large") {
        return Err("nothing was told".to_owned());
    }
    let (status, took) = tapline.terminate()?;
    if status.code() != Some(143) {
        return Err(format!("it ended with {status}"));
    }
    Ok(Outcome::new(format!("all calls; its end, in {took:.1?}"), "what is beyond the limit, which is told"))
}

/// More clients than there are descriptors.
pub(crate) fn descriptors(_: Length) -> Result<Outcome, String> {
    let home = Home::new();
    let tapline = Setup { around: Some("ulimit -n 64; exec \"$@\""), ..Setup::new(&home) }.start();
    let mut client = open(&tapline)?;
    let idle: Vec<_> = (0..100).map_while(|_| Connection::open(tapline.address).ok()).collect();
    calls(&mut client, 20, 100)?;
    drop(idle);
    let mut another = until("another session", || open(&tapline).ok())?;
    calls(&mut another, 20, 100)?;
    let (_, took) = tapline.terminate()?;
    Ok(Outcome::new(
        format!("the session that was there; new ones once there is room; its end, in {took:.1?}"),
        "who came meanwhile",
    ))
}

/// Somebody removes a tape while it is written.
pub(crate) fn removed_tape(_: Length) -> Result<Outcome, String> {
    meddled_with(|tape| std::fs::remove_file(tape), "was removed or moved away: a new one begins")
}

/// Somebody moves a tape away while it is written.
pub(crate) fn moved_tape(_: Length) -> Result<Outcome, String> {
    let aside = |tape: &Path| std::fs::rename(tape, tape.with_extension("aside"));
    meddled_with(aside, "was removed or moved away: a new one begins")
}

/// Somebody cuts a tape in the middle of a line while it is written.
pub(crate) fn cut_tape(_: Length) -> Result<Outcome, String> {
    let cut = |tape: &Path| {
        let file = std::fs::OpenOptions::new().write(true).open(tape)?;
        file.set_len(file.metadata()?.len() / 2)
    };
    meddled_with(cut, "was cut short: it goes on behind what is left")
}

/// Somebody does something to a tape while it is written: every message is on it then, or counted as missing.
fn meddled_with(meddle: impl Fn(&Path) -> io::Result<()>, told: &str) -> Result<Outcome, String> {
    let home = Home::new();
    let tapline = Setup::new(&home).start();
    let mut client = open(&tapline)?;
    calls(&mut client, 10, 100)?;
    let tape = until("a tape", || std::fs::read_dir(home.tapes()).ok()?.next()?.ok())?.path();
    until("all that was said", || (Tape::read(&tape).ok()?.envelopes.len() >= 20).then_some(()))?;
    meddle(&tape).map_err(|error| error.to_string())?;
    let mut called = 0;
    until("a word of it", || {
        client.call("echo", &json!({"text": "again"})).ok()?;
        called += 1;
        std::thread::sleep(Duration::from_millis(20));
        tapline.lines.all().iter().any(|line| line.contains(told)).then_some(())
    })?;
    client.delete().map_err(|error| error.to_string())?;
    tapline.terminate()?;
    let tape = Tape::read(&tape).map_err(|error| error.to_string())?;
    let missing: u64 = tape.gaps.iter().map(|gap| gap.messages).sum();
    // `initialize`, its answer, and what follows it, too.
    let said = 3 + 2 * (10 + called);
    if tape.envelopes.len() as u64 + missing != said || !tape.problems.is_empty() || tape.torn {
        let (there, problems) = (tape.envelopes.len(), tape.problems.len());
        return Err(format!(
            "of {said} messages {there} are there and {missing} said to be missing; {problems} problems"
        ));
    }
    Ok(Outcome::new(
        format!("a tape of the same name, with {} messages; the screen says what happened", tape.envelopes.len()),
        format!("{missing} messages on it, which says so"),
    ))
}
