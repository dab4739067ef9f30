//! A request that another upstream answers in the place of the client's own.
//!
//! It stands in the queue while the other is asked, as one does that waits for a hook, so that a hand may let it go to its own server; the
//! reply of the other is then the answer to it. Who asks ([`UpstreamAsker`]) is given by the composition root: rules know no servers.

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::envelope::{Author, Envelope, Seq, SessionId};
use crate::event::{BlockError, Level, LogLine};
use crate::intercept::{LateRuling, LateVerdict, Verdict};
use crate::mcp::error_code::ErrorCode;
use crate::message::Message;

/// What another upstream is asked.
#[derive(Clone, Debug)]
pub struct UpstreamQuestion {
    /// A name in the configuration, or a URL.
    pub upstream: Arc<str>,
    /// The session of the client, and the number of its request.
    pub session: SessionId,
    pub seq: Seq,
    pub request: Message,
}

/// Asks it: the reply, under the id of the request, or why there is none. Dropped, the request is taken back.
pub type UpstreamAsker = Box<dyn Fn(UpstreamQuestion) -> BoxFuture<'static, Result<Message, String>> + Send + Sync>;

/// Who asks, once that is known.
pub(super) type AskerCell = Arc<OnceLock<UpstreamAsker>>;

/// A request that waits for the reply of another upstream.
pub(super) struct RedirectedRequest {
    rule: Arc<str>,
    question: UpstreamQuestion,
    asker: AskerCell,
}

impl RedirectedRequest {
    pub(super) fn new(rule: Arc<str>, upstream: Arc<str>, envelope: &Envelope, asker: AskerCell) -> Arc<Self> {
        let (session, seq, request) = (envelope.session, envelope.seq, envelope.message.clone());
        Arc::new(Self { rule, question: UpstreamQuestion { upstream, session, seq, request }, asker })
    }

    async fn decide(&self) -> LateRuling {
        let reply = match self.asker.get() {
            Some(ask) => ask(self.question.clone()).await,
            None => Err("nothing here can ask it".to_owned()),
        };
        let (rule, upstream, author) = (&self.rule, &self.question.upstream, Author::Rule(self.rule.to_string()));
        let (level, text, verdict) = match reply {
            Ok(reply) => (Level::Info, format!("`{rule}`: answered by {upstream}"), Verdict::Answer(reply, author)),
            Err(why) => {
                let message = format!(
                    "tapline: rule `{rule}` sends this to {upstream}, which gave no answer: {why}; start that server, or switch the rule off"
                );
                let error = BlockError::JsonRpc { code: ErrorCode::UpstreamFailed.number(), message, data: None };
                (Level::Warn, format!("`{rule}`: {upstream} gave no answer: {why}"), Verdict::Block(error, author))
            }
        };
        LateRuling { verdict, line: Some(LogLine::new(level, "rule", text)) }
    }
}

impl std::fmt::Debug for RedirectedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.question.fmt(f)
    }
}

impl LateVerdict for RedirectedRequest {
    fn reason(&self) -> String {
        format!("rule {}: {} is asked instead", self.rule, self.question.upstream)
    }

    fn ask(self: Arc<Self>) -> oneshot::Receiver<LateRuling> {
        let (mut told, ruling) = oneshot::channel();
        tokio::spawn(async move {
            tokio::select! {
                // The client has gone, or a hand let the request go.
                () = told.closed() => {}
                decided = self.decide() => drop(told.send(decided)),
            }
        });
        ruling
    }
}
