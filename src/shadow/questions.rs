//! What the client answers when the shadow asks (sampling, elicitation, roots): what it answered the primary.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use crate::envelope::Seq;
use crate::mcp::error_code::ErrorCode;
use crate::mcp::method;
use crate::message::{Id, Message};
use crate::tape::compare::nearest;

/// Answers that are remembered, and questions that may be open on either side. Of more, the oldest go.
const MOST: usize = 64;

#[derive(Default)]
pub(super) struct Questions {
    /// The primary's that the client has not answered yet.
    asked: BTreeMap<Seq, Message>,
    answers: VecDeque<GivenAnswer>,
    waiting: VecDeque<OpenQuestion>,
}

struct GivenAnswer {
    question: Message,
    answer: Message,
    given: bool,
}

/// A question of the shadow's, and how long the primary may take to ask the same.
struct OpenQuestion {
    question: Message,
    until: Instant,
}

impl Questions {
    /// Notes a request of the primary server to the client.
    pub(super) fn asked(&mut self, seq: Seq, question: Message) {
        self.asked.insert(seq, question);
        if self.asked.len() > MOST {
            self.asked.pop_first();
        }
    }

    /// The client answers the primary.
    pub(super) fn answered(&mut self, seq: Seq, answer: Message) {
        let Some(question) = self.asked.remove(&seq) else { return };
        self.answers.push_back(GivenAnswer { question, answer, given: false });
        if self.answers.len() > MOST {
            self.answers.pop_front();
        }
    }

    /// The shadow asks. The answer comes from [`Questions::settle`].
    pub(super) fn ask(&mut self, question: Message, until: Instant) {
        self.waiting.push_back(OpenQuestion { question, until });
        if self.waiting.len() > MOST {
            // One that asks so much does not wait for answers either.
            self.waiting.pop_front();
        }
    }

    /// The answers that can be given now. `busy`: the primary is at work, and may still ask the same.
    pub(super) fn settle(&mut self, busy: bool, now: Instant) -> Vec<Message> {
        let (mut said, mut still) = (Vec::new(), VecDeque::new());
        while let Some(waiting) = self.waiting.pop_front() {
            let may_come = waiting.until > now && (busy || !self.asked.is_empty());
            match self.answer(&waiting.question, may_come) {
                Some(answer) => said.push(answer),
                None => still.push_back(waiting),
            }
        }
        self.waiting = still;
        said
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }

    /// An answer not given before; where none is to come any more, one that was; else an error.
    fn answer(&mut self, question: &Message, may_come: bool) -> Option<Message> {
        let id = question.id()?;
        if question.method() == Some(method::PING) {
            // Every client must answer it, and it says nothing of the client (2025-11-25, utilities, ping).
            return Some(Message::new(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, id.token())));
        }
        if let Some(answer) = self.find(question, false) {
            return Some(answer);
        }
        if may_come {
            return None;
        }
        Some(self.find(question, true).unwrap_or_else(|| refusal(question, id)))
    }

    fn find(&mut self, question: &Message, given: bool) -> Option<Message> {
        let fits = |answer: &GivenAnswer| answer.given == given && answer.question.method() == question.method();
        let answers = self.answers.iter().enumerate().filter(|(_, answer)| fits(answer));
        let at = nearest(answers.map(|(at, answer)| (at, &answer.question)), question)?;
        self.answers[at].given = true;
        let answer = &self.answers[at].answer;
        Some(answer.with_id(question.id()?).unwrap_or_else(|| answer.clone()))
    }
}

fn refusal(question: &Message, id: &Id) -> Message {
    let method = question.method().unwrap_or_default();
    let why = format!("tapline: the server that this one shadows did not ask the client for `{method}`");
    Message::error_reply(Some(id), ErrorCode::NotOnTape.number(), &why, None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn question(id: &str, text: &str) -> Message {
        let params = format!(r#"{{"text":"{text}"}}"#);
        Message::new(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"sampling/createMessage","params":{params}}}"#))
    }

    fn answer(id: &str, text: &str) -> Message {
        Message::new(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"text":"{text}"}}}}"#))
    }

    fn texts(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|it| std::str::from_utf8(it.raw()).expect("it is text")).collect()
    }

    #[test]
    fn answer_is_that_to_the_most_alike_question() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        for (seq, text) in [(1, "cats"), (2, "dogs")] {
            questions.asked(Seq(seq), question("7", text));
            questions.answered(Seq(seq), answer("7", text));
        }
        questions.ask(question("\"s1\"", "dogs"), now);
        assert_eq!(texts(&questions.settle(true, now)), [r#"{"jsonrpc":"2.0","id":"s1","result":{"text":"dogs"}}"#]);
        questions.ask(question("\"s2\"", "dogs"), now);
        assert!(
            texts(&questions.settle(true, now))[0].contains("cats"),
            "each answer is given once, while there are more"
        );
        questions.ask(question("\"s3\"", "dogs"), now);
        assert!(texts(&questions.settle(false, now))[0].contains("dogs"), "then again");
    }

    #[test]
    fn question_waits_while_the_primary_may_ask_it() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let until = now + Duration::from_secs(1);
        questions.ask(question("1", "cats"), until);
        assert!(questions.settle(true, now).is_empty());
        assert_eq!(questions.next_deadline(), Some(until));
        questions.asked(Seq(1), question("9", "cats"));
        assert!(questions.settle(false, now).is_empty(), "the client is being asked");
        questions.answered(Seq(1), answer("9", "purr"));
        assert!(texts(&questions.settle(false, now))[0].contains("purr"));
        questions.ask(Message::new(r#"{"jsonrpc":"2.0","id":2,"method":"roots/list"}"#), until);
        questions.ask(Message::new(r#"{"jsonrpc":"2.0","id":3,"method":"ping"}"#), until);
        assert_eq!(texts(&questions.settle(true, now)), [r#"{"jsonrpc":"2.0","id":3,"result":{}}"#]);
        let refused = questions.settle(true, until);
        assert!(texts(&refused)[0].contains("-31005") && texts(&refused)[0].contains(r#""id":2"#), "{refused:?}");
    }
}
