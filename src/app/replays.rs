//! Sessions for the clients of a tape that is played.

use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::envelope::{Author, SessionId, Via};
use crate::event::Origin;
use crate::proxy::exchange::Connection;
use crate::proxy::sessions::SessionTable;
use crate::tape::play::ClientConnection;
use crate::upstream::UpstreamError;

/// Begins a session of which a tape is the client.
///
/// # Errors
/// Where the server cannot be started.
pub(crate) fn begin(table: &Arc<SessionTable>) -> Result<Arc<Connection>, UpstreamError> {
    table.open(Via::Http, Origin::Replay, Some(Author::Tapline))
}

/// Gives each client of a tape a session of its own, which ends with what is played of it; `begun` is told of each.
pub(crate) fn connect<F: FnMut(SessionId) + Send>(
    table: &Arc<SessionTable>,
    mut begun: F,
) -> impl FnMut(SessionId) -> Result<ClientConnection, UpstreamError> + Send + use<F> {
    let table = table.clone();
    move |_| {
        let connection = begin(&table)?;
        let (table, session) = (table.clone(), connection.session.id());
        begun(session);
        let close = async move { table.close(session, "the replay ended").await };
        Ok(ClientConnection { upstream: Arc::new(connection), close: close.boxed() })
    }
}
