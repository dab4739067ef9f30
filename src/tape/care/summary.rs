//! What a list says of a tape, at the speed of reading: of a line as we write it only the head is looked at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde::Serialize;

use crate::mcp::method;
use crate::message::Kind;
use crate::tape::format::{Mark, TapeAnnotations, TapeError, TapeHeader};
use crate::tape::read::{MessageHead, Problems, TapeEntry, TapeReader, troubles};

/// A tape from outside.
#[derive(Clone, Debug, Serialize)]
pub struct TapeSummary {
    pub path: PathBuf,
    /// With everything that later marks know of the peers.
    pub header: TapeHeader,
    pub bytes: u64,
    pub messages: u64,
    pub requests: u64,
    /// Messages that say that something failed, as `~e` finds them.
    pub errors: u64,
    /// How often each tool was called.
    pub tools: BTreeMap<String, u64>,
    /// Microseconds from the start to the last message.
    pub took: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Messages that are marked, or have a comment.
    #[serde(skip_serializing_if = "is_zero")]
    pub annotated: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Why the session ended; `None` where tapline was killed, or still records.
    pub end: Option<String>,
}

impl TapeSummary {
    /// Reads a tape through.
    ///
    /// # Errors
    /// Where it cannot be read at all, is no tape, or is one of a newer format.
    pub fn of(path: &Path) -> Result<Self, TapeError> {
        let mut entries = TapeReader::open(path)?;
        let mut summary = Self::begun(path, entries.header().clone());
        let (mut problems, mut annotations) = (Problems::default(), TapeAnnotations::default());
        let (mut missing, mut torn) = (0, false);
        while let Some(entry) = entries.next_with(|line| summary.take_head(line)) {
            match entry {
                TapeEntry::Message { envelope, .. } => {
                    let is_call = envelope.message.method() == Some(method::TOOLS_CALL);
                    summary.count(envelope.kind().word(), envelope.name().filter(|_| is_call), envelope.at);
                    summary.errors += u64::from(envelope.is_failure());
                }
                TapeEntry::Mark(Mark::Gap { messages, .. }) => missing += messages,
                TapeEntry::Mark(Mark::Peer(peer)) => summary.header.peers.learn(peer.peers),
                TapeEntry::Mark(Mark::End { reason, .. }) => summary.end = Some(reason),
                TapeEntry::Mark(Mark::Note { text, .. }) => summary.notes.push(text),
                TapeEntry::Mark(Mark::Annotation(noted)) => annotations.put(noted),
                TapeEntry::Mark(_) => {}
                TapeEntry::Problem(problem) => problems.push(problem),
                TapeEntry::Torn => torn = true,
            }
        }
        summary.annotated = annotations.all().count() as u64;
        summary.problems = troubles(&problems, missing, torn);
        Ok(summary)
    }

    /// A tape of which no more than the header was read.
    fn begun(path: &Path, header: TapeHeader) -> Self {
        Self {
            path: path.to_owned(),
            header,
            bytes: std::fs::metadata(path).map_or(0, |it| it.len()),
            messages: 0,
            requests: 0,
            errors: 0,
            tools: BTreeMap::new(),
            took: 0,
            notes: Vec::new(),
            annotated: 0,
            problems: Vec::new(),
            end: None,
        }
    }

    fn count(&mut self, kind: &str, tool: Option<&str>, at: u64) {
        self.messages += 1;
        self.took = self.took.max(at);
        self.requests += u64::from(kind == Kind::Request.word());
        if let Some(tool) = tool.filter(|_| kind == Kind::Request.word()) {
            *self.tools.entry(tool.to_owned()).or_default() += 1;
        }
    }

    /// Counts a line by its head alone; `false` where it is not as we write it, and has to be read.
    fn take_head(&mut self, line: &[u8]) -> bool {
        let Some(head) = MessageHead::of(line) else { return false };
        let is_error = head.kind == Kind::Error.word();
        if !is_error && (head.has_error_status || may_be_failed(head.kind, line)) {
            return false;
        }
        self.count(head.kind, head.tool, head.at);
        self.errors += u64::from(is_error);
        true
    }

    /// What somebody wrote to it, or of its messages, to find it again: such a tape goes by its name only.
    pub fn why_kept(&self) -> Option<String> {
        let why = match (self.notes.is_empty(), self.annotated) {
            (false, _) => "it has a note",
            (true, 0) => return None,
            (true, 1) => "a message of it is marked or has a comment",
            (true, _) => "messages of it are marked or have comments",
        };
        Some(format!("{why}; `tapline tape rm` removes it by its name"))
    }

    /// The server by its name, else where it is.
    pub fn server(&self) -> String {
        self.header.peers.server.as_ref().map_or_else(|| self.header.upstream.clone(), |it| it.text())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What a tool's failure has.
const FLAG: &str = r#""isError""#;

/// Whether the line of a reply may be that of a tool's failure: a member further in may say so, too.
fn may_be_failed(kind: &str, line: &[u8]) -> bool {
    let says_true = |at: usize| {
        let rest = line[at..].trim_ascii_start();
        rest.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(b"t"))
    };
    kind == Kind::Result.word() && memmem::find_iter(line, FLAG.as_bytes()).any(|at| says_true(at + FLAG.len()))
}
