//! Times as programs and people write them.
//!
//! Pure: bytes in, how far a time reaches and which day it names. Zones that stand apart (` UTC`, ` (CET)`) are left to the
//! text around it: they are the same in both runs.

/// What kind of time stands somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WrittenTime {
    /// A day and a time of day.
    Moment,
    /// A time of day, with seconds.
    Clock,
    /// A day without a time.
    Day(CivilDay),
    /// `3 days ago`, `in 5 minutes`.
    Relative,
}

/// A day of the calendar; the year may not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CivilDay {
    year: Option<u32>,
    month: u32,
    day: u32,
    /// Whether day and month might be the other way round, as in `3/4/2026`.
    either_way: bool,
}

impl CivilDay {
    /// Whether it is this day since the Unix epoch.
    pub(super) fn is(&self, days: i64) -> bool {
        let (year, month, day) = civil(days);
        self.year.is_none_or(|it| i64::from(it) == year)
            && ((self.month, self.day) == (month, day) || self.either_way && (self.day, self.month) == (month, day))
    }
}

/// Year, month and day of a day since the Unix epoch (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(0), u32::try_from(day).unwrap_or(0))
}

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The number of a name, whole or its first three letters.
fn named(names: &[&str], word: &[u8]) -> Option<usize> {
    names.iter().position(|name| {
        let name = name.as_bytes();
        word.eq_ignore_ascii_case(name) || word.eq_ignore_ascii_case(&name[..3])
    })
}

/// The day of the week that a word names, from 0 for Sunday.
pub(super) fn weekday(word: &str) -> Option<i64> {
    named(&WEEKDAYS, word.as_bytes()).and_then(|day| i64::try_from(day).ok())
}

/// The time that begins here, and how many bytes it has.
pub(super) fn written_time(bytes: &[u8]) -> Option<(WrittenTime, usize)> {
    let first = bytes.first()?;
    if !first.is_ascii_alphanumeric() {
        return None;
    }
    if let Some(length) = relative(bytes) {
        return Some((WrittenTime::Relative, length));
    }
    let mut day = TimeReader { bytes, at: 0 };
    if let Some(date) = day.date() {
        let mut time = TimeReader { bytes, at: day.at };
        if time.time_after_date() {
            return Some((WrittenTime::Moment, time.at));
        }
        return Some((WrittenTime::Day(date), day.at));
    }
    let mut moment = TimeReader { bytes, at: 0 };
    if moment.compact() || moment.without_year() || moment.log_line() {
        return Some((WrittenTime::Moment, moment.at));
    }
    let mut clock = TimeReader { bytes, at: 0 };
    clock.clock(true).then_some((WrittenTime::Clock, clock.at))
}

struct TimeReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl TimeReader<'_> {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text.as_bytes());
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn eat_any(&mut self, texts: &[&str]) -> bool {
        texts.iter().any(|text| self.eat(text))
    }

    /// A number of `least` to `most` digits, and no further digit.
    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(least..=most).contains(&count) {
            return None;
        }
        let value = self.rest()[..count].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        self.at += count;
        Some(value)
    }

    fn name(&mut self, names: &[&str]) -> Option<usize> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let found = named(names, &self.rest()[..count])?;
        self.at += count;
        Some(found)
    }

    /// Tries one form; what it has not taken as a whole it has not taken.
    fn attempt<T>(&mut self, form: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let before = self.at;
        let found = form(self);
        if found.is_none() {
            self.at = before;
        }
        found
    }

    fn date(&mut self) -> Option<CivilDay> {
        self.attempt(|it| {
            if it.name(&WEEKDAYS).is_some() && !it.eat_any(&[", ", " "]) {
                return None;
            }
            let date = it
                .attempt(Self::iso_date)
                .or_else(|| it.attempt(Self::month_first))
                .or_else(|| it.attempt(Self::day_first))
                .or_else(|| it.attempt(Self::slashed))?;
            let is_real = (1..=31).contains(&date.day) && (1..=31).contains(&date.month);
            (is_real && date.year.is_none_or(|year| (1900..2200).contains(&year))).then_some(date)
        })
    }

    fn iso_date(&mut self) -> Option<CivilDay> {
        let year = self.digits(4, 4)?;
        let separator = ["-", "/", "."].into_iter().find(|it| self.eat(it))?;
        let month = self.digits(2, 2)?;
        let day = self.eat(separator).then(|| self.digits(2, 2))??;
        Some(CivilDay { year: Some(year), month, day, either_way: false })
    }

    fn month_first(&mut self) -> Option<CivilDay> {
        let month = self.month()?;
        self.eat_any(&["  ", " "]).then_some(())?;
        let day = self.day()?;
        self.eat_any(&[", ", " "]).then_some(())?;
        // `Sat Nov 28 09:16:01 UTC 2026`
        let year = self.digits(4, 4).or_else(|| {
            self.clock(true).then_some(())?;
            self.eat(" ").then_some(())?;
            let zone = self.rest().iter().take_while(|byte| byte.is_ascii_uppercase()).count();
            self.at += if zone > 0 { zone + 1 } else { 0 };
            (self.at <= self.bytes.len()).then(|| self.digits(4, 4))?
        })?;
        Some(CivilDay { year: Some(year), month, day, either_way: false })
    }

    fn day_first(&mut self) -> Option<CivilDay> {
        let day = self.day()?;
        let separator = [" ", "-", "/"].into_iter().find(|it| self.eat(it))?;
        let month = self.month()?;
        let year = (self.eat(separator) || self.eat(", ")).then(|| self.digits(4, 4))??;
        Some(CivilDay { year: Some(year), month, day, either_way: false })
    }

    fn slashed(&mut self) -> Option<CivilDay> {
        let month = self.digits(1, 2)?;
        let separator = ["/", "."].into_iter().find(|it| self.eat(it))?;
        let day = self.digits(1, 2)?;
        let year = self.eat(separator).then(|| self.digits(4, 4))??;
        Some(CivilDay { year: Some(year), month, day, either_way: true })
    }

    fn month(&mut self) -> Option<u32> {
        self.name(&MONTHS).and_then(|month| u32::try_from(month + 1).ok())
    }

    fn day(&mut self) -> Option<u32> {
        let day = self.digits(1, 2)?;
        self.eat_any(&["st", "nd", "rd", "th"]);
        Some(day)
    }

    /// The time of day behind a date, also as file names have it.
    fn time_after_date(&mut self) -> bool {
        let own = self.attempt(|it| {
            it.eat_any(&["T", "t", ", ", " at ", " ", "_"]).then_some(())?;
            it.clock(false).then_some(())
        });
        let file_name = || {
            self.attempt(|it| {
                it.eat_any(&["T", "_", "-"]).then_some(())?;
                let parts = [it.digits(2, 2), it.eat("-").then(|| it.digits(2, 2))?];
                let seconds = it.eat("-").then(|| it.digits(2, 2))?;
                (parts.iter().all(Option::is_some) && seconds.is_some()).then_some(())
            })
        };
        // `Sat Nov 28 09:16:01 UTC 2026` has it inside.
        own.or_else(file_name).is_some() || self.bytes[..self.at].contains(&b':')
    }

    /// `20261128T091601Z`, `20261128_091601`
    fn compact(&mut self) -> bool {
        let found = self.attempt(|it| {
            let date = it.digits(8, 8)?;
            it.eat_any(&["T", "_", "-"]).then_some(())?;
            let time = it.digits(6, 6)?;
            it.fraction();
            it.eat("Z");
            let is_real = (19_000_101..22_000_101).contains(&date) && time < 240_000;
            is_real.then_some(())
        });
        found.is_some()
    }

    /// `Nov 28 09:16`, as `ls` and `syslog` write it.
    fn without_year(&mut self) -> bool {
        let found = self.attempt(|it| {
            it.month()?;
            it.eat_any(&["  ", " "]).then_some(())?;
            it.day()?;
            it.eat(" ").then_some(())?;
            it.clock(false).then_some(())
        });
        found.is_some()
    }

    /// `1128/091601.123456` as Chromium's log has it, `1128 09:16:01.123456` as glog's: a fraction is always there.
    fn log_line(&mut self) -> bool {
        let found = self.attempt(|it| {
            let date = it.digits(4, 4)?;
            let is_clock = match it.eat("/") {
                true => it.digits(6, 6)? < 240_000,
                false => it.eat(" ") && it.clock(true),
            };
            it.fraction();
            let is_real = (101..=1231).contains(&date) && (1..=31).contains(&(date % 100)) && is_clock;
            (is_real && has_fraction(&it.bytes[..it.at])).then_some(())
        });
        found.is_some()
    }

    /// A time of day; without seconds only where a date says what it is, as `3:1` could be a score or a ratio.
    fn clock(&mut self, needs_seconds: bool) -> bool {
        let found = self.attempt(|it| {
            it.digits(1, 2).filter(|hours| *hours < 25)?;
            it.eat(":").then(|| it.digits(2, 2))?.filter(|minutes| *minutes < 60)?;
            let seconds = it.attempt(|it| it.eat(":").then(|| it.digits(2, 2))?);
            if seconds.is_none() && needs_seconds {
                return None;
            }
            it.fraction();
            it.half_of_day();
            it.offset();
            Some(())
        });
        found.is_some()
    }

    fn fraction(&mut self) {
        let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if let Some(b'.' | b',') = self.rest().first() {
            let count = digits(&self.rest()[1..]);
            self.at += if count > 0 { 1 + count } else { 0 };
        }
    }

    fn half_of_day(&mut self) {
        // JavaScript puts a narrow no-break space before the half of the day.
        let half = [" ", "\u{202f}", ""].into_iter().find_map(|space| {
            let half = self.rest().strip_prefix(space.as_bytes())?.get(..2)?;
            (half.eq_ignore_ascii_case(b"am") || half.eq_ignore_ascii_case(b"pm")).then_some(space.len() + 2)
        });
        self.at += half.unwrap_or(0);
    }

    /// `Z`, `+01:00`, `+0100`
    fn offset(&mut self) {
        let offset = self.attempt(|it| {
            if it.eat_any(&["Z", "z"]) {
                return Some(());
            }
            it.eat_any(&["+", "-"]).then_some(())?;
            it.attempt(|it| {
                it.digits(2, 2)?;
                it.eat(":").then(|| it.digits(2, 2))?
            })
            .or_else(|| it.digits(4, 4))
            .map(|_| ())
        });
        // A letter or digit right behind: then it was something else.
        debug_assert!(offset.is_none_or(|()| self.at <= self.bytes.len()));
    }
}

/// Whether it ends with six decimals.
fn has_fraction(bytes: &[u8]) -> bool {
    bytes.iter().rev().take_while(|byte| byte.is_ascii_digit()).count() == 6
        && bytes.iter().rev().nth(6).is_some_and(|byte| *byte == b'.')
}

/// Length of `3 days ago`, `a minute ago`, `in 5 hours`.
fn relative(bytes: &[u8]) -> Option<usize> {
    let head = &bytes[..bytes.len().min(40)];
    let text = std::str::from_utf8(head).or_else(|error| std::str::from_utf8(&head[..error.valid_up_to()])).ok()?;
    let mut words = text.split(' ');
    let mut word = words.next()?;
    let is_ahead = word == "in";
    let mut length = word.len();
    if is_ahead {
        word = words.next()?;
        length += 1 + word.len();
    }
    let is_amount = |word: &str| {
        matches!(word, "a" | "an" | "few") || !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_amount(word) {
        return None;
    }
    let mut unit = words.next()?;
    length += 1 + unit.len();
    if unit == "few" {
        unit = words.next()?;
        length += 1 + unit.len();
    }
    const UNITS: [&str; 7] = ["second", "minute", "hour", "day", "week", "month", "year"];
    let letters = unit.bytes().take_while(u8::is_ascii_alphabetic).count();
    if !UNITS.contains(&unit[..letters].trim_end_matches('s')) {
        return None;
    }
    if is_ahead {
        return Some(length - (unit.len() - letters));
    }
    let ago = words.next()?;
    (letters == unit.len() && ago.starts_with("ago")).then_some(length + 1 + "ago".len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_time_reaches_to_its_end() {
        use WrittenTime::{Clock, Moment, Relative};
        for (text, kind) in [
            ("2026-11-28T09:16:01.123456Z", Moment),
            ("2026-11-28 09:16:01+01:00", Moment),
            ("2026-11-28 09:16", Moment),
            ("2026/11/28 09:16:01", Moment),
            ("2026-11-28_09-16-01", Moment),
            ("20261128T091601Z", Moment),
            ("20261128_091601", Moment),
            ("Sat Nov 28 2026 09:16:01", Moment),
            ("Sat, 28 Nov 2026 09:16:01", Moment),
            ("Sat Nov 28 09:16:01 UTC 2026", Moment),
            ("Sat Nov 28 09:16:01 2026", Moment),
            ("Saturday, November 28, 2026 at 9:16:01 AM", Moment),
            ("11/28/2026, 9:16:01\u{202f}AM", Moment),
            ("28.11.2026 09:16", Moment),
            ("Nov 28 09:16", Moment),
            ("28-Nov-2026 09:16:01", Moment),
            ("1128/091601.123456", Moment),
            ("1128 09:16:01.123456", Moment),
            ("9:16:01 pm", Clock),
            ("3 days ago", Relative),
            ("a few seconds ago", Relative),
            ("in 5 hours", Relative),
        ] {
            assert_eq!(written_time(text.as_bytes()), Some((kind, text.len())), "{text}");
            let longer = format!("{text} (and more)");
            assert_eq!(written_time(longer.as_bytes()), Some((kind, text.len())), "{longer}");
        }
    }

    #[test]
    fn written_time_knows_its_day() {
        // 2026-11-28
        let day = 20_785;
        for text in [
            "2026-11-28",
            "Nov 28, 2026",
            "28 November 2026",
            "Saturday, November 28th 2026",
            "11/28/2026",
            "28/11/2026",
        ] {
            let Some((WrittenTime::Day(found), length)) = written_time(text.as_bytes()) else { panic!("{text}") };
            assert!(found.is(day) && !found.is(day + 1) && length == text.len(), "{text} {found:?}");
        }
    }

    #[test]
    fn written_time_is_not_everywhere() {
        for text in [
            "3:1",
            "12:30",
            "1.2.3",
            "192.168.10.1234",
            "May I",
            "Sat",
            "in 5 steps",
            "2026",
            "20261128",
            "1234-56-78",
            "10 days",
        ] {
            assert_eq!(written_time(text.as_bytes()), None, "{text}");
        }
    }
}
