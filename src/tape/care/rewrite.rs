//! Tapes rewritten: beside the old one, and put in its place in one step. Whatever happens, one of them is whole.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use super::seal::{LineSums, is_seal, seals_hold};
use super::signature::SIGNATURE;
use crate::event::{Annotation, TapeEdit, Timestamp};
use crate::files::{DraftFile, rename_new};
use crate::tape::format::{AnnotationMark, Mark, TapeError, TapeHeader};
use crate::tape::name::{PACKED, SUFFIX};
use crate::tape::read::{
    Problem, Problems, ReadWatch, TapeBytes, TapeEntry, TapeReader, is_broken, read_annotations, read_no_further,
    troubles,
};
use crate::tape::redact::{RedactRules, Redactor};

/// How hard zstd tries. Three is its own choice: 200 MB/s and more.
const LEVEL: i32 = 3;
/// The window of a packed tape, as a power of two: what servers say again is often far away, and lists of tools are large.
const WINDOW: u32 = 23;

/// Bytes that are written and summed at a time, and how many times so much may wait for its sum.
const BATCH: usize = if cfg!(test) { 64 } else { 1 << 20 };
const BATCHES: usize = 4;

/// How a tape is to lie on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Zstd,
}

/// What becomes of the seals of a tape that is rewritten. One that does not hold stays, with all others, whatever is said here: what was
/// changed by hand does not look unchanged because somebody has written a note on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// No line is changed: they stay, and signatures with them. Another one ends the tape where it has none at its end.
    Kept,
    /// They go, and a new one ends the tape where it had one.
    AsBefore,
    /// They go, and a new one ends the tape.
    New,
}

/// What becomes of a line: given without its end, and returned so.
pub type LineChange<'c> = dyn FnMut(u64, Vec<u8>) -> Vec<u8> + 'c;

/// Writes a tape to another file, line by line; its seals become what `sealing` says. What was not there when that began is not written
/// over. Returns where a packed one was cut or damaged: what stands before is written, unless it were to take its place.
///
/// # Errors
/// Where the tape cannot be read, or the file not be written. Then there is no new file.
pub fn rewrite(
    from: &Path,
    to: &Path,
    packing: Packing,
    sealing: Sealing,
    change: &mut LineChange<'_>,
) -> Result<Option<Problem>, TapeError> {
    rewrite_watched(from, to, packing, sealing, change, &|_, _| true)
}

fn rewrite_watched(
    from: &Path,
    to: &Path,
    packing: Packing,
    sealing: Sealing,
    change: &mut LineChange<'_>,
    watch: &ReadWatch<'_>,
) -> Result<Option<Problem>, TapeError> {
    // It is a tape, and one that we know.
    TapeReader::open(from)?;
    // Of a link, what it leads to is replaced; a device, or a pipe, is not.
    let to = &to.canonicalize().unwrap_or_else(|_| to.to_owned());
    if to.metadata().is_ok_and(|it| !it.is_file()) {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
        return Err(TapeError::CannotWrite { path: to.clone(), error });
    }
    let is_new = to.symlink_metadata().is_err();
    let cannot_write = |error| TapeError::CannotWrite { path: to.clone(), error };
    let mut draft = DraftFile::of(to, 0o600).map_err(cannot_write)?;
    let file = draft.file().map_err(cannot_write)?;
    let ended = write_rewritten(from, file, packing, sealing, change, watch).map_err(cannot_write)?;
    let problem = ended.judged(from, to)?;
    let put = if is_new { draft.put(to) } else { draft.replace() };
    put.map(|()| problem).map_err(|error| TapeError::unwritten(to, error))
}

/// How far a tape could be read.
enum Ended {
    Whole,
    Unread { line: u64, error: io::Error },
}

impl Ended {
    /// Whether what was read may go to another place.
    fn judged(self, from: &Path, to: &Path) -> Result<Option<Problem>, TapeError> {
        match self {
            Self::Whole => Ok(None),
            Self::Unread { error, .. } if !is_broken(&error) => Err(TapeError::unread(from, error)),
            Self::Unread { line, error } => {
                let problem = Problem { line, why: read_no_further(&error) };
                if from.canonicalize().is_ok_and(|from| from == to) {
                    Err(TapeError::Broken { path: from.to_owned(), problem: problem.to_string() })
                } else {
                    Ok(Some(problem))
                }
            }
        }
    }
}

fn write_rewritten(
    from: &Path,
    file: File,
    packing: Packing,
    sealing: Sealing,
    change: &mut LineChange<'_>,
    watch: &ReadWatch<'_>,
) -> io::Result<Ended> {
    let seals = SealLines::of(from, sealing)?;
    let bytes = TapeBytes::open(from)?;
    let place = bytes.place()?;
    let tell = || place.tell(watch, 0, 1);
    let mut reader = BufReader::with_capacity(1 << 18, bytes);
    let out = BufWriter::with_capacity(1 << 18, file);
    match packing {
        Packing::Plain => {
            let mut out = out;
            let ended = copy_lines(&mut reader, &mut out, seals, change, &tell)?;
            out.into_inner()?.sync_all()?;
            Ok(ended)
        }
        Packing::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(out, LEVEL)?;
            encoder.include_checksum(true)?;
            encoder.window_log(WINDOW)?;
            let mut packed = PackedBlocks { encoder, written: 0, left: FIRST_BLOCK };
            let ended = copy_lines(&mut reader, &mut packed, seals, change, &tell)?;
            packed.encoder.finish()?.into_inner()?.sync_all()?;
            Ok(ended)
        }
    }
}

/// What zstd is given before a block is ended, at first: of a file that is cut, whole blocks can be read.
const FIRST_BLOCK: usize = 4 << 10;
/// A third of what was written so far is given to the next one, up to so much: then its own blocks are small enough.
const LARGEST_BLOCK: usize = 128 << 10;

/// Ends blocks early in a small tape, which would be one.
struct PackedBlocks<W: Write> {
    encoder: zstd::stream::write::Encoder<'static, W>,
    written: usize,
    /// Until the block is ended.
    left: usize,
}

impl<W: Write> Write for PackedBlocks<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.encoder.write(&bytes[..bytes.len().min(self.left)])?;
        self.written += taken;
        self.left -= taken;
        if self.left == 0 {
            let next = (self.written / 2).max(FIRST_BLOCK);
            self.left = if next < LARGEST_BLOCK { next } else { usize::MAX };
            self.encoder.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }
}

fn copy_lines(
    reader: &mut BufReader<TapeBytes>,
    out: &mut dyn Write,
    seals: SealLines,
    change: &mut LineChange<'_>,
    tell: &dyn Fn(),
) -> io::Result<Ended> {
    let mut lines = ChangedLines { reader, change, number: 0, seals, ended: Ended::Whole };
    thread::scope(|scope| {
        // The sums are half of the work, and have a core of their own.
        let (send, batches) = bounded::<Arc<Vec<u8>>>(BATCHES);
        let summing = scope.spawn(move || sums_of(&batches));
        loop {
            let mut batch = Vec::new();
            let mut is_more = true;
            while is_more && batch.len() < BATCH {
                is_more = lines.read_into(&mut batch);
            }
            let batch = Arc::new(batch);
            send.send(batch.clone()).expect("summing ends after this");
            out.write_all(&batch)?;
            tell();
            if !is_more {
                break;
            }
        }
        drop(send);
        let sums = summing.join().expect("summing never panics");
        if lines.seals.is_due {
            serde_json::to_writer(&mut *out, &Mark::Seal(sums.seal()))?;
            out.write_all(b"\n")?;
        }
        Ok(lines.ended)
    })
}

fn sums_of(batches: &Receiver<Arc<Vec<u8>>>) -> LineSums {
    let mut sums = LineSums::default();
    batches.iter().for_each(|batch| batch.split_inclusive(|byte| *byte == b'\n').for_each(|it| sums.line(it)));
    sums
}

/// What becomes of the lines that are seals or signatures.
struct SealLines {
    sealing: Sealing,
    /// They stay as they are, and another would hide that.
    is_broken: bool,
    /// A new one is to end the tape, as it stands so far.
    is_due: bool,
}

impl SealLines {
    fn of(from: &Path, sealing: Sealing) -> io::Result<Self> {
        let is_broken = sealing != Sealing::Kept && !seals_hold(from)?;
        Ok(Self { sealing, is_broken, is_due: sealing == Sealing::New && !is_broken })
    }

    /// Takes in a line; returns whether it is one of those, and stays.
    fn line(&mut self, line: &[u8]) -> Option<bool> {
        let (is_seal, is_kept) = (is_seal(line), self.is_broken || self.sealing == Sealing::Kept);
        let is_signature = line.starts_with(SIGNATURE);
        self.is_due = match self.sealing {
            _ if self.is_broken => false,
            Sealing::Kept => !is_seal && (self.is_due || !is_signature),
            Sealing::AsBefore => self.is_due || is_seal,
            Sealing::New => true,
        };
        (is_seal || is_signature).then_some(is_kept)
    }
}

/// The lines of a tape as they are to be.
struct ChangedLines<'c, 'l> {
    reader: &'c mut BufReader<TapeBytes>,
    change: &'c mut LineChange<'l>,
    number: u64,
    seals: SealLines,
    ended: Ended,
}

impl ChangedLines<'_, '_> {
    /// Adds the next line; `false` behind the last.
    fn read_into(&mut self, batch: &mut Vec<u8>) -> bool {
        let mut line = Vec::new();
        let read = self.reader.read_until(b'\n', &mut line);
        self.number += 1;
        match read {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => {
                (self.seals.is_due, self.ended) = (false, Ended::Unread { line: self.number, error });
                return false;
            }
        }
        let is_ended = line.pop_if(|last| *last == b'\n').is_some();
        match self.seals.line(&line) {
            // What was signed is no more.
            Some(false) => return true,
            Some(true) => batch.append(&mut line),
            None => batch.append(&mut (self.change)(self.number, line)),
        }
        // A torn line stays torn.
        if is_ended {
            batch.push(b'\n');
        } else {
            self.seals.is_due = false;
        }
        true
    }
}

/// Packs a tape, or unpacks it; the old file goes, unless it was cut or damaged, and where is returned. Returns the new path, or `None`
/// where it lies so already.
///
/// # Errors
/// Where the tape cannot be read, or the new one not be written: then the old one stays.
pub fn pack(
    path: &Path,
    packing: Packing,
    watch: &ReadWatch<'_>,
) -> Result<Option<(PathBuf, Option<Problem>)>, TapeError> {
    let is_packed = !matches!(TapeBytes::open(path), Ok(TapeBytes::Plain(_)));
    if is_packed == (packing == Packing::Zstd) {
        TapeReader::open(path)?;
        return Ok(None);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = match packing {
        Packing::Zstd => format!("{name}{PACKED}"),
        Packing::Plain => name.strip_suffix(PACKED).unwrap_or(&name).to_owned(),
    };
    let to = path.with_file_name(name);
    if to != path {
        check_free(&to)?;
    }
    let broken = rewrite_watched(path, &to, packing, Sealing::Kept, &mut |_, line| line, watch)?;
    if to != path && broken.is_none() {
        std::fs::remove_file(path).map_err(|error| TapeError::CannotWrite { path: path.to_owned(), error })?;
    }
    Ok(Some((to, broken)))
}

/// Writes a tape to another file without secrets. A secret is looked for all over the tape, also before the place where its name is.
/// Returns how many values were replaced, and what could not be read: what is secret in that is kept.
///
/// # Errors
/// Where the tape cannot be read, or the new one not be written.
pub fn redact(
    from: &Path,
    to: &Path,
    rules: RedactRules,
    watch: &ReadWatch<'_>,
) -> Result<(u64, Vec<String>), TapeError> {
    let words: Vec<_> = ["headers".to_owned(), "bodies".to_owned()].into_iter().chain(rules.words()).collect();
    let mut redactor = Redactor::new(rules);
    // What is found under a name is known by the second time.
    let (mut entries, mut problems, mut is_torn) = (TapeReader::open(from)?, Problems::default(), false);
    while let Some(entry) = entries.next_with(|line| {
        let _ = std::str::from_utf8(line).ok().and_then(|line| redactor.line(line));
        false
    }) {
        match entry {
            TapeEntry::Problem(problem) => problems.push(problem),
            TapeEntry::Torn => is_torn = true,
            TapeEntry::Message { .. } | TapeEntry::Mark(_) => {}
        }
    }
    redactor.replaced = 0;
    let packing = if to.to_string_lossy().ends_with(PACKED) { Packing::Zstd } else { Packing::Plain };
    let mut change = |number, line: Vec<u8>| {
        if number == 1 {
            return with_redaction(&line, &words).unwrap_or(line);
        }
        match std::str::from_utf8(&line).ok().and_then(|line| redactor.line(line)) {
            Some(now) => now.into_bytes(),
            None => line,
        }
    };
    rewrite_watched(from, to, packing, Sealing::New, &mut change, watch)?;
    Ok((redactor.replaced, troubles(&problems, 0, is_torn)))
}

/// The header, which says what was taken out.
fn with_redaction(header: &[u8], words: &[String]) -> Option<Vec<u8>> {
    let mut header: serde_json::Value = serde_json::from_slice(header).ok()?;
    let known = header["redaction"].as_array().cloned().unwrap_or_default();
    let new = words.iter().map(|word| serde_json::Value::from(word.as_str())).filter(|word| !known.contains(word));
    header.as_object_mut()?.shift_remove("unredacted");
    header["redaction"] = known.iter().cloned().chain(new).collect();
    serde_json::to_vec(&header).ok()
}

/// How a tape lies on the disk now.
pub fn packing_of(path: &Path) -> Packing {
    match TapeBytes::open(path) {
        Ok(TapeBytes::Packed(_)) => Packing::Zstd,
        _ => Packing::Plain,
    }
}

/// Whether nothing is where a tape is to be written: none is written over something. A device, or a pipe, has nothing to lose.
///
/// # Errors
/// [`TapeError::Exists`], also of a link that leads nowhere.
pub fn check_free(path: &Path) -> Result<(), TapeError> {
    let is_special = path.metadata().is_ok_and(|it| !it.is_file() && !it.is_dir());
    match path.symlink_metadata() {
        Ok(_) if !is_special => Err(TapeError::Exists { path: path.to_owned() }),
        _ => Ok(()),
    }
}

/// Where a tape is once it has this name; `None` where that is no name.
pub fn renamed(path: &Path, name: &str) -> Option<PathBuf> {
    let is_packed = path.to_string_lossy().ends_with(PACKED);
    let name = name.strip_suffix(PACKED).unwrap_or(name);
    let name = name.strip_suffix(SUFFIX).unwrap_or(name);
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    is_name.then(|| path.with_file_name(format!("{name}{SUFFIX}{}", if is_packed { PACKED } else { "" })))
}

/// Does what a person asks for on the screen.
///
/// # Errors
/// Why it cannot be done, in words.
pub fn tend(path: &Path, edit: &TapeEdit) -> Result<(), String> {
    match edit {
        TapeEdit::Rename(name) => {
            let to = renamed(path, name).ok_or("a name is a word such as `login-fails`, without a directory")?;
            rename_new(path, &to).map_err(|error| TapeError::unwritten(&to, error).to_string())
        }
        TapeEdit::Note(text) => append_note(path, text).map_err(|error| error.to_string()),
        TapeEdit::Delete => {
            // Whatever asks: nothing but a tape.
            TapeReader::open(path).map_err(|error| error.to_string())?;
            std::fs::remove_file(path).map_err(|error| error.to_string())
        }
    }
}

/// Writes a note onto a tape, without secrets where its messages are, and renews its seal where it had one.
///
/// # Errors
/// Where the tape cannot be read, or not be written.
pub fn append_note(path: &Path, text: &str) -> Result<(), TapeError> {
    let header = TapeReader::open(path)?.header().clone();
    let note = Mark::Note { at: Timestamp::now().0.saturating_sub(header.started.0), text: text.to_owned() };
    put_behind_header(path, written(&note, redactor_of(&header).as_mut()).as_bytes())
}

/// Writes what was noted of messages onto a tape, without secrets where its messages are, and renews its seal where it had one.
///
/// # Errors
/// Where the tape cannot be read, or not be written.
pub fn annotate(path: &Path, annotations: &[Annotation]) -> Result<(), TapeError> {
    let (header, known) = read_annotations(path)?;
    let mut redactor = redactor_of(&header);
    let now = Timestamp::now().0.saturating_sub(header.started.0);
    let line = |noted: &Annotation| {
        // The latest counts, also where the clock was set back.
        let at = known.noted_at(noted.seq).map_or(now, |before| now.max(before + 1));
        let mark = Mark::Annotation(AnnotationMark { at, seq: noted.seq, mark: noted.mark.clone() });
        written(&mark, redactor.as_mut())
    };
    let lines: Vec<_> = annotations.iter().map(line).collect();
    put_behind_header(path, lines.join("\n").as_bytes())
}

/// What takes secrets out of what is added to a tape; nothing where its messages have them.
fn redactor_of(header: &TapeHeader) -> Option<Redactor> {
    header.has_redacted_bodies().then(|| Redactor::without_digits(RedactRules::default()))
}

fn written(mark: &Mark, redactor: Option<&mut Redactor>) -> String {
    let line = serde_json::to_string(mark).expect("a mark is JSON");
    redactor.and_then(|redactor| redactor.line(&line)).unwrap_or(line)
}

/// There, so that a tape that is torn at its end has it, too.
fn put_behind_header(path: &Path, lines: &[u8]) -> Result<(), TapeError> {
    let is_read_only = std::fs::metadata(path).is_ok_and(|it| it.permissions().readonly());
    if is_read_only {
        let error = io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only");
        return Err(TapeError::CannotWrite { path: path.to_owned(), error });
    }
    rewrite(path, path, packing_of(path), Sealing::AsBefore, &mut |number, line| match number {
        1 => [&line[..], b"\n", lines].concat(),
        _ => line,
    })
    .map(drop)
}
