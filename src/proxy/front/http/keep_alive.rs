//! Keeps a client patient while a message for it is held: comments on a stream that is open already, by option.
//!
//! A comment between two events says nothing (WHATWG HTML §9.2.7), but ends an idle limit of the client's anew; on a response that has not
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

type Items = BoxStream<'static, Result<Item, UpstreamError>>;

/// When to say something on a stream of a session.
pub(in crate::proxy) struct Cover {
    pub(in crate::proxy) every: Duration,
    pub(in crate::proxy) gate: Gate,
    pub(in crate::proxy) session: SessionId,
}

impl Cover {
    /// The items, and between them a comment each time nothing came for so long while something is held.
    pub(in crate::proxy) fn over(self, items: Items) -> Items {
        unfold((self, items), |(cover, mut items)| async move {
            let item = loop {
                match timeout(cover.every, items.next()).await {
                    Ok(item) => break item?,
                    Err(_) if cover.gate.holds_in(cover.session) => break Ok(Item::Filler(COMMENT)),
                    Err(_) => {}
                }
            };
            Some((item, (cover, items)))
        })
        .boxed()
    }
}
