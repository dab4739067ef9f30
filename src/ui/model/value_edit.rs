//! One value of a message in a line of its own: what it is typed as, and what would stand in its place.

use super::super::json::{check, unquote};
use super::editor::{DraftVerdict, EditSubject, Editor, LARGE};
use super::listed::{ValueRule, pointer_in_arguments};

/// A value that is being edited.
pub(crate) struct ValueEdit {
    pub(crate) subject: EditSubject,
    /// Where it stands in the message.
    pub(crate) path: String,
    pub(crate) form: ValueForm,
    /// What it is by itself; the form may be JSON instead.
    own: ValueForm,
    /// The token as it stood, and the line it began with: a value that was not edited keeps its spelling.
    stood: (String, String),
    /// What the tool's schema says of it.
    pub(crate) rule: ValueRule,
    /// The message that it is of, in which what is typed is judged.
    around: Option<Editor>,
    /// What is known of the message as it would be.
    verdict: DraftVerdict,
}

/// How a line is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueForm {
    /// The text of a string, without quotes and escapes.
    Text,
    Number,
    Bool,
    /// Any JSON value.
    Json,
}

impl ValueForm {
    fn of(token: &str) -> Self {
        match token.as_bytes().first() {
            // A string with half a character in it cannot be typed as text.
            Some(b'"') if serde_json::from_str::<String>(token).is_ok() => Self::Text,
            Some(b't' | b'f') => Self::Bool,
            Some(b'-' | b'0'..=b'9') => Self::Number,
            _ => Self::Json,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Json => "JSON",
        }
    }
}

impl ValueEdit {
    /// The edit of this token, and the line it begins with.
    pub(crate) fn of(subject: EditSubject, path: String, token: &str) -> (Self, String) {
        let own = ValueForm::of(token);
        let line = if own == ValueForm::Text { unquote(token) } else { token.to_owned() };
        let stood = (token.to_owned(), line.clone());
        let (rule, verdict) = (ValueRule::default(), DraftVerdict::default());
        (Self { subject, path, form: own, own, stood, rule, around: None, verdict }, line)
    }

    /// Reads the line as JSON, or again as what the value is by itself; returns the line in that form.
    pub(crate) fn turn(&mut self, line: &str) -> Option<String> {
        let next = if self.form == ValueForm::Json { self.own } else { ValueForm::Json };
        let turned = match (self.form, next) {
            (ValueForm::Text, _) => quoted(line),
            (_, ValueForm::Text) if line.starts_with('"') && check(line).is_ok() => unquote(line),
            (ValueForm::Json, ValueForm::Json) => return None,
            _ => line.to_owned(),
        };
        self.form = next;
        Some(turned)
    }

    /// The next of the values that the schema names, as a line; the form is that value's.
    pub(crate) fn pick(&mut self, line: &str) -> Option<String> {
        let now = self.token(line).ok();
        let at = self.rule.picks.iter().position(|pick| Some(pick) == now.as_ref());
        let pick = self.rule.picks.get(at.map_or(0, |at| (at + 1) % self.rule.picks.len()))?;
        self.form = if ValueForm::of(pick) == self.own { self.own } else { ValueForm::Json };
        Some(if self.form == ValueForm::Text { unquote(pick) } else { pick.clone() })
    }

    /// Has what is typed judged in the message that it is of; a large one takes too long for that.
    pub(crate) fn set_around(&mut self, editor: Editor) {
        self.around = Some(editor).filter(|editor| editor.original.raw().len() <= LARGE);
    }

    /// The line changed.
    pub(crate) fn judge(&mut self, line: &str) {
        if let (Ok(token), Some(editor)) = (self.token(line), &self.around) {
            self.verdict = editor.verdict_with(&self.path, &token).unwrap_or_default();
        }
    }

    /// What speaks against sending it, though it can be sent: of the message, or else of this value, or of another.
    pub(crate) fn warning(&self) -> Option<String> {
        let verdict = &self.verdict;
        if let Some(warning) = verdict.warning.as_ref().or(verdict.flaw.as_ref()) {
            return Some(warning.clone());
        }
        let misfits = verdict.misfits.as_ref()?;
        let pointer = pointer_in_arguments(&self.path);
        let own = misfits.iter().find(|misfit| pointer.as_ref() == Some(&misfit.pointer));
        own.map(|own| own.why.clone()).or_else(|| misfits.first().map(ToString::to_string))
    }

    /// What is to be known of the value while it is typed.
    pub(crate) fn note(&self, line: &str) -> String {
        match self.token(line) {
            Err(why) => why,
            Ok(token) if self.rule.only_picks && !self.rule.picks.contains(&token) => {
                format!("not one of {}", self.rule.picks.join(", "))
            }
            Ok(_) => self.warning().unwrap_or_else(|| self.rule_words()),
        }
    }

    fn rule_words(&self) -> String {
        let rule = &self.rule;
        match (rule.only_picks, rule.about.as_str()) {
            (true, about) => format!("one of {}{}", rule.picks.join(", "), comma(about)),
            (false, "") => self.form.word().to_owned(),
            (false, about) => about.to_owned(),
        }
    }

    /// The JSON that the line stands for.
    ///
    /// # Errors
    /// Why it stands for none.
    pub(crate) fn token(&self, line: &str) -> Result<String, String> {
        let typed = line.trim();
        match self.form {
            form if form == self.own && line == self.stood.1 => Ok(self.stood.0.clone()),
            ValueForm::Text => Ok(quoted(line)),
            ValueForm::Bool => {
                let word = ["true", "false"].into_iter().find(|word| !typed.is_empty() && word.starts_with(typed));
                word.map(str::to_owned).ok_or_else(|| "`true` or `false`; `ctrl t` takes any JSON".to_owned())
            }
            ValueForm::Number if ValueForm::of(typed) == ValueForm::Number && check(typed).is_ok() => {
                Ok(typed.to_owned())
            }
            ValueForm::Number => Err("not a number; `ctrl t` takes any JSON".to_owned()),
            ValueForm::Json => match check(typed) {
                Ok(()) => Ok(typed.to_owned()),
                Err(fault) => Err(format!("not JSON: {} at column {}", fault.why, fault.column)),
            },
        }
    }
}

fn comma(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("; {text}") }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Direction, Seq, SessionId, Via};
    use crate::event::Ticket;
    use crate::message::Message;
    use crate::ui::model::editor::EditTarget;

    fn edit(token: &str) -> (ValueEdit, String) {
        let subject = EditSubject {
            target: EditTarget::Held(Ticket(1)),
            seq: Seq(1),
            direction: Direction::ToServer,
            session: String::new(),
            session_id: SessionId(uuid::Uuid::nil()),
            via: Via::Http,
            message: Message::new("{}"),
            schema: None,
        };
        ValueEdit::of(subject, ".a".to_owned(), token)
    }

    #[test]
    fn value_is_read_by_its_type() {
        for (token, line, typed, expected) in [
            (r#""a\n\u00e9""#, "a\né", "say \"hi\"", Some(r#""say \"hi\"""#)),
            ("4.20", "4.20", " -1e3 ", Some("-1e3")),
            ("4.20", "4.20", "x", None),
            ("4.20", "4.20", "", None),
            ("true", "true", "f", Some("false")),
            ("true", "true", "", None),
            ("null", "null", "[1]", Some("[1]")),
            ("null", "null", "lisbon", None),
        ] {
            let (edit, begins) = edit(token);
            assert_eq!(begins, line);
            assert_eq!(edit.token(typed).ok().as_deref(), expected, "{token} {typed}");
            assert_eq!(edit.token(&begins).as_deref(), Ok(token), "untouched");
        }
    }

    #[test]
    fn value_may_become_any_json() {
        let (mut edit, line) = edit("\"7\"");
        assert_eq!(edit.turn(&line).as_deref(), Some("\"7\""));
        assert_eq!(edit.token("7"), Ok("7".to_owned()));
        assert_eq!(edit.turn("\"8\"").as_deref(), Some("8"));
        assert_eq!(edit.token("8"), Ok("\"8\"".to_owned()));
    }
}
