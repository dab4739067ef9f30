//! Where the shadow is, as one argument says it: a URL, or a command line.

use crate::upstream::stdio::CommandLine;

/// A second server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Url(String),
    Command(CommandLine),
}

/// Why a text is no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error("neither a URL nor a command")]
    Empty,
    #[error("the quote at column {0} does not end")]
    OpenQuote(usize),
}

impl std::str::FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let text = text.trim();
        if is_url(text) {
            return Ok(Self::Url(text.to_owned()));
        }
        command(text)
    }
}

/// A command, whatever it looks like.
pub(super) fn command(text: &str) -> Result<Place, PlaceError> {
    of_words(&words(text)?)
}

pub(super) fn of_words(words: &[String]) -> Result<Place, PlaceError> {
    CommandLine::new(words).map(Place::Command).ok_or(PlaceError::Empty)
}

fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    scheme.is_some_and(|scheme| scheme == "http" || scheme == "https")
}

/// The words of a line as a shell without expansions has them: white space parts them, quotes and backslashes keep it.
fn words(line: &str) -> Result<Vec<String>, PlaceError> {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().enumerate();
    while let Some((at, c)) = chars.next() {
        begun |= !c.is_whitespace();
        match c {
            '\'' | '"' => quoted(c, &mut chars, &mut word).ok_or(PlaceError::OpenQuote(at + 1))?,
            '\\' => word.extend(chars.next().map(|(_, c)| c)),
            c if c.is_whitespace() && begun => {
                words.push(std::mem::take(&mut word));
                begun = false;
            }
            c if c.is_whitespace() => {}
            c => word.push(c),
        }
    }
    words.extend(begun.then_some(word));
    Ok(words)
}

/// The rest of a quoted part; `None` where it does not end.
fn quoted(quote: char, chars: &mut impl Iterator<Item = (usize, char)>, word: &mut String) -> Option<()> {
    loop {
        match chars.next()?.1 {
            c if c == quote => return Some(()),
            // In double quotes a backslash keeps its meaning before these only (POSIX shell, quoting).
            '\\' if quote == '"' => match chars.next()?.1 {
                c @ ('"' | '\\' | '$' | '`') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn command(words: &[&str]) -> Result<Place, PlaceError> {
        of_words(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_url_is_one_and_all_else_is_a_command() {
        for (text, place) in [
            ("http://127.0.0.1:9000/mcp", Ok(Place::Url("http://127.0.0.1:9000/mcp".to_owned()))),
            (" HTTPS://x ", Ok(Place::Url("HTTPS://x".to_owned()))),
            ("python  -m my_server", command(&["python", "-m", "my_server"])),
            ("./http://x", command(&["./http://x"])),
            (
                r#"sh -c 'echo "a b"' "c \"d\" \n" e\ f """#,
                command(&["sh", "-c", r#"echo "a b""#, r#"c "d" \n"#, "e f", ""]),
            ),
            ("a'b'c", command(&["abc"])),
            ("a 'b", Err(PlaceError::OpenQuote(3))),
            ("  ", Err(PlaceError::Empty)),
        ] {
            assert_eq!(text.parse(), place, "{text}");
        }
    }

    proptest! {
        #[test]
        fn quoted_words_come_back_as_they_were(words in proptest::collection::vec("[^']{0,8}", 1..5)) {
            let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(super::words(&line), Ok(words));
        }

        #[test]
        fn no_line_is_too_odd_to_read(line in ".*") {
            let _ = line.parse::<Place>();
        }
    }
}
