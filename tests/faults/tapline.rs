//! The real binary, started in ways that people would not.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::http::PATIENCE;
use crate::process::{Sample, below};

/// What its user has, and nobody else: settings, tapes, the database, the registry.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn tapes(&self) -> PathBuf {
        self.path().join("tapline/tapes")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("tapline/sessions.db")
    }

    /// Nothing of the user's who runs this is read or written.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let home = self.path().to_str().unwrap().to_owned();
        let keys = ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"];
        keys.into_iter().map(move |key| (key, home.clone()))
    }
}

/// This program as the server behind it.
pub(crate) fn server() -> Vec<String> {
    vec![std::env::current_exe().unwrap().to_str().unwrap().to_owned(), "--role".to_owned(), "server".to_owned()]
}

/// How a tapline is started.
pub(crate) struct Setup<'a> {
    pub(crate) binary: &'a str,
    pub(crate) home: &'a Home,
    /// A shell script that runs `"$@"`, which is tapline, at its end.
    pub(crate) around: Option<&'a str>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) arguments: &'a [&'a str],
    pub(crate) server: Vec<String>,
    /// Whether stderr is read any more once the address is known.
    pub(crate) read: bool,
}

impl<'a> Setup<'a> {
    pub(crate) fn new(home: &'a Home) -> Self {
        let binary = env!("CARGO_BIN_EXE_tapline");
        Self { binary, home, around: None, listen: None, arguments: &[], server: server(), read: true }
    }

    pub(crate) fn start(self) -> Tapline {
        let listen = self.listen.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string());
        let mut words = Vec::new();
        if let Some(script) = self.around {
            words.extend(["sh", "-c", script, "sh"]);
        }
        words.extend([self.binary, "run", "--headless", "--listen", &listen]);
        words.extend(self.arguments);
        words.push("--");
        words.extend(self.server.iter().map(String::as_str));
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).envs(self.home.variables());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = Owned(command.spawn().unwrap());
        let (lines, read) = (Arc::new(Lines::default()), self.read);
        let (told, stderr) = (lines.clone(), child.0.stderr.take().unwrap());
        std::thread::spawn(move || told.read(stderr, read));
        let address = lines.wait(|line| {
            let (_, rest) = line.split_once("http://127.0.0.1:")?;
            let port: u16 = rest.split_once('/')?.0.parse().ok()?;
            Some(SocketAddr::from(([127, 0, 0, 1], port)))
        });
        let address = address.unwrap_or_else(|| panic!("it told no address: {:?}", lines.all()));
        Tapline { child, address, lines }
    }
}

/// A process that is killed when this is dropped.
pub(crate) struct Owned(pub(crate) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // It may be gone already; there is nothing to save.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A tapline that runs.
pub(crate) struct Tapline {
    child: Owned,
    pub(crate) address: SocketAddr,
    pub(crate) lines: Arc<Lines>,
}

impl Tapline {
    pub(crate) fn process(&self) -> u32 {
        self.child.0.id()
    }

    pub(crate) fn resident(&self) -> u64 {
        Sample::of(self.process()).map_or(0, |sample| sample.resident)
    }

    /// Its guardian, which ends what it leaves behind.
    pub(crate) fn guardian(&self) -> Option<u32> {
        below(self.process()).into_iter().find(|pid| words(*pid).iter().any(|word| word == "__guardian"))
    }

    /// The servers that it has started, guardians left out.
    pub(crate) fn servers(&self) -> Vec<u32> {
        let all = below(self.process()).into_iter();
        all.filter(|pid| !words(*pid).iter().any(|word| word == "__guardian")).collect()
    }

    /// Ends it as an operator does; gives how it ended, and after how long.
    pub(crate) fn terminate(mut self) -> Result<(ExitStatus, Duration), String> {
        signal("TERM", self.process());
        ended(&mut self.child)
    }

    /// Ends it as the system does where there is no memory left.
    pub(crate) fn kill(mut self) {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
    }
}

/// What it has told on stderr.
#[derive(Default)]
pub(crate) struct Lines {
    told: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Lines {
    fn read(&self, stderr: impl Read, to_the_end: bool) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let is_address = line.contains("http://127.0.0.1:");
            self.told.lock().unwrap().0.push(line);
            self.more.notify_all();
            if is_address && !to_the_end {
                // The pipe stays open, and nobody reads it.
                std::thread::park();
            }
        }
        self.told.lock().unwrap().1 = true;
        self.more.notify_all();
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.told.lock().unwrap().0.clone()
    }

    /// What is found in a line, once there is one.
    pub(crate) fn wait<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let until = Instant::now() + PATIENCE;
        let mut told = self.told.lock().unwrap();
        loop {
            if let Some(found) = told.0.iter().find_map(|line| find(line)) {
                return Some(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || told.1 {
                return None;
            }
            told = self.more.wait_timeout(told, left).unwrap().0;
        }
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.wait(|line| line.contains(text).then_some(())).is_some()
    }
}

fn words(pid: u32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).stderr(Stdio::null()).status();
    assert!(sent.is_ok(), "`kill` is there");
}

/// Waits for the end of a process that was told to end.
pub(crate) fn ended(child: &mut Owned) -> Result<(ExitStatus, Duration), String> {
    let began = Instant::now();
    let status = until("its end", || child.0.try_wait().unwrap())?;
    Ok((status, began.elapsed()))
}

/// Waits until these processes are gone.
pub(crate) fn gone(pids: &[u32]) -> Result<(), String> {
    let lives = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // A zombie of a parent that was killed is nobody any more.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    until(&format!("the end of {pids:?}"), || (!pids.iter().any(lives)).then_some(()))
}

/// Waits for something that must happen.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("{what} did not come"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
