//! Breakpoints in words: as an option of the command line, and as a file of a workspace.
//!
//! `FILTER; skip=2; once; session=ID; log=TEXT; deadline=30s; then=forward|block; answer=JSON; handshake`

use serde::Deserialize;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::event::{Breakpoint, BreakpointPolicy};
use crate::text;

/// A breakpoint as a file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPoint {
    when: String,
    on: Option<bool>,
    #[serde(default)]
    skip: u64,
    #[serde(default)]
    once: bool,
    session: Option<String>,
    log: Option<String>,
    deadline: Option<String>,
    then: Option<String>,
    answer: Option<String>,
    #[serde(default)]
    handshake: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenPoints {
    breakpoint: Vec<WrittenPoint>,
}

/// Reads `FILTER; skip=2; once`.
///
/// # Errors
/// What is wrong with it; whether the filter is one is not looked at.
pub fn of_words(words: &str) -> Result<Breakpoint, String> {
    let mut parts = words.split(';').map(str::trim);
    let mut point = Breakpoint { when: parts.next().unwrap_or_default().to_owned(), ..Breakpoint::default() };
    for part in parts.filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').map_or((part, ""), |(key, value)| (key.trim(), value.trim()));
        match key {
            "skip" => point.skip = value.parse().map_err(|_| "`skip` is a whole number, such as `skip=2`")?,
            "once" => point.is_once = true,
            "off" => point.is_on = false,
            "handshake" => point.holds_handshake = true,
            "session" => point.session = Some(value.to_owned()),
            "log" => point.log = Some(value.to_owned()),
            "deadline" => point.deadline = Some(millis(value)?),
            "then" => point.then = policy(value)?,
            "answer" => point.then = BreakpointPolicy::Answer(json(value)?),
            other => {
                return Err(format!(
                    "unknown word `{other}` of a breakpoint; there are `skip`, `once`, `off`, `session`, `log`, `deadline`, \
                     `then`, `answer`, `handshake`"
                ));
            }
        }
    }
    Ok(point)
}

/// Reads a file of breakpoints.
///
/// # Errors
/// What is wrong with it, and where.
pub fn of_file(text: &str) -> Result<Vec<Breakpoint>, String> {
    let written: WrittenPoints = toml::from_str(text).map_err(|error| error.to_string())?;
    written.breakpoint.into_iter().map(read).collect()
}

fn read(written: WrittenPoint) -> Result<Breakpoint, String> {
    let WrittenPoint { when, on, skip, once, session, log, deadline, then, answer, handshake } = written;
    let then = match answer {
        Some(answer) => BreakpointPolicy::Answer(json(&answer)?),
        None => then.as_deref().map_or(Ok(BreakpointPolicy::Forward), policy)?,
    };
    let deadline = deadline.as_deref().map(millis).transpose()?;
    let is_on = on.unwrap_or(true);
    Ok(Breakpoint { when, is_on, skip, is_once: once, session, log, deadline, then, holds_handshake: handshake })
}

/// The text of a file with these.
pub fn file_of<'a>(points: impl Iterator<Item = &'a Breakpoint>) -> String {
    let mut all = ArrayOfTables::new();
    for point in points {
        let Breakpoint { when, is_on, skip, is_once, session, log, deadline, then, holds_handshake } = point;
        let mut table = Table::new();
        table.insert("when", value(when.as_str()));
        let flags = [("on", !is_on, false), ("once", *is_once, true), ("handshake", *holds_handshake, true)];
        flags
            .into_iter()
            .filter(|(_, is_said, _)| *is_said)
            .for_each(|(key, _, it)| drop(table.insert(key, value(it))));
        if *skip > 0 {
            table.insert("skip", value(i64::try_from(*skip).unwrap_or(i64::MAX)));
        }
        let answer = if let BreakpointPolicy::Answer(answer) = then { Some(answer.clone()) } else { None };
        let then = (*then == BreakpointPolicy::Block).then(|| "block".to_owned());
        let deadline = deadline.map(|millis| format!("{millis}ms"));
        for (key, text) in
            [("session", session), ("log", log), ("deadline", &deadline), ("then", &then), ("answer", &answer)]
        {
            text.iter().for_each(|text| drop(table.insert(key, value(text.as_str()))));
        }
        all.push(table);
    }
    let mut doc = DocumentMut::new();
    doc.insert("breakpoint", Item::ArrayOfTables(all));
    doc.to_string()
}

fn millis(time: &str) -> Result<u64, String> {
    Ok(u64::try_from(text::duration(time)?.as_millis()).unwrap_or(u64::MAX))
}

fn policy(word: &str) -> Result<BreakpointPolicy, String> {
    match word {
        "forward" => Ok(BreakpointPolicy::Forward),
        "block" => Ok(BreakpointPolicy::Block),
        other => Err(format!("`then` is `forward` or `block`, not `{other}`; `answer` has a result")),
    }
}

fn json(text: &str) -> Result<String, String> {
    let read: Result<serde::de::IgnoredAny, _> = serde_json::from_str(text);
    read.map(|_| text.to_owned()).map_err(|why| format!("`answer` is the text of a JSON result: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breakpoint_is_written_as_it_is_read() {
        let points: Vec<_> = [
            "~tool write",
            "~q; skip=2; once; session=ab12; log=here it is",
            "~r ~tool x; deadline=30s; then=block; off",
            "~q; deadline=1500ms; answer={\"a\": [1.0]}; handshake",
        ]
        .into_iter()
        .map(|words| of_words(words).unwrap_or_else(|why| panic!("{words}: {why}")))
        .collect();
        assert_eq!((points[1].skip, points[1].is_once, points[1].log.as_deref()), (2, true, Some("here it is")));
        assert_eq!(
            (points[2].deadline, &points[2].then, points[2].is_on),
            (Some(30_000), &BreakpointPolicy::Block, false)
        );
        assert_eq!(points[3].then, BreakpointPolicy::Answer("{\"a\": [1.0]}".to_owned()));
        assert_eq!(of_file(&file_of(points.iter())), Ok(points));
        for (words, why) in [
            ("~q; skip=x", "a whole number"),
            ("~q; then=x", "`forward` or `block`"),
            ("~q; x", "unknown word `x`"),
            ("~q; answer={", "a JSON result"),
        ] {
            assert!(of_words(words).is_err_and(|said| said.contains(why)), "{words}");
        }
        assert!(of_file("[[breakpoint]]\nwhen = \"~q\"\nskpi = 1\n").is_err_and(|why| why.contains("skpi")));
    }
}
