//! From a hand to a rule: what was done to one message, as a `[[rule]]` that does it to the next.
//!
//! ```ignore
//! let rule = rules::from_hand(&envelope, &HandAction::Edit { before: &came, after: &sent }, &|name| taken.contains(name));
//! let rule = rules::from_message(&envelope, answer, &is_taken);   // what its outcome says was done to it
//! let rules = rules::proposals(&envelope, reply, &is_taken);     // that one first, then what else rules mostly do
//! rule.text()                                                    // TOML, to be shown, changed and put in force
//! let seen = rules::preview(&rule.text(), &saved_filters, messages.iter().map(|it| &**it), &context)?;
//! format!("would have touched {} of {}", seen.touched, seen.seen);
//! model.send(Command::Rules(RuleCommand::Add { text: rule.text() }));   // in force from the next message on
//! model.send(Command::Rules(RuleCommand::Save { file: None }));         // into its file, comments kept
//! ```
//! The rules in force, with hits, the last of them and what is broken, are `Figures::rules` of the latest `Event::Figures`.
//!
//! The filter is the least that names the message: its kind, its tool, prompt, resource or method, and its direction where both
//! sides may say it. An edit becomes a JSON Patch of what differs. Where that would not give the very bytes, the whole message
//! stands in the rule, and goes out under the id of the one that it replaces.

use std::time::Duration;

use toml_edit::{InlineTable, Value};

use super::action::RuleChange;
use super::read::patch_steps;
use crate::envelope::{Direction, Envelope, Outcome};
use crate::event::BlockError;
use crate::filter::Filter;
use crate::json::diff::{NumberEquality, value_text};
use crate::json::splice::{JsonPointer, PatchStep, differences};
use crate::mcp::method;
use crate::message::{Kind, Message};

/// What a hand did to a message.
#[derive(Clone, Copy, Debug)]
pub enum HandAction<'a> {
    /// It was held, or only looked at.
    Hold,
    Edit {
        before: &'a Message,
        after: &'a Message,
    },
    Block(&'a BlockError),
    /// This was sent back in the place of a reply.
    Answer(&'a Message),
    Drop,
    Delay(Duration),
}

/// A rule that is not in force yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleProposal {
    /// What it does, in a word.
    pub verb: &'static str,
    pub name: String,
    pub when: String,
    /// What stands behind `do`, as TOML.
    pub action: String,
}

impl RuleProposal {
    /// The rule as it stands in a file.
    pub fn text(&self) -> String {
        let (name, when) = (Value::from(self.name.as_str()), Value::from(self.when.as_str()));
        format!("[[rule]]\nname = {name}\nwhen = {when}\ndo = {}\n", self.action)
    }
}

/// Makes a rule of what a hand did to a message. `is_taken`: whether there is a rule of that name.
pub fn from_hand(envelope: &Envelope, hand: &HandAction<'_>, is_taken: &dyn Fn(&str) -> bool) -> RuleProposal {
    let (verb, action) = match hand {
        HandAction::Hold => ("hold", "\"hold\"".to_owned()),
        HandAction::Drop => ("drop", "\"drop\"".to_owned()),
        HandAction::Delay(time) => ("delay", with("delay", format!("{}ms", time.as_millis().max(1)).into())),
        HandAction::Edit { before, after } => ("edit", edit(before, after)),
        HandAction::Block(error) => ("block", block(error)),
        HandAction::Answer(answer) => ("answer", with("answer", inline([("text", text_of(answer).into())]))),
    };
    proposal(envelope, verb, action, is_taken)
}

fn proposal(envelope: &Envelope, verb: &'static str, action: String, is_taken: &dyn Fn(&str) -> bool) -> RuleProposal {
    let what = envelope.name().or(envelope.method()).unwrap_or(envelope.kind().word());
    let which = if envelope.kind().is_reply() { " reply" } else { "" };
    let name = format!("{verb} {what}{which}");
    RuleProposal { verb, name: free_name(&name, is_taken), when: least_filter(envelope), action }
}

/// The name itself where no rule has it, else with a number behind it.
pub fn free_name(name: &str, is_taken: &dyn Fn(&str) -> bool) -> String {
    let mut names = std::iter::once(name.to_owned()).chain((2..).map(|count| format!("{name} {count}")));
    names.find(|name| !is_taken(name)).unwrap_or_default()
}

/// Makes a rule of what became of a message; `answer`: what was sent back for it, where it was blocked.
pub fn from_message(envelope: &Envelope, answer: Option<&Message>, is_taken: &dyn Fn(&str) -> bool) -> RuleProposal {
    let hand = match (&envelope.outcome, &envelope.original, answer) {
        (Outcome::Edited(_), Some(before), _) => HandAction::Edit { before, after: &envelope.message },
        (Outcome::Blocked(_) | Outcome::Answered(_), _, Some(answer)) => HandAction::Answer(answer),
        (Outcome::Dropped(_), ..) => HandAction::Drop,
        // What still waits has no time yet.
        (Outcome::Forwarded, None, _) => match envelope.held {
            Some(waited @ 1..) => HandAction::Delay(Duration::from_micros(waited)),
            _ => HandAction::Hold,
        },
        _ => HandAction::Hold,
    };
    from_hand(&as_asked(envelope), &hand, is_taken)
}

/// All rules that may be wanted of a message: what a hand did first, then what rules mostly do. `reply`: what answered it.
pub fn proposals(envelope: &Envelope, reply: Option<&Envelope>, is_taken: &dyn Fn(&str) -> bool) -> Vec<RuleProposal> {
    let mut all = vec![from_message(envelope, reply.map(|reply| &reply.message), is_taken)];
    let came = as_asked(envelope);
    if let Some(reply) = reply.filter(|_| came.kind() == Kind::Request) {
        all.push(from_hand(&came, &HandAction::Answer(&reply.message), is_taken));
    }
    all.extend(USUAL.map(|(verb, action)| proposal(&came, verb, action.to_owned(), is_taken)));
    let mut verbs = Vec::new();
    all.retain(|rule| {
        let is_new = !verbs.contains(&rule.verb);
        verbs.push(rule.verb);
        is_new
    });
    all
}

/// What rules mostly do.
const USUAL: [(&str, &str); 7] = [
    ("hold", "\"hold\""),
    ("delay", "{ delay = \"2s\" }"),
    ("block", "{ block = \"blocked by a rule\" }"),
    ("drop", "\"drop\""),
    ("throttle", "{ throttle = \"1/s\" }"),
    ("status", "{ status = 503 }"),
    ("log", "\"log\""),
];

/// The message as it came: that is what a filter is asked of.
fn as_asked(envelope: &Envelope) -> Envelope {
    let message = envelope.original.clone().unwrap_or_else(|| envelope.message.clone());
    Envelope { message, ..envelope.clone() }
}

/// The least filter that names a message: its kind, and what it is about.
pub fn least_filter(envelope: &Envelope) -> String {
    let kind = match envelope.kind() {
        Kind::Request => "~q",
        Kind::Notification => "~n",
        Kind::Result | Kind::Error => "~r",
        Kind::Batch | Kind::Opaque => "~all !~q !~r !~n",
    };
    let method = envelope.method();
    let side = match (envelope.direction, is_of_both_sides(method)) {
        (_, false) => "",
        (Direction::ToServer, true) => " ~c2s",
        (Direction::ToClient, true) => " ~s2c",
    };
    let about = match (method, envelope.name()) {
        (Some(method::TOOLS_CALL), Some(tool)) => format!(" ~tool {}", exactly(tool)),
        (Some(method), Some(name)) => format!(" ~m {} ~name {}", exactly(method), exactly(name)),
        (Some(method), None) => format!(" ~m {}", exactly(method)),
        (None, _) => String::new(),
    };
    let filter = format!("{kind}{side}{about}");
    match Filter::parse(&filter) {
        Ok(read) if read.matches(envelope) => filter,
        _ => format!("{kind}{side}"),
    }
}

/// Whether client and server may say it, or that is unknown.
fn is_of_both_sides(method: Option<&str>) -> bool {
    method.is_none_or(|method| {
        matches!(method, method::PING | method::CANCELLED | method::PROGRESS) || method.starts_with(method::TASKS)
    })
}

/// A pattern for this text and no other.
fn exactly(text: &str) -> String {
    let pattern = format!("^{}$", regex::escape(text).replace("\\-", "-"));
    let is_plain = pattern.chars().all(|c| c.is_alphanumeric() || "^$\\._-/:".contains(c));
    if is_plain { pattern } else { format!("\"{}\"", pattern.replace('"', "\\\"")) }
}

fn block(error: &BlockError) -> String {
    let body = match error {
        BlockError::ToolResult { text } => inline([("tool_error", text.as_str().into())]),
        BlockError::JsonRpc { code, message, data: None } => {
            inline([("code", (*code).into()), ("message", message.as_str().into())])
        }
        // Data keeps its spelling in a whole message only.
        data => return with("answer", inline([("text", text_of(&data.reply_to(None)).into())])),
    };
    with("block", body)
}

/// A patch of what differs, where it gives the very bytes; else the message itself.
fn edit(before: &Message, after: &Message) -> String {
    let patched = patch(before, after).filter(|patch| {
        let steps = patch_steps(&serde_json::Value::from(patch.as_str()));
        steps.is_ok_and(|steps| RuleChange::Patch(steps).apply(before).is_ok_and(|it| it.raw() == after.raw()))
    });
    let change = match &patched {
        Some(patch) => ("patch", patch.as_str().into()),
        None => ("text", text_of(after).into()),
    };
    with("modify", inline([change]))
}

/// The differences as the text of a JSON Patch.
fn patch(before: &Message, after: &Message) -> Option<String> {
    let (old, new) = (value_text(before.raw())?, value_text(after.raw())?);
    let path = |path: &JsonPointer| serde_json::Value::from(path.text());
    let steps = differences(old, new, NumberEquality::Spelling);
    let written = steps.iter().filter_map(|step| match step {
        PatchStep::Replace { path: at, value } => {
            Some(format!(r#"{{"op":"replace","path":{},"value":{value}}}"#, path(at)))
        }
        PatchStep::Add { path: at, value } => Some(format!(r#"{{"op":"add","path":{},"value":{value}}}"#, path(at))),
        PatchStep::Remove { path: at } => Some(format!(r#"{{"op":"remove","path":{}}}"#, path(at))),
        _ => None,
    });
    let written: Vec<_> = written.collect();
    (!written.is_empty()).then(|| format!("[{}]", written.join(",")))
}

fn text_of(message: &Message) -> String {
    String::from_utf8_lossy(message.raw()).into_owned()
}

fn inline<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::InlineTable(InlineTable::from_iter(members))
}

fn with(action: &str, value: Value) -> String {
    inline([(action, value)]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Author, ReplyTo, Seq, SessionId, Subject, Via};
    use crate::filter::{NothingKnown, SavedFilters};
    use crate::rules::{RuleSet, read};

    const CALL: &str = "{ \"jsonrpc\":\"2.0\", \"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"get \\\"it\\\" (now)\",\"arguments\":{\"q\":\"\\u00e9\",\"list\":[1,2,3],\"n\":12345678901234567890123}} }";

    fn of(text: &str, direction: Direction) -> Envelope {
        Envelope::forwarded(Seq(1), SessionId::random(), direction, Via::Http, Message::new(text.to_owned()))
    }

    fn carried_out(rule: &RuleProposal, envelope: &Envelope) -> (Envelope, crate::intercept::Verdict) {
        let draft =
            read(&rule.text(), &SavedFilters::default()).unwrap_or_else(|faults| panic!("{faults:?}: {rule:?}"));
        let mut envelope = envelope.clone();
        let verdict = RuleSet::of(vec![draft]).decide(&mut envelope, &NothingKnown).verdict;
        (envelope, verdict)
    }

    #[test]
    fn edit_becomes_a_rule_that_repeats_it_byte_for_byte() {
        for (after, by) in [
            (CALL.replace("\\u00e9", "x\\u00ea'''"), "patch"),
            (CALL.replace("12345678901234567890123", "1.0"), "patch"),
            (CALL.replace("[1,2,3]", "[1]"), "patch"),
            (CALL.replace("[1,2,3]", "[1,2,3,{\"a/b~\":1}]"), "patch"),
            (CALL.replace("\"n\":12345678901234567890123", "\"m\":5"), "patch"),
            (CALL.replace("\\u00e9", "é"), "text"),
            (CALL.replace("{ \"json", "{\"json"), "text"),
            (CALL[..40].to_owned(), "text"),
            ("<html>\n'''\n</html>".to_owned(), "text"),
        ] {
            let (before, after) = (of(CALL, Direction::ToServer), Message::new(after));
            let rule = from_hand(&before, &HandAction::Edit { before: &before.message, after: &after }, &|_| false);
            assert!(rule.action.starts_with(&format!("{{ modify = {{ {by} = ")), "{}", rule.action);
            let (passed, _) = carried_out(&rule, &before);
            assert_eq!(passed.message.raw(), after.raw(), "{}", rule.text());
            // What can no longer be read as a message has no id to give.
            if after.id().is_none() {
                continue;
            }
            let next = of(&CALL.replace("\"id\":7", "\"id\":\"eight\""), Direction::ToServer);
            let next_after = String::from_utf8_lossy(after.raw()).replace("\"id\":7", "\"id\":\"eight\"");
            assert_eq!(*carried_out(&rule, &next).0.message.raw(), next_after.as_bytes()[..], "under its own id");
        }
    }

    #[test]
    fn least_filter_names_the_message_and_few_others() {
        let mut reply = of(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Direction::ToClient);
        let subject = Subject { method: "tools/call".into(), name: Some("a.b".into()) };
        reply.reply_to = Some(ReplyTo { seq: Seq(1), took: 1, subject: subject.into() });
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///a b"}}"#;
        for (envelope, filter) in [
            (of(CALL, Direction::ToServer), r#"~q ~tool "^get \"it\" \(now\)$""#),
            (reply, "~r ~tool ^a\\.b$"),
            (of(ping, Direction::ToClient), "~q ~s2c ~m ^ping$"),
            (of(read, Direction::ToServer), r#"~q ~m ^resources/read$ ~name "^file:///a b$""#),
            (of("x", Direction::ToServer), "~all !~q !~r !~n ~c2s"),
        ] {
            assert_eq!(least_filter(&envelope), filter);
            assert!(Filter::parse(filter).is_ok_and(|it| it.matches(&envelope)), "{filter}");
        }
    }

    #[test]
    fn outcome_of_a_message_becomes_a_rule() {
        let call = of(CALL, Direction::ToServer);
        let taken = |name: &str| name == "hold get \"it\" (now)";
        assert_eq!(from_message(&call, None, &taken).name, "hold get \"it\" (now) 2");
        let error =
            BlockError::JsonRpc { code: -5, message: "n'o\n".to_owned(), data: Some("{\"a\":\"\\u00e9\"}".to_owned()) };
        let answer = error.reply_to(call.message.id());
        let blocked = Envelope { outcome: Outcome::Blocked(Author::Operator), ..call.clone() };
        for rule in [
            from_message(&blocked, Some(&answer), &|_| false),
            from_hand(&call, &HandAction::Block(&error), &|_| false),
        ] {
            let (_, verdict) = carried_out(&rule, &call);
            assert!(
                matches!(&verdict, crate::intercept::Verdict::Answer(it, _) if it.raw() == answer.raw()),
                "{rule:?} {verdict:?}"
            );
        }
        let waited = Envelope { held: Some(2_400_000), ..call.clone() };
        assert_eq!(from_message(&waited, None, &|_| false).action, "{ delay = \"2400ms\" }");
        let waiting = Envelope { held: Some(0), ..call.clone() };
        assert_eq!(from_message(&waiting, None, &|_| false).verb, "hold");
        let dropped = Envelope { outcome: Outcome::Dropped(Author::Operator), ..call.clone() };
        assert!(matches!(
            carried_out(&from_message(&dropped, None, &|_| false), &call).1,
            crate::intercept::Verdict::Drop(_)
        ));
        let reply = of(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, Direction::ToClient);
        let verbs = |it: &Envelope, reply| -> Vec<_> {
            proposals(it, reply, &|_| false).into_iter().map(|rule| rule.verb).collect()
        };
        let usual = ["delay", "block", "drop", "throttle", "status", "log"];
        assert_eq!(verbs(&call, Some(&reply)), [&["hold", "answer"], &usual[..]].concat());
        assert_eq!(verbs(&waited, None)[..3], ["delay", "hold", "block"], "what a hand did comes first, and once");
        let rule = from_hand(&call, &HandAction::Delay(Duration::from_millis(1500)), &|_| false);
        assert_eq!(rule.action, "{ delay = \"1500ms\" }");
    }
}
