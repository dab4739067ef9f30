//! What a journal tells, in front of a person: on a screen or as lines; and the signals that end either.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::app::Core;
use crate::cli::{ColorArg, LogFormat, ThemeArg};
use crate::event::{Command, Feed, FeedReader, OnQuit};
use crate::exit::ExitError;
use crate::journal::Journal;
use crate::{headless, ui};

/// Events a screen may lag behind before it must ask for everything again.
const FEED: usize = 65_536;

/// All that a journal tells from now on.
pub(crate) fn read_feed(journal: &Journal) -> FeedReader {
    let (feed, reader) = Feed::bounded(FEED);
    journal.subscribe(feed);
    reader
}

/// How long stderr may take nothing before what is left is not waited for.
const STALLED: Duration = Duration::from_secs(1);
/// How long the screen may take to answer a signal, before all is taken down without it: it may wait for a terminal that takes nothing.
const ANSWER: Duration = Duration::from_millis(500);
/// How long it may take to go once all is over. One that did not answer is given no more than that once again.
const LEAVING: Duration = Duration::from_secs(1);

/// A thread that prints what is heard, until the journal's end.
pub(crate) struct LinePrinter {
    ended: crossbeam_channel::Receiver<()>,
    written: Arc<AtomicU64>,
}

/// Prints what is heard, until the journal's end.
pub(crate) fn print(reader: FeedReader, format: LogFormat) -> LinePrinter {
    let (ending, ended) = crossbeam_channel::bounded(0);
    let written = Arc::<AtomicU64>::default();
    let out = CountedWriter { out: std::io::stderr(), written: written.clone() };
    std::thread::spawn(move || {
        headless::run(&reader, format, out);
        drop(ending);
    });
    LinePrinter { ended, written }
}

impl LinePrinter {
    /// Waits until all is printed, or the output is closed.
    pub(crate) fn finish(self) {
        let mut before = self.written.load(Ordering::Relaxed);
        while matches!(self.ended.recv_timeout(STALLED), Err(RecvTimeoutError::Timeout)) {
            let now = self.written.load(Ordering::Relaxed);
            if std::mem::replace(&mut before, now) == now {
                return;
            }
        }
    }
}

/// Counts what is taken.
struct CountedWriter<W> {
    out: W,
    written: Arc<AtomicU64>,
}

impl<W: std::io::Write> std::io::Write for CountedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.written.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// As the environment and the command line want the screen.
pub(crate) fn screen_settings(ascii: bool, color: ColorArg, theme: ThemeArg, memory: usize) -> ui::Settings {
    let mut settings = ui::Settings::from_env();
    settings.ascii |= ascii;
    settings.memory = memory;
    settings.mono = !color.is_wanted(true);
    settings.theme = match theme {
        ThemeArg::Auto => ui::ColorTheme::Auto,
        ThemeArg::Dark => ui::ColorTheme::Dark,
        ThemeArg::Light => ui::ColorTheme::Light,
        ThemeArg::Contrast => ui::ColorTheme::Contrast,
        ThemeArg::Ansi => ui::ColorTheme::Ansi,
        ThemeArg::Mono => ui::ColorTheme::Mono,
    };
    settings.history = remembered_filters();
    settings
}

/// The file that filters are remembered in.
fn remembered_filters() -> Option<std::path::PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(std::path::PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("tapline/filters"))
}

/// A screen on a thread of its own.
pub(crate) struct ScreenThread {
    thread: std::thread::JoinHandle<std::io::Result<ui::Exit>>,
    end: CancellationToken,
    keys: crossbeam_channel::Sender<ui::ScreenInput>,
    signals: Signals,
    /// The window has another size.
    resized: tokio::signal::unix::Signal,
    /// The signal that ends it, and when it came first.
    terminated: Option<(OperatorSignal, Instant)>,
    /// It did not answer in time.
    is_deaf: bool,
}

impl ScreenThread {
    /// Shows what a journal tells.
    pub(crate) fn start(
        journal: &Journal,
        commands: tokio::sync::mpsc::UnboundedSender<Command>,
        settings: ui::Settings,
        signals: Signals,
    ) -> Result<Self, ExitError> {
        let resized = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change())?;
        let (feed, reader) = Feed::bounded(FEED);
        let subscription = journal.subscribe(feed);
        let (keys, input) = ui::input_channel();
        let (from_outside, end) = (keys.clone(), CancellationToken::new());
        let ended = end.clone().drop_guard();
        let thread = std::thread::Builder::new().name("screen".to_owned()).spawn(move || {
            let exit = ui::show(settings, reader, (keys, input), |command| match command {
                // Other screens have lost nothing.
                Command::Resync => subscription.resync(),
                // The core is gone when this fails, and the screen is about to hear of it.
                command => {
                    let _ = commands.send(command);
                }
            });
            drop(ended);
            exit
        })?;
        Ok(Self { thread, end, keys: from_outside, signals, resized, terminated: None, is_deaf: false })
    }

    /// Waits for its end; a signal ends it, also where it cannot say so because its output is not read.
    pub(crate) async fn ended(&mut self) {
        loop {
            let told = self.terminated.filter(|(signal, _)| *signal != OperatorSignal::Interrupt).map(|(_, at)| at);
            let no_answer = async {
                match told {
                    Some(at) => sleep_until(at + ANSWER).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.end.cancelled() => return,
                () = no_answer => {
                    self.is_deaf = true;
                    return;
                }
                Some(()) = self.resized.recv() => {
                    // Full only when the screen hangs, and what is drawn next has the new size all the same.
                    let _ = self.keys.try_send(ui::ScreenInput::Resized);
                }
                signal = self.signals.next() => {
                    let input = match signal {
                        OperatorSignal::Interrupt => ui::ScreenInput::Interrupt,
                        OperatorSignal::Terminate | OperatorSignal::HangUp => ui::ScreenInput::Terminate,
                    };
                    let first = self.terminated.map(|(_, at)| at).filter(|_| signal != OperatorSignal::Interrupt);
                    self.terminated = Some((signal, first.unwrap_or_else(Instant::now)));
                    // Full only when the screen hangs: then the next signal tries again.
                    let _ = self.keys.try_send(input);
                }
            }
        }
    }

    /// Shows how a core ends that was told to, and goes when it has.
    pub(crate) async fn until_down(&mut self, core: Core, on_quit: Option<OnQuit>) {
        until_down(core, on_quit, &mut self.signals).await;
        let patience = if self.is_deaf { ANSWER } else { LEAVING };
        let _ = tokio::time::timeout(patience, self.end.cancelled()).await;
    }

    /// What the program's exit status is to be.
    pub(crate) fn status(self) -> Result<ExitCode, ExitError> {
        let terminated = self.terminated.map_or(OperatorSignal::Terminate, |(signal, _)| signal);
        if !self.end.is_cancelled() {
            // It waits for a terminal that takes nothing, and cannot give it back.
            ui::give_back_keys();
            return Ok(ExitCode::from(terminated.status()));
        }
        match self.thread.join() {
            Ok(Ok(ui::Exit::Terminated)) => Ok(ExitCode::from(terminated.status())),
            Ok(Ok(ui::Exit::Quit | ui::Exit::Stopped)) => Ok(ExitCode::SUCCESS),
            Ok(Err(error)) => {
                Err(anyhow::Error::new(error).context("the screen failed; `--headless` runs without").into())
            }
            Err(_) => {
                Err(anyhow::anyhow!("the screen ended by a bug in tapline; please report what stands above").into())
            }
        }
    }
}

/// Takes a core down; a signal meanwhile forces it.
pub(crate) async fn until_down(core: Core, on_quit: Option<OnQuit>, signals: &mut Signals) {
    let hurry = core.hurry();
    let down = core.shut_down(on_quit);
    tokio::pin!(down);
    loop {
        tokio::select! {
            () = &mut down => return,
            signal = signals.next() => match signal {
                OperatorSignal::Interrupt | OperatorSignal::Terminate => hurry.cancel(),
                // The terminal has gone, which may be what ends us.
                OperatorSignal::HangUp => {}
            },
        }
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OperatorSignal {
    Interrupt,
    Terminate,
    HangUp,
}

impl OperatorSignal {
    pub(crate) fn number(self) -> rustix::process::Signal {
        match self {
            Self::Interrupt => rustix::process::Signal::INT,
            Self::Terminate | Self::HangUp => rustix::process::Signal::TERM,
        }
    }

    /// 128 and the number of the signal, as shells have it.
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate | Self::HangUp => 143,
        }
    }
}

/// What ends tapline, from the moment this is made. Whoever has read that something runs may end it at once: it is made before that is said.
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    pub(crate) async fn next(&mut self) -> OperatorSignal {
        tokio::select! {
            _ = self.interrupt.recv() => OperatorSignal::Interrupt,
            _ = self.terminate.recv() => OperatorSignal::Terminate,
            _ = self.hang_up.recv() => OperatorSignal::HangUp,
        }
    }
}
