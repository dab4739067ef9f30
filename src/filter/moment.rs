//! `~time A..B`: when a message came, by the clock on the wall or by the calendar.

use std::ops::{Bound, RangeBounds};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::context::MessageContext;
use super::cursor::{Cursor, FilterError};
use crate::envelope::Envelope;

/// A span of time that a message has to be in.
#[derive(Clone, Debug)]
pub(super) struct TimeTest {
    zone: TimeZone,
    span: TimeSpan,
}

/// Ends belong to it, but for those of a minute or a day that was named alone.
#[derive(Clone, Debug)]
enum TimeSpan {
    /// A part of any day, in microseconds since midnight; one that ends before it begins goes over midnight.
    OfDay(Bound<i64>, Bound<i64>),
    /// In microseconds since the Unix epoch.
    Once(Bound<i64>, Bound<i64>),
}

/// A moment as it is typed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    OfDay(i64),
    Once(i64),
}

const NEEDS: &str = "a time, such as `10:04`, `10:04:30..10:05` or `>2026-11-28T10:00`";
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

impl TimeTest {
    /// The argument of `~time`, and its written form. `Z` at the end of a time is UTC; else it is the local one.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<(Self, String), FilterError> {
        let word = cursor.argument("time", NEEDS)?;
        let zone = if word.text.ends_with(['Z', 'z']) { TimeZone::UTC } else { TimeZone::system() };
        let span = read_span(&word.text.replace(['Z', 'z'], ""), &zone);
        let span = span.ok_or_else(|| cursor.fail_at(word.at, format!("`~time` needs {NEEDS}")))?;
        Ok((Self { zone, span }, word.text))
    }

    pub(super) fn matches(&self, envelope: &Envelope, context: &dyn MessageContext) -> bool {
        let Some(at) = context.started(envelope.session).and_then(|started| i64::try_from(started + envelope.at).ok())
        else {
            return false;
        };
        match &self.span {
            TimeSpan::Once(from, to) => (*from, *to).contains(&at),
            TimeSpan::OfDay(from, to) => {
                let Ok(moment) = Timestamp::from_microsecond(at) else { return false };
                let time = of_day(self.zone.to_datetime(moment).time());
                match (from, to) {
                    (Bound::Included(low), Bound::Included(high)) if low > high => time >= *low || time <= *high,
                    _ => (*from, *to).contains(&time),
                }
            }
        }
    }
}

fn of_day(time: Time) -> i64 {
    let seconds = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    seconds * SECOND + i64::from(time.subsec_nanosecond() / 1000)
}

fn read_span(text: &str, zone: &TimeZone) -> Option<TimeSpan> {
    let read = |text: &str| read_moment(text, zone).map(|(moment, _)| moment);
    if let Some((low, high)) = text.split_once("..") {
        let end = |text: &str| if text.is_empty() { Some(None) } else { read(text).map(Some) };
        return span(end(low)?.map(Bound::Included), end(high)?.map(Bound::Included));
    }
    let signs: [(&str, bool, bool); 4] =
        [(">=", true, true), ("<=", false, true), (">", true, false), ("<", false, false)];
    if let Some((rest, above, inclusive)) =
        signs.iter().find_map(|(sign, above, inclusive)| Some((text.strip_prefix(sign)?, *above, *inclusive)))
    {
        let moment = read(rest)?;
        let bound = Some(if inclusive { Bound::Included(moment) } else { Bound::Excluded(moment) });
        return if above { span(bound, None) } else { span(None, bound) };
    }
    let (moment, width) = read_moment(text, zone)?;
    span(Some(Bound::Included(moment)), Some(Bound::Excluded(moment.plus(width))))
}

impl Moment {
    fn plus(self, width: i64) -> Self {
        match self {
            Self::OfDay(at) => Self::OfDay(at + width),
            Self::Once(at) => Self::Once(at + width),
        }
    }
}

/// Both ends of one kind; of none, no span.
fn span(low: Option<Bound<Moment>>, high: Option<Bound<Moment>>) -> Option<TimeSpan> {
    let kind =
        |bound: &Bound<Moment>| matches!(bound, Bound::Included(Moment::OfDay(_)) | Bound::Excluded(Moment::OfDay(_)));
    let (low_kind, high_kind) = (low.as_ref().map(kind), high.as_ref().map(kind));
    let is_of_day = low_kind.or(high_kind)?;
    if high_kind.is_some_and(|kind| kind != is_of_day) {
        return None;
    }
    let end = |bound: Option<Bound<Moment>>| {
        bound.map_or(Bound::Unbounded, |bound| {
            bound.map(|moment| match moment {
                Moment::OfDay(at) | Moment::Once(at) => at,
            })
        })
    };
    let (low, high) = (end(low), end(high));
    Some(if is_of_day { TimeSpan::OfDay(low, high) } else { TimeSpan::Once(low, high) })
}

/// A moment, and how long what was named lasts: a minute, a second, a day.
fn read_moment(text: &str, zone: &TimeZone) -> Option<(Moment, i64)> {
    let width = |time: &str| match (time.matches(':').count(), time.contains('.')) {
        (1, _) => Some(60 * SECOND),
        (2, false) => Some(SECOND),
        (2, true) => Some(1),
        _ => None,
    };
    let time_of = |text: &str| Some((text.parse::<Time>().ok()?, width(text)?));
    let epoch = |moment: DateTime| Some(zone.to_timestamp(moment).ok()?.as_microsecond());
    if let Some((day, time)) = text.split_once(['T', 't']) {
        let (time, width) = time_of(time)?;
        return Some((Moment::Once(epoch(day.parse::<Date>().ok()?.to_datetime(time))?), width));
    }
    if text.contains('-') {
        return Some((Moment::Once(epoch(text.parse::<Date>().ok()?.to_datetime(Time::midnight()))?), DAY));
    }
    time_of(text).map(|(time, width)| (Moment::OfDay(of_day(time)), width))
}
