//! What people noted of the messages of a tape, without reading those.

use std::path::Path;

use super::{TapeEntry, TapeReader};
use crate::tape::format::{Mark, TapeAnnotations, TapeError, TapeHeader};

const ANNOTATION: &[u8] = br#"{"mark":"annotation""#;

/// Reads what is noted on a tape, as it was left, and its header.
///
/// # Errors
/// Where it cannot be read at all, is no tape, or is one of a newer format.
pub(crate) fn read_annotations(path: &Path) -> Result<(TapeHeader, TapeAnnotations), TapeError> {
    let mut entries = TapeReader::open(path)?;
    let mut annotations = TapeAnnotations::default();
    while let Some(entry) = entries.next_with(|line| !line.starts_with(ANNOTATION)) {
        if let TapeEntry::Mark(Mark::Annotation(noted)) = entry {
            annotations.put(noted);
        }
    }
    Ok((entries.header().clone(), annotations))
}
