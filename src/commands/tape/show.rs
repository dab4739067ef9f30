//! `tapline tape show`: a tape as a person reads it, a line a message, while it is read.

use std::cell::LazyCell;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::list;
use super::shelf::TapeShelf;
use crate::cli::{ColorArg, TapeShowArgs};
use crate::envelope::{Direction, Envelope, SessionId};
use crate::event::{Peer, Timestamp};
use crate::exit::{ExitError, print_error};
use crate::filter::Filter;
use crate::message::Kind;
use crate::tape::format::{Mark, TapeHeader};
use crate::tape::read::{TapeEntry, TapeReader, check_is_file, read_annotations};
use crate::tape::{TapeContext, TapeOutputError};
use crate::text::{counted_are, fit, harmless_json, micros_with_unit, sanitize};

/// Columns of what a message says.
const BODY: usize = 96;

pub(super) fn run(shelf: &TapeShelf, args: &TapeShowArgs, color: ColorArg) -> Result<ExitCode, ExitError> {
    let path = shelf.find(&args.tape)?;
    let filter = args.filter.as_deref().map(Filter::parse).transpose().map_err(ExitError::usage)?;
    let stdout = std::io::stdout();
    let colour = color.is_wanted(stdout.is_terminal());
    let mut out = BufWriter::new(stdout.lock());
    match show(&path, filter.as_ref(), args.json, colour, &mut out) {
        // A reader such as `head` has read enough.
        Err(TapeOutputError::Out(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(TapeOutputError::Out(error)) => Err(error.into()),
        Err(TapeOutputError::Tape(error)) => Err(ExitError::usage(error)),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

fn show(
    path: &Path,
    filter: Option<&Filter>,
    json: bool,
    colour: bool,
    out: &mut impl Write,
) -> Result<(), TapeOutputError> {
    // What the tape knows beside a message is known only when all of it was read.
    let (asks_whole, now) = (filter.is_some_and(TapeContext::is_needed), Timestamp::now());
    if asks_whole {
        check_is_file(path)?;
    }
    let whole = asks_whole.then(|| TapeContext::read(path, filter, now)).transpose()?;
    let entries = TapeReader::open(path)?;
    let mut header = entries.header().clone();
    let mut lines = entries.lines();
    let early = if json { Vec::new() } else { meet_peers(&mut header, &mut lines) };
    let context = whole.unwrap_or_else(|| TapeContext::of_session(header.session(None), now));
    if !json {
        head(path, &header, out)?;
        out.flush()?;
    }
    // Anywhere behind the message. Of a tape that is long, or packed, it takes its time, and comes when a line is to be shown that may have
    // one; a tape that comes through a pipe can be read once only.
    let read_all = || check_is_file(path).and_then(|()| read_annotations(path)).map(|it| it.1).unwrap_or_default();
    let annotations = LazyCell::new(read_all);
    for (line, entry) in early.into_iter().chain(lines) {
        match entry {
            TapeEntry::Message { envelope, .. } => {
                if !filter.is_none_or(|filter| filter.matches_in(&envelope, &context)) {
                    continue;
                }
                let line =
                    if json { json_line(&header, &envelope) } else { message_line(&envelope, header.session, colour) };
                writeln!(out, "{line}")?;
                if json {
                    continue;
                }
                let mark = if asks_whole { context.mark(envelope.seq) } else { annotations.get(envelope.seq) };
                if let Some(mark) = mark {
                    writeln!(out, "     ; {}", sanitize(&mark.words()))?;
                }
            }
            TapeEntry::Mark(mark) if !json && filter.is_none() => {
                if let Some(text) = mark_text(&mark) {
                    writeln!(out, "       {}", sanitize(&text))?;
                }
            }
            TapeEntry::Mark(_) => {}
            TapeEntry::Problem(problem) => show_trouble(path, &problem.to_string(), json, out)?,
            TapeEntry::Torn => show_trouble(path, &format!("line {line}: torn, as after a crash"), json, out)?,
        }
    }
    out.flush()?;
    Ok(())
}

/// So many lines are read for who the peers are: a server says it in its first reply, unless it is asked much before.
const EARLY: usize = 16;

/// Has the header know who the server is, where one of the first lines says it: a tape is begun before the server has answered.
/// Returns what was read for that.
fn meet_peers(header: &mut TapeHeader, lines: &mut impl Iterator<Item = (u64, TapeEntry)>) -> Vec<(u64, TapeEntry)> {
    let mut early = Vec::new();
    while header.peers.server.is_none() && early.len() < EARLY {
        let Some((line, entry)) = lines.next() else { break };
        if let TapeEntry::Mark(Mark::Peer(peer)) = &entry {
            header.peers.learn(peer.peers.clone());
        }
        early.push((line, entry));
    }
    early
}

/// Says what could not be read where it stands, or, as what reads JSON would stumble over it there, on stderr.
fn show_trouble(path: &Path, why: &str, json: bool, out: &mut impl Write) -> std::io::Result<()> {
    if json {
        print_error(&format!("{}: {why}", path.display()));
        return Ok(());
    }
    writeln!(out, "     ! {}", sanitize(why))
}

fn json_line(header: &TapeHeader, envelope: &Envelope) -> String {
    let mut text = Vec::new();
    envelope.write_json(header.session_field(envelope.session), &mut text);
    harmless_json(&String::from_utf8_lossy(&text)).into_owned()
}

fn head(path: &Path, header: &TapeHeader, out: &mut impl Write) -> std::io::Result<()> {
    let mut row = |name: &str, value: &str| match value {
        "" => Ok(()),
        value => writeln!(out, "{name:10}  {}", sanitize(value)),
    };
    let peer = |peer: &Option<Arc<Peer>>| peer.as_ref().map(|it| it.text()).unwrap_or_default();
    row("tape", &path.display().to_string())?;
    row("session", &header.session.0.to_string())?;
    row("started", &list::started(header.started))?;
    row("upstream", &header.upstream)?;
    row("protocol", header.peers.protocol.as_deref().unwrap_or_default())?;
    row("client", &peer(&header.peers.client))?;
    row("server", &peer(&header.peers.server))?;
    row("format", &format!("{}, by tapline {}", header.format, header.version))?;
    let kept = if header.unredacted { "; secrets in messages were kept on purpose" } else { "" };
    row("redacted", &format!("{}{kept}", header.redaction.join(", ")))?;
    if let Some(parent) = header.parent {
        row("branch", &format!("of session {} from message {}", parent.session.0, parent.seq))?;
    }
    writeln!(out)
}

/// A line for a person; `own` is the session of its tape, which need not be told.
pub(super) fn message_line(envelope: &Envelope, own: SessionId, colour: bool) -> String {
    let arrow = if envelope.direction == Direction::ToServer { '>' } else { '<' };
    let (kind, paint) = match envelope.kind() {
        Kind::Request => ('Q', ""),
        Kind::Result if envelope.message.is_failed_result() => ('R', "31"),
        Kind::Result => ('R', "32"),
        Kind::Error => ('E', "31"),
        Kind::Notification => ('N', "2"),
        Kind::Batch => ('B', ""),
        Kind::Opaque if envelope.is_failure() => ('E', "31"),
        Kind::Opaque => ('?', "33"),
    };
    let subject = [envelope.method(), envelope.name()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let took = envelope.reply_to.as_ref().map(|it| micros_with_unit(it.took)).unwrap_or_default();
    let outcome = envelope.outcome.word().map(|word| format!("[{word}] ")).unwrap_or_default();
    let other = Some(envelope.session).filter(|session| *session != own);
    let session = other.map(|session| format!("[session {}] ", session.short())).unwrap_or_default();
    let body = ["params", "result", "error"].into_iter().find_map(|key| envelope.message.member(key));
    let raw = String::from_utf8_lossy(envelope.message.raw());
    let body = fit(&sanitize(body.unwrap_or(&raw)), BODY);
    let line = format!(
        "{:>6} {:>10} {arrow} {kind} {:34} {took:>8}  {session}{outcome}{body}",
        envelope.seq.0,
        micros_with_unit(envelope.at),
        fit(&sanitize(&subject), 34),
    );
    let line = line.trim_end();
    if colour && !paint.is_empty() { format!("\x1b[{paint}m{line}\x1b[0m") } else { line.to_owned() }
}

fn mark_text(mark: &Mark) -> Option<String> {
    Some(match mark {
        Mark::Gap { messages, .. } => format!("-- {} missing --", counted_are(*messages, "message")),
        Mark::Log { source, text, .. } => format!("{source}: {text}"),
        Mark::Seam { text, .. } | Mark::Rewind { text, .. } => format!("-- {text} --"),
        Mark::Attempt { text, .. } => text.clone(),
        Mark::HangUp { seq, .. } => format!("the client hung up on {seq}"),
        Mark::Note { text, .. } => format!("note: {text}"),
        Mark::End { reason, session: Some(session), .. } => {
            format!("-- end of session {}: {reason} --", session.short())
        }
        Mark::End { reason, .. } => format!("-- end: {reason} --"),
        // What was noted stands at its message.
        Mark::Annotation(_) | Mark::Peer(_) | Mark::Seal(_) | Mark::Signature(_) | Mark::Unknown => return None,
    })
}
