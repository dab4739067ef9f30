//! `tapline wrap` and `unwrap`: putting tapline in front of the servers that a client launches, in the client's own
//! configuration, and taking it away again to the byte.
//!
//! ```text
//! clients.rs   which files there are, and where in them the servers
//! doc.rs       a text as a tree with places    jsonc.rs, toml.rs   read the two formats
//! entry.rs     what one server is              edit/   text in, text out: pure
//! file.rs      reading, replacing atomically   backup.rs           the way back
//! open.rs      a file and what is kept of it
//! ```
//!
//! The subcommands, and what they print, are in `commands::wrap`.
//!
//! Nothing here knows of the proxy. What is written is the command line of `tapline stdio`.

pub mod backup;
pub mod clients;
mod doc;
pub mod edit;
mod entry;
pub mod file;
mod jsonc;
pub mod open;
mod toml;

pub use doc::{ConfigFormat, ConfigSyntaxError};
