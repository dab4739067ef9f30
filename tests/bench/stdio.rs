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

/// Requests that are written before their replies are waited for.
const AT_ONCE: u32 = 20_000;

/// The server of a tape in place of the least server there is: what it takes longer, and how much it answers.
pub(crate) fn mock(sizes: &Sizes) -> Vec<Row> {
    let dir = tempfile::tempdir().unwrap();
    let tape = dir.path().join("echo.tape.jsonl");
    let header = r#"{"tapline":1,"version":"0.1.0","session":"01a22356-5322-7562-99ce-6298888a2daa","upstream":"echo","via":"stdio","started":0}"#;
    let asked = request(1);
    let asked = format!(r#"{{"seq":1,"at":0,"dir":"c2s","via":"stdio","msg":{}}}"#, asked.trim_end());
    let reply = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":"{}"}}]}}}}"#,
        "y".repeat(120)
    );
    let reply = format!(r#"{{"seq":2,"at":9,"dir":"s2c","via":"stdio","re":1,"msg":{reply}}}"#);
    std::fs::write(&tape, [header, &asked, &reply].join("\n")).unwrap();
    let this = std::env::current_exe().unwrap();
    let server = [this.to_str().unwrap(), "--role", "stdio-upstream"];
    let options = ["--stdio", "--no-record", "--no-control"];
    let mock = [&[env!("CARGO_BIN_EXE_tapline"), "mock", tape.to_str().unwrap()][..], &options].concat();
    let (calls, floods): (Vec<Figures>, Vec<Figures>) = beside(Cpus::One, || {
        let mut contenders = [(0, &server[..]), (HEADLESS, &mock)].map(|(at, it)| (at, Pipes::open(it)));
        let round = || {
            let mut figures = [[f64::NAN; COLUMNS.len()]; 2];
            for (column, pipes) in &mut contenders {
                figures[0][*column] = median((0..sizes.calls).map(|_| pipes.call()).collect());
                figures[1][*column] = pipes.flood();
            }
            (figures[0], figures[1])
        };
        std::iter::repeat_with(round).skip(1).take(sizes.rounds).unzip()
    });
    vec![
        row("mock: p50 of a call, 1 CPU", "us", &calls, Target::None),
        added("  what of it was added", "us", &calls, Target::AtMost(30.0)),
        row("mock: a reply of 20,000 at once", "us", &floods, Target::AtMost(50.0)),
    ]
}

fn request(id: u32) -> String {
    let text = "x".repeat(110);
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"echo\",\"arguments\":{{\"text\":\"{text}\"}}}}}}\n"
    )
}

impl Pipes {
    /// Microseconds of a reply, where all requests are written at once.
    fn flood(&mut self) -> f64 {
        let first = self.last_id + 1;
        self.last_id += AT_ONCE;
        let requests: String = (first..=self.last_id).map(request).collect();
        let (input, output) = (&mut self.input, &mut self.output);
        let began = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| input.write_all(requests.as_bytes()).unwrap());
            let mut line = String::new();
            for _ in 0..AT_ONCE {
                line.clear();
                output.read_line(&mut line).unwrap();
            }
        });
        micros(began.elapsed()) / f64::from(AT_ONCE)
    }

    fn open(words: &[&str]) -> Self {
        let mut child =
            on(Cpus::One, words[0]).args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output, line: String::new(), last_id: 0 }
    }

    /// Microseconds from the request to its reply.
    fn call(&mut self) -> f64 {
        self.last_id += 1;
        let request = request(self.last_id);
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
        // Some clients write a space there.
        let Some(id) = after(line.unwrap().as_bytes(), br#""id":"#).map(|id| number(id.trim_ascii_start())) else {
            continue;
        };
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
