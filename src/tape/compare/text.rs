//! Two texts side by side: where they say the same but for what changes from run to run.
//!
//! Both are read together, so that a value is passed over only where the other side has one of the same kind at the same
//! place, and what stands before it says what it is: `PID 81`, `Runtime: 40ms`.

use super::RunClocks;
use super::names::{Measure, is_token, measure, words_of};
use super::written_time::{WrittenTime, weekday, written_time};

/// What may be known when texts are compared.
#[derive(Clone, Copy)]
pub(super) struct TextContext<'c> {
    /// The name of the member that holds the text.
    pub(super) key: &'c str,
    /// What the members around it say of a number.
    pub(super) around: Option<Measure>,
    pub(super) clocks: Option<RunClocks>,
    /// What the live server says in place of a recorded word.
    pub(super) live: &'c dyn Fn(&str) -> Option<String>,
    /// Whether the recorded client sent a word back after it had got it from the server.
    pub(super) is_sent_back: &'c dyn Fn(&str) -> bool,
}

/// What two texts have in each other's place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TextMatch<'t> {
    /// Whether nothing else differs.
    pub(super) is_same: bool,
    pub(super) variations: Vec<Variation<'t>>,
}

/// One piece of text that changes from run to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variation<'t> {
    /// What it is, for the report.
    pub(super) kind: &'static str,
    pub(super) expected: &'t str,
    pub(super) got: &'t str,
    /// Whether the client may hand it back later.
    pub(super) is_handle: bool,
}

/// More differences than this are not looked behind: the rest has nothing to tell.
const MOST_DIFFERENCES: usize = 200;

/// Reads two texts side by side.
pub(super) fn match_texts<'t>(expected: &'t str, got: &'t str, context: TextContext<'_>) -> TextMatch<'t> {
    let mut reader = PairReader { expected, got, at: 0, got_at: 0, context };
    let mut found = TextMatch { is_same: true, variations: Vec::new() };
    let mut differences = 0;
    while let Some(piece) = reader.next() {
        match piece {
            Piece::Same => {}
            Piece::Varies(variation) => found.variations.push(variation),
            Piece::Differs => differences += 1,
            Piece::Lost => differences = MOST_DIFFERENCES,
        }
        if differences >= MOST_DIFFERENCES {
            break;
        }
    }
    found.is_same = differences == 0;
    found
}

/// What stands next in both texts.
enum Piece<'t> {
    Same,
    Varies(Variation<'t>),
    /// Two words that have nothing in common; what follows may go on alike.
    Differs,
    /// There is no telling what belongs to what from here on.
    Lost,
}

struct PairReader<'t, 'c> {
    expected: &'t str,
    got: &'t str,
    at: usize,
    got_at: usize,
    context: TextContext<'c>,
}

impl<'t> PairReader<'t, '_> {
    fn next(&mut self) -> Option<Piece<'t>> {
        let (left, right) = (&self.expected[self.at..], &self.got[self.got_at..]);
        if left.is_empty() && right.is_empty() {
            return None;
        }
        if starts_word(self.expected, self.at) && starts_word(self.got, self.got_at) {
            if let Some((kind, is_handle, lengths)) = self.pair(left, right) {
                return Some(self.advance(kind, is_handle, lengths));
            }
            let lengths = (word_length(left), word_length(right));
            if lengths.0 > 0 && lengths.1 > 0 {
                (self.at, self.got_at) = (self.at + lengths.0, self.got_at + lengths.1);
                return Some(if left[..lengths.0] == right[..lengths.1] { Piece::Same } else { Piece::Differs });
            }
        }
        let Some(c) = left.chars().next().filter(|c| right.starts_with(*c)) else {
            // One side ends, either of them, or goes on otherwise.
            (self.at, self.got_at) = (self.expected.len(), self.got.len());
            return Some(Piece::Lost);
        };
        self.at += c.len_utf8();
        self.got_at += c.len_utf8();
        Some(Piece::Same)
    }

    fn advance(&mut self, kind: &'static str, is_handle: bool, lengths: (usize, usize)) -> Piece<'t> {
        let expected = &self.expected[self.at..self.at + lengths.0];
        let got = &self.got[self.got_at..self.got_at + lengths.1];
        (self.at, self.got_at) = (self.at + lengths.0, self.got_at + lengths.1);
        if expected == got { Piece::Same } else { Piece::Varies(Variation { kind, expected, got, is_handle }) }
    }

    /// What begins at both places and changes by nature: its kind, whether it may be handed back, its lengths.
    fn pair(&self, left: &'t str, right: &'t str) -> Option<(&'static str, bool, (usize, usize))> {
        if is_uuid(left.as_bytes()) && is_uuid(right.as_bytes()) {
            return Some(("uuid", true, (UUID, UUID)));
        }
        if let Some(lengths) = self.times(left, right) {
            return Some(("time", false, lengths));
        }
        if self.expected[..self.at].ends_with('[')
            && let Some(lengths) = log_pids(left).zip(log_pids(right))
        {
            return Some(("pid", false, lengths));
        }
        if let Some(lengths) = local_ports(left, right) {
            return Some(("port", false, lengths));
        }
        let lengths = (word_length(left), word_length(right));
        let words = (&left[..lengths.0], &right[..lengths.1]);
        let is_alike = words.0 == words.1 && number_text(left) == number_text(right);
        if is_alike || words.0.is_empty() || words.1.is_empty() {
            return None;
        }
        if let Some((measure, lengths)) = self.measures(left, right) {
            return Some((measure.word(), matches!(measure, Measure::Pid | Measure::Port), lengths));
        }
        if let Some(lengths) = self.epochs(left, right) {
            return Some(("time", false, lengths));
        }
        if words.0 == words.1 {
            return None;
        }
        self.words(words.0, words.1).map(|(kind, is_handle)| (kind, is_handle, lengths))
    }

    fn times(&self, left: &str, right: &str) -> Option<(usize, usize)> {
        let ((time, length), (other, other_length)) = (written_time(left.as_bytes())?, written_time(right.as_bytes())?);
        let is_pair = match (time, other) {
            (WrittenTime::Day(day), WrittenTime::Day(other)) => {
                left[..length] == right[..other_length]
                    || self.context.clocks.is_some_and(|clocks| clocks.is_near_day(|it| day.is(it), |it| other.is(it)))
            }
            (time, other) => time == other,
        };
        is_pair.then_some((length, other_length))
    }

    fn epochs(&self, left: &str, right: &str) -> Option<(usize, usize)> {
        let (number, other) = (number_text(left), number_text(right));
        let is_pair = self.context.clocks?.is_near(number.parse().ok()?, other.parse().ok()?);
        is_pair.then_some((number.len(), other.len()))
    }

    /// Numbers that the words around them name a measure.
    fn measures(&self, left: &str, right: &str) -> Option<(Measure, (usize, usize))> {
        let lengths = (quantity_length(left)?, quantity_length(right)?);
        let (before, is_named) = (self.words_before(), self.words_after(left, lengths.0));
        let around = self.context.around.filter(|_| self.at == 0);
        let named = is_named.then_some(Measure::Duration);
        let measure = measure(&before).or(around).or(named)?;
        let numbers = (number_text(left), number_text(right));
        let lengths = match measure {
            Measure::Pid | Measure::Port => {
                let least = if measure == Measure::Port { 4 } else { 1 };
                let is_whole = |number: &str| number.len() >= least && !number.contains('.');
                (is_whole(numbers.0) && is_whole(numbers.1)).then_some((numbers.0.len(), numbers.1.len()))?
            }
            // `completed in 3 steps` is no time.
            Measure::Duration if before.last().is_some_and(|word| word == "in") => {
                let has_unit =
                    |text: &str, length: usize, number: &str| length > number.len() && text.is_char_boundary(length);
                (has_unit(left, lengths.0, numbers.0) && has_unit(right, lengths.1, numbers.1)).then_some(lengths)?
            }
            Measure::Duration | Measure::Usage => lengths,
        };
        Some((measure, lengths))
    }

    /// The last two words before this place on its line, without numbers and units; the name of the member where there is
    /// none.
    fn words_before(&self) -> Vec<String> {
        let line = self.expected[..self.at].rsplit('\n').next().unwrap_or_default();
        let from = (line.len().saturating_sub(64)..=line.len()).find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        let mut words = words_of(&line[from..]);
        words.retain(|word| !word.starts_with(|c: char| c.is_ascii_digit()) && !UNITS.contains(&word.as_str()));
        if words.is_empty() { words_of(self.context.key) } else { words.split_off(words.len().saturating_sub(2)) }
    }

    /// `12 ms elapsed`
    fn words_after(&self, left: &str, length: usize) -> bool {
        let rest = left[length..].trim_start_matches([' ', '_', '-']);
        ["elapsed", "uptime"].iter().any(|word| rest.starts_with(word))
    }

    fn words(&self, left: &str, right: &str) -> Option<(&'static str, bool)> {
        if (self.context.live)(left).is_some_and(|live| live == right) {
            return Some(("handle", true));
        }
        if is_token(left) && is_token(right) && (self.context.is_sent_back)(left) {
            return Some(("handle", true));
        }
        if is_made_up_id(left, right, self.context.clocks) {
            return Some(("id", true));
        }
        let before = &self.expected[..self.at];
        if (before.ends_with("/tmp/") || before.ends_with("/T/") || before.ends_with("\\Temp\\"))
            && is_random_tail(left, right)
        {
            return Some(("temporary path", true));
        }
        let line = before.rsplit('\n').next().unwrap_or_default().to_ascii_lowercase();
        let is_of_commit =
            line.contains("commit") || line.is_empty() && self.context.key.to_ascii_lowercase().contains("commit");
        if is_of_commit && left.len() == right.len() && left.len() >= 7 && is_hex(left) && is_hex(right) {
            return Some(("commit", true));
        }
        let days = weekday(left).zip(weekday(right));
        let is_weekday = |(day, other)| self.context.clocks.is_some_and(|clocks| clocks.is_near_weekday(day, other));
        days.is_some_and(is_weekday).then_some(("time", false))
    }
}

/// Units that may stand between a number and the word that says what it is.
const UNITS: [&str; 31] = [
    "d",
    "day",
    "days",
    "h",
    "hr",
    "hour",
    "hours",
    "m",
    "min",
    "mins",
    "minute",
    "minutes",
    "s",
    "sec",
    "secs",
    "second",
    "seconds",
    "ms",
    "us",
    "ns",
    "b",
    "kb",
    "mb",
    "gb",
    "kib",
    "mib",
    "gib",
    "is",
    "of",
    "approximately",
    "about",
];

/// Whether no letter or digit stands right before.
fn starts_word(text: &str, at: usize) -> bool {
    at == 0 || !text.as_bytes()[at - 1].is_ascii_alphanumeric()
}

/// Letters, digits, and `_` and `-` between them.
fn word_length(text: &str) -> usize {
    let length = text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')).count();
    text[..length].trim_end_matches(['_', '-']).len()
}

const UUID: usize = 36;

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() >= UUID
        && !bytes.get(UUID).is_some_and(u8::is_ascii_alphanumeric)
        && bytes[..UUID].iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Ports of this machine.
fn local_ports(left: &str, right: &str) -> Option<(usize, usize)> {
    let length = |text: &str, host: &str| {
        let digits = text.strip_prefix(host)?.bytes().take_while(u8::is_ascii_digit).count();
        (1..=5).contains(&digits).then_some(host.len() + digits)
    };
    let mut hosts = ["localhost:", "127.0.0.1:", "0.0.0.0:", "[::1]:", "::1]:"].into_iter();
    hosts.find_map(|host| length(left, host).zip(length(right, host)))
}

/// Process and thread before the time in a log: `[566:566:1128/091601.123456:ERROR:x.cc(1)]`.
fn log_pids(text: &str) -> Option<usize> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (process, rest) = text.split_once(':')?;
    let (thread, rest) = rest.split_once(':')?;
    let is_time = matches!(written_time(rest.as_bytes()), Some((WrittenTime::Moment, _)));
    (is_number(process) && is_number(thread) && is_time).then_some(process.len() + 1 + thread.len())
}

/// The number that begins here, with its decimals; empty where there is none.
fn number_text(text: &str) -> &str {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(0);
    let decimals = if whole > 0 && text[whole..].starts_with('.') { digits(whole + 1) } else { 0 };
    &text[..if decimals > 0 { whole + 1 + decimals } else { whole }]
}

/// Length of `12`, `1.5 MB`, `2h 3m 4s`, `1 day, 2:03:04`.
fn quantity_length(text: &str) -> Option<usize> {
    let mut length = 0;
    loop {
        let rest = &text[length..];
        let gap =
            if length == 0 { 0 } else { rest.bytes().take_while(|byte| matches!(byte, b' ' | b',' | b':')).count() };
        let number = number_text(&rest[gap..]).len();
        if number == 0 || gap > 2 {
            break;
        }
        length += gap + number;
        let rest = &text[length..];
        let space = usize::from(rest.starts_with(' '));
        let unit: String = rest[space..].chars().take_while(|c| c.is_alphabetic() || *c == '%').collect();
        if unit == "%" || unit == "µs" || unit == "μs" || UNITS.contains(&unit.to_ascii_lowercase().as_str()) {
            length += space + unit.len();
        } else if !unit.is_empty() && space == 0 {
            return None;
        } else if !rest.starts_with(':') {
            break;
        }
    }
    (length > 0).then_some(length)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `task_3025aa9c`, `search_1_1795839933337`, `job-k3j9x2ab`: what several parts have in common, and a part that is made up.
fn is_made_up_id(left: &str, right: &str, clocks: Option<RunClocks>) -> bool {
    let parts = |text: &'_ str| text.split(['_', '-']).map(str::to_owned).collect::<Vec<_>>();
    let (left, right) = (parts(left), parts(right));
    if left.len() != right.len() || left.len() < 2 {
        return false;
    }
    let has_digit = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
    let has_letter = |text: &str| text.bytes().any(|byte| byte.is_ascii_alphabetic());
    let is_epoch = |left: &str, right: &str| {
        let values = left.parse().ok().zip(right.parse().ok());
        values.zip(clocks).is_some_and(|((left, right), clocks)| clocks.is_near(left, right))
    };
    let is_made_up = |left: &str, right: &str| {
        left.len() >= 6
            && left.len() == right.len()
            && is_hex(left)
            && is_hex(right)
            && (has_digit(left) || has_digit(right))
            || left.len() >= 6
                && right.len() >= 6
                && left.len().abs_diff(right.len()) <= 2
                && [left, right].into_iter().all(|part| has_digit(part) && has_letter(part))
            || is_epoch(left, right)
    };
    let pairs = || left.iter().zip(&right);
    pairs().any(|(left, right)| left == right || is_epoch(left, right))
        && pairs().all(|(left, right)| left == right || is_made_up(left, right))
}

/// `tmpab12cd_x` and `tmpk3j9x2ab`, as the makers of temporary files have it: alike but for some last letters.
fn is_random_tail(left: &str, right: &str) -> bool {
    let common = left.bytes().zip(right.bytes()).take_while(|(left, right)| left == right).count();
    let tail = left.len() - common;
    let is_random = |text: &str| {
        text.bytes().skip(common).any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || byte == b'_')
    };
    left.len() == right.len() && (1..=12).contains(&tail) && (is_random(left) || is_random(right))
        || is_token(left) && is_token(right) && common > 3 && left.len().abs_diff(right.len()) <= 2
}
