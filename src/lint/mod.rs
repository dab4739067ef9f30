//! Lint: every message judged against its protocol revision, and against what was said before in its session.
//!
//! [`SessionLint`] is one session: [`SessionLint::judge`] takes its messages in the order they passed and says of each what is wrong
//! with it. It reads no clock, opens no file and knows no other module, so that a tape, the wire and tests have the same answers. What
//! is judged is what a peer sent; what tapline sent in its place is not judged.
//!
//! - [`catalogue`] has every lint, with its code, level, place in the specification and hint;
//! - `form` and `shapes` look at the message alone, `handshake`, `calls`, `progress`, `declared`, `pages`, `refusals` at what went
//!   before, `tools` at the schemas that were advertised, `carrier` at HTTP headers;
//! - `clients` knows what real clients do with what was found;
//! - [`report`] writes findings as text, JSON, SARIF and JUnit; [`policy`] says which of them count.
//!
//! Held against 28 published servers (2026-11-28, 34 recordings of `tests/interop/run servers`, 1,406 messages): 12 findings at `warn` and
//! above in 7 servers, each of them true; `tests/interop/README.md` has them one by one.
//!
//! False alarms are worse than misses. So: after a gap, and in a session that began elsewhere, nothing is said of what may have been
//! in it; replies that may have crossed a cancellation, and progress that another stream may have overtaken, are let pass; where
//! several clients share a session (2026-07-28 over HTTP has none) ids and tokens are not counted.

mod calls;
mod carrier;
pub mod catalogue;
mod clients;
mod declared;
mod form;
mod found;
mod handshake;
mod pages;
pub mod policy;
mod progress;
mod refusals;
pub mod report;
mod schema;
mod session;
mod shapes;
mod tape;
#[cfg(test)]
mod tests;
mod tools;

pub use self::catalogue::{LINTS, LintRule, lint_rule};
pub use self::clients::client_names;
pub use self::policy::{LintPolicy, Section};
pub(crate) use self::schema::{CompiledSchema, SchemaMisfit};
pub use self::session::SessionLint;
pub(crate) use self::shapes::{KnownMember, known_members};
pub use self::tape::TapeLint;
