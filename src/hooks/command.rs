//! A program that answers, line by line.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::HookJob;
use super::result::id_of;
use crate::children::guardian::{GroupRole, GuardedGroup, Guardian};

/// The longest line of an answer.
const LONGEST: usize = 64 << 20;
/// A program that ends at once is started again after so long.
const REST: Duration = Duration::from_secs(1);

/// A program that runs.
struct RunningHook {
    child: Child,
    /// It ends with all that it started.
    group: GuardedGroup,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    waiting: HashMap<u64, WaitingJob>,
    started: Instant,
}

struct WaitingJob {
    answer: oneshot::Sender<Result<String, String>>,
    since: Instant,
}

/// Why a program is not asked any more.
enum HookEnd {
    /// No rule uses it any more.
    Unused,
    Failed(String),
}

/// Hands each question to the program, which is started with the first, and again where it has ended.
pub(super) async fn serve(words: Vec<String>, timeout: Duration, mut jobs: mpsc::Receiver<HookJob>) {
    let mut rest_until: Option<(Instant, String)> = None;
    while let Some(job) = jobs.recv().await {
        if let Some((_, why)) = rest_until.as_ref().filter(|(until, _)| Instant::now() < *until) {
            // The message may be gone.
            let _ = job.answer.send(Err(why.clone()));
            continue;
        }
        let why = match RunningHook::start(&words) {
            Ok(mut running) => {
                let end = running.work(job, &mut jobs, timeout).await;
                let was_short = running.started.elapsed() < REST;
                running.end().await;
                match end {
                    HookEnd::Unused => return,
                    HookEnd::Failed(why) if was_short => why,
                    HookEnd::Failed(_) => continue,
                }
            }
            Err(why) => {
                let _ = job.answer.send(Err(why.clone()));
                why
            }
        };
        rest_until = Some((Instant::now() + REST, why));
    }
}

impl RunningHook {
    fn start(words: &[String]) -> Result<Self, String> {
        let (program, arguments) = words.split_first().ok_or("it has no program")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let started = Guardian::of_process().and_then(|guardian| guardian.spawn(&mut command, GroupRole::Program));
        let (mut child, group) = started.map_err(|why| format!("`{program}` cannot be started: {why}"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("`{program}` has no pipes"));
        };
        let lines = BufReader::new(stdout).lines();
        Ok(Self { child, group, stdin, lines, waiting: HashMap::new(), started: Instant::now() })
    }

    /// Asks and reads answers until it fails.
    async fn work(&mut self, first: HookJob, jobs: &mut mpsc::Receiver<HookJob>, timeout: Duration) -> HookEnd {
        let mut next = Some(first);
        let why = loop {
            if let Some(job) = next.take()
                && let Err(why) = self.put(job, timeout).await
            {
                break why;
            }
            let oldest = self.waiting.values().map(|job| job.since).min();
            let due = oldest.map(|since| since + timeout);
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(job) => next = Some(job),
                    None => return HookEnd::Unused,
                },
                line = self.lines.next_line() => match line {
                    Ok(Some(line)) if line.len() <= LONGEST => self.take(line),
                    Ok(Some(_)) => break "its answer is too long".to_owned(),
                    Ok(None) => break "it has ended".to_owned(),
                    Err(why) => break format!("it cannot be read: {why}"),
                },
                () = until(due) => break format!("it has not answered in {timeout:?}"),
            }
        };
        for (_, job) in self.waiting.drain() {
            // Those who asked may have given up.
            let _ = job.answer.send(Err(why.clone()));
        }
        HookEnd::Failed(why)
    }

    async fn put(&mut self, job: HookJob, timeout: Duration) -> Result<(), String> {
        let HookJob { id, request, answer } = job;
        self.waiting.insert(id, WaitingJob { answer, since: Instant::now() });
        let line = request + "\n";
        let written = async {
            self.stdin.write_all(line.as_bytes()).await?;
            self.stdin.flush().await
        };
        match tokio::time::timeout(timeout, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(format!("it has ended: {why}")),
            Err(_) => Err(format!("it has read nothing in {timeout:?}")),
        }
    }

    fn take(&mut self, line: String) {
        if let Some(job) = id_of(&line).and_then(|id| self.waiting.remove(&id)) {
            let _ = job.answer.send(Ok(line));
        }
    }

    async fn end(self) {
        let Self { mut child, group, .. } = self;
        drop(group);
        // It has been killed, or had ended by itself.
        let _ = child.wait().await;
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
