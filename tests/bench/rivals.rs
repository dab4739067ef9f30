//! The programs that tapline is compared with where they are installed: mcp-recorder, whose mock answers over HTTP, and mcp-vcr, which
//! has none and plays a transcript to a server. Each stands where the floor does: what is told is how many times better tapline is.
//!
//! mcp-recorder hands out each recorded reply once, so that the recordings of both have as many as are asked for.

use std::io::{BufWriter, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{Client, ECHO, INITIALIZE, message};
use crate::measure::{Sizes, added, connect, cpu_each, median, micros, row};
use crate::peers::{after, number};
use crate::process::{Cpus, Peer, on};
use crate::table::{COLUMNS, FLOOR, Figures, HEADLESS, Row, Target};
use crate::tapes::to_float;

const CALLERS: usize = 16;
/// Calls of one caller, after another and at once, a round.
const CALLS: usize = 400;
const AT_ONCE: usize = 100;
/// Stands in what was recorded, and in what the upstream says.
const ECHOED: &str = "yyyyyyyyyyyyyyyyyyyy";
/// Of a transcript that is played.
const PLAYED: usize = 2_000;

/// The mock over HTTP, in turn with mcp-recorder's.
pub(crate) fn mock(sizes: &Sizes) -> Vec<Row> {
    let dir = tempfile::tempdir().unwrap();
    let (tape, cassette) = (dir.path().join("echo.tape.jsonl"), dir.path().join("echo.json"));
    let upstream = Peer::start("upstream", &[], Cpus::All);
    // The first round warms them up.
    write_recordings(sizes.rounds + 1, &tape, &cassette);
    let recorder = found("mcp-recorder", "MCP_RECORDER", "pip install mcp-recorder 'starlette<1'");
    let recorder = recorder.map(|binary| recorder_on(&binary, &cassette));
    let peers = [(0, Some(upstream)), (FLOOR, recorder), (HEADLESS, Some(Peer::mock(&tape, Cpus::All)))];
    let peers: Vec<_> = peers.into_iter().filter_map(|(column, peer)| Some((column, peer?))).collect();
    let mut rounds = [const { Vec::new() }; 3];
    for round in 0..=sizes.rounds {
        let mut figures = [[f64::NAN; COLUMNS.len()]; 3];
        for (column, peer) in &peers {
            // A connection that waits for its turn is closed by mcp-recorder after five seconds.
            let mut callers = connect(peer, CALLERS);
            figures[0][*column] = one_by_one(&mut callers[0]);
            let (cpu, began) = (peer.cpu(), Instant::now());
            at_once(&mut callers);
            figures[1][*column] = to_float((CALLERS * AT_ONCE) as u64) / began.elapsed().as_secs_f64();
            figures[2][*column] = cpu_each(peer, cpu, CALLERS * AT_ONCE);
        }
        if round > 0 {
            rounds.iter_mut().zip(figures).for_each(|(rounds, figures)| rounds.push(figures));
        }
    }
    let is_beside = peers.len() == 3;
    let times = |least| if is_beside { Target::AtLeastTimes(least) } else { Target::None };
    let [calls, rates, cpu] = rounds;
    vec![
        row("mock over HTTP, floor mcp-recorder", "us", &calls, Target::None),
        added("  what of it was added", "us", &calls, Target::None),
        row(format!("  replies, {CALLERS} callers"), "1/s", &rates, times(20.0)),
        row("  CPU a reply", "us", &cpu, Target::None),
    ]
}

/// Microseconds of a call of one caller.
fn one_by_one(client: &mut Client) -> f64 {
    let (mut call, mut said) = (client.prepare(ECHO, 0, 0), Vec::new());
    let times = (0..CALLS).map(|_| {
        said.clear();
        let sent = Instant::now();
        client.call(&mut call, |bytes| said.extend_from_slice(bytes)).unwrap();
        micros(sent.elapsed())
    });
    let time = median(times.collect());
    assert!(after(&said, ECHOED.as_bytes()).is_some(), "what was recorded, and no error in its place");
    time
}

/// A number of calls of each caller, all callers at once.
fn at_once(clients: &mut [Client]) {
    std::thread::scope(|scope| {
        for client in clients {
            scope.spawn(|| {
                let mut call = client.prepare(ECHO, 0, 0);
                (0..AT_ONCE).for_each(|_| client.call(&mut call, |_| {}).unwrap());
            });
        }
    });
}

/// The same calls and replies, as a tape and as a cassette.
fn write_recordings(rounds: usize, tape: &Path, cassette: &Path) {
    let asked = message(ECHO, 0, 0);
    let told = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1"}}}"#;
    let begun = std::iter::repeat_n((INITIALIZE, told.to_owned()), rounds * CALLERS);
    let id = number(after(asked.as_bytes(), br#""id":"#).unwrap());
    let called = std::iter::repeat_n((asked.as_str(), echoed(id)), rounds * (CALLS + CALLERS * AT_ONCE));
    let mut out = BufWriter::new(std::fs::File::create(tape).unwrap());
    let mut other = BufWriter::new(std::fs::File::create(cassette).unwrap());
    let header = r#"{"tapline":1,"version":"0.1.0","session":"01a22356-5322-7562-99ce-6298888a2daa","upstream":"echo","via":"http","started":0}"#;
    writeln!(out, "{header}").unwrap();
    write!(other, r#"{{"version":"1.0","metadata":{{"recorded_at":"2026-01-01T00:00:00+00:00","server_url":"http://127.0.0.1/","transport_type":"http","protocol_version":"2025-11-25","server_info":{{"name":"echo","version":"1"}}}},"interactions":["#).unwrap();
    for (at, (request, reply)) in begun.chain(called).enumerate() {
        let (seq, comma) = (2 * at + 1, if at == 0 { "" } else { "," });
        writeln!(out, r#"{{"seq":{seq},"at":{seq},"dir":"c2s","via":"http","msg":{request}}}"#).unwrap();
        writeln!(out, r#"{{"seq":{},"at":{seq},"dir":"s2c","via":"http","re":{seq},"msg":{reply}}}"#, seq + 1).unwrap();
        write!(other, r#"{comma}{{"type":"jsonrpc_request","request":{request},"response":{reply},"response_is_sse":false,"response_status":200,"latency_ms":0,"http_method":null,"http_path":null}}"#).unwrap();
    }
    write!(other, "]}}").unwrap();
    out.flush().unwrap();
    other.flush().unwrap();
}

fn echoed(id: u64) -> String {
    let text = "y".repeat(120);
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{text}"}}],"isError":false}}}}"#
    )
}

/// The mock of mcp-recorder, which takes a port and tells none.
fn recorder_on(binary: &Path, cassette: &Path) -> Peer {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut command = on(Cpus::All, binary.to_str().unwrap());
    command.args(["replay", "--port", &port.to_string(), "--cassette"]).arg(cassette);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "mcp-recorder did not start: it needs starlette < 1");
        assert!(Instant::now() < until, "mcp-recorder does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    Peer::known(child, address)
}

/// A call of a transcript that is played to a server on a pipe, in turn with mcp-vcr: starting and ending included, spread over all calls.
pub(crate) fn replay(sizes: &Sizes) -> Vec<Row> {
    let dir = tempfile::tempdir().unwrap();
    let (tape, transcript) = (dir.path().join("echo.tape.jsonl"), dir.path().join("echo.ndjson"));
    crate::tapes::write_tape(&tape, 2 * PLAYED as u64, Some(&"y".repeat(120)));
    // As our server on a pipe says it.
    let text = std::fs::read_to_string(&tape).unwrap().replace(r#","isError":false"#, "");
    std::fs::write(&tape, &text).unwrap();
    write_transcript(&text, &transcript);
    let rival = found("mcp-vcr", "MCP_VCR", "pip install mcp-vcr");
    let this = std::env::current_exe().unwrap();
    let server = ["--", this.to_str().unwrap(), "--role", "stdio-upstream"];
    let round = || {
        let mut figures = [f64::NAN; COLUMNS.len()];
        let mut tapline = on(Cpus::All, env!("CARGO_BIN_EXE_tapline"));
        tapline.arg("replay").arg(&tape).args(["--speed", "max", "--match", "shape"]);
        let rival = rival.as_ref().map(|binary| {
            let mut rival = on(Cpus::All, binary.to_str().unwrap());
            rival.arg("replay").arg(&transcript);
            rival
        });
        for (column, contender) in [(FLOOR, rival), (HEADLESS, Some(tapline))] {
            let Some(mut contender) = contender else { continue };
            let began = Instant::now();
            let ended = contender.args(server).current_dir(dir.path()).output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()));
            figures[column] = micros(began.elapsed()) / to_float(PLAYED as u64);
        }
        figures
    };
    let rounds: Vec<Figures> = std::iter::repeat_with(round).take(sizes.rounds.min(3)).collect();
    vec![row("replay to a command, floor mcp-vcr", "us", &rounds, Target::None)]
}

/// A tape as mcp-vcr has it.
fn write_transcript(text: &str, transcript: &Path) {
    let header = r#"{"_type":"meta","version":1,"recorded_at":"2026-01-01T00:00:00Z","session_id":"4bb98f52","server_command":["echo"],"schema_version":"1.0","protocol_version":"2025-11-25","client_hint":"bench"}"#;
    let mut lines = vec![header.to_owned()];
    for line in text.lines().skip(1) {
        let dir = if line.contains(r#""dir":"c2s""#) { "c2s" } else { "s2c" };
        let (_, message) = line.split_once(r#""msg":"#).unwrap();
        lines.push(format!(r#"{{"t":0,"dir":"{dir}","payload":{message}"#));
    }
    std::fs::write(transcript, lines.join("\n")).unwrap();
}

/// A program of another, by its variable or in the PATH; where it is not there, how it comes there is said.
fn found(name: &str, variable: &str, install: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let found = named.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
    });
    let version = found.as_ref().and_then(|file| Command::new(file).arg("--version").output().ok());
    match version {
        Some(said) if said.status.success() => {
            println!("beside {}", String::from_utf8_lossy(&said.stdout).trim());
            found
        }
        _ => {
            println!("{name} is not there, and not measured: `{install}`, in the PATH or named by {variable}");
            None
        }
    }
}
