//! What a terminal is asked when it is taken, and what it answers.

use super::{Graphics, GraphicsProtocol};

/// The cells of a terminal that does not say how large they are.
const USUAL_CELL: (u16, u16) = (8, 16);

/// Whether a terminal has many colours, by what `TERM` says: those that show pictures have names of their own.
pub(crate) fn is_colourful(term: &str) -> bool {
    ["256color", "kitty", "ghostty", "wezterm", "foot", "contour", "direct"].iter().any(|known| term.contains(known))
}

/// The questions; the last is one that every terminal answers. Multiplexers take Kitty's question for the title of a window, and let
/// through none of the pictures.
pub(crate) fn question(is_plain: bool) -> &'static str {
    if is_plain {
        "\x1b]11;?\x1b\\\x1b[c"
    } else {
        concat!("\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\", "\x1b[>q\x1b[16t\x1b]11;?\x1b\\\x1b[c")
    }
}

/// What a terminal said.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct TerminalAnswers {
    /// Its background is a light one.
    pub(crate) is_light: Option<bool>,
    pub(crate) graphics: Option<Graphics>,
    /// What is no answer but was typed.
    pub(crate) typed: Vec<u8>,
    /// The last question was answered.
    pub(crate) is_complete: bool,
}

pub(crate) fn read_answers(bytes: &[u8]) -> TerminalAnswers {
    let (mut takes_kitty, mut takes_iterm, mut takes_sixel) = (false, false, false);
    let (mut answers, mut cell) = (TerminalAnswers::default(), USUAL_CELL);
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        if *first != 0x1b {
            answers.typed.extend(Some(*first).filter(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\r')));
            rest = after;
            continue;
        }
        let (body, after) = sequence(after);
        rest = after;
        let body = String::from_utf8_lossy(body);
        takes_kitty |= body.starts_with("_Gi=31;OK");
        if let Some(name) = body.strip_prefix("P>|") {
            takes_iterm = ["iTerm2", "WezTerm", "mintty", "Rio"].iter().any(|known| name.starts_with(known));
        }
        cell = body.strip_prefix("[6;").and_then(read_cell).unwrap_or(cell);
        answers.is_light = body.strip_prefix("]11;rgb:").and_then(is_light).or(answers.is_light);
        if let Some(attributes) = body.strip_prefix("[?").and_then(|rest| rest.strip_suffix('c')) {
            answers.is_complete = true;
            takes_sixel |= attributes.split(';').skip(1).any(|attribute| attribute == "4");
        }
    }
    let takes = [
        (takes_iterm, GraphicsProtocol::Iterm),
        (takes_kitty, GraphicsProtocol::Kitty),
        (takes_sixel, GraphicsProtocol::Sixel),
    ];
    let protocol = takes.into_iter().find(|(takes, _)| *takes).map(|(_, protocol)| protocol);
    answers.graphics = protocol.map(|protocol| Graphics { protocol, cell });
    answers
}

/// What follows an escape, without what ends a string, and the rest.
fn sequence(after: &[u8]) -> (&[u8], &[u8]) {
    match after.first() {
        Some(b'[') => {
            let end =
                after.iter().skip(1).position(|byte| (0x40..0x7f).contains(byte)).map_or(after.len(), |at| at + 2);
            after.split_at(end)
        }
        Some(b']' | b'_' | b'P') => {
            let end = after.iter().position(|byte| matches!(byte, 0x07 | 0x1b)).unwrap_or(after.len());
            let skipped = if after[end..].starts_with(b"\x1b\\") { 2 } else { 1 };
            (&after[..end], after.get(end + skipped..).unwrap_or_default())
        }
        Some(_) => after.split_at(1),
        None => (after, after),
    }
}

/// `HEIGHT;WIDTHt`
fn read_cell(text: &str) -> Option<(u16, u16)> {
    let (height, width) = text.strip_suffix('t')?.split_once(';')?;
    let cell = (width.parse().ok()?, height.parse().ok()?);
    (cell.0 > 0 && cell.1 > 0).then_some(cell)
}

/// Whether a colour is a light one: two or four digits for each part.
fn is_light(text: &str) -> Option<bool> {
    let part = |part: &str| {
        let most = 16_u32.checked_pow(u32::try_from(part.len()).ok()?)?.checked_sub(1)?;
        Some(u32::from_str_radix(part, 16).ok()? as f32 / most as f32)
    };
    let parts: Vec<f32> = text.split('/').filter_map(part).collect();
    let [red, green, blue] = parts[..] else { return None };
    Some(0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_with_pictures_have_many_colours_by_their_names() {
        for term in ["xterm-256color", "xterm-kitty", "xterm-ghostty", "foot", "xterm-direct"] {
            assert!(is_colourful(term), "{term}");
        }
        assert!(!["", "vt100", "linux", "xterm", "dumb"].iter().any(|term| is_colourful(term)));
    }

    #[test]
    fn background_is_read_from_what_terminals_answer() {
        for (answer, light, typed) in [
            ("\x1b]11;rgb:0000/0000/0000\x1b\\\x1b[?62;c", Some(false), ""),
            ("\x1b]11;rgb:ffff/ffff/eeee\x07\x1b[?1;2c", Some(true), ""),
            ("\x1b]11;rgb:fd/f6/e3\x07\x1b[?1;2c", Some(true), ""),
            ("jj\x1b[?1;2c", None, "jj"),
            ("", None, ""),
            ("\x1b]11;rgb:zz/", None, ""),
        ] {
            let read = read_answers(answer.as_bytes());
            assert_eq!((read.is_light, &*read.typed, read.graphics), (light, typed.as_bytes(), None), "{answer:?}");
            assert_eq!(read.is_complete, answer.ends_with('c'), "{answer:?}");
        }
    }

    #[test]
    fn graphics_are_read_from_what_terminals_answer() {
        use GraphicsProtocol::{Iterm, Kitty, Sixel};
        for (answer, protocol, cell) in [
            ("\x1b_Gi=31;OK\x1b\\\x1bP>|kitty(0.40.0)\x1b\\\x1b[6;18;9t\x1b[?62;c", Some(Kitty), (9, 18)),
            ("\x1bP>|iTerm2 3.5.0\x1b\\\x1b[6;0;0t\x1b[?62;4c", Some(Iterm), USUAL_CELL),
            ("\x1b_Gi=31;OK\x1b\\\x1bP>|WezTerm 2024\x1b\\\x1b[?62;4c", Some(Iterm), USUAL_CELL),
            ("\x1b_Gi=31;EINVAL:no\x1b\\\x1b[?62;c", None, USUAL_CELL),
            ("\x1bP>|XTerm(370)\x1b\\\x1b[?64;c", None, USUAL_CELL),
            ("\x1bP>|XTerm(370)\x1b\\\x1b[6;18;9t\x1b[?64;1;2;4;6c", Some(Sixel), (9, 18)),
            ("\x1b[?4c", None, USUAL_CELL),
        ] {
            let graphics = read_answers(answer.as_bytes()).graphics;
            assert_eq!(graphics, protocol.map(|protocol| Graphics { protocol, cell }), "{answer:?}");
            for torn in 0..answer.len() {
                read_answers(&answer.as_bytes()[..torn]);
            }
        }
    }
}
