//! The child that all clients of revision 2026-07-28 share: a subscription of one hears what the calls of another change.
//!
//! These clients have no handshake, so any process of the server will do, and one that is gone is followed by the next as soon as
//! somebody asks something. Which message is whose is the business of the [`PipeLink`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::timeout;

use super::Proxy;
use super::pipe::anew::keep;
use super::pipe::{Home, PipeLink};
use super::pump::Pump;
use super::recollection::Recollection;
use super::session::LiveSession;
use crate::event::{Level, LogLine};
use crate::message::{Id, Message};
use crate::upstream::pool::{Child, Pool};
use crate::upstream::{Outgoing, Reply, UpstreamError};

/// How long a spare may take to answer before it is given to anybody, where that is asked for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The owner of what is shared.
pub struct Shared {
    proxy: Arc<Proxy>,
    pool: Arc<Pool>,
    label: String,
    member: Mutex<Option<Member>>,
}

struct Member {
    link: Arc<PipeLink>,
    since: Instant,
}

impl Shared {
    pub(super) fn new(proxy: Arc<Proxy>, pool: Arc<Pool>) -> Arc<Self> {
        let label = pool.command().to_string();
        Arc::new(Self { proxy, pool, label, member: Mutex::default() })
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// One exchange of a client, already through the spine.
    pub(super) async fn exchange(
        &self,
        session: &Arc<LiveSession>,
        outgoing: Outgoing,
        withheld: bool,
    ) -> Result<Reply, UpstreamError> {
        let link = self.link(session)?;
        link.exchange(session, outgoing, withheld).await
    }

    /// Has another child take the place of this one.
    pub(super) fn renew(&self) {
        let member = self.member.lock().take();
        if let Some(member) = member {
            member.link.retire();
        }
    }

    /// A client is no more.
    pub(super) fn leave(&self, session: &LiveSession) {
        let link = self.member.lock().as_ref().map(|member| member.link.clone());
        if let Some(link) = link {
            link.leave(session);
        }
    }

    /// Ends the child, and waits until it is gone.
    pub(super) async fn close(&self) {
        let member = self.member.lock().take();
        if let Some(member) = member {
            member.link.close().await;
        }
    }

    fn link(&self, session: &Arc<LiveSession>) -> Result<Arc<PipeLink>, UpstreamError> {
        let mut member = self.member.lock();
        if let Some(Member { link, .. }) = member.as_ref().filter(|member| self.is_fit(member)) {
            return Ok(link.clone());
        }
        let child = self.pool.take()?;
        let link = PipeLink::to_child(self.proxy.clone(), Home::Many, self.pool.clone(), Recollection::default());
        let since = child.as_ref().map_or_else(Instant::now, |child| child.since);
        *member = Some(Member { link: link.clone(), since });
        drop(member);
        let (pump, pool, session) = (Pump::new(&link), self.pool.clone(), session.clone());
        match child {
            Some(child) if !must_answer(&pool, &child) => {
                link.install(child.pipe);
                tokio::spawn(keep(pump, child.outputs));
            }
            child => drop(tokio::spawn(bring(link.clone(), pump, pool, session, child))),
        }
        Ok(link)
    }

    /// One that is too old is given up as soon as nobody waits for it.
    fn is_fit(&self, member: &Member) -> bool {
        let is_outlived = self.pool.is_old(member.since) && member.link.is_idle();
        !(member.link.is_over() || is_outlived)
    }
}

fn must_answer(pool: &Pool, child: &Child) -> bool {
    pool.settings().ping && child.spare
}

/// Waits for a child that is fit for use.
async fn bring(link: Arc<PipeLink>, mut pump: Pump, pool: Arc<Pool>, session: Arc<LiveSession>, child: Option<Child>) {
    let mut child = child;
    loop {
        let next = match child.take() {
            Some(child) => Ok(child),
            None => pool.acquire().await,
        };
        let found = match next {
            Ok(found) => found,
            Err(error) => return link.end(&error),
        };
        let must_answer = must_answer(&pool, &found);
        let (pipe, mut outputs) = (link.stage(found.pipe), found.outputs);
        let answering = async {
            if must_answer {
                link.say(&session, &pipe, discover()).await.recv().await;
            }
        };
        if let Ok(Ok(())) = pump.run_until(&mut outputs, timeout(PATIENCE, answering)).await {
            link.open(&pipe);
            // Whoever ends what is shared must not wait for what is heard of it.
            drop(link);
            keep(pump, outputs).await;
            return;
        }
        let text = "a spare did not answer, and is replaced";
        link.proxy().log(LogLine::new(Level::Warn, "proxy", text).of(session.id()));
    }
}

/// What every server of the revision answers, be it by an error (2026-07-28, `server/discover`; it has no `ping`).
fn discover() -> Message {
    let version = env!("CARGO_PKG_VERSION");
    let meta = format!(
        r#"{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}},"io.modelcontextprotocol/clientInfo":{{"name":"tapline","version":"{version}"}}}}"#
    );
    let id = Id::random();
    Message::new(format!(
        r#"{{"jsonrpc":"2.0","id":{},"method":"server/discover","params":{{"_meta":{meta}}}}}"#,
        id.token()
    ))
}
