//! Whatever arrives: inputs made from those in `corpus/` by small changes, given to everything that reads what others wrote.
//!
//! `cargo test` spends ten seconds on it. For longer, on one reader or all:
//!
//! ```console
//! $ TAPLINE_FUZZ_SECONDS=600 cargo test --release --test fuzz message
//! ```
//!
//! What breaks is made as small as it can be and printed; give it a name in `corpus/`, where each file is read every time, and
//! mend what it shows. The engine is proptest's: a change is a value, so that taking changes back is all that shrinking needs.

#![expect(clippy::print_stdout, reason = "how much was tried is worth a line")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod control;
mod engine;
mod filter;
mod message;
mod sse;
mod tape;
mod toml;
