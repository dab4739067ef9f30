//! The real terminal: taking it, giving it back in every case, reading keys, copying, the operator's own editor.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _, stdout};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crossbeam_channel::{Receiver, Sender};
use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste, KeyCode, KeyEvent, KeyModifiers, poll, read};
use crossterm::execute;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::clusters::PlacedCells;
use super::event_loop::{ScreenIo, run};
use super::graphics::{Graphics, PictureBoard, PicturePlace, TerminalAnswers, is_colourful, question, read_answers};
use super::host::{Exit, PicturesDrawn, ScreenInput, TapeWriter, TerminalHost};
use super::piping::PipedCommand;
use super::saving::{TapeExport, new_file, private};
use super::settings::Settings;
use crate::children::guardian::Guardian;
use crate::event::{Command, FeedReader, TapeForm};

/// How often the key thread looks whether it is to rest or to end, where nothing can wake it for that.
const LOOK: Duration = Duration::from_millis(200);

/// How long a program may take to take what is copied.
const CLIPBOARD_PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked whether a process that is to stop has been continued, before it is taken for one that cannot be stopped.
const STOP_LOOKS: usize = 100;
const STOP_LOOK: Duration = Duration::from_millis(5);

/// Takes the terminal, shows the screen on it until that ends, and gives the terminal back.
///
/// # Errors
/// Where there is no terminal, or it cannot be written to.
pub fn show(
    mut settings: Settings,
    feed: FeedReader,
    (keys, input): (Sender<ScreenInput>, Receiver<ScreenInput>),
    mut commands: impl FnMut(Command),
) -> io::Result<Exit> {
    if !stdout().is_terminal() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "stdout is not a terminal"));
    }
    restore_on_panic();
    let taken = RawTerminal::enter()?;
    let history = settings.history.clone();
    settings.remembered = history.as_deref().map(remembered).unwrap_or_default();
    adapt(&mut settings, &keys);
    let reading = KeyReader::start(keys.clone())?;
    let mut terminal = Terminal::new(PlacedCells(CrosstermBackend::new(FrameWriter::default())))?;
    let board = PictureBoard::new(keys.clone(), ScreenInput::PictureReady);
    let mut host = CrosstermHost { reading: &reading, keys, piped: None, export: None, history, board };
    let exit =
        run(ScreenIo { terminal: &mut terminal, feed, input, commands: &mut commands, host: &mut host, settings });
    drop(host);
    drop(reading);
    drop(taken);
    print_late_panics();
    exit
}

/// What is written between two flushes goes out in one piece, marked as one update, so that no half frame is seen.
/// Terminals that do not know the marks ignore them.
#[derive(Default)]
struct FrameWriter(Vec<u8>);

impl io::Write for FrameWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let frame = [b"\x1b[?2026h", &*std::mem::take(&mut self.0), b"\x1b[?2026l"].concat();
        let mut out = stdout().lock();
        out.write_all(&frame)?;
        out.flush()
    }
}

/// The terminal in raw mode on its other screen; given back on drop.
struct RawTerminal;

impl RawTerminal {
    fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::Relaxed);
        let taken = Self;
        // Where a tapline that was killed left the terminal there already, nothing is cleared by going there.
        execute!(stdout(), EnterAlternateScreen, Clear(ClearType::All), EnableBracketedPaste)?;
        if !MOUSE_OFF.load(Ordering::Relaxed) {
            write_mouse(true)?;
        }
        Ok(taken)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

static TAKEN: AtomicBool = AtomicBool::new(false);
/// Pictures were drawn.
static DRAWN: AtomicBool = AtomicBool::new(false);
/// The operator wants the mouse for the terminal.
static MOUSE_OFF: AtomicBool = AtomicBool::new(false);

/// Asks for buttons, the wheel, and moves while a button is down (a border is dragged), or no more. Not for every move: each would wake us.
fn write_mouse(on: bool) -> io::Result<()> {
    let last = if on { 'h' } else { 'l' };
    let mut screen = stdout();
    write!(screen, "\x1b[?1002{last}\x1b[?1006{last}")?;
    screen.flush()
}

/// Once only: a second time would put the cursor back over what was written since. Ignores failures, as there is
/// no place left to report one.
fn restore() {
    if !TAKEN.swap(false, Ordering::Relaxed) {
        return;
    }
    let _ = write_mouse(false);
    if DRAWN.swap(false, Ordering::Relaxed) {
        // Kitty's pictures on this screen; other terminals have none that stay.
        let _ = stdout().write_all(b"\x1b_Ga=d,d=A,q=2\x1b\\");
    }
    let _ = execute!(stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// Gives back what can be given back of a terminal that takes no output: it echoes and knows ctrl c again.
pub fn give_back_keys() {
    if TAKEN.swap(false, Ordering::Relaxed) {
        let _ = disable_raw_mode();
    }
}

/// A panic of the screen gives the terminal back first, so that its message can be read. A panic of another thread
/// does not end the program: its message waits until the screen is gone.
fn restore_on_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    *lock(&SCREEN_THREAD) = Some(std::thread::current().id());
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let screen = *lock(&SCREEN_THREAD);
            if screen.is_some_and(|screen| screen != std::thread::current().id()) {
                return lock(&LATE).push(panic.to_string());
            }
            if screen.is_some() {
                restore();
            }
            before(panic);
        }));
    });
}

/// The thread that has the terminal, while one has.
static SCREEN_THREAD: Mutex<Option<ThreadId>> = Mutex::new(None);
/// Messages of panics that happened behind the screen.
static LATE: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn print_late_panics() {
    *lock(&SCREEN_THREAD) = None;
    for message in lock(&LATE).drain(..) {
        let _ = writeln!(io::stderr(), "{message}");
    }
}

/// The thread that reads keys. It is paused while another program has the terminal, and sleeps until there is input.
struct KeyReader {
    state: Arc<KeyReaderState>,
    /// A byte wakes the thread.
    nudge: UnixStream,
}

#[derive(Default)]
struct KeyReaderState {
    ended: AtomicBool,
    pause: Mutex<ReaderPause>,
    changed: Condvar,
}

#[derive(Default)]
struct ReaderPause {
    wanted: bool,
    /// The thread is not reading now.
    rests: bool,
}

impl KeyReader {
    fn start(keys: Sender<ScreenInput>) -> io::Result<Self> {
        let state = Arc::new(KeyReaderState::default());
        let (nudge, nudged) = UnixStream::pair()?;
        nudge.set_nonblocking(true)?;
        nudged.set_nonblocking(true)?;
        let (theirs, source) = (state.clone(), KeySource { terminal: terminal()?, nudged });
        std::thread::Builder::new().name("keys".to_owned()).spawn(move || theirs.read(&source, &keys))?;
        Ok(Self { state, nudge })
    }

    /// Has the thread look whether it is to rest or to end. Where a byte waits already, it is about to.
    fn nudge(&self) {
        let _ = (&self.nudge).write(&[0]);
    }

    /// Pauses the reading of keys. Returns once no key is read any more.
    fn pause(&self) {
        let mut pause = self.state.lock();
        pause.wanted = true;
        self.nudge();
        while !pause.rests && !self.state.ended.load(Ordering::Relaxed) {
            let waited = self.state.changed.wait_timeout(pause, LOOK);
            pause = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn resume(&self) {
        self.state.lock().wanted = false;
        self.state.changed.notify_all();
    }
}

impl Drop for KeyReader {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        self.nudge();
        self.resume();
    }
}

/// Where the key thread waits.
struct KeySource {
    terminal: File,
    nudged: UnixStream,
}

/// What ended a wait for keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyWait {
    Typed,
    Nothing,
    /// The terminal is gone.
    Gone,
}

impl KeySource {
    /// Sleeps until something is typed, or the thread is nudged. How large the window is comes by a signal, elsewhere.
    fn wait(&self) -> io::Result<KeyWait> {
        if poll(Duration::ZERO)? {
            return Ok(KeyWait::Typed);
        }
        let mut both = [PollFd::new(&self.terminal, PollFlags::IN), PollFd::new(&self.nudged, PollFlags::IN)];
        match rustix::event::poll(&mut both, None) {
            Err(Errno::INTR) => return Ok(KeyWait::Nothing),
            ready => ready?,
        };
        let (terminal, nudged) = (both[0].revents(), both[1].revents());
        if !nudged.is_empty() {
            let _ = (&self.nudged).read(&mut [0; 8]);
            return Ok(KeyWait::Nothing);
        }
        if terminal.intersects(PollFlags::HUP | PollFlags::ERR) {
            return Ok(KeyWait::Gone);
        }
        // Not more than a moment: the beginning of a key may be all there is, or a system that cannot wait for its terminals.
        Ok(if poll(LOOK)? { KeyWait::Typed } else { KeyWait::Nothing })
    }
}

/// Filters of earlier runs, a line each.
fn remembered(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// How long a terminal may take to say what it is. Over ssh that may be too short, and nothing is asked.
const ANSWER_PATIENCE: Duration = Duration::from_millis(100);

/// Asks the terminal for its background and how it shows pictures, where that cannot do harm: one of many colours is none of the few
/// that print what they do not know. `COLORTERM` does not come through everywhere, such as `su -`.
fn ask(patience: Duration) -> Option<TerminalAnswers> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let term = set("TERM").unwrap_or_default();
    let many = set("COLORTERM").is_some() || is_colourful(&term);
    if !many || set("SSH_CONNECTION").is_some() || set("SSH_TTY").is_some() {
        return None;
    }
    let prints = set("TERM_PROGRAM").is_some_and(|program| program == "Apple_Terminal");
    let is_plain = prints || set("TMUX").is_some() || ["tmux", "screen"].iter().any(|it| term.starts_with(it));
    let mut terminal = terminal().ok()?;
    let mut screen = stdout();
    screen.write_all(question(is_plain).as_bytes()).and_then(|()| screen.flush()).ok()?;
    let until = Instant::now() + patience;
    let mut answers = TerminalAnswers::default();
    let mut bytes = Vec::new();
    while !answers.is_complete {
        let Some(left) = until.checked_duration_since(Instant::now()) else { break };
        let left = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        let mut waiting = [PollFd::new(&terminal, PollFlags::IN)];
        if rustix::event::poll(&mut waiting, Some(&left)).ok()? == 0 {
            break;
        }
        let mut read = [0; 256];
        let count = terminal.read(&mut read).ok()?;
        bytes.extend_from_slice(&read[..count]);
        answers = read_answers(&bytes);
    }
    Some(answers)
}

/// Takes what the terminal says of itself into the settings. What else was typed meanwhile is handed on.
fn adapt(settings: &mut Settings, keys: &Sender<ScreenInput>) {
    let Some(answers) = ask(ANSWER_PATIENCE) else { return };
    LATE_ANSWERS.store(!answers.is_complete, Ordering::Relaxed);
    if let Some(light) = answers.is_light {
        settings.stand_on(light);
    }
    settings.graphics = answers.graphics;
    for byte in answers.typed {
        let code = if byte == b'\r' { KeyCode::Enter } else { KeyCode::Char(char::from(byte)) };
        let key = crossterm::event::Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
        let _ = keys.send(ScreenInput::Terminal(key));
    }
}

/// How the terminal shows pictures, for who does not take it.
pub fn graphics_here() -> Option<Graphics> {
    enable_raw_mode().ok()?;
    let answers = ask(5 * ANSWER_PATIENCE);
    let _ = disable_raw_mode();
    answers?.graphics
}

/// The terminal did not answer in time, and may still.
static LATE_ANSWERS: AtomicBool = AtomicBool::new(false);

/// Tells answers that come late from keys: a string that begins with an escape and a sign is taken for that sign and alt, and its letters for
/// what they do.
#[derive(Default)]
struct LateAnswer {
    /// So many more events may be of one.
    left: usize,
}

impl LateAnswer {
    fn is_of_one(&mut self, event: &crossterm::event::Event) -> bool {
        let crossterm::event::Event::Key(key) = event else { return false };
        let is_alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Char('_' | ']' | 'P') if is_alt => self.left = 64,
            _ if self.left == 0 => return false,
            KeyCode::Char('\\') if is_alt => self.left = 0,
            KeyCode::Char('g') if key.modifiers.contains(KeyModifiers::CONTROL) => self.left = 0,
            _ => self.left -= 1,
        }
        true
    }
}

/// What crossterm reads keys from.
fn terminal() -> io::Result<File> {
    if io::stdin().is_terminal() {
        return Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?));
    }
    File::open("/dev/tty")
}

impl KeyReaderState {
    fn lock(&self) -> MutexGuard<'_, ReaderPause> {
        lock(&self.pause)
    }

    /// A terminal that went away is an end like any other: the channel closes.
    fn read(&self, source: &KeySource, keys: &Sender<ScreenInput>) {
        let _end = KeyReaderEnd { reader: self, keys };
        let mut late = LateAnswer::default();
        while !self.ended.load(Ordering::Relaxed) {
            self.wait_while_paused();
            match source.wait() {
                Ok(KeyWait::Nothing) => {}
                Ok(KeyWait::Typed) => {
                    let Ok(event) = read() else { break };
                    if LATE_ANSWERS.load(Ordering::Relaxed) && late.is_of_one(&event) {
                        continue;
                    }
                    if keys.send(ScreenInput::Terminal(event)).is_err() {
                        break;
                    }
                }
                Ok(KeyWait::Gone) | Err(_) => break,
            }
        }
    }

    fn wait_while_paused(&self) {
        let mut pause = self.lock();
        while pause.wanted && !self.ended.load(Ordering::Relaxed) {
            pause.rests = true;
            self.changed.notify_all();
            pause = self.changed.wait(pause).unwrap_or_else(PoisonError::into_inner);
        }
        pause.rests = false;
    }
}

/// Ends the screen when keys are not read any more, also where reading ends by a panic.
struct KeyReaderEnd<'a> {
    reader: &'a KeyReaderState,
    keys: &'a Sender<ScreenInput>,
}

impl Drop for KeyReaderEnd<'_> {
    fn drop(&mut self) {
        if !self.reader.ended.swap(true, Ordering::Relaxed) {
            let _ = self.keys.send(ScreenInput::Terminate);
        }
    }
}

struct CrosstermHost<'a> {
    reading: &'a KeyReader,
    keys: Sender<ScreenInput>,
    /// The command that a message was handed to last.
    piped: Option<PipedCommand>,
    /// The tape that was written in another form last.
    export: Option<TapeExport>,
    /// Where filters are remembered.
    history: Option<PathBuf>,
    board: PictureBoard,
}

impl TerminalHost for CrosstermHost<'_> {
    /// By a program that says whether it took it, where there is one; else by OSC 52, which the terminal at the operator's end
    /// understands, over ssh too, or drops without a word.
    fn copy(&mut self, text: &str) -> io::Result<String> {
        if let Some((program, _)) = clipboards().into_iter().find(|(program, words)| feed(program, words, text).is_ok())
        {
            return Ok(format!("{program} took it"));
        }
        let mut screen = stdout();
        write!(screen, "\x1b]52;c;{}\x1b\\", STANDARD.encode(text))?;
        screen.flush()?;
        Ok("sent to the terminal (OSC 52), which may not let it in".to_owned())
    }

    fn save(&mut self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let (stem, ending) = name.split_once('.').unwrap_or((name, "txt"));
        let (path, mut file) = new_file(stem, ending)?;
        file.write_all(bytes)?;
        Ok(path)
    }

    fn export(&mut self, write: TapeWriter, tape: PathBuf, form: TapeForm) -> io::Result<()> {
        let keys = self.keys.clone();
        let tell = move |written| drop(keys.send(ScreenInput::Exported(written)));
        self.export = Some(TapeExport::start(write, tape, form, tell)?);
        Ok(())
    }

    fn show_pictures(&mut self, graphics: Option<Graphics>, wanted: &[PicturePlace]) -> io::Result<PicturesDrawn> {
        let Some(written) = self.board.show(graphics, wanted) else { return Ok(PicturesDrawn::Stale) };
        if !written.is_empty() {
            DRAWN.store(true, Ordering::Relaxed);
            FrameWriter(written.into_bytes()).flush()?;
        }
        Ok(PicturesDrawn::AsWanted)
    }

    fn forget_pictures(&mut self) {
        // The next drawing fails where this does.
        let _ = FrameWriter(self.board.forget().into_bytes()).flush();
    }

    /// crossterm hears of it too, and of the next key no more unless it has taken that in.
    fn resized(&mut self) {
        self.reading.nudge();
    }

    fn page(&mut self, text: &str) -> io::Result<()> {
        let path = std::env::temp_dir().join(format!("tapline-{}.txt", std::process::id()));
        write_private(&path, text)?;
        let status = self.away(|| program_of(&["PAGER"], "less", &path).status());
        let _ = std::fs::remove_file(&path);
        status?.map(drop)
    }

    fn pipe(&mut self, command: &str, input: Vec<u8>) -> io::Result<()> {
        if self.piped.as_ref().is_some_and(PipedCommand::runs) {
            return Err(io::Error::other("the one before still runs"));
        }
        let (keys, named) = (self.keys.clone(), command.to_owned());
        let tell = move |output| drop(keys.send(ScreenInput::Piped { command: named, output }));
        self.piped = Some(PipedCommand::start(&Guardian::of_process()?, command, input, tell)?);
        Ok(())
    }

    fn stop_pipe(&mut self) {
        self.piped.iter().for_each(PipedCommand::stop);
    }

    fn mouse(&mut self, on: bool) -> io::Result<()> {
        MOUSE_OFF.store(!on, Ordering::Relaxed);
        write_mouse(on)
    }

    /// Where it cannot be written, nothing is lost but comfort.
    fn remember(&mut self, lines: &[String]) {
        let Some(path) = &self.history else { return };
        let Some(dir) = path.parent() else { return };
        let _ = std::fs::create_dir_all(dir);
        let new = dir.join(format!("filters.{}", std::process::id()));
        if write_private(&new, &(lines.join("\n") + "\n")).is_ok() {
            let _ = std::fs::rename(new, path);
        }
    }

    fn suspend(&mut self, word: &str) -> io::Result<()> {
        self.away(|| {
            let _ = writeln!(io::stderr(), "tapline: {word}");
            stop_until_continued()
        })?
    }

    fn edit(&mut self, text: &str) -> io::Result<String> {
        let path = std::env::temp_dir().join(format!("tapline-{}.json", std::process::id()));
        write_private(&path, text)?;
        let status = self.away(|| program_of(&["VISUAL", "EDITOR"], "vi", &path).status())?;
        let edited = std::fs::read_to_string(&path);
        let _ = std::fs::remove_file(&path);
        let status = status?;
        if !status.success() {
            return Err(io::Error::other(format!("the editor ended with {status}")));
        }
        edited.map(|text| text.strip_suffix('\n').map(str::to_owned).unwrap_or(text))
    }
}

/// Stops this process, all its threads. The signal may reach another thread a moment later: a process that took the terminal back at once
/// would have it taken away again by the shell. Where no shell waits for us (the process group is an orphan) nothing stops.
fn stop_until_continued() -> io::Result<()> {
    let continued = Arc::new(AtomicBool::new(false));
    let handler = signal_hook::flag::register(signal_hook::consts::SIGCONT, continued.clone())?;
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP)?;
    // Not by the clock: it runs on while we are stopped.
    for _ in 0..STOP_LOOKS {
        if continued.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(STOP_LOOK);
    }
    signal_hook::low_level::unregister(handler);
    Ok(())
}

impl CrosstermHost<'_> {
    /// Does something while another has the terminal.
    fn away<T>(&mut self, act: impl FnOnce() -> T) -> io::Result<T> {
        self.reading.pause();
        restore();
        let done = act();
        let taken = RawTerminal::enter();
        self.reading.resume();
        // From here on the outer guard gives it back.
        std::mem::forget(taken?);
        Ok(done)
    }
}

/// Programs that put what they read into a clipboard that the operator sees. Over ssh only the multiplexer is on the operator's side.
fn clipboards() -> Vec<(&'static str, &'static [&'static str])> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_far = is_set("SSH_CONNECTION");
    let all: [(bool, &'static str, &'static [&'static str]); 5] = [
        (is_set("TMUX"), "tmux", &["load-buffer", "-w", "-"]),
        (!is_far && cfg!(target_os = "macos"), "pbcopy", &[]),
        (!is_far && is_set("WAYLAND_DISPLAY"), "wl-copy", &[]),
        (!is_far && is_set("DISPLAY"), "xclip", &["-selection", "clipboard"]),
        (!is_far && is_set("DISPLAY"), "xsel", &["--input", "--clipboard"]),
    ];
    all.into_iter().filter(|(is_here, ..)| *is_here).map(|(_, program, words)| (program, words)).collect()
}

/// Has a program read a text. One that takes long has failed: the screen waits for it.
fn feed(program: &str, words: &[&str], text: &str) -> io::Result<()> {
    let nothing = Stdio::null;
    let mut process = Process::new(program);
    process.args(words).stdin(Stdio::piped()).stdout(nothing()).stderr(nothing());
    let mut child = process.spawn()?;
    let (mut stdin, text) = (child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?, text.to_owned());
    std::thread::spawn(move || {
        let _ = stdin.write_all(text.as_bytes());
    });
    let until = Instant::now() + CLIPBOARD_PATIENCE;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(io::Error::other(status.to_string())),
            None if Instant::now() > until => break,
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    let _ = child.kill().and_then(|()| child.wait());
    Err(io::ErrorKind::TimedOut.into())
}

/// The message may hold secrets: for the operator's eyes only, and never through a file that waited there.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let _ = std::fs::remove_file(path);
    private(path)?.write_all(text.as_bytes())
}

/// The program that the first of these variables names, which may have arguments, at work on a file.
fn program_of(variables: &[&str], usual: &str, path: &Path) -> Process {
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let line = variables.iter().find_map(set).unwrap_or_else(|| usual.to_owned());
    let mut words = line.split_whitespace();
    let mut process = Process::new(words.next().unwrap_or(usual));
    process.args(words).arg(path);
    process
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_that_comes_late_is_no_key() {
        let press = |c, modifiers| crossterm::event::Event::Key(KeyEvent::new(KeyCode::Char(c), modifiers));
        let mut late = LateAnswer::default();
        assert!(!late.is_of_one(&press('q', KeyModifiers::NONE)));
        assert!(late.is_of_one(&press('_', KeyModifiers::ALT)));
        assert!("Gi=31;OK".chars().all(|c| late.is_of_one(&press(c, KeyModifiers::NONE))));
        assert!(late.is_of_one(&press('\\', KeyModifiers::ALT)));
        assert!(!late.is_of_one(&press('q', KeyModifiers::NONE)));
        assert!(late.is_of_one(&press(']', KeyModifiers::ALT)) && late.is_of_one(&press('g', KeyModifiers::CONTROL)));
        assert!(!late.is_of_one(&press('q', KeyModifiers::NONE)), "and none is open for ever");
    }
}
