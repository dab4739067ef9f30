//! Tapes for other tools: plain functions from a tape to text.
//!
//! ```text
//! har.rs       HTTP Archive 1.2: an entry for each message of the client, with its reply
//! script.rs    curl commands, JSON Lines, a transcript in Markdown
//! program.rs   tests in Python (pytest), TypeScript (vitest) and Rust (rmcp)
//! page.rs      one HTML file with list, sequence diagram, timeline and search, which needs no network
//! ```

mod exchange;
mod har;
mod page;
mod program;
mod script;
#[cfg(test)]
mod tests;

pub(in crate::tape) use self::har::SESSION;
pub use self::har::archive;
use crate::tape::Tape;

/// What a tape is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapeForm {
    Har,
    Curl,
    Jsonl,
    Markdown,
    Html,
    Pytest,
    Vitest,
    Rust,
}

/// Writes a tape in another form; `name`: what it is called.
pub fn export(tape: &Tape, name: &str, form: TapeForm) -> String {
    match form {
        TapeForm::Har => har::har(tape),
        TapeForm::Curl => script::curl(tape, name),
        TapeForm::Jsonl => script::jsonl(tape),
        TapeForm::Markdown => script::markdown(tape, name),
        TapeForm::Html => page::page(tape, name),
        TapeForm::Pytest => program::pytest(tape, name),
        TapeForm::Vitest => program::vitest(tape, name),
        TapeForm::Rust => program::rust(tape, name),
    }
}
