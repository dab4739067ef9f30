//! A command that a message is handed to: it runs beside the screen, is stopped with all that it started, and tells what it printed.
//!
//! It leads a process group of its own, behind the one that has the terminal: ctrl c is not for it, and a program that reads keys, as
//! `less` does, is stopped by the kernel there instead of taking the screen's. That is seen, and told as what it is.

use std::io::{self, Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, never, select};
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, waitpid};

use super::host::PipedOutput;
use crate::children::guardian::{GroupRole, GuardedGroup, Guardian};
use crate::text;

/// Bytes of what a command prints that are shown. One that prints more is stopped: nobody reads on.
const SHOWN: usize = 4 << 20;

/// How long it has between SIGTERM and SIGKILL. Who leaves tapline waits for it.
const GRACE: Duration = Duration::from_millis(500);
/// How often it is looked whether it is gone by then.
const LOOK: Duration = Duration::from_millis(5);

/// A command that a message was handed to. Dropping it stops what is left of it.
pub(super) struct PipedCommand {
    stop: Sender<()>,
    is_told: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PipedCommand {
    /// Has a shell run it; `tell` is called once, with what it printed.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub(super) fn start(
        guardian: &Guardian,
        command: &str,
        input: Vec<u8>,
        tell: impl FnOnce(PipedOutput) + Send + 'static,
    ) -> io::Result<Self> {
        let mut process = Command::new("sh");
        process.arg("-c").arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (child, group) = guardian.spawn_std(&mut process, GroupRole::Program)?;
        let run = PipedRun::of(child, group, input)?;
        let ((stop, stopped), is_told) = (crossbeam_channel::bounded(1), Arc::new(AtomicBool::new(false)));
        let told = is_told.clone();
        let thread = std::thread::Builder::new().name("piped".to_owned()).spawn(move || {
            let output = run.finish(&stopped);
            told.store(true, Ordering::Relaxed);
            tell(output);
        })?;
        Ok(Self { stop, is_told, thread: Some(thread) })
    }

    pub(super) fn runs(&self) -> bool {
        !self.is_told.load(Ordering::Relaxed)
    }

    /// Has it stop; what it printed until then is told soon after.
    pub(super) fn stop(&self) {
        // A second time says nothing new.
        let _ = self.stop.try_send(());
    }
}

impl Drop for PipedCommand {
    fn drop(&mut self) {
        self.stop();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What ended it, or is to.
enum PipedEnd {
    Itself(Option<ExitStatus>),
    Stopped,
    TooMuch,
    /// It asked for the terminal, which is the screen's.
    Terminal,
}

/// What its process did.
enum ProcessChange {
    Ended(Option<ExitStatus>),
    /// The kernel stopped it, as it asked for the terminal.
    Suspended,
}

/// The running command, as the thread that watches it has it.
struct PipedRun {
    group: GuardedGroup,
    process: Receiver<ProcessChange>,
    /// Says that there was too much; ends with the output.
    output: Receiver<()>,
    printed: Arc<Mutex<Vec<u8>>>,
    said: Arc<Mutex<Vec<u8>>>,
}

impl PipedRun {
    fn of(mut child: Child, group: GuardedGroup, input: Vec<u8>) -> io::Result<Self> {
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let (changed, process) = crossbeam_channel::unbounded();
        let (full, output) = crossbeam_channel::bounded(1);
        let (printed, said) = (Arc::default(), Arc::default());
        // None of these is waited for: a process that has left the group may have a pipe of it open for ever.
        std::thread::spawn(move || watch(&child, &changed));
        std::thread::spawn(move || write_all(stdin, &input));
        keep(stdout, &printed, full.clone());
        keep(stderr, &said, full);
        Ok(Self { group, process, output, printed, said })
    }

    /// Watches it until it has ended, by itself or not.
    fn finish(self, stop: &Receiver<()>) -> PipedOutput {
        let end = self.wait(stop);
        if !matches!(end, PipedEnd::Itself(_)) {
            self.terminate();
        }
        let Self { group, printed, said, .. } = self;
        // With what it left running.
        drop(group);
        let [printed, said] = [printed, said].map(|kept| String::from_utf8_lossy(&kept.lock()).into_owned());
        let why = match end {
            PipedEnd::Itself(Some(status)) if status.success() => {
                return PipedOutput { printed: if printed.is_empty() { said } else { printed }, why: None };
            }
            PipedEnd::Itself(Some(status)) => format!("ended with {status}"),
            PipedEnd::Itself(None) => "has ended, nobody knows how".to_owned(),
            PipedEnd::Stopped => "was stopped".to_owned(),
            PipedEnd::TooMuch => {
                format!("was stopped: it printed more than the {} shown here", text::size(SHOWN as u64))
            }
            PipedEnd::Terminal => "was stopped: it wants the terminal, which is the screen's".to_owned(),
        };
        let said = said.trim();
        PipedOutput { printed, why: Some(if said.is_empty() { why } else { format!("{why}: {said}") }) }
    }

    fn wait(&self, stop: &Receiver<()>) -> PipedEnd {
        let (mut ended, mut process, mut output) = (None, self.process.clone(), self.output.clone());
        let mut is_open = true;
        loop {
            if let Some(status) = ended.filter(|_| !is_open) {
                return PipedEnd::Itself(status);
            }
            select! {
                recv(stop) -> _ => return PipedEnd::Stopped,
                recv(process) -> change => match change {
                    Ok(ProcessChange::Suspended) => return PipedEnd::Terminal,
                    Ok(ProcessChange::Ended(status)) => (ended, process) = (Some(status), never()),
                    Err(_) => (ended, process) = (Some(None), never()),
                },
                recv(output) -> full => match full {
                    Ok(()) => return PipedEnd::TooMuch,
                    Err(_) => (is_open, output) = (false, never()),
                },
            }
        }
    }

    /// Ends all of the group that listens; dropping the group ends the rest.
    fn terminate(&self) {
        self.group.signal(Signal::TERM);
        // What is suspended hears nothing else.
        self.group.signal(Signal::CONT);
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline && self.group.is_there() {
            std::thread::sleep(LOOK);
        }
    }
}

/// Waits for the process, and tells of it when it is suspended, which the standard library does not.
fn watch(child: &Child, changed: &Sender<ProcessChange>) {
    use std::os::unix::process::ExitStatusExt as _;
    let Some(process) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
    loop {
        let change = match waitpid(Some(process), WaitOptions::UNTRACED) {
            Ok(Some((_, status))) if status.stopped() => {
                let asks = [Signal::TTIN, Signal::TTOU].map(Signal::as_raw);
                if status.stopping_signal().is_none_or(|signal| !asks.contains(&signal)) {
                    // Somebody wants it to rest.
                    continue;
                }
                ProcessChange::Suspended
            }
            Ok(Some((_, status))) => ProcessChange::Ended(Some(ExitStatus::from_raw(status.as_raw()))),
            Ok(None) | Err(Errno::INTR) => continue,
            Err(_) => ProcessChange::Ended(None),
        };
        let is_last = matches!(change, ProcessChange::Ended(_));
        if changed.send(change).is_err() || is_last {
            return;
        }
    }
}

fn write_all(mut stdin: ChildStdin, input: &[u8]) {
    // It need not read it.
    let _ = stdin.write_all(input);
}

/// Reads to the end and keeps what is shown; the first time that there is more, that is said.
fn keep(mut from: impl Read + Send + 'static, kept: &Arc<Mutex<Vec<u8>>>, full: Sender<()>) {
    let kept = kept.clone();
    std::thread::spawn(move || {
        let mut chunk = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            let mut kept = kept.lock();
            let room = SHOWN - kept.len();
            kept.extend_from_slice(&chunk[..read.min(room)]);
            if read > room {
                let _ = full.try_send(());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// A guardian that does nothing: what is tested here ends while tapline runs.
    fn guardian() -> Guardian {
        Guardian::new("true".into())
    }

    fn started(command: &str, input: &[u8]) -> (PipedCommand, Receiver<PipedOutput>) {
        let (told, output) = crossbeam_channel::unbounded();
        let tell = move |output| drop(told.send(output));
        (PipedCommand::start(&guardian(), command, input.to_vec(), tell).unwrap(), output)
    }

    fn output(command: &str, input: &[u8]) -> PipedOutput {
        let (_running, output) = started(command, input);
        output.recv().unwrap()
    }

    /// Until nobody has the writing end of this pipe: none of those who had it is left.
    fn wait_for_end_of(mut fifo: File) {
        io::copy(&mut fifo, &mut io::sink()).unwrap();
    }

    #[test]
    fn command_reads_the_message_and_tells_what_it_printed() {
        assert_eq!(output("cat", b"{}"), PipedOutput { printed: "{}".to_owned(), why: None });
        assert_eq!(output("echo no >&2", b"").printed, "no\n", "what it said, where it printed nothing");
        let failed = output("echo one; echo broken >&2; exit 3", b"");
        assert_eq!(
            (failed.printed.as_str(), failed.why.unwrap()),
            ("one\n", "ended with exit status: 3: broken".to_owned())
        );
        assert_eq!(output("exec <&-; echo done", &[b'x'; 1 << 20]).printed, "done\n", "one that reads nothing");
    }

    #[test]
    fn command_that_never_ends_is_stopped_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("alive");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        // Deaf to SIGTERM, and a child that is, too. Its stdout is its own: nothing is read from it.
        let child = "sh -c 'echo child; sleep 1000'";
        let command = format!("exec 9>{}; trap '' TERM; {child} & wait; sleep 1000", fifo.display());
        let (running, output) = started(&command, b"");
        let alive = File::open(&fifo).unwrap();
        assert!(running.runs());
        running.stop();
        let output = output.recv().unwrap();
        assert!(output.why.as_deref().is_some_and(|why| why == "was stopped"), "{output:?}");
        assert!(!running.runs());
        wait_for_end_of(alive);
    }

    #[test]
    fn command_is_stopped_where_the_screen_ends() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("alive");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let (running, output) = started(&format!("exec 9>{}; sleep 1000 | cat", fifo.display()), b"");
        let alive = File::open(&fifo).unwrap();
        drop(running);
        assert!(output.try_recv().is_ok_and(|output| output.why.is_some()), "it is waited for");
        wait_for_end_of(alive);
    }

    #[test]
    fn command_that_prints_for_ever_is_stopped_when_what_is_shown_is_full() {
        let output = output("yes; sleep 1000", b"");
        assert_eq!(output.printed.len(), SHOWN);
        assert_eq!(output.why.as_deref(), Some("was stopped: it printed more than the 4.0M shown here"));
    }

    #[test]
    fn command_that_wants_the_terminal_is_told_so() {
        // What the kernel does to one that reads the terminal from behind.
        let output = output("echo before; kill -TTIN $$; echo after", b"");
        assert_eq!(output.printed, "before\n");
        assert!(output.why.as_deref().is_some_and(|why| why.contains("it wants the terminal")), "{output:?}");
    }
}
