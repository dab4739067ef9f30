//! Hours of everything at once, at the pace of a person: what grows?
//!
//! The figures at the start are taken after a warm-up that fills all that is bounded (the messages that are remembered, the ended
//! sessions that are known), those at the end after hours more of the same; both at rest, when the sessions that clients left
//! behind have been closed for being idle.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use serde_json::{Value, json};

use crate::http::{Connection, INITIALIZED, Legacy, OldSse, call, initialize, modern};
use crate::process::Sample;
use crate::tapline::{Home, Setup, server, signal};

/// After so long without use a session is closed: those that clients left behind.
const IDLE: Duration = Duration::from_secs(20);
/// Over how long wakes and CPU time at rest are counted.
const REST: Duration = Duration::from_secs(60);
/// So many messages are remembered, and so many ended sessions known: the warm-up has more of both.
const WARM_CALLS: u64 = 11_000;
const WARM_SESSIONS: usize = 1_050;

struct Plan {
    length: Duration,
    binary: String,
}

/// What all clients share.
struct World {
    address: SocketAddr,
    process: u32,
    binary: String,
    home: Home,
    paused: AtomicBool,
    stopped: AtomicBool,
    /// Clients that are at something.
    busy: AtomicUsize,
    counts: Counts,
}

/// What was done.
#[derive(Default)]
struct Counts {
    calls: AtomicU64,
    sessions: AtomicU64,
    left: AtomicU64,
    crashes: AtomicU64,
    launches: AtomicU64,
    screens: AtomicU64,
    failures: AtomicU64,
}

fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Relaxed);
}

impl World {
    /// Does this again and again until the end; between two of them it may be told to wait.
    fn each(&self, name: &str, pause: Duration, mut act: impl FnMut(u64) -> io::Result<()>) {
        let mut round = 0;
        while !self.stopped.load(Relaxed) {
            if self.paused.load(Relaxed) {
                sleep(Duration::from_millis(200));
                continue;
            }
            round += 1;
            self.busy.fetch_add(1, Relaxed);
            if let Err(error) = act(round)
                && self.counts.failures.fetch_add(1, Relaxed) < 100
            {
                println!("failure: {name}, round {round}: {error}");
            }
            self.busy.fetch_sub(1, Relaxed);
            sleep(pause);
        }
    }

    fn quiet(&self) {
        self.paused.store(true, Relaxed);
        sleep(Duration::from_millis(500));
        while self.busy.load(Relaxed) > 0 {
            sleep(Duration::from_millis(200));
        }
    }
}

pub(crate) fn run(arguments: &[&str]) {
    let plan = plan(arguments);
    let home = Home::new();
    let config = home.path().join("soak.toml");
    std::fs::write(&config, format!("[sessions]\nidle = \"{}s\"\n", IDLE.as_secs())).unwrap();
    let words = ["--name", "soak", "--config", config.to_str().unwrap()];
    let tapline = Setup { binary: &plan.binary, arguments: &words, ..Setup::new(&home) }.start();
    let (address, process) = (tapline.address, tapline.process());
    println!("soak: {:?} of {} at {address}, process {process}", plan.length, plan.binary);
    let (paused, stopped, busy, counts) = Default::default();
    let world = World { address, process, binary: plan.binary.clone(), home, paused, stopped, busy, counts };
    let world = Arc::new(world);
    let mut launched = Launched::start(&world).unwrap();
    let stdio = launched.child.id();
    warm_up(&world);
    let clients = clients(&world, move |id| launched.call(id));
    sleep((plan.length / 20).min(Duration::from_secs(120)));
    let start = [rest(&world, process), rest(&world, stdio)];
    println!("at the start: {start:?}");
    watch(&world, plan.length);
    let end = [rest(&world, process), rest(&world, stdio)];
    world.stopped.store(true, Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    print(&world.counts, plan.length, start, end);
    let (status, took) = tapline.terminate().unwrap();
    println!("\nIts end: {status}, in {took:.1?}");
}

fn plan(arguments: &[&str]) -> Plan {
    let mut plan = Plan { length: Duration::from_secs(60), binary: env!("CARGO_BIN_EXE_tapline").to_owned() };
    for pair in arguments.chunks(2) {
        match pair {
            ["--hours", hours] => plan.length = Duration::from_secs_f64(hours.parse::<f64>().unwrap() * 3600.0),
            ["--tapline", binary] => plan.binary = (*binary).to_owned(),
            _ => panic!("usage: soak --hours N [--tapline BINARY]"),
        }
    }
    plan
}

/// Lets the clients be at it, and tells now and then how it goes.
fn watch(world: &World, length: Duration) {
    world.paused.store(false, Relaxed);
    let every = length / 24;
    let mut seen = Sample::of(world.process).unwrap();
    for _ in 0..24 {
        sleep(every);
        let now = Sample::of(world.process).expect("it runs");
        let cpu = (now.cpu - seen.cpu).as_secs_f64() / every.as_secs_f64() * 100.0;
        let (calls, resident) = (world.counts.calls.load(Relaxed), now.resident >> 10);
        println!(
            "{calls} calls: {resident} KiB, {} descriptors, {} children, {cpu:.2} % CPU",
            now.descriptors, now.children
        );
        seen = now;
    }
}

/// Fills what is bounded, as fast as may be.
fn warm_up(world: &World) {
    let began = Instant::now();
    let mut connection = Connection::open(world.address).unwrap();
    for id in 0..WARM_CALLS {
        modern(&mut connection, id, "echo", &json!({"text": "x".repeat(200)})).unwrap();
    }
    for _ in 0..WARM_SESSIONS {
        Legacy::open(world.address).unwrap().delete().unwrap();
    }
    for _ in 0..3 {
        screen(world).unwrap();
    }
    println!("warm after {:?}", began.elapsed());
}

/// What a client does, and the how manieth time it does it.
type Visit = Box<dyn FnMut(&World, u64) -> io::Result<()> + Send>;

/// Who comes, and how long each rests between two visits.
fn clients(
    world: &Arc<World>,
    mut on_stdio: impl FnMut(u64) -> io::Result<()> + Send + 'static,
) -> Vec<JoinHandle<()>> {
    let client = |name: &'static str, pause: u64, mut act: Visit| {
        let world = world.clone();
        spawn(move || world.each(name, Duration::from_secs(pause), |round| act(&world, round)))
    };
    let on_stdio = move |world: &World, round: u64| {
        one_more(&world.counts.calls);
        on_stdio(round)
    };
    vec![
        client("a session", 2, Box::new(session)),
        client("another session", 3, Box::new(|world, round| session(world, round + 2))),
        client("stateless calls", 1, Box::new(|world, _| stateless(world))),
        client("http+sse", 3, Box::new(old_sse)),
        client("stdio", 1, Box::new(on_stdio)),
        client("a launch", 20, Box::new(|world, _| launch(world))),
        client("a screen", 40, Box::new(|world, _| screen(world))),
    ]
}

/// That a reply has this text in it.
fn expect(told: &Value, text: &str) -> io::Result<()> {
    if told.to_string().contains(text) { Ok(()) } else { Err(io::Error::other(format!("no {text} in {told}"))) }
}

/// Opens a session and calls; every third time the server crashes or is killed under it; every other time it is left as it is.
fn session(world: &World, round: u64) -> io::Result<()> {
    let mut client = Legacy::open(world.address)?;
    one_more(&world.counts.sessions);
    for nth in 0..6 {
        let told = client
            .call(if nth == 3 { "progress" } else { "echo" }, &json!({"text": format!("call {nth} of {round}")}))?;
        expect(&told, if nth == 3 { "done" } else { "call " })?;
        one_more(&world.counts.calls);
        sleep(Duration::from_secs(1));
    }
    if round.is_multiple_of(3) {
        crash(&mut client, round.is_multiple_of(2))?;
        one_more(&world.counts.crashes);
        expect(&client.call("echo", &json!({"text": "after the crash"}))?, "after the crash")?;
    }
    if round % 2 == 1 {
        one_more(&world.counts.left);
        return Ok(());
    }
    let status = client.delete()?;
    if (200..300).contains(&status) { Ok(()) } else { Err(io::Error::other(format!("DELETE: {status}"))) }
}

fn crash(client: &mut Legacy, by_signal: bool) -> io::Result<()> {
    if !by_signal {
        return expect(&client.call("die", &json!({}))?, "tapline");
    }
    let told = client.call("pid", &json!({}))?;
    let pid = told["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    signal("KILL", pid.parse().map_err(io::Error::other)?);
    // Its end must be known before the next call is sent there.
    while Path::new(&format!("/proc/{pid}")).exists() {
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn stateless(world: &World) -> io::Result<()> {
    let mut connection = Connection::open(world.address)?;
    for id in 0..20 {
        expect(&modern(&mut connection, id, "echo", &json!({"text": format!("modern {id}")}))?, "modern")?;
        one_more(&world.counts.calls);
        sleep(Duration::from_millis(500));
    }
    Ok(())
}

fn old_sse(world: &World, round: u64) -> io::Result<()> {
    let mut client = OldSse::open(world.address)?;
    one_more(&world.counts.sessions);
    for nth in 0..4 {
        expect(&client.call("echo", &json!({"text": format!("old {nth} of {round}")}))?, "old ")?;
        one_more(&world.counts.calls);
        sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// `tapline stdio` between pipes.
struct Launched {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Launched {
    fn start(world: &World) -> io::Result<Self> {
        let mut command = Command::new(&world.binary);
        command.args(["stdio", "--"]).args(server()).envs(world.home.variables());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut launched = Self { child, input, output };
        launched.exchange(&initialize(), "protocolVersion")?;
        launched.say(INITIALIZED)?;
        Ok(launched)
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.input.as_mut().unwrap(), "{line}")
    }

    fn exchange(&mut self, line: &str, text: &str) -> io::Result<()> {
        self.say(line)?;
        let mut reply = String::new();
        self.output.read_line(&mut reply)?;
        if reply.contains(text) { Ok(()) } else { Err(io::Error::other(format!("no {text} in {reply}"))) }
    }

    fn call(&mut self, id: u64) -> io::Result<()> {
        self.exchange(&call(id, "echo", &json!({"text": "by stdio"})), "by stdio")
    }
}

/// Starts one, calls, and ends it as a client does.
fn launch(world: &World) -> io::Result<()> {
    let mut launched = Launched::start(world)?;
    one_more(&world.counts.launches);
    launched.call(1)?;
    drop(launched.input.take());
    let mut rest = String::new();
    launched.output.read_to_string(&mut rest)?;
    let status = launched.child.wait()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("stdio ended with {status}"))) }
}

/// Attaches a screen, looks around, and leaves.
fn screen(world: &World) -> io::Result<()> {
    let size = PtySize { rows: 36, cols: 120, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).map_err(io::Error::other)?;
    let mut command = CommandBuilder::new(&world.binary);
    command.args(["attach", "soak"]);
    command.env("TERM", "xterm-256color");
    world.home.variables().for_each(|(key, value)| command.env(key, value));
    let mut child = pair.slave.spawn_command(command).map_err(io::Error::other)?;
    drop(pair.slave);
    let mut output = pair.master.try_clone_reader().map_err(io::Error::other)?;
    spawn(move || io::copy(&mut output, &mut io::sink()));
    let mut keys = pair.master.take_writer().map_err(io::Error::other)?;
    one_more(&world.counts.screens);
    for press in ["j", "j", "\r", "\x1b", "5", "1", "G"] {
        sleep(Duration::from_secs(3));
        keys.write_all(press.as_bytes())?;
        keys.flush()?;
    }
    keys.write_all(b"Q")?;
    keys.flush()?;
    let ended = child.wait()?;
    if ended.success() { Ok(()) } else { Err(io::Error::other(format!("attach ended with {ended}"))) }
}

/// What a process holds at rest; its wakes and CPU time are those of [`REST`].
fn rest(world: &World, process: u32) -> Sample {
    world.quiet();
    // Sessions that were left are closed, and their children ended.
    if process == world.process {
        sleep(IDLE * 2);
    }
    let before = Sample::of(process).expect("it runs");
    sleep(REST);
    let after = Sample::of(process).expect("it runs");
    Sample { wakes: after.wakes.saturating_sub(before.wakes), cpu: after.cpu - before.cpu, ..after }
}

fn print(counts: &Counts, length: Duration, start: [Sample; 2], end: [Sample; 2]) {
    let of = |count: &AtomicU64| count.load(Relaxed);
    let Counts { calls, sessions, left, crashes, launches, screens, failures } = counts;
    println!(
        "\n{length:?} after the warm-up; in all {} calls, {} sessions, {} of them left without DELETE,",
        of(calls),
        of(sessions),
        of(left)
    );
    println!(
        "{} crashes, {} launches of `stdio`, {} screens, {} failures.",
        of(crashes),
        of(launches),
        of(screens),
        of(failures)
    );
    println!("\n| at rest | `run`: start | end | `stdio`: start | end |\n|---|---|---|---|---|");
    let row = |name: &str, figure: &dyn Fn(&Sample) -> String| {
        println!(
            "| {name} | {} | {} | {} | {} |",
            figure(&start[0]),
            figure(&end[0]),
            figure(&start[1]),
            figure(&end[1])
        );
    };
    row("resident, MiB", &|it| format!("{:.1}", it.resident as f64 / f64::from(1 << 20)));
    row("descriptors", &|it| it.descriptors.to_string());
    row("threads", &|it| it.threads.to_string());
    row("processes below", &|it| it.children.to_string());
    row("wakes a second", &|it| format!("{:.2}", it.wakes as f64 / REST.as_secs_f64()));
    row("CPU, % of a core", &|it| format!("{:.3}", it.cpu.as_secs_f64() / REST.as_secs_f64() * 100.0));
}
