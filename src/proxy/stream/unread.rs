//! Clients that do not read what the server says.
//!
//! All that waits of what a server said is bounded ([`MOST_UNREAD`]): where there is no room, the server is not read. A client with one
//! stream keeps only itself waiting, and may take its time, as with a pipe. Where others wait for the same server, the stream that
//! is not read is ended.

use crate::envelope::SessionId;
use crate::event::{Level, LogLine};
use crate::proxy::stream::client::{ClientSide, Items};
use crate::proxy::stream::pending::PendingRequest;
use crate::proxy::stream::server::{StreamServer, Tenancy};
use crate::upstream::UpstreamError;
use crate::upstream::output::{MOST_UNREAD, STALLED, unread_by_its_only_client};

impl StreamServer {
    /// The server is not read for want of room: ends the stream that takes most of it, where others wait. `is_first`: it was not
    /// logged before that a client does not read.
    pub(super) fn relieve(&self, is_first: bool) {
        let slowest = self.slowest();
        let text = match &slowest {
            Some(_) => format!(
                "the stream of a client that did not read for {STALLED:?} was ended, with {} MiB that waited on it: others wait for the same \
                 server",
                MOST_UNREAD >> 20
            ),
            None if is_first => unread_by_its_only_client(),
            None => return,
        };
        let mut line = LogLine::new(Level::Warn, "proxy", text);
        line.session = self.log_session();
        if let Some((items, session)) = slowest {
            line.session = session.or(line.session);
            self.end_unread(&items);
        }
        self.proxy.log(line);
    }

    /// The stream on which most waits, and whose it is; `None` where it keeps no other client waiting.
    fn slowest(&self) -> Option<(Items, Option<SessionId>)> {
        let state = self.state.lock();
        let ClientSide::Exchanges(client) = &state.client else { return None };
        let listener = client.listener();
        let streams = state.requests.iter().filter_map(PendingRequest::response).chain(&listener);
        let slowest = streams.max_by_key(|items| items.bytes()).filter(|items| items.bytes() > 0)?;
        let is_on_it = |pending: &&PendingRequest| pending.response().is_some_and(|items| items.is_same(slowest));
        let keeps_others = state.requests.iter().any(|pending| pending.response().is_some() && !is_on_it(&pending));
        let owner = state.requests.iter().find(is_on_it).map(|pending| pending.session().id());
        keeps_others.then(|| (slowest.clone(), owner))
    }

    fn end_unread(&self, items: &Items) {
        let why = "its client did not read what had come".to_owned();
        items.cut(Err(UpstreamError::BrokenOff { upstream: self.label().clone(), why }));
        if matches!(self.tenancy, Tenancy::Shared) {
            // What it still has to say has no reader.
            self.cancel_where(|pending| pending.response().is_some_and(|other| other.is_same(items)));
        }
    }
}
