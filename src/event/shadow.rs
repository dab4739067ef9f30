//! What comes of asking a second server the same: one comparison a request, and how all stand.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Difference;
use crate::envelope::{Seq, SessionId};

/// A request was judged, or the counts are told again. The counts are those of all so far, so that none is counted twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowEvent {
    pub counts: ShadowCounts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Arc<Comparison>>,
}

/// One request of a client, and what the shadow made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The number of the request whose replies were compared.
    pub seq: Seq,
    /// The session of the client whose messages were repeated to the shadow.
    pub session: SessionId,
    pub method: String,
    pub name: Option<String>,
    pub verdict: ShadowVerdict,
    /// One line: what differs, why nothing came, why it was not asked.
    pub why: Option<String>,
    /// Expected is the primary's, got the shadow's. The first of them where there are very many.
    pub differences: Vec<Difference>,
    /// The number of the primary's reply; `None` where none came.
    pub reply: Option<Seq>,
    /// Microseconds to the primary's reply, without the time that tapline held the request.
    pub took: Option<u64>,
    /// Microseconds to the shadow's.
    pub shadow_took: Option<u64>,
}

/// How the second server's reply compares with the first one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShadowVerdict {
    Same,
    Differs,
    /// The shadow did not answer.
    Missing,
    /// The shadow was not asked.
    Skipped,
}

impl ShadowVerdict {
    /// Whether a person should look.
    pub fn diverges(self) -> bool {
        matches!(self, Self::Differs | Self::Missing)
    }
}

/// How often the second server answered alike, otherwise, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShadowCounts {
    pub same: u64,
    pub differs: u64,
    pub missing: u64,
    pub skipped: u64,
    /// Events that the shadow could not keep up with: what was in them was not compared.
    pub dropped: u64,
    /// Microseconds that those took which both answered.
    pub took: u64,
    pub shadow_took: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Divergence>,
}

/// The first reply that was another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    pub seq: Seq,
    /// Method and name of the request.
    pub subject: String,
    /// Where the first different value stands, or what is wrong instead.
    pub what: String,
}

impl Comparison {
    /// What was asked: the method, and the name of the tool, prompt or resource.
    pub fn subject(&self) -> String {
        [Some(self.method.as_str()), self.name.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Where the first different value stands, or what is wrong instead.
    pub fn what(&self) -> String {
        match self.differences.first() {
            Some(first) => first.path.clone(),
            None => self.why.clone().unwrap_or_default(),
        }
    }
}

impl ShadowCounts {
    /// Counts a comparison by its verdict.
    pub fn add(&mut self, comparison: &Comparison) {
        match comparison.verdict {
            ShadowVerdict::Same => self.same += 1,
            ShadowVerdict::Differs => self.differs += 1,
            ShadowVerdict::Missing => self.missing += 1,
            ShadowVerdict::Skipped => self.skipped += 1,
        }
        if let (Some(took), Some(shadow_took)) = (comparison.took, comparison.shadow_took) {
            self.took += took;
            self.shadow_took += shadow_took;
        }
        if comparison.verdict.diverges() && self.first.is_none() {
            let (seq, subject, what) = (comparison.seq, comparison.subject(), comparison.what());
            self.first = Some(Divergence { seq, subject, what });
        }
    }

    /// Adds up the counts of several taplines; the first divergence is that of the first tapline that has one.
    pub fn sum<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        parts.fold(Self::default(), |sum, part| Self {
            same: sum.same + part.same,
            differs: sum.differs + part.differs,
            missing: sum.missing + part.missing,
            skipped: sum.skipped + part.skipped,
            dropped: sum.dropped + part.dropped,
            took: sum.took + part.took,
            shadow_took: sum.shadow_took + part.shadow_took,
            first: sum.first.or_else(|| part.first.clone()),
        })
    }

    /// Whether anything was answered otherwise.
    pub fn diverge(&self) -> bool {
        self.differs + self.missing > 0
    }

    /// Whether nothing was compared yet.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `41 same, 2 differ`, with what else there is.
    pub fn short(&self) -> String {
        let counted = [(self.missing, "missing"), (self.skipped, "skipped"), (self.dropped, "dropped")];
        let others = counted.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
        let both = [format!("{} same", self.same), format!("{} differ", self.differs)];
        both.into_iter().chain(others).collect::<Vec<_>>().join(", ")
    }
}

/// `41 same, 2 differ, 3 skipped; first #17 tools/call get_forecast at .result; mean 2.1 ms, shadow 3.4 ms`
impl fmt::Display for ShadowCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())?;
        if let Some(first) = &self.first {
            write!(f, "; first {} {}: {}", first.seq, first.subject, first.what)?;
        }
        let answered = self.same + self.differs;
        if let (Some(took), Some(shadow)) = (self.took.checked_div(answered), self.shadow_took.checked_div(answered)) {
            let ms = |micros: u64| format!("{}.{} ms", micros / 1000, micros % 1000 / 100);
            write!(f, "; mean {}, shadow {}", ms(took), ms(shadow))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(seq: u64, verdict: ShadowVerdict, path: Option<&str>) -> Comparison {
        let difference = |path: &str| Difference { path: path.to_owned(), expected: None, got: Some("1".to_owned()) };
        Comparison {
            seq: Seq(seq),
            session: SessionId::random(),
            method: "tools/call".to_owned(),
            name: Some("add".to_owned()),
            verdict,
            why: Some("no reply".to_owned()),
            differences: path.map(difference).into_iter().collect(),
            reply: None,
            took: Some(1000),
            shadow_took: (verdict != ShadowVerdict::Missing).then_some(2500),
        }
    }

    #[test]
    fn counts_read_as_one_line_with_the_first_divergence() {
        let mut counts = ShadowCounts::default();
        assert!(counts.is_empty() && !counts.diverge());
        counts.add(&comparison(3, ShadowVerdict::Same, None));
        assert_eq!(counts.to_string(), "1 same, 0 differ; mean 1.0 ms, shadow 2.5 ms");
        counts.add(&comparison(5, ShadowVerdict::Missing, None));
        counts.add(&comparison(7, ShadowVerdict::Differs, Some(".result.sum")));
        assert!(counts.diverge());
        assert_eq!(
            counts.to_string(),
            "1 same, 1 differ, 1 missing; first #5 tools/call add: no reply; mean 1.0 ms, shadow 2.5 ms"
        );
        let sum = ShadowCounts::sum([&ShadowCounts::default(), &counts, &counts].into_iter());
        assert_eq!((sum.same, sum.differs, sum.missing), (2, 2, 2));
        assert_eq!(sum.first, counts.first);
    }
}
