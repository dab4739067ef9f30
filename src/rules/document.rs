//! The text of a file of rules, in which one rule is written, taken out, moved or switched while every comment stays.

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

/// A file of rules as it is edited.
#[derive(Clone, Debug, Default)]
pub struct RuleDocument {
    doc: DocumentMut,
}

/// A rule as it stands in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrittenRule {
    pub name: String,
    /// What stands behind `do`.
    pub action: String,
    /// From its comments to its last line.
    pub text: String,
}

/// A rule that was taken out of a file.
#[derive(Clone, Debug)]
pub(super) struct TakenRule {
    table: Table,
    /// Those that stood before it, in order.
    before: Vec<String>,
}

/// Whether a rule, as TOML, does more than decide on messages: starts a program, asks an address, or reads a file.
pub fn reaches_beyond_messages(rule: &str) -> bool {
    let Ok(rule) = one_rule(rule) else { return false };
    let Some(action) = rule.get("do").and_then(Item::as_table_like) else { return false };
    let is_of_tape = |delay: &Item| delay.as_table_like().is_some_and(|delay| delay.contains_key("tape"));
    action.contains_key("hook") || action.contains_key("upstream") || action.get("delay").is_some_and(is_of_tape)
}

impl RuleDocument {
    /// Reads the text of a file; other tables may stand in it.
    ///
    /// # Errors
    /// Where it is no TOML.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(|doc| Self { doc }).map_err(|error: toml_edit::TomlError| error.message().to_owned())
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        self.doc.to_string()
    }

    /// The rules, in order.
    pub fn rules(&self) -> Vec<WrittenRule> {
        let tables = self.doc.get("rule").and_then(Item::as_array_of_tables);
        tables.into_iter().flat_map(ArrayOfTables::iter).map(written).collect()
    }

    /// Whether there is a rule of this name.
    pub fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// Puts a `[[rule]]` behind the others.
    ///
    /// # Errors
    /// Where the text is not one rule.
    pub fn add(&mut self, rule: &str) -> Result<(), String> {
        let table = one_rule(rule)?;
        let is_first = self.doc.iter().next().is_none();
        let mut tables = self.take();
        tables.push(spaced(table, is_first));
        self.put(tables);
        Ok(())
    }

    /// Puts another rule in the place of one.
    ///
    /// # Errors
    /// Where there is no such rule, or the text is not one rule.
    pub fn replace(&mut self, name: &str, rule: &str) -> Result<(), String> {
        let (table, at) = (one_rule(rule)?, self.find(name)?);
        let mut tables = self.take();
        tables[at] = spaced(table, false);
        self.put(tables);
        Ok(())
    }

    /// Takes a rule out.
    ///
    /// # Errors
    /// Where there is no such rule.
    pub(super) fn remove(&mut self, name: &str) -> Result<TakenRule, String> {
        let at = self.find(name)?;
        let before = self.rules().into_iter().take(at).map(|rule| rule.name).collect();
        let mut tables = self.take();
        let table = tables.remove(at);
        self.put(tables);
        Ok(TakenRule { table, before })
    }

    /// Puts a rule back: behind the nearest of those that it stood behind, else before all.
    pub(super) fn put_back(&mut self, rule: &TakenRule) {
        let at = rule.before.iter().rev().find_map(|name| self.place(name)).map_or(0, |at| at + 1);
        let mut tables = self.take();
        tables.insert(at, rule.table.clone());
        self.put(tables);
    }

    /// Switches a rule on or off. What is on says nothing of it.
    ///
    /// # Errors
    /// Where there is no such rule.
    pub fn switch(&mut self, name: &str, on: bool) -> Result<(), String> {
        let at = self.find(name)?;
        let tables = self.doc.get_mut("rule").and_then(Item::as_array_of_tables_mut);
        if let Some(table) = tables.and_then(|tables| tables.get_mut(at)) {
            if on {
                table.remove("on");
            } else {
                table.insert("on", value(false));
            }
        }
        Ok(())
    }

    /// Moves a rule before the one before it, or behind the one behind it; whether there was one.
    ///
    /// # Errors
    /// Where there is no such rule.
    pub fn shift(&mut self, name: &str, up: bool) -> Result<bool, String> {
        let at = self.find(name)?;
        let mut tables = self.take();
        let other = if up { at.checked_sub(1) } else { Some(at + 1).filter(|other| *other < tables.len()) };
        if let Some(other) = other {
            tables.swap(at, other);
        }
        self.put(tables);
        Ok(other.is_some())
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.rules().iter().position(|rule| rule.name == name)
    }

    fn find(&self, name: &str) -> Result<usize, String> {
        self.place(name).ok_or_else(|| format!("there is no rule `{name}`"))
    }

    fn take(&mut self) -> Vec<Table> {
        let tables = self.doc.get_mut("rule").and_then(Item::as_array_of_tables_mut);
        tables.map(|tables| std::mem::take(tables).into_iter().collect()).unwrap_or_default()
    }

    /// Puts all back, one behind the other: what is written where is said by their positions.
    fn put(&mut self, tables: Vec<Table>) {
        let mut next = 1 + self.doc.iter().filter_map(|(_, item)| item.as_table()?.position()).max().unwrap_or(0);
        let mut all = ArrayOfTables::new();
        for mut table in tables {
            number(&mut table, &mut next);
            all.push(table);
        }
        match all.is_empty() {
            true => drop(self.doc.remove("rule")),
            false => drop(self.doc.insert("rule", Item::ArrayOfTables(all))),
        }
    }
}

/// Numbers a table and those inside it in the order in which they are written.
fn number(table: &mut Table, next: &mut isize) {
    table.set_position(Some(*next));
    *next += 1;
    for (_, item) in table.iter_mut() {
        match item {
            Item::Table(inner) => number(inner, next),
            Item::ArrayOfTables(inner) => inner.iter_mut().for_each(|inner| number(inner, next)),
            _ => {}
        }
    }
}

fn one_rule(text: &str) -> Result<Table, String> {
    let mut tables = RuleDocument::parse(text)?.take();
    match tables.len() {
        1 => Ok(tables.remove(0)),
        other => Err(format!("one `[[rule]]` is wanted, not {other}")),
    }
}

/// An empty line before what follows on something.
fn spaced(mut table: Table, is_first: bool) -> Table {
    let before = table.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().trim_start().to_owned();
    let line = if is_first { "" } else { "\n" };
    table.decor_mut().set_prefix(format!("{line}{before}"));
    table
}

fn written(table: &Table) -> WrittenRule {
    let text = |key: &str| table.get(key).and_then(Item::as_str).unwrap_or_default().to_owned();
    let action = table.get("do").map(|item| item.to_string().trim().to_owned()).unwrap_or_default();
    let mut doc = RuleDocument::default();
    doc.put(vec![spaced(table.clone(), true)]);
    WrittenRule { name: text("name"), action, text: doc.text() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# what this file is for\nabout = \"x\"\n\n# the first\n[[rule]]\nname = \"a\" # its name\nwhen = \"~q\"\ndo = \"drop\"\n\n# the second\n[[rule]]\nname = \"b\"\nwhen = \"~r\"\n\n[rule.do]\n# a deep one\ndelay = \"2s\"\n";

    #[test]
    fn document_keeps_every_byte_that_is_not_touched() {
        let mut doc = RuleDocument::parse(FILE).expect("it is TOML");
        assert_eq!(doc.text(), FILE);
        doc.switch("a", false).expect("it is there");
        assert_eq!(doc.text(), FILE.replace("do = \"drop\"\n", "do = \"drop\"\non = false\n"));
        doc.switch("a", true).expect("it is there");
        assert_eq!(doc.text(), FILE);
        assert!(doc.shift("b", true).expect("it is there") && !doc.shift("b", true).expect("it is there"));
        let text = doc.text();
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("`{what}` is not in {text}"));
        assert!(at("# the second") < at("name = \"b\"") && at("# a deep one") < at("# the first"), "{text}");
        assert!(at("# the first") < at("# its name") && at("# what this file") == 0, "{text}");
        assert!(doc.shift("b", false).expect("it is there"));
        assert_eq!(doc.text(), FILE);
    }

    #[test]
    fn document_takes_a_rule_in_and_out() {
        let mut doc = RuleDocument::default();
        let rule = "[[rule]]\nname = \"new\"\nwhen = \"~q\"\ndo = \"hold\"\n";
        doc.add(rule).expect("a rule");
        assert_eq!(doc.text(), rule);
        let mut doc = RuleDocument::parse(FILE).expect("it is TOML");
        doc.add(rule).expect("a rule");
        assert_eq!(doc.text(), format!("{FILE}\n{rule}"));
        assert_eq!(doc.rules().iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["a", "b", "new"]);
        assert_eq!(
            doc.rules()[0].text,
            "# the first\n[[rule]]\nname = \"a\" # its name\nwhen = \"~q\"\ndo = \"drop\"\n"
        );
        doc.remove("new").expect("it is there");
        assert_eq!(doc.text(), FILE);
        doc.replace("a", &rule.replace("new", "other")).expect("a rule");
        assert!(doc.text().contains("\"other\"") && !doc.text().contains("its name"), "{}", doc.text());
        assert!(doc.add(FILE).expect_err("two").contains("one `[[rule]]` is wanted, not 2"));
        assert_eq!(doc.remove("none").expect_err("none"), "there is no rule `none`");
    }

    #[test]
    fn document_takes_a_rule_back_where_it_stood() {
        for name in ["a", "b"] {
            let mut doc = RuleDocument::parse(FILE).expect("it is TOML");
            let taken = doc.remove(name).expect("it is there");
            doc.put_back(&taken);
            assert_eq!(doc.text(), FILE, "{name}");
        }
        let mut doc = RuleDocument::parse(FILE).expect("it is TOML");
        let (b, _) = (doc.remove("b").expect("it is there"), doc.remove("a").expect("it is there"));
        doc.put_back(&b);
        assert!(doc.has("b"), "what it stood behind is gone as well");
    }
}
