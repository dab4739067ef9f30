//! Markdown as lines for reading: what marks mean is shown by ink, the marks go.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::page::{InkLine, TextInk};
use crate::text::{pad, sanitize, width};

/// Longer text is shown as it is.
const LONGEST: usize = 256 << 10;

/// The lines of a text.
pub(super) fn lines(text: &str) -> Vec<InkLine> {
    if text.len() > LONGEST {
        return verbatim(text);
    }
    let mut reader = MarkdownReader::default();
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    Parser::new_ext(text, options).for_each(|event| reader.read(event));
    reader.end_line();
    reader.lines
}

/// A text as it is.
pub(super) fn verbatim(text: &str) -> Vec<InkLine> {
    text.lines().map(|line| InkLine::new(TextInk::Plain, line)).collect()
}

#[derive(Default)]
struct MarkdownReader {
    lines: Vec<InkLine>,
    /// The line that is being read.
    spans: Vec<(TextInk, String)>,
    /// What stands before every line of the blocks that are open: signs of quotes, room for the marks of lists.
    before: Vec<String>,
    /// The mark of an item whose first line is still to come.
    mark: Option<String>,
    /// Of each open list: the number of its next item.
    lists: Vec<Option<u64>>,
    inks: Vec<TextInk>,
    /// Where open links and pictures lead to, and where in the line their words begin.
    links: Vec<(String, usize)>,
    in_code: bool,
    table: Option<Vec<Vec<String>>>,
}

impl MarkdownReader {
    fn read(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.in_code => text.lines().for_each(|line| self.code_line(line)),
            Event::Text(text) | Event::InlineHtml(text) => self.word(self.ink(), &text),
            Event::Html(text) => {
                self.word(self.ink(), text.trim_end_matches('\n'));
                self.end_line();
            }
            Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => self.word(TextInk::Code, &text),
            Event::FootnoteReference(name) => self.word(TextInk::Link, &format!("[{name}]")),
            // Servers mean the line breaks that they write.
            Event::SoftBreak | Event::HardBreak => self.end_line(),
            Event::Rule => {
                self.separate();
                self.word(TextInk::Dim, "----");
                self.end_line();
            }
            Event::TaskListMarker(done) => self.word(TextInk::Dim, if done { "[x] " } else { "[ ] " }),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.separate(),
            Tag::Heading { level, .. } => {
                self.separate();
                self.word(TextInk::Dim, &format!("{} ", "#".repeat(level as usize)));
                self.inks.push(TextInk::Heading);
            }
            Tag::BlockQuote(_) => {
                self.separate();
                self.before.push("> ".to_owned());
            }
            Tag::CodeBlock(_) => {
                self.separate();
                self.in_code = true;
            }
            Tag::List(first) => {
                self.end_line();
                self.separate();
                self.lists.push(first);
            }
            Tag::Item => self.start_item(),
            Tag::Table(_) => {
                self.separate();
                self.table = Some(Vec::new());
            }
            Tag::TableHead | Tag::TableRow => self.table.iter_mut().for_each(|table| table.push(Vec::new())),
            Tag::Emphasis => self.inks.push(TextInk::Emphasis),
            Tag::Strong => self.inks.push(TextInk::Strong),
            Tag::Strikethrough => self.inks.push(TextInk::Dim),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.links.push((dest_url.into_string(), self.spans.len()));
                self.inks.push(TextInk::Link);
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.end_line(),
            TagEnd::Heading(_) => {
                self.inks.pop();
                self.end_line();
            }
            TagEnd::CodeBlock => self.in_code = false,
            TagEnd::BlockQuote(_) => {
                self.before.pop();
            }
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::Item => {
                self.end_line();
                // One without any text.
                self.mark = None;
                self.before.pop();
            }
            TagEnd::TableCell => self.end_cell(),
            TagEnd::Table => self.end_table(),
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => {
                self.inks.pop();
            }
            TagEnd::Link | TagEnd::Image => self.end_link(),
            _ => {}
        }
    }

    fn ink(&self) -> TextInk {
        self.inks.last().copied().unwrap_or_default()
    }

    fn word(&mut self, ink: TextInk, text: &str) {
        if !text.is_empty() {
            self.spans.push((ink, sanitize(text).into_owned()));
        }
    }

    fn start_item(&mut self) {
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{}. ", *number - 1)
            }
            _ => "- ".to_owned(),
        };
        self.before.push(" ".repeat(mark.len()));
        self.mark = Some(mark);
    }

    /// A blank line before a block, unless it is the first of its list or quote.
    fn separate(&mut self) {
        let follows = self.lines.last().is_some_and(|line| !line.is_blank());
        if self.mark.is_none() && self.lists.is_empty() && follows {
            self.lines.push(InkLine::default());
        }
    }

    /// What stands before the line that is being read, and how far its next rows are set in.
    fn head(&mut self) -> (String, usize) {
        let mut head = self.before.concat();
        let hang = head.len();
        if let Some(mark) = self.mark.take() {
            head.truncate(head.len().saturating_sub(mark.len()));
            head += &mark;
        }
        (head, hang)
    }

    fn end_line(&mut self) {
        if !self.spans.is_empty() {
            let (head, hang) = self.head();
            let mut spans = vec![(TextInk::Dim, head)];
            spans.append(&mut self.spans);
            spans.retain(|(_, text)| !text.is_empty());
            // What its words lead to stands on.
            self.links.iter_mut().for_each(|(_, begin)| *begin = 0);
            self.lines.push(InkLine { spans, hang, by_words: true });
        }
    }

    fn code_line(&mut self, line: &str) {
        let (head, _) = self.head();
        let code = format!("  {}", sanitize(&line.replace('\t', "    ")));
        self.lines.push(InkLine { spans: vec![(TextInk::Dim, head), (TextInk::Code, code)], hang: 0, by_words: false });
    }

    fn end_link(&mut self) {
        self.inks.pop();
        let Some((target, begin)) = self.links.pop() else { return };
        let words: String = self.spans.iter().skip(begin).map(|(_, text)| text.as_str()).collect();
        if words != sanitize(&target) {
            self.word(TextInk::Dim, &format!(" ({target})"));
        }
    }

    fn end_cell(&mut self) {
        let cell = self.spans.drain(..).map(|(_, text)| text).collect();
        if let Some(row) = self.table.as_mut().and_then(|table| table.last_mut()) {
            row.push(cell);
        }
    }

    /// Columns as wide as what is in them.
    fn end_table(&mut self) {
        let table = self.table.take().unwrap_or_default();
        let columns = table.first().map_or(0, Vec::len);
        let widest = |column: usize| table.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max();
        let widths: Vec<_> = (0..columns).map(|column| widest(column).unwrap_or_default().min(60)).collect();
        let before = self.before.concat();
        for (at, row) in table.iter().enumerate() {
            let ink = if at == 0 { TextInk::Strong } else { TextInk::Plain };
            let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| pad(cell, *width)).collect();
            let spans = vec![(TextInk::Dim, before.clone()), (ink, cells.join("  ").trim_end().to_owned())];
            self.lines.push(InkLine { spans, hang: 0, by_words: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines with a letter for each ink before its text.
    fn inked(text: &str) -> Vec<String> {
        let span = |(ink, text): &(TextInk, String)| match ink {
            TextInk::Plain => text.clone(),
            ink => format!("{{{}:{text}}}", format!("{ink:?}").to_lowercase()),
        };
        lines(text).iter().map(|line| line.spans.iter().map(span).collect()).collect()
    }

    #[test]
    fn markdown_is_read_as_people_read_it() {
        assert_eq!(
            inked(
                "# Plan\nTo **do** *it* with `ls`, see [docs](https://x.y).\nnext line\n\n- one\n  - two\n- [x] three\n\n3. c\n4. d"
            ),
            [
                "{dim:# }{heading:Plan}",
                "",
                "To {strong:do} {emphasis:it} with {code:ls}, see {link:docs}{dim: (https://x.y)}.",
                "next line",
                "",
                "{dim:- }one",
                "{dim:  - }two",
                "{dim:- }{dim:[x] }three",
                "",
                "{dim:3. }c",
                "{dim:4. }d",
            ]
        );
        assert_eq!(
            inked("> said\n\n```rust\nfn a() {\n}\n```\n\n| a | bb |\n|---|---|\n| 1 | 2 |\n\n---\n<https://x.y>"),
            [
                "{dim:> }said",
                "",
                "{dim:}{code:  fn a() {}",
                "{dim:}{code:  }}",
                "",
                "{dim:}{strong:a  bb}",
                "{dim:}1  2",
                "",
                "{dim:----}",
                "",
                "{link:https://x.y}",
            ]
        );
    }

    #[test]
    fn text_that_is_no_markdown_stays_as_it_is() {
        for text in ["plain", "a_b_c, 2 * 3 * 4", "line one\nline two", "C:\\dir\\file", "<tag>x</tag>"] {
            assert_eq!(inked(text), text.lines().collect::<Vec<_>>());
        }
        assert_eq!(inked("\u{1b}[31mred"), ["\\x1b[31mred"]);
    }

    proptest::proptest! {
        #[test]
        fn markdown_never_panics_and_is_safe(text in "(?s)[-# *_`>|\\[\\]()!<0-9a-z.\n\t\u{1b}\u{200f}]{0,200}") {
            for line in lines(&text) {
                for (_, text) in &line.spans {
                    proptest::prop_assert_eq!(&*sanitize(text), text);
                }
            }
        }
    }
}
