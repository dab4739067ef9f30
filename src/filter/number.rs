//! Numbers of an envelope, and what they are compared with.

use std::ops::{Bound, RangeBounds};

use serde_json::Value;

use super::context::{MessageContext, ScanCost};
use super::cursor::{Cursor, FilterError};
use crate::envelope::Envelope;
use crate::text;

/// A number of an envelope, and the range it has to be in.
#[derive(Clone, Debug)]
pub(super) struct NumberTest {
    number: NumberField,
    span: NumberRange,
}

impl NumberTest {
    /// The argument of the operator `name`, and its written form.
    pub(super) fn read(
        cursor: &mut Cursor<'_>,
        name: &str,
        number: NumberField,
    ) -> Result<(Self, String), FilterError> {
        let word = cursor.argument(name, number.example())?;
        let mut text = word.text.clone();
        if text.ends_with(['<', '>', '=']) {
            text.push_str(&cursor.argument(name, number.example())?.text);
        }
        let span = parse_span(&text, number).ok_or_else(|| {
            let needs = match number.without_unit(&text) {
                Some(bare) => format!("a unit, such as `{bare}ms` or `{bare}s`"),
                None => number.example().to_owned(),
            };
            cursor.fail_at(word.at, format!("`~{name}` needs {needs}"))
        })?;
        Ok((Self { number, span }, text))
    }

    pub(super) fn matches(&self, envelope: &Envelope, context: &dyn MessageContext) -> bool {
        self.number.of(envelope, context).is_some_and(|number| self.span.contains(&number))
    }

    pub(super) fn cost(&self) -> ScanCost {
        if matches!(self.number, NumberField::Code) { ScanCost::Body } else { ScanCost::Index }
    }
}

/// A number of an envelope that is compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum NumberField {
    Status,
    Code,
    /// How long a request took, in microseconds.
    Took,
    /// The size of a message, in bytes.
    Size,
    Seq,
    /// Microseconds since a message came.
    Age,
}

type NumberRange = (Bound<i64>, Bound<i64>);

impl NumberField {
    /// By the name of its operator.
    pub(super) fn of_operator(name: &str) -> Option<Self> {
        Some(match name {
            "c" => Self::Status,
            "code" => Self::Code,
            "dur" => Self::Took,
            "size" => Self::Size,
            "seq" => Self::Seq,
            "age" => Self::Age,
            _ => return None,
        })
    }

    fn of(self, envelope: &Envelope, context: &dyn MessageContext) -> Option<i64> {
        match self {
            Self::Status => envelope.transport.status.map(i64::from),
            Self::Code => {
                let error: Value = serde_json::from_str(envelope.message.member("error")?).ok()?;
                error.get("code")?.as_i64()
            }
            Self::Took => i64::try_from(envelope.reply_to.as_ref()?.took).ok(),
            Self::Size => i64::try_from(envelope.message.raw().len()).ok(),
            Self::Seq => i64::try_from(envelope.seq.0).ok(),
            Self::Age => {
                let came = context.started(envelope.session)? + envelope.at;
                i64::try_from(context.now()?.saturating_sub(came)).ok()
            }
        }
    }

    /// A number of this kind as it is typed, units included.
    fn read(self, text: &str) -> Option<i64> {
        match self {
            Self::Status | Self::Code => text.parse().ok(),
            Self::Seq => text.strip_prefix('#').unwrap_or(text).parse().ok(),
            Self::Took | Self::Age => duration(text),
            Self::Size => size(&text.to_ascii_lowercase()),
        }
    }

    /// The number in a comparison that lacks the unit of a duration.
    fn without_unit(self, text: &str) -> Option<&str> {
        let is_duration = matches!(self, Self::Took | Self::Age);
        let mut numbers = text.split("..").map(|end| end.trim_start_matches(['<', '>', '=']));
        numbers.find(|number| is_duration && is_without_unit(number))
    }

    fn example(self) -> &'static str {
        match self {
            Self::Status => "a status, such as `404` or `>=400`",
            Self::Code => "a code, such as `-32601` or `-32099..-32000`",
            Self::Took => "a comparison, such as `>500ms` or `1s..5s`",
            Self::Size => "a comparison, such as `>10k` or `1k..1M`",
            Self::Seq => "a number, such as `1194` or `100..200`",
            Self::Age => "a comparison, such as `<5m` or `>1h`",
        }
    }

    /// Exactly 500 ms is never looked for: a lone measure is a comparison that lost its sign.
    fn compares_only(self) -> bool {
        matches!(self, Self::Took | Self::Size | Self::Age)
    }
}

/// A duration in microseconds, written as everywhere in tapline. A number alone is refused: it is seconds elsewhere, and among
/// replies most people mean milliseconds.
fn duration(text: &str) -> Option<i64> {
    let time = text::duration(text).ok().filter(|_| !is_without_unit(text))?;
    i64::try_from(time.as_micros()).ok()
}

/// Whether this is a number to which the unit of a duration is missing. Zero needs none.
fn is_without_unit(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(|number| number != 0.0)
}

/// A size in bytes. The first unit that fits decides; the empty one stands last.
fn size(text: &str) -> Option<i64> {
    const UNITS: [(&str, f64); 5] = [("k", 1024.0), ("m", 1_048_576.0), ("g", 1_073_741_824.0), ("b", 1.0), ("", 1.0)];
    let (number, factor) = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    let number: f64 = number.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and no message is that long or that big")]
    let scaled = (number.is_finite() && number >= 0.0).then(|| (number * factor).round() as i64);
    scaled
}

type MakeSpan = fn(i64) -> NumberRange;

fn parse_span(text: &str, number: NumberField) -> Option<NumberRange> {
    let read = |text: &str| number.read(text);
    let end = |text: &str| if text.is_empty() { Some(Bound::Unbounded) } else { read(text).map(Bound::Included) };
    if let Some((low, high)) = text.split_once("..") {
        return Some((end(low)?, end(high)?));
    }
    let signs: [(&str, MakeSpan); 5] = [
        (">=", |n| (Bound::Included(n), Bound::Unbounded)),
        ("<=", |n| (Bound::Unbounded, Bound::Included(n))),
        (">", |n| (Bound::Excluded(n), Bound::Unbounded)),
        ("<", |n| (Bound::Unbounded, Bound::Excluded(n))),
        ("=", |n| (Bound::Included(n), Bound::Included(n))),
    ];
    if let Some((rest, span)) = signs.iter().find_map(|(sign, span)| Some((text.strip_prefix(sign)?, span))) {
        return read(rest).map(span);
    }
    let exact = if number.compares_only() { None } else { read(text) }?;
    Some((Bound::Included(exact), Bound::Included(exact)))
}
