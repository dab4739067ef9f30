//! The items of an array in an indented JSON text, written one at a time: all of them may be larger than memory.

use std::io::{self, Write};

/// An array that is being written.
pub(super) struct JsonItems<'o> {
    out: &'o mut dyn Write,
    /// How far the line is indented in which the array begins.
    indent: usize,
    is_empty: bool,
}

impl<'o> JsonItems<'o> {
    pub(super) fn begin(out: &'o mut dyn Write, indent: usize) -> io::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self { out, indent, is_empty: true })
    }

    /// Writes what is an indented JSON text by itself.
    pub(super) fn item(&mut self, json: &str) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.out.write_all(b",")?;
        }
        // In its strings, the ends of lines are escaped.
        for line in json.lines() {
            write!(self.out, "\n{:indent$}{line}", "", indent = self.indent + 2)?;
        }
        Ok(())
    }

    pub(super) fn end(self) -> io::Result<()> {
        if !self.is_empty {
            write!(self.out, "\n{:indent$}", "", indent = self.indent)?;
        }
        self.out.write_all(b"]")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn items_are_written_as_if_all_were_there_at_once() {
        for items in
            [vec![], vec![json!(1)], vec![json!({"a": "x\ny", "b": [], "c": {}}), json!([{"a": [1]}]), json!({})]]
        {
            let whole = json!({ "a": { "items": items } });
            let mut out = b"{\n  \"a\": {\n    \"items\": ".to_vec();
            let mut array = JsonItems::begin(&mut out, 4).unwrap();
            items.iter().for_each(|it: &Value| array.item(&format!("{it:#}")).unwrap());
            array.end().unwrap();
            assert_eq!(String::from_utf8(out).unwrap() + "\n  }\n}", format!("{whole:#}"));
        }
    }
}
