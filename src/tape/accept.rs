//! The replies of a replay taken over into its tape: values that changed move, and no other byte does.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::care::{Sealing, packing_of, rewrite};
use super::format::TapeError;
use super::read::TapeReader;
use super::redact::{RedactRules, Redactor};
use crate::envelope::{Direction, Seq};
use crate::event::Difference;
use crate::json::diff::members;
use crate::json::path::{JsonPath, PathStep};
use crate::json::splice::{JsonPointer, PatchStep, patch};
use crate::message::{Message, items_of};

/// What a live server answered to a recorded request, and where that is not what was expected.
#[derive(Clone, Debug)]
pub struct LiveReply {
    /// The request, on the tape.
    pub request: Seq,
    pub reply: Message,
    pub differences: Vec<Difference>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct AcceptedValues {
    /// Values that are other ones now.
    pub values: usize,
    /// Differences that could not be taken over: in words.
    pub left: Vec<String>,
}

/// Takes over what differs, and rewrites the tape where anything does.
///
/// # Errors
/// Where the tape cannot be read, or not be written.
pub fn accept(path: &Path, replies: &[LiveReply]) -> Result<AcceptedValues, TapeError> {
    // Of a link, what it leads to is rewritten.
    let path = &path.canonicalize().map_err(|error| TapeError::unread(path, error))?;
    let by_request: HashMap<Seq, &LiveReply> = replies.iter().map(|reply| (reply.request, reply)).collect();
    let mut accepted = AcceptedValues::default();
    // What the live server says is as secret as what the recorded one said.
    let is_redacted = TapeReader::open(path)?.header().has_redacted_bodies();
    let mut redactor = is_redacted.then(|| Redactor::new(RedactRules::default()));
    let mut now = |line: &str| {
        let now = accepted.line(line, &by_request);
        let redactor = redactor.as_mut().filter(|_| now != line);
        redactor.and_then(|redactor| redactor.line(&now)).unwrap_or(now)
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", uuid::Uuid::new_v4().simple()));
    let broken =
        rewrite(path, &beside, packing_of(path), Sealing::AsBefore, &mut |_, line| match std::str::from_utf8(&line) {
            Ok(text) => now(text).into_bytes(),
            Err(_) => line,
        })?;
    let kept = match broken {
        Some(problem) => Err(TapeError::Broken { path: path.clone(), problem: problem.to_string() }),
        None if accepted.values == 0 => Ok(()),
        None => {
            let cannot = |error| TapeError::CannotWrite { path: path.clone(), error };
            let like = fs::metadata(path).and_then(|it| fs::set_permissions(&beside, it.permissions()));
            like.and_then(|()| fs::rename(&beside, path)).map_err(cannot)
        }
    };
    // It is gone where it took the place of the other.
    let _ = fs::remove_file(&beside);
    kept.map(|()| accepted)
}

/// What a line says of itself.
#[derive(Deserialize)]
struct LineHead {
    dir: Direction,
    re: Option<Seq>,
}

impl AcceptedValues {
    fn line(&mut self, line: &str, replies: &HashMap<Seq, &LiveReply>) -> String {
        let head = serde_json::from_str::<LineHead>(line).ok().filter(|head| head.dir == Direction::ToClient);
        let Some(reply) = head.and_then(|head| replies.get(&head.re?)) else { return line.to_owned() };
        let found = members(line);
        // Of a reply that was edited by hand, what the server said stands beside it.
        let place = if found.as_ref().is_some_and(|it| it.get("original").is_some()) { "original" } else { "msg" };
        let recorded = found.as_ref().and_then(|it| it.get(place)).unwrap_or_default();
        let mut now = line.to_owned();
        // From the end of lists to their beginning, so that what is taken away moves nothing that is still to come.
        for difference in reply.differences.iter().rev() {
            let step =
                difference.path.parse::<JsonPath<'_>>().ok().and_then(|path| {
                    change(place, path.steps(), recorded, std::str::from_utf8(reply.reply.raw()).ok()?)
                });
            match step.map(|step| patch(&now, &[step])) {
                Some(Ok(changed)) if changed == now => {}
                Some(Ok(changed)) => {
                    now = changed;
                    self.values += 1;
                }
                Some(Err(_)) | None => self.left.push(format!("{} of {}", difference.path, reply.request)),
            }
        }
        // An error may stand where a result did.
        if now == line { now } else { with_kind(&now).unwrap_or(now) }
    }
}

/// The line, which says what kind its message is.
fn with_kind(line: &str) -> Option<String> {
    let kind = Message::new(members(line)?.get("msg")?.to_owned()).head().kind;
    let is_other = members(line)?.get("kind")?.trim_matches('"') != kind.word();
    let step = PatchStep::Replace { path: JsonPointer::read("/kind").ok()?, value: format!("\"{}\"", kind.word()) };
    is_other.then(|| patch(line, &[step]).ok())?
}

/// The change that has the recorded message say at a path what the live one does there. A path may lead into JSON that stands in a text:
/// then the text is what changes.
fn change(member: &str, steps: &[PathStep<'_>], recorded: &str, live: &str) -> Option<PatchStep> {
    let pointer = |steps: &[PathStep<'_>]| {
        let keys = steps.iter().map(|step| match step {
            PathStep::Key(key) => key.replace('~', "~0").replace('/', "~1"),
            PathStep::Index(index) => index.to_string(),
        });
        let text: String = std::iter::once(member.to_owned()).chain(keys).map(|key| format!("/{key}")).collect();
        JsonPointer::read(&text).ok()
    };
    for end in (0..=steps.len()).rev() {
        let (known, steps) = (at(recorded, &steps[..end]), &steps[..end]);
        match (known, at(live, steps)) {
            (Some(_), Some(value)) => {
                return Some(PatchStep::Replace { path: pointer(steps)?, value: value.to_owned() });
            }
            (Some(_), None) => return Some(PatchStep::Remove { path: pointer(steps)? }),
            (None, Some(value)) if end > 0 && at(recorded, &steps[..end - 1]).is_some() => {
                return Some(PatchStep::Add { path: pointer(steps)?, value: value.to_owned() });
            }
            (None, _) => {}
        }
    }
    None
}

/// The text of the value at a path.
fn at<'a>(text: &'a str, steps: &[PathStep<'_>]) -> Option<&'a str> {
    steps.iter().try_fold(text.trim_ascii(), |text, step| match (step, text.as_bytes().first()) {
        (PathStep::Key(key), Some(b'{')) => members(text)?.get(key),
        (PathStep::Index(index), Some(b'[')) => items_of(text).get(*index).copied(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_values_move_and_no_other_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tape.jsonl");
        let line = |msg: &str| format!(r#"{{"seq":2,"at":5,"dir":"s2c","via":"stdio","re":1, "msg":{msg}}}"#);
        let header = crate::tape::TapeHeader::of(&crate::tape::record::tests::session());
        let header = serde_json::to_string(&header).unwrap();
        let tape = |msg: &str| format!("{header}\n{{\"seq\":1,\"dir\":\"c2s\"}}\n{}\n", line(msg));
        fs::write(&path, tape(r#"{"id":7, "result":{"a":1.0,"b":[1,2,3],"c":"x","t":"{\"n\":1}"}}"#)).unwrap();
        let differs = |path: &str| Difference { path: path.to_owned(), expected: None, got: None };
        let reply = LiveReply {
            request: Seq(1),
            reply: Message::new(r#"{"id":1,"result":{"a":2.50,"b":[1],"d":null,"t":"{\"n\":2}"}}"#),
            differences: [".result.a", ".result.b[1]", ".result.b[2]", ".result.c", ".result.d", ".result.t.n"]
                .map(differs)
                .to_vec(),
        };
        let accepted = accept(&path, &[reply]).unwrap();
        assert_eq!((accepted.values, accepted.left.len()), (6, 0), "{:?}", accepted.left);
        let expected = tape(r#"{"id":7, "result":{"a":2.50,"b":[1],"t":"{\"n\":2}","d":null}}"#);
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn line_of_an_error_that_stands_for_a_result_says_so() {
        let line = r#"{"seq":2,"dir":"s2c","kind":"result","re":1,"msg":{"id":7,"result":{}}}"#;
        let differs = |path: &str| Difference { path: path.to_owned(), expected: None, got: None };
        let reply = LiveReply {
            request: Seq(1),
            reply: Message::new(r#"{"id":1,"error":{"code":1}}"#),
            differences: [".result", ".error"].map(differs).to_vec(),
        };
        let now = AcceptedValues::default().line(line, &HashMap::from([(Seq(1), &reply)]));
        assert_eq!(now, r#"{"seq":2,"dir":"s2c","kind":"error","re":1,"msg":{"id":7,"error":{"code":1}}}"#);
    }
}
