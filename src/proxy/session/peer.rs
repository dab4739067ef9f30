//! What messages say of the peers of a session: their names, and the revision they follow.

use std::sync::Arc;

use crate::envelope::shared::LatelyShared;
use crate::event::{Peer, Session};
use crate::mcp::meta::{self, CLIENT_INFO, META, SERVER_INFO};
use crate::message::Message;

static PEERS: LatelyShared<Peer> = LatelyShared::new();

fn peer(message: &Message, path: &[&str]) -> Option<Arc<Peer>> {
    meta::read::<Box<Peer>>(message, path).map(|peer| PEERS.share(peer))
}

/// From a request for `initialize`: the client's name and the revision it asks for.
pub(super) fn learn_from_initialize(session: &mut Session, request: &Message) {
    session.client = peer(request, &["params", "clientInfo"]).or(session.client.take());
    session.protocol = meta::read(request, &["params", "protocolVersion"]).or(session.protocol.take());
}

/// From the result of `initialize`: the server's name and the revision it settles on.
pub(super) fn learn_from_handshake(session: &mut Session, result: &Message) {
    session.server = peer(result, &["result", "serverInfo"]).or(session.server.take());
    session.protocol = meta::agreed_version(result).or(session.protocol.take());
}

/// From any other request (revision 2026-07-28, basic: per-request metadata).
pub(super) fn learn_from_request(session: &mut Session, request: &Message) {
    session.client = peer(request, &["params", META, CLIENT_INFO]).or(session.client.take());
    session.protocol = meta::protocol_version(request).or(session.protocol.take());
}

/// From any other result.
pub(super) fn learn_from_result(session: &mut Session, result: &Message) {
    session.server = peer(result, &["result", META, SERVER_INFO]).or(session.server.take());
}
