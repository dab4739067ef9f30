//! Who a client is, and what it may do.

use std::sync::Arc;

/// A client that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the client, which all its tokens share.
    pub name: Arc<str>,
    pub(super) scopes: Scopes,
}

/// The scopes that a token gives its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scopes {
    All,
    These(Vec<Box<str>>),
}

impl Identity {
    pub(super) fn has(&self, scope: &str) -> bool {
        match &self.scopes {
            Scopes::All => true,
            Scopes::These(scopes) => scopes.iter().any(|it| **it == *scope),
        }
    }
}
