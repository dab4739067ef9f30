//! What lint found, as its screen shows it: by server, and of each server by code.

use std::collections::BTreeMap;

use crate::event::{Finding, LintLevel};

/// Everything that was found, by server.
#[derive(Default)]
pub(crate) struct LintTally {
    servers: BTreeMap<String, BTreeMap<String, LintGroup>>,
    /// How many findings there are of each level.
    counts: BTreeMap<LintLevel, u64>,
}

/// The findings of one code at one server.
#[derive(Debug)]
pub(crate) struct LintGroup {
    pub(crate) level: LintLevel,
    pub(crate) count: u64,
    /// The latest finding of this code.
    pub(crate) finding: Finding,
}

/// A line of the screen.
pub(crate) enum LintScreenRow<'a> {
    Server(&'a str),
    Code(&'a LintGroup),
}

impl LintScreenRow<'_> {
    /// What a search looks for.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Server(name) => (*name).to_owned(),
            Self::Code(group) => format!("{} {}", group.finding.code, group.finding.text),
        }
    }
}

impl LintTally {
    pub(crate) fn count(&mut self, server: String, finding: &Finding) {
        *self.counts.entry(finding.level).or_default() += 1;
        let codes = self.servers.entry(server).or_default();
        let group = codes.entry(finding.code.clone()).or_insert_with(|| LintGroup {
            level: finding.level,
            count: 0,
            finding: finding.clone(),
        });
        group.count += 1;
        group.level = group.level.max(finding.level);
        group.finding.clone_from(finding);
    }

    /// How many findings are of this level.
    pub(crate) fn of_level(&self, level: LintLevel) -> u64 {
        self.counts.get(&level).copied().unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// What is on the screen: each server, and below it what matters most first.
    pub(crate) fn rows(&self) -> Vec<LintScreenRow<'_>> {
        let mut rows = Vec::new();
        for (server, codes) in &self.servers {
            rows.push(LintScreenRow::Server(server));
            let mut groups: Vec<_> = codes.values().collect();
            groups.sort_by_key(|group| (std::cmp::Reverse(group.level), std::cmp::Reverse(group.count)));
            rows.extend(groups.into_iter().map(LintScreenRow::Code));
        }
        rows
    }
}
