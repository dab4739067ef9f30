//! What secrets look like in a text.

use std::sync::LazyLock;

use regex::{Captures, Regex, bytes};

use super::names::{NamedValue, has_secret_name, is_secret_member};

/// How what [`KEYS`] finds begins, in any message, and what is said of it before its value.
static BEGINNINGS: LazyLock<bytes::Regex> = LazyLock::new(|| {
    let keys = "sk-|sk_live_|sk_test_|pk_live_|rk_live_|ghp_|gho_|ghs_|ghu_|github_pat_|glpat-|xox[abprs]-|AIza|AKIA|eyJ|PRIVATE KEY";
    let others = "://[^/\\s:@\"]+:[^/\\s@\"]+@|[Bb]earer |[Bb]asic |BEARER |BASIC ";
    bytes::Regex::new(&format!("(?-u:{keys}|{others})")).expect("the pattern is a constant")
});

/// Keys of well-known services, JSON web tokens, private keys, passwords in URLs, and what stands behind the name of a secret. All of
/// it in ASCII, for which an automaton is enough.
static KEYS: LazyLock<Regex> = LazyLock::new(|| {
    let parts = [
        r"(?-u:\b)(?P<key>(?:sk-|sk_live_|sk_test_|pk_live_|rk_live_|ghp_|gho_|ghs_|ghu_|github_pat_|glpat-|xox[abprs]-|AIza)[A-Za-z0-9_-]{12,})",
        r"(?-u:\b)AKIA[0-9A-Z]{16}(?-u:\b)",
        r"(?-u:\b)eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*-----END [A-Z ]*PRIVATE KEY-----",
        r"://(?P<user>[^/\s:@\x22]+:[^/\s@\x22]+)@",
        r#"(?-u:\b)(?P<header>(?i-u:authorization)["']? *[:=] *["']?)?(?:[Bb]earer|[Bb]asic|BEARER|BASIC) +(?P<bearer>[A-Za-z0-9._~+/-]{12,}=*)"#,
        r#"(?-u:\b)(?P<name>[A-Za-z0-9_-]*(?i-u:key|token|secret|passwd|password|passphrase|pwd))["']? *[:=] *["']?(?:(?:[Bb]earer|[Bb]asic) +)?(?P<value>[A-Za-z0-9._~+/!@#$%^&*-]{6,}=*)"#,
    ];
    Regex::new(&parts.join("|")).expect("the pattern is a constant")
});

/// Whether a message may have a secret in it: asked of every message that is recorded.
pub(super) fn may_have_secret(raw: &[u8]) -> bool {
    has_secret_name(raw) || BEGINNINGS.is_match(raw)
}

/// A text with its keys replaced; `None` where it has none.
pub(super) fn replace_keys(text: &str, instead: &mut dyn FnMut(&str) -> String) -> Option<String> {
    if !may_have_secret(text.as_bytes()) {
        return None;
    }
    let replaced = KEYS.replace_all(text, |found: &Captures<'_>| {
        let whole = &found[0];
        let part = ["user", "bearer", "value"].into_iter().find_map(|name| found.name(name));
        let is_secret = match (found.name("name"), part) {
            // Of `token: yes please` nothing is a secret.
            (Some(name), Some(value)) => {
                value.as_str().bytes().any(|byte| byte.is_ascii_digit())
                    && !is_expression(value.as_str())
                    && is_secret_member(name.as_str(), NamedValue::Text(value.as_str()))
            }
            // Nor is it of `bearer authentication` and `sk-learn-contrib`.
            _ if found.name("header").is_some() => true,
            _ => [found.name("bearer"), found.name("key")].into_iter().flatten().all(|it| is_key_like(it.as_str())),
        };
        let part = part.map_or(whole, |it| it.as_str());
        if !is_secret || part.starts_with("[redacted") {
            return whole.to_owned();
        }
        let from = part.as_ptr() as usize - whole.as_ptr() as usize;
        format!("{}{}{}", &whole[..from], instead(part), &whole[from + part.len()..])
    });
    Some(replaced.into_owned()).filter(|replaced| replaced != text)
}

/// Whether a text is one of a program: of `token: line.tokens[0].length-1` nothing is a secret.
fn is_expression(text: &str) -> bool {
    let is_name = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic()) && !is_key_like(part);
    text.split_once('.').is_some_and(|(first, rest)| is_name(first) && rest.split('.').next().is_some_and(is_name))
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
