//! One line of text that is being typed.

use crate::ui::key_press::KeyPress;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InputLine {
    text: String,
    /// Where the cursor stands, in bytes, always between two characters.
    cursor: usize,
    /// The whole text is selected: what is typed next replaces it.
    selected: bool,
}

impl InputLine {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), cursor: text.len(), selected: false }
    }

    /// A text that the first character typed replaces.
    pub(crate) fn selected(text: &str) -> Self {
        Self { selected: !text.is_empty(), ..Self::new(text) }
    }

    pub(crate) fn is_selected(&self) -> bool {
        self.selected
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn before_cursor(&self) -> &str {
        &self.text[..self.cursor]
    }

    pub(crate) fn after_cursor(&self) -> &str {
        &self.text[self.cursor..]
    }

    /// Puts a text in at the cursor; a line break or tab in it becomes a blank, other control characters are left out.
    pub(crate) fn insert(&mut self, text: &str) {
        if std::mem::take(&mut self.selected) {
            self.cut(0, self.text.len());
        }
        let text = text.replace("\r\n", "\n");
        let blank = |c| if matches!(c, '\n' | '\r' | '\t' | '\u{85}' | '\u{2028}' | '\u{2029}') { ' ' } else { c };
        let one_line: String = text.chars().map(blank).filter(|c| !c.is_control()).collect();
        self.text.insert_str(self.cursor, &one_line);
        self.cursor += one_line.len();
    }

    /// Takes a key; returns `false` where it means nothing to a line.
    pub(crate) fn key(&mut self, key: &KeyPress) -> bool {
        let selected = self.selected && key.typed.is_none();
        self.selected &= key.typed.is_some();
        match key.name.as_str() {
            "backspace" | "delete" if selected => self.cut(0, self.text.len()),
            "left" | "ctrl b" => self.cursor = self.previous(),
            "right" => self.cursor = self.next(),
            "home" | "ctrl a" => self.cursor = 0,
            "end" | "ctrl e" => self.cursor = self.text.len(),
            "backspace" => self.cut(self.previous(), self.cursor),
            "delete" => self.cut(self.cursor, self.next()),
            "ctrl u" => self.cut(0, self.cursor),
            "ctrl k" => self.cut(self.cursor, self.text.len()),
            "ctrl w" => self.cut(self.word(), self.cursor),
            _ => match key.typed {
                Some(typed) => self.insert(typed.encode_utf8(&mut [0; 4])),
                None => return false,
            },
        }
        true
    }

    fn cut(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
    }

    fn previous(&self) -> usize {
        self.before_cursor().char_indices().next_back().map_or(0, |(at, _)| at)
    }

    fn next(&self) -> usize {
        self.cursor + self.after_cursor().chars().next().map_or(0, char::len_utf8)
    }

    fn word(&self) -> usize {
        let words = self.before_cursor().trim_end();
        words.rfind(char::is_whitespace).map_or(0, |at| at + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_line_is_edited() {
        let key = |name: &str| KeyPress { name: name.to_owned(), typed: None };
        let mut line = InputLine::new("~m tools/call");
        for name in ["ctrl w", "left", "left", "delete", "home", "right", "backspace", "left", "up"] {
            line.key(&key(name));
        }
        assert_eq!(line.text(), " ");
        line.insert("家\u{1b}\r\n族\n");
        assert_eq!((line.before_cursor(), line.after_cursor()), ("家 族 ", " "));
        line.key(&key("home"));
        line.key(&key("ctrl k"));
        assert_eq!(line.text(), "");
    }
}
