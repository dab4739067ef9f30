//! Which names in messages are names of secrets.
//!
//! Stricter than [`is_secret`](crate::secret::is_secret), which judges headers and variables: what goes from a header for nothing is
//! not missed, while arguments and results have `sort_key`, `next_page_token`, `total_tokens` and `pin: 13`, which a tape is there to
//! show. So a name counts by its last words, and where it may well be another's the value must look like a secret, too.

use std::sync::LazyLock;

use super::patterns::looks_random;

/// What servers hand to clients to get back, and may hold anything.
const STATE: &str = "requestState";

/// Last words of names that are those of secrets.
const SURE: [&str; 22] = [
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "credential",
    "credentials",
    "authorization",
    "apikey",
    "apikeys",
    "apitoken",
    "accesskey",
    "accesstoken",
    "authtoken",
    "secretkey",
    "privatekey",
    "bearer",
    "cookie",
    "cookies",
    "jwt",
];

/// What a token is of that is none of these: places in lists, parts of texts.
const HARMLESS_TOKENS: [&str; 20] = [
    "progress",
    "page",
    "next",
    "prev",
    "previous",
    "continuation",
    "cursor",
    "sync",
    "resume",
    "start",
    "stop",
    "end",
    "eos",
    "bos",
    "pad",
    "unk",
    "mask",
    "max",
    "min",
    "per",
];

/// What a key is of that is a secret.
const SECRET_KEYS: [&str; 15] = [
    "api",
    "access",
    "secret",
    "private",
    "license",
    "licence",
    "encryption",
    "signing",
    "subscription",
    "auth",
    "master",
    "ssh",
    "account",
    "shared",
    "deploy",
];

/// Last words of names that may be those of secrets.
const UNSURE: [&str; 6] = ["key", "keys", "auth", "signature", "sig", "pass"];

/// Names of secrets that may be numbers.
const NUMBERS: [&str; 5] = ["password", "passwd", "passcode", "pwd", "secret"];

/// Names of secrets of a few digits: an `otp` or a `pin` of others is a place on a board.
const DIGITS: [&str; 2] = ["otp", "pin"];
const FEWEST_DIGITS: usize = 4;
const MOST_DIGITS: usize = 8;

/// Values that say what is to stand there.
const PLACEHOLDERS: [&str; 9] =
    ["string", "number", "boolean", "null", "none", "undefined", "required", "optional", "true"];

/// What a value is under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedValue<'v> {
    Text(&'v str),
    Number(&'v str),
}

/// Whether a value of this name is a secret.
pub(super) fn is_secret_member(name: &str, value: NamedValue<'_>) -> bool {
    let words = words(name);
    let Some(last) = words.last().map(String::as_str) else { return false };
    let before = words.len().checked_sub(2).map_or("", |at| words[at].as_str());
    match value {
        _ if DIGITS.contains(&last) => is_code(value),
        NamedValue::Number(_) => NUMBERS.contains(&last),
        NamedValue::Text(text) if is_placeholder(text) => false,
        // A shell's variable `PWD` is the directory that it is in.
        NamedValue::Text(text) if last == "pwd" && text.starts_with('/') => false,
        NamedValue::Text(_) if name == STATE || SURE.contains(&last) => true,
        NamedValue::Text(_) if last == "token" => !HARMLESS_TOKENS.contains(&before),
        NamedValue::Text(_) if matches!(last, "key" | "keys") && SECRET_KEYS.contains(&before) => true,
        NamedValue::Text(text) => UNSURE.contains(&last) && looks_like_key(text),
    }
}

/// Whether anything that goes by this name may be a secret.
fn may_be_secret(name: &str) -> bool {
    const RANDOM: &str = "q8Zt5Lw2Xr7Vb1Nm4Kc9";
    [NamedValue::Text(RANDOM), NamedValue::Text("1234")].into_iter().any(|value| is_secret_member(name, value))
}

/// Whether any name of a secret stands in a message, before a `:` or a `=`. Each message that is recorded is asked, so that a name is
/// looked at in full only where its last two letters are those of a secret's.
pub(super) fn has_secret_name(raw: &[u8]) -> bool {
    let endings = &*ENDINGS;
    memchr::memchr2_iter(b':', b'=', raw).any(|at| {
        let before = &raw[..at];
        let end = before.iter().rposition(|byte| !matches!(byte, b'"' | b'\'' | b'\\' | b' ')).map_or(0, |at| at + 1);
        let name = &before[..end];
        if !endings.may_end(name) {
            return false;
        }
        let is_of_a_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let length = name.iter().rev().take(LONGEST).take_while(|byte| is_of_a_name(byte)).count();
        std::str::from_utf8(&name[end - length..]).is_ok_and(may_be_secret)
    })
}

/// The pairs of letters that names of secrets end with.
struct Endings {
    /// For each last letter a bit for each letter before it.
    before: [u32; 26],
}

static ENDINGS: LazyLock<Endings> = LazyLock::new(|| {
    let mut endings = Endings { before: [0; 26] };
    let words = [STATE, "token", "key", "keys"].into_iter().chain(SURE).chain(UNSURE).chain(NUMBERS).chain(DIGITS);
    for (before, last) in words.filter_map(|word| last_letters(word.as_bytes())) {
        endings.before[last] |= 1 << before;
    }
    endings
});

impl Endings {
    fn may_end(&self, name: &[u8]) -> bool {
        last_letters(name).is_some_and(|(before, last)| self.before[last] & 1 << before != 0)
    }
}

/// The places in the alphabet of the last two letters; none where the name ends otherwise.
fn last_letters(name: &[u8]) -> Option<(usize, usize)> {
    let [.., before, last] = name else { return None };
    let place = |byte: &u8| byte.is_ascii_alphabetic().then(|| usize::from(byte.to_ascii_lowercase() - b'a'));
    Some((place(before)?, place(last)?))
}

/// Longer names are judged by their end.
const LONGEST: usize = 64;

/// The words of a name, in small letters: `awsAPIKey_v` has `aws`, `api`, `key` and `v`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = ' ';
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        let begins = c.is_ascii_uppercase()
            && (last.is_ascii_lowercase()
                || last.is_ascii_digit()
                || rest.peek().is_some_and(char::is_ascii_lowercase));
        if c.is_alphanumeric() {
            match words.last_mut().filter(|_| last.is_alphanumeric() && !begins) {
                Some(word) => word.push(c.to_ascii_lowercase()),
                None => words.push(c.to_ascii_lowercase().to_string()),
            }
        }
        last = c;
    }
    words
}

/// Random, and with what slugs, paths, ids and hashes do not have: capital and small letters and digits, and nothing between words.
fn looks_like_key(text: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.as_bytes().iter().filter(|byte| is(byte)).count() > 1;
    let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'='));
    let is_mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    is_word && is_mixed && looks_random(text)
}

fn is_code(value: NamedValue<'_>) -> bool {
    let (NamedValue::Text(text) | NamedValue::Number(text)) = value;
    (FEWEST_DIGITS..=MOST_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text only says what is to stand in its place, or that something stood there.
fn is_placeholder(text: &str) -> bool {
    text.is_empty()
        || text.starts_with(['<', '$', '{'])
        || text.bytes().all(|byte| byte == b'*')
        || PLACEHOLDERS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_member_is_known_by_its_last_words() {
        for name in [
            "password",
            "dbPassword",
            "AWS_SECRET_ACCESS_KEY",
            "api_key",
            "x-api-key",
            "APIKey",
            "accessToken",
            "token",
            "GITHUB_TOKEN",
            "client_secret",
            "requestState",
            "Authorization",
            "sshKey",
            "cookie",
        ] {
            assert!(is_secret_member(name, NamedValue::Text("abc")), "{name}");
            assert!(has_secret_name(format!("{{\"{name}\" : 1}}").as_bytes()), "{name}");
            assert!(has_secret_name(format!("\"{{\\\"{name}\\\":1}}\"").as_bytes()), "{name}");
        }
        for name in [
            "sort_key",
            "key",
            "keys",
            "monkey",
            "tokens",
            "maxTokens",
            "total_tokens",
            "token_count",
            "progressToken",
            "next_page_token",
            "nextCursor",
            "author",
            "authority",
            "authenticated",
            "secretary",
            "signature",
            "passed",
            "sessionId",
            "pin",
            "publicKey",
            "state",
        ] {
            assert!(!is_secret_member(name, NamedValue::Text("abc")), "{name}");
        }
        for name in ["maxTokens", "progressToken", "next_page_token", "author", "sessionId", "passed", "method", "id"] {
            assert!(!has_secret_name(format!("{{\"{name}\":1}}").as_bytes()), "{name}");
        }
    }

    #[test]
    fn every_last_word_of_a_secret_is_seen_from_its_last_letters() {
        for word in
            SURE.into_iter().chain(UNSURE).chain(NUMBERS).chain(DIGITS).chain(["token", "api_key", "api_keys", STATE])
        {
            for name in [word.to_owned(), format!("my_{word}")] {
                let named = format!("{{\"{name}\":1}}");
                assert!(ENDINGS.may_end(name.as_bytes()), "{name}");
                assert_eq!(has_secret_name(named.as_bytes()), may_be_secret(&name), "{name}");
            }
            assert!(ENDINGS.may_end(word.to_ascii_uppercase().as_bytes()), "{word}");
        }
        for name in ["jsonrpc", "result", "content", "text", "y", "", "_key_"] {
            assert!(!ENDINGS.may_end(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn secret_member_is_known_by_its_value_where_its_name_may_be_another() {
        let random = NamedValue::Text("q8Zt5Lw2Xr7Vb1Nm4Kc9");
        assert!(is_secret_member("key", random) && is_secret_member("signature", random));
        assert!(!is_secret_member("sort_value", random));
        for (name, value, expected) in [
            ("pin", NamedValue::Number("4711"), true),
            ("pin", NamedValue::Number("13"), false),
            ("otp", NamedValue::Text("123456"), true),
            ("token", NamedValue::Number("5"), false),
            ("password", NamedValue::Number("12"), true),
            ("password", NamedValue::Text("string"), false),
            ("token", NamedValue::Text("${TOKEN}"), false),
            ("token", NamedValue::Text("<your token>"), false),
            ("key", NamedValue::Text("users/2024/report-1.pdf"), false),
            ("key", NamedValue::Text("my-feature-flag-name-2026-rollout"), false),
            ("key", NamedValue::Text("2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"), false),
        ] {
            assert_eq!(is_secret_member(name, value), expected, "{name} {value:?}");
        }
    }
}
