//! The forms that tapes are written in for other tools.

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

impl TapeForm {
    pub const ALL: [Self; 8] =
        [Self::Har, Self::Curl, Self::Jsonl, Self::Markdown, Self::Html, Self::Pytest, Self::Vitest, Self::Rust];

    /// What it is called on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Har => "har",
            Self::Curl => "curl",
            Self::Jsonl => "jsonl",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Pytest => "pytest",
            Self::Vitest => "vitest",
            Self::Rust => "rust",
        }
    }

    /// What a file of it is called, for a tape of this name, and how that ends: test runners look for tests by their names.
    pub fn file_name(self, tape: &str) -> (String, &'static str) {
        let word = || tape.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        match self {
            Self::Har => (tape.to_owned(), "har"),
            Self::Curl => (tape.to_owned(), "sh"),
            Self::Jsonl => (tape.to_owned(), "jsonl"),
            Self::Markdown => (tape.to_owned(), "md"),
            Self::Html => (tape.to_owned(), "html"),
            Self::Pytest => (format!("test_{}", word()), "py"),
            Self::Vitest => (tape.to_owned(), "test.ts"),
            // What cargo makes of it must not begin with a digit.
            Self::Rust => (format!("tape_{}", word()), "rs"),
        }
    }
}
