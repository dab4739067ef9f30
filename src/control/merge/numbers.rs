//! The numbers of one tapline's messages, and ours for them.

use std::collections::{HashMap, VecDeque};

use crate::envelope::Seq;

/// So many messages back a tapline may tell something again, or reply to. Far more than it remembers itself.
const MOST_KNOWN: usize = 1 << 18;

/// The last number given out.
#[derive(Default)]
pub(super) struct Last(u64);

#[derive(Default)]
pub(super) struct Numbers {
    known: HashMap<Seq, MappedNumber>,
    /// The known numbers, oldest first.
    order: VecDeque<Seq>,
}

struct MappedNumber {
    ours: Seq,
    passed: bool,
}

impl Numbers {
    /// Our number for theirs; the next one where theirs is new.
    pub(super) fn number(&mut self, theirs: Seq, last: &mut Last) -> Seq {
        if let Some(number) = self.known.get(&theirs) {
            return number.ours;
        }
        last.0 += 1;
        self.know(theirs, MappedNumber { ours: Seq(last.0), passed: false });
        Seq(last.0)
    }

    /// A text of theirs with our numbers in it, for those messages that are known.
    pub(super) fn in_text(&self, text: &str) -> String {
        let mut parts = text.split('#');
        let mut ours = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.len() - part.trim_start_matches(|it: char| it.is_ascii_digit()).len();
            let known = part[..digits].parse().ok().and_then(|seq| self.known.get(&Seq(seq)));
            match known {
                Some(number) => ours.push_str(&format!("{}{}", number.ours, &part[digits..])),
                None => ours.push_str(&format!("#{part}")),
            }
        }
        ours
    }

    /// Their number for ours. Looks through all of them: asked for by a person.
    pub(super) fn theirs(&self, ours: Seq) -> Option<Seq> {
        self.known.iter().find(|(_, number)| number.ours == ours).map(|(theirs, _)| *theirs)
    }

    pub(super) fn has_passed(&self, theirs: Seq) -> bool {
        self.known.get(&theirs).is_some_and(|number| number.passed)
    }

    /// A message passed; `ours` is its number where it has none yet.
    pub(super) fn pass(&mut self, theirs: Seq, ours: Seq) {
        match self.known.get_mut(&theirs) {
            Some(number) => number.passed = true,
            None => self.know(theirs, MappedNumber { ours, passed: true }),
        }
    }

    fn know(&mut self, theirs: Seq, number: MappedNumber) {
        self.known.insert(theirs, number);
        self.order.push_back(theirs);
        if self.order.len() > MOST_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_our_numbers_of_the_messages_that_are_known() {
        let (mut numbers, mut last) = (Numbers::default(), Last::default());
        numbers.number(Seq(70), &mut last);
        numbers.number(Seq(7), &mut last);
        let text = "not rewound to #7: rewound to #70, #700 # and #x";
        assert_eq!(numbers.in_text(text), "not rewound to #2: rewound to #1, #700 # and #x");
    }

    #[test]
    fn numbers_are_stable_until_the_oldest_are_forgotten() {
        let (mut numbers, mut last) = (Numbers::default(), Last::default());
        assert_eq!(numbers.number(Seq(70), &mut last), Seq(1));
        assert_eq!(numbers.number(Seq(50), &mut last), Seq(2));
        assert_eq!(numbers.number(Seq(70), &mut last), Seq(1));
        assert_eq!((numbers.theirs(Seq(2)), numbers.theirs(Seq(9))), (Some(Seq(50)), None));
        assert!(!numbers.has_passed(Seq(70)));
        numbers.pass(Seq(70), Seq(70));
        assert!(numbers.has_passed(Seq(70)));
        assert_eq!(numbers.number(Seq(70), &mut last), Seq(1), "passing does not change a number");
        for seq in 0..MOST_KNOWN as u64 {
            numbers.pass(Seq(1000 + seq), Seq(1000 + seq));
        }
        assert!(!numbers.has_passed(Seq(70)));
        assert_eq!(numbers.known.len(), MOST_KNOWN);
    }
}
