//! Where the shadow is, as one argument says it: a URL, or a command line.

use crate::upstream::stdio::CommandLine;

/// The second server that a shadow compares with: a URL or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShadowPlace {
    Url(String),
    Command(CommandLine),
}

/// Why a text is no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error("neither a URL nor a command")]
    Empty,
    #[error("missing closing quote")]
    OpenQuote,
}

impl std::str::FromStr for ShadowPlace {
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
pub(super) fn command(text: &str) -> Result<ShadowPlace, PlaceError> {
    of_words(&shell_words::split(text).map_err(|_| PlaceError::OpenQuote)?)
}

pub(super) fn of_words(words: &[String]) -> Result<ShadowPlace, PlaceError> {
    CommandLine::new(words).map(ShadowPlace::Command).ok_or(PlaceError::Empty)
}

fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    scheme.is_some_and(|scheme| scheme == "http" || scheme == "https")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn command(words: &[&str]) -> Result<ShadowPlace, PlaceError> {
        of_words(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn shadow_place_is_a_url_or_a_command() {
        for (text, place) in [
            ("http://127.0.0.1:9000/mcp", Ok(ShadowPlace::Url("http://127.0.0.1:9000/mcp".to_owned()))),
            (" HTTPS://x ", Ok(ShadowPlace::Url("HTTPS://x".to_owned()))),
            ("python  -m my_server", command(&["python", "-m", "my_server"])),
            ("./http://x", command(&["./http://x"])),
            (
                r#"sh -c 'echo "a b"' "c \"d\" \n" e\ f """#,
                command(&["sh", "-c", r#"echo "a b""#, r#"c "d" \n"#, "e f", ""]),
            ),
            ("a'b'c", command(&["abc"])),
            ("a 'b", Err(PlaceError::OpenQuote)),
            ("  ", Err(PlaceError::Empty)),
        ] {
            assert_eq!(text.parse(), place, "{text}");
        }
    }

    proptest! {
        #[test]
        fn shadow_command_keeps_quoted_words(words in proptest::collection::vec("[^']{0,8}", 1..5)) {
            let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(super::command(&line), of_words(&words));
        }

        #[test]
        fn shadow_place_never_panics(line in ".*") {
            let _ = line.parse::<ShadowPlace>();
        }
    }
}
