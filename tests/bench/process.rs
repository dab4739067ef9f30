//! The contenders as child processes: started, pinned, weighed, ended.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};

/// The terminal that the screen is drawn on.
const ROWS: u16 = 36;
const COLUMNS: u16 = 120;
/// Nothing takes so long to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where processes run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cpus {
    /// All on one, so that only the work in the path counts, and no waking of another CPU.
    One,
    All,
}

/// How people run tapline.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In a terminal: the screen is drawn.
    Screen,
    /// Its lines are read by somebody.
    Headless,
}

/// One contender. It ends when this is dropped; one that is this program also when our end of its stdin closes.
pub(crate) struct Peer {
    running: Running,
    process: u32,
    pub(crate) address: SocketAddr,
    /// Where a tapline keeps all that it keeps.
    _home: Option<tempfile::TempDir>,
}

enum Running {
    Child(Child),
    Terminal { child: Box<dyn portable_pty::Child + Send + Sync>, _master: Mutex<Box<dyn MasterPty + Send>> },
}

impl Peer {
    /// This program in one of its roles.
    pub(crate) fn start(role: &str, arguments: &[&str], cpus: Cpus) -> Self {
        let mut command = on(cpus, std::env::current_exe().unwrap().to_str().unwrap());
        command.args(["--role", role]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap_or_else(|_| panic!("the {role} did not start"));
        Self { process: child.id(), running: Running::Child(child), address, _home: None }
    }

    /// The release binary, as people start it: recording, in a home of its own.
    pub(crate) fn tapline(way: Way, upstream: &str, cpus: Cpus) -> Self {
        Self::build(env!("CARGO_BIN_EXE_tapline"), way, upstream, cpus)
    }

    /// A build of tapline, started as people start it.
    pub(crate) fn build(binary: &str, way: Way, upstream: &str, cpus: Cpus) -> Self {
        let words = [binary, "run", "--listen", "127.0.0.1:0", "--upstream", upstream];
        match way {
            Way::Screen => {
                let home = tempfile::tempdir().unwrap();
                let (running, process, output) = in_terminal(&[&pinned(cpus)[..], &words].concat(), &home);
                Self { address: address_in(output), running, process, _home: Some(home) }
            }
            Way::Headless => Self::headless(&[&words[..2], &["--headless"], &words[2..]].concat(), cpus),
        }
    }

    /// The release binary as the server of a tape, which does not record what it answers.
    pub(crate) fn mock(tape: &Path, cpus: Cpus) -> Self {
        let binary = env!("CARGO_BIN_EXE_tapline");
        let words = [binary, "mock", tape.to_str().unwrap(), "--headless", "--no-record", "--listen", "127.0.0.1:0"];
        Self::headless(&words, cpus)
    }

    /// Its lines are read, and its address is in them.
    fn headless(words: &[&str], cpus: Cpus) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = on(cpus, words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.envs(variables(&home)).spawn().unwrap();
        let address = address_in(Box::new(child.stderr.take().unwrap()));
        Self { process: child.id(), running: Running::Child(child), address, _home: Some(home) }
    }

    /// A program that listens there.
    pub(crate) fn known(child: Child, address: SocketAddr) -> Self {
        Self { process: child.id(), running: Running::Child(child), address, _home: None }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub(crate) fn process(&self) -> u32 {
        self.process
    }

    /// Bytes resident, once they change no more; `None` where the system does not tell.
    pub(crate) fn settled_memory(&self) -> Option<f64> {
        let mut last = self.memory()?;
        loop {
            std::thread::sleep(Duration::from_millis(300));
            let now = self.memory()?;
            if now.abs_diff(last) < 64 << 10 {
                return Some(now as f64);
            }
            last = now;
        }
    }

    fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().split(' ').next()?.parse::<u64>().ok()? << 10)
    }

    /// CPU time that its threads have used so far; `None` where the system does not tell.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        self.threads("schedstat", |stat| stat.split(' ').next()?.parse().ok()).map(Duration::from_nanos)
    }

    /// How often its threads have been given the CPU so far.
    pub(crate) fn wakes(&self) -> Option<u64> {
        self.threads("schedstat", |stat| stat.split_whitespace().nth(2)?.parse().ok())
    }

    /// The sum of a figure over all threads.
    fn threads(&self, file: &str, figure: impl Fn(&str) -> Option<u64>) -> Option<u64> {
        let mut total = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.process)).ok()? {
            total += figure(&std::fs::read_to_string(thread.ok()?.path().join(file)).ok()?)?;
        }
        Some(total)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be gone already; there is nothing to save.
        match &mut self.running {
            Running::Child(child) => drop((child.kill(), child.wait())),
            Running::Terminal { child, .. } => drop((child.kill(), child.wait())),
        }
    }
}

fn in_terminal(words: &[&str], home: &tempfile::TempDir) -> (Running, u32, Box<dyn Read + Send>) {
    let size = PtySize { rows: ROWS, cols: COLUMNS, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(words[0]);
    command.args(&words[1..]);
    command.env("TERM", "xterm-256color");
    variables(home).for_each(|(key, value)| command.env(key, value));
    let child = pair.slave.spawn_command(command).unwrap();
    let process = child.process_id().unwrap();
    let output = pair.master.try_clone_reader().unwrap();
    (Running::Terminal { child, _master: Mutex::new(pair.master) }, process, output)
}

/// Nothing of the user's is read or written.
fn variables(home: &tempfile::TempDir) -> impl Iterator<Item = (&'static str, String)> {
    let home = home.path().to_str().unwrap().to_owned();
    let keys = ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"];
    keys.into_iter().map(move |key| (key, home.clone()))
}

/// Reads all that a contender says, for as long as it lives; returns the address in its first words.
fn address_in(mut output: Box<dyn Read + Send>) -> SocketAddr {
    let (found, address) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut said, mut buffer, mut found) = (String::new(), vec![0; 64 << 10], Some(found));
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            if let Some(sender) = found.take_if(|_| true) {
                said.push_str(&String::from_utf8_lossy(&buffer[..count]));
                match said.split_once("http://127.0.0.1:").map(|(_, rest)| rest.split_once('/')) {
                    Some(Some((port, _))) => {
                        let port: u16 = port.parse().unwrap();
                        sender.send(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
                    }
                    _ => found = Some(sender),
                }
            }
        }
    });
    address.recv_timeout(PATIENCE).expect("tapline says its address")
}

/// A command that runs there.
pub(crate) fn on(cpus: Cpus, program: &str) -> Command {
    let words = [pinned(cpus), vec![program]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

fn pinned(cpus: Cpus) -> Vec<&'static str> {
    if cpus == Cpus::One && can_pin() { vec!["taskset", "-c", "0"] } else { Vec::new() }
}

/// Whether `taskset` is there and may pin.
pub(crate) fn can_pin() -> bool {
    let tried = Command::new("taskset").args(["-c", "0", "true"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// Runs `measure` on a thread of ours that sits where the contenders do.
pub(crate) fn beside<T: Send>(cpus: Cpus, measure: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            if cpus == Cpus::One && can_pin() {
                pin_this_thread();
            }
            measure()
        });
        measuring.join().unwrap()
    })
}

fn pin_this_thread() {
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    let id = thread.file_name().unwrap();
    let pinned = Command::new("taskset").args(["-p", "-c", "0"]).arg(id).stdout(Stdio::null()).status();
    assert!(pinned.unwrap().success(), "could be pinned a moment ago");
}
