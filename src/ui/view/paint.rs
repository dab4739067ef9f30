//! Colours for what has been drawn already: JSON of another widget, and what is searched for. Each line stands for itself.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use regex::Regex;

use crate::ui::theme::{Role, Theme};

/// Paints what stands right of the line numbers.
pub(super) fn json(theme: Theme, buffer: &mut Buffer, area: Rect, numbers: u16) {
    let mut is_open = false;
    for y in area.top()..area.bottom() {
        let from = area.left().saturating_add(numbers).min(area.right());
        // A row without a number goes on with the line above it.
        is_open &= (area.left()..from).all(|x| buffer[(x, y)].symbol() == " ");
        let cells: Vec<char> =
            (from..area.right()).map(|x| buffer[(x, y)].symbol().chars().next().unwrap_or(' ')).collect();
        let (roles, ends_open) = roles(&cells, is_open);
        is_open = ends_open;
        for (x, role) in (from..area.right()).zip(roles) {
            let cell = &mut buffer[(x, y)];
            if role != Role::Plain && !cell.modifier.contains(Modifier::REVERSED) {
                cell.set_style(theme.style(role));
            }
        }
    }
}

/// Marks what is searched for, in rows that were drawn already.
pub(super) fn matches(theme: Theme, buffer: &mut Buffer, area: Rect, pattern: &Regex) {
    for y in area.top()..area.bottom() {
        let (mut line, mut starts) = (String::new(), Vec::new());
        for x in area.left()..area.right() {
            starts.push(line.len());
            line.push_str(buffer[(x, y)].symbol());
        }
        for found in pattern.find_iter(&line).filter(|found| !found.is_empty()) {
            for (x, start) in (area.left()..).zip(&starts) {
                if (found.start()..found.end()).contains(start) {
                    buffer[(x, y)].set_style(theme.style(Role::Found));
                }
            }
        }
    }
}

/// What each character of a row is, and whether the row ends within a string. `is_open`: it begins within one.
fn roles(line: &[char], is_open: bool) -> (Vec<Role>, bool) {
    let mut roles = vec![Role::Plain; line.len()];
    let (mut at, mut ends_open) = (0, false);
    if is_open {
        (at, ends_open) = string_end(line, 0);
        roles[..at].fill(Role::JsonString);
    }
    while at < line.len() {
        let (end, role) = match line[at] {
            '"' => {
                let (end, is_cut) = string_end(line, at + 1);
                ends_open = is_cut;
                let key = line[end..].iter().find(|c| !c.is_whitespace()) == Some(&':');
                (end, if key { Role::JsonKey } else { Role::JsonString })
            }
            c if c.is_ascii_digit() || c == '-' => (word_end(line, at), Role::JsonNumber),
            // Before what stands in a string.
            '@' => (at + 1, Role::JsonWord),
            c if c.is_alphabetic() => (word_end(line, at), Role::JsonWord),
            _ => (at + 1, Role::Plain),
        };
        roles[at..end].fill(role);
        at = end;
    }
    (roles, ends_open)
}

/// Behind the quote that ends the string, or the end of the row, where it goes on below. `start`: the first of its characters.
fn string_end(line: &[char], start: usize) -> (usize, bool) {
    let mut at = start;
    while at < line.len() {
        match line[at] {
            '\\' => at += 2,
            '"' => return (at + 1, false),
            _ => at += 1,
        }
    }
    (line.len(), true)
}

fn word_end(line: &[char], start: usize) -> usize {
    let rest = line[start + 1..].iter();
    start + 1 + rest.take_while(|c| c.is_alphanumeric() || matches!(c, '.' | '+' | '-')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_painted_by_its_tokens() {
        let check = |line: &str, expected: &str| {
            let letters: String = roles(&line.chars().collect::<Vec<_>>(), false)
                .0
                .into_iter()
                .map(|role| match role {
                    Role::JsonKey => 'k',
                    Role::JsonString => 's',
                    Role::JsonNumber => 'n',
                    Role::JsonWord => 'w',
                    _ => '.',
                })
                .collect();
            assert_eq!(letters, expected, "{line}");
        };
        check(r#"  "a": "b","#, "..kkk..sss.");
        check(r#"{"a\"b" : -1.5e+3}"#, ".kkkkkk...nnnnnnn.");
        check("[true, null]", ".wwww..wwww.");
        check(r#""open \"#, "sssssss");
        check("", "");
    }
}
