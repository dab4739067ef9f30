//! What secrets look like in a text.

use std::sync::LazyLock;

use regex::{Captures, Regex, bytes};

/// What a message has in it that may have a secret: words of their names, and how keys of well-known services begin. Everything that
/// the rest of this folder finds by itself has one of these.
static HINTS: LazyLock<bytes::Regex> = LazyLock::new(|| {
    let words = "token|secret|passw|pwd|passphrase|credential|auth|bearer|cookie|signature|session|jwt|dpop|key|sig|otp|pin|pass|requestState";
    let keys = "sk-|sk_|pk_live|ghp_|gho_|ghs_|github_pat_|glpat-|xox|AKIA|eyJ|://[^/\\s]*@";
    bytes::Regex::new(&format!("(?i-u:{words})|(?-u:{keys})")).expect("the pattern is a constant")
});

/// Keys of well-known services, JSON web tokens, private keys, passwords in URLs, and what stands behind the name of a secret.
static KEYS: LazyLock<Regex> = LazyLock::new(|| {
    let parts = [
        r"\b(?:sk-|sk_live_|sk_test_|pk_live_|rk_live_|ghp_|gho_|ghs_|ghu_|github_pat_|glpat-|xox[abprs]-|AIza)[A-Za-z0-9_-]{12,}",
        r"\bAKIA[0-9A-Z]{16}\b",
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*-----END [A-Z ]*PRIVATE KEY-----",
        r"://(?P<user>[^/\s:@\x22]+:[^/\s@\x22]+)@",
        r"(?i:\b(?:bearer|basic) +)(?P<bearer>[A-Za-z0-9._~+/-]{12,}=*)",
        r#"(?i:\b[a-z_-]*(?:api_?-?key|access_?-?key|token|secret|passwd|password|passphrase)["']? *[:=] *["']?)(?P<value>[A-Za-z0-9._~+/!@#$%^&*-]{6,}=*)"#,
    ];
    Regex::new(&parts.join("|")).expect("the pattern is a constant")
});

/// Whether a message may have a secret in it: asked of every message that is recorded.
pub(super) fn may_have_secret(raw: &[u8]) -> bool {
    HINTS.is_match(raw)
}

/// A text with its keys replaced; `None` where it has none.
pub(super) fn replace_keys(text: &str, instead: &mut dyn FnMut(&str) -> String) -> Option<String> {
    if !KEYS.is_match(text) {
        return None;
    }
    let replaced = KEYS.replace_all(text, |found: &Captures<'_>| {
        let whole = &found[0];
        let part = ["user", "bearer", "value"].into_iter().find_map(|name| found.name(name));
        let Some(part) = part else { return instead(whole) };
        // Of `token: yes please` nothing is a secret.
        let is_told =
            found.name("value").is_some_and(|value| !value.as_str().bytes().any(|byte| byte.is_ascii_digit()));
        if is_told || part.as_str().starts_with("[redacted") {
            return whole.to_owned();
        }
        let (from, to) = (part.start() - found.get(0).map_or(0, |it| it.start()), part.len());
        format!("{}{}{}", &whole[..from], instead(part.as_str()), &whole[from + to..])
    });
    Some(replaced.into_owned()).filter(|replaced| replaced != text)
}

/// Whether a secret is no word that may stand elsewhere and mean nothing.
pub(super) fn is_key_like(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Whether a word looks as if a machine had drawn it: long, of letters and digits, and no character much more often than another.
pub(super) fn looks_random(word: &str) -> bool {
    /// Letters and digits from which on it can be told.
    const LEAST: usize = 20;
    /// Bits a character.
    const BITS: f64 = 3.7;
    if word.len() < LEAST || !is_key_like(word) {
        return false;
    }
    let mut counts = [0_u32; 256];
    word.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let length = f64::from(u32::try_from(word.len()).unwrap_or(u32::MAX));
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / length);
    shares.map(|share| -share * share.log2()).sum::<f64>() >= BITS
}
