//! What `wrap` and `unwrap` print: diffs, lists, sentences and one question.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use similar::ChangeTag;
use similar::udiff::UnifiedHunkHeader;

use crate::cli::ColorArg;
use crate::line_diff::hunks;
use crate::secret::Label;
use crate::text::{fit, pad, sanitize};
use crate::wrap::edit::ListedServer;

/// Unchanged lines shown around a change. Few, as keys tend to stand beside commands.
const CONTEXT: usize = 2;

/// Cells that a command line or an address takes in a list.
const SUMMARY: usize = 72;

/// Cells that a name takes in a list, at most.
const LABEL: usize = 40;

/// How long the smallest of diffs is sought for; then one that is as true but longer is shown.
const PATIENCE: Duration = Duration::from_millis(500);

/// The person at the other end.
#[derive(Debug)]
pub(super) struct WrapConsole {
    colour: bool,
    interactive: bool,
    home: Option<PathBuf>,
}

/// What a person says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    Yes,
    No,
    /// There is no terminal to ask on.
    NoTerminal,
}

impl WrapConsole {
    pub(super) fn new(home: Option<PathBuf>, color: ColorArg) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { colour: color.is_wanted(terminal), interactive: terminal && std::io::stdin().is_terminal(), home }
    }

    /// A line for the person. A closed stdout is no reason to fail.
    pub(super) fn print(&self, line: &str) {
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    /// A line about what went wrong.
    pub(super) fn print_error(&self, line: &str) {
        let _ = writeln!(std::io::stderr(), "tapline: {}", sanitize(line));
    }

    /// A question that only a clear yes answers with yes.
    pub(super) fn ask(&self, question: &str) -> Consent {
        if !self.interactive {
            return Consent::NoTerminal;
        }
        let _ = write!(std::io::stdout(), "{question} [y/N] ").and_then(|()| std::io::stdout().flush());
        let mut answer = String::new();
        match std::io::stdin().lock().read_line(&mut answer) {
            Ok(1..) if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") => Consent::Yes,
            _ => Consent::No,
        }
    }

    /// What an edit does to a file.
    pub(super) fn diff(&self, path: &Path, old: &str, new: &str) {
        let name = self.path(path);
        self.print(&self.paint(BOLD, &format!("--- {name}")));
        self.print(&self.paint(BOLD, &format!("+++ {name}")));
        for line in diff_lines(old, new) {
            let colour = match line.as_bytes().first() {
                Some(b'-') => RED,
                Some(b'+') => GREEN,
                Some(b'@') => CYAN,
                _ => PLAIN,
            };
            self.print(&self.paint(colour, &line));
        }
    }

    /// The servers of a file, one a line.
    pub(super) fn servers(&self, servers: &[ListedServer]) {
        let widest = servers.iter().map(|server| crate::text::width(&label(server))).max().unwrap_or(0);
        for server in servers {
            let kind = match (server.wrapped, server.remote) {
                (true, _) => self.paint(GREEN, "wrapped: "),
                (false, true) => "remote: ".to_owned(),
                (false, false) => String::new(),
            };
            let summary = if server.summary.is_empty() { "found by the client itself" } else { &server.summary };
            let summary = fit(&sanitize(&Label::of_text(summary)), SUMMARY);
            self.print(&format!("  {}  {kind}{summary}", pad(&label(server), widest.min(LABEL))));
        }
    }

    /// A path as a person reads it.
    pub(super) fn path(&self, path: &Path) -> String {
        let short = self.home.as_deref().and_then(|home| path.strip_prefix(home).ok());
        let text = match short {
            Some(rest) => format!("~/{}", rest.display()),
            None => path.display().to_string(),
        };
        sanitize(&text).into_owned()
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour && !colour.is_empty() { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

const PLAIN: &str = "";
const BOLD: &str = "1";
const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "36";

/// A server's name, after the project it belongs to where there is one.
fn label(server: &ListedServer) -> String {
    let label = match &server.path[..] {
        [projects, project, _, name] if projects == "projects" => format!("{project}: {name}"),
        path => path.last().cloned().unwrap_or_default(),
    };
    sanitize(&label).into_owned()
}

/// The changes with the lines around them, in the form that `diff -u` made familiar.
fn diff_lines(old: &str, new: &str) -> Vec<String> {
    let [old, new] = [old, new].map(|text| text.split_inclusive('\n').collect::<Vec<_>>());
    let mut lines = Vec::new();
    // Two files that share next to nothing would take for ever to be compared exactly.
    for hunk in hunks(&old, &new, CONTEXT, PATIENCE) {
        lines.push(UnifiedHunkHeader::new(&hunk).to_string());
        for change in hunk.iter().flat_map(|op| op.iter_changes(&old[..], &new[..])) {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            lines.push(format!("{sign}{}", visible(change.value())));
        }
    }
    lines
}

/// A line without its end, harmless to a terminal. Tabs stay: they indent.
fn visible(line: &str) -> String {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    line.split('\t').map(sanitize).collect::<Vec<_>>().join("\t")
}

/// Names in backticks, in a row.
pub(super) fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{}`", sanitize(name))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diff_shows_what_changes_and_little_else() {
        let old = "1\n2\n3\r\n\told\x1b[2J\n5\n6\n7\n8\n9\n";
        let new = "1\n2\n3\r\n\tnew\n5\n6\n7\n8\n9\n";
        let lines = ["@@ -2,5 +2,5 @@", " 2", " 3", "-\told\\x1b[2J", "+\tnew", " 5", " 6"];
        assert_eq!(diff_lines(old, new), lines);
        assert!(diff_lines(old, old).is_empty());
    }

    #[test]
    fn home_directory_is_a_tilde() {
        let console = WrapConsole { colour: false, interactive: false, home: Some(PathBuf::from("/home/me")) };
        assert_eq!(console.path(Path::new("/home/me/.cursor/mcp.json")), "~/.cursor/mcp.json");
        assert_eq!(console.path(Path::new("/home/me2/x")), "/home/me2/x");
    }
}
