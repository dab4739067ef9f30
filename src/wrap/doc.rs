//! A configuration file as a tree that knows where each value stands in the text.
//!
//! Nothing is ever written from the tree: an edit is a few [`Splice`]s of the text, so that every byte between them
//! stays what it was.

use std::ops::Range;

use thiserror::Error;

use super::{jsonc, toml};

/// The languages that clients write their configuration in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigFormat {
    /// JSON with comments and trailing commas; plain JSON is a part of it.
    Jsonc,
    Toml,
}

/// A text that is no configuration, and where it stops being one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ConfigSyntaxError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl ConfigSyntaxError {
    /// An error at a byte of `text`; columns count characters from 1.
    pub(super) fn at(text: &str, byte: usize, message: impl Into<String>) -> Self {
        let mut end = byte.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line = before.matches('\n').count() + 1;
        let column = before[line_start(before, before.len())..].chars().count() + 1;
        Self { line, column, message: message.into() }
    }
}

/// A value and where it stands. Of a table with a header of its own the place means nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DocNode {
    pub(super) span: Range<usize>,
    pub(super) kind: NodeKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum NodeKind {
    Text(String),
    List(Vec<DocNode>),
    Table(Vec<DocMember>),
    /// A number, a boolean, a date, null: nothing that an edit touches.
    Other,
}

/// A key with its value, in the order of the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DocMember {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: DocNode,
}

impl DocMember {
    /// From the key to the end of the value.
    pub(super) fn span(&self) -> Range<usize> {
        self.key_span.start..self.value.span.end
    }
}

impl DocNode {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Self]> {
        match &self.kind {
            NodeKind::List(elements) => Some(elements),
            _ => None,
        }
    }

    pub(super) fn members(&self) -> Option<&[DocMember]> {
        match &self.kind {
            NodeKind::Table(members) => Some(members),
            _ => None,
        }
    }

    /// The member of a name. Of several the last, as every reader of JSON has it.
    pub(super) fn member(&self, key: &str) -> Option<&DocMember> {
        let members = self.members()?;
        steps::count(members.len());
        members.iter().rfind(|member| member.key == key)
    }
}

/// A text and its tree.
#[derive(Debug)]
pub(super) struct ConfigDoc<'t> {
    pub(super) text: &'t str,
    pub(super) format: ConfigFormat,
    pub(super) root: DocNode,
}

impl<'t> ConfigDoc<'t> {
    /// Reads a text without byte order mark.
    pub(super) fn parse(text: &'t str, format: ConfigFormat) -> Result<Self, ConfigSyntaxError> {
        steps::count(text.len());
        let root = match format {
            ConfigFormat::Jsonc => jsonc::parse(text)?,
            ConfigFormat::Toml => toml::parse(text)?,
        };
        Ok(Self { text, format, root })
    }

    pub(super) fn raw(&self, span: &Range<usize>) -> &'t str {
        &self.text[span.clone()]
    }

    /// What stands before `at` on its line.
    pub(super) fn line_before(&self, at: usize) -> &'t str {
        &self.text[line_start(self.text, at)..at]
    }

    /// Line break and indentation of what stands first on its line.
    pub(super) fn break_before(&self, at: usize) -> Option<String> {
        // Not by the beginning of the line: that may be far away, as where all is on one line.
        let before = &self.text[..at];
        let line = before.trim_end_matches(|c: char| c.is_whitespace() && c != '\n').len();
        let indent = &before[line..];
        before[..line].ends_with('\n').then(|| {
            let eol = if self.text[..line].ends_with("\r\n") { "\r\n" } else { "\n" };
            format!("{eol}{indent}")
        })
    }

    /// The end of the line that `at` is on, its line break included.
    pub(super) fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |end| at + end + 1)
    }

    /// The line break in use around `at`.
    pub(super) fn eol(&self, at: usize) -> &'static str {
        let line = &self.text[..self.line_end(at)];
        if line.ends_with("\r\n") || (!line.ends_with('\n') && self.text.contains("\r\n")) { "\r\n" } else { "\n" }
    }

    /// Whether a table stands between braces, all of it in one place.
    pub(super) fn in_braces(&self, table: &DocNode) -> bool {
        let raw = self.raw(&table.span);
        raw.starts_with('{') && raw.ends_with('}')
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// A string as both formats write it.
pub(super) fn literal(text: &str) -> String {
    // What JSON escapes, TOML escapes the same way; only DEL is more than JSON asks for.
    serde_json::Value::from(text).to_string().replace('\x7f', "\\u007f")
}

/// Counts steps of work, so that a test can say how they grow with a file.
pub(super) mod steps {
    #[cfg(test)]
    thread_local! {
        static COUNT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    /// Counts characters read or members looked at.
    pub(in crate::wrap) fn count(steps: usize) {
        #[cfg(test)]
        COUNT.set(COUNT.get() + steps);
        #[cfg(not(test))]
        let _ = steps;
    }

    /// Returns the steps counted since it was last called, and counts from zero.
    #[cfg(test)]
    pub(in crate::wrap) fn reset() -> usize {
        COUNT.take()
    }
}

/// New text in place of a part of the old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) span: Range<usize>,
    pub(super) text: String,
}

impl Splice {
    pub(super) fn replace(span: &Range<usize>, text: impl Into<String>) -> Self {
        Self { span: span.clone(), text: text.into() }
    }

    pub(super) fn insert(at: usize, text: impl Into<String>) -> Self {
        Self { span: at..at, text: text.into() }
    }

    pub(super) fn remove(span: Range<usize>) -> Self {
        Self { span, text: String::new() }
    }
}

/// `text` with all splices made; they do not overlap.
pub(super) fn apply(text: &str, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|splice| (splice.span.start, splice.span.end));
    let mut new = String::with_capacity(text.len() + 256);
    let mut at = 0;
    for splice in splices {
        new.push_str(&text[at..splice.span.start]);
        new.push_str(&splice.text);
        at = splice.span.end;
    }
    new.push_str(&text[at..]);
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_values_are_known_in_both_formats() {
        for (format, text) in [
            (
                ConfigFormat::Jsonc,
                "{ // ünï\n\t\"sërvers\": {\"a\": {\"command\": \"nöd\\u0065\", \"args\": [\"x\", 1,],},},\r\n}",
            ),
            (ConfigFormat::Toml, "# ünï\n[\"sërvers\".a] # y\r\ncommand = 'nöde'\nargs = [\n 'x', 1,]\n"),
            (ConfigFormat::Toml, "\"sërvers\".a = {command = \"\"\"\nn\\u00f6de\"\"\", args = ['x', 1]}"),
            (ConfigFormat::Toml, "[\"sërvers\"]\na.command = \"nöde\"\n  a.args=[\"x\", 1]"),
        ] {
            let doc = ConfigDoc::parse(text, format).unwrap();
            let get = |node: &DocNode, key: &str| node.member(key).unwrap().value.clone();
            let entry = get(&get(&doc.root, "sërvers"), "a");
            assert_eq!(get(&entry, "command").text(), Some("nöde"), "{text}");
            for member in entry.members().unwrap() {
                assert_eq!(doc.raw(&member.key_span).trim_matches('"'), member.key, "{text}");
            }
            let args = get(&entry, "args");
            assert!(doc.raw(&args.span).starts_with('[') && doc.raw(&args.span).ends_with(']'), "{text}");
            assert_eq!(args.list().unwrap()[0].text(), Some("x"));
            let command = doc.raw(&get(&entry, "command").span);
            assert!(command.starts_with(['"', '\'']) && command.ends_with(['"', '\'']), "{command}");
            assert_eq!(doc.in_braces(&entry), text.contains("{"), "{text}");
        }
    }

    #[test]
    fn errors_say_where() {
        for (format, text, place) in [
            (ConfigFormat::Jsonc, "{\n  \"é\": tru\n}", (2, 8)),
            (ConfigFormat::Jsonc, "{\"a\": 1", (1, 1)),
            (ConfigFormat::Jsonc, "{} {}", (1, 4)),
            (ConfigFormat::Jsonc, "{'a': 1}", (1, 2)),
            (ConfigFormat::Jsonc, "{\"a\" \"b\"}", (1, 6)),
            (ConfigFormat::Toml, "a = 1\nb = \n", (2, 5)),
            (ConfigFormat::Toml, "[a]\nx = 1\n[a]\n", (3, 2)),
        ] {
            let misread = ConfigDoc::parse(text, format).unwrap_err();
            assert_eq!((misread.line, misread.column), place, "{text}: {misread}");
        }
    }

    #[test]
    fn literal_means_its_text_in_both_formats() {
        let text = "a\"b\\c\n\t\u{7f}\u{1}é/👍";
        let json = format!("[{}]", literal(text));
        let doc = ConfigDoc::parse(&json, ConfigFormat::Jsonc).unwrap();
        assert_eq!(doc.root.list().unwrap()[0].text(), Some(text));
        let toml = format!("a = {}", literal(text));
        let doc = ConfigDoc::parse(&toml, ConfigFormat::Toml).unwrap();
        assert_eq!(doc.root.member("a").unwrap().value.text(), Some(text));
    }
}
