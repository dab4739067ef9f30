//! Messages of a tape that stay on the disk until they are needed, and what is known of them without reading them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use http::HeaderMap;

use crate::envelope::Direction;
use crate::mcp::era;
use crate::message::{Kind, Message, Subject};
use crate::tape::read::TapeFile;

/// Where a message stands: in which of the files, and where its line is in that.
pub(super) type TapeLine = (usize, Range<u64>);

/// A message of a tape: in memory, or where its line stands in which of the files.
#[derive(Clone, Debug)]
pub(super) enum StoredMessage {
    Kept(Box<Message>),
    OnDisk { file: u16, length: u32, at: u64 },
}

impl StoredMessage {
    /// One that is left where it stands; kept, where it stands nowhere.
    pub(super) fn of(message: &Message, line: Option<&TapeLine>) -> Self {
        let on_disk = |(file, line): &TapeLine| {
            let (file, length) = (u16::try_from(*file).ok()?, u32::try_from(line.end - line.start).ok()?);
            Some(Self::OnDisk { file, length, at: line.start })
        };
        line.and_then(on_disk).unwrap_or_else(|| Self::Kept(Box::new(message.clone())))
    }

    /// Returns the message as it stands on the tape; of a reply that was edited, what the server said.
    ///
    /// # Errors
    /// Where the file cannot be read any more.
    pub(super) fn load(&self, files: &[Arc<TapeFile>]) -> Result<Message, String> {
        let (file, line) = match self {
            Self::Kept(message) => return Ok((**message).clone()),
            Self::OnDisk { file, length, at } => (&files[usize::from(*file)], *at..*at + u64::from(*length)),
        };
        match file.envelope(&line) {
            Ok(envelope) if envelope.direction == Direction::ToClient => {
                Ok(envelope.original.unwrap_or(envelope.message))
            }
            Ok(envelope) => Ok(envelope.message),
            Err(why) => Err(format!("the tape cannot be read any more: {why}")),
        }
    }
}

/// What is known of a message wherever it is. Most of a tape have one of a few in common.
#[derive(Debug)]
pub(super) struct MessageOutline {
    pub(super) kind: Kind,
    subject: Option<Arc<Subject>>,
    /// It says that it follows a revision without a handshake.
    pub(super) is_modern: bool,
    pub(super) headers: Option<Arc<HeaderMap>>,
}

impl MessageOutline {
    pub(super) fn method(&self) -> Option<&str> {
        self.subject.as_ref().map(|subject| &*subject.method)
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.subject.as_ref()?.name.as_deref()
    }
}

/// The headers by where they are: an outline keeps them there.
type OutlineKey = (Kind, Option<Arc<Subject>>, bool, usize);

/// The outlines that messages had so far.
#[derive(Default)]
pub(super) struct MessageOutlines(HashMap<OutlineKey, Arc<MessageOutline>>);

/// More outlines are not remembered: each message of a tape may be about something else.
const MOST_OUTLINES: usize = 1 << 10;

impl MessageOutlines {
    pub(super) fn of(&mut self, message: &Message, headers: Option<&Arc<HeaderMap>>) -> Arc<MessageOutline> {
        let (kind, subject, is_modern) =
            (message.kind(), message.head().subject.clone(), era::is_modern(message, || None));
        if self.0.len() >= MOST_OUTLINES {
            self.0.clear();
        }
        let place = headers.map_or(0, |headers| Arc::as_ptr(headers).addr());
        let outline = || MessageOutline { kind, subject: subject.clone(), is_modern, headers: headers.cloned() };
        self.0.entry((kind, subject.clone(), is_modern, place)).or_insert_with(|| Arc::new(outline())).clone()
    }
}
