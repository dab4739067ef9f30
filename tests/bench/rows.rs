//! A million messages on the real screen: opened from a tape, walked through and filtered in a terminal, weighed, and left alone.
//!
//! mitmproxy's figures are no contender of this run: they were measured once, on another day, and are shown to say what people are used to.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::measure::{Sizes, median, micros};
use crate::table::{Row, SCREEN, Target, only};
use crate::tapes::{to_float, write_tape};

/// Published in our notes: mitmproxy 12.2.3 on Python 3.13, two virtual cores, a pseudo-terminal of 120x36, 100,000 flows of 0.75 kB
/// loaded with `-n -r`, medians of 8 to 150 keys. It was not measured with a million.
const OF_MITMPROXY: [(&str, &str); 6] = [
    ("start to first screen", "457 to 1,380 ms"),
    ("load 100,000 flows", "192,000 ms"),
    ("memory a flow", "6,200 to 6,500 bytes"),
    ("a key to its first repaint", "9.6 ms, worst 25 ms"),
    ("filter on a field, 100,000 flows", "407 ms, everything stopped"),
    ("filter on bodies, 100,000 flows", "1,272 ms, everything stopped"),
];

/// Silence after which a repaint is complete.
const QUIET: Duration = Duration::from_millis(400);
/// Nothing takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measured(sizes: &Sizes) -> Vec<Row> {
    println!("\nmitmproxy, as published in our notes:");
    OF_MITMPROXY.iter().for_each(|(what, figure)| println!("  {what:<36} {figure}"));
    let (messages, shown) = if sizes.is_quick() { (100_000, "100,000") } else { (1_000_000, "1,000,000") };
    let home = tempfile::tempdir().unwrap();
    let tapes = home.path().join("tapes");
    std::fs::create_dir(&tapes).unwrap();
    write_tape(&tapes.join("large.tape.jsonl"), messages, None);
    let began = Instant::now();
    let mut screen = RealScreen::start(home.path(), &tapes);
    screen.wait("http://127.0.0.1:");
    let start = millis(began.elapsed());
    screen.settle();
    let empty = screen.memory();
    screen.press(b"4");
    screen.wait("large");
    screen.settle();
    let began = Instant::now();
    screen.press(b"\r");
    screen.wait("tools/call");
    let first = millis(began.elapsed());
    screen.wait("(recorded, not live)");
    let whole = millis(began.elapsed());
    screen.settle();
    let each = (screen.memory() - empty) / to_float(messages);
    let mut keys: Vec<f64> =
        (0..sizes.rounds.max(10) * 20).map(|key| screen.repaint(if key % 2 == 0 { b"j" } else { b"k" })).collect();
    keys.sort_by(f64::total_cmp);
    let slowest = keys[keys.len() * 99 / 100];
    let alone = |what: String, unit, figure, most| Row::plain(what, unit, only(SCREEN, figure), Target::AtMost(most));
    let mut rows = vec![
        alone("screen: start to first screen".to_owned(), "ms", start, 40.0),
        alone(format!("{shown} messages: first rows"), "ms", first, 1_000.0),
        Row::plain("  all of them", "ms", only(SCREEN, whole), Target::None),
        alone("  resident with bodies".to_owned(), "B a row", each, 120.0),
        alone("  a key to its repaint, median".to_owned(), "ms", median(keys), 3.0),
        alone("  a key to its repaint, p99".to_owned(), "ms", slowest, 16.0),
    ];
    for (filter, most) in
        [("~m tools/call", 250.0), ("~b word42", 1_500.0), ("~j .params.arguments.text=nowhere", 4_000.0)]
    {
        let (first, done) = screen.filter(filter);
        let word = filter.split(' ').next().unwrap_or_default();
        rows.push(alone(format!("  filter {word}: first repaint"), "ms", first, 16.0));
        rows.push(alone(format!("  filter {word}: last repaint"), "ms", done, most));
    }
    screen.settle();
    let (wakes, span) = (screen.wakes(), Duration::from_secs(5));
    let bytes = screen.listen(span);
    // A thread may end, or begin, meanwhile.
    let woken: u64 = screen.wakes().iter().map(|(thread, now)| now - wakes.get(thread).unwrap_or(&0)).sum();
    rows.push(alone(
        "  nothing happens: to the terminal".to_owned(),
        "B/s",
        to_float(bytes as u64) / span.as_secs_f64(),
        0.0,
    ));
    rows.push(alone("  nothing happens: wakes".to_owned(), "a second", to_float(woken) / span.as_secs_f64(), 2.0));
    rows
}

fn millis(time: Duration) -> f64 {
    micros(time) / 1e3
}

/// tapline in a terminal that tells what is drawn, and when.
struct RealScreen {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    drawn: mpsc::Receiver<Vec<u8>>,
    /// What is on it: only the cells that change are sent.
    picture: vt100::Parser,
    _terminal: Box<dyn MasterPty + Send>,
}

impl RealScreen {
    fn start(home: &Path, tapes: &Path) -> Self {
        let pair =
            native_pty_system().openpty(PtySize { rows: 36, cols: 120, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tapline"));
        command.args(["run", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9/mcp", "--tapes"]);
        command.arg(tapes);
        command.env("TERM", "xterm-256color");
        for key in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"] {
            command.env(key, home);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        let (mut output, keys) = (pair.master.try_clone_reader().unwrap(), pair.master.take_writer().unwrap());
        let (tell, drawn) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if tell.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let picture = vt100::Parser::new(36.try_into().unwrap(), 120.try_into().unwrap(), 0);
        Self { child, keys, drawn, picture, _terminal: pair.master }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
        self.keys.flush().unwrap();
    }

    /// Bytes that are drawn next; `None` where nothing is.
    fn draw(&mut self, patience: Duration) -> Option<usize> {
        let drawn = self.drawn.recv_timeout(patience).ok()?;
        self.picture.process(&drawn);
        Some(drawn.len())
    }

    /// Waits until this is on the screen.
    fn wait(&mut self, text: &str) {
        while !self.picture.screen().contents().contains(text) {
            assert!(self.draw(PATIENCE).is_some(), "`{text}` is not drawn:\n{}", self.picture.screen().contents());
        }
    }

    /// Waits until nothing more is drawn; returns when the last of it was.
    fn settle(&mut self) -> Instant {
        let mut last = Instant::now();
        while self.draw(QUIET).is_some() {
            last = Instant::now();
        }
        last
    }

    fn repaint(&mut self, key: &[u8]) -> f64 {
        let began = Instant::now();
        self.press(key);
        self.draw(PATIENCE).unwrap();
        let took = millis(began.elapsed());
        while self.draw(Duration::from_millis(20)).is_some() {}
        took
    }

    /// Milliseconds from a filter to the first and to the last that is drawn because of it.
    fn filter(&mut self, filter: &str) -> (f64, f64) {
        self.press(b"f\x15");
        self.settle();
        let began = Instant::now();
        self.press(format!("\x1b[200~{filter}\x1b[201~").as_bytes());
        self.draw(PATIENCE).unwrap();
        let first = began.elapsed();
        let last = self.settle().max(began + first);
        self.press(b"\r");
        self.settle();
        (millis(first), millis(last - began))
    }

    /// Bytes drawn in that time.
    fn listen(&mut self, span: Duration) -> usize {
        let (end, mut bytes) = (Instant::now() + span, 0);
        while let Some(drawn) = self.draw(end.saturating_duration_since(Instant::now())) {
            bytes += drawn;
        }
        bytes
    }

    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        to_float(line.trim().split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0) * 1024)
    }

    /// How often each thread was run so far.
    fn wakes(&self) -> HashMap<OsString, u64> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.process())).into_iter().flatten().flatten();
        let counts = threads.filter_map(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            Some((thread.file_name(), stat.split_whitespace().nth(2)?.parse().ok()?))
        });
        counts.collect()
    }

    fn process(&self) -> u32 {
        self.child.process_id().unwrap()
    }
}

impl Drop for RealScreen {
    fn drop(&mut self) {
        // It may be gone already; there is nothing to save.
        drop((self.child.kill(), self.child.wait()));
    }
}
