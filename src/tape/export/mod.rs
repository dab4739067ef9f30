//! Tapes for other tools, written message by message: a tape may be larger than memory.
//!
//! ```text
//! messages.rs  the tape that is exported, its messages left where they stand
//! exchange.rs  what a client said and what it got
//! har.rs       HTTP Archive 1.2: an entry for each message of the client, with its reply
//! script.rs    curl commands, JSON Lines, a transcript in Markdown
//! program.rs   tests in Python (pytest), TypeScript (vitest) and Rust (rmcp)
//! page.rs      one HTML file with list, sequence diagram, timeline and search, which needs no network
//! ```

mod exchange;
mod har;
mod messages;
mod page;
mod program;
mod script;
#[cfg(test)]
mod tests;

use std::io::Write;

pub(in crate::tape) use self::har::SESSION;
pub use self::har::archive;
pub use self::messages::ExportedTape;
pub use crate::event::TapeForm;
use crate::tape::TapeOutputError;
use crate::tape::read::ReadWatch;

/// Writes a tape in another form; `name`: what it is called.
///
/// # Errors
/// Where it cannot be written, or the tape was changed meanwhile.
pub fn export(
    tape: &ExportedTape,
    name: &str,
    form: TapeForm,
    watch: &ReadWatch<'_>,
    out: &mut dyn Write,
) -> Result<(), TapeOutputError> {
    match form {
        TapeForm::Har => har::har(tape, watch, out),
        TapeForm::Curl => script::curl(tape, name, watch, out),
        TapeForm::Jsonl => script::jsonl(tape, watch, out),
        TapeForm::Markdown => script::markdown(tape, name, watch, out),
        TapeForm::Html => page::page(tape, name, watch, out),
        TapeForm::Pytest => program::pytest(tape, name, watch, out),
        TapeForm::Vitest => program::vitest(tape, name, watch, out),
        TapeForm::Rust => program::rust(tape, name, watch, out),
    }
}
