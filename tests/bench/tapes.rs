//! Tapes as they lie on the disk: how long a large one takes to be read, searched, packed and played.
//!
//! No contender stands beside these: the limits are those of the figures that were asked for. The tape is made of 200-byte calls whose
//! texts differ, so that packing it is no easier than packing a real one by much.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use tapline::filter::Filter;
use tapline::tape::Tape;
use tapline::tape::care::{Packing, pack};
use tapline::tape::search::{SearchEvent, search};

use crate::measure::micros;
use crate::table::{HEADLESS, Row, Target, only};

const MESSAGES: u64 = 1_000_000;
const PLAYED: u64 = 20_000;

pub(crate) fn rows() -> Vec<Row> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.tape.jsonl");
    write_tape(&path, MESSAGES);
    let bytes = std::fs::metadata(&path).unwrap().len();
    let per_gigabyte = |micros: f64| micros / 1e3 / (to_float(bytes) / 1e9);
    let read = timed(|| assert_eq!(Tape::read(&path).unwrap().envelopes.len() as u64, MESSAGES));
    let literal = timed(|| assert_eq!(found(&path, "~b nowhere-in-it"), 0));
    let place = timed(|| assert_eq!(found(&path, "~j .params.arguments.text=nowhere"), 0));
    let packed = timed(|| assert!(pack(&path, Packing::Zstd).unwrap().is_some()));
    let smaller = std::fs::metadata(dir.path().join("large.tape.jsonl.zst")).unwrap().len();
    let alone = |what, unit, figure, most| Row::plain(what, unit, only(HEADLESS, figure), Target::AtMost(most));
    vec![
        alone("tapes: open 1,000,000 messages", "ms", read / 1e3, 1_000.0),
        alone("tapes: search a GB by a word", "ms", per_gigabyte(literal), 1_000.0),
        alone("tapes: search a GB by a place", "ms", per_gigabyte(place), 3_333.0),
        alone("tapes: pack a GB", "ms", per_gigabyte(packed), 5_000.0),
        alone("  of it is left", "%", 100.0 * to_float(smaller) / to_float(bytes), 12.0),
        Row::plain("replay: a call at full speed", "us", only(HEADLESS, played(dir.path())), Target::None),
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

/// Calls with their replies, of which no two say the same.
pub(crate) fn write_tape(path: &Path, messages: u64) {
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
        let asked = format!(
            r#"{{"jsonrpc":"2.0","id":{call},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{text}"}}}}}}"#
        );
        let told =
            format!(r#"{{"jsonrpc":"2.0","id":{call},"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}"#);
        writeln!(out, r#"{{"seq":{seq},"at":{at},"dir":"c2s","via":"stdio","kind":"request","method":"tools/call","name":"echo","id":{call},"msg":{asked}}}"#).unwrap();
        writeln!(out, r#"{{"seq":{},"at":{},"dir":"s2c","via":"stdio","kind":"result","id":{call},"re":{seq},"dt":9,"msg":{told}}}"#, seq + 1, at + 9).unwrap();
    }
    out.flush().unwrap();
}

/// Microseconds of one call of a tape that is played as fast as its server answers; compare with `stdio: p50 of a call`.
fn played(dir: &Path) -> f64 {
    let tape = dir.join("played.tape.jsonl");
    write_tape(&tape, PLAYED);
    let this = std::env::current_exe().unwrap();
    let mut replay = Command::new(env!("CARGO_BIN_EXE_tapline"));
    replay.arg("replay").arg(&tape).args(["--speed", "max", "--match", "shape", "--"]).arg(this);
    replay.args(["--role", "stdio-upstream"]).stdout(Stdio::null()).stderr(Stdio::null());
    let took = timed(|| {
        // That the replies are others is not what is measured.
        let _ = replay.status().unwrap();
    });
    took / (to_float(PLAYED) / 2.0)
}
