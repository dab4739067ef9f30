//! The control address: how a screen in another terminal watches and commands this tapline.
//!
//! Every tapline listens on loopback ([`server`]) and publishes where, with a token, in a file that only its user can
//! read ([`registry`]). A screen elsewhere reads the same [`Event`]s and writes the same
//! [`Command`](crate::event::Command)s as one in the process, as lines of JSON over HTTP ([`client`]). [`merge`] makes
//! several taplines look like one, and [`hub`] runs all that for `tapline attach`.
//!
//! Architecture invariant: nothing here is on the way of a message. A screen that lags, hangs or goes away costs the
//! tapline it watches no more than a bounded queue.

pub mod client;
mod feed_writer;
pub mod hub;
pub mod merge;
mod name;
mod recording;
pub mod registry;
pub mod server;
mod token;

use serde::{Deserialize, Serialize};

use crate::event::Event;

pub use name::short_name;
pub use recording::recorder_elsewhere;
pub use token::ControlToken;

/// The header in which `/events` names the feed, for `?feed=` of `/commands`.
pub const FEED_HEADER: &str = "tapline-feed";

/// One line of `/events`.
#[derive(Debug)]
pub enum FeedLine {
    Event(Box<Event>),
    /// This many events were not sent, because the reader was too slow. [`Command::Resync`](crate::event::Command::Resync) brings
    /// the present state.
    Dropped(u64),
}

/// How [`FeedLine::Dropped`] is written.
#[derive(Serialize, Deserialize)]
struct Dropped {
    dropped: u64,
}

impl FeedLine {
    /// # Errors
    /// Where the line is no event that this version knows.
    pub fn read(line: &[u8]) -> Result<Self, serde_json::Error> {
        if line.starts_with(br#"{"dropped""#) {
            return serde_json::from_slice(line).map(|Dropped { dropped }| Self::Dropped(dropped));
        }
        serde_json::from_slice(line).map(|event| Self::Event(Box::new(event)))
    }
}
