//! The secret that lets a screen in.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

/// 32 random bytes in hexadecimal. Its holder commands the tapline: it is never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ControlToken(String);

impl ControlToken {
    /// # Errors
    /// Where the system has no random bytes.
    pub fn random() -> Result<Self, std::io::Error> {
        let mut bytes = [0_u8; 32];
        let source = rustls::crypto::ring::default_provider().secure_random;
        source.fill(&mut bytes).map_err(|_| std::io::Error::other("the system has no random bytes"))?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Takes a token as a person gave it: white space around it does not count.
    pub fn given(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// Takes the same time wherever the two differ.
    pub fn is(&self, presented: &str) -> bool {
        self.0.as_bytes().ct_eq(presented.as_bytes()).into()
    }

    /// The value of the `Authorization` header.
    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl std::fmt::Debug for ControlToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ControlToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_token_compares_and_is_never_shown() {
        let (token, other) = (ControlToken::random().unwrap(), ControlToken::random().unwrap());
        let text = serde_json::to_value(&token).unwrap().as_str().unwrap().to_owned();
        assert_eq!(text.len(), 64);
        assert!(token.is(&text));
        for wrong in ["", &text[1..], &text.to_uppercase().replace('A', "B"), "x"] {
            assert!(!token.is(wrong) || wrong == text, "{wrong}");
        }
        assert_ne!(token, other);
        assert!(!format!("{token:?}").contains(&text));
    }
}
