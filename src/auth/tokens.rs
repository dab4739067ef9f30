//! Tokens that are known beforehand: only their hashes are kept, and looking one up takes as long whether it is there or not.

use std::fmt;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde::Deserialize;
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

/// SHA-256 of a token.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TokenHash([u8; SHA256_OUTPUT_LEN]);

impl TokenHash {
    /// The hash of a token, which is all that is kept of it.
    pub fn of(token: &[u8]) -> Self {
        let digest = digest(&SHA256, token);
        Self(digest.as_ref().try_into().expect("SHA-256 has that length"))
    }

    /// Which of these it is. All are compared, to the last byte.
    pub(super) fn find<'a>(&self, known: impl IntoIterator<Item = &'a Self>) -> Option<usize> {
        let mut found = 0_u32;
        for (place, hash) in (1..).zip(known) {
            found.conditional_assign(&place, hash.0.ct_eq(&self.0));
        }
        found.checked_sub(1).map(|place| place as usize)
    }
}

impl TryFrom<String> for TokenHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // What is wrong may be the token itself, in place of its hash: it is not said again.
        let wrong = || "must be the 64 hex digits of a SHA-256; `printf %s TOKEN | sha256sum` makes them".to_owned();
        let text = text.as_bytes();
        if text.len() != 2 * SHA256_OUTPUT_LEN {
            return Err(wrong());
        }
        let mut hash = [0; SHA256_OUTPUT_LEN];
        for (byte, digits) in hash.iter_mut().zip(text.chunks_exact(2)) {
            let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            *byte = value(digits[0]).zip(value(digits[1])).map(|(high, low)| high << 4 | low).ok_or_else(wrong)?;
        }
        Ok(Self(hash))
    }
}

/// A weak token could be guessed from its hash.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_hash_is_found_among_the_known() {
        let known = [TokenHash::of(b"one"), TokenHash::of(b"two"), TokenHash::of(b"three")];
        for (token, place) in [("one", Some(0)), ("two", Some(1)), ("three", Some(2)), ("four", None), ("", None)] {
            assert_eq!(TokenHash::of(token.as_bytes()).find(&known), place, "{token}");
        }
        assert_eq!(TokenHash::of(b"one").find([]), None);
    }

    #[test]
    fn token_hash_is_read_in_hex() {
        // FIPS 180-2, B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(TokenHash::try_from(abc.to_owned()), Ok(TokenHash::of(b"abc")));
        assert_eq!(TokenHash::try_from(abc.to_uppercase()), Ok(TokenHash::of(b"abc")));
        for wrong in ["", "abc", &abc[1..], &format!("{abc}0"), &abc.replace('b', "g"), &"é".repeat(32)] {
            let error = TokenHash::try_from(wrong.to_owned()).expect_err(wrong);
            assert!(error.contains("64 hex digits"), "{error}");
        }
        let secret = "correct horse battery staple".to_owned();
        assert!(!TokenHash::try_from(secret.clone()).expect_err("it is no hash").contains(&secret));
    }
}
