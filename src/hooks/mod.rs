//! Hooks: a message is handed to a program or to an HTTP address on this machine, which says what becomes of it.
//!
//! The shape is that of the draft of MCP interceptors: a JSON-RPC request `interceptor/invoke`, with the `event` (the method), the
//! `phase` (`request` or `response`; a notification is a request), the `payload` (`params`, or `result` or `error`) and a `context`. A
//! command gets each as a line on stdin and answers with a line on stdout, in any order; an address gets it as the body of a POST.
//!
//! | `result` of the hook | what becomes of the message |
//! |---|---|
//! | `{}`, `{"modified": false}`, `{"valid": true}` | it goes on |
//! | `{"modified": true, "payload": {}}` | it goes on with that payload; what is the same in it keeps its bytes |
//! | `{"valid": false, "messages": [{"message": "text"}]}` | it is blocked with that text |
//! | `{"answer": {"result": {}}}`, `{"answer": {"error": {}}}` | that is the answer (ours: the draft has nothing like it) |
//!
//! Nothing on the wire waits for a hook but the message itself, which stands in the queue meanwhile, where a hand may let it go. A hook
//! that takes too long, dies, or whose queue is full leaves its messages to the policy of the rule. A command that has answered
//! nothing in its time is ended, and started again for the next message.

mod call;
mod command;
mod http;
mod result;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

pub use self::call::HookCall;
use crate::envelope::Author;
use crate::event::{BlockError, Level, LogLine};
use crate::intercept::{LateRuling, LateVerdict, Verdict};
use crate::mcp::error_code::ErrorCode;

/// Messages that wait for one hook; who comes then is left to the policy.
pub const MOST_WAITING: usize = 256;

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookTarget {
    /// A program and its arguments.
    Command(Vec<String>),
    /// An address on this machine.
    Url(String),
}

/// What becomes of a message whose hook says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnHookFailure {
    #[default]
    Continue,
    Block,
    Drop,
}

/// A hook as a rule has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSpec {
    pub target: HookTarget,
    pub timeout: Duration,
    pub on_failure: OnHookFailure,
    /// JSON that every call takes along.
    pub config: Option<String>,
}

/// A hook, and what runs for it once it was asked.
pub struct Hook {
    spec: HookSpec,
    jobs: OnceLock<mpsc::Sender<HookJob>>,
    trouble: Mutex<Option<String>>,
}

/// One question to a hook.
pub(in crate::hooks) struct HookJob {
    pub(in crate::hooks) id: u64,
    /// The JSON-RPC request to the hook, as one line.
    pub(in crate::hooks) request: String,
    pub(in crate::hooks) answer: oneshot::Sender<Result<String, String>>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}

impl Hook {
    /// A hook before its first message: nothing runs for it.
    pub fn new(spec: HookSpec) -> Arc<Self> {
        Arc::new(Self { spec, jobs: OnceLock::new(), trouble: Mutex::default() })
    }

    /// Why it did not answer, the last time that it did not.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    async fn ask(&self, call: &HookCall) -> Result<String, String> {
        let jobs = self.jobs.get_or_init(|| {
            let (jobs, taken) = mpsc::channel(MOST_WAITING);
            match self.spec.target.clone() {
                HookTarget::Command(words) => drop(tokio::spawn(command::serve(words, self.spec.timeout, taken))),
                HookTarget::Url(url) => drop(tokio::spawn(http::serve(url, self.spec.timeout, taken))),
            }
            jobs
        });
        let (answer, answered) = oneshot::channel();
        let job = HookJob { id: call.id(), request: call.request(&self.spec), answer };
        jobs.try_send(job).map_err(|_| format!("{MOST_WAITING} messages wait for it already"))?;
        match tokio::time::timeout(self.spec.timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("it ended without an answer".to_owned()),
            Err(_) => Err(format!("it has not answered in {:?}", self.spec.timeout)),
        }
    }
}

/// A message that is handed to a hook.
#[derive(Debug)]
pub struct HookQuestion {
    pub hook: Arc<Hook>,
    pub call: Arc<HookCall>,
    /// The name of the rule that asks.
    pub rule: Arc<str>,
}

impl HookQuestion {
    async fn rule(&self) -> LateRuling {
        let author = Author::Rule(self.rule.to_string());
        let answer = self.hook.ask(&self.call).await;
        let verdict = answer.and_then(|answer| result::verdict(&answer, self.call.message(), author.clone()));
        match verdict {
            Ok(verdict) => {
                *self.hook.trouble.lock() = None;
                LateRuling { verdict, line: None }
            }
            Err(why) => self.failed(why, author),
        }
    }

    /// What the rule says of a hook that did not answer.
    fn failed(&self, why: String, author: Author) -> LateRuling {
        let (verdict, fate) = match self.hook.spec.on_failure {
            OnHookFailure::Continue => (Verdict::Continue, "the message went on"),
            OnHookFailure::Drop => (Verdict::Drop(author), "the message was dropped"),
            OnHookFailure::Block => {
                let message = format!("the hook of rule `{}` failed: {why}", self.rule);
                let error = BlockError::JsonRpc { code: ErrorCode::Blocked.number(), message, data: None };
                (Verdict::Block(error, author), "the message was blocked")
            }
        };
        let text = format!("`{}`: {fate}: the hook failed: {why}", self.rule);
        *self.hook.trouble.lock() = Some(why);
        LateRuling { verdict, line: Some(LogLine::new(Level::Warn, "rule", text)) }
    }
}

impl LateVerdict for HookQuestion {
    fn reason(&self) -> String {
        format!("hook of rule {}", self.rule)
    }

    fn ask(self: Arc<Self>) -> oneshot::Receiver<LateRuling> {
        let (told, ruling) = oneshot::channel();
        tokio::spawn(async move {
            // A message that a hand let go meanwhile is not waited for.
            let _ = told.send(self.rule().await);
        });
        ruling
    }
}
