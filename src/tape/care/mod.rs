//! What is done with tapes that are closed. A line that nothing was asked of stays as it is, byte for byte.
//!
//! ```text
//! seal.rs      sums over the lines of a tape, which tell later whether one was changed, and which
//! signature.rs a signature over those sums, which tells of changes on purpose
//! retention.rs which tapes are too old or too many
//! verify.rs    everything that is wrong with a tape, with the line
//! summary.rs   what a list says of a tape, at the speed of reading
//! rewrite.rs   a tape rewritten beside the old one, plain or packed, and put in its place in one step
//! ```

mod retention;
mod rewrite;
pub mod seal;
mod signature;
mod summary;
mod verify;

pub use retention::{OutdatedTapes, Retention, Section};
pub use rewrite::{
    LineChange, Packing, Sealing, annotate, append_note, check_free, pack, packing_of, redact, renamed, rewrite, tend,
};
pub(super) use seal::LineSums;
pub use signature::{SealSigner, SealVerifier, is_signed, sign};
pub use summary::TapeSummary;
pub use verify::{TapeFault, Verification, verify};
