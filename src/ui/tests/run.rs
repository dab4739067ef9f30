//! The loop itself: when it draws, when it sleeps, how it ends.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, TestBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};

use super::rig::{Rig, World, session};
use crate::envelope::Via;
use crate::event::{Command, Event, Feed, Held, Ticket, Timestamp};
use crate::ui::{Exit, ScreenInput, ScreenIo, Settings, TerminalHost, input_channel, run};

/// Counts how often anything is written.
struct Counting {
    inner: TestBackend,
    draws: Arc<AtomicUsize>,
}

impl Backend for Counting {
    type Error = std::convert::Infallible;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> Result<(), Self::Error> {
        self.draws.fetch_add(1, Ordering::Relaxed);
        self.inner.draw(content)
    }

    fn hide_cursor(&mut self) -> Result<(), Self::Error> {
        self.inner.hide_cursor()
    }

    fn show_cursor(&mut self) -> Result<(), Self::Error> {
        self.inner.show_cursor()
    }

    fn get_cursor_position(&mut self) -> Result<Position, Self::Error> {
        self.inner.get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Self::Error> {
        self.inner.set_cursor_position(position)
    }

    fn clear(&mut self) -> Result<(), Self::Error> {
        self.inner.clear()
    }

    fn clear_region(&mut self, region: ClearType) -> Result<(), Self::Error> {
        self.inner.clear_region(region)
    }

    fn size(&self) -> Result<Size, Self::Error> {
        self.inner.size()
    }

    fn window_size(&mut self) -> Result<WindowSize, Self::Error> {
        self.inner.window_size()
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

struct Shout;

impl TerminalHost for Shout {
    fn copy(&mut self, _: &str) -> io::Result<String> {
        Ok("the test took it".to_owned())
    }

    fn save(&mut self, name: &str, _: &[u8]) -> io::Result<PathBuf> {
        Ok(name.into())
    }

    fn page(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn pipe(&mut self, _: &str, _: Vec<u8>) -> io::Result<()> {
        Ok(())
    }

    fn mouse(&mut self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn suspend(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn edit(&mut self, text: &str) -> io::Result<String> {
        Ok(text.to_uppercase())
    }
}

struct Running {
    feed: Feed,
    keys: Sender<ScreenInput>,
    draws: Arc<AtomicUsize>,
    commands: crossbeam_channel::Receiver<Command>,
    thread: std::thread::JoinHandle<io::Result<Exit>>,
}

fn start(capacity: usize) -> Running {
    let (feed, reader) = Feed::bounded(capacity);
    let (keys, input) = input_channel();
    let (sender, commands) = crossbeam_channel::unbounded();
    let draws = Arc::new(AtomicUsize::new(0));
    let counted = draws.clone();
    let thread = std::thread::spawn(move || {
        let backend = Counting { inner: TestBackend::new(120, 36), draws: counted };
        let mut terminal = Terminal::new(backend).unwrap();
        let mut send = move |command| {
            let _ = sender.send(command);
        };
        run(ScreenIo {
            terminal: &mut terminal,
            feed: reader,
            input,
            commands: &mut send,
            host: &mut Shout,
            settings: Settings::default(),
        })
    });
    Running { feed, keys, draws, commands, thread }
}

impl Running {
    fn key(&self, code: KeyCode) {
        self.keys.send(ScreenInput::Terminal(TerminalEvent::Key(KeyEvent::new(code, KeyModifiers::NONE)))).unwrap();
    }

    /// The core stops when it is told to.
    fn end(self, input: Option<ScreenInput>) -> (Exit, String) {
        let Self { keys, feed, commands, thread, .. } = self;
        if let Some(input) = input {
            keys.send(input).unwrap();
        }
        let told = format!("{:?}", commands.recv().unwrap());
        // Where there is no room for it, the end of the feed says the same.
        feed.publish(Event::Stopping);
        drop(feed);
        (thread.join().unwrap().unwrap(), told)
    }
}

#[test]
fn run_ends_by_key_by_signal_with_the_core_and_with_its_terminal() {
    let quit = "Quit { held: Forward }".to_owned();
    let running = start(16);
    running.key(KeyCode::Char('Q'));
    assert_eq!(running.end(None), (Exit::Quit, quit.clone()));
    assert_eq!(start(16).end(Some(ScreenInput::Terminate)), (Exit::Terminated, quit.clone()));
    let running = start(16);
    running.keys.send(ScreenInput::Interrupt).unwrap();
    assert_eq!(running.end(Some(ScreenInput::Interrupt)), (Exit::Quit, quit.clone()));
    let running = start(16);
    running.feed.publish(Event::Stopping);
    assert_eq!(running.thread.join().unwrap().unwrap(), Exit::Stopped);
    assert!(running.commands.is_empty());
    let Running { keys, thread, feed, commands, .. } = start(16);
    drop(keys);
    assert_eq!(format!("{:?}", commands.recv().unwrap()), quit);
    // The core is gone.
    drop(feed);
    assert_eq!(thread.join().unwrap().unwrap(), Exit::Terminated);
}

#[test]
fn tick_is_not_due_while_nothing_changes() {
    let mut rig = Rig::new(120, 36);
    rig.model.take_dirty();
    assert_eq!(rig.model.next_tick(), None, "it sleeps until something comes");
    rig.model.tick(Timestamp(u64::MAX / 2));
    assert!(!rig.model.take_dirty(), "time alone is no reason to draw");
}

#[test]
fn ages_are_drawn_each_second() {
    let mut rig = Rig::new(120, 36);
    let now = rig.model.now;
    let call = World::new().call(1, 1, "search", "{}");
    let reason = "~all".to_owned();
    rig.on_event(Event::Held(Arc::new(Held {
        ticket: Ticket(1),
        envelope: call,
        reason,
        since: now,
        deadline: None,
        is_asked: false,
    })));
    rig.model.take_dirty();
    let due = rig.model.next_tick().expect("its age is on the screen");
    assert!(due <= Duration::from_secs(1), "{due:?}");
    rig.model.tick(now.plus_micros(1_100_000));
    assert!(rig.model.take_dirty());
}

#[test]
fn flood_is_drawn_at_the_pace_of_frames() {
    let running = start(100_000);
    running.feed.publish(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    let mut world = World::new();
    let start = Instant::now();
    for _ in 0..20_000 {
        let call = world.call(1, 1, "search", "{}");
        running.feed.publish(Event::Passed(Arc::new(call)));
    }
    let draws = running.draws.clone();
    running.end(Some(ScreenInput::Terminate));
    let frames = start.elapsed().as_millis() / 33 + 3;
    assert!(draws.load(Ordering::Relaxed) as u128 <= frames, "{draws:?} drawings in the time of {frames} frames");
}

#[test]
fn overflow_asks_for_a_resync() {
    let running = start(4);
    let mut world = World::new();
    for _ in 0..2000 {
        let call = world.call(1, 1, "search", "{}");
        running.feed.publish(Event::Passed(Arc::new(call)));
    }
    let asked = running.commands.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(matches!(asked, Command::Resync), "{asked:?}");
    running.end(Some(ScreenInput::Terminate));
}
