//! What a journal tells, in front of a person: on a screen or as lines; and the signals that end either.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::app::Core;
use crate::cli::LogFormat;
use crate::event::{Command, Feed, FeedReader, OnQuit};
use crate::exit::ExitError;
use crate::journal::Journal;
use crate::{headless, ui};

/// Events a screen may lag behind before it must ask for everything again.
const FEED: usize = 65_536;

/// All that a journal tells from now on.
pub(crate) fn hear(journal: &Journal) -> FeedReader {
    let (feed, reader) = Feed::bounded(FEED);
    journal.subscribe(feed);
    reader
}

/// Prints what is heard, until the journal's end.
pub(crate) fn print(reader: FeedReader, format: LogFormat) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || headless::run(&reader, format, std::io::stderr()))
}

/// As the environment and the command line want the screen.
pub(crate) fn screen_settings(ascii: bool) -> ui::Settings {
    let mut settings = ui::Settings::from_env();
    settings.ascii |= ascii;
    settings
}

/// A screen on a thread of its own.
pub(crate) struct ScreenThread {
    thread: std::thread::JoinHandle<std::io::Result<ui::Exit>>,
    end: CancellationToken,
    keys: crossbeam_channel::Sender<ui::ScreenInput>,
    signals: Signals,
    terminated: Option<OperatorSignal>,
}

impl ScreenThread {
    /// Shows what a journal tells.
    pub(crate) fn start(
        journal: &Journal,
        commands: tokio::sync::mpsc::UnboundedSender<Command>,
        settings: ui::Settings,
    ) -> Result<Self, ExitError> {
        let signals = Signals::new()?;
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
                command => drop(commands.send(command)),
            });
            drop(ended);
            exit
        })?;
        Ok(Self { thread, end, keys: from_outside, signals, terminated: None })
    }

    /// Waits for its end; a signal ends it.
    pub(crate) async fn ended(&mut self) {
        loop {
            tokio::select! {
                () = self.end.cancelled() => return,
                signal = self.signals.next() => {
                    let input = match signal {
                        OperatorSignal::Interrupt => ui::ScreenInput::Interrupt,
                        OperatorSignal::Terminate | OperatorSignal::HangUp => ui::ScreenInput::Terminate,
                    };
                    self.terminated = Some(signal);
                    // Full only when the screen hangs: then the next signal tries again.
                    drop(self.keys.try_send(input));
                }
            }
        }
    }

    /// Shows how a core ends that was told to, and goes when it has.
    pub(crate) async fn until_down(&mut self, core: Core, on_quit: Option<OnQuit>) {
        until_down(core, on_quit, &mut self.signals).await;
        self.ended().await;
    }

    /// What the program's exit status is to be.
    pub(crate) fn status(self) -> Result<ExitCode, ExitError> {
        match self.thread.join() {
            Ok(Ok(ui::Exit::Terminated)) => {
                Ok(ExitCode::from(self.terminated.unwrap_or(OperatorSignal::Terminate).status()))
            }
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
