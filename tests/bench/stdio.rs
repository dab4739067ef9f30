//! The stdio leg: one line there, one line back, through nothing, through a bare copy of both pipes, and through tapline.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use crate::measure::{Sizes, added, median, micros, row};
use crate::peers::{after, number};
use crate::process::{Cpus, beside, on};
use crate::table::{COLUMNS, FLOOR, Figures, HEADLESS, Row, Target};

/// A contender with pipes.
struct Pipes {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: String,
    last_id: u32,
}

pub(crate) fn ping_pong(sizes: &Sizes) -> Vec<Row> {
    let tapes = tempfile::tempdir().unwrap();
    let this = std::env::current_exe().unwrap();
    let server = [this.to_str().unwrap(), "--role", "stdio-upstream"];
    let copy = [this.to_str().unwrap(), "--role", "pipe-copy"];
    let tapline = [env!("CARGO_BIN_EXE_tapline"), "stdio", "--tapes", tapes.path().to_str().unwrap(), "--"];
    let tapline = [&tapline[..], &server].concat();
    // The bare copy stands where the floor does: there is no screen, whose place is the client's.
    let rounds: Vec<Figures> = beside(Cpus::One, || {
        let mut contenders =
            [(0, &server[..]), (FLOOR, &copy), (HEADLESS, &tapline)].map(|(at, it)| (at, Pipes::open(it)));
        let round = || {
            let mut figures = [f64::NAN; COLUMNS.len()];
            for (column, pipes) in &mut contenders {
                figures[*column] = median((0..sizes.calls).map(|_| pipes.call()).collect());
            }
            figures
        };
        std::iter::repeat_with(round).skip(1).take(sizes.rounds).collect()
    });
    vec![
        row("stdio: p50 of a call, 1 CPU", "us", &rounds, Target::None),
        added("  what of it was added", "us", &rounds, Target::AtMostTimes(1.1)),
    ]
}

impl Pipes {
    fn open(words: &[&str]) -> Self {
        let mut child =
            on(Cpus::One, words[0]).args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output, line: String::new(), last_id: 0 }
    }

    /// Microseconds from the request to its reply.
    fn call(&mut self) -> f64 {
        self.last_id += 1;
        let request = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"tools/call\",\"params\":{{\"name\":\"echo\",\"arguments\":{{\"text\":\"{}\"}}}}}}\n",
            self.last_id,
            "x".repeat(110)
        );
        let sent = Instant::now();
        self.input.write_all(request.as_bytes()).unwrap();
        self.line.clear();
        self.output.read_line(&mut self.line).unwrap();
        let took = micros(sent.elapsed());
        assert_eq!(
            after(self.line.as_bytes(), br#""id":"#).map(number),
            Some(u64::from(self.last_id)),
            "{}",
            self.line
        );
        took
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        // It may be gone already; there is nothing to save.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Answers each line.
pub(crate) fn serve() {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Some(id) = after(line.unwrap().as_bytes(), br#""id":"#).map(number) else { continue };
        let text = "y".repeat(120);
        let reply = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}]}}}}\n"
        );
        output.write_all(reply.as_bytes()).unwrap();
        output.flush().unwrap();
    }
}

/// The floor: what is read is written, both ways, and not looked at.
pub(crate) fn copy() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--role", "stdio-upstream"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let back = std::thread::spawn(move || pour(output, std::io::stdout()));
    pour(std::io::stdin(), input);
    back.join().unwrap();
    child.wait().unwrap();
}

fn pour(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
