//! Messages that stay on the disk until they are needed: a tape may be larger than memory.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

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
