//! What real clients do with what was found (`assets/lint/clients.toml`): measured against their SDKs.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::envelope::Direction;
use crate::event::{Finding, LintLevel};

static MATRIX: LazyLock<ClientMatrix> = LazyLock::new(|| {
    toml::from_str(include_str!("../../assets/lint/clients.toml")).expect("a test reads what is built in")
});

/// All clients, and all that is known of them.
#[derive(Debug, Deserialize)]
struct ClientMatrix {
    client: Vec<MeasuredClient>,
    effect: Vec<ClientEffect>,
}

/// A client as it was measured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MeasuredClient {
    pub(super) name: String,
    version: String,
    measured: String,
    peers: Vec<String>,
}

/// What clients do with one kind of finding.
#[derive(Debug, Deserialize)]
struct ClientEffect {
    code: String,
    #[serde(default)]
    about: String,
    breaks: bool,
    /// By the client's name.
    #[serde(flatten)]
    does: BTreeMap<String, String>,
}

/// The names that `--as` takes.
pub fn client_names() -> Vec<&'static str> {
    MATRIX.client.iter().map(|client| &*client.name).collect()
}

/// The client of this name in the matrix.
pub(super) fn client_named(name: &str) -> Option<&'static MeasuredClient> {
    MATRIX.client.iter().find(|client| client.name == name)
}

/// The client that calls itself so in `clientInfo`.
pub(super) fn client_of_peer(peer: &str) -> Option<&'static MeasuredClient> {
    MATRIX.client.iter().find(|client| client.peers.iter().any(|known| known == peer))
}

/// Adds to what a server did what the client does with it, or, where it is not known who that is, what all do. What breaks the
/// client that is there is an error.
pub(super) fn add_effects(finding: &mut Finding, client: Option<&MeasuredClient>) {
    if finding.by != Direction::ToClient {
        return;
    }
    let is_it = |effect: &&ClientEffect| effect.code == finding.code && finding.text.contains(&effect.about);
    let Some(effect) = MATRIX.effect.iter().find(is_it) else { return };
    for measured in MATRIX.client.iter().filter(|it| client.is_none_or(|client| client.name == it.name)) {
        let Some(does) = effect.does.get(&measured.name) else { continue };
        finding.clients.push(format!("{} {does} (measured {})", measured.version, measured.measured));
        if effect.breaks && client.is_some() {
            finding.level = LintLevel::Error;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::lint_rule;

    #[test]
    fn matrix_names_lints_and_clients_that_exist() {
        let names = client_names();
        assert!(names.len() >= 5 && MATRIX.effect.len() > 20);
        for effect in &MATRIX.effect {
            assert!(lint_rule(&effect.code).is_some(), "there is no lint `{}`", effect.code);
            assert!(effect.does.keys().all(|name| names.contains(&name.as_str())), "{effect:?}");
            assert!(effect.does.values().all(|text| !text.ends_with('.')), "{effect:?}");
        }
    }

    #[test]
    fn peers_are_known_by_their_own_name() {
        assert_eq!(client_of_peer("rmcp").map(|client| &*client.name), Some("rmcp"));
        assert_eq!(client_of_peer("mcp").map(|client| &*client.name), Some("python"));
        assert!(client_of_peer("").is_none() && client_of_peer("my-app").is_none());
    }
}
