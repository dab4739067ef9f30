//! The tapes in a directory by their outside: who spoke, which tools were called, how much there is.
//!
//! Of a tape that is not known yet, or not as it is now, first its header is listed, and that it is to be read: a directory of large
//! tapes is on the screen at once, and each is filled in as it is read.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::head::MessageHead;
use super::{Problems, TapeEntry, TapeReader, read_line, troubles};
use crate::envelope::{Envelope, HeaderCache};
use crate::event::{TapeInfo, Timestamp};
use crate::mcp::method;
use crate::message::Kind;
use crate::tape::format::TapeError;
use crate::tape::format::{Mark, TapeHeader};
use crate::tape::name::{PACKED, SUFFIX};

/// Tools and notes of one tape that are listed: whatever stands on it, a list of tapes stays small.
const MOST_TOOLS: usize = 64;
const MOST_NOTES: usize = 16;
/// Characters of one of them.
const LONGEST: usize = 400;

/// A directory of tapes.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// Newest first. Of those still to be read, what was known, or what the header says.
    pub tapes: Vec<TapeInfo>,
    /// When the file of each tape that is still to be read was last changed, in microseconds since the Unix epoch.
    unread: Vec<(u64, PathBuf)>,
}

/// Lists the tapes in a directory, newest first, each of them read; a file that is no tape, or a broken one, is listed with its
/// problem.
pub fn catalogue(dir: &Path) -> Vec<TapeInfo> {
    let mut catalogue = Catalogue::of(dir, |_| None);
    while catalogue.read_next().is_some() {}
    catalogue.tapes
}

impl Catalogue {
    /// Lists what is `known` of each tape, by its path, with the time of its last change then.
    pub fn of(dir: &Path, known: impl Fn(&Path) -> Option<(u64, TapeInfo)>) -> Self {
        let (mut tapes, mut unread) = (Vec::new(), Vec::new());
        for path in tape_files(dir).unwrap_or_default() {
            let (changed, bytes) = changed_and_bytes(&path);
            let known = known(&path);
            let is_as_known =
                |(then, info): &(u64, TapeInfo)| (*then, info.bytes) == (changed, bytes) && info.tools.is_some();
            if !known.as_ref().is_some_and(is_as_known) {
                unread.push((changed, path.clone()));
            }
            tapes.push(known.map_or_else(|| outside(&path), |(_, info)| TapeInfo { bytes, ..info }));
        }
        newest_first(&mut tapes);
        // From the end: the newest are asked for most.
        let place = |path: &Path| tapes.iter().position(|tape| tape.path == path);
        unread.sort_by_key(|(_, path)| std::cmp::Reverse(place(path)));
        Self { tapes, unread }
    }

    /// Bytes of those that are to be read.
    pub fn unread_bytes(&self) -> u64 {
        self.unread.iter().map(|(_, path)| changed_and_bytes(path).1).sum()
    }

    /// Bytes of the one that is read next.
    pub fn next_bytes(&self) -> u64 {
        self.unread.last().map_or(0, |(_, path)| changed_and_bytes(path).1)
    }

    /// Whether nothing is left to be read.
    pub fn is_read(&self) -> bool {
        self.unread.is_empty()
    }

    /// Reads the next tape that is to be read. Returns it as it was when its file was last changed at that time; nothing where all
    /// were read.
    pub fn read_next(&mut self) -> Option<(u64, TapeInfo)> {
        let (changed, path) = self.unread.pop()?;
        let place = self.tapes.iter().position(|tape| tape.path == path)?;
        // One that grows meanwhile is read again next time.
        let (_, bytes) = changed_and_bytes(&path);
        let info = survey(&path);
        self.tapes[place] = info.clone();
        if self.unread.is_empty() {
            newest_first(&mut self.tapes);
        }
        Some((changed, TapeInfo { bytes, ..info }))
    }
}

fn newest_first(tapes: &mut [TapeInfo]) {
    tapes.sort_by(|a, b| (b.started, &b.path).cmp(&(a.started, &a.path)));
}

/// The files in a directory that are called as tapes are, by name; none where there is no such directory. A pipe of that name is none:
/// whoever reads it waits for somebody who writes.
///
/// # Errors
/// Where the directory cannot be read.
pub fn tape_files(dir: &Path) -> Result<Vec<PathBuf>, TapeError> {
    let files = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files.map_err(|error| TapeError::unread(dir, error))?,
    };
    let is_special = |path: &Path| path.metadata().is_ok_and(|it| !it.is_file() && !it.is_dir());
    let named = files.filter_map(|file| Some(file.ok()?.path())).filter(|path| is_tape_name(path));
    let mut tapes: Vec<_> = named.filter(|path| !is_special(path)).collect();
    tapes.sort();
    Ok(tapes)
}

/// Whether a file is called as tapes are, plain or packed.
pub fn is_tape_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_suffix(PACKED).unwrap_or(name).ends_with(SUFFIX)
}

/// When a file was last changed, in microseconds since the Unix epoch, and its size.
fn changed_and_bytes(path: &Path) -> (u64, u64) {
    let Ok(metadata) = std::fs::metadata(path) else { return (0, 0) };
    let since_epoch = metadata.modified().ok().and_then(|it| it.duration_since(std::time::UNIX_EPOCH).ok());
    let changed = since_epoch.map_or(0, |it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX));
    (changed, metadata.len())
}

/// What is known of a tape before anything of it is read.
fn unread(path: &Path) -> TapeInfo {
    let (changed, bytes) = changed_and_bytes(path);
    TapeInfo {
        path: path.to_owned(),
        session: None,
        parent: None,
        upstream: String::new(),
        client: None,
        server: None,
        protocol: None,
        started: Timestamp(changed),
        messages: 0,
        bytes,
        tools: None,
        notes: Vec::new(),
        problems: Vec::new(),
    }
}

fn take_header(info: &mut TapeInfo, header: TapeHeader) {
    (info.session, info.parent) = (Some(header.session), header.parent);
    info.upstream = header.upstream;
    info.client = header.peers.client;
    info.server = header.peers.server;
    info.protocol = header.peers.protocol;
    info.started = header.started;
}

/// What the header alone says of a tape.
fn outside(path: &Path) -> TapeInfo {
    let mut info = unread(path);
    match TapeReader::open(path) {
        Ok(entries) => take_header(&mut info, entries.header().clone()),
        Err(error) => info.problems.push(error.to_string()),
    }
    info
}

/// Returns what can be told of a tape without decoding its messages.
pub(super) fn survey(path: &Path) -> TapeInfo {
    let mut info = unread(path);
    match TapeReader::open(path) {
        Ok(entries) => survey_lines(entries, &mut info),
        Err(error) => info.problems.push(error.to_string()),
    }
    // Whatever it has, it was read.
    info.tools.get_or_insert_default();
    info
}

fn survey_lines(mut entries: TapeReader<impl BufRead>, info: &mut TapeInfo) {
    let mut header = entries.header().clone();
    let (mut problems, mut missing, mut torn) = (Problems::default(), 0, false);
    let (mut tools, mut notes) = (BTreeMap::new(), Vec::new());
    while let Some(line) = entries.next_line() {
        let Ok(whole) = line.map_err(|problem| problems.push(problem)) else { break };
        let line = &entries.buffer;
        if let Some(head) = MessageHead::of(line).filter(|_| whole) {
            info.messages += 1;
            head.tool.into_iter().for_each(|tool| count_tool(&mut tools, tool));
            continue;
        }
        match read_line(line, header.session, &mut HeaderCache::default()) {
            Ok(TapeEntry::Mark(Mark::Gap { messages, .. })) => missing += messages,
            Ok(TapeEntry::Mark(Mark::Peer(peer))) => header.peers.learn(peer.peers),
            Ok(TapeEntry::Mark(Mark::Note { at, text })) => notes.push((at, text)),
            Ok(TapeEntry::Message { envelope, .. }) => {
                info.messages += 1;
                called_tool(&envelope).into_iter().for_each(|tool| count_tool(&mut tools, tool));
            }
            Err(_) if !whole => torn = true,
            Err(_) if line.iter().all(u8::is_ascii_whitespace) => {}
            Err(why) => problems.push(entries.problem(why)),
            Ok(_) => {}
        }
    }
    take_header(info, header);
    info.tools = Some(most_called(tools));
    notes.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    info.notes = notes.into_iter().take(MOST_NOTES).map(|(_, text)| text.chars().take(LONGEST).collect()).collect();
    info.problems = troubles(&problems, missing, torn);
}

fn called_tool(envelope: &Envelope) -> Option<&str> {
    let is_call = envelope.kind() == Kind::Request && envelope.message.method() == Some(method::TOOLS_CALL);
    envelope.name().filter(|_| is_call)
}

fn count_tool(tools: &mut BTreeMap<String, u64>, tool: &str) {
    if let Some(count) = tools.get_mut(tool) {
        *count += 1;
    } else if tools.len() < 16 * MOST_TOOLS {
        // A peer may make up names without end.
        tools.insert(tool.to_owned(), 1);
    }
}

fn most_called(tools: BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut tools: Vec<_> = tools.into_iter().collect();
    tools.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    tools.truncate(MOST_TOOLS);
    for (tool, _) in &mut tools {
        *tool = tool.chars().take(LONGEST).collect();
    }
    tools
}
