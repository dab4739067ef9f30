//! The screen alone: how soon a filter shows its first results among a million messages.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, TestBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use tapline::envelope::{Direction, Envelope, Seq, SessionId, Via};
use tapline::event::{Event, Feed};
use tapline::message::Message;
use tapline::ui::{ScreenInput, ScreenIo, Settings, TerminalHost, input_channel, run};

use crate::measure::{median, micros};
use crate::table::{Row, SCREEN, Target, only};

const ROWS: u64 = 1_000_000;
/// One message in so many is found.
const EACH: u64 = 1_000;
/// What stands in the rows that are found; the filters that are typed do not have it in this spelling.
const FOUND: &str = "needle";

/// From the filter's last key until the first of what it finds is drawn: by index, and by the bodies of all messages.
pub(crate) fn filter(rounds: usize) -> Vec<Row> {
    let screen = BenchScreen::start();
    let measure = |filter: &str| {
        let each = (0..rounds.max(5)).map(|_| {
            screen.press(KeyCode::Char('f'), KeyModifiers::NONE);
            screen.press(KeyCode::Char('u'), KeyModifiers::CONTROL);
            screen.wait(|text| !text.contains(FOUND));
            let began = Instant::now();
            screen.paste(filter);
            screen.wait(|text| text.contains(FOUND));
            let took = micros(began.elapsed()) / 1000.0;
            screen.press(KeyCode::Esc, KeyModifiers::NONE);
            screen.wait(|text| !text.contains(FOUND));
            took
        });
        median(each.collect())
    };
    let rows = [("by tool", "~tool n[e]edle"), ("by body", "~b 'the n[e]edle'")].map(|(what, filter)| {
        let what = format!("filter {what}, 1,000,000 rows, first results");
        Row::plain(what, "ms", only(SCREEN, measure(filter)), Target::AtMost(16.0))
    });
    screen.end();
    rows.into()
}

struct BenchScreen {
    feed: Feed,
    keys: Sender<ScreenInput>,
    seen: Arc<Seen>,
    thread: std::thread::JoinHandle<()>,
}

/// What is on the screen.
#[derive(Default)]
struct Seen {
    text: Mutex<String>,
    changed: Condvar,
}

impl BenchScreen {
    /// A screen on which all these messages have come.
    fn start() -> Self {
        let (feed, reader) = Feed::bounded(usize::MAX);
        let (keys, input) = input_channel();
        let (seen, waiting) = (Arc::new(Seen::default()), reader.events.clone());
        let shown = seen.clone();
        let thread = std::thread::spawn(move || {
            let mut terminal = Terminal::new(SeenBackend { inner: TestBackend::new(120, 36), seen: shown }).unwrap();
            let settings = Settings { memory: usize::MAX, ..Settings::default() };
            let (mut commands, mut host) = (|_| {}, NoHost);
            let screen = ScreenIo {
                terminal: &mut terminal,
                feed: reader,
                input,
                commands: &mut commands,
                host: &mut host,
                settings,
            };
            run(screen).unwrap();
        });
        let session = SessionId::random();
        for seq in 1..=ROWS {
            // Not among the rows that are seen while there is no filter.
            let tool = if seq % EACH == EACH / 2 { FOUND } else { "echo" };
            feed.publish(Event::Passed(Arc::new(call(session, seq, tool))));
        }
        let screen = Self { feed, keys, seen, thread };
        let last = format!("{ROWS}");
        while !waiting.is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        screen.wait(|text| text.contains(&last));
        screen
    }

    fn press(&self, code: KeyCode, modifiers: KeyModifiers) {
        self.keys.send(ScreenInput::Terminal(TerminalEvent::Key(KeyEvent::new(code, modifiers)))).unwrap();
    }

    fn paste(&self, text: &str) {
        self.keys.send(ScreenInput::Terminal(TerminalEvent::Paste(text.to_owned()))).unwrap();
    }

    fn wait(&self, is_there: impl Fn(&str) -> bool) {
        let mut text = self.seen.text.lock().unwrap();
        while !is_there(&text) {
            text = self.seen.changed.wait(text).unwrap();
        }
    }

    fn end(self) {
        self.feed.publish(Event::Stopping);
        self.thread.join().unwrap();
    }
}

fn call(session: SessionId, seq: u64, tool: &str) -> Envelope {
    let raw = format!(
        r#"{{"jsonrpc":"2.0","id":{seq},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"text":"the {tool} of {seq}"}}}}}}"#
    );
    Envelope::forwarded(Seq(seq), session, Direction::ToServer, Via::Http, Message::new(raw))
}

/// Tells what is drawn.
struct SeenBackend {
    inner: TestBackend,
    seen: Arc<Seen>,
}

impl Backend for SeenBackend {
    type Error = Infallible;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> Result<(), Infallible> {
        self.inner.draw(content)
    }

    fn hide_cursor(&mut self) -> Result<(), Infallible> {
        self.inner.hide_cursor()
    }

    fn show_cursor(&mut self) -> Result<(), Infallible> {
        self.inner.show_cursor()
    }

    fn get_cursor_position(&mut self) -> Result<Position, Infallible> {
        self.inner.get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Infallible> {
        self.inner.set_cursor_position(position)
    }

    fn clear(&mut self) -> Result<(), Infallible> {
        self.inner.clear()
    }

    fn clear_region(&mut self, region: ClearType) -> Result<(), Infallible> {
        self.inner.clear_region(region)
    }

    fn size(&self) -> Result<Size, Infallible> {
        self.inner.size()
    }

    fn window_size(&mut self) -> Result<WindowSize, Infallible> {
        self.inner.window_size()
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        *self.seen.text.lock().unwrap() = self.inner.buffer().content.iter().map(Cell::symbol).collect();
        self.seen.changed.notify_all();
        Ok(())
    }
}

/// Nothing lies around this screen.
struct NoHost;

impl TerminalHost for NoHost {
    fn copy(&mut self, _: &str) -> io::Result<String> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn save(&mut self, _: &str, _: &[u8]) -> io::Result<PathBuf> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn page(&mut self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn suspend(&mut self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn edit(&mut self, _: &str) -> io::Result<String> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn pipe(&mut self, _: &str, _: Vec<u8>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn mouse(&mut self, _: bool) -> io::Result<()> {
        Ok(())
    }
}
