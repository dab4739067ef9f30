//! Keeps a client patient while a message for it is held: comments on a stream that is open already, by option.
//!
//! A comment between two events says nothing (WHATWG HTML §9.2.7), but restarts an idle limit of the client's; on a response that has not
//! begun nothing of the kind is possible (mcp-wire.md §5.3).

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, unfold};
use tokio::time::timeout;

use crate::envelope::SessionId;
use crate::intercept::gate::Gate;
use crate::upstream::{Item, UpstreamError};

const COMMENT: Bytes = Bytes::from_static(b": held by tapline\n\n");

type ItemStream = BoxStream<'static, Result<Item, UpstreamError>>;

/// When to send a comment on a stream of a session.
pub(in crate::proxy) struct KeepAlive {
    pub(in crate::proxy) every: Duration,
    pub(in crate::proxy) gate: Gate,
    pub(in crate::proxy) session: SessionId,
}

impl KeepAlive {
    /// Returns the items, and between them a comment each time none came for so long while a message is held.
    pub(in crate::proxy) fn wrap(self, items: ItemStream) -> ItemStream {
        unfold((self, items), |(keep_alive, mut items)| async move {
            let item = loop {
                match timeout(keep_alive.every, items.next()).await {
                    Ok(item) => break item?,
                    Err(_) if keep_alive.gate.holds_in(keep_alive.session) => break Ok(Item::Filler(COMMENT)),
                    Err(_) => {}
                }
            };
            Some((item, (keep_alive, items)))
        })
        .boxed()
    }
}
