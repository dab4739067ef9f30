//! The loop of the screen: waits for keys and events, changes the model, carries out what it wants done, draws.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, never, select};
use ratatui::Terminal;
use ratatui::backend::Backend;
use ratatui::layout::{Position, Rect};

use super::host::{Exit, PicturesDrawn, ScreenInput, TerminalHost};
use super::model::{Change, Effect, Model};
use super::settings::Settings;
use super::update::{before_drawing, update};
use super::view;
use crate::event::{Command, Event, FeedReader, TapeForm, Timestamp};

/// At most this often is the screen drawn while events pour in.
const FRAME: Duration = Duration::from_millis(33);
/// So long after something happens is it drawn: what comes right behind it is in the same picture, and on its way meanwhile.
const SETTLES: Duration = Duration::from_millis(4);
/// At most this often is the screen drawn while keys pour in.
const KEY_FRAME: Duration = Duration::from_millis(8);
/// So long are events read before keys are looked at again.
const DRAIN_BUDGET: Duration = Duration::from_millis(10);

/// All that [`run`] needs.
pub struct ScreenIo<'a, B: Backend> {
    pub terminal: &'a mut Terminal<B>,
    pub feed: FeedReader,
    pub input: Receiver<ScreenInput>,
    /// Sends a command to the core; must not block.
    pub commands: &'a mut dyn FnMut(Command),
    pub host: &'a mut dyn TerminalHost,
    pub settings: Settings,
}

/// Runs the screen until it ends.
///
/// # Errors
/// Where the terminal cannot be drawn to.
pub fn run<B: Backend>(screen: ScreenIo<'_, B>) -> io::Result<Exit> {
    let model = Model::new(screen.settings.clone(), Timestamp::now());
    ScreenLoop { screen, model, drawn: None, news: None, dirty: true, urgent: false, behind: false }.run()
}

struct ScreenLoop<'a, B: Backend> {
    screen: ScreenIo<'a, B>,
    model: Model,
    drawn: Option<Instant>,
    /// When the first event came that is not drawn yet.
    news: Option<Instant>,
    /// The screen is not what the model is.
    dirty: bool,
    /// A key waits for its answer.
    urgent: bool,
    /// Whether more events wait than were read.
    behind: bool,
}

/// What ended a wait.
enum WakeReason {
    Change(Change),
    Time,
    /// The core has ended; nothing will come in any more.
    Gone,
}

impl<B: Backend> ScreenLoop<'_, B> {
    fn run(mut self) -> io::Result<Exit> {
        loop {
            let effects = self.model.tick(Timestamp::now());
            if let Some(exit) = self.carry_out(effects)? {
                return Ok(exit);
            }
            if let Some(exit) = self.drain_inputs()? {
                return Ok(exit);
            }
            // What a key asked for is shown as far as it is found; the rest is looked for when that is on the screen.
            if !self.urgent || !self.until_next_frame().is_zero() {
                self.model.work_on();
            }
            let next = self.model.next_tick();
            self.dirty |= self.model.take_dirty();
            if self.dirty && self.until_next_frame().is_zero() {
                self.draw()?;
            }
            let change = match self.wait(next) {
                WakeReason::Time => continue,
                WakeReason::Change(change) => change,
                WakeReason::Gone => {
                    self.screen.input = never();
                    Change::Input(ScreenInput::Terminate)
                }
            };
            if let Some(exit) = self.change(change)? {
                return Ok(exit);
            }
        }
    }

    /// Takes in all that waits, as far as there is time, keys first.
    fn drain_inputs(&mut self) -> io::Result<Option<Exit>> {
        let start = Instant::now();
        loop {
            while let Ok(input) = self.screen.input.try_recv() {
                if let Some(exit) = self.change(Change::Input(input))? {
                    return Ok(Some(exit));
                }
            }
            self.behind = start.elapsed() > DRAIN_BUDGET;
            if self.behind {
                break;
            }
            let Ok(event) = self.screen.feed.events.try_recv() else { break };
            if let Some(exit) = self.change(Change::Event(Box::new(event)))? {
                return Ok(Some(exit));
            }
        }
        match self.screen.feed.take_dropped() {
            0 => Ok(None),
            lost => self.change(Change::Dropped(lost)),
        }
    }

    /// How long until the screen may be drawn again.
    fn until_next_frame(&self) -> Duration {
        let Some(drawn) = self.drawn else { return Duration::ZERO };
        if self.urgent {
            return KEY_FRAME.saturating_sub(drawn.elapsed());
        }
        let settled = self.news.map_or(Duration::ZERO, |news| SETTLES.saturating_sub(news.elapsed()));
        FRAME.saturating_sub(drawn.elapsed()).max(settled)
    }

    /// Sleeps until there is something to do. After a drawing that is not before the next frame is due, however many
    /// events pour in: waking for each would cost more than drawing. Only a key cuts the rest short.
    fn wait(&self, next: Option<Duration>) -> WakeReason {
        let rest = self.until_next_frame();
        // Who reads a tape waits until what was read is taken in.
        let sleeps = !rest.is_zero() && !self.model.is_reading_tape();
        if self.behind || next == Some(Duration::ZERO) || (self.dirty && rest.is_zero()) {
            return WakeReason::Time;
        }
        if sleeps {
            return match self.screen.input.recv_timeout(rest) {
                Ok(input) => WakeReason::Change(Change::Input(input)),
                Err(RecvTimeoutError::Timeout) => WakeReason::Time,
                Err(RecvTimeoutError::Disconnected) => WakeReason::Gone,
            };
        }
        let until_frame = Some(rest).filter(|_| self.dirty);
        let timer = next.into_iter().chain(until_frame).min().map_or_else(never, crossbeam_channel::after);
        select! {
            recv(self.screen.input) -> input => input.map_or(WakeReason::Gone, |input| WakeReason::Change(Change::Input(input))),
            recv(self.screen.feed.events) -> event => match event {
                Ok(event) => WakeReason::Change(Change::Event(Box::new(event))),
                Err(_) => WakeReason::Change(Change::Event(Box::new(Event::Stopping))),
            },
            recv(timer) -> _ => WakeReason::Time,
        }
    }

    fn change(&mut self, change: Change) -> io::Result<Option<Exit>> {
        match change {
            Change::Input(_) => self.urgent = true,
            // What changed nothing to be seen was never drawn.
            _ if self.news.is_none_or(|news| news.elapsed() > FRAME) => self.news = Some(Instant::now()),
            _ => {}
        }
        if matches!(change, Change::Input(ScreenInput::Resized)) {
            self.screen.host.resized();
            // It may have been another size for a moment, and the terminal has cut off what it had no room for.
            self.forget_drawing()?;
        }
        let effects = update(&mut self.model, change);
        self.carry_out(effects)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> io::Result<Option<Exit>> {
        for effect in effects {
            match effect {
                Effect::Command(command) => (self.screen.commands)(command),
                Effect::Exit(exit) => return Ok(Some(exit)),
                Effect::Copy(text) => self.copy(&text),
                Effect::CopyRow => {
                    if let Some(row) = self.model.selected() {
                        self.copy(&view::row_text(&self.model, &row));
                    }
                }
                Effect::EditOutside(text) => {
                    let edited = self.screen.host.edit(&text);
                    // Keys and interrupts were meant for the editor.
                    if self.screen.input.try_iter().any(|input| matches!(input, ScreenInput::Terminate)) {
                        return self.change(Change::Input(ScreenInput::Terminate));
                    }
                    self.model.edited_outside(edited.map_err(|error| error.to_string()));
                    self.forget_drawing()?;
                }
                effect => self.carry_outside(effect)?,
            }
        }
        Ok(None)
    }

    /// What leaves the screen, or redraws it.
    fn carry_outside(&mut self, effect: Effect) -> io::Result<()> {
        match effect {
            Effect::Save { name, bytes } => self.save(&name, &bytes),
            Effect::Pipe { command, input } => {
                if let Err(error) = self.screen.host.pipe(&command, input) {
                    self.model.piping = None;
                    self.model.warn(format!("`{command}` does not run: {error}"));
                }
            }
            Effect::Export { tape, form } => self.export(tape, form),
            Effect::StopPipe => self.screen.host.stop_pipe(),
            Effect::Repaint => self.forget_drawing()?,
            Effect::Remember(lines) => self.screen.host.remember(&lines),
            Effect::Mouse(on) => self.screen.host.mouse(on)?,
            Effect::Bell => self.screen.host.ring()?,
            Effect::Page(text) => {
                if let Err(error) = self.screen.host.page(&text) {
                    self.model.warn(format!("the pager: {error}"));
                }
                self.forget_drawing()?;
            }
            Effect::Suspend(word) => {
                self.screen.host.suspend(word)?;
                self.forget_drawing()?;
            }
            // Those that may end the screen are done.
            Effect::Command(_) | Effect::Exit(_) | Effect::Copy(_) | Effect::CopyRow | Effect::EditOutside(_) => {}
        }
        Ok(())
    }

    /// Another program drew here meanwhile. Not `clear`, which asks the terminal where the cursor is: the thread that reads keys
    /// would take the answer.
    fn forget_drawing(&mut self) -> io::Result<()> {
        let size = self.screen.terminal.size().map_err(other)?;
        self.dirty = true;
        self.screen.host.forget_pictures();
        self.screen.terminal.resize(Rect::from((Position::ORIGIN, size))).map_err(other)
    }

    fn save(&mut self, name: &str, bytes: &[u8]) {
        let size = crate::text::size(bytes.len() as u64);
        match self.screen.host.save(name, bytes) {
            Ok(path) => self.model.notify(format!("{size} written to {}", path.display())),
            Err(error) => self.model.warn(format!("{name} is not written: {error}")),
        }
    }

    fn export(&mut self, tape: PathBuf, form: TapeForm) {
        let Some(writer) = self.model.settings.tape_writer else { return };
        if let Err(error) = self.screen.host.export(writer, tape, form) {
            self.model.exporting = None;
            self.model.warn(format!("it is not written: {error}"));
        }
    }

    fn copy(&mut self, text: &str) {
        match self.screen.host.copy(text) {
            Ok(by) => self.model.notify(format!("{} copied: {by}", crate::text::size(text.len() as u64))),
            Err(error) => self.model.warn(format!("not copied: {error}")),
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        self.screen.terminal.autoresize().map_err(other)?;
        let size = self.screen.terminal.size().map_err(other)?;
        let effects = before_drawing(&mut self.model, Rect::new(0, 0, size.width, size.height));
        self.carry_out(effects)?;
        let model = &self.model;
        let mut pictures = Vec::new();
        self.screen.terminal.draw(|frame| pictures = view::draw(model, frame)).map_err(other)?;
        self.drawn = Some(Instant::now());
        (self.dirty, self.urgent, self.news) = (false, false, None);
        if self.screen.host.show_pictures(model.graphics(), &pictures)? == PicturesDrawn::Stale {
            self.forget_drawing()?;
        }
        Ok(())
    }
}

/// A backend's error, whatever its type.
fn other<E: std::error::Error>(error: E) -> io::Error {
    io::Error::other(error.to_string())
}
