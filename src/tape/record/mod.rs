//! Writes tapes: one file a session, one write a batch.
//!
//! Owns the files and what is not yet on them. A recording failure is never a failure of the session: it is told once,
//! counted, tried again with every flush, and leaves a gap mark where messages are missing. Synchronous, for the one
//! thread that records; nothing here is shared.

mod disk;
mod recording;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foldhash::HashMap;

use self::disk::{Disk, RealDisk};
use self::recording::Recording;
pub use self::recording::TapeInterference;
use super::care::seal;
use super::format::{Mark, TapeError, TapePeers};
use super::name::file_name;
use super::redact::RedactRules;
use crate::envelope::{Envelope, HeaderTexts, PendingLines, Seq, SessionId};
use crate::event::{Annotation, Landmark, Session, TapeParent};
use crate::text::counted_are;

/// How many files stay open: idle sessions come by the thousand, file descriptors do not.
const OPEN_FILES: usize = 128;

/// How soon it is noticed that a tape was removed or moved away while it is written.
const LOOK: Duration = Duration::from_secs(1);

/// Buffers larger than this are given back to the system once written.
const KEPT_BUFFER: usize = 1 << 20;

fn is_same_file(one: &Path, other: &Path) -> std::io::Result<bool> {
    Ok(one.canonicalize()? == other.canonicalize()?)
}

/// Is told of each tape that is closed.
type ClosedTapeListener = Box<dyn Fn(&Path) + Send + Sync>;

/// One for the whole process, as where tapes go is said once, on the command line.
static CLOSED: OnceLock<ClosedTapeListener> = OnceLock::new();

/// Has a listener told of each tape that is closed, on the thread that records: it must not wait. Returns whether it is the first.
pub fn tell_closed(listener: impl Fn(&Path) + Send + Sync + 'static) -> bool {
    CLOSED.set(Box::new(listener)).is_ok()
}

/// Records sessions into one directory.
pub struct Recorder {
    dir: PathBuf,
    disk: Box<dyn Disk>,
    tapes: HashMap<SessionId, Box<Recording>>,
    /// Sessions with something to write, in the order it came.
    dirty: Vec<SessionId>,
    /// Sessions whose file is open, oldest first.
    open: VecDeque<SessionId>,
    /// Empty buffers: an idle session owns none.
    spare: Vec<PendingLines>,
    headers: HeaderTexts,
    /// What is taken out of messages; nothing if `None`.
    redact: Option<RedactRules>,
    /// How long an open file is trusted to have its name still: looking is a system call.
    look: Duration,
}

/// What [`Recorder::flush`] has to tell: each file's failure once, and its end.
#[derive(Debug)]
pub enum RecordingNotice {
    Failed {
        session: SessionId,
        error: TapeError,
    },
    Recovered {
        session: SessionId,
        path: PathBuf,
        missing: u64,
    },
    /// Another program changed the file, and recording goes on.
    Meddled {
        session: SessionId,
        path: PathBuf,
        what: TapeInterference,
        missing: u64,
    },
}

impl RecordingNotice {
    /// Whose tape it is.
    pub fn session(&self) -> SessionId {
        match self {
            Self::Failed { session, .. } | Self::Recovered { session, .. } | Self::Meddled { session, .. } => *session,
        }
    }
}

impl fmt::Display for RecordingNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { error, .. } => {
                write!(f, "{error}; messages pass unrecorded until it can be written again")
            }
            Self::Recovered { path, missing, .. } => {
                write!(f, "recording to {} again; {} missing", path.display(), counted_are(*missing, "message"))
            }
            Self::Meddled { path, what, missing, .. } => {
                let what = match what {
                    TapeInterference::Removed => "was removed or moved away: a new one begins",
                    TapeInterference::Cut => "was cut short: it goes on behind what is left",
                };
                write!(f, "the tape {} {what}; {} missing", path.display(), counted_are(*missing, "message"))
            }
        }
    }
}

impl Recorder {
    /// Nothing is touched before the first session opens. Secrets in messages are taken out.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self::on(dir, Box::new(RealDisk), LOOK)
    }

    /// Takes out by these rules, or nothing.
    pub fn redacting(self, rules: Option<RedactRules>) -> Self {
        Self { redact: rules, ..self }
    }

    fn on(dir: impl Into<PathBuf>, disk: Box<dyn Disk>, look: Duration) -> Self {
        Self {
            dir: dir.into(),
            disk,
            tapes: HashMap::default(),
            dirty: Vec::new(),
            open: VecDeque::new(),
            spare: Vec::new(),
            headers: HeaderTexts::default(),
            redact: Some(RedactRules::default()),
            look,
        }
    }

    /// Starts to record a session and names its file. The file itself begins with the first message: a session that
    /// says nothing leaves none. A session that was recorded before (tapline was restarted) goes on in its file.
    ///
    /// # Errors
    /// Where the directory cannot be made. The session is recorded all the same as soon as it can be.
    pub fn open(&mut self, session: &Session) -> Result<Arc<Path>, TapeError> {
        let path = self.dir.join(file_name(session));
        // As a rule the session knows it, and one path is enough.
        let known = session.tape.as_ref().filter(|known| ***known == *path);
        let path = known.map_or_else(|| path.into(), Arc::clone);
        self.tapes.entry(session.id).or_insert_with(|| Box::new(Recording::new(session, path.clone())));
        match self.disk.create_dir(&self.dir) {
            Ok(()) => Ok(path),
            Err(error) => Err(TapeError::CannotCreate { path: self.dir.clone(), error }),
        }
    }

    /// What the tape branches off, for its header.
    ///
    /// # Errors
    /// [`TapeError::NotOpen`].
    pub fn branch(&mut self, session: SessionId, parent: TapeParent) -> Result<(), TapeError> {
        self.tapes.get_mut(&session).ok_or(TapeError::NotOpen(session))?.parent = Some(parent);
        Ok(())
    }

    /// The file of an open session.
    pub fn path(&self, session: SessionId) -> Option<Arc<Path>> {
        self.tapes.get(&session).map(|tape| tape.path.clone())
    }

    /// Whether an open session is recorded to this file.
    pub fn records(&self, path: &Path) -> bool {
        // The way to it may be another: a link, or a directory that was given relative to where we are.
        let is_same =
            |tape: &Path| tape.file_name() == path.file_name() && is_same_file(tape, path).unwrap_or_default();
        self.tapes.values().any(|tape| *tape.path == *path || is_same(&tape.path))
    }

    /// Formats a message into its session's buffer; [`Recorder::flush`] writes it.
    ///
    /// # Errors
    /// [`TapeError::NotOpen`].
    pub fn append(&mut self, envelope: &Envelope) -> Result<(), TapeError> {
        self.touch(envelope.session)?;
        if let Some(tape) = self.tapes.get_mut(&envelope.session) {
            tape.append(envelope, &mut self.headers, self.redact.as_ref());
        }
        Ok(())
    }

    /// Marks that messages passed which the recorder never saw.
    ///
    /// # Errors
    /// [`TapeError::NotOpen`].
    pub fn gap(&mut self, session: SessionId, messages: u64) -> Result<(), TapeError> {
        let tape = self.touch(session)?;
        tape.mark(&Mark::Gap { at: tape.now(), messages });
        Ok(())
    }

    /// Marks something that happened beside the messages.
    ///
    /// # Errors
    /// [`TapeError::NotOpen`].
    pub fn landmark(
        &mut self,
        session: SessionId,
        what: Landmark,
        seq: Option<Seq>,
        text: &str,
    ) -> Result<(), TapeError> {
        self.touch(session)?;
        let Some(tape) = self.tapes.get_mut(&session) else { return Ok(()) };
        let (at, text) = (tape.now(), text.to_owned());
        tape.mark(&match what {
            // It may repeat what a client said.
            Landmark::Mock => {
                let mark = Mark::Log { at, source: "mock".to_owned(), text };
                tape.mark_without_secrets(&mark, self.redact.as_ref());
                return Ok(());
            }
            Landmark::Seam => Mark::Seam { at, after: seq, text },
            Landmark::Rewind => Mark::Rewind { at, after: seq, text },
            Landmark::Attempt => Mark::Attempt { at, seq, text },
            Landmark::HangUp => Mark::HangUp { at, seq: seq.unwrap_or_default() },
        });
        Ok(())
    }

    /// Writes what a person noted of a message. Unlike messages it waits where the file cannot be written.
    ///
    /// # Errors
    /// [`TapeError::NotOpen`].
    pub fn annotate(&mut self, noted: &Annotation) -> Result<(), TapeError> {
        self.touch(noted.session)?;
        if let Some(tape) = self.tapes.get_mut(&noted.session) {
            tape.annotate(noted, self.redact.as_ref());
        }
        Ok(())
    }

    /// Takes note of what became known of a session; what the header does not say yet becomes a mark.
    ///
    /// # Errors
    /// [`TapeError::NotOpen`].
    pub fn observe(&mut self, session: &Arc<Session>) -> Result<(), TapeError> {
        let tape = self.tapes.get_mut(&session.id).ok_or(TapeError::NotOpen(session.id))?;
        let news = tape.peers() != TapePeers::of(session);
        tape.session = session.clone();
        // Before the first line is written the header itself will say it.
        if news && tape.has_begun() {
            let tape = self.touch(session.id)?;
            tape.mark(&tape.peer_mark());
        }
        Ok(())
    }

    /// Writes everything pending: one write a file. Call it after every batch, also an empty one: this is when
    /// files that failed are tried again.
    pub fn flush(&mut self) -> Vec<RecordingNotice> {
        let mut notices = Vec::new();
        let dirty = std::mem::take(&mut self.dirty);
        for session in dirty {
            let Some(tape) = self.tapes.get_mut(&session) else {
                continue;
            };
            let missing = tape.lost;
            let written = tape.write(&*self.disk, self.redact.as_ref(), self.look);
            tape.dirty = written.is_err();
            if tape.dirty {
                self.dirty.push(session);
            }
            match written {
                Err(error) if !tape.failing => {
                    tape.failing = true;
                    let error = TapeError::CannotWrite { path: tape.path.to_path_buf(), error };
                    notices.push(RecordingNotice::Failed { session, error });
                }
                Ok(()) if std::mem::take(&mut tape.failing) => {
                    notices.push(RecordingNotice::Recovered { session, path: tape.path.to_path_buf(), missing });
                }
                _ => {}
            }
            if let Some((what, missing)) = tape.meddled.take() {
                notices.push(RecordingNotice::Meddled { session, path: tape.path.to_path_buf(), what, missing });
            }
            recycle(&mut tape.pending, &mut self.spare);
            self.note_open(session);
        }
        notices
    }

    /// Writes the last line and lets go of the file. A session without a message leaves no file. Returns what another program did to the
    /// file since the last flush.
    ///
    /// # Errors
    /// Where the end of the tape could not be written, even if the file's failure was told before; or
    /// [`TapeError::NotOpen`].
    pub fn close(&mut self, session: SessionId, reason: &str) -> Result<Option<RecordingNotice>, TapeError> {
        let mut tape = self.tapes.remove(&session).ok_or(TapeError::NotOpen(session))?;
        self.open.retain(|open| *open != session);
        if !tape.dirty && !tape.has_begun() {
            return Ok(None);
        }
        tape.mark(&Mark::End { at: tape.now(), reason: reason.to_owned(), session: None });
        // The last look: later it would go unnoticed.
        let written = tape.write(&*self.disk, self.redact.as_ref(), Duration::ZERO);
        recycle(&mut tape.pending, &mut self.spare);
        if written.is_ok() && self.disk.is_real() {
            // One that is not sealed is as good as any; `tapline tape verify` says so.
            let _ = seal::seal_closed(&tape.path);
        }
        if let Some(listener) = CLOSED.get().filter(|_| self.disk.is_real()) {
            listener(&tape.path);
        }
        let path = tape.path.to_path_buf();
        match written {
            Ok(()) => Ok(tape.meddled.map(|(what, missing)| RecordingNotice::Meddled { session, path, what, missing })),
            Err(error) => Err(TapeError::CannotWrite { path, error }),
        }
    }

    fn touch(&mut self, session: SessionId) -> Result<&mut Recording, TapeError> {
        let tape = self.tapes.get_mut(&session).ok_or(TapeError::NotOpen(session))?;
        if !std::mem::replace(&mut tape.dirty, true) {
            self.dirty.push(session);
        }
        if tape.pending.text.capacity() == 0 {
            tape.pending = self.spare.pop().unwrap_or_default();
        }
        Ok(tape)
    }

    /// Closes the file that was opened first when there are too many; it is opened again when it is needed.
    fn note_open(&mut self, session: SessionId) {
        let is_open = self.tapes.get(&session).is_some_and(|tape| tape.sink.is_some());
        if !is_open || self.open.contains(&session) {
            return;
        }
        self.open.push_back(session);
        if self.open.len() > OPEN_FILES
            && let Some(oldest) = self.open.pop_front()
            && let Some(tape) = self.tapes.get_mut(&oldest)
        {
            tape.sink = None;
        }
    }
}

fn recycle(buffer: &mut PendingLines, spare: &mut Vec<PendingLines>) {
    let mut buffer = std::mem::take(buffer);
    let capacity = buffer.text.capacity();
    if capacity > 0 && capacity <= KEPT_BUFFER && spare.len() < OPEN_FILES {
        buffer.clear();
        spare.push(buffer);
    }
}
