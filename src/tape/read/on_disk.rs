//! Messages that stay on the disk until they are needed: a tape may be larger than memory.

use std::fs::File;
use std::io::{self, BufReader, Seek as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::chunks::{KeepMessage, TapeChunks};
use super::{BUFFER, Tape, TapeBytes, TapeEntry, TapeReader};
use crate::envelope::{Envelope, SessionId};
use crate::tape::format::TapeError;

/// A tape file of which single lines are read, by where they stand.
#[derive(Debug)]
pub(in crate::tape) struct TapeFile {
    file: File,
    session: SessionId,
}

impl TapeFile {
    pub(in crate::tape) fn open(path: &Path, session: SessionId) -> Result<Self, TapeError> {
        super::check_is_file(path)?;
        let file = super::packed::open_plain(path).map_err(|source| TapeError::unread(path, source))?;
        Ok(Self { file, session })
    }

    /// Reads the message of one line again.
    ///
    /// # Errors
    /// Where the file was changed since.
    pub(in crate::tape) fn envelope(&self, place: &Range<u64>) -> Result<Envelope, String> {
        let length = usize::try_from(place.end - place.start).map_err(|error| error.to_string())?;
        let mut line = vec![0; length];
        self.file.read_exact_at(&mut line, place.start).map_err(|error| error.to_string())?;
        let text = std::str::from_utf8(&line).map_err(|error| error.to_string())?;
        Envelope::read_json(text.trim_end(), self.session).map(|(envelope, _)| envelope)
    }
}

/// Is told how much of how much is read, or done; says whether that is to go on.
pub type ReadWatch<'w> = dyn Fn(u64, u64) -> bool + 'w;

/// A tape that was gone through once. Its messages stayed where they stand: what it takes in memory does not go with their size.
#[derive(Debug)]
pub struct StoredTape {
    /// All but its messages.
    pub(in crate::tape) about: Tape,
    /// Its lines, by where they stand.
    pub(in crate::tape) file: Arc<TapeFile>,
}

impl StoredTape {
    /// Goes through a tape file, so many bytes at a time: what `keep` makes of a message, on any core, `take` is given in order.
    /// `None` where that was stopped.
    ///
    /// # Errors
    /// Where it cannot be read at all, is no tape, or is one of a newer format.
    pub(in crate::tape) fn read<M: Send>(
        path: &Path,
        stretch: u64,
        watch: &ReadWatch<'_>,
        keep: &KeepMessage<'_, M>,
        mut take: impl FnMut(M),
    ) -> Result<Option<Self>, TapeError> {
        let unread = |error| TapeError::unread(path, error);
        let (entries, file) = if super::check_is_file(path).is_ok() {
            let entries = TapeReader::open(path)?;
            (entries, super::packed::open_plain(path).map_err(unread)?)
        } else {
            // A pipe is read once: the copy of it is gone through.
            let mut file = super::packed::open_plain(path).map_err(unread)?;
            file.rewind().map_err(unread)?;
            let bytes = TapeBytes::Plain(file.try_clone().map_err(unread)?);
            (TapeReader::new(path, BufReader::with_capacity(BUFFER, bytes))?, file)
        };
        let length = file.metadata().map_or(0, |it| it.len());
        let file = Arc::new(TapeFile { file, session: entries.header().session });
        let mut about = Tape::begun(path, entries.header().clone());
        let mut chunks = TapeChunks::of(entries, stretch);
        while let Some(read) = chunks.keep_next(keep) {
            if !watch(chunks.read(), length) {
                return Ok(None);
            }
            read.into_iter().for_each(|chunk| about.add_all_but_messages(chunk).into_iter().for_each(&mut take));
        }
        Ok(Some(Self { about, file }))
    }

    /// Reads a message again.
    ///
    /// # Errors
    /// Where the file was changed since.
    pub(in crate::tape) fn envelope(&self, place: &Range<u64>) -> Result<Envelope, TapeError> {
        self.file.envelope(place).map_err(|why| TapeError::CannotRead {
            path: self.about.path.clone(),
            error: io::Error::other(format!("it was changed while it was read: {why}")),
        })
    }

    /// All its messages once more, in the order they passed.
    pub(in crate::tape) fn messages(&self) -> impl Iterator<Item = Envelope> {
        let bytes = BufReader::with_capacity(BUFFER, BytesAt { file: &self.file.file, at: 0 });
        let entries = TapeReader::new(&self.about.path, bytes).into_iter().flatten();
        entries.filter_map(|entry| match entry {
            TapeEntry::Message { envelope, .. } => Some(*envelope),
            _ => None,
        })
    }

    /// Everything that is not as it should be, for people.
    pub fn troubles(&self) -> Vec<String> {
        self.about.troubles()
    }

    /// Whether a line could not be read, the last one included that a crash cut short.
    pub fn is_damaged(&self) -> bool {
        self.about.torn || !self.about.problems.is_empty()
    }
}

/// A file from one place on, whoever else reads it.
struct BytesAt<'f> {
    file: &'f File,
    at: u64,
}

impl io::Read for BytesAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
