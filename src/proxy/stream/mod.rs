//! A session whose server says everything on one stream: a child, or a server of the HTTP+SSE transport.
//!
//! A client with one stream of its own gets it all. For one with many HTTP exchanges, each message of the server finds the
//! response that carries it: a reply goes where its request came from, progress to the request that asked for it, the rest
//! to the client's listening stream, or, where it has none, along with a request in flight.
//!
//! A command gets one child per session, so ids are never rewritten; only clients of revision 2026-07-28, which has no sessions, share
//! one, and there an id or progress token that is taken gets another name on the way to the child. An HTTP client is answered by JSON
//! where the reply is the first thing the child says, and by an event stream where something comes before it.
//!
//! In the order in which a message meets them:
//!
//! - [`request`]: an HTTP exchange on such a server, and the response that carries the answers;
//! - [`send`]: what a client says that has one stream, too;
//! - [`server`]: the server as the rest of the proxy sees it: whether it is there, and whether another process follows;
//! - [`pending`]: requests without a reply yet, the client's and the server's;
//! - [`dispatch`]: all that the server says, through the spine: whom it is for, and its delivery; [`stderr_log`]: what of its stderr is
//!   logged; [`unread`]: what becomes of a client that does not read it;
//! - [`client`]: where a client hears what no exchange of its own carries;
//! - [`standing`]: what can be seen of it while a call has no reply;
//! - [`handshake`], [`restart`]: what another process must be told, and putting it in the place of one that is gone;
//! - [`rewind`], [`told_again`]: another process that is brought to where the session was before;
//! - [`subscription`], [`shared`]: the children that clients share, and one subscription that is open on several.

mod client;
mod dispatch;
pub mod handshake;
mod pending;
mod request;
pub(in crate::proxy) mod restart;
pub mod rewind;
mod send;
mod server;
pub mod shared;
mod standing;
mod stderr_log;
mod subscription;
mod told_again;
mod unread;

pub(in crate::proxy) use self::client::{Announce, ClientStream, Items};
pub use self::server::StreamServer;
pub(in crate::proxy) use self::server::Tenancy;
