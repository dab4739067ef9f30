//! Tapes as they lie on the disk: how long a large one takes to be read, searched, packed and played.
//!
//! Beside playing stands a client of the same crates that says the same; beside the others nothing: their limits are those of the
//! figures that were asked for. The tape is made of 200-byte calls whose texts differ, so that packing it is no easier than packing a
//! real one by much. How soon the first rows of a large tape are on the screen is with the other figures of the screen.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use tapline::filter::Filter;
use tapline::tape::Tape;
use tapline::tape::care::{Packing, pack};
use tapline::tape::search::{SearchEvent, search};

use crate::measure::{Sizes, micros, row};
use crate::process::{Cpus, Peer, on};
use crate::table::{COLUMNS, FLOOR, Figures, HEADLESS, Row, Target, only};

const MESSAGES: u64 = 1_000_000;
const PLAYED: u64 = 20_000;

pub(crate) fn rows(sizes: &Sizes) -> Vec<Row> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.tape.jsonl");
    write_tape(&path, MESSAGES, None);
    let bytes = std::fs::metadata(&path).unwrap().len();
    let per_gigabyte = |micros: f64| micros / 1e3 / (to_float(bytes) / 1e9);
    let read = timed(|| assert_eq!(Tape::read(&path).unwrap().envelopes.len() as u64, MESSAGES));
    let literal = timed(|| assert_eq!(found(&path, "~b nowhere-in-it"), 0));
    let place = timed(|| assert_eq!(found(&path, "~j .params.arguments.text=nowhere"), 0));
    let packed = timed(|| assert!(pack(&path, Packing::Zstd, &|_, _| true).unwrap().is_some()));
    let smaller = std::fs::metadata(dir.path().join("large.tape.jsonl.zst")).unwrap().len();
    let alone = |what, unit, figure, most| Row::plain(what, unit, only(HEADLESS, figure), Target::AtMost(most));
    vec![
        Row::plain("tapes: read 1,000,000 messages whole", "ms", only(HEADLESS, read / 1e3), Target::None),
        alone("tapes: search a GB by a word", "ms", per_gigabyte(literal), 1_000.0),
        alone("tapes: search a GB by a place", "ms", per_gigabyte(place), 3_333.0),
        alone("tapes: pack a GB", "ms", per_gigabyte(packed), 5_000.0),
        alone("  of it is left", "%", 100.0 * to_float(smaller) / to_float(bytes), 12.0),
        // At least 0.8 times as many calls a second.
        row("replay: a call at full speed, 1 CPU", "us", &played(dir.path(), sizes.rounds), Target::AtMostTimes(1.25)),
    ]
}

fn timed(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    micros(began.elapsed())
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn to_float(number: u64) -> f64 {
    number as f64
}

fn found(tape: &Path, filter: &str) -> usize {
    let events = search(vec![tape.to_owned()], Filter::parse(filter).unwrap());
    events.iter().filter(|event| matches!(event, SearchEvent::Found { .. })).count()
}

/// Calls, of which no two say the same, with their replies: what was asked, or this.
pub(crate) fn write_tape(path: &Path, messages: u64, reply: Option<&str>) {
    let mut out = BufWriter::new(std::fs::File::create(path).unwrap());
    let header = r#"{"tapline":1,"version":"0.1.0","session":"01a22356-5322-7562-99ce-6298888a2daa","upstream":"echo","via":"stdio","started":0}"#;
    writeln!(out, "{header}").unwrap();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for call in 0..messages / 2 {
        let mut text = String::new();
        for _ in 0..4 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            text.push_str(&format!("word{} ", random % 5_000));
        }
        let (seq, at) = (2 * call + 1, call * 20);
        let asked = request(call, &text);
        let text = reply.unwrap_or(&text);
        let told = format!(
            r#"{{"jsonrpc":"2.0","id":{call},"result":{{"content":[{{"type":"text","text":"{text}"}}],"isError":false}}}}"#
        );
        writeln!(out, r#"{{"seq":{seq},"at":{at},"dir":"c2s","via":"stdio","kind":"request","method":"tools/call","name":"echo","id":{call},"msg":{asked}}}"#).unwrap();
        writeln!(out, r#"{{"seq":{},"at":{},"dir":"s2c","via":"stdio","kind":"result","id":{call},"re":{seq},"dt":9,"msg":{told}}}"#, seq + 1, at + 9).unwrap();
    }
    out.flush().unwrap();
}

fn request(call: u64, text: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{call},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{text}"}}}}}}"#
    )
}

/// Microseconds of one call: of a client that only asks and reads, which stands where the floor does, and of a tape that is played as
/// fast as its server answers.
fn played(dir: &Path, rounds: usize) -> Vec<Figures> {
    let tape = dir.join("played.tape.jsonl");
    write_tape(&tape, PLAYED, Some(&"y".repeat(120)));
    let requests: Vec<String> = (0..PLAYED / 2).map(|call| request(call, &"word ".repeat(6))).collect();
    let requests = requests.join("\n");
    let server = Peer::start("upstream", &[], Cpus::One);
    let url = server.url();
    let round = || {
        let mut figures = [f64::NAN; COLUMNS.len()];
        let this = std::env::current_exe().unwrap();
        let mut bare = on(Cpus::One, this.to_str().unwrap());
        bare.args(["--role", "bare-client", &url]).stdin(Stdio::piped());
        let mut replay = on(Cpus::One, env!("CARGO_BIN_EXE_tapline"));
        replay.arg("replay").arg(&tape).args(["--speed", "max", "--match", "shape", "--upstream", &url]);
        for (column, contender) in [(FLOOR, &mut bare), (HEADLESS, &mut replay)] {
            let took = timed(|| {
                let mut child = contender.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                if let Some(mut input) = child.stdin.take() {
                    input.write_all(requests.as_bytes()).unwrap();
                }
                assert!(child.wait().unwrap().success());
            });
            figures[column] = took / (to_float(PLAYED) / 2.0);
        }
        figures
    };
    std::iter::repeat_with(round).take(rounds).collect()
}
