//! How tapes are played and served from the screen, and the form in which that is chosen.

use std::path::PathBuf;

use super::input_line::InputLine;
use crate::event::{MockOrder, MockRepeats, Speed, Volatile};
use crate::json::PathPattern;

/// How tapes are played and served from here on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PlayChoices {
    pub(crate) speed: Speed,
    /// The next replay waits before each message for a key.
    pub(crate) by_step: bool,
    pub(crate) volatile: Volatile,
    pub(crate) stops_at_failure: bool,
    pub(crate) order: MockOrder,
    pub(crate) repeats: MockRepeats,
    pub(crate) tells_nearest: bool,
}

impl Default for PlayChoices {
    fn default() -> Self {
        Self {
            speed: Speed::Max,
            by_step: false,
            volatile: Volatile::default(),
            stops_at_failure: false,
            order: MockOrder::default(),
            repeats: MockRepeats::default(),
            tells_nearest: true,
        }
    }
}

/// The paces there are, in the order of the key.
const PACES: [(Speed, bool); 5] = [
    (Speed::Max, false),
    (Speed::Times(1.0), false),
    (Speed::Times(2.0), false),
    (Speed::Times(10.0), false),
    (Speed::Max, true),
];

impl PlayChoices {
    pub(crate) fn turn_pace(&mut self, by: isize) {
        (self.speed, self.by_step) = turned(&PACES, (self.speed, self.by_step), by);
    }

    pub(crate) fn pace_words(&self) -> String {
        match self.speed {
            _ if self.by_step => "step by step".to_owned(),
            Speed::Max => "flat out".to_owned(),
            Speed::Times(times) => format!("x{times}"),
        }
    }
}

impl PlayChoices {
    fn words(&self, field: PlayField) -> &'static str {
        match (field, self.volatile, self.order, self.repeats) {
            (PlayField::Volatile, Volatile::Normalised, ..) => "as recorded, but for times, ids and their like",
            (PlayField::Volatile, Volatile::Exact, ..) => "as recorded, times and ids too",
            (PlayField::Volatile, Volatile::Shape, ..) => "of the same members and types, whatever the values",
            (PlayField::Failure, ..) if self.stops_at_failure => "ends the replay",
            (PlayField::Failure, ..) => "fails alone",
            (PlayField::Order, _, MockOrder::Session, _) => "for each client the replies from the first on",
            (PlayField::Order, _, MockOrder::Any, _) => "the next reply, whichever client asks",
            (PlayField::Order, _, MockOrder::Strict, _) => "a reply in the order of the tape only",
            (PlayField::Repeats, .., MockRepeats::Last) => "the last reply again",
            (PlayField::Repeats, .., MockRepeats::Loop) => "the first reply again, and so on",
            (PlayField::Repeats, .., MockRepeats::Next) => "an error: each reply is given once",
            (PlayField::Miss, ..) if self.tells_nearest => "an error that says what comes nearest",
            (PlayField::Miss, ..) => "an error, and no more",
            (PlayField::Pace | PlayField::Ignore, ..) => "",
        }
    }
}

/// Another of these, in a circle.
fn turned<T: Copy + PartialEq>(all: &[T], now: T, by: isize) -> T {
    let at = all.iter().position(|it| *it == now).unwrap_or(0).cast_signed();
    all[(at + by).rem_euclid(all.len().cast_signed()).cast_unsigned()]
}

/// A line of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlayField {
    Pace,
    Volatile,
    Failure,
    Order,
    Repeats,
    Miss,
    Ignore,
}

impl PlayField {
    pub(crate) const ALL: [Self; 7] =
        [Self::Pace, Self::Volatile, Self::Failure, Self::Order, Self::Repeats, Self::Miss, Self::Ignore];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Pace => "pace",
            Self::Volatile => "replies are to be",
            Self::Failure => "a step that fails",
            Self::Order => "equal requests get",
            Self::Repeats => "asked once more",
            Self::Miss => "not on the tape",
            Self::Ignore => "paths that do not count",
        }
    }
}

/// The form, being filled in.
pub(crate) struct PlayForm {
    pub(crate) tape: PathBuf,
    pub(crate) choices: PlayChoices,
    /// The paths, with spaces between them.
    pub(crate) ignore: InputLine,
    pub(crate) field: PlayField,
    /// What is wrong with the paths.
    pub(crate) fault: Option<String>,
}

impl PlayForm {
    pub(crate) fn new(tape: PathBuf, choices: PlayChoices, ignored: &[String]) -> Self {
        let ignore = InputLine::new(&ignored.join(" "));
        Self { tape, choices, ignore, field: PlayField::Pace, fault: None }
    }

    pub(crate) fn next_field(&mut self, by: isize) {
        self.field = turned(&PlayField::ALL, self.field, by);
    }

    pub(crate) fn line(&mut self) -> Option<&mut InputLine> {
        (self.field == PlayField::Ignore).then_some(&mut self.ignore)
    }

    /// Another choice in the line of the cursor.
    pub(crate) fn turn(&mut self, by: isize) {
        let choices = &mut self.choices;
        match self.field {
            PlayField::Pace => choices.turn_pace(by),
            PlayField::Volatile => {
                choices.volatile =
                    turned(&[Volatile::Normalised, Volatile::Exact, Volatile::Shape], choices.volatile, by);
            }
            PlayField::Failure => choices.stops_at_failure = !choices.stops_at_failure,
            PlayField::Order => {
                choices.order = turned(&MockOrder::ALL, choices.order, by);
            }
            PlayField::Repeats => {
                choices.repeats = turned(&MockRepeats::ALL, choices.repeats, by);
            }
            PlayField::Miss => choices.tells_nearest = !choices.tells_nearest,
            PlayField::Ignore => {}
        }
    }

    /// What is chosen in a line; `None` where that is typed.
    pub(crate) fn words(&self, field: PlayField) -> Option<String> {
        match field {
            PlayField::Pace => Some(self.choices.pace_words()),
            PlayField::Ignore => None,
            field => Some(self.choices.words(field).to_owned()),
        }
    }

    /// The paths, where all of them are some.
    pub(crate) fn paths(&self) -> Result<Vec<String>, String> {
        let paths: Vec<String> = words_of(self.ignore.text());
        match paths.iter().find_map(|path| path.parse::<PathPattern>().err()) {
            Some(why) => Err(why.to_string()),
            None => Ok(paths),
        }
    }
}

/// The words of a line; a space in quotes is one of the word.
fn words_of(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        quoted ^= c == '"';
        if quoted || !c.is_whitespace() {
            word.push(c);
        } else {
            words.push(std::mem::take(&mut word));
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::words_of;

    #[test]
    fn words_of_a_line_keep_what_is_in_quotes() {
        assert_eq!(words_of(r#" .a  .b["x y"].c "#), [".a", r#".b["x y"].c"#]);
        assert!(words_of("  ").is_empty());
    }
}
