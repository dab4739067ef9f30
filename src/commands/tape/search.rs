//! `tapline search`: messages on all tapes, shown as they are found.

use std::io::{BufWriter, ErrorKind, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::shelf::{TapeShelf, short_name, tapes_in};
use super::show::message_line;
use crate::cli::{ColorArg, SearchArgs};
use crate::envelope::{Envelope, SessionField};
use crate::exit::{self, ExitError};
use crate::filter::{Filter, FilterPlace};
use crate::tape::search::{SearchEvent, search};
use crate::text::{count, counted, harmless_json, sanitize, size};

pub(super) fn run(shelf: &TapeShelf, args: &SearchArgs, color: ColorArg) -> Result<ExitCode, ExitError> {
    let filter = Filter::parse(&args.query).map_err(ExitError::usage)?;
    for note in filter.notes(FilterPlace::Tape) {
        exit::print_stderr(&format!("tapline: {note}"));
    }
    let tapes = chosen(shelf, &args.paths)?;
    if tapes.is_empty() {
        exit::print_error("there are no tapes to search in; `tapline demo` makes one");
    }
    let (files, bytes) = (tapes.len(), tapes.iter().filter_map(|it| it.metadata().ok()).map(|it| it.len()).sum());
    let stdout = std::io::stdout();
    let colour = color.is_wanted(stdout.is_terminal());
    let bar = progress(bytes);
    let started = Instant::now();
    let shown = show(&search(tapes, filter), args.json, colour, &bar, &mut BufWriter::new(stdout.lock()));
    bar.finish_and_clear();
    let SearchOutcome { found, is_partial } = match shown {
        Ok(outcome) => outcome,
        // A reader such as `head` has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(error.into()),
    };
    if !args.json && std::io::stderr().is_terminal() {
        let took = started.elapsed().max(Duration::from_millis(1));
        let rate = (bytes as f64 / took.as_secs_f64()) as u64;
        exit::print_stderr(&format!(
            "{} found on {}, {} at {} a second",
            count(found),
            counted(files, "tape"),
            size(bytes),
            size(rate)
        ));
    }
    Ok(ExitCode::from(if is_partial { 2 } else { u8::from(found == 0) }))
}

/// The tapes that are given, in directories or one by one.
fn chosen(shelf: &TapeShelf, paths: &[PathBuf]) -> Result<Vec<PathBuf>, ExitError> {
    let mut tapes = Vec::new();
    for path in paths {
        if path.is_dir() { tapes.extend(tapes_in(path)?) } else { tapes.push(shelf.find(path)?) }
    }
    if paths.is_empty() {
        tapes = tapes_in(shelf.dir()?)?;
    }
    Ok(tapes)
}

fn progress(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    let style = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {msg}";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is a constant"));
    bar
}

/// What came of a search.
#[derive(Default)]
struct SearchOutcome {
    found: u64,
    /// There may be more on what could not be read.
    is_partial: bool,
}

/// Shows what is found while it is found; returns how much that was.
fn show(
    events: &Receiver<SearchEvent>,
    json: bool,
    colour: bool,
    bar: &ProgressBar,
    out: &mut impl Write,
) -> std::io::Result<SearchOutcome> {
    let mut outcome = SearchOutcome::default();
    loop {
        let Some(event) = next(events, out)? else { return Ok(outcome) };
        match event {
            SearchEvent::Found { tape, line, session, envelope } => {
                outcome.found += 1;
                let text = if json {
                    json_line(&tape, line, &envelope)
                } else {
                    format!("{}:{line} {}", sanitize(&short_name(&tape)), message_line(&envelope, session.id, colour))
                };
                bar.suspend(|| writeln!(out, "{text}"))?;
            }
            SearchEvent::Unread { why } => {
                outcome.is_partial = true;
                bar.suspend(|| exit::print_error(&why));
            }
            SearchEvent::Damaged { tape, lines } => {
                outcome.is_partial = true;
                bar.suspend(|| exit::print_error(&format!("{}: {lines}", tape.display())));
            }
            SearchEvent::Read { bytes } => {
                bar.inc(bytes);
                bar.set_message(format!("{} found", count(outcome.found)));
            }
        }
    }
}

/// The next event; what was written is shown before it is waited for.
fn next(events: &Receiver<SearchEvent>, out: &mut impl Write) -> std::io::Result<Option<SearchEvent>> {
    if let Ok(event) = events.try_recv() {
        return Ok(Some(event));
    }
    out.flush()?;
    Ok(events.recv().ok())
}

fn json_line(tape: &Path, line: u64, envelope: &Envelope) -> String {
    let mut text = Vec::new();
    envelope.write_json(SessionField::Omitted, &mut text);
    let head = serde_json::json!({ "tape": tape, "line": line, "session": envelope.session }).to_string();
    // One object of both.
    let text = String::from_utf8_lossy(&text);
    harmless_json(&format!("{},{}", &head[..head.len() - 1], &text[1..])).into_owned()
}
