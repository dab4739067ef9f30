//! Peers that do not listen, do not stop, do not leave.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rustix::termios::{Action, tcflow};
use serde_json::json;

use crate::http::{Legacy, PATIENCE, call};
use crate::tapline::{Home, Owned, Setup, Tapline, ended, gone, server, signal, until};
use crate::{Length, Outcome};

const MIB: u64 = 1 << 20;

fn open(tapline: &Tapline) -> Result<Legacy, String> {
    Legacy::open(tapline.address).map_err(|error| error.to_string())
}

fn echo(client: &mut Legacy) -> Result<Duration, String> {
    let began = Instant::now();
    let told = client.call("echo", &json!({"text": "a"})).map_err(|error| error.to_string())?;
    if told["result"].is_object() { Ok(began.elapsed()) } else { Err(told.to_string()) }
}

/// A server that takes nothing, and clients that give up.
pub(crate) fn deaf_server(length: Length) -> Result<Outcome, String> {
    let home = Home::new();
    let tapline = Setup::new(&home).start();
    let (mut deaf, mut other) = (open(&tapline)?, open(&tapline)?);
    deaf.send(&call(1, "deaf", &json!({}))).map_err(|error| error.to_string())?;
    echo(&mut other)?;
    let before = tapline.resident();
    let body = call(2, "echo", &json!({"text": "x".repeat(1 << 20)}));
    let count = length.of(20, 200);
    for _ in 0..count {
        // They leave without an answer.
        let mut client = deaf.beside().map_err(|error| error.to_string())?;
        client.send(&body).map_err(|error| error.to_string())?;
    }
    let slowest = (0..20).map(|_| echo(&mut other)).collect::<Result<Vec<_>, _>>()?.into_iter().max().unwrap();
    let grown = tapline.resident().saturating_sub(before) / MIB;
    let (_, took) = tapline.terminate()?;
    Ok(Outcome::new(
        format!("the other session, slowest in {slowest:.0?}; its end, in {took:.1?}"),
        format!("{count} calls of 1 MiB to a server that reads none; {grown} MiB more in memory"),
    ))
}

/// A server that writes without end: lines on stderr, and then a line on stdout that never ends.
pub(crate) fn flooding_server(length: Length) -> Result<Outcome, String> {
    let home = Home::new();
    let tapline = Setup { arguments: &["--max-message", "8"], ..Setup::new(&home) }.start();
    let mut other = open(&tapline)?;
    echo(&mut other)?;
    let before = tapline.resident();
    let (mut slowest, mut told) = (Duration::ZERO, String::new());
    let size = length.of(32, 400);
    for tool in ["flood_stderr", "flood_line"] {
        let mut flooding = open(&tapline)?;
        flooding.send(&call(1, tool, &json!({"mib": size}))).map_err(|error| error.to_string())?;
        let until = Instant::now() + Duration::from_secs(length.of(1, 10));
        while Instant::now() < until {
            slowest = slowest.max(echo(&mut other)?);
        }
        // All of the flood is relayed first, at the pace of the machine.
        told =
            flooding.answer_within(length.of(PATIENCE, 10 * PATIENCE)).map_err(|error| error.to_string())?.to_string();
    }
    if !told.contains("--max-message") {
        return Err(format!("a line without end got {told}"));
    }
    let grown = tapline.resident().saturating_sub(before) / MIB;
    let (_, took) = tapline.terminate()?;
    if grown > 100 {
        return Err(format!("{grown} MiB more in memory"));
    }
    Ok(Outcome::new(
        format!("the other session, slowest in {slowest:.0?}; its end, in {took:.1?}"),
        format!("the session whose server sends a line beyond `--max-message`; {grown} MiB more in memory"),
    ))
}

/// A server that ignores the end of its input and SIGTERM.
pub(crate) fn lingering_server(_: Length) -> Result<Outcome, String> {
    let home = Home::new();
    let inner = server().join(" ");
    let script = format!("trap '' TERM; {inner}; while :; do sleep 1000; done");
    let words = ["sh", "-c", &script].map(str::to_owned).to_vec();
    let tapline = Setup { server: words, arguments: &["--grace", "1s"], ..Setup::new(&home) }.start();
    let mut client = open(&tapline)?;
    echo(&mut client)?;
    let first = tapline.servers();
    let began = Instant::now();
    client.delete().map_err(|error| error.to_string())?;
    gone(&first)?;
    let deleted = began.elapsed();
    let mut client = open(&tapline)?;
    echo(&mut client)?;
    let second = tapline.servers();
    let (_, took) = tapline.terminate()?;
    gone(&second)?;
    if first.is_empty() || second.is_empty() {
        return Err("there was no server".to_owned());
    }
    Ok(Outcome::new(
        format!("all its processes are gone {deleted:.1?} after DELETE, and at tapline's end, in {took:.1?}"),
        "nothing",
    ))
}

/// Nobody reads the lines on stderr.
pub(crate) fn unread_lines(length: Length) -> Result<Outcome, String> {
    let home = Home::new();
    let tapline = Setup { read: false, ..Setup::new(&home) }.start();
    let mut client = open(&tapline)?;
    let count = length.of(1_500, 20_000);
    let slowest = (0..count).map(|_| echo(&mut client)).collect::<Result<Vec<_>, _>>()?.into_iter().max().unwrap();
    let (status, took) = tapline.terminate()?;
    if status.code() != Some(143) {
        return Err(format!("it ended with {status}"));
    }
    Ok(Outcome::new(
        format!("{count} calls, slowest in {slowest:.0?}; its end, in {took:.1?}"),
        "lines that nobody read",
    ))
}

/// `tapline stdio` whose client reads neither stdout nor stderr, in front of a server that writes to both.
pub(crate) fn unread_stdio(_: Length) -> Result<Outcome, String> {
    let home = Home::new();
    let mut tooks = Vec::new();
    for end in ["TERM", "end of stdin"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapline"));
        command.args(["stdio", "--grace", "1s", "--"]).args(server()).envs(home.variables());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Owned(command.spawn().unwrap());
        let mut input = child.0.stdin.take().unwrap();
        for (id, tool) in [(1, "flood_stderr"), (2, "flood")] {
            writeln!(input, "{}", call(id, tool, &json!({"mib": 1}))).map_err(|error| error.to_string())?;
        }
        // Its server is there, and at it.
        let process = child.0.id();
        let servers = until("its server", || Some(crate::process::below(process)).filter(|all| all.len() > 1))?;
        std::thread::sleep(Duration::from_millis(200));
        if end == "TERM" {
            signal(end, process);
        } else {
            drop(input);
        }
        let (_, took) = ended(&mut child).map_err(|error| format!("{end}: {error}"))?;
        gone(&servers)?;
        tooks.push(took);
    }
    Ok(Outcome::new(
        format!("its end by SIGTERM, in {:.1?}, and of stdin, in {:.1?}", tooks[0], tooks[1]),
        "what nobody read",
    ))
}

/// What an end may take where `--grace 1s` is given, and twice that, as a machine may be busy.
const IN_TIME: Duration = Duration::from_secs(4);

/// A terminal that was stopped with ctrl s.
pub(crate) fn stopped_terminal(_: Length) -> Result<Outcome, String> {
    deaf_terminal(|terminal, _| tcflow(terminal, Action::OOff).map_err(|error| error.to_string()))
}

/// A terminal whose other end nobody reads.
pub(crate) fn unread_terminal(_: Length) -> Result<Outcome, String> {
    deaf_terminal(|_, reading| {
        reading.store(false, Ordering::Relaxed);
        Ok(())
    })
}

/// A screen on a terminal that takes nothing any more. `deafen` makes it so; where `reading` is false nobody reads.
fn deaf_terminal(deafen: impl Fn(&std::fs::File, &AtomicBool) -> Result<(), String>) -> Result<Outcome, String> {
    let home = Home::new();
    let size = PtySize { rows: 36, cols: 120, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).map_err(|error| error.to_string())?;
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tapline"));
    command.args(["run", "--listen", "127.0.0.1:0", "--grace", "1s", "--"]);
    command.args(server());
    command.env("TERM", "xterm-256color");
    home.variables().for_each(|(key, value)| command.env(key, value));
    let mut child = pair.slave.spawn_command(command).map_err(|error| error.to_string())?;
    drop(pair.slave);
    let reading = Arc::new(AtomicBool::new(true));
    let address = address_on(pair.master.try_clone_reader().map_err(|error| error.to_string())?, reading.clone())?;
    let mut client = Legacy::open(address).map_err(|error| error.to_string())?;
    echo(&mut client)?;
    let terminal = std::fs::File::open(pair.master.tty_name().unwrap()).map_err(|error| error.to_string())?;
    deafen(&terminal, &reading)?;
    let slowest = (0..300).map(|_| echo(&mut client)).collect::<Result<Vec<_>, _>>()?.into_iter().max().unwrap();
    let began = Instant::now();
    signal("TERM", child.process_id().unwrap());
    let status = until("its end", || child.try_wait().unwrap())?;
    let took = began.elapsed();
    if status.exit_code() != 143 || took > IN_TIME {
        return Err(format!("it ended with {status}, in {took:.1?}"));
    }
    Ok(Outcome::new(
        format!("300 calls, slowest in {slowest:.0?}; its end, in {took:.1?}"),
        "the screen, which nobody could see",
    ))
}

/// The address that a screen shows.
fn address_on(
    mut output: Box<dyn std::io::Read + Send>,
    reading: Arc<AtomicBool>,
) -> Result<std::net::SocketAddr, String> {
    let (found, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut said, mut buffer) = (String::new(), [0; 4096]);
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            while !reading.load(Ordering::Relaxed) {
                // The terminal stays open.
                std::thread::park();
            }
            said.push_str(&String::from_utf8_lossy(&buffer[..count]));
            if let Some((_, rest)) = said.split_once("127.0.0.1:")
                && let Some((port, _)) = rest.split_once('/')
                && let Ok(port) = port.parse::<u16>()
            {
                // Nobody may wait for it any more.
                let _ = found.send(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
            }
        }
    });
    address.recv_timeout(PATIENCE).map_err(|_| "it shows no address".to_owned())
}
