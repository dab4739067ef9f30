//! One message of a client, and what comes back for it.
//!
//! - `connection`: a session together with its server; `Connection::submit` is the one way of a client's message into the spine;
//! - `request`: one HTTP exchange, from the client's message to the beginning of its answer;
//! - `response`: the answer on its way back through the spine;
//! - `bridge`: a client with one stream for everything in front of a server that answers HTTP exchanges.
//!
//! Front doors, the player and the operator's own requests all come through here. A session is itself an
//! [`Upstream`](crate::upstream::Upstream), so all code that talks to a server can talk to one through tapline.

pub(in crate::proxy) mod bridge;
mod connection;
mod request;
mod response;

pub(in crate::proxy) use self::connection::Submission;
pub use self::connection::{Connection, ServerLink};
pub(in crate::proxy) use self::request::{ClientExchange, Initiator};
