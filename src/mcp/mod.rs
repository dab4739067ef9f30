//! What the Model Context Protocol calls things, said once: methods, metadata, eras, error codes.
//!
//! Reads [`Message`](crate::message::Message)s and knows nothing of who carries them.

pub mod era;
pub mod error_code;
pub mod meta;
pub mod method;
pub mod semantics;
