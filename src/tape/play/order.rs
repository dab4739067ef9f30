//! In which order a server says things of its own accord while it is asked one thing alone.
//!
//! What it says between two requests, or while several wait, may come in any order; what it says of one request comes in the order in
//! which that is done. Only what came both times is compared, value by value: what changes from run to run has no order.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::message::Message;

/// Notifications of one request that are remembered.
const MOST: usize = 1_000;

/// What came while one request waited, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct SaidOrder {
    said: Vec<OwnWord>,
    /// Something else was asked meanwhile.
    pub(super) is_shared: bool,
}

/// A notification: its method, and all of it in a number.
#[derive(Clone, Debug)]
struct OwnWord {
    /// Most come after one of the same method, and have its text.
    method: Arc<str>,
    all: u64,
}

impl SaidOrder {
    pub(super) fn note(&mut self, message: &Message) {
        if self.said.len() < MOST && !self.is_shared {
            let method = message.method().unwrap_or_default();
            let mut all = DefaultHasher::new();
            (method, message.member("params")).hash(&mut all);
            let same = self.said.last().map(|word| &word.method).filter(|it| ***it == *method);
            let method = same.cloned().unwrap_or_else(|| method.into());
            self.said.push(OwnWord { method, all: all.finish() });
        }
    }

    /// What comes in another order than it once did, for people.
    pub(super) fn difference(&self, live: &Self) -> Option<String> {
        if self.is_shared || live.is_shared {
            return None;
        }
        let (once, now) = (self.also_in(live), live.also_in(self));
        let (before, after) = now.iter().zip(&once).find(|(now, once)| now.all != once.all)?;
        Some(if before.method == after.method {
            format!("notifications `{}` came in another order", before.method)
        } else {
            format!("notifications came in another order: `{}` before `{}`", before.method, after.method)
        })
    }

    /// Those that came as often there.
    fn also_in(&self, other: &Self) -> Vec<&OwnWord> {
        let count = |order: &Self| {
            let mut counts: HashMap<u64, usize> = HashMap::new();
            order.said.iter().for_each(|word| *counts.entry(word.all).or_default() += 1);
            counts
        };
        let (own, others) = (count(self), count(other));
        self.said.iter().filter(|word| own.get(&word.all) == others.get(&word.all)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str]) -> SaidOrder {
        let mut order = SaidOrder::default();
        for word in words {
            let (method, params) = word.split_once(' ').unwrap_or((word, "1"));
            order.note(&Message::new(format!(r#"{{"method":"{method}","params":{params}}}"#)));
        }
        order
    }

    fn difference(once: &[&str], now: &[&str]) -> String {
        said(once).difference(&said(now)).unwrap_or_default()
    }

    #[test]
    fn order_is_judged_of_what_came_both_times() {
        assert_eq!(difference(&["a 1", "b 1", "a 2"], &["a 1", "b 1", "a 2"]), "");
        assert_eq!(difference(&["a", "b"], &["b", "a"]), "notifications came in another order: `b` before `a`");
        assert_eq!(difference(&["a 1", "a 2"], &["a 2", "a 1"]), "notifications `a` came in another order");
        assert_eq!(difference(&["a 1", "gone", "b 2"], &["a 1", "b 2", "new"]), "", "others say what is gone and new");
        assert_eq!(difference(&["a [9,0]", "b 1"], &["b 1", "a [9,1]"]), "", "what changes from run to run");
    }

    #[test]
    fn order_is_not_judged_where_something_else_was_asked_meanwhile() {
        let mut now = said(&["b", "a"]);
        now.is_shared = true;
        assert_eq!(said(&["a", "b"]).difference(&now), None);
    }
}
