//! From a feed to the bytes of a response, on a thread of its own.
//!
//! The thread always reads, so that the feed never fills because of a slow reader; what waits for the reader is
//! bounded in bytes. Beyond that events are skipped and counted, and once the reader has caught up it is told how many:
//! it then asks for the present state again. The answer to that is never skipped: it is bounded by what the journal
//! remembers, and cut short it would be worth nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, after, never, select};
use tokio::sync::mpsc::UnboundedSender;

use super::Dropped;
use crate::event::{Event, FeedReader};

/// Bytes that may wait for a reader before events are skipped.
const MOST_WAITING: usize = 16 << 20;
/// A reader that has so little left has caught up.
const CAUGHT_UP: usize = 64 << 10;
/// Events written at once.
const CHUNK: usize = 64 << 10;
/// How often is looked whether a reader has caught up, when nothing else happens.
const LOOK: Duration = Duration::from_millis(20);

/// The way to one reader.
pub(super) struct RemoteReader {
    pub(super) chunks: UnboundedSender<Bytes>,
    /// Bytes sent and not yet taken.
    pub(super) waiting: Arc<AtomicUsize>,
    /// Disconnected when the reader is gone.
    pub(super) gone: Receiver<()>,
}

/// Tells until the core stops or the reader is gone.
pub(super) fn write_feed(reader: &FeedReader, remote: RemoteReader) {
    let mut writer = FeedWriter { remote, chunk: Vec::new(), skipped: 0, retelling: false };
    loop {
        let timer = if writer.skipped > 0 { after(LOOK) } else { never() };
        select! {
            recv(reader.events) -> event => match event {
                Ok(event) => writer.offer(&event),
                Err(_) => return,
            },
            recv(writer.remote.gone) -> _ => return,
            recv(timer) -> _ => {}
        }
        while writer.chunk.len() < CHUNK
            && let Ok(event) = reader.events.try_recv()
        {
            writer.offer(&event);
        }
        writer.skipped += reader.take_dropped();
        writer.report_dropped();
        if !writer.send() {
            return;
        }
    }
}

struct FeedWriter {
    remote: RemoteReader,
    chunk: Vec<u8>,
    skipped: u64,
    /// Between `ResyncStarted` and `ResyncDone`.
    retelling: bool,
}

impl FeedWriter {
    fn offer(&mut self, event: &Event) {
        if matches!(event, Event::TapeOpened { .. } | Event::TapeRead { .. } | Event::Compared(_)) {
            // Asked for by the screen in the process, and as large as the tape; screens elsewhere read the file.
            return;
        }
        self.retelling |= matches!(event, Event::ResyncStarted);
        if self.retelling || (self.skipped == 0 && self.waiting() < MOST_WAITING) {
            self.write(event);
        } else {
            self.skipped += 1;
        }
        self.retelling &= !matches!(event, Event::ResyncDone);
    }

    fn write(&mut self, event: &Event) {
        let before = self.chunk.len();
        match serde_json::to_writer(&mut self.chunk, event) {
            Ok(()) => self.chunk.push(b'\n'),
            // A path that is not UTF-8 has no JSON form.
            Err(error) => {
                self.chunk.truncate(before);
                tracing::warn!(%error, "an event cannot be written");
            }
        }
    }

    /// Tells a reader that has caught up how much it missed.
    fn report_dropped(&mut self) {
        if self.skipped > 0 && !self.retelling && self.waiting() < CAUGHT_UP {
            let dropped = Dropped { dropped: std::mem::take(&mut self.skipped) };
            serde_json::to_writer(&mut self.chunk, &dropped).expect("a vector takes everything, and this is a number");
            self.chunk.push(b'\n');
        }
    }

    fn waiting(&self) -> usize {
        self.remote.waiting.load(Ordering::Relaxed) + self.chunk.len()
    }

    /// `false` when the reader is gone.
    fn send(&mut self) -> bool {
        if self.chunk.is_empty() {
            return true;
        }
        let chunk = Bytes::from(std::mem::take(&mut self.chunk));
        self.remote.waiting.fetch_add(chunk.len(), Ordering::Relaxed);
        self.remote.chunks.send(chunk).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::FeedLine;
    use crate::event::{Feed, Level, LogLine, Ticket};

    fn line(length: usize) -> Event {
        Event::Log(LogLine::new(Level::Info, "test", "x".repeat(length)))
    }

    struct Rig {
        feed: Feed,
        chunks: tokio::sync::mpsc::UnboundedReceiver<Bytes>,
        waiting: Arc<AtomicUsize>,
        gone: Option<crossbeam_channel::Sender<()>>,
        thread: std::thread::JoinHandle<()>,
    }

    impl Rig {
        fn new() -> Self {
            let (feed, reader) = Feed::bounded(1 << 16);
            let (chunks, lines) = tokio::sync::mpsc::unbounded_channel();
            let (gone, went) = crossbeam_channel::bounded(0);
            let waiting: Arc<AtomicUsize> = Arc::default();
            let remote = RemoteReader { chunks, waiting: waiting.clone(), gone: went };
            let thread = std::thread::spawn(move || write_feed(&reader, remote));
            Self { feed, chunks: lines, waiting, gone: Some(gone), thread }
        }

        fn next(&mut self) -> Vec<FeedLine> {
            let chunk = self.chunks.blocking_recv().expect("the writer lives");
            self.waiting.fetch_sub(chunk.len(), Ordering::Relaxed);
            read(&chunk)
        }
    }

    fn read(chunk: &[u8]) -> Vec<FeedLine> {
        let lines = chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| FeedLine::read(line).unwrap()).collect()
    }

    #[test]
    fn feed_writer_sends_everything_to_a_reader_that_reads() {
        let mut rig = Rig::new();
        for ticket in 0..1000 {
            rig.feed.publish(Event::Settled { ticket: Ticket(ticket) });
        }
        let mut told = Vec::new();
        while told.len() < 1000 {
            told.extend(rig.next());
        }
        for (at, told) in told.iter().enumerate() {
            assert!(
                matches!(told, FeedLine::Event(event) if matches!(**event, Event::Settled { ticket } if ticket.0 == at as u64))
            );
        }
        drop(rig.feed);
        rig.thread.join().unwrap();
    }

    #[test]
    fn feed_writer_reports_what_a_slow_reader_missed() {
        let (chunks, mut lines) = tokio::sync::mpsc::unbounded_channel();
        let remote = RemoteReader { chunks, waiting: Arc::default(), gone: never() };
        let mut writer = FeedWriter { remote, chunk: Vec::new(), skipped: 0, retelling: false };
        let offer = |writer: &mut FeedWriter, event: &Event| {
            writer.offer(event);
            writer.report_dropped();
            assert!(writer.send());
        };
        for _ in 0..2 * MOST_WAITING / CHUNK {
            offer(&mut writer, &line(CHUNK));
        }
        let waiting = writer.waiting();
        assert!((MOST_WAITING..MOST_WAITING + 2 * CHUNK).contains(&waiting), "{waiting}");
        let skipped = writer.skipped;
        assert!(skipped > 0);

        // Asked for, so told, however much waits; and what comes in between belongs to it.
        for event in [Event::ResyncStarted, line(1), Event::ResyncDone] {
            offer(&mut writer, &event);
        }
        assert_eq!((writer.skipped, writer.waiting() > waiting), (skipped, true));
        offer(&mut writer, &line(1));
        assert_eq!(writer.skipped, skipped + 1);

        // The reader catches up.
        writer.remote.waiting.store(0, Ordering::Relaxed);
        while lines.try_recv().is_ok() {}
        writer.report_dropped();
        assert!(writer.send());
        offer(&mut writer, &line(1));
        let told: Vec<_> = std::iter::from_fn(|| lines.try_recv().ok()).flat_map(|chunk| read(&chunk)).collect();
        let [FeedLine::Dropped(dropped), FeedLine::Event(_)] = told[..] else { panic!("{told:?}") };
        assert_eq!(dropped, skipped + 1);
    }

    #[test]
    fn feed_writer_ends_with_its_reader() {
        let mut rig = Rig::new();
        drop(rig.gone.take());
        rig.thread.join().unwrap();
        assert!(!rig.feed.publish(line(1)), "nobody reads the feed any more");
    }
}
