//! `tapline mock --mutate SEED --client COMMAND`: a client is run again and again, each time with one reply of its server changed, until
//! it is known which changes it does not bear.

use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::io::AsyncReadExt as _;
use tokio::process::{ChildStderr, Command};

use super::help::print;
use crate::app::Core;
use crate::children::guardian::{GroupRole, Guardian};
use crate::exit::ExitError;
use crate::proxy::front::routes::Mount;
use crate::screen::Signals;
use crate::tape::mock::{MutationPlan, TapeMock};
use crate::text::{counted, fit, sanitize};

/// What stands for the address of the mock in the client's command.
const URL: &str = "{url}";
/// What is kept of its stderr, from the end, in bytes; and shown, in columns.
const KEPT: usize = 64 << 10;
const SHOWN: usize = 160;
/// How long its stderr is read when its process group has ended: a daemon that has left the group may hold it open for ever.
const GOODBYE: Duration = Duration::from_secs(2);

/// How a client ended.
#[derive(Debug)]
enum ClientEnd {
    Exited(ExitStatus),
    /// It had to be killed.
    Hung,
}

/// How it coped with a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrialVerdict {
    Copes,
    /// It says that it was told something wrong, and it was.
    Refuses,
    Fails,
}

/// What is tried.
pub(super) struct ClientTrials {
    /// The client's command.
    pub(super) client: String,
    pub(super) seed: u64,
    /// How often it may be run.
    pub(super) most_runs: u64,
    /// How long it may take: one that waits for what never comes is no better than one that ends badly.
    pub(super) patience: Duration,
    /// Where each run is recorded.
    pub(super) tapes: Option<PathBuf>,
}

impl ClientTrials {
    /// Runs the client once with nothing changed, and once for each reply. Status 1 where it fails.
    ///
    /// # Errors
    /// Where it cannot be started, or fails with nothing changed.
    pub(super) async fn run(
        mut self,
        mock: &Arc<TapeMock>,
        core: Core,
        mut signals: Signals,
    ) -> Result<ExitCode, ExitError> {
        self.client = self.client.replace(URL, core.url());
        let tried = tokio::select! {
            tried = try_each(mock, &self, &core) => tried,
            _ = signals.next() => Err(anyhow!("it was stopped before all replies had been changed").into()),
        };
        core.shut_down(None).await;
        tried
    }
}

/// No reply has this number: all are counted, and none is changed.
const NONE: u64 = 0;

async fn try_each(mock: &TapeMock, trials: &ClientTrials, core: &Core) -> Result<ExitCode, ExitError> {
    let only = |nth| MutationPlan { seed: trials.seed, only: Some(nth) };
    mock.begin_anew(only(NONE));
    let (end, said) = run_client(trials, core).await?;
    if verdict(&end, true) != TrialVerdict::Copes {
        let how = described(&end, trials.patience);
        return Err(anyhow!("the client {how} with nothing changed{}", ending(&said)).into());
    }
    let replies = mock.begin_anew(only(1)).most;
    if replies == 0 {
        return Err(anyhow!("the client got no reply: `{URL}` in its command is the address to ask").into());
    }
    let (mut tried, mut failed) = (0, 0);
    let last = replies.min(trials.most_runs - 1);
    for nth in 1..=last {
        let (end, said) = run_client(trials, core).await?;
        // It may have asked less than with nothing changed.
        let Some(change) = mock.begin_anew(only(nth + 1)).changes.into_iter().next() else { continue };
        let verdict = verdict(&end, change.is_legal);
        tried += 1;
        failed += usize::from(verdict == TrialVerdict::Fails);
        print(&told(verdict, &change.text, &described(&end, trials.patience), &said))?;
    }
    let left = match replies - last {
        0 => String::new(),
        left => format!("; {left} of {replies} replies were not changed: `--most-runs` allows more"),
    };
    let place =
        trials.tapes.as_ref().map_or_else(String::new, |dir| format!("; each run is on a tape in {}", dir.display()));
    print(&format!("{}, one at a time; the client fails after {failed}{left}{place}\n", counted(tried, "change")))?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn told(verdict: TrialVerdict, change: &str, end: &str, said: &str) -> String {
    let word = match verdict {
        TrialVerdict::Copes => return format!("copes   {}\n", sanitize(change)),
        TrialVerdict::Refuses => "refuses",
        TrialVerdict::Fails => "FAILS  ",
    };
    format!("{word} {}: it {end}{}\n", sanitize(change), ending(said))
}

/// Runs it to its end, with all that it starts, and ends the sessions that it leaves. Returns why it failed, as far as it says so on stderr.
async fn run_client(trials: &ClientTrials, core: &Core) -> Result<(ClientEnd, String), ExitError> {
    let ran = run_to_its_end(trials).await;
    for table in core.mounts().iter().map(Mount::table) {
        for connection in table.live() {
            table.close(connection.session.id(), "its client has ended").await;
        }
    }
    ran
}

async fn run_to_its_end(trials: &ClientTrials) -> Result<(ClientEnd, String), ExitError> {
    let mut shell = Command::new("sh");
    shell.args(["-c", &trials.client]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let started = Guardian::of_process().and_then(|guardian| guardian.spawn(&mut shell, GroupRole::Program));
    // The group ends also where this is not waited for to its end.
    let (mut child, group) = started.context("`--client` cannot be started")?;
    let reading = child.stderr.take().map(|stderr| tokio::spawn(last_words(stderr)));
    let end = match tokio::time::timeout(trials.patience, child.wait()).await {
        Ok(status) => ClientEnd::Exited(status?),
        Err(_) => ClientEnd::Hung,
    };
    // What it leaves behind may hold its stderr open. That it has ended is what counts.
    drop(group);
    let Some(reading) = reading else { return Ok((end, String::new())) };
    let said = tokio::time::timeout(GOODBYE, reading).await;
    Ok((end, said.ok().and_then(Result::ok).unwrap_or_default()))
}

async fn last_words(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    while matches!(stderr.read_buf(&mut kept).await, Ok(1..)) {
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
    reason(&String::from_utf8_lossy(&kept))
}

/// Why a program ended: what it says of the last error that it names, as Node.js has it above the stack and Python below, in the frame
/// of a group of exceptions; else the last line that says something. The beginning may be missing.
fn reason(stderr: &str) -> String {
    let lines: Vec<_> = stderr.lines().map(|line| line.trim_matches([' ', '\t', '|', '+'])).collect();
    let names_an_error = |line: &&str| {
        let name = line.split([':', ' ']).next().unwrap_or_default();
        line.contains(':') && ["Error", "Exception"].iter().any(|end| name.ends_with(end))
    };
    let Some(first) = lines.iter().rposition(names_an_error) else {
        let last = lines.iter().rfind(|line| line.contains(char::is_alphanumeric));
        return last.copied().unwrap_or_default().to_owned();
    };
    let is_its = |line: &&&str| !line.is_empty() && !line.starts_with("at ") && !line.starts_with("---");
    lines[first..].iter().take_while(is_its).copied().collect::<Vec<_>>().join(" ")
}

fn verdict(end: &ClientEnd, is_legal: bool) -> TrialVerdict {
    match end {
        ClientEnd::Exited(status) if status.success() => TrialVerdict::Copes,
        // Shells tell by a high status that what they ran was ended by a signal.
        ClientEnd::Exited(status) if !is_legal && status.code().is_some_and(|code| code < 128) => TrialVerdict::Refuses,
        ClientEnd::Exited(_) | ClientEnd::Hung => TrialVerdict::Fails,
    }
}

fn described(end: &ClientEnd, patience: Duration) -> String {
    match end {
        ClientEnd::Hung => format!("has not ended after {patience:?}"),
        // "exit status: 1", "signal: 6 (SIGABRT)"
        ClientEnd::Exited(status) => format!("ends with {status}"),
    }
}

fn ending(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {}", fit(&sanitize(said), SHOWN)) }
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn reason_of_an_end_is_the_error_and_not_what_stands_around_it() {
        let node = "file:///a.js:378\n  throw new E();\n  ^\n\nZodError: [\n  {\n    \"code\": \"x\"\n  }\n]\n    at send (a.js:3)\n\nNode.js v20.20.2\n";
        let python = "Traceback (most recent call last):\n  File \"a.py\", line 3\nmcp.shared.exceptions.McpError: Connection closed\n";
        let group = "  + Exception Group Traceback (most recent call last):\n    | ValueError: no id\n    +------------------------------------\n";
        let cases = [
            (node, r#"ZodError: [ { "code": "x" } ]"#),
            (python, "mcp.shared.exceptions.McpError: Connection closed"),
            (group, "ValueError: no id"),
            ("waiting\ngone wrong\n\n----\n", "gone wrong"),
            ("", ""),
        ];
        for (stderr, expected) in cases {
            assert_eq!(reason(stderr), expected, "{stderr}");
        }
    }
}
