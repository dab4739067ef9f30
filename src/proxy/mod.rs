//! The proxy core, in the order in which a message meets it.
//!
//! - [`front`]: the front doors, one for each kind of client, and what a request must get past to come in;
//! - [`sessions`]: which session a message belongs to, found, opened or restored;
//! - [`session`]: what one live session knows of its peers and of its open requests;
//! - [`exchange`]: one message of a client and what comes back for it;
//! - [`spine`]: the one function every message passes, on every transport, in both directions;
//! - [`stream`]: servers that say everything on one stream, children first of all;
//! - [`error`]: every error of ours, one row each.

mod arrival;
pub mod error;
pub mod exchange;
pub mod front;
mod paths;
pub mod session;
pub mod sessions;
pub mod spine;
mod stop;
pub mod stream;

pub use self::arrival::{Arrival, Audience};
pub use self::spine::{Disposition, HeldPass, Pass, Proxy};
pub use self::stop::Stop;
